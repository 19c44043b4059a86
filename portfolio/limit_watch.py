"""Limits held against a book: figures are measured, states entered, and what a block level does is done.

A state is entered by one conditional UPDATE and the row of its breach, or neither; of two who look at once, one tells.
A block level pulls the kill switch before its row is written, and locks the day after it: whoever dies in between
leaves it to be found and done again. An older look never overrules a newer one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet
from django.utils.text import capfirst

from accounts.models import User
from brokers.domain import Exchange
from brokers.models import BrokerConnection
from brokers.shared import if_redis_is_there
from brokers.wire import IST
from market.hours import Hours
from portfolio import breaches, halting, limits, measuring, services, watching
from portfolio.domain import ConsolidatedPortfolio
from portfolio.limit_models import LimitWatch
from portfolio.risk.evaluating import (
    DAY_LOSS,
    NOTHING,
    Change,
    Evaluated,
    Measured,
    Standing,
    Step,
    Watched,
    evaluated,
)
from portfolio.risk.limits import Action, Metric, Scope, State
from portfolio.risk_models import HaltKind, HaltLevel, RiskLimit, TradingHalt
from portfolio.services import NoBrokerConnections

logger = logging.getLogger(__name__)

# Where nothing changes its state, figures are written down this often at most.
FIGURES_EVERY = timedelta(seconds=5)
MEASURING_FAILED = "measuring_failed"
LOOK_FAILED = "look_failed"
# A stored answer that is not older counts as fresh between two looks.
RECENT = timedelta(seconds=90)
EXCHANGES = (Exchange.NSE, Exchange.BSE, Exchange.MCX, Exchange.CDS)


# --- looking ----------------------------------------------------------------------------------------------------------
def watched_users() -> list[int]:
    """Everybody with an account connected, by id."""
    users = User.objects.filter(is_active=True, broker_connections__in=BrokerConnection.objects.active())
    return list(users.distinct().order_by("pk").values_list("pk", flat=True))


def look(user_id: int, *, now: datetime) -> None:
    """Hold a person's limits against their book, asking the brokers where a market is open.

    While all are closed, what was answered last stands, and so does every state: nobody looks twice.
    """
    is_open, user = _is_open(now), _user(user_id)
    if user is None or not (is_open or _is_new(user_id)):
        return
    if is_open:
        try:
            services.consolidated(user, now=now)
        except NoBrokerConnections:
            return
    look_at_known(user_id, now=now)


def look_at_known(user_id: int, *, now: datetime) -> None:
    """Hold them against the book as it is known, without asking anybody. Not where a live host does."""
    user = _user(user_id)
    if user is None or _is_hosted(user_id):
        return
    try:
        watch(user_id, services.latest_book(user, now=now, recent=RECENT), now=now)
    except NoBrokerConnections:
        logger.debug("User %s has no connection, and nothing to hold limits against", user_id)


def _is_open(now: datetime) -> bool:
    hours = Hours()
    hours.read(now)
    return any(hours.is_open(exchange, now) for exchange in EXCHANGES)


def _is_new(user_id: int) -> bool:
    return not LimitWatch.objects.exclude(looked_at=None).filter(pk=user_id).exists()


def _is_time(user_id: int, now: datetime) -> bool:
    return _is_open(now) or _is_new(user_id)


def _is_hosted(user_id: int) -> bool:
    is_hosted = False
    with if_redis_is_there("whether a live host looks at limits"):
        is_hosted = not watching.unhosted([user_id])
    return is_hosted


def watch(user_id: int, book: ConsolidatedPortfolio | None, *, now: datetime) -> None:
    """Hold a person's limits against a book; None: there is none to be had, and nothing is known.

    Whatever fails in it is logged, and shows: it stops nobody who has a price to tell.
    """
    user = _user(user_id)
    if user is None:
        return
    try:
        if not _is_time(user_id, now):
            return
        limits.make_defaults(user, now=now)
        measured, is_whole = (NOTHING, False) if book is None else measuring.measure(user, book, now)
        evaluate(user, measured, now=now)
        _note_look(user, "" if is_whole else MEASURING_FAILED, now)
    except Exception:  # the outermost: prices go on, and the next look tries again
        logger.exception("The limits of user %s could not be looked at", user_id)
        _note_failure(user, now)


def _user(user_id: int) -> User | None:
    return User.objects.filter(pk=user_id, is_active=True).first()


def evaluate(user: User, measured: Measured, *, now: datetime) -> list[Change]:
    """Enter the states that these figures make of a person's limits. Returns what changed by this call."""
    rows = {row.pk: row for row in _rows(user, now)}
    changes: list[Change] = []
    for found in evaluated([_watched(row) for row in rows.values()], measured):
        row = rows[found.id]
        if found.changes or _is_other(row, found) or _is_due(row, now):
            changes += _entered(row, found, measured, now)
        elif _as_read(row).exists():
            _lock_the_day(row, found, measured, now)
    return changes


def _rows(user: User, now: datetime) -> QuerySet[RiskLimit]:
    not_newer = Q(evaluated_at=None) | Q(evaluated_at__lte=now)
    return RiskLimit.objects.filter(not_newer, user=user, is_enabled=True).select_related("user")


