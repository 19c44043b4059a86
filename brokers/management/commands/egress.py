"""`manage.py egress`: the address that orders come from, and whether others see the same."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokers.egress import NotObserved, observed_address


class Command(BaseCommand):
    help = "Print the address that brokers must have registered for orders (EGRESS_IP); compare it with what is seen."
    requires_system_checks = []  # one may ask before anything else is right

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--observe", metavar="URL", help="ask this address, which answers with the caller's; there is no default"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        configured: str | None = settings.EGRESS_IP
        self.stdout.write(f"configured: {configured or 'EGRESS_IP is not set'}")
        if options["observe"] is None:
            return
        try:
            seen = observed_address(options["observe"])
        except NotObserved as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"observed:   {seen}")
        if seen != configured:
            raise CommandError(
                f"They differ. Set EGRESS_IP={seen} if that address is ours for good, and register it at every broker."
            )
