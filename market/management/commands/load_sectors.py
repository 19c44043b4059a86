"""`manage.py load_sectors FILE`: the industries of an exchange's list of an index's constituents."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from market.sectors import BadSectors, load_sectors

LARGEST_FILE = 10 * 1024 * 1024


def a_day(written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise ArgumentTypeError(f"{written!r} is not a day such as 2026-11-26") from None


class Command(BaseCommand):
    help = "Load which industry each company is in, from a CSV with Company Name, Industry, Symbol, Series, ISIN Code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--as-of", type=a_day, help="the day of the list; default: today")
        parser.add_argument("--source", default="", help="where it is from; default: the file's name")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        try:
            if file.stat().st_size > LARGEST_FILE:
                raise CommandError(f"{file} is larger than {LARGEST_FILE} bytes.")
            content = file.read_bytes()
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        as_of = options["as_of"] or timezone.localdate()
        if as_of > timezone.localdate():
            raise CommandError(f"{as_of} is yet to come.")
        try:
            loaded = load_sectors(content, source=(options["source"] or file.name)[:120], as_of=as_of)
        except BadSectors as bad:
            raise CommandError("Nothing was changed. " + " ".join(bad.mistakes)) from None
        self.stdout.write(f"{loaded.new} new, {loaded.changed} changed, {loaded.unchanged} as they were")
