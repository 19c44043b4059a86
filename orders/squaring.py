"""Closing a position, at the broker that holds it and nowhere else.

An opposite position at another broker closes nothing: both stand, and both bind money. If that broker cannot be asked
the position stays, and its owner is told; a hedge elsewhere is an order of its own, which a person decides on.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings

from accounts.models import User
from brokers.domain import Exchange, OrderType, Position, Product, Side
from brokers.models import BrokerConnection
from market.models import Instrument, InstrumentListing
from orders import intake, keys
from orders.facts import Wanted
from orders.intake import Taken
from orders.lifecycle import LIVE
from orders.models import ChildOrder, Origin
from orders.refusals import BrokerAway, NoPosition, UnknownConnection
from portfolio import services as portfolio
from portfolio.domain import SourceState


def wanted_to_close(
    *,
    user: User,
    connection_id: UUID,
    instrument_id: int,
    product: Product,
    quantity: Decimal | None,
    now: datetime,
    price: Decimal | None = None,
) -> Wanted:
    """The order that closes a position, or `quantity` of it; what orders of ours close already is not closed twice.

    Raises UnknownConnection, BrokerAway, NoPosition.
    """
    connection = BrokerConnection.objects.without_secrets().filter(user=user, pk=connection_id).first()
    if connection is None:
        raise UnknownConnection
    listing = (
        InstrumentListing.objects.filter(instrument=instrument_id, broker_type=connection.broker_type)
        .select_related("instrument")
        .first()
    )
    if listing is None:
        raise NoPosition
    standing = _standing(user, connection, listing, product, now)
    side = Side.SELL if standing > 0 else Side.BUY
    left = abs(standing) - _closing(connection, listing.instrument, product, side)
    if left <= 0:
        raise NoPosition("Orders that stand close all of this position already.")
    return Wanted(
        instrument_id=instrument_id,
        side=side,
        order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
        product=product,
        quantity=left if quantity is None else min(quantity, left),
        price=price,
        exchanges=(Exchange(listing.instrument.exchange),),
        connection_ids=(str(connection.pk),),
        reduces=True,
    )


def square_off(
    *,
    user: User,
    connection_id: UUID,
    instrument_id: int,
    product: str,
    quantity: Decimal | None,
    price: Decimal | None,
    key: str | None,
    now: datetime,
) -> Taken:
    """Close it, once per key. Raises as `wanted_to_close` and `intake.create` do."""
    asked = keys.hash_of(Origin.SQUARE_OFF, [str(connection_id), instrument_id, product, str(quantity), str(price)])
    if (taken := intake.taken_before(user, key, asked)) is not None:
        return taken  # the position may be closed by now, and that by this very order
    wanted = wanted_to_close(
        user=user,
        connection_id=connection_id,
        instrument_id=instrument_id,
        product=Product(product),
        quantity=quantity,
        price=price,
        now=now,
    )
    return intake.create(
        user=user,
        wanted=[wanted],
        key=key,
        request_hash=asked,
        origin=Origin.SQUARE_OFF,
        confirm_duplicate=True,  # what closes already was taken off above
        now=now,
    )


def _standing(
    user: User, connection: BrokerConnection, listing: InstrumentListing, product: Product, now: datetime
) -> Decimal:
    """The signed quantity as the broker says now. Raises BrokerAway, NoPosition."""
    recent = settings.ORDER_FACTS_LIFETIME
    sources = portfolio.known_sources(user, now=now, recent=recent)
    own = [source for source in sources if source.connection_id == str(connection.pk)]
    if not own or own[0].state is not SourceState.LIVE:
        own = [
            source
            for source in portfolio.fetched_sources(user, now=now)[0]
            if source.connection_id == str(connection.pk)
        ]
    if not own or own[0].state is not SourceState.LIVE or own[0].portfolio is None:
        raise BrokerAway
    found = [each for each in own[0].portfolio.positions if _is_this(each, listing, product)]
    quantity = sum((each.quantity for each in found), Decimal(0))
    if not quantity:
        raise NoPosition
    return quantity


def _is_this(position: Position, listing: InstrumentListing, product: Product) -> bool:
    return (
        position.broker_token == listing.broker_token
        and position.exchange == listing.instrument.exchange
        and position.product is product
    )


def _closing(connection: BrokerConnection, instrument: Instrument, product: Product, side: Side) -> Decimal:
    """What orders of ours, that stand or may stand there, close already."""
    rows = ChildOrder.objects.filter(
        broker_connection=connection,
        intent__instrument=instrument,
        product=product,
        side=side,
        state__in=LIVE,
    )
    return sum((row.quantity - row.filled_quantity for row in rows), Decimal(0))
