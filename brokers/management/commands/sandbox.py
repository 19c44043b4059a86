"""`manage.py sandbox`: the simulated brokers."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from brokers.simulation.command import DESCRIPTION, add_arguments, run


class Command(BaseCommand):
    help = DESCRIPTION
    requires_system_checks = []  # simulated brokers do not depend on our database

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("base_port", "state_dir", "redirect_base", "only", "frozen", "full_masters")
        sys.exit(run(**{name: options[name] for name in names}))
