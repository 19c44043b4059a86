"""Create the demo's two people, and the tables they need."""

import json
import secrets
from argparse import ArgumentParser

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import Role, User

SUPPORT_GROUP = "support"
OUR_APPS = ("accounts", "brokers", "health", "market", "orders", "portfolio")


def support_group() -> Group:
    """May look at every row of ours in the admin, and change none."""
    group, _ = Group.objects.get_or_create(name=SUPPORT_GROUP)
    group.permissions.set(Permission.objects.filter(content_type__app_label__in=OUR_APPS, codename__startswith="view_"))
    return group


def ensure_user(username: str, role: Role, *, new_password: bool, is_staff: bool = False) -> tuple[User, str | None]:
    """The user, and the password if one was set by this call: it is stored nowhere in clear."""
    user, is_new = User.objects.get_or_create(username=username, defaults={"role": role, "is_staff": is_staff})
    if not (is_new or new_password):
        return user, None
    password = secrets.token_urlsafe(15)
    user.set_password(password)
    user.save(update_fields=["password"])
    return user, password


def ensure_factor(user: User, *, new: bool) -> str | None:
    """The secret behind the user's one-time codes, if it was set by this call: it is stored nowhere in clear."""
    known = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP)
    if new:
        known.delete()
    if known.exists():
        return None
    secret: str = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


class Command(BaseCommand):
    help = "Create the users trader and support and print, as JSON, the secrets that were set (null: unchanged)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="bring the tables up to date first (saves a start)")
        parser.add_argument("--new-passwords", action="store_true", help="set new passwords for existing users too")

    def handle(self, *args: object, migrate: bool, new_passwords: bool, **options: object) -> None:
        if not settings.SIMULATED_BROKERS:
            raise CommandError("Demo users exist only where brokers are simulated (SIMULATED_BROKERS=1).")
        if migrate:
            call_command("migrate", verbosity=0, interactive=False)
        with transaction.atomic():
            _, trader = ensure_user("trader", Role.TRADER, new_password=new_passwords)
            user, support = ensure_user("support", Role.SUPPORT, new_password=new_passwords, is_staff=True)
            user.groups.add(support_group())
            totp = ensure_factor(user, new=new_passwords)
        self.stdout.write(json.dumps({"trader": trader, "support": support, "support_totp": totp}))