def _watched(row: RiskLimit) -> Watched:
    standing = {key: Standing(State(each["state"]), _number(each["value"])) for key, each in row.states.items()}
    return Watched(id=row.pk, limit=limits.limit_of(row), standing=standing)


def _is_other(row: RiskLimit, found: Evaluated) -> bool:
    return row.state != found.state or {key: each["state"] for key, each in row.states.items()} != {
        key: each.state for key, each in found.standing.items()
    }


def _is_due(row: RiskLimit, now: datetime) -> bool:
    return row.evaluated_at is None or now - row.evaluated_at >= FIGURES_EVERY


# --- entering states --------------------------------------------------------------------------------------------------
def _entered(row: RiskLimit, found: Evaluated, measured: Measured, now: datetime) -> Iterable[Change]:
    """One limit's new states and its breaches, or nothing where it was changed meanwhile."""
    if not _as_read(row).exists():
        return ()
    for change in found.changes:
        if change.after is State.BLOCK and change.step in (Step.OPENED, Step.RAISED):
            _kill(row, change, now)
    with transaction.atomic():
        if _as_read(row).filter(evaluated_at=row.evaluated_at).update(**_columns(row, found, now)) != 1:
            return ()
        row.refresh_from_db()
        for change in found.changes:
            breaches.note(row, change, now=now)
        told = {change.key for change in found.changes}
        breaches.refresh(row, {key: each.value for key, each in found.standing.items() if key not in told})
    _lock_the_day(row, found, measured, now)
    return found.changes


def _columns(row: RiskLimit, found: Evaluated, now: datetime) -> dict[str, Any]:
    states = {
        key: {"state": str(each.state), "value": _text(each.value), "since": _since(row, key, each.state, now)}
        for key, each in found.standing.items()
    }
    changed: dict[str, Any] = {"state": found.state, "states": states, "value": found.value, "evaluated_at": now}
    if row.state != found.state or row.state_since is None:
        changed["state_since"] = now
    return changed


def _since(row: RiskLimit, key: str, state: State, now: datetime) -> str:
    before: Mapping[str, str] = row.states.get(key, {})
    return before["since"] if before.get("state") == state else now.isoformat()


def _as_read(row: RiskLimit) -> QuerySet[RiskLimit]:
    return RiskLimit.objects.filter(pk=row.pk, is_enabled=True, changed_at=row.changed_at)


def _kill(row: RiskLimit, change: Change, now: datetime) -> None:
    """What a block level does at once. What it does to an order is asked for when there is one."""
    if Action(row.action) is Action.KILL and row.metric not in DAY_LOSS:
        _halt(row, change.value, change.threshold, HaltKind.KILL, HaltLevel.STOP, now)


def _lock_the_day(row: RiskLimit, found: Evaluated, measured: Measured, now: datetime) -> None:
    """Nobody lifts it before the close, so it is set by what is proved alone, by a limit that stands; and once a day.

    A day that begins beyond the limit that the last one ended beyond is locked too, although no state changes, and so
    is one whose loss is proved later than it is known of.
    """
    if row.metric not in DAY_LOSS or row.block is None:
        return
    for key, standing in found.standing.items():
        least = measured.of(Metric(row.metric), Scope(row.scope), key).proved
        if standing.state is not State.BLOCK or least is None or least < row.block or _was_locked_today(row, now):
            continue
        if Action(row.action) is Action.KILL:
            _halt(row, least, row.block, HaltKind.KILL, HaltLevel.STOP, now)
        _halt(row, least, row.block, HaltKind.DAY_LOSS, HaltLevel.REDUCE_ONLY, now)


def _halt(row: RiskLimit, value: Decimal, level: Decimal, kind: HaltKind, how: HaltLevel, now: datetime) -> None:
    reason = f"{capfirst(breaches.words(row.metric))} is {_text(value)}, its block level {_text(level)}."
    halting.halt(row.user, kind=kind, level=how, cause=f"limit:{row.metric}", reason=reason, by=None, now=now)


def _was_locked_today(row: RiskLimit, now: datetime) -> bool:
    midnight = now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    locks = TradingHalt.objects.filter(user=row.user_id, kind=HaltKind.DAY_LOSS)
    return locks.filter(Q(ended_at=None) | Q(set_at__gte=midnight)).exists()


# --- how the looking went ---------------------------------------------------------------------------------------------
def _note_look(user: User, problem: str, now: datetime) -> None:
    """Where nothing is new, as rarely as figures are written."""
    row = LimitWatch.objects.get(pk=user.pk)
    if row.problem != problem or row.looked_at is None or now - row.looked_at >= FIGURES_EVERY:
        LimitWatch.objects.filter(pk=user.pk).update(looked_at=now, problem=problem)


def _note_failure(user: User, now: datetime) -> None:
    """What was well is not known now; what was reached stands. With the database away only the log tells."""
    try:
        with transaction.atomic():
            RiskLimit.objects.filter(user=user, is_enabled=True, state=State.OK).update(
                state=State.UNKNOWN, state_since=now
            )
            LimitWatch.objects.filter(pk=user.pk).update(problem=LOOK_FAILED)
    except DatabaseError as error:
        logger.warning("That limits of user %s are not known is not written: %s", user.pk, type(error).__name__)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"
