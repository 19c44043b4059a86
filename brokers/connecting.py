"""What the pages that connect a broker show: each broker's own steps, and how far this trader has come with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.conf import settings

from accounts.models import User
from brokers import abilities, clearance, reach, registry
from brokers.clearance import Answer, Light
from brokers.domain import ConnectionStatus
from brokers.lights import clearance_of, facts_of
from brokers.models import BrokerConnection, OAuthState
from brokers.postback_models import PostbackInbox
from brokers.spec import BrokerSpec, Renewal

# The words and tones of a status, as every page says them.
STATUSES = {
    ConnectionStatus.CONNECTED: ("Connected", "good"),
    ConnectionStatus.RATE_LIMITED: ("Rate limited", "warn"),
    ConnectionStatus.MAINTENANCE: ("In maintenance", "warn"),
    ConnectionStatus.TOKEN_EXPIRED: ("Login needed", "bad"),
    ConnectionStatus.ERROR: ("Failing", "bad"),
    ConnectionStatus.SUSPENDED: ("Blocked by the broker", "bad"),
    ConnectionStatus.DISCONNECTED: ("Disconnected", "plain"),
}
VERDICTS = {Answer.YES: ("Match", "good"), Answer.NO: ("Mismatch", "bad"), Answer.UNKNOWN: ("Not known", "warn")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    text: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One broker in the list of all; `state` is the worst that is known of the trader's accounts there."""

    slug: str
    name: str
    state: Chip
    accounts: tuple[str, ...]
    session: str
    price: str | None
    can_stream: bool
    can_leave_gtt: bool
    by_redirect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One connection. `data` says whether it can be read; `address` whether orders would come from where they may.

    `session_until` is None where its session is over, or its end is not known.
    """

    row: BrokerConnection
    chip: Chip
    is_active: bool
    session_until: datetime | None
    data: Light
    address: Light
    verdict: Chip
    has_postbacks: bool
    posted_at: datetime | None

    @property
    def is_trading(self) -> bool:
        return self.row.trading_enabled_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A button that begins a login; `method` is empty for the broker's own page, or its only form."""

    label: str
    method: str
    is_ready: bool
    is_first: bool


