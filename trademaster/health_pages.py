"""How the brokers answer: a line for each, and a report card. Both can be read without a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from accounts.models import User
from brokers import connecting, governor, registry
from brokers.connecting import Chip
from brokers.domain import ConnectionStatus
from brokers.governor import WindowLeft
from brokers.models import BrokerConnection
from health import circuits, days, reports, telling, timeline
from health.circuits import Circuit
from health.days import Day
from orders import rejections
from trademaster.pages import trader_page

ENTRIES = 30
CACHE_SECONDS = 30
# A budget with less than this part left is worth a colour.
SCARCE_PCT = 25
# Of each kind of call: its name, and what it means to the trader that it is not made.
CIRCUIT_WORDS = {
    "portfolio": ("reading accounts", "What it last told stays in your totals, marked with its age."),
    "data": ("prices", "Meanwhile prices come from your other brokers, or are marked as old."),
    "orders": ("orders", "Meanwhile no new order is sent there; what stands at the broker stays there."),
    "session": ("logins", "A login there may not come through until it answers."),
}
# What rate classes of the specs count, where their own names do not say it.
CALLS = {
    "all": "all calls",
    "other": "other calls",
    "books": "order books",
    "history": "past prices",
    "gtt": "GTT",
    "gtt_cancels": "cancelling GTT",
    "cancels": "cancelling",
    "order_changes": "changing orders",
    "session": "logins",
    "refresh": "renewals",
    "contracts": "instruments",
}
CIRCUIT_STATES = {"open": ("not asked now", "bad"), "half_open": ("being tried", "warn")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of a budget, as it is shown."""

    words: str
    short: str
    left: int
    calls: int
    seconds: int
    paused_until: datetime | None

    @property
    def left_pct(self) -> int:
        return self.left * 100 // self.calls if self.calls else 0

    @property
    def tone(self) -> str:
        return "warn" if self.paused_until or self.left_pct < SCARCE_PCT else "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """One of the trader's own accounts at a broker; `windows`, the fullest first, are empty without budgets."""

    row: BrokerConnection
    chip: Chip
    windows: Sequence[Window]
    is_shared: bool
    entries: Sequence[telling.Told]
    older: datetime | None

    @property
    def tightest(self) -> Window | None:
        return self.windows[0] if self.windows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A circuit that is not closed."""

    words: str
    meaning: str
    state: str
    tone: str
    opened_at: datetime | None
    retry_at: datetime | None
    reason: str


@require_safe
@login_required
def brokers_health(request: HttpRequest) -> HttpResponse:
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    now = timezone.now()
    told, guards, mine = reports.page(now), circuits.current(now), _mine(user)
    rows = [
        {
            **broker,
            "guards": _guards(guards.of(broker["broker_type"])),
            "own": [_own(row, now) for row in mine if row.broker_type == broker["broker_type"]],
        }
        for broker in told["brokers"]
    ]
    return trader_page(request, "brokers_health.html", as_of=told["as_of"], rows=rows)


@require_safe
@login_required
def broker_health(request: HttpRequest, slug: str) -> HttpResponse:
    """`?account=…&before=…` goes on with that account's timeline."""
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    if slug not in registry.slugs():
        raise Http404
    now = timezone.now()
    told = reports.page(now)
    [broker] = [one for one in told["brokers"] if one["broker_type"] == slug]
    month = _month(slug, broker["days"], now)
    own = [_own(row, now, before=_before(request, row, now)) for row in _mine(user) if row.broker_type == slug]
    context: dict[str, Any] = {
        "as_of": told["as_of"],
        "broker": broker,
        "spec": registry.load(slug).spec,
        "month": month,
        "chart": days.chart(month),
        "guards": _guards(circuits.current(now).of(slug)),
        "own": own,
        "refused": rejections.refused_by(user, slug, since=now - reports.MONTH),
        "brokers": [(one["broker_type"], one["name"]) for one in told["brokers"]],
    }
    return trader_page(request, "broker_health.html", **context)


def _month(slug: str, daily: Sequence[Mapping[str, Any]], now: datetime) -> list[Day]:
    """The same for everybody, and half a minute old at most: it counts every check of a month."""
    month: list[Day] | None = cache.get(f"health-days-{slug}")
    if month is None:
        month = days.of(slug, daily, now=now)
        cache.set(f"health-days-{slug}", month, CACHE_SECONDS)
    return month


def _mine(user: User) -> list[BrokerConnection]:
    return list(BrokerConnection.objects.without_secrets().active().filter(user=user))


def _own(row: BrokerConnection, now: datetime, *, before: datetime | None = None) -> Own:
    """With its timeline where that is asked for."""
    text, tone = connecting.STATUSES[ConnectionStatus(row.status)]
    page = timeline.page_of(row, before=before, limit=ENTRIES) if before else {"entries": [], "next": None}
    budget = governor.budget(row.broker_type, str(row.pk), now=now) if settings.GOVERNOR_ENABLED else None
    return Own(
        row=row,
        chip=Chip(text=text, tone=tone),
        windows=_windows(budget.windows) if budget else [],
        is_shared=budget.shared if budget else True,
        entries=[telling.told(entry) for entry in page["entries"]],
        older=page["next"],
    )


def _windows(found: Sequence[WindowLeft]) -> list[Window]:
    """The fullest first. Of two over the same calls and time, one of them the house's own, the stricter one counts; of
    those of one path, which are many, the fullest.
    """
    strictest: dict[tuple[str, int], Window] = {}
    for one in sorted(found, key=lambda one: (one.left / one.calls, one.calls) if one.path else (one.left, one.calls)):
        window = _window(one)
        strictest.setdefault((window.words, 0 if one.path else window.seconds), window)
    return sorted(strictest.values(), key=lambda window: (window.paused_until is None, window.left_pct))


def _window(window: WindowLeft) -> Window:
    names = [CALLS.get(name, name.replace("_", " ")) for name in (window.endpoints, *window.also)]
    return Window(
        words=window.path or ", ".join(names),
        short=window.path or (names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"),
        left=window.left,
        calls=window.calls,
        seconds=window.seconds,
        paused_until=window.paused_until,
    )


def _before(request: HttpRequest, row: BrokerConnection, now: datetime) -> datetime:
    """From where on this account's timeline is shown; what cannot be read as a moment is as good as none."""
    if request.GET.get("account") != str(row.pk):
        return now
    try:
        asked = parse_datetime(request.GET.get("before", ""))
    except ValueError:
        return now
    return asked if asked and timezone.is_aware(asked) else now


def _guards(found: Sequence[Circuit]) -> list[Guard]:
    return [
        Guard(
            words=CIRCUIT_WORDS[one.kind][0],
            meaning=CIRCUIT_WORDS[one.kind][1],
            state=CIRCUIT_STATES[one.state][0],
            tone=CIRCUIT_STATES[one.state][1],
            opened_at=one.opened_at,
            retry_at=one.retry_at,
            reason=one.reason,
        )
        for one in found
        if one.state in CIRCUIT_STATES
    ]
