"""The kill switch and the daily-loss lock: set at once, latched, and ended by a person, with a reason, and no sooner.

A halt is latched in Redis first (`latch`), where every process that is about to bring an order to a broker sees it, and
then written down; the row is the truth, and what Redis has lost is latched again from it. Of the two the stricter
counts. Where either cannot be read no new order goes out (`halt_unreadable`); cancellations ask nobody here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.db import InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.db.models import Q
from django.db.models.functions import Now

from accounts import audit
from accounts.events import Event
from accounts.models import User
from brokers import push
from brokers.errors import HeldBack
from brokers.shared import RedisAway
from portfolio import halt_alerts, latch
from portfolio.halt_hours import day_close
from portfolio.halt_refusals import HaltLocked, NotHalted, ReasonNeeded, TradingHalted, TradingUnreadable
from portfolio.latch import May
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt

logger = logging.getLogger(__name__)

KIND = "TRADING_HALT"
# The advisory lock between whoever writes an order down and whoever halts, beside the user's number.
GATE = 73_111
DAY_OVER = "The trading day is over."
# By the database's clock, which its trigger goes by: ours may be ahead of it.
OVER = Q(locked_until=None) | Q(locked_until__lte=Now())
# So long it is waited for calls that were on their way when the latch fell.
LANDING_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """One halt that stands. `id` None: it is latched, and its row could not be written yet."""

    id: int | None
    kind: HaltKind
    level: HaltLevel
    cause: str
    reason: str
    set_at: str | None
    set_by: int | None
    locked_until: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is stopped. Not `readable`: rows or latch cannot be read, and so no new order goes."""

    halts: tuple[Halt, ...]
    readable: bool = True

    @property
    def level(self) -> HaltLevel | None:
        """The strictest; None: nothing is stopped."""
        return max((each.level for each in self.halts), key=lambda level: latch.RANKS[level], default=None)

    def passes(self, may: May) -> bool:
        return self.readable and all(_passes(each.level, may) for each in self.halts)

    def refusal(self, may: May = May.OPEN) -> HeldBack | None:
        """Why such an order does not go; None: it does."""
        if not self.readable:
            return HeldBack(
                TradingUnreadable.default_detail, code=TradingUnreadable.default_code,
                user_action=TradingUnreadable.remedy,
            )  # fmt: skip
        stopping = [each for each in self.halts if not _passes(each.level, may)]
        return HeldBack(words_of(stopping[0]), user_action=TradingHalted.remedy) if stopping else None


def _passes(level: HaltLevel, may: May) -> bool:
    """As the scripts of `latch` say it."""
    if level == HaltLevel.REDUCE_ONLY:
        return may is not May.OPEN
    return level == HaltLevel.FLATTEN and may is May.CLOSE


def words_of(halt: Halt | TradingHalt) -> str:
    name = "The daily-loss lock" if halt.kind == HaltKind.DAY_LOSS else "The kill switch"
    lets = "only what reduces a position goes out" if halt.level == HaltLevel.REDUCE_ONLY else "no new order goes out"
    until = " It cannot be lifted before the day’s close." if halt.locked_until is not None else ""
    return f"{name} is on: {lets}.{until}"


# --- asking -----------------------------------------------------------------------------------------------------------
def standing(user_id: int) -> Standing:
    """What stops this person's orders now, by rows and latch."""
    try:
        rows = list(TradingHalt.objects.filter(user=user_id, ended_at=None))
        latched = _latched(user_id)
    except (OperationalError, InterfaceError, RedisAway) as error:
        logger.warning("Whether trading of user %s is stopped cannot be read: %s", user_id, type(error).__name__)
        return Standing((), readable=False)
    found = {HaltKind(row.kind): _of(row) for row in rows}
    for kind, each in latched.items():
        known = found.get(HaltKind(kind))
        if known is None and _has_ended(user_id, kind, each):
            continue
        if known is None or latch.RANKS[known.level] < latch.RANKS[each.level]:
            found[HaltKind(kind)] = _from_latch(kind, each, None if known is None else known.id)
    _latch_again(user_id, rows, latched)
    return Standing(tuple(found[kind] for kind in HaltKind if kind in found))


