"""A key makes an order once: whoever sends it again, from wherever and as often as they like, gets the same order.

Orders of one person are taken in one after another, by a lock that is held until the commit and for no call to a
broker; the unique key of the table stands behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection as database
from django.db import transaction

from accounts.models import User
from orders.facts import Wanted, plain
from orders.models import IdempotencyKey, IntentStatus, OrderGroup, OrderIntent
from orders.refusals import ConfirmDuplicate, KeyMissing, KeyReused

KEY = re.compile(r"[A-Za-z0-9_-]{8,100}")
# The advisory lock of whoever takes an order in, beside the user's own number; it means nothing.
TURN = 73_110
# What never reached a broker is no first order of which a second would be a duplicate.
NEVER_SENT = (IntentStatus.REFUSED, IntentStatus.DECLINED, IntentStatus.NOT_PLACED, IntentStatus.REJECTED)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The rows that a key stands for; `is_new`: they were made just now, by this very call."""

    intents: tuple[OrderIntent, ...]
    group: OrderGroup | None
    is_new: bool


def hash_of(kind: str, wanted: Sequence[Any]) -> str:
    """What is compared of two requests with one key: what is wanted, not how it was spelled."""
    return sha256(msgspec.json.encode([kind, plain(list(wanted))], order="sorted")).hexdigest()


def known(user: User, key: str, request_hash: str) -> Claimed | None:
    """The rows that a key stands for already; None: it is new. Raises KeyReused."""
    row = IdempotencyKey.objects.filter(user=user, key=key).select_related("intent", "group").first()
    if row is None:
        return None
    if row.request_hash != request_hash or row.gtt_id is not None:
        raise KeyReused
    of_group = tuple(row.group.intents.order_by("created_at", "id")) if row.group else ()
    return Claimed(of_group or ((row.intent,) if row.intent else ()), row.group, is_new=False)


def checked_key(key: str | None) -> str:
    """Raises KeyMissing."""
    if key is None or not KEY.fullmatch(key):
        raise KeyMissing
    return key


@transaction.atomic
def claim(
    *,
    user: User,
    key: str,
    request_hash: str,
    make: Callable[[], tuple[Sequence[OrderIntent], OrderGroup | None]],
    guard: Callable[[], None],
    now: datetime,
) -> Claimed:
    """The rows of this key; `make` makes them where it is new, after `guard` has let it.

    Raises KeyReused, and whatever `guard` raises: the key is not used up then.
    """
    take_turn(user)
    if (before := known(user, key, request_hash)) is not None:
        return before
    guard()
    intents, group = make()
    IdempotencyKey.objects.create(
        user=user,
        key=key,
        request_hash=request_hash,
        intent=None if group else intents[0],
        group=group,
        created_at=now,
    )
    return Claimed(tuple(intents), group, is_new=True)


def take_turn(user: User) -> None:
    """Wait until nobody else takes in an order of this person; held until the end of the transaction."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [TURN, user.pk % 2**31])


def refuse_duplicate(user: User, wanted: Sequence[Wanted], now: datetime) -> None:
    """A double click, or a program without a key of its own: the same order again at once. Raises ConfirmDuplicate."""
    for each in wanted:
        if same := same_as(user, each, now):
            raise ConfirmDuplicate(where=_of(same[0]))


def same_as(user: User, wanted: Wanted, now: datetime) -> list[OrderIntent]:
    """The very same orders of a moment ago."""
    rows = OrderIntent.objects.filter(
        user=user,
        created_at__gte=now - timedelta(seconds=settings.ORDER_DUPLICATE_SECONDS),
        instrument_id=wanted.instrument_id,
        side=wanted.side,
        order_type=wanted.order_type,
        product=wanted.product,
        quantity=wanted.quantity,
        price=wanted.price,
        trigger_price=wanted.trigger_price,
    ).exclude(status__in=NEVER_SENT)
    return [row for row in rows if sorted(row.connection_ids) == sorted(wanted.connection_ids)]


def _of(intent: OrderIntent) -> dict[str, Any]:
    return {"order": str(intent.pk), "placed_at": intent.created_at.isoformat()}
