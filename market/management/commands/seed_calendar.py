"""`manage.py seed_calendar`: days and hours from the data files, as `migrate` does for a new installation."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from market.days import seed_calendar


class Command(BaseCommand):
    help = "Write the calendar's data files into its table. Days that somebody edited stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{seed_calendar()} days written")
