"""What needs the owner of broker accounts: sessions, silent brokers, addresses, and alerts that do not arrive."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.urls import reverse

from accounts.alert_models import AlertRoute
from accounts.models import User
from brokers import hours, morning
from brokers.clearance import Answer
from brokers.domain import ConnectionStatus
from brokers.lights import clearance_of
from brokers.models import BrokerConnection
from brokers.morning import Entry, Need
from brokers.statuses import TROUBLED_STATUSES
from brokers.wire import IST
from portfolio.models import BrokerSnapshot
from trademaster.attention.words import Item, Method, Remedy, Tone, listed

# A session that ends within this is told of, where a login now would outlast today's trading.
ENDS_SOON = timedelta(minutes=60)
# How long a trouble that passes by itself is nobody's business.
PATIENCE = {
    ConnectionStatus.ERROR: timedelta(minutes=1),
    ConnectionStatus.RATE_LIMITED: timedelta(minutes=2),
    ConnectionStatus.MAINTENANCE: timedelta(minutes=10),
    ConnectionStatus.SUSPENDED: timedelta(0),
}
LAST_ANSWER = "Its shares stay in your totals by its last good answer, marked with its age"
NO_ANSWER = "It has not answered yet, so nothing of it is in your totals"


def connections(user: User, now: datetime) -> Iterator[Item]:
    """Sessions, brokers that have not answered for long, and accounts whose orders would come from a wrong address."""
    rows = {row.pk: row for row in BrokerConnection.objects.without_secrets().active().filter(user=user)}
    if not rows:
        return
    kept = set(BrokerSnapshot.objects.filter(connection__in=rows).values_list("connection_id", flat=True))
    yield from _sessions(user, rows, kept, now)
    for row in rows.values():
        status = ConnectionStatus(row.status)
        if status in TROUBLED_STATUSES and not row.is_unreadable and _is_long(row, status, now):
            meaning = f"{_shares(row.pk, kept)}{_orders(row, rows, now)}."
            yield _trouble(row, status, meaning, now)
        if row.trading_enabled_at is not None:
            yield from _address(row, now)


def _shares(connection_id: UUID, kept: Container[UUID]) -> str:
    return LAST_ANSWER if connection_id in kept else NO_ANSWER


def _orders(row: BrokerConnection, rows: Mapping[UUID, BrokerConnection], now: datetime) -> str:
    """Where new ones go meanwhile; nothing where none went there before."""
    if row.trading_enabled_at is None:
        return ""
    others = [each for each in rows.values() if each.pk != row.pk]
    cleared = [name_of(each) for each in others if clearance_of(each, now=now).trade.state is not Answer.NO]
    return f"; new orders go to {listed(cleared)}" if cleared else "; no other account of yours takes orders now"


def _sessions(
    user: User, rows: Mapping[UUID, BrokerConnection], kept: Container[UUID], now: datetime
) -> Iterator[Item]:
    """Those that have ended, or end while it matters, and that nothing renews without their owner."""
    for entry in morning.queue(user, now).needing:
        row = rows.get(entry.connection_id)
        if entry.needs_login is Need.NOW:
            yield _login(
                entry,
                code="session_ended",
                tone=Tone.BAD,
                words=entry.why.message,
                meaning=f"{_shares(entry.connection_id, kept)}; "
                "no order goes there, and open orders there are not followed.",
                since=row.status_since if row is not None else None,
            )
        elif _ends_soon(entry, now):
            assert entry.expires_at is not None  # noqa: S101 - for the type checker
            yield _login(
                entry,
                code="session_ends_soon",
                tone=Tone.WARN,
                words=f"Its session ends at {entry.expires_at.astimezone(IST):%H:%M} IST, before today’s trading does.",
                meaning="From then on it is neither read nor traded at, until you log in again.",
                since=None,
            )


def _ends_soon(entry: Entry, now: datetime) -> bool:
    """While markets are open: that sessions die at night is how they live. A login that would itself end before
    trading does mends nothing.
    """
    left, is_night = entry.seconds_left, hours.markets_open(now) == frozenset()
    return left is not None and left <= ENDS_SOON.total_seconds() and entry.login_after is None and not is_night


def _login(entry: Entry, *, code: str, tone: Tone, words: str, meaning: str, since: datetime | None) -> Item:
    if entry.login.ready:
        remedy = Remedy(
            label="Log in",
            method=Method.LOGIN,
            href=reverse("connect-initiate"),
            body={"broker_type": entry.broker_type, "connection_id": str(entry.connection_id)},
        )
    else:
        remedy = Remedy(label="Enter its API key", href=reverse("connect-broker", args=[entry.broker_type]))
    return Item(
        code=code,
        key=f"session:{entry.connection_id}",
        tone=tone,
        subject=entry.display_name or f"{entry.broker_name} {entry.account_id}",
        words=words,
        meaning=meaning,
        remedy=remedy,
        href=reverse("logins"),
        since=since,
    )


def _is_long(row: BrokerConnection, status: ConnectionStatus, now: datetime) -> bool:
    return row.status_since is None or now - row.status_since >= PATIENCE[status]


def _trouble(row: BrokerConnection, status: ConnectionStatus, meaning: str, now: datetime) -> Item:
    reasons = clearance_of(row, now=now).data.reasons
    is_blocked = status is ConnectionStatus.SUSPENDED
    health = reverse("broker-health", args=[row.broker_type])
    return Item(
        code=f"broker_{status.lower()}",
        key=f"broker:{row.pk}",
        tone=Tone.BAD if is_blocked else Tone.WARN,
        subject=name_of(row),
        words=" ".join(f"{reason.words} {reason.remedy}" for reason in reasons[:1]),
        meaning=meaning,
        remedy=Remedy(label="See how it is", href=health),
        href=health,
        since=row.status_since,
    )


def _address(row: BrokerConnection, now: datetime) -> Iterator[Item]:
    """Only where trading is on: else no order is placed there at all."""
    for reason in clearance_of(row, now=now).trade.reasons:
        if reason.code == "ip_not_registered":
            yield Item(
                code=reason.code,
                key=f"address:{row.pk}",
                tone=Tone.WARN,
                subject=name_of(row),
                words=f"{reason.words} {reason.remedy}",
                meaning="It is read as ever; its broker would refuse every order, so none is sent there.",
                remedy=Remedy(
                    label="Enter the address", method=Method.ASK, href=reverse("connection-detail", args=[row.pk])
                ),
                href=reverse("dashboard"),
                since=None,
            )


def alert_routes(user: User, now: datetime) -> Iterator[Item]:
    """Ways that failed so often that they are left alone. One that its owner paused or switched off is not told of."""
    for route in AlertRoute.objects.filter(user=user, is_enabled=True, muted_until__gt=now):
        assert route.muted_until is not None  # noqa: S101 - for the type checker
        yield Item(
            code="alert_route_muted",
            key=f"route:{route.pk}",
            tone=Tone.WARN,
            subject=route.name,
            words=f"Alerts failed there {route.failures} times in a row; it is left alone until "
            f"{route.muted_until.astimezone(IST):%H:%M} IST.",
            meaning="But for blocks and stops of trading, nothing reaches you that way while you are not looking here.",
            remedy=Remedy(
                label="Try it now", method=Method.POST, href=reverse("alert-route-test", args=[route.pk]), body={}
            ),
            href=reverse("settings-alerts"),
            since=None,
        )


def name_of(row: BrokerConnection) -> str:
    return row.display_name or f"{row.broker_name} {row.account_id}"
