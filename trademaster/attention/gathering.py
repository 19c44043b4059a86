"""The whole list, one query per kind, the same for everybody who asks within two seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from accounts.models import User
from brokers.shared import if_redis_is_there, redis
from portfolio.presentation import paise
from trademaster.attention import accounts, books, limits, orders
from trademaster.attention.words import Item, Tone, sorted_items

# Nothing else is kept: a list that is older than what was just done about it would cry wolf.
KEPT_MS = 2000
KINDS = (
    accounts.connections,
    accounts.alert_routes,
    orders.in_doubt,
    orders.waiting,
    orders.late_news,
    orders.cut_short,
    limits.breaches,
    limits.halts,
    books.answers,
    books.unmatched,
)


def items(user: User, now: datetime) -> list[Item]:
    """All that needs this person now, the gravest first."""
    return sorted_items(item for kind in KINDS for item in kind(user, now))


def told(user: User, now: datetime) -> bytes:
    """The same as JSON, two seconds old at most."""
    key = f"attention:{user.pk}"
    kept = None
    with if_redis_is_there("what needs attention"):
        kept = redis().get(key)
    if isinstance(kept, bytes):
        return kept
    found = items(user, now)
    answer = {
        "items": [plain(item) for item in found],
        "counted": sum(item.tone is not Tone.INFO for item in found),
        "as_of": now.astimezone(UTC),
    }
    written = msgspec.json.encode(answer)
    with if_redis_is_there("what needs attention"):
        redis().set(key, written, px=KEPT_MS)
    return written


def plain(item: Item) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.to_builtins(item)
    written["amount"] = None if item.amount is None else paise(item.amount)
    written["since"] = None if item.since is None else item.since.astimezone(UTC)
    return written
