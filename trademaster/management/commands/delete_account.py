"""`manage.py delete_account`: what the trader can do by the API, done by the operator."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import User
from trademaster import privacy
from trademaster.deletion import DeletionRefused, delete_account


class Command(BaseCommand):
    help = "Delete an account for good: brokers disconnected, personal data wiped, what must be kept kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--yes", action="store_true", help="do it; without this it is only said what would be done")

    def handle(self, *args: Any, username: str, yes: bool, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError("There is no such user.")
        for row in privacy.wiped():
            self.stdout.write(f"wiped: {row['words']}")
        for row in privacy.kept():
            term = f"{row['days']} days" if row["days"] else "for good"
            self.stdout.write(f"kept, {term}: {row['words']}. {row['why']}")
        if not yes:
            self.stdout.write("Nothing was done: add --yes.")
            return
        try:
            deletion = delete_account(user, now=timezone.now())
        except DeletionRefused as refusal:
            raise CommandError(f"{refusal.message} {refusal.remedy}") from None
        for broker in deletion.brokers:
            ended = "ended there too" if broker["ended_at_broker"] else "wiped here; the broker did not confirm the end"
            self.stdout.write(f"{broker['broker_type']}: {ended}")
        self.stdout.write(f"Account {deletion.user_id} is deleted.")