# Which of several accounts is told of first.
WORST_FIRST = (
    *(ConnectionStatus.SUSPENDED, ConnectionStatus.ERROR, ConnectionStatus.TOKEN_EXPIRED),
    *(ConnectionStatus.MAINTENANCE, ConnectionStatus.RATE_LIMITED, ConnectionStatus.CONNECTED),
    ConnectionStatus.DISCONNECTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is stored for one trader at all brokers: `apps` by slug, the latest login under way of each (`begun`)."""

    now: datetime
    connections: Sequence[BrokerConnection] = ()
    apps: frozenset[str] = frozenset()
    begun: Mapping[str, OAuthState] = field(default_factory=dict)
    inboxes: Mapping[UUID, PostbackInbox] = field(default_factory=dict)

    @classmethod
    def of(cls, user: User, now: datetime) -> Self:
        rows = list(BrokerConnection.objects.without_secrets().filter(user=user))
        under_way = OAuthState.objects.filter(user=user, expires_at__gt=now).order_by("created_at")
        return cls(
            now=now,
            connections=rows,
            apps=frozenset(user.broker_apps.values_list("broker_type", flat=True)),
            begun={state.broker_type: state for state in under_way},
            inboxes=PostbackInbox.objects.in_bulk([row.pk for row in rows]),
        )

    def at(self, spec: BrokerSpec) -> list[BrokerConnection]:
        return [row for row in self.connections if row.broker_type == spec.slug]

    def has_keys(self, spec: BrokerSpec) -> bool:
        return spec.slug in self.apps or reach.platform_has_app(spec)


def lines(known: Known) -> list[Line]:
    """Every broker, in the order of the registry."""
    return [
        Line(
            slug=broker.spec.slug,
            name=broker.spec.name,
            state=_state(broker.spec, known),
            accounts=tuple(row.account_id for row in known.at(broker.spec)),
            session=session_words(broker.spec),
            price=broker.spec.guide.price,
            can_stream=broker.price_stream is not None,
            can_leave_gtt="gtt" in broker.spec.capabilities.features,
            by_redirect=broker.spec.callback is not None,
        )
        for broker in registry.brokers()
    ]


def shown(slug: str, known: Known) -> dict[str, Any]:
    """The context of one broker's page. Raises UnsupportedBroker."""
    broker = registry.load(slug)
    spec = broker.spec
    accounts = _accounts(spec, known)
    can, cannot = abilities.of(broker)
    return {
        "spec": spec,
        "redirect_uri": reach.own_callback(slug),
        "egress_ip": settings.EGRESS_IP,
        "state": _state(spec, known),
        "has_keys": known.has_keys(spec),
        "has_own_keys": slug in known.apps,
        "needs_keys": needs_keys(spec),
        "keyless": [method.label for method in spec.login_methods if not method.needs_app],
        "ways": _ways(spec, known),
        "begun": known.begun.get(slug),
        "accounts": accounts,
        "active": [account for account in accounts if account.is_active],
        "can": can,
        "cannot": cannot,
        "session": session_words(spec),
    }


def needs_keys(spec: BrokerSpec) -> bool:
    """Whether any of its logins uses stored keys."""
    return spec.callback is not None or any(method.needs_app for method in spec.login_methods)


def session_words(spec: BrokerSpec) -> str:
    """How long a session lasts, and who begins the next one."""
    policy = spec.session
    if policy.ends_at is None:
        hours = int(policy.lasts.total_seconds() // 3600)
        lasts = f"A session lasts {hours} hours."
    elif policy.ends_at.hour == policy.ends_at.minute == 0:
        lasts = "Every session ends at midnight IST."
    else:
        lasts = f"Every session ends at {policy.ends_at:%H:%M} IST."
    again = {
        Renewal.NONE: "You log in once a day, after that hour." if policy.ends_at else "Then you log in again.",
        Renewal.REFRESH_TOKEN: "Until then it is renewed by itself; then you log in again.",
        Renewal.STORED_KEYS: "The stored keys open the next one by themselves.",
    }[policy.renewal]
    return f"{lasts} {again}"


def _state(spec: BrokerSpec, known: Known) -> Chip:
    """At a glance: how its accounts are, else how far the way to the first of them has been gone."""
    statuses = {ConnectionStatus(row.status) for row in known.at(spec)}
    active = [status for status in WORST_FIRST if status in statuses - {ConnectionStatus.DISCONNECTED}]
    if active:
        text, tone = STATUSES[active[0]]
        return Chip(text=text, tone=tone)
    if spec.slug in known.begun:
        return Chip(text="Login begun", tone="warn")
    if statuses:
        return Chip(text="Disconnected", tone="plain")
    if not needs_keys(spec):
        return Chip(text="Ready to log in", tone="plain")
    if known.has_keys(spec):
        return Chip(text="Keys stored", tone="plain")
    return Chip(text="Not set up", tone="plain")


def _accounts(spec: BrokerSpec, known: Known) -> list[Account]:
    return [_account(spec, row, known.inboxes.get(row.pk), known.now) for row in known.at(spec)]


def _account(spec: BrokerSpec, row: BrokerConnection, inbox: PostbackInbox | None, now: datetime) -> Account:
    text, tone = STATUSES[ConnectionStatus(row.status)]
    address = clearance.of_address(facts_of(row), spec, egress_ip=settings.EGRESS_IP)
    # That of this installation is said once, above all accounts.
    reasons = tuple(reason for reason in address.reasons if reason.code != "egress_ip_unknown")
    verdict, colour = VERDICTS[address.state] if spec.order_rules.needs_registered_ip else ("Not needed", "plain")
    return Account(
        row=row,
        chip=Chip(text=text, tone=tone),
        is_active=row.status != ConnectionStatus.DISCONNECTED,
        session_until=_session_until(row, now),
        data=clearance_of(row, now=now).data,
        address=Light(state=address.state, reasons=reasons),
        verdict=Chip(text=verdict, tone=colour),
        has_postbacks=inbox is not None and inbox.address_hash is not None,
        posted_at=inbox.last_received_at if inbox else None,
    )


def _session_until(row: BrokerConnection, now: datetime) -> datetime | None:
    """A broker may end a session before its time: the end that was foretold is then none."""
    is_over = row.status in (ConnectionStatus.TOKEN_EXPIRED, ConnectionStatus.DISCONNECTED) or row.is_over(now)
    return None if is_over else row.token_expires_at


def _ways(spec: BrokerSpec, known: Known) -> list[Way]:
    """The broker's own page first; each of our forms after it. Without a page, one button leads to all forms."""
    has_keys = known.has_keys(spec)
    verb = "Log in again at" if known.at(spec) else "Connect"
    keyless = any(not method.needs_app for method in spec.login_methods)
    by_page = spec.callback is not None
    first = Way(label=f"{verb} {spec.name}", method="", is_ready=has_keys or (not by_page and keyless), is_first=True)
    forms: Sequence[Way] = [
        Way(
            label=f"By a form here: {method.label}",
            method=method.name,
            is_ready=has_keys or not method.needs_app,
            is_first=False,
        )
        for method in spec.login_methods
        if by_page
    ]
    return [first, *forms]
