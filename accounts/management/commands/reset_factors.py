"""`manage.py reset_factors`: for somebody who has lost their second factor and their recovery codes."""

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_removed
from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import api_sessions, devices, sockets
from accounts.models import User


class Command(BaseCommand):
    help = "Remove a user's second factors, forget their devices, end their sessions and those of their API clients."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username}.")
        with transaction.atomic():
            removed = list(Authenticator.objects.select_for_update().filter(user=user))
            Authenticator.objects.filter(user=user).delete()
            devices.forget_all(user)
            get_adapter().end_sessions(UserSession.objects.filter(user=user))
            api_sessions.end_all(user)
        sockets.close_user(user.pk)
        for factor in removed:
            authenticator_removed.send(sender=Authenticator, request=None, user=user, authenticator=factor)
        self.stdout.write(f"{len(removed)} factors removed. {username} signs in with the password alone now.")
