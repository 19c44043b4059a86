"""Kite's JSON into our words. Pure.

Sources: Kite Connect v3 docs ("User", "Portfolio", "Market quotes"); fixtures/zerodha/.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from brokers.candles import daily, ist_day, without_volumes
from brokers.domain import (
    BrokerOrder,
    BrokerTrade,
    Candle,
    Exchange,
    Funds,
    Holding,
    Listing,
    Position,
    Product,
    Profile,
    Quote,
    Rows,
    Session,
    Side,
)
from brokers.secret import Secret
from brokers.verdicts import Failure
from brokers.wire import (
    Row,
    amount,
    as_record,
    flag,
    ist,
    known,
    money,
    one_of,
    optional_text,
    order_status,
    positive,
    record,
    required,
    text,
    texts,
    translated,
    whole,
)
from brokers.zerodha.instruments import exchange_token
from brokers.zerodha.spec import (
    DEBIT_AUTHORISED,
    EXCHANGES,
    ORDER_TYPES,
    PRODUCTS,
    SPEC,
    STATUSES,
    SYSTEM_TAGS,
    VALIDITIES,
)


def failure(body: Any) -> Failure | None:
    """Read `{"status": "error", "message", "error_type"}`; None for a success."""
    if not isinstance(body, Mapping) or body.get("status") == "success":
        return None
    return Failure(body.get("error_type"), body.get("message"))


def data(body: Any) -> Any:
    return required(as_record(body, "body"), "data")


def session(row: Any, *, expires_at: datetime) -> Session:
    """Map the reply of POST /session/token. `refresh_token` is empty for ordinary apps; other tokens are not kept."""
    row = as_record(row, "data")
    return Session(
        access_token=Secret(text(row, "access_token")),
        expires_at=expires_at,
        account_id=text(row, "user_id"),
    )


def profile(row: Any) -> Profile:
    row = as_record(row, "data")
    meta = row.get("meta")
    return Profile(
        account_id=text(row, "user_id"),
        name=text(row, "user_name"),
        exchanges=known(EXCHANGES, texts(row, "exchanges")),
        products=known(PRODUCTS, texts(row, "products")),
        order_types=known(ORDER_TYPES, texts(row, "order_types")),
        debit_authorised=DEBIT_AUTHORISED.get(str(meta.get("demat_consent"))) if isinstance(meta, Mapping) else None,
    )


def holdings(row: Row) -> list[Holding]:
    """Map one element of `data` in GET /portfolio/holdings: the shares, and beside them the funded ones, if any.

    Wire: `quantity` counts free delivered shares only; T1 and pledged shares stand beside it, and so does `mtf`
    (UNCONFIRMED whether it is ever inside; the published row with quantity 1 and mtf 1000 says no).
    Prices are INR per share; an average of 0, or `discrepancy`, means unknown. A close of 0 is no close.
    Ignored on purpose: `pnl` and `day_change*`, which we compute ourselves.
    """
    own = _own_shares(row)
    funded = _funded_shares(row, own)
    if funded is None:
        return [own]
    return [own, funded] if own.owned_quantity or own.used_quantity else [funded]


def _own_shares(row: Row) -> Holding:
    settled, t1 = whole(row, "quantity"), whole(row, "t1_quantity")
    used, opening = whole(row, "used_quantity"), whole(row, "opening_quantity")
    return Holding(
        exchange=one_of(Exchange, row, "exchange"),
        tradingsymbol=text(row, "tradingsymbol"),
        isin=text(row, "isin"),
        broker_token=text(row, "instrument_token"),
        settled_quantity=settled,
        t1_quantity=t1,
        pledged_quantity=whole(row, "collateral_quantity"),
        used_quantity=used,
        sales_deducted=_sales_deducted(settled + t1, used, opening),
        average_price=None if flag(row, "discrepancy") else positive(row, "average_price"),
        last_price=positive(row, "last_price"),
        close_price=positive(row, "close_price"),
    )


def _sales_deducted(free: Decimal, used: Decimal, opening: Decimal) -> bool | None:
    """Whether today's sales have left the quantities already: the row's own opening quantity tells.

    UNCONFIRMED which of the two Kite does; where neither sum fits, only an earlier snapshot can tell.
    """
    if not used or opening == free + used:
        return True
    return False if opening == free else None


def _funded_shares(row: Row, own: Holding) -> Holding | None:
    """The `mtf` object: shares bought with the broker's money, a line of their own."""
    mtf = row.get("mtf")
    if not mtf or not whole(as_record(mtf, "mtf"), "quantity"):
        return None
    value, margin = money(mtf, "value"), money(mtf, "initial_margin")
    return Holding(
        exchange=own.exchange,
        tradingsymbol=own.tradingsymbol,
        isin=own.isin,
        broker_token=own.broker_token,
        product=Product.MTF,
        settled_quantity=whole(mtf, "quantity"),
        used_quantity=whole(mtf, "used_quantity"),
        sales_deducted=None if whole(mtf, "used_quantity") else True,
        average_price=positive(mtf, "average_price"),
        last_price=own.last_price,
        close_price=own.close_price,
        # UNCONFIRMED: the loan is read as what the shares cost less what the trader put in.
        funded_amount=None if value is None or margin is None else value - margin,
    )


