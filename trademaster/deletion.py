"""The end of an account: brokers disconnected, personal data wiped, what must be kept kept under a number alone.

Begun in one transaction, after which nobody can sign in with the account; then each broker; then the rest in one
transaction. Broken off anywhere it is taken up again, and done twice it changes nothing.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import transaction

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from accounts.models import AccountDeletion, User
from brokers import grants, services
from brokers.agreements import ConnectionGrant
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, OAuthState
from brokers.reach import ConnectRefused
from brokers.shared import if_redis_is_there, redis
from brokers.transport import Deadline
from trademaster.privacy import HOLDINGS, Fate

logger = logging.getLogger(__name__)

# How long one broker may take to end a session; ours are wiped whether or not it does.
BROKER_SECONDS = 5.0
# What was under way when the account ended may still have written something: it is wiped once more.
SWEPT_AGAIN_FOR = timedelta(hours=1)
UNDER_WAY_FOR = timedelta(minutes=5)  # whoever asked is still being answered


class DeletionRefused(ConnectRefused):
    """An account that cannot be deleted as things stand."""


def delete_account(user: User, *, actor: User | None = None, now: datetime) -> AccountDeletion:
    """Delete an account for good. Raises DeletionRefused (`last_administrator`); then nothing was done."""
    _begin(user, actor, now)
    return _finished(user, now)


def finish_deletions(now: datetime) -> int:
    """Take up what broke off, and look once more at what was done lately. Returns how many were finished."""
    finished = 0
    broken_off = AccountDeletion.objects.filter(finished_at__isnull=True, asked_at__lt=now - UNDER_WAY_FOR)
    for user in User.objects.filter(pk__in=broken_off.values("user_id")):
        try:
            _finished(user, now)
            finished += 1
        except Exception:  # the outermost loop: one account that cannot be finished holds up no other
            logger.exception("The deletion of account %s was not finished", user.pk)
    for row in AccountDeletion.objects.filter(finished_at__gte=now - SWEPT_AGAIN_FOR):
        _wipe(row.user_id)
    return finished


def _begin(user: User, actor: User | None, now: datetime) -> None:
    with transaction.atomic():
        # Locked, so that of the last two who go at once the second finds itself the last.
        administrators = User.objects.select_for_update().filter(is_superuser=True, is_active=True).order_by("pk")
        if user.is_superuser and not [one for one in administrators if one.pk != user.pk]:
            raise DeletionRefused(
                "last_administrator",
                "This is the only administrator of this installation.",
                "Make another user an administrator first.",
            )
        _, is_new = AccountDeletion.objects.get_or_create(user_id=user.pk, defaults={"asked_at": now})
        if not is_new:
            return
        _sign_out_everywhere(user.pk)
        OAuthState.objects.filter(user=user).delete()
        user.set_unusable_password()
        user.is_active = False
        user.save(update_fields=["password", "is_active"])
        audit.record(Event.DELETION_ASKED, subject=user, actor=actor, now=now)


def _finished(user: User, now: datetime) -> AccountDeletion:
    row = AccountDeletion.objects.get(pk=user.pk)
    if row.finished_at is not None:
        return row
    _disconnect_all(user, row, now)
    for grant in (*grants.standing_of(user, now), *ConnectionGrant.objects.standing(now).filter(viewer=user)):
        grants.revoke(grant, now=now)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # a login under way waits, and finds the account closed
        if AccountDeletion.objects.filter(pk=user.pk, finished_at__isnull=False).exists():
            return AccountDeletion.objects.get(pk=user.pk)  # somebody else was faster
        _wipe(user.pk)
        row.finished_at = now
        row.save(update_fields=["finished_at"])
        audit.record_all([Happened(event=Event.ACCOUNT_DELETED, subject=user.pk)], now=now)
    logger.info("Account %s was deleted", user.pk)
    return row


def _disconnect_all(user: User, row: AccountDeletion, now: datetime) -> None:
    connections = BrokerConnection.objects.without_secrets().filter(user=user)
    for connection in connections.exclude(status=ConnectionStatus.DISCONNECTED):
        ended = services.disconnect(connection, now=now, deadline=Deadline(BROKER_SECONDS))
        row.brokers = [*row.brokers, {"broker_type": connection.broker_type, "ended_at_broker": ended}]
        row.save(update_fields=["brokers"])


def _wipe(user_id: int) -> None:
    """Everything the table says; may be done again at any time."""
    with transaction.atomic():
        for holding in HOLDINGS:
            if holding.fate is Fate.WIPED:
                holding.rows(user_id).delete()
        about = ContentType.objects.get_for_model(User)
        LogEntry.objects.filter(content_type=about, object_id=str(user_id)).delete()
        _sign_out_everywhere(user_id)
        _empty(user_id)
    with if_redis_is_there("wiping what is kept of an account"):
        keys = [*redis().scan_iter(f"live:series:{user_id}:*"), *redis().scan_iter(f"portfolio:{user_id}:*")]
        if keys:
            redis().delete(*keys)


def _empty(user_id: int) -> None:
    """The row stays as a number that leads to nobody."""
    user = User.objects.get(pk=user_id)
    blank: dict[str, Any] = {
        "username": f"deleted-{user_id}",
        "email": "",
        "first_name": "",
        "last_name": "",
        "last_login": None,
        "is_active": False,
        "is_staff": False,
        "is_superuser": False,
    }
    for name, value in blank.items():
        setattr(user, name, value)
    user.set_unusable_password()
    user.groups.clear()
    user.user_permissions.clear()
    user.save()


def _sign_out_everywhere(user_id: int) -> None:
    """A session does not say in a column whose it is: all are looked at, one at a time."""
    for session in Session.objects.iterator(chunk_size=500):
        if session.get_decoded().get("_auth_user_id") == str(user_id):
            session.delete()
