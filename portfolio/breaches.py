"""A limit that was reached, from its first alert to the note of who has seen it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest
from django.utils.text import capfirst

from accounts import alerts, audit
from accounts.alert_models import AlertKind
from accounts.alerts import Alert
from accounts.events import Event
from accounts.models import User
from brokers import push
from brokers.models import BrokerConnection
from portfolio.limit_refusals import AlreadyAcknowledged
from portfolio.models import ConsolidatedPosition
from portfolio.risk.evaluating import ACKNOWLEDGED, Change, Step
from portfolio.risk.limits import Scope, State
from portfolio.risk_models import RiskBreach, RiskLimit

KIND = "RISK_EVENT"
# A block that nobody has taken note of is told again after so long: after the first alert, the second, and so on.
ESCALATIONS = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
# How a metric is called in the middle of a sentence. Its name on a page, and what it means, are the glossary's.
WORDS = {
    "ISSUER_PCT": "the share of one issuer",
    "SECTOR_PCT": "the share of one sector",
    "BROKER_PCT": "the share at one broker",
    "MARGIN_PCT": "the use of margin",
    "VAR_99_PCT": "value at risk",
    "ES_975_PCT": "expected shortfall",
    "DRAWDOWN_PCT": "the drawdown",
    "DAY_LOSS_PCT": "the day's loss",
    "DAY_LOSS": "the day's loss",
    "GROSS_EXPOSURE": "gross exposure",
    "LEVERAGE_RATIO": "leverage",
}


def words(metric: str) -> str:
    return WORDS.get(metric, metric.replace("_", " ").lower())


def note(limit: RiskLimit, change: Change, *, now: datetime) -> RiskBreach | None:
    """Write down what became of a limit, within the transaction that changed its state, and tell of it.

    None: what ends was never opened here.
    """
    open_ones = RiskBreach.objects.filter(limit=limit, scope_key=change.key, cleared_at=None)
    is_block = change.after is State.BLOCK
    changed: dict[str, Any] = {"value": change.value, "worst_value": Greatest("worst_value", change.value)}
    if change.step is Step.CLEARED:
        changed["cleared_at"] = now
    elif change.step is not Step.EASED:
        changed |= {
            "level": change.after,
            "threshold": change.threshold,
            "alerts": 1,
            "muted_until": now + ESCALATIONS[0] if is_block else None,
            # Whoever took note of the warning has not seen this.
            "acknowledged_at": None,
            "acknowledged_by": None,
            "acknowledgement": "",
        }
    breach = open_ones.first()
    if breach is not None:
        open_ones.update(**changed)
        breach.refresh_from_db()
    elif change.step in (Step.OPENED, Step.RAISED):
        breach = RiskBreach.objects.create(
            user_id=limit.user_id,
            limit=limit,
            metric=limit.metric,
            scope=limit.scope,
            scope_key=change.key,
            opened_at=now,
            **changed | {"worst_value": change.value},
        )
    else:
        return None
    _push(breach, change.step, change.after)
    if change.step is not Step.EASED:
        alerts.tell(breach.user_id, _alert(breach, change.step, change.after), now=now)
    return breach


def refresh(limit: RiskLimit, values: dict[str, Decimal | None]) -> None:
    """The figures of what stands, by key."""
    for key, value in values.items():
        if value is not None:
            RiskBreach.objects.filter(limit=limit, scope_key=key, cleared_at=None).exclude(value=value).update(
                value=value, worst_value=Greatest("worst_value", value)
            )


@transaction.atomic
def acknowledge(breach: RiskBreach, *, by: User, note: str, now: datetime) -> RiskBreach:
    """Take note of it: it is not told again unless it gets worse. Raises AlreadyAcknowledged."""
    rows = RiskBreach.objects.filter(pk=breach.pk, acknowledged_at=None)
    if rows.update(acknowledged_at=now, acknowledged_by=by, acknowledgement=note[:300], muted_until=None) != 1:
        raise AlreadyAcknowledged
    breach.refresh_from_db()
    _push(breach, ACKNOWLEDGED, _state_of(breach))
    audit.record(
        Event.BREACH_ACKNOWLEDGED, subject=breach.user_id, actor=by, thing=("breach", breach.pk), now=now,
        metric=str(breach.metric), level=str(breach.level),
    )  # fmt: skip
    return breach


def due_escalations(now: datetime) -> QuerySet[RiskBreach]:
    """Blocks that stand, and of which nobody has taken note in time."""
    return RiskBreach.objects.filter(
        level=State.BLOCK, cleared_at=None, acknowledged_at=None, muted_until__lte=now, limit__is_enabled=True
    ).select_related("limit")


def escalate(now: datetime) -> int:
    """Tell again of what nobody has taken note of. Returns of how many."""
    return sum(_escalated(breach, now) for breach in due_escalations(now))


@transaction.atomic
def _escalated(breach: RiskBreach, now: datetime) -> bool:
    """One conditional UPDATE: of two at once one tells. What has eased to a warning is not told again."""
    if _state_of(breach) is not State.BLOCK:
        return False
    wait = ESCALATIONS[min(breach.alerts, len(ESCALATIONS) - 1)]
    rows = RiskBreach.objects.filter(
        pk=breach.pk, alerts=breach.alerts, acknowledged_at=None, cleared_at=None, muted_until=breach.muted_until
    )
    if rows.update(alerts=F("alerts") + 1, muted_until=now + wait) != 1:
        return False
    breach.refresh_from_db()
    alerts.tell(breach.user_id, _alert(breach, Step.RAISED, State.BLOCK), now=now)
    return True


def _state_of(breach: RiskBreach) -> State:
    """How its limit stands for this key now."""
    if breach.cleared_at is not None or breach.limit is None:
        return State.OK
    return State(breach.limit.states.get(breach.scope_key, {}).get("state", State.OK))


def plain(breach: RiskBreach, step: str, state: State) -> dict[str, Any]:
    """As the socket tells of it. Figures are text."""
    return {
        "event": step,
        "breach_id": breach.pk,
        "limit_id": breach.limit_id,
        "metric": breach.metric,
        "scope": breach.scope,
        "scope_key": breach.scope_key,
        "state": state,
        "level": breach.level,
        "value": _text(breach.value),
        "worst_value": _text(breach.worst_value),
        "threshold": _text(breach.threshold),
        "opened_at": breach.opened_at.astimezone(UTC),
        "cleared_at": breach.cleared_at and breach.cleared_at.astimezone(UTC),
        "acknowledged_at": breach.acknowledged_at and breach.acknowledged_at.astimezone(UTC),
    }


def _push(breach: RiskBreach, step: str, state: State) -> None:
    data = msgspec.json.encode(plain(breach, step, state)).decode()
    transaction.on_commit(lambda: push.publish_json(breach.user_id, KIND, data, key=str(breach.pk)))


def _alert(breach: RiskBreach, step: Step, state: State) -> Alert:
    what = words(breach.metric)
    of = f" ({name})" if (name := _name_of(breach)) else ""
    level = "block" if state is State.BLOCK else "warning"
    if step is Step.CLEARED:
        kind, title = AlertKind.RISK_CLEARED, f"{what} is within its limit again"
        text = f"{capfirst(what)}{of} is {_text(breach.value)} now; its worst was {_text(breach.worst_value)}."
    else:
        kind = AlertKind.RISK_BLOCK if state is State.BLOCK else AlertKind.RISK_WARNING
        title = f"{what} has reached its {level} level"
        text = f"{capfirst(what)}{of} is {_text(breach.value)}; its {level} level is {_text(breach.threshold)}."
    if breach.alerts > 1 and step is not Step.CLEARED:
        text += f" Nobody has taken note of it: this is alert number {breach.alerts}."
    told = plain(breach, step, state)
    data = {name: value for name, value in told.items() if not isinstance(value, datetime)}
    return Alert(kind=kind, subject=f"breach:{breach.pk}", title=title, text=text, data=data)


def _name_of(breach: RiskBreach) -> str:
    """What people call it: an account by the name that its owner gave it, a share by its symbol."""
    key, named = breach.scope_key, None
    if key and breach.scope == Scope.ACCOUNT:
        own = BrokerConnection.objects.filter(user=breach.user_id, pk=key)
        named = own.values_list("display_name", flat=True).first()
    elif key and breach.scope == Scope.ISSUER:
        own_shares = ConsolidatedPosition.objects.filter(user=breach.user_id, instrument_key=key)
        named = own_shares.values_list("symbol", flat=True).first()
    return named or key


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"
