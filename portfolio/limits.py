"""A person's limits: those that everybody begins with, and what their owner makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.events import Event
from accounts.models import User
from brokers import registry
from portfolio.limit_models import LimitWatch
from portfolio.limit_refusals import (
    ActionWithoutBlock,
    DayLossMustStop,
    KillNeedsTheBook,
    LimitExists,
    NoLevel,
    TooManyLimits,
    WarnAboveBlock,
    WrongKey,
    WrongScope,
)
from portfolio.risk.evaluating import DAY_LOSS, PER_ORDER, loosens
from portfolio.risk.limits import DEFAULTS, Action, Limit, Metric, Scope, State
from portfolio.risk_models import RiskBreach, RiskLimit

MOST_LIMITS = 100
OF_AN_ORDER = frozenset(Scope)
# By what each can be measured. What is not named is measured of the whole alone.
SCOPES: Mapping[Metric, frozenset[Scope]] = {
    Metric.ISSUER_PCT: frozenset({Scope.ISSUER}),
    Metric.BROKER_PCT: frozenset({Scope.BROKER}),
    Metric.MARGIN_PCT: frozenset({Scope.GLOBAL, Scope.ACCOUNT}),
    Metric.DAY_LOSS: frozenset({Scope.GLOBAL, Scope.ACCOUNT}),
    Metric.GROSS_EXPOSURE: frozenset({Scope.GLOBAL, Scope.BROKER, Scope.ACCOUNT, Scope.SEGMENT, Scope.ISSUER}),
    **dict.fromkeys(PER_ORDER, OF_AN_ORDER),
}
LOCKING = frozenset({Action.BLOCK_INCREASING, Action.REDUCE_ONLY, Action.KILL})


def limit_of(row: RiskLimit) -> Limit:
    """The row as the pure words have it."""
    return Limit(
        metric=Metric(row.metric),
        scope=Scope(row.scope),
        scope_key=row.scope_key,
        warn=row.warn,
        block=row.block,
        action=Action(row.action),
    )


def limits_of(user: User, *, now: datetime) -> QuerySet[RiskLimit]:
    """All of them; whoever asks for the first time is given those that everybody begins with."""
    make_defaults(user, now=now)
    return RiskLimit.objects.filter(user=user)


@transaction.atomic
def make_defaults(user: User, *, now: datetime) -> bool:
    """Once in a person's life: what they remove stays removed. Returns whether it was now."""
    if LimitWatch.objects.filter(pk=user.pk).exists():
        return False
    _, is_new = LimitWatch.objects.get_or_create(user=user, defaults={"defaults_made_at": now})
    if is_new:
        RiskLimit.objects.bulk_create(
            (RiskLimit(user=user, changed_at=now, **_columns(limit)) for limit in DEFAULTS), ignore_conflicts=True
        )
    return is_new


@transaction.atomic
def create(user: User, limit: Limit, *, note: str = "", by: User, now: datetime) -> RiskLimit:
    """Raises LimitRefused."""
    checked(user, limit)
    User.objects.select_for_update().get(pk=user.pk)  # two at once would both be the last one
    if limits_of(user, now=now).count() >= MOST_LIMITS:
        raise TooManyLimits
    try:
        with transaction.atomic():
            row = RiskLimit.objects.create(user=user, note=note, changed_by=by, changed_at=now, **_columns(limit))
    except IntegrityError:
        raise LimitExists from None
    _note(row, "created", None, _told(row), by, now)
    return row


@transaction.atomic
def change(row: RiskLimit, *, by: User, now: datetime, **chosen: Any) -> RiskLimit:
    """Change levels, action, note, or whether it counts at all. Raises LimitRefused.

    Whoever calls has asked for a fresh proof where `lets_more_through`.
    """
    row = RiskLimit.objects.select_for_update().get(pk=row.pk)
    before = _told(row)
    for name, value in chosen.items():
        setattr(row, name, value)
    checked(row.user, limit_of(row))
    row.changed_by, row.changed_at = by, now
    if not row.is_enabled:
        row.state, row.states, row.value, row.state_since = State.OK, {}, None, now
        close(RiskBreach.objects.filter(limit=row), now=now)
    row.save()
    _note(row, "changed", before, _told(row), by, now)
    return row


@transaction.atomic
def remove(row: RiskLimit, *, by: User, now: datetime) -> None:
    """Its breaches stay, and are over. Whoever calls has asked for a fresh proof where it blocks."""
    close(RiskBreach.objects.filter(limit=row), now=now)
    told, key = _told(row), row.pk
    user_id = row.user_id
    row.delete()
    audit.record(
        Event.LIMIT_CHANGED, subject=user_id, actor=by, thing=("limit", key), now=now, what="removed", old=told
    )


def close(breaches: QuerySet[RiskBreach], *, now: datetime) -> None:
    """End what nobody watches any more."""
    breaches.filter(cleared_at=None).update(cleared_at=now)


def lets_more_through(row: RiskLimit, chosen: Mapping[str, Any]) -> bool:
    """Whether a change lets anything happen that the limit does not: then its owner is asked for a fresh proof."""
    if not row.is_enabled:
        return False
    if chosen.get("is_enabled") is False:
        return row.block is not None
    old = limit_of(row)
    levels = {name: chosen[name] for name in ("warn", "block") if name in chosen}
    return loosens(old, replace(old, **levels, action=Action(chosen.get("action", old.action))))


def checked(user: User, limit: Limit) -> None:
    """Raises LimitRefused."""
    if limit.warn is None and limit.block is None:
        raise NoLevel
    if limit.warn is not None and limit.block is not None and limit.warn > limit.block:
        raise WarnAboveBlock
    if limit.scope not in SCOPES.get(limit.metric, frozenset({Scope.GLOBAL})):
        raise WrongScope
    if not _is_known(user, limit):
        raise WrongKey
    if limit.block is None and limit.action is not Action.NOTIFY:
        raise ActionWithoutBlock
    if limit.metric in DAY_LOSS and limit.block is not None and limit.action not in LOCKING:
        raise DayLossMustStop
    if limit.metric in PER_ORDER and limit.action is Action.KILL:
        raise KillNeedsTheBook


def _is_known(user: User, limit: Limit) -> bool:
    if limit.scope is Scope.GLOBAL:
        return not limit.scope_key
    if not limit.scope_key:
        return True
    if limit.scope is Scope.BROKER:
        return limit.scope_key in registry.slugs()
    if limit.scope is Scope.ACCOUNT:
        return limit.scope_key in map(str, user.broker_connections.values_list("pk", flat=True))
    return True


def _columns(limit: Limit) -> dict[str, Any]:
    return {
        "metric": limit.metric,
        "scope": limit.scope,
        "scope_key": limit.scope_key,
        "warn": limit.warn,
        "block": limit.block,
        "action": limit.action,
    }


def _told(row: RiskLimit) -> dict[str, audit.Plain]:
    """As the audit log has it. A key may name an account: the log holds its id, and no more."""
    return {
        "metric": str(row.metric),
        "scope": str(row.scope),
        "scope_key": row.scope_key,
        "warn": _text(row.warn),
        "block": _text(row.block),
        "action": str(row.action),
        "is_enabled": row.is_enabled,
    }


def _text(level: Decimal | None) -> str | None:
    return None if level is None else f"{level.normalize():f}"


def _note(row: RiskLimit, what: str, old: Any, new: Any, by: User, now: datetime) -> None:
    audit.record(
        Event.LIMIT_CHANGED,
        subject=row.user_id,
        actor=by,
        thing=("limit", row.pk),
        now=now,
        what=what,
        old=old,
        new=new,
    )