def net_positions(body: Any) -> Any:
    """The `net` list is what is open; `day` is today's dealing over again, never to be added."""
    return required(as_record(data(body), "data"), "net")


def positions(row: Row) -> list[Position]:
    """Map one element of `data.net` in GET /portfolio/positions.

    Wire: `quantity` counts lots on MCX and currency; `multiplier` makes units of them and is inside every `*_value`.
    A closed row has quantity 0 and average 0. `close_price` is 0 for a position opened today.
    """
    multiplier = amount(row, "multiplier")
    quantity = amount(row, "quantity")
    return [
        Position(
            exchange=one_of(Exchange, row, "exchange"),
            tradingsymbol=text(row, "tradingsymbol"),
            isin=None,
            broker_token=text(row, "instrument_token"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            quantity=quantity * multiplier,
            overnight_quantity=amount(row, "overnight_quantity") * multiplier,
            average_price=positive(row, "average_price") if quantity else None,
            last_price=positive(row, "last_price"),
            close_price=positive(row, "close_price"),
            buy_value=amount(row, "buy_value"),
            sell_value=amount(row, "sell_value"),
            day_buy_quantity=whole(row, "day_buy_quantity") * multiplier,
            day_buy_value=amount(row, "day_buy_value"),
            day_sell_quantity=whole(row, "day_sell_quantity") * multiplier,
            day_sell_value=amount(row, "day_sell_value"),
            exchange_token=exchange_token(whole(row, "instrument_token")),
        )
    ]


def orders(row: Row) -> list[BrokerOrder]:
    """Map one element of `data` in GET /orders.

    Wire: MCX and currency quantities are lots and nothing here says of how many units, so they stay as they are given.
    `average_price` is 0 until filled. A protected MARKET order comes back as LIMIT.
    """
    quantity, filled = whole(row, "quantity"), whole(row, "filled_quantity")
    return [
        BrokerOrder(
            broker_order_id=text(row, "order_id"),
            exchange_order_id=optional_text(row, "exchange_order_id"),
            exchange=one_of(Exchange, row, "exchange"),
            tradingsymbol=text(row, "tradingsymbol"),
            broker_token=text(row, "instrument_token"),
            side=one_of(Side, row, "transaction_type"),
            order_type=translated(ORDER_TYPES, required(row, "order_type"), "order_type"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            validity=translated(VALIDITIES, required(row, "validity"), "validity"),
            quantity=quantity,
            filled_quantity=filled,
            price=positive(row, "price"),
            trigger_price=positive(row, "trigger_price"),
            average_price=positive(row, "average_price"),
            status=order_status(STATUSES, text(row, "status"), filled, quantity),
            status_message=optional_text(row, "status_message"),
            tag=_tag(row),
            placed_at=time_of(row, "order_timestamp"),
        )
    ]


def _tag(row: Row) -> str | None:
    """UNCONFIRMED whether `tag` stays where Kite adds tags of its own: `tags` holds them all."""
    told = [optional_text(row, "tag"), *texts(row, "tags")]
    return next((tag for tag in told if tag and not tag.startswith(SYSTEM_TAGS)), None)


def trades(row: Row) -> list[BrokerTrade]:
    """Map one element of `data` in GET /trades. `order_timestamp` is a time of day only; `fill_timestamp` is whole."""
    return [
        BrokerTrade(
            trade_id=text(row, "trade_id"),
            broker_order_id=text(row, "order_id"),
            exchange=one_of(Exchange, row, "exchange"),
            tradingsymbol=text(row, "tradingsymbol"),
            broker_token=text(row, "instrument_token"),
            side=one_of(Side, row, "transaction_type"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            quantity=whole(row, "quantity"),
            price=amount(row, "average_price"),
            traded_at=time_of(row, "fill_timestamp"),
        )
    ]


def time_of(row: Row, name: str) -> datetime | None:
    return ist(text(row, name), name) if row.get(name) else None


def funds(row: Any) -> Funds:
    """Map GET /user/margins: one ledger per segment, added; `utilised.debits` as given, never rebuilt."""
    row = as_record(row, "data")
    ledgers = [_ledger(record(row, name)) for name in ("equity", "commodity") if row.get(name)]
    open_ledgers = [ledger for ledger in ledgers if ledger is not None]
    return Funds(
        available=_total(ledger.available for ledger in open_ledgers),
        used=_total(ledger.used for ledger in open_ledgers),
        collateral=_total(ledger.collateral for ledger in open_ledgers),
        cash=_total(ledger.cash for ledger in open_ledgers),
    )


def _ledger(row: Row) -> Funds | None:
    """None where the segment is not open. A cash of 0 on a funded account has been seen live: then it is derived."""
    if not flag(row, "enabled"):
        return None
    available, utilised = record(row, "available"), record(row, "utilised")
    net, debits = amount(row, "net"), amount(utilised, "debits")
    collateral = amount(available, "collateral")
    return Funds(
        available=net,
        used=debits,
        collateral=collateral,
        cash=amount(available, "cash") or net + debits - collateral,
    )


def _total(values: Any) -> Decimal | None:
    """The sum over the open segments; None where no segment is open."""
    amounts = list(values)
    return sum(amounts, Decimal(0)) if amounts else None


def quotes(rows: Any, asked: Mapping[str, Listing]) -> tuple[Quote, ...]:
    """Map GET /quote/ohlc. Instruments without data are simply missing; `ohlc.close` is the previous day's."""
    found = as_record(rows, "data")
    return tuple(
        Quote(
            exchange=listing.exchange,
            broker_token=listing.broker_token,
            last_price=positive(found[key], "last_price"),
            close_price=positive(record(found[key], "ohlc"), "close"),
        )
        for key, listing in asked.items()
        if key in found
    )


def candles(body: Any, listing: Listing, first: date, last: date) -> Rows[Candle]:
    """Map GET /instruments/historical/:token/day: `candles` of `[time, open, high, low, close, volume]`, INR.

    Wire: the time is `2017-12-15T00:00:00+0530`. UNCONFIRMED whether prices are adjusted for splits and bonuses: they
    are taken as they stand. UNCONFIRMED how many units a volume of lots is: unknown. An index has a volume of 0.
    """
    rows = daily(required(as_record(data(body), "data"), "candles"), ist_day, first, last)
    return without_volumes(rows) if listing.exchange in SPEC.counts_lots_at else rows
