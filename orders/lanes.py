"""The page of orders: what is not known on top, then what waits for its owner, what works, and what has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal

from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from accounts.audit_export import defused
from accounts.models import User
from brokers import registry
from brokers.models import BrokerConnection
from brokers.wire import IST
from orders import words
from orders.explaining import plainly, rupees
from orders.lifecycle import ABSENCES, State
from orders.models import ChildOrder, IntentStatus, OrderIntent

ROWS_A_PAGE = 25
UNKNOWN, APPROVAL, WORKING, ENDED = "unknown", "approval", "working", "ended"
LIVE_STATUSES = (IntentStatus.WORKING, IntentStatus.AWAITING_APPROVAL)
# What the list of states offers: intents by status, and what is not known by its children.
STATES: Mapping[str, str] = {
    UNKNOWN: words.UNKNOWN.word,
    **{status: said.word for status, said in words.INTENT.items()},
}
TITLES: Mapping[str, tuple[str, str, str]] = {
    UNKNOWN: ("Not known", "Each may stand at its broker, or not. None is sent again.", "No order is in doubt."),
    APPROVAL: (
        "Waiting for you",
        "Nothing of these is sent before you approve it.",
        "Nothing waits for your approval.",
    ),
    WORKING: ("Working", "At the brokers, or on their way.", "No order is at a broker now."),
    ENDED: ("Ended today", "Nothing of these binds money or shares any more.", "No order has ended today."),
}
ENDED_EVER = ("Ended", "Of all days, the newest first.", "No order has ended.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the page is asked to show. `page`: the page of a lane, by the lane's name."""

    text: str = ""
    broker: str = ""
    state: str = ""
    all_days: bool = False
    pages: Mapping[str, str] = field(default_factory=dict)

    @property
    def narrows(self) -> bool:
        return bool(self.text or self.broker or self.state)


