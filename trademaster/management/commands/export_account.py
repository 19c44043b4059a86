"""`manage.py export_account`: a person's data as a ZIP, for those who cannot ask for it themselves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import User
from trademaster.export import export_account


class Command(BaseCommand):
    help = "Write everything about one account to a ZIP that only its owner on this machine can read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, username: str, file: Path, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError("There is no such user.")
        try:
            file.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise CommandError(f"{file} cannot be made: {error.strerror}.") from None
        with export_account(user, now=timezone.now()) as archive, file.open("wb") as copy:
            shutil.copyfileobj(archive, copy)
        self.stdout.write(f"{file.stat().st_size:,} bytes written.")
