"""What an instrument is called where it shall be dealt in: one broker's names for it, at one exchange."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

import msgspec
from django.db.models import Q

from brokers.dealing import Traded
from brokers.domain import Contract, Exchange, InstrumentKind, Listing, OptionType
from brokers.errors import NotSupported
from market.models import Instrument, InstrumentListing
from orders import units


def at_exchanges(instrument: Instrument, exchanges: Collection[str]) -> dict[Exchange, Instrument]:
    """The same share as it is listed at these exchanges; of a contract, which is at one alone, itself."""
    found = {Exchange(instrument.exchange): instrument}
    if instrument.isin is not None and instrument.kind == InstrumentKind.EQUITY:
        others = Instrument.objects.filter(isin=instrument.isin, exchange__in=exchanges, ended_on=None)
        for other in others.exclude(exchange=instrument.exchange):
            found.setdefault(Exchange(other.exchange), other)
    return {exchange: each for exchange, each in found.items() if exchange in exchanges}


def traded(
    instrument: Instrument, wanted: Collection[tuple[str, Exchange]]
) -> dict[tuple[str, Exchange], Traded | NotSupported]:
    """By (broker, exchange) what is dealt in there; or, where the broker does not list it, the error that says so."""
    places = at_exchanges(instrument, {exchange for _, exchange in wanted})
    rows = InstrumentListing.objects.filter(
        Q(instrument__in=[each.pk for each in places.values()]),
        broker_type__in={broker for broker, _ in wanted},
        withdrawn_on=None,
    )
    listed = {(row.broker_type, row.instrument_id): row for row in rows}
    answer: dict[tuple[str, Exchange], Traded | NotSupported] = {}
    for broker, exchange in wanted:
        place = places.get(exchange)
        row = listed.get((broker, place.pk)) if place is not None else None
        if place is None or row is None:
            answer[broker, exchange] = NotSupported(
                f"This broker does not list {instrument} at {exchange}.", code="not_listed"
            )
        elif (in_one := units.in_one(row, place)) is None:
            answer[broker, exchange] = NotSupported(
                f"This broker counts {instrument} in lots, and it is not known of how many units.",
                code="units_unknown",
            )
        else:
            answer[broker, exchange] = _traded(place, row, in_one)
    return answer


def _traded(instrument: Instrument, listing: InstrumentListing, in_one: Decimal) -> Traded:
    exchange = Exchange(instrument.exchange)
    lot_size = listing.lot_size or instrument.lot_size
    return Traded(
        listing=Listing(
            exchange=exchange,
            tradingsymbol=listing.tradingsymbol,
            broker_token=listing.broker_token,
            isin=listing.isin or instrument.isin,
        ),
        kind=InstrumentKind(instrument.kind),
        exchange_token=instrument.exchange_token,
        contract=_contract(instrument),
        lot_size=in_one if lot_size is None else lot_size,
        tick_size=listing.tick_size or instrument.tick_size,
        multiplier=in_one,
    )


def _contract(instrument: Instrument) -> Contract | None:
    if instrument.expiry is None:
        return None
    return Contract(
        underlying=instrument.underlying,
        expiry=instrument.expiry,
        strike=instrument.strike,
        option_type=OptionType(instrument.option_type) if instrument.option_type else None,
    )


def plain(known: Traded) -> dict[str, Any]:
    """For the row of a child: exact numbers as strings."""
    kept: dict[str, Any] = msgspec.to_builtins(known)
    return kept


def of_row(kept: dict[str, Any]) -> Traded:
    """The same, read back."""
    return msgspec.convert(kept, Traded)
