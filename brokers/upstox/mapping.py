"""Upstox's JSON into our words. Pure.

Sources: Upstox API docs (Get Holdings, Get Positions, Get Funds and Margin v3, LTP v3, Get Token); fixtures/upstox/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.domain import (
    SEGMENT_OF,
    BrokerOrder,
    BrokerPortfolio,
    BrokerTrade,
    Funds,
    Holding,
    Listing,
    Position,
    Profile,
    Quote,
    Rows,
    Segment,
    Session,
    Side,
)
from brokers.secret import Secret
from brokers.upstox.instruments import exchange_token, isin, plain_symbol
from brokers.upstox.spec import EXCHANGES, ORDER_TYPES, PRODUCTS, STATUSES, VALIDITIES
from brokers.verdicts import Failure
from brokers.web_token import expiry
from brokers.wire import (
    Row,
    amount,
    as_record,
    first_text,
    flag,
    ist,
    known,
    money,
    one_of,
    optional_flag,
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


def failure(body: Any) -> Failure | None:
    """Read `{"status": "error", "errors": [{"error_code", "message", …}]}`; the first error counts.

    Bodies carry the snake_case names, the camelCase ones, or both. The reply to the exchange has no envelope at all.
    """
    if not isinstance(body, Mapping) or body.get("status", "success") == "success":
        return None
    errors = body.get("errors") or [{}]
    first = errors[0] if isinstance(errors, list) and isinstance(errors[0], Mapping) else {}
    return Failure(first.get("error_code") or first.get("errorCode"), first.get("message"))


def data(body: Any) -> Any:
    return required(as_record(body, "body"), "data")


def session(row: Any, *, expires_at: datetime) -> Session:
    """Map the bare reply of POST /v2/login/authorization/token. The token's own `exp` beats `expires_at`.

    `extended_token`, good for a year, is deliberately not kept: we hold no more power than we use.
    """
    row = as_record(row, "body")
    access_token = Secret(text(row, "access_token"))
    return Session(
        access_token=access_token,
        expires_at=expiry(access_token) or expires_at,
        account_id=text(row, "user_id"),
    )


def profile(row: Any) -> Profile:
    row = as_record(row, "data")
    return Profile(
        account_id=text(row, "user_id"),
        name=text(row, "user_name"),
        exchanges=known(EXCHANGES, texts(row, "exchanges")),
        products=tuple(
            dict.fromkeys(
                PRODUCTS[word, segment]
                for word in texts(row, "products")
                for segment in Segment
                if (word, segment) in PRODUCTS
            )
        ),
        order_types=known(ORDER_TYPES, texts(row, "order_types")),
        debit_authorised=_debit_authorised(row),
        is_active=flag(row, "is_active"),
    )


def _debit_authorised(row: Row) -> bool | None:
    """Either will do. `ddpi` is newer and may be absent: then the lack of a PoA says nothing. UNCONFIRMED reading."""
    either = [optional_flag(row, name) for name in ("poa", "ddpi")]
    return True if True in either else None if None in either else False


def holdings(row: Row) -> list[Holding]:
    """Map one element of `data` in GET /v2/portfolio/long-term-holdings.

    Wire: `quantity` is by its description the total; T1 and pledged shares are read as parts of it, unless one of them
    is larger than it, which proves that it stands beside. UNCONFIRMED in general, so the three stay apart.
    An average of 0 or null is unknown. `cnc_used_quantity` is blocked by open *or* completed sales, so the row alone
    cannot tell whether a sale has left `quantity` already.
    Ignored on purpose: `pnl` and `day_change*` (0 in a published row whose price had moved).
    """
    exchange = translated(EXCHANGES, required(row, "exchange"), "exchange")
    settled, t1, pledged = _buckets(
        whole(row, "quantity"), whole(row, "t1_quantity"), whole(row, "collateral_quantity")
    )
    used = whole(row, "cnc_used_quantity")
    return [
        Holding(
            exchange=exchange,
            tradingsymbol=first_text(row, "trading_symbol", "tradingsymbol"),
            isin=text(row, "isin"),
            broker_token=text(row, "instrument_token"),
            product=translated(PRODUCTS, (required(row, "product"), SEGMENT_OF[exchange]), "product"),
            settled_quantity=settled,
            t1_quantity=t1,
            pledged_quantity=pledged,
            used_quantity=used,
            sales_deducted=None if used else True,
            average_price=positive(row, "average_price"),
            last_price=positive(row, "last_price"),
            close_price=positive(row, "close_price"),
            company_name=row.get("company_name") or None,
        )
    ]


def _buckets(quantity: Decimal, t1: Decimal, pledged: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Settled, T1 and pledged, not overlapping. A part larger than the total stands beside it; any other is inside.

    Where T1 and pledge fit into the total each alone but not together, the total still holds: the pledge gives way.
    """
    t1_inside = t1 if t1 <= quantity else Decimal(0)
    pledged_inside = pledged if pledged <= quantity else Decimal(0)
    pledged -= max(Decimal(0), t1_inside + pledged_inside - quantity)
    settled = max(Decimal(0), quantity - t1_inside - pledged_inside)
    return settled, t1, pledged