def wish_of(query: Mapping[str, str]) -> Wish:
    """Out of an address; what makes no sense in it is left out."""
    broker, state = query.get("broker", ""), query.get("state", "")
    return Wish(
        text=query.get("q", "").strip()[:60].replace("\x00", ""),
        broker=broker if broker in registry.slugs() else "",
        state=state if state in STATES else "",
        all_days=query.get("days") == "all",
        pages={lane: query.get(lane, "1") for lane in TITLES},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One order at one broker of which nobody knows what became: all that its owner needs to go on."""

    child: ChildOrder
    broker: str
    since: datetime
    doing: str
    next_look: datetime | None
    settle: str
    by_note: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One order as the table shows it."""

    intent: OrderIntent
    symbol: str
    exchange: str
    asked_and_filled: str
    price: str
    average: str
    brokers: tuple[str, ...]
    state: str
    tone: str
    meaning: str
    since: datetime
    age: str
    doubts: tuple[Doubt, ...] = ()

    @property
    def may_be_cancelled(self) -> bool:
        return self.intent.status == IntentStatus.WORKING

    @property
    def waits(self) -> bool:
        return self.intent.status == IntentStatus.AWAITING_APPROVAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    key: str
    title: str
    meaning: str
    nothing: str
    rows: tuple[Row, ...]
    page: Page[OrderIntent]
    count: int


def lanes_of(user: User, wish: Wish, now: datetime) -> list[Lane]:
    """Every lane, each with its page of rows. A filter narrows all of them; see `hidden_doubts`."""
    return [_lane(key, rows, wish, now) for key, rows in _by_lane(chosen(user, wish), wish, now).items()]


def hidden_doubts(user: User, lanes: Sequence[Lane]) -> int:
    """How many orders are not known beside those that are shown: a filter must not make anybody forget them."""
    shown = next(lane.count for lane in lanes if lane.key == UNKNOWN)
    return doubtful(OrderIntent.objects.filter(user=user)).count() - shown


def chosen(user: User, wish: Wish) -> QuerySet[OrderIntent]:
    """The orders that a wish is about, the newest first."""
    rows = OrderIntent.objects.filter(user=user).select_related("instrument").order_by("-created_at", "-id")
    if wish.text:
        mine = ChildOrder.objects.filter(intent=OuterRef("pk"), broker_order_id__iexact=wish.text)
        named = Q(instrument__tradingsymbol__icontains=wish.text) | Q(instrument__name__icontains=wish.text)
        rows = rows.filter(named | Q(Exists(mine)))
    if wish.broker:
        rows = rows.filter(Exists(ChildOrder.objects.filter(intent=OuterRef("pk"), broker_type=wish.broker)))
    if wish.state == UNKNOWN:
        return doubtful(rows)
    return rows.filter(status=wish.state) if wish.state else rows


def with_children(rows: QuerySet[OrderIntent]) -> QuerySet[OrderIntent]:
    """Each with its orders at the brokers and their connections, without anything secret."""
    connections = Prefetch("broker_connection", queryset=BrokerConnection.objects.without_secrets())
    children = ChildOrder.objects.order_by("number").prefetch_related(connections)
    return rows.select_related("instrument").prefetch_related(Prefetch("children", queryset=children))


def doubtful(rows: QuerySet[OrderIntent]) -> QuerySet[OrderIntent]:
    return rows.filter(Exists(ChildOrder.objects.filter(intent=OuterRef("pk"), state=State.UNKNOWN)))


def _by_lane(rows: QuerySet[OrderIntent], wish: Wish, now: datetime) -> dict[str, QuerySet[OrderIntent]]:
    in_doubt = ChildOrder.objects.filter(intent=OuterRef("pk"), state=State.UNKNOWN)
    known = rows.exclude(Exists(in_doubt))
    ended = known.exclude(status__in=LIVE_STATUSES)
    if not wish.all_days:
        midnight = datetime.combine(now.astimezone(IST).date(), time(), IST)
        ended = ended.filter(status_since__gte=midnight)
    return {
        UNKNOWN: doubtful(rows),
        APPROVAL: known.filter(status=IntentStatus.AWAITING_APPROVAL),
        WORKING: known.filter(status=IntentStatus.WORKING),
        ENDED: ended.order_by("-status_since", "-id"),
    }


def _lane(key: str, rows: QuerySet[OrderIntent], wish: Wish, now: datetime) -> Lane:
    title, meaning, nothing = ENDED_EVER if key == ENDED and wish.all_days else TITLES[key]
    paginator = Paginator(with_children(rows), ROWS_A_PAGE)
    page = paginator.get_page(wish.pages.get(key, "1"))
    return Lane(
        key=key,
        title=title,
        meaning=meaning,
        nothing="No order fits the filter." if wish.narrows else nothing,
        rows=tuple(row_of(intent, now) for intent in page.object_list),
        page=page,
        count=paginator.count,
    )


# --- one row ----------------------------------------------------------------------------------------------------------
def row_of(intent: OrderIntent, now: datetime) -> Row:
    """An order, whose children and their connections are at hand."""
    children = list(intent.children.all())
    said = _said(intent, children)
    filled = sum((child.filled_quantity for child in children), Decimal(0))
    known = words.INTENT[intent.status]
    return Row(
        intent=intent,
        symbol=intent.instrument.tradingsymbol,
        exchange=exchange_of(intent, children),
        asked_and_filled=words.filled_of(filled, intent.quantity),
        price=words.at_price(intent.order_type, intent.price, intent.trigger_price),
        average=average_of(children),
        brokers=tuple(dict.fromkeys(name_of(child) for child in children)),
        state=said,
        tone=words.UNKNOWN.tone if _in_doubt(children) else known.tone,
        meaning=_meaning(intent, children, known),
        since=intent.status_since,
        age=words.age(intent.status_since, now),
        doubts=tuple(doubt_of(child, now) for child in _in_doubt(children)),
    )


def name_of(child: ChildOrder) -> str:
    """The account's name, where it is still connected and has one; else the broker's."""
    connection = child.broker_connection
    return (connection.display_name if connection else "") or registry.load(child.broker_type).spec.name


def went_to(intent: OrderIntent, children: Sequence[ChildOrder]) -> list[str]:
    """The exchanges at which it stands or stood; the one that was asked for, where nothing went out."""
    stood = [child for child in children if child.state not in (State.NOT_PLACED, State.REJECTED)] or children
    return list(dict.fromkeys(child.exchange for child in stood)) or [intent.instrument.exchange]


def exchange_of(intent: OrderIntent, children: Sequence[ChildOrder]) -> str:
    """`NSE`; `BSE (asked for at NSE)` where the cheaper way led elsewhere."""
    asked, went = intent.instrument.exchange, went_to(intent, children)
    return asked if went == [asked] else f"{' and '.join(went)} (asked for at {asked})"


def average_of(children: Sequence[ChildOrder]) -> str:
    """In rupees, to paise; empty where nothing was filled, or a price is not known."""
    average = _average(children)
    return "" if average is None else rupees(average)


def _average(children: Sequence[ChildOrder]) -> Decimal | None:
    """What was paid or got per unit over all fills."""
    filled = [child for child in children if child.filled_quantity]
    worth = [child.filled_quantity * child.average_price for child in filled if child.average_price is not None]
    if not filled or len(worth) < len(filled):
        return None
    return sum(worth, Decimal(0)) / sum((child.filled_quantity for child in filled), Decimal(0))


def _in_doubt(children: Sequence[ChildOrder]) -> list[ChildOrder]:
    return [child for child in children if child.state == State.UNKNOWN]


def _said(intent: OrderIntent, children: Sequence[ChildOrder]) -> str:
    if children and (intent.status == IntentStatus.WORKING or _in_doubt(children)):
        short = words.in_short([(child.state, name_of(child)) for child in children])
        return short[:1].upper() + short[1:]
    return words.INTENT[intent.status].word


def _meaning(intent: OrderIntent, children: Sequence[ChildOrder], known: words.Said) -> str:
    if _in_doubt(children):
        return words.UNKNOWN.meaning
    if intent.status == IntentStatus.WORKING and len(children) == 1:
        known = words.CHILD[children[0].state]
    return " ".join(filter(None, (known.meaning, intent.reason)))


def doubt_of(child: ChildOrder, now: datetime) -> Doubt:
    broker, since = name_of(child), child.unknown_since or child.state_since
    is_over = child.sent_at.astimezone(IST).date() < now.astimezone(IST).date()
    return Doubt(
        child=child,
        broker=broker,
        since=since,
        doing=_doing(child, broker, is_over),
        next_look=child.reconcile_due_at,
        settle=_settle(child, broker, is_over),
        by_note=is_over,
    )


def _doing(child: ChildOrder, broker: str, is_over: bool) -> str:
    if is_over:
        return f"Its day is over: the order book of {broker} tells of it no more, either way."
    looked = child.reconcile_attempts
    told = f" It was read {looked} {'time' if looked == 1 else 'times'} so far." if looked else ""
    missed = f" {child.absences} of {ABSENCES} readings that count did not show it." if child.absences else ""
    return f"The order book of {broker} is read again and again, and searched for our label {child.tag}.{told}{missed}"


def _settle(child: ChildOrder, broker: str, is_over: bool) -> str:
    if is_over:
        return f"Take what was filled from the contract note of {broker}, and enter it here."
    if child.explained_at is not None:
        what = f"{child.side} {plainly(child.quantity)}"
        return (
            f"Look into your account at {broker} for {what} before you order the same elsewhere. It settles by itself."
        )
    return "Nothing to do: found, it goes on; proved absent, you may order again. Do not order the same elsewhere yet."


# --- to take along ----------------------------------------------------------------------------------------------------
CSV_HEAD = (
    "order", "created_at_ist", "side", "exchange", "symbol", "product", "order_type", "quantity", "filled",
    "price", "trigger_price", "average_price", "brokers", "broker_order_ids", "status", "status_since_ist",
    "not_known", "reason",
)  # fmt: skip
MOST_CSV_ROWS = 10_000
EIGHT_PLACES = Decimal("1e-8")


def csv_rows(user: User, wish: Wish) -> Iterator[tuple[str, ...]]:
    """The head, then a row for each order that the wish is about, the newest first; before it, where these are not all.

    Times are IST, amounts exact, an average over several orders to eight places.
    """
    wanted = chosen(user, wish)
    count = wanted.count()
    if count > MOST_CSV_ROWS:
        yield (f"INCOMPLETE: the newest {MOST_CSV_ROWS} of {count} orders. Narrow the filter for the older ones.",)
    yield CSV_HEAD
    orders = with_children(wanted)[:MOST_CSV_ROWS]
    for intent in orders.iterator(chunk_size=500):
        children = list(intent.children.all())
        filled = sum((child.filled_quantity for child in children), Decimal(0))
        average = _average(children)
        yield tuple(
            defused(each)
            for each in (
                str(intent.pk),
                _moment(intent.created_at),
                intent.side,
                " + ".join(went_to(intent, children)),
                intent.instrument.tradingsymbol,
                intent.product,
                intent.order_type,
                plainly(intent.quantity),
                plainly(filled),
                "" if intent.price is None else plainly(intent.price),
                "" if intent.trigger_price is None else plainly(intent.trigger_price),
                "" if average is None else plainly(average.quantize(EIGHT_PLACES)),
                " + ".join(dict.fromkeys(name_of(child) for child in children)),
                " + ".join(child.broker_order_id for child in children if child.broker_order_id),
                intent.status,
                _moment(intent.status_since),
                "yes" if _in_doubt(children) else "no",
                intent.reason,
            )
        )


def _moment(at: datetime) -> str:
    return at.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")
