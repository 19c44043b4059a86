"""`manage.py invite`: for an installation without a mail server, or before there is an admin to ask."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import invitations


class Command(BaseCommand):
    help = "Make an invitation for a trader and print its link, which works once. Send it to them yourself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        try:
            invitation, link = invitations.invite(email=email, invited_by=None, now=timezone.now(), was_mailed=False)
        except invitations.AlreadyHere:
            raise CommandError(f"Somebody has an account with the address {email}.") from None
        self.stdout.write(link)
        self.stderr.write(f"It works once, until {timezone.localtime(invitation.expires_at):%Y-%m-%d %H:%M} IST.")
