"""Sources for the merged book: recorded accounts, and lines written by hand where nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers import registry
from brokers.domain import BrokerPortfolio, Contract, Exchange, Funds, Holding, Position, Product, Rows
from portfolio.consolidate import consolidate
from portfolio.domain import (
    BorrowedPrice,
    ConsolidatedPortfolio,
    ConsolidatedPosition,
    InstrumentKey,
    LivePrice,
    Source,
    SourceState,
)
from tests.contract.recorded import cases, replay

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
USER = 7
Number = int | str | Decimal
INFY, SBIN, RELIANCE, GILT, AARON = "INE009A01021", "INE062A01020", "INE002A01018", "INF204KC1089", "INE721Z01010"
NSE_INFY, BSE_INFY = (Exchange.NSE, "1594"), (Exchange.BSE, "500209")
NSE_SBIN = (Exchange.NSE, "3045")
NIFTY_FUTURE = (Exchange.NFO, "53001")
LISTINGS: dict[InstrumentKey, str] = {NSE_INFY: INFY, BSE_INFY: INFY, NSE_SBIN: SBIN}


def recorded(slug: str, *files: str) -> BrokerPortfolio:
    """The account that these recorded lists make."""
    holdings: tuple[Holding, ...] = ()
    positions: tuple[Position, ...] = ()
    for file in files:
        call = next(call for call in cases(slug).calls if call.first_reply == file)
        rows: Rows[Any] = replay(slug, call)
        if call.call == "holdings":
            holdings += rows.items
        else:
            positions += rows.items
    return account(holdings, positions)


def account(
    holdings: Iterable[Holding] = (),
    positions: Iterable[Position] = (),
    funds: Funds | None = None,
    *,
    age: int = 0,
    **more: Any,
) -> BrokerPortfolio:
    """An answer that is `age` seconds old."""
    return BrokerPortfolio(
        as_of=NOW - timedelta(seconds=age),
        holdings=tuple(holdings),
        positions=tuple(positions),
        funds=funds,
        **more,
    )


def source(slug: str, portfolio: BrokerPortfolio | None, *, number: int = 1, **changed: Any) -> Source:
    """The `number`-th connection to a broker; live unless said otherwise, missing without a portfolio."""
    state = SourceState.LIVE if portfolio else SourceState.MISSING
    spec = registry.load(slug).spec
    facts = {
        "connection_id": f"{slug}-{number}",
        "broker_type": slug,
        "broker_name": spec.name,
        "display_name": f"{spec.name} {number}",
        "rank": registry.order_of(slug),
        "state": state,
        "portfolio": portfolio,
    }
    return Source(**{**facts, **changed})


def holding(
    isin: str | None = INFY,
    quantity: Number = 10,
    *,
    average: Number | None = "100",
    last: Number | None = "110",
    close: Number | None = "105",
    exchange: Exchange = Exchange.NSE,
    symbol: str = "INFY",
    **changed: Any,
) -> Holding:
    return Holding(
        exchange=exchange,
        tradingsymbol=symbol,
        isin=isin,
        broker_token=f"{exchange}:{symbol}",
        settled_quantity=Decimal(quantity),
        average_price=decimal(average),
        last_price=decimal(last),
        close_price=decimal(close),
        **changed,
    )


def position(
    quantity: Number,
    *,
    price: Number = "100",
    last: Number | None = "110",
    close: Number | None = "105",
    exchange: Exchange = Exchange.NSE,
    symbol: str = "INFY",
    product: Product = Product.CNC,
    isin: str | None = None,
    **changed: Any,
) -> Position:
    """A row opened today by one purchase (or, with a negative quantity, one sale) at `price`."""
    count, value = Decimal(quantity), abs(Decimal(quantity)) * Decimal(price)
    bought, sold = (value, Decimal(0)) if count > 0 else (Decimal(0), value)
    facts: dict[str, Any] = {
        "overnight_quantity": Decimal(0),
        "buy_value": bought,
        "sell_value": sold,
        "day_buy_quantity": max(count, Decimal(0)),
        "day_buy_value": bought,
        "day_sell_quantity": max(-count, Decimal(0)),
        "day_sell_value": sold,
    }
    return Position(
        exchange=exchange,
        tradingsymbol=symbol,
        isin=isin,
        broker_token=f"{exchange}:{symbol}",
        product=product,
        quantity=count,
        average_price=Decimal(price),
        last_price=decimal(last),
        close_price=decimal(close),
        **{**facts, **changed},
    )


def future(quantity: int = 75, *, token: str | None = "53001", **changed: Any) -> Position:
    return position(
        quantity,
        price="24000",
        last=changed.pop("last", "24100"),
        close=changed.pop("close", "24050"),
        exchange=Exchange.NFO,
        symbol="NIFTY26DECFUT",
        product=Product.NRML,
        exchange_token=token,
        contract=Contract(underlying="NIFTY", expiry=date(2026, 12, 29)),
        **changed,
    )


def told(
    price: Number, close: Number | None = None, *, exchange: Exchange = Exchange.NSE, age: int = 0, stale: bool = False
) -> LivePrice:
    """The price that streams, `age` seconds old."""
    return LivePrice(
        exchange=exchange,
        price=Decimal(price),
        close=decimal(close),
        source="zerodha",
        as_of=NOW - timedelta(seconds=age),
        stale=stale,
    )


def lent(
    price: Number | None, close: Number | None = None, *, exchange: Exchange = Exchange.NSE, by: str = "upstox"
) -> BorrowedPrice:
    return BorrowedPrice(exchange=exchange, price=decimal(price), close=decimal(close), broker_type=by, as_of=NOW)


def decimal(number: Number | None) -> Decimal | None:
    return None if number is None else Decimal(number)


def merged(*sources: Source, **more: Any) -> ConsolidatedPortfolio:
    return consolidate(USER, sources, now=NOW, **more)


def of(book: ConsolidatedPortfolio, key: str) -> ConsolidatedPosition:
    [found] = [position for position in book.positions if position.key == key]
    return found