def positions(row: Row) -> list[Position]:
    """Map one element of `data` in GET /v2/portfolio/short-term-positions or /v3/portfolio/mtf-positions.

    Wire: money of carried rows sits in `overnight_*_amount`, today's in `day_*_value`; the published `pnl` and
    `unrealised` are unreliable and ignored. `average_price` may be null: then the buy (long) or sell (short) price.
    Whether amounts include `multiplier` on MCX is UNCONFIRMED: they are taken as they stand, in rupees.
    """
    exchange = translated(EXCHANGES, required(row, "exchange"), "exchange")
    multiplier = amount(row, "multiplier")
    quantity = amount(row, "quantity")
    key = text(row, "instrument_token")
    day_buy_value, day_sell_value = amount(row, "day_buy_value"), amount(row, "day_sell_value")
    overnight = whole(row, "overnight_buy_quantity") - whole(row, "overnight_sell_quantity")
    return [
        Position(
            exchange=exchange,
            tradingsymbol=plain_symbol(first_text(row, "trading_symbol", "tradingsymbol")),
            isin=isin(key),
            broker_token=key,
            product=translated(PRODUCTS, (required(row, "product"), SEGMENT_OF[exchange]), "product"),
            quantity=quantity * multiplier,
            overnight_quantity=overnight * multiplier,
            average_price=_average(row, quantity),
            last_price=positive(row, "last_price"),
            close_price=positive(row, "close_price"),
            buy_value=amount(row, "overnight_buy_amount") + day_buy_value,
            sell_value=amount(row, "overnight_sell_amount") + day_sell_value,
            day_buy_quantity=whole(row, "day_buy_quantity") * multiplier,
            day_buy_value=day_buy_value,
            day_sell_quantity=whole(row, "day_sell_quantity") * multiplier,
            day_sell_value=day_sell_value,
            exchange_token=exchange_token(key),
        )
    ]


def _average(row: Row, quantity: Decimal) -> Decimal | None:
    if not quantity:
        return None
    side = "buy" if quantity > 0 else "sell"
    return positive(row, "average_price") or positive(row, f"{side}_price") or positive(row, f"day_{side}_price")


def without_doubles(portfolio: BrokerPortfolio, funded: Any) -> BrokerPortfolio:
    """Join the list of funded positions to the rest, counting each funded share once.

    The funded list is the documented home of MTF shares. The other two lists may repeat them (UNCONFIRMED): a line of
    theirs with the same key and product gives way.
    """
    assert isinstance(funded, Rows)  # noqa: S101 - for the type checker
    keys = {(position.broker_token, position.product) for position in funded.items}
    return replace(
        portfolio,
        holdings=tuple(line for line in portfolio.holdings if (line.broker_token, line.product) not in keys),
        positions=tuple(line for line in portfolio.positions if (line.broker_token, line.product) not in keys)
        + tuple(funded.items),
        problems=portfolio.problems + funded.problems,
    )