def _latch_again(user_id: int, rows: Iterable[TradingHalt], latched: Mapping[str, latch.Latched]) -> None:
    """Latch what was written down while Redis was away from whoever did so, and from nobody else."""
    for row in rows:
        each = latched.get(row.kind)
        if each is None or latch.RANKS[each.level] < latch.RANKS[row.level]:
            _latch(user_id, row.kind, HaltLevel(row.level), facts_of(row), row=row.pk)
            if now := _latched_of(user_id, row.kind):
                _has_ended(user_id, row.kind, now)  # while this was latching


def _latched_of(user_id: int, kind: str) -> latch.Latched | None:
    try:
        return (latch.read(user_id) or {}).get(kind)
    except RedisAway:
        return None


def _has_ended(user_id: int, kind: str, latched: latch.Latched) -> bool:
    """Whether it is the latch of a row that has ended, which Redis was not there to let go of: it is let go now."""
    row = latched.token.removeprefix("row:")
    if not row.isdigit() or not TradingHalt.objects.filter(pk=int(row)).exclude(ended_at=None).exists():
        return False
    try:
        latch.unlatch(user_id, kind, int(row))
    except RedisAway:
        return False
    return True


def check(user_id: int, may: May = May.OPEN) -> None:
    """Let an order on, before anything is done for it. Raises TradingHalted, TradingUnreadable."""
    now = standing(user_id)
    if not now.readable:
        raise TradingUnreadable
    if (refusal := now.refusal(may)) is not None:
        raise TradingHalted(refusal.message)


def held_by_latch(user_id: int) -> HeldBack | None:
    """The same, asked of the latch alone, where that stops everything. None says nothing."""
    try:
        latch.look(user_id, May.CLOSE)
    except HeldBack as held:
        return held if held.code == HeldBack.default_code else None
    return None


def share_gate(user_id: int) -> None:
    """Within the transaction that writes an order down: a halt waits for its commit, or is seen from here on."""
    _gate("pg_advisory_xact_lock_shared", user_id)


def _gate(lock: str, user_id: int) -> None:
    with database.cursor() as cursor:
        cursor.execute(f"SELECT {lock}(%s, %s)", [GATE, user_id % 2**31])


def _latched(user_id: int) -> Mapping[str, latch.Latched]:
    """Raises RedisAway."""
    for _ in range(3):
        known = latch.read(user_id)
        if known is not None and latch.make_ready(user_id, lambda: _rows_of(user_id)):
            return known
        latch.make_ready(user_id, lambda: _rows_of(user_id))
    raise RedisAway  # it is lost, or read by others, again and again


def _rows_of(user_id: int) -> Iterable[tuple[str, str, int, Mapping[str, Any]]]:
    for row in TradingHalt.objects.filter(user=user_id, ended_at=None):
        yield row.kind, row.level, row.pk, facts_of(row)


# --- setting ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Pulled:
    """A halt that stands now. `in_flight`: tags of orders that were on their way and of which no answer came in time.

    None: it cannot be told, because Redis is away. Those that were written down then are SENDING.
    """

    row: TradingHalt
    in_flight: tuple[str, ...] | None


