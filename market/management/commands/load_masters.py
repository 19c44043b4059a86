"""`manage.py load_masters [slug …]`: the brokers' lists of instruments, now."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from brokers import registry
from market.masters import load_masters
from market.models import LoadOutcome


class Command(BaseCommand):
    help = "Load the brokers' masters into the table of instruments. Ends with 1 where one could not be loaded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="slug", choices=[*registry.slugs(), []], help="default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        loads = [load for slug in options["slugs"] or [None] for load in load_masters(now=now, broker_type=slug)]
        for load in loads:
            told = f"{load.row_count} rows, {load.new_count} new" if not load.error_code else load.error_message
            self.stdout.write(f"{load.broker_type:<13} {load.outcome:<12} {told}")
        if any(load.outcome != LoadOutcome.LOADED for load in loads):
            sys.exit(1)
