"""What closes a position already: orders that stand or may stand, whoever placed them, and fills that its figure lacks.

Too much may be counted where nobody can tell (a fill at the very moment of the answer), never too little: an exit that
is too small is placed again, one that is too large turns the position round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from brokers.domain import ZERO, OrderStatus, Product, Side
from brokers.errors import NotSupported
from brokers.models import BrokerConnection
from brokers.wire import IST
from market.models import Instrument
from orders import units
from orders.lifecycle import LIVE, STANDING
from orders.models import ChildOrder, IntentStatus, OrderEvent, OrderIntent, Origin, SeenOrder

SEEN_STANDING = frozenset({*(OrderStatus(state) for state in STANDING), OrderStatus.SENDING, OrderStatus.UNKNOWN})
UNSENT = (IntentStatus.AWAITING_APPROVAL, IntentStatus.WORKING)


def closing(
    connection: BrokerConnection,
    instrument: Instrument,
    product: Product,
    side: Side,
    *,
    tokens: Collection[str],
    as_of: datetime,
    now: datetime,
    besides: OrderIntent | None = None,
) -> Decimal:
    """Units of a position as of `as_of` that other orders than `besides` close. `tokens`: what the broker calls it.

    Raises NotSupported where one of them is counted in lots of unknown units.
    """
    children = ChildOrder.objects.filter(
        Q(state__in=LIVE) | Q(filled_quantity__gt=0, sent_at__gte=_midnight(now)),
        broker_connection=connection,
        intent__instrument__in=_same(instrument),
        exchange=instrument.exchange,
        product=product,
        side=side,
    )
    mine = list(children if besides is None else children.exclude(intent=besides))
    since = filled_since(mine, as_of)
    ours = sum((since[child.pk] + _open(child) for child in mine), ZERO)
    seen = SeenOrder.objects.filter(
        broker_connection=connection,
        day=now.astimezone(IST).date(),
        child=None,
        exchange=instrument.exchange,
        broker_token__in=tokens,
        product=product,
        side=side,
    )
    clear, unclear = units.of_seen(seen, {connection.pk: connection.broker_type})
    if unclear:
        raise NotSupported(
            "An order that was placed elsewhere closes a part of this position, and nobody tells how many units.",
            code="units_unknown",
        )
    return ours + sum((open_or_new(order, as_of) for order in clear), ZERO)


def promised(
    connection: BrokerConnection, instrument: Instrument, product: Product, side: Side
) -> Decimal:  # fmt: skip
    """Units of square-offs that were taken in, or wait for approval, and of which no order is written down yet."""
    rows = OrderIntent.objects.filter(
        user=connection.user_id,
        origin=Origin.SQUARE_OFF,
        status__in=UNSENT,
        instrument__in=_same(instrument),
        product=product,
        side=side,
        connection_ids__contains=[str(connection.pk)],
    )
    return sum(rows.filter(unsent_quantity__gt=0).values_list("unsent_quantity", flat=True), ZERO)


def filled_since(children: Iterable[ChildOrder], as_of: datetime) -> Mapping[UUID, Decimal]:
    """What was learnt of each order's fills at that moment or later: an answer of `as_of` may lack it."""
    rows = {child.pk: child for child in children}
    told = OrderEvent.objects.filter(
        child__in=[key for key, child in rows.items() if child.filled_quantity > 0],
        at__lt=as_of,
        code__startswith="seen",
        details__has_key="filled_quantity",
    )
    before = dict(told.order_by("at", "id").values_list("child_id", "details__filled_quantity"))
    return {
        key: max(ZERO, child.filled_quantity - Decimal(before.get(key) or 0)) for key, child in rows.items()
    }  # fmt: skip


def open_or_new(order: SeenOrder, as_of: datetime) -> Decimal:
    """Of an order that was placed elsewhere: what is open, and what was filled if it moved at `as_of` or later."""
    is_new = is_newer(order, as_of) or order.seen_at >= as_of
    standing = order.quantity - order.filled_quantity if order.status in SEEN_STANDING else ZERO
    return standing + (order.filled_quantity if is_new else ZERO)


def is_newer(order: SeenOrder, as_of: datetime) -> bool:
    """Whether it was placed at that moment or later; where no broker says when, by when it was seen."""
    return (order.placed_at or order.seen_at) >= as_of


def _open(child: ChildOrder) -> Decimal:
    return child.quantity - child.filled_quantity if child.state in LIVE else ZERO


def _same(instrument: Instrument) -> list[int]:
    """The instrument, and its twins: an order for one may have gone to the exchange of the other."""
    if instrument.isin is None:
        return [instrument.pk]
    return [instrument.pk, *Instrument.objects.filter(isin=instrument.isin).values_list("pk", flat=True)]


def _midnight(now: datetime) -> datetime:
    return now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