def halt(
    user: User,
    *,
    kind: HaltKind,
    level: HaltLevel,
    cause: str,
    reason: str,
    by: User | None,
    now: datetime,
    locked_until: datetime | None = None,
) -> Pulled:
    """Stop a person's orders. When this returns no new order leaves; one that stands is raised, and never lowered.

    Latched first, so that it holds while the database is slow; then written down, and latched as that row. Whoever was
    on the way to a broker by then is waited for. The daily-loss lock is of one level, and stands until the day's close.
    Not within a transaction. Where the row cannot be written the error is raised, and the latch stands all the same:
    `record_all` writes its row later.
    """
    if kind == HaltKind.DAY_LOSS:
        level = HaltLevel.REDUCE_ONLY
    facts = {
        "cause": cause,
        "reason": reason[:300],
        "set_at": now.isoformat(),
        "set_by": by.pk if by else None,
        "locked_until": locked_until.isoformat() if locked_until else None,
    }
    _latch(user.pk, kind, level, facts)
    if kind == HaltKind.DAY_LOSS:  # asks the database, and so comes after the latch
        locked_until = locked_until or day_close(user, now)
    row = _recorded(user, kind, level, cause, reason, by, now, locked_until)
    _latch(user.pk, kind, HaltLevel(row.level), facts_of(row), row=row.pk)
    try:
        latch.recorded(user.pk)
        flying = latch.landed(user.pk, LANDING_SECONDS)
    except RedisAway:
        return Pulled(row, None)
    return Pulled(row, tuple(flying))


def _latch(user_id: int, kind: str, level: HaltLevel, facts: Mapping[str, Any], *, row: int | None = None) -> None:
    """While Redis is away nothing passes by itself, and the row stands behind it."""
    try:
        latch.latch(user_id, kind, level, facts, row=row)
    except RedisAway:
        logger.error("Redis is away: a halt of user %s stands by its row alone", user_id)


@transaction.atomic
def _recorded(
    user: User,
    kind: HaltKind,
    level: HaltLevel,
    cause: str,
    reason: str,
    by: User | None,
    now: datetime,
    locked_until: datetime | None,
) -> TradingHalt:
    """The row of it, new or raised. Whoever writes an order down has committed, or sees this one."""
    _gate("pg_advisory_xact_lock", user.pk)
    row = TradingHalt.objects.select_for_update().filter(user=user, kind=kind, ended_at=None).first()
    if row is None:
        row = TradingHalt.objects.create(
            user=user, kind=kind, level=level, cause=cause, reason=reason[:300], set_at=now, set_by=by,
            locked_until=locked_until,
        )  # fmt: skip
        event = Event.TRADING_HALTED
    elif latch.RANKS[level] > latch.RANKS[row.level]:
        row.level, row.cause, row.reason, row.set_by = level, cause, reason[:300] or row.reason, by
        row.raised_at = now
        row.save(update_fields=["level", "cause", "reason", "set_by", "raised_at"])
        event = Event.HALT_RAISED
    else:
        return row
    announce(row)
    halt_alerts.tell(row, now=now)
    audit.record(event, subject=user, actor=by, thing=("halt", row.pk), now=now, kind=kind, level=level, cause=cause)
    return row


def record_all(now: datetime) -> int:
    """Write down what is latched and has no row, and latch what has a row and was lost. Returns how many were."""
    try:
        users = set(latch.unrecorded())
    except RedisAway:
        return 0
    count = 0
    for user in User.objects.filter(pk__in=users):
        count += _adopted(user, now)
    for user_id in TradingHalt.objects.filter(ended_at=None).values_list("user", flat=True).distinct():
        standing(user_id)
    return count


def _adopted(user: User, now: datetime) -> int:
    """Rows for the latches of a person that have none. What is left of a row that has ended makes no new one."""
    latched = latch.read(user.pk) or {}
    new = 0
    for kind, each in latched.items():
        if _has_ended(user.pk, kind, each):
            continue
        facts = each.facts
        set_at = datetime.fromisoformat(facts["set_at"]) if facts.get("set_at") else now
        until = datetime.fromisoformat(facts["locked_until"]) if facts.get("locked_until") else None
        if kind == HaltKind.DAY_LOSS and until is None:
            until = day_close(user, set_at)
        by = User.objects.filter(pk=int(facts["set_by"])).first() if facts.get("set_by") else None
        row = _recorded(
            user,
            HaltKind(kind),
            HaltLevel(each.level),
            str(facts.get("cause", "")),
            str(facts.get("reason", "")),
            by,
            set_at,
            until,
        )
        new += each.token != latch.token_of(row.pk)
        _latch(user.pk, kind, HaltLevel(row.level), facts_of(row), row=row.pk)
    latch.recorded(user.pk)
    return new


