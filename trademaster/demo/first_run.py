"""The first three minutes as a checklist that ticks itself, by facts: rows that this trader's doing left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Min, OuterRef, QuerySet, Subquery
from django.urls import reverse
from django.utils.timezone import localtime

from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers import registry
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, ConnectionChange
from brokers.statuses import Actor
from orders.lifecycle import State
from orders.models import ChildOrder, OrderEvent, SeenOrder
from portfolio.models import BrokerSnapshot

FAILING = (ConnectionStatus.ERROR, ConnectionStatus.RATE_LIMITED, ConnectionStatus.MAINTENANCE)
# What finding an unknown order in a broker's book makes of it.
FOUND = frozenset(State) - {State.UNKNOWN, State.SENDING, State.NOT_PLACED}
SWITCHBOARD = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the rows say of a step: whether it is done, and in a sentence what was seen, or is under way, and where."""

    is_done: bool = False
    told: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    words: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`is_next`: the first one that is not done."""

    code: str
    title: str
    how: str
    seen: Seen
    links: tuple[Link, ...]
    is_next: bool = False


def steps(user: User) -> list[Step]:
    """All six, in order. Costs a query or two each."""
    found = [(code, title, how, look(user), links(user)) for code, title, how, look, links in SCRIPT]
    following = next((code for code, _, _, seen, _ in found if not seen.is_done), None)
    return [
        Step(code=code, title=title, how=how, seen=seen, links=tuple(links), is_next=code == following)
        for code, title, how, seen, links in found
    ]


# --- what was seen ----------------------------------------------------------------------------------------------------
def _merged(user: User) -> Seen:
    answered = BrokerSnapshot.objects.filter(connection__in=user.broker_connections.active()).count()
    if answered < 2:
        return Seen()
    return Seen(is_done=True, told=f"{answered} accounts in one book.")


def _failed_over(user: User) -> Seen:
    recovered = ConnectionChange.objects.filter(
        broker_connection=OuterRef("broker_connection"), at__gt=OuterRef("at"), to_status=ConnectionStatus.CONNECTED
    ).exclude(actor=Actor.TRADER)
    failures = (
        ConnectionChange.objects.filter(
            broker_connection__user=user, from_status=ConnectionStatus.CONNECTED, to_status__in=FAILING
        )
        .annotate(back_at=Subquery(recovered.order_by("at").values("at")[:1]))
        .select_related("broker_connection")
        .defer(*(f"broker_connection__{name}" for name in SECRETS))
    )
    back = failures.exclude(back_at=None).order_by("-at").first()
    if back is not None:
        name = _name(back.broker_connection.broker_type)
        return Seen(
            is_done=True, told=f"{name} failed at {_ist(back.at)} and was back, by itself, at {_ist(back.back_at)}."
        )
    away = failures.order_by("-at").first()
    if away is None:
        return Seen()
    name = _name(away.broker_connection.broker_type)
    return Seen(told=f"{name} fails since {_ist(away.at)}; the total has its last numbers. Now revive it.")


def _all_connected(user: User) -> Seen:
    missing = _missing(user)
    if not missing:
        return Seen(is_done=True, told=f"All {len(registry.slugs())} brokers are connected.")
    return Seen()


def _ordered(user: User) -> Seen:
    child = _children(user).order_by("sent_at").first()
    if child is not None:
        return Seen(is_done=True, told=f"{_order(child)} went to {_name(child.broker_type)}.", address=_story(child))
    if not user.broker_connections.filter(trading_enabled_at__isnull=False).exists():
        return Seen(told="First turn trading on at a card of the portfolio: it is off until you say so.")
    return Seen()


def _reconciled(user: User) -> Seen:
    events = OrderEvent.objects.filter(intent__user=user, from_state=State.UNKNOWN, to_state__in=FOUND)
    event = events.select_related("child__intent__instrument").order_by("-at").first()
    if event is not None and event.child is not None:
        child, times = event.child, SeenOrder.objects.filter(child=event.child).count()
        number = f", number {child.broker_order_id}" if child.broker_order_id else ""
        return Seen(
            is_done=True,
            told=f"{_order(child)} was not known, and was found at {_name(child.broker_type)} at {_ist(event.at)}"
            f"{number}{', once' if times == 1 else ''}.",
            address=_story(child),
        )
    doubtful = _children(user).filter(state=State.UNKNOWN).first()
    if doubtful is not None:
        told = f"{_order(doubtful)} at {_name(doubtful.broker_type)} is not known, and is being looked for."
        return Seen(told=told, address=_story(doubtful))
    return Seen()


def _supported(user: User) -> Seen:
    first = AuditEntry.objects.filter(
        event=Event.SUPPORT_VIEWED, subject_id=user.pk, object_kind=BrokerConnection._meta.label_lower
    ).aggregate(at=Min("at"))["at"]
    if first is None:
        return Seen()
    return Seen(is_done=True, told=f"Support looked at your connections at {_ist(first)}: your audit log says so too.")


# --- where it happens -------------------------------------------------------------------------------------------------
def _to_portfolio(user: User) -> list[Link]:
    return [Link(words="Portfolio", address=reverse("dashboard"))]


def _to_switches(user: User) -> list[Link]:
    return [Link(words="Switchboard", address=reverse(SWITCHBOARD)), *_to_portfolio(user)]


def _to_connect(user: User) -> list[Link]:
    links = [
        Link(words=f"Connect {_name(slug)}", address=f"{reverse('connect')}#{slug}") for slug in sorted(_missing(user))
    ]
    by_page = (broker.spec for broker in registry.brokers() if broker.spec.callback is not None)
    forged = reverse("oauth-callback", args=[next(by_page).slug])
    return [*links[:1], Link(words="Try a forged login", address=f"{forged}?state=forged")]


def _to_orders(user: User) -> list[Link]:
    return [Link(words="Orders", address=reverse("orders-page"))]


def _to_doubt(user: User) -> list[Link]:
    return [*_to_switches(user)[:1], *_to_orders(user)]


def _to_desk(user: User) -> list[Link]:
    return [Link(words="The desk", address=reverse("admin:brokers_brokerconnection_changelist"))]


SECRETS = ("access_token_encrypted", "refresh_token_encrypted", "feed_token_encrypted")
Look = Callable[[User], Seen]
SCRIPT: tuple[tuple[str, str, str, Look, Callable[[User], list[Link]]], ...] = (
    (
        "merged",
        "See one portfolio over all brokers",
        "The same share at several brokers is one row; open it to see what lies where.",
        _merged,
        _to_portfolio,
    ),
    (
        "failover",
        "Kill a broker, and revive it",
        "The total keeps its last numbers and says so (as 5/6); revived, it comes back by itself.",
        _failed_over,
        _to_switches,
    ),
    (
        "connect",
        "Connect the last broker",
        "Its keys are stored: press Log in, and agree at its simulated page. A login with a forged state is refused.",
        _all_connected,
        _to_connect,
    ),
    (
        "order",
        "Buy 50 INFY",
        "Press b. As you type, the ticket ranks the brokers and says why; then send it.",
        _ordered,
        _to_orders,
    ),
    (
        "lost",
        "Lose the next order’s reply",
        "The order is UNKNOWN, is sent to nobody again, and is found at the broker by its tag: no duplicate.",
        _reconciled,
        _to_doubt,
    ),
    (
        "support",
        "Look at it as support",
        "In a private window sign in as support (“make code” prints the second factor) and open a connection’s story.",
        _supported,
        _to_desk,
    ),
)


def _missing(user: User) -> set[str]:
    there = user.broker_connections.exclude(status=ConnectionStatus.DISCONNECTED)
    return set(registry.slugs()) - set(there.values_list("broker_type", flat=True))


def _children(user: User) -> QuerySet[ChildOrder]:
    return ChildOrder.objects.filter(intent__user=user).select_related("intent__instrument")


def _story(child: ChildOrder) -> str:
    return reverse("order-page", args=[child.intent_id])


def _order(child: ChildOrder) -> str:
    return f"{child.side} {child.quantity.normalize():f} {child.intent.instrument.tradingsymbol}"


def _name(slug: str) -> str:
    return registry.load(slug).spec.name


def _ist(at: datetime) -> str:
    return localtime(at).strftime("%H:%M:%S")
