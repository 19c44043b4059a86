"""What needs the owner of limits: those that were reached, and what stops trading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.urls import reverse

from accounts.models import User
from brokers.models import BrokerConnection
from portfolio import halting
from portfolio.breaches import words as called
from portfolio.halt_refusals import TradingUnreadable
from portfolio.models import ConsolidatedPosition
from portfolio.risk.limits import IN_RUPEES, Scope, State
from portfolio.risk_models import HaltKind, RiskBreach
from trademaster.attention.words import Item, Method, Remedy, Tone

HUNDREDTH = Decimal("0.01")


def breaches(user: User, now: datetime) -> Iterator[Item]:
    """Limits that are reached, and of which nobody has taken note."""
    rows = list(RiskBreach.objects.filter(user=user, cleared_at=None, acknowledged_at=None, limit__is_enabled=True))
    names = _names(user, rows)
    for row in rows:
        yield _breach(row, names.get(row.scope_key, row.scope_key))


def _names(user: User, rows: list[RiskBreach]) -> dict[str, str]:
    """What people call what a limit watches: an account by its owner's name for it, a share by its symbol."""
    keys: Mapping[Scope, list[str]] = {
        scope: [row.scope_key for row in rows if row.scope == scope and row.scope_key]
        for scope in (Scope.ACCOUNT, Scope.ISSUER)
    }
    names: dict[str, str] = {}
    if keys[Scope.ISSUER]:
        held = ConsolidatedPosition.objects.filter(user=user, instrument_key__in=keys[Scope.ISSUER])
        names |= dict(held.values_list("instrument_key", "symbol"))
    if keys[Scope.ACCOUNT]:
        own = BrokerConnection.objects.filter(user=user, pk__in=keys[Scope.ACCOUNT])
        names |= {str(pk): name for pk, name in own.values_list("pk", "display_name") if name}
    return names


def _breach(row: RiskBreach, of: str) -> Item:
    what = called(row.metric)
    is_block, is_money = row.level == State.BLOCK, row.metric in IN_RUPEES
    level = "block" if is_block else "warning"
    unit = "%" if row.metric.endswith("_PCT") else ""
    figures = "" if is_money else f": {_plain(row.value)}{unit}, its {level} level is {_plain(row.threshold)}{unit}"
    return Item(
        code="limit_reached",
        key=f"breach:{row.pk}:{row.level}",
        tone=Tone.BAD if is_block else Tone.WARN,
        subject=of or _capital(what),
        words=f"{_capital(what)} has reached its {level} level{figures}.",
        meaning=(
            "What the limit says is done: orders may be held back until it is kept again."
            if is_block
            else "Nothing is held back: this is a warning."
        ),
        remedy=Remedy(
            label="Take note", method=Method.POST, href=reverse("risk-breach-acknowledge", args=[row.pk]), body={}
        ),
        href=f"{reverse('risk')}#limits",
        since=row.opened_at,
        amount=row.value if is_money else None,
    )


def halts(user: User, now: datetime) -> Iterator[Item]:
    """What stops this person's orders, pulled by themselves or not: it is easily forgotten."""
    standing = halting.standing(user.pk)
    switch = reverse("kill-switch")
    if not standing.readable:
        yield Item(
            code="halt_unreadable",
            key="halt:unreadable",
            tone=Tone.BAD,
            subject="Kill switch",
            words=str(TradingUnreadable.default_detail),
            meaning="No new order goes out until it can be read. Cancellations do.",
            remedy=Remedy(label="Look again", href=switch),
            href=switch,
            since=None,
        )
    for halt in standing.halts:
        yield Item(
            code="trading_halted",
            key=f"halt:{halt.kind}",
            tone=Tone.BAD,
            subject="Kill switch" if halt.kind == HaltKind.KILL else "Daily-loss lock",
            words=halting.words_of(halt),
            meaning="What stands at the brokers stays as it is unless it was cancelled; nothing new is bought.",
            remedy=Remedy(label="How far it has come" if halt.locked_until else "Look, and re-arm", href=switch),
            href=switch,
            since=None if halt.set_at is None else datetime.fromisoformat(halt.set_at),
        )


def _capital(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def _plain(value: Decimal) -> str:
    return f"{value.quantize(HUNDREDTH, ROUND_HALF_UP):f}".rstrip("0").rstrip(".")
