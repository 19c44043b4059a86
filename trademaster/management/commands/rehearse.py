"""`manage.py rehearse`: the same as `make rehearse`, from inside an installation. It touches nothing of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = (
        "Rehearse a bad day with simulated brokers, and PostgreSQL and Redis of its own. "
        "Ends with 1 on any loss. Takes about four minutes; needs the development requirements."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        command = [sys.executable, "-m", "trademaster.rehearsal"]
        sys.exit(subprocess.run(command, cwd=settings.BASE_DIR, check=False).returncode)
