"""Closing a position, at the broker that holds it and nowhere else.

An opposite position at another broker closes nothing: both stand, and both bind money. If that broker cannot be asked
the position stays, and its owner is told; a hedge elsewhere is an order of its own, which a person decides on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from accounts.models import User
from brokers.domain import Exchange, OrderType, Position, Product, Side
from brokers.models import BrokerConnection
from market.models import InstrumentListing
from orders import closers, intake, keys, sending
from orders.facts import Wanted
from orders.intake import Taken
from orders.models import Origin
from orders.refusals import BrokerAway, NoPosition, UnknownConnection
from portfolio import services as portfolio
from portfolio.domain import SourceState

SOLD = "These shares were sold out of demat: that is no short position, and buying them back closes nothing."
CLOSED_ALREADY = "Other orders close this position, or so much of it, already."


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
    held = _held(user, connection_id, instrument_id, product, now)
    left = held.left(now)
    if left <= 0:
        raise NoPosition(CLOSED_ALREADY)
    return _wanted(held, left if quantity is None else min(quantity, left), price)


@dataclass(frozen=True, slots=True)
class _Held:
    """A position as its broker says now. `quantity` is signed, units."""

    connection: BrokerConnection
    listing: InstrumentListing
    product: Product
    quantity: Decimal
    as_of: datetime

    @property
    def side(self) -> Side:
        return Side.SELL if self.quantity > 0 else Side.BUY

    def left(self, now: datetime) -> Decimal:
        """What no order closes, as of this moment."""
        connection, instrument = self.connection, self.listing.instrument
        # In this order: what is written down between the two readings is counted twice, and not never.
        promised = closers.promised(connection, instrument, self.product, self.side)
        closing = closers.closing(
            connection,
            instrument,
            self.product,
            self.side,
            tokens=[self.listing.broker_token],
            as_of=self.as_of,
            now=now,
        )
        return abs(self.quantity) - promised - closing


def _held(user: User, connection_id: UUID, instrument_id: int, product: Product, now: datetime) -> _Held:
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
    quantity, as_of = _standing(user, connection, listing, product, now)
    return _Held(connection, listing, product, quantity, as_of)


def _wanted(held: _Held, quantity: Decimal, price: Decimal | None) -> Wanted:
    return Wanted(
        instrument_id=held.listing.instrument_id,
        side=held.side,
        order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
        product=held.product,
        quantity=quantity,
        price=price,
        exchanges=(Exchange(held.listing.instrument.exchange),),
        connection_ids=(str(held.connection.pk),),
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
    send: intake.Send = sending.send,
) -> Taken:
    """Close it, once per key. Raises as `wanted_to_close` and `intake.create` do."""
    asked = keys.hash_of(Origin.SQUARE_OFF, [str(connection_id), instrument_id, product, str(quantity), str(price)])
    if (taken := intake.taken_before(user, key, asked)) is not None:
        return taken  # the position may be closed by now, and that by this very order
    held = _held(user, connection_id, instrument_id, Product(product), now)
    left = held.left(now)
    if left <= 0:
        raise NoPosition(CLOSED_ALREADY)
    wanted = _wanted(held, left if quantity is None else min(quantity, left), price)

    def recheck() -> None:
        """Another request may have been taken in since: within the turn of this person nobody else is."""
        if held.left(now) < wanted.quantity:
            raise NoPosition(CLOSED_ALREADY)

    return intake.create(
        user=user,
        wanted=[wanted],
        key=key,
        request_hash=asked,
        origin=Origin.SQUARE_OFF,
        guard=recheck,
        now=now,
        send=send,
    )


def _standing(
    user: User, connection: BrokerConnection, listing: InstrumentListing, product: Product, now: datetime
) -> tuple[Decimal, datetime]:
    """The signed quantity as the broker says now, and when it said so. Raises BrokerAway, NoPosition."""
    sources = portfolio.known_sources(user, now=now, recent=timedelta(0))
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
    if quantity < 0 and found[0].is_delivery:
        raise NoPosition(SOLD)
    return quantity, own[0].portfolio.as_of


def _is_this(position: Position, listing: InstrumentListing, product: Product) -> bool:
    return (
        position.broker_token == listing.broker_token
        and position.exchange == listing.instrument.exchange
        and position.product is product
    )
