"""Level (c): positions are closed after everything that was open is cancelled, one account at a time, never at market.

Each closing is a square-off like any other (`squaring`): at its own broker, no larger than what stands, with what
closes it already counted, and a limit that is a little beyond the last price. What does not fill stands; pulling again
cancels it and closes anew, at the price of then. Shares are left alone: those in demat, those bought for delivery
today, and those sold out of demat, whose negative row is no short position.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rest_framework.exceptions import APIException

from brokers.domain import InstrumentKind, Position, Side
from brokers.errors import BrokerError
from brokers.models import BrokerConnection
from market.models import InstrumentListing
from orders import halting, intake, sending, squaring
from orders.halt_models import HaltProgress, Reach
from orders.problems import USUAL_TICK
from orders.refusals import OrderRefused
from orders.rules import protected_price
from portfolio import services as portfolio
from portfolio.domain import SourceState
from portfolio.risk_models import TradingHalt
from portfolio.services import NoBrokerConnections

logger = logging.getLogger(__name__)

LOOKS_AGAIN = timedelta(seconds=10)


def go_on(
    halt: TradingHalt, rows: Iterable[HaltProgress], *, now: datetime, send: intake.Send = sending.send
) -> None:  # fmt: skip
    """Close what stands at these connections, as far as no order closes it already. Not within a transaction."""
    waiting = list(rows)
    if not waiting:
        return
    try:
        sources, _ = portfolio.fetched_sources(halt.user, now=now)
    except NoBrokerConnections:
        return
    books = {each.connection_id: each for each in sources}
    for row in waiting:
        source = books.get(str(row.broker_connection_id))
        if source is None or source.portfolio is None or source.state is not SourceState.LIVE:
            _look_again(row, now)
            continue
        open_ones = [each for each in source.portfolio.positions if each.quantity and not each.is_delivery]
        for position in open_ones:
            _close(halt, row, position, now, send)
        if open_ones:
            _look_again(row, now)
        else:
            row.state, row.next_at, row.updated_at = Reach.SETTLED, None, now
            row.save(update_fields=["state", "next_at", "positions", "updated_at"])
    halting.announce(halt, list(halt.progress.select_related("broker_connection")))


def _look_again(row: HaltProgress, now: datetime) -> None:
    row.next_at, row.updated_at = now + LOOKS_AGAIN, now
    row.save(update_fields=["positions", "next_at", "updated_at"])


def _close(halt: TradingHalt, row: HaltProgress, position: Position, now: datetime, send: intake.Send) -> None:
    """One position. What is refused is kept with its reason, and tried again in the next round."""
    connection = row.broker_connection
    assert connection is not None  # noqa: S101 - rows of connections that are gone were left out
    name = f"{position.exchange}:{position.tradingsymbol}:{position.product}"
    line: dict[str, Any] = {
        "exchange": position.exchange.value,
        "tradingsymbol": position.tradingsymbol,
        "product": position.product.value,
        "quantity": f"{position.quantity.normalize():f}",
        "order": row.positions.get(name, {}).get("order"),
        "code": None,
        "reason": None,
    }
    try:
        taken = _square_off(halt, row, connection, position, now, send)
        line["order"] = str(taken.intents[0].pk)
    except (OrderRefused, APIException) as refusal:
        code = str(getattr(refusal, "default_code", "refused"))
        if not (code == "no_position" and line["order"]):  # another order closes it already: that is well
            line |= {"code": code, "reason": str(refusal.detail)}
    except BrokerError as error:
        line |= {"code": error.code, "reason": error.message}
    row.positions[name] = line


class _Unpriced(OrderRefused):
    default_detail = "Its last price is not known, and no order goes out without a limit."
    default_code = "price_unknown"


class _Unmatched(OrderRefused):
    default_detail = "Nobody knows which instrument this is: close it in the broker’s own app."
    default_code = "instrument_unknown"


def _square_off(
    halt: TradingHalt,
    row: HaltProgress,
    connection: BrokerConnection,
    position: Position,
    now: datetime,
    send: intake.Send,
) -> intake.Taken:
    listing = (
        InstrumentListing.objects.filter(
            broker_type=connection.broker_type,
            broker_token=position.broker_token,
            instrument__exchange=position.exchange,
        )
        .select_related("instrument")
        .first()
    )
    if listing is None:
        raise _Unmatched
    return squaring.square_off(
        user=halt.user,
        connection_id=connection.pk,
        instrument_id=listing.instrument_id,
        product=position.product.value,
        quantity=None,
        price=_limit(position, listing),
        key=f"halt-{halt.pk}-{row.rounds}-{connection.pk.hex}-{listing.instrument_id}-{position.product}"
        f"-{int(now.timestamp())}",
        now=now,
        send=send,
    )


def _limit(position: Position, listing: InstrumentListing) -> Decimal:
    """A little beyond the last price, on the tick. Raises OrderRefused where that is not known."""
    if position.last_price is None or position.last_price <= 0:
        raise _Unpriced
    side = Side.SELL if position.quantity > 0 else Side.BUY
    tick = listing.tick_size or listing.instrument.tick_size or USUAL_TICK
    return protected_price(side, position.last_price, InstrumentKind(listing.instrument.kind), tick)