# --- ending -----------------------------------------------------------------------------------------------------------
def end(user: User, *, kind: HaltKind, reason: str, by: User, now: datetime) -> TradingHalt:
    """Let orders go again: by a person, with a reason. Whoever calls has seen a fresh second factor of theirs.

    Raises ReasonNeeded, NotHalted; HaltLocked before its time, for whomever.
    """
    if len(reason.strip()) < 3:
        raise ReasonNeeded
    try:
        _adopted(user, now)
    except RedisAway:
        raise TradingUnreadable from None
    row = TradingHalt.objects.filter(user=user, kind=kind, ended_at=None).first()
    if row is None:
        raise NotHalted
    if row.locked_until is not None and now < row.locked_until:
        raise _locked(row)
    return _ended(row, reason, by, now)


def _locked(row: TradingHalt) -> HaltLocked:
    return HaltLocked(where={"locked_until": row.locked_until.isoformat() if row.locked_until else None})


def lift_day_locks(now: datetime) -> int:
    """End the daily-loss locks whose day is over, by our clock and by the database's. Returns how many."""
    rows = TradingHalt.objects.filter(OVER, kind=HaltKind.DAY_LOSS, ended_at=None, locked_until__lte=now)
    return sum(_ended(row, DAY_OVER, None, now) is not None for row in rows.select_related("user"))


def _ended(row: TradingHalt, reason: str, by: User | None, now: datetime) -> TradingHalt:
    with transaction.atomic():
        rows = TradingHalt.objects.filter(pk=row.pk, ended_at=None)
        if not rows.filter(OVER).update(ended_at=now, ended_by=by, end_reason=reason.strip()[:300]):
            raise _locked(row) if rows.exists() else NotHalted
        row.refresh_from_db()
        announce(row)
        halt_alerts.tell(row, now=now)
        audit.record(
            Event.HALT_ENDED, subject=row.user_id, actor=by, thing=("halt", row.pk), now=now, kind=row.kind,
            level=row.level,
        )  # fmt: skip
    try:
        latch.unlatch(row.user_id, row.kind, row.pk)
    except RedisAway:
        logger.warning("Redis is away: the latch of halt %s is let go when it is back", row.pk)
    return row


# --- telling ----------------------------------------------------------------------------------------------------------
def announce(row: TradingHalt) -> None:
    """Tell open pages once it is committed."""
    data = msgspec.json.encode(plain(row)).decode()
    transaction.on_commit(lambda: push.publish_json(row.user_id, KIND, data, key=str(row.pk)))


def plain(row: TradingHalt) -> dict[str, Any]:
    """As the API and the socket tell of it. People are said by name to whom it concerns."""
    return {
        "halt_id": row.pk,
        "kind": row.kind,
        "level": row.level,
        "words": words_of(row),
        "cause": row.cause,
        "reason": row.reason or None,
        "set_at": row.set_at.isoformat(),
        "set_by": row.set_by.get_username() if row.set_by else None,
        "locked_until": row.locked_until.isoformat() if row.locked_until else None,
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "ended_by": row.ended_by.get_username() if row.ended_by else None,
        "end_reason": row.end_reason or None,
    }


def facts_of(row: TradingHalt) -> dict[str, Any]:
    return {
        "cause": row.cause,
        "reason": row.reason,
        "set_at": row.set_at.isoformat(),
        "set_by": row.set_by_id,
        "locked_until": row.locked_until.isoformat() if row.locked_until else None,
    }


def _of(row: TradingHalt) -> Halt:
    return Halt(id=row.pk, kind=HaltKind(row.kind), level=HaltLevel(row.level), **facts_of(row))


def _from_latch(kind: str, each: latch.Latched, row: int | None) -> Halt:
    named = ("cause", "reason", "set_at", "set_by", "locked_until")
    facts = {name: each.facts.get(name) for name in named}
    told: dict[str, Any] = facts | {"cause": facts["cause"] or "", "reason": facts["reason"] or ""}
    return Halt(id=row, kind=HaltKind(kind), level=HaltLevel(each.level), **told)
