"""What is done about halts by itself: going on with what stands, closing what is to be closed, and pulling the switch.

Beat asks every second or two; each round of a connection is claimed by one UPDATE, so that of two workers one goes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Exists, Max, OuterRef, Q
from django.db.models.functions import Coalesce

from accounts.models import User
from brokers.models import BrokerConnection
from orders import alerts, calling, flattening, halting
from orders.calling import Clients
from orders.halt_models import HaltProgress, Reach
from orders.lifecycle import State
from orders.models import ChildOrder, OrderEvent
from portfolio import halting as switch
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt

logger = logging.getLogger(__name__)

# A round that takes longer has died: another one is made.
LEASE = timedelta(seconds=60)
# What a broker's book says against what we held, and what no reading that merely came late explains: somebody looks
# before more is dealt.
BREAKS = ("filled_beyond_quantity", "filled_after_end", "another_end")
LOOKS_BACK = timedelta(minutes=1)
BEGUN_WITHIN = timedelta(hours=1)
# A halt's level is of then.
SINCE = Coalesce("raised_at", "set_at")


def look_after(now: datetime) -> list[int]:
    """Rows for latches, locks whose day is over, triggers; and the halts that are to be gone on with."""
    switch.record_all(now)
    switch.lift_day_locks(now)
    for user_id, cause, reason in triggered(now):
        user = User.objects.get(pk=user_id)
        halting.pull(user, level=HaltLevel.STOP, cause=cause, reason=reason, by=None, now=now)
    due = HaltProgress.objects.filter(next_at__lte=now, halt__ended_at=None)
    return sorted({*due.order_by().values_list("halt", flat=True), *_not_begun(now)})


def _not_begun(now: datetime) -> list[int]:
    """Halts that shall cancel and that nobody has begun to: a limit set them, or whoever pulled died over it.

    One that was raised is begun anew: what went before was of a lower level.
    """
    rows = TradingHalt.objects.filter(ended_at=None, level__in=halting.CANCELLING).alias(since=SINCE)
    connected = rows.filter(user__in=BrokerConnection.objects.active().values("user"), since__gt=now - BEGUN_WITHIN)
    begun = HaltProgress.objects.filter(halt=OuterRef("pk"), updated_at__gte=OuterRef("since"))
    return list(connected.exclude(Exists(begun)).values_list("pk", flat=True))


def go_on(halt_id: int, *, now: datetime, clients: Clients = calling.clients_to_end) -> list[HaltProgress]:
    """One more round at the connections of a halt where something stands still. Not within a transaction."""
    halt = TradingHalt.objects.select_related("user").filter(pk=halt_id, ended_at=None).first()
    if halt is None:
        return []
    if not halt.progress.filter(updated_at__gte=halt.raised_at or halt.set_at).exists():
        return halting.cancel_everything(halt, now=now, clients=clients)
    claimed = {
        key
        for key in HaltProgress.objects.filter(halt=halt, next_at__lte=now).values_list("pk", flat=True)
        if HaltProgress.objects.filter(pk=key, next_at__lte=now).update(next_at=now + LEASE)
    }
    rows = HaltProgress.objects.filter(pk__in=claimed).exclude(broker_connection=None)
    standing = rows.exclude(state__in=(Reach.CLOSING, Reach.SETTLED))
    only: set[UUID] = {row.broker_connection_id for row in standing if row.broker_connection_id is not None}
    done = halting.cancel_everything(halt, now=now, clients=clients, only=only, spares_closing=True) if only else []
    if halt.level == HaltLevel.FLATTEN:
        flattening.go_on(halt, rows.filter(state=Reach.CLOSING), now=now)
    return done


# --- pulling it by itself ---------------------------------------------------------------------------------------------
def triggered(now: datetime) -> list[tuple[int, str, str]]:
    """Whose trading stops by itself, with cause and reason. What came before a person re-armed it counts no more."""
    standing = set(TradingHalt.objects.filter(kind=HaltKind.KILL, ended_at=None).values_list("user", flat=True))
    found = {**_rejected(now), **_broken(now)}
    return [(user_id, *why) for user_id, why in found.items() if user_id not in standing]


def _rejected(now: datetime) -> Mapping[int, tuple[str, str]]:
    """More than so many rejections by brokers within a minute: a program that runs wild, or an account that is shut."""
    most = settings.HALT_REJECTS_PER_MINUTE
    rows = ChildOrder.objects.filter(state=State.REJECTED, state_since__gt=now - LOOKS_BACK)
    whose = rows.values("intent__user").annotate(count=Count("pk"), last=Max("state_since")).order_by()
    words = f"Brokers rejected more than {most} orders within a minute."
    return {
        row["intent__user"]: ("rejects", words)
        for row in whose.filter(count__gt=most)
        if _since_rearmed(rows.filter(intent__user=row["intent__user"]), "state_since", row["intent__user"]) > most
    }


def _broken(now: datetime) -> Mapping[int, tuple[str, str]]:
    if not settings.HALT_ON_BREAK:
        return {}
    is_break = Q(code=alerts.FOUND_AFTER_ALL) | Q(code=alerts.CONTRADICTED, details__why__in=BREAKS)
    rows = OrderEvent.objects.filter(is_break, at__gt=now - LOOKS_BACK)
    whose = set(rows.order_by().values_list("intent__user", flat=True).distinct())
    words = "A broker's order book contradicts what was held of an order."
    return {
        user_id: ("reconciliation_break", words)
        for user_id in whose
        if _since_rearmed(rows.filter(intent__user=user_id), "at", user_id)
    }


def _since_rearmed(rows: Any, moment: str, user_id: int) -> int:
    last = TradingHalt.objects.filter(user=user_id, kind=HaltKind.KILL).aggregate(last=Max("ended_at"))["last"]
    counted: int = (rows if last is None else rows.filter(**{f"{moment}__gt": last})).count()
    return counted
