"""Units and lots. Some brokers count lots at some exchanges, in orders and in books: their spec says where.

Of how many units a lot is, their own master may not say; another's then does. Where nobody does, or two say different
things, nothing is dealt in it: an order would be a hundred times too large.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from brokers import registry
from brokers.domain import SEGMENT_OF, BrokerOrder, BrokerTrade, Exchange
from market.identity import COUNTED_IN_LOTS
from market.models import Instrument, InstrumentListing
from orders.models import ChildOrder, SeenOrder

# A broker, an exchange, and the broker's token there.
Place = tuple[str, str, str]
Told = TypeVar("Told", BrokerOrder, BrokerTrade)


def counts_lots(broker_type: str, exchange: str) -> bool:
    return Exchange(exchange) in registry.load(broker_type).spec.counts_lots_at


def in_one(listing: InstrumentListing, instrument: Instrument) -> Decimal | None:
    """The units in one of what this broker counts of an instrument; None: not known."""
    exchange = Exchange(instrument.exchange)
    own, others = listing.lot_size, instrument.lot_size
    if counts_lots(listing.broker_type, exchange):
        return None if own and others and own != others else own or others
    # A broker that is said to count units, and whose master knows lots of one alone, does not.
    return None if SEGMENT_OF[exchange] in COUNTED_IN_LOTS and not own else Decimal(1)


@dataclass(frozen=True, slots=True)
class Units:
    """For the rows of books: the units in one of what a broker counts, where that is not one."""

    known: Mapping[Place, Decimal] = field(default_factory=dict)

    @classmethod
    def at(cls, places: Iterable[Place]) -> Units:
        """One query; none where all of these are counted in units."""
        wanted = {place for place in places if counts_lots(place[0], place[1])}
        if not wanted:
            return cls()
        rows = InstrumentListing.objects.filter(
            broker_type__in={broker for broker, _, _ in wanted},
            broker_token__in={token for _, _, token in wanted},
            instrument__exchange__in={exchange for _, exchange, _ in wanted},
            instrument__ended_on=None,
        ).select_related("instrument")
        found = {(row.broker_type, row.instrument.exchange, row.broker_token): in_one(row, row.instrument)
                 for row in rows}  # fmt: skip
        return cls({place: each for place in wanted if (each := found.get(place)) is not None})

    def of(self, place: Place, count: Decimal) -> Decimal | None:
        """What the broker counts, in units; None where it counts lots of nobody knows how many."""
        if not counts_lots(place[0], place[1]):
            return count
        each = self.known.get(place)
        return None if each is None else count * each


def of_seen(seen: Iterable[SeenOrder], types: Mapping[UUID, str]) -> tuple[list[SeenOrder], list[SeenOrder]]:
    """These orders in units; and, as they were told, those that count lots of nobody knows how many units.

    `types`: the broker of each connection; orders of others are left out.
    """
    places = [
        (order, (types[order.broker_connection_id], order.exchange, order.broker_token))
        for order in seen
        if order.broker_connection_id in types
    ]
    told = Units.at(place for _, place in places)
    clear, unclear = [], []
    for order, place in places:
        quantity, filled = told.of(place, order.quantity), told.of(place, order.filled_quantity)
        if quantity is None or filled is None:
            unclear.append(order)
        else:
            order.quantity, order.filled_quantity = quantity, filled
            clear.append(order)
    return clear, unclear


def of_child(child: ChildOrder, told: Told) -> Told:
    """What a broker says of an order of ours, or of a fill of it, in units."""
    each = Decimal(child.traded.get("multiplier", 1))
    if each == 1:
        return told
    if isinstance(told, BrokerOrder):
        return replace(told, quantity=told.quantity * each, filled_quantity=told.filled_quantity * each)
    return replace(told, quantity=told.quantity * each)
