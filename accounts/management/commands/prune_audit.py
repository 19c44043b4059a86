"""`manage.py prune_audit`: remove events that are older than they must be kept."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import audit_check


class Command(BaseCommand):
    help = "Remove the oldest events of the audit log, never younger ones than AUDIT_DAYS. Beat does it every hour."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--before", type=_day, metavar="YYYY-MM-DD", help="remove only what is older than this day")

    def handle(self, *args: Any, before: datetime | None, **options: Any) -> None:
        now = timezone.now()
        latest = audit_check.oldest_kept(now)
        if before is not None and before > latest:
            raise CommandError(f"Events are kept for AUDIT_DAYS: --before must not be after {latest:%Y-%m-%d}.")
        removed = audit_check.prune(before or latest, now=now)
        self.stdout.write(f"{removed:,} events removed.")


def _day(text: str) -> datetime:
    try:
        return timezone.make_aware(datetime.strptime(text, "%Y-%m-%d"))  # noqa: DTZ007 - a day here, made aware at once
    except ValueError:
        raise ArgumentTypeError("must be a day, such as 2026-11-26") from None
