"""What the demo needs before it starts: its two people, the tables, and a market that is open."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from trademaster.demo import market_days
from trademaster.demo.gate import NotSimulated, require_simulation


class Command(BaseCommand):
    help = "`demo_users`, and a market that is open all day: from the first start on, until somebody says otherwise."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="bring the tables up to date first")
        parser.add_argument("--new-passwords", action="store_true", help="the first start: open the market too")

    def handle(self, *args: object, migrate: bool, new_passwords: bool, **options: object) -> None:
        try:
            require_simulation()
        except NotSimulated as refused:
            raise CommandError(str(refused)) from None
        call_command("demo_users", migrate=migrate, new_passwords=new_passwords, stdout=self.stdout)
        prepare = market_days.open_all_day if new_passwords else market_days.keep_open
        prepare(timezone.now())