def orders(row: Row) -> list[BrokerOrder]:
    """Map one element of `data` in GET /v2/order/retrieve-all. MCX quantities are lots; 0 stands for "no price"."""
    exchange = translated(EXCHANGES, required(row, "exchange"), "exchange")
    quantity, filled = whole(row, "quantity"), whole(row, "filled_quantity")
    return [
        BrokerOrder(
            broker_order_id=text(row, "order_id"),
            exchange_order_id=optional_text(row, "exchange_order_id"),
            exchange=exchange,
            tradingsymbol=plain_symbol(first_text(row, "trading_symbol", "tradingsymbol")),
            broker_token=text(row, "instrument_token"),
            side=one_of(Side, row, "transaction_type"),
            order_type=translated(ORDER_TYPES, required(row, "order_type"), "order_type"),
            product=translated(PRODUCTS, (required(row, "product"), SEGMENT_OF[exchange]), "product"),
            validity=translated(VALIDITIES, required(row, "validity"), "validity"),
            quantity=quantity,
            filled_quantity=filled,
            price=positive(row, "price"),
            trigger_price=positive(row, "trigger_price"),
            average_price=positive(row, "average_price"),
            status=order_status(STATUSES, text(row, "status").lower(), filled, quantity),
            status_message=optional_text(row, "status_message"),
            tag=optional_text(row, "tag"),
            placed_at=_time(row, "order_timestamp"),
        )
    ]


def trades(row: Row) -> list[BrokerTrade]:
    """Map one element of `data` in GET /v2/order/trades/get-trades-for-day."""
    exchange = translated(EXCHANGES, required(row, "exchange"), "exchange")
    return [
        BrokerTrade(
            trade_id=text(row, "trade_id"),
            broker_order_id=text(row, "order_id"),
            exchange=exchange,
            tradingsymbol=plain_symbol(first_text(row, "trading_symbol", "tradingsymbol")),
            broker_token=text(row, "instrument_token"),
            side=one_of(Side, row, "transaction_type"),
            product=translated(PRODUCTS, (required(row, "product"), SEGMENT_OF[exchange]), "product"),
            quantity=whole(row, "quantity"),
            price=amount(row, "average_price"),
            traded_at=_time(row, "exchange_timestamp"),
        )
    ]


def _time(row: Row, name: str) -> datetime | None:
    """Order times come as `2023-10-19 13:25:56`, or in an older form as `03-Aug-2017 15:03:42`."""
    value = optional_text(row, name)
    if value is None:
        return None
    return ist(value, name) if value[:4].isdigit() else ist(value, name, "%d-%b-%Y %H:%M:%S")


def funds(row: Any) -> Funds:
    """Map GET /v3/user/get-funds-and-margin. Live replies may lack the pledge part's own total; it is then computed.

    The total of the cash part is what is left of it: what is used of it is cash all the same. UNCONFIRMED.
    """
    trade = record(as_record(row, "data"), "available_to_trade")
    cash, pledge = record(trade, "cash_available_to_trade"), trade.get("pledge_available_to_trade") or {}
    cash_used, cash_left = amount(record(cash, "margin_used"), "total"), money(cash, "total")
    return Funds(
        available=money(trade, "total"),
        used=cash_used + amount(record(pledge, "margin_used"), "total") if pledge else cash_used,
        collateral=amount(record(pledge, "margin_from_pledge"), "total") if pledge else None,
        cash=None if cash_left is None else cash_left + cash_used,
    )


def quotes(rows: Any, asked: Mapping[str, Listing]) -> tuple[Quote, ...]:
    """Map GET /v3/market-quote/ltp. Rows are keyed `NSE_EQ:INFY`, so the row's own token says which it is; `cp` is the
    previous close."""
    found = {text(row, "instrument_token"): row for row in as_record(rows, "data").values()}
    return tuple(
        Quote(
            exchange=listing.exchange,
            broker_token=listing.broker_token,
            last_price=positive(found[key], "last_price"),
            close_price=positive(found[key], "cp"),
        )
        for key, listing in asked.items()
        if key in found
    )
