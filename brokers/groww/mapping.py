"""Groww's JSON into our words. Pure.

Sources: Groww Trade API docs (Authentication, Portfolio, Margin, Live data, Orders), both variants; fixtures/groww/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from brokers.candles import daily, ist_day
from brokers.domain import (
    SEGMENT_OF,
    ZERO,
    BrokerOrder,
    BrokerTrade,
    Candle,
    Exchange,
    Funds,
    Holding,
    Listing,
    OrderStatus,
    Position,
    Profile,
    Quote,
    Rows,
    Segment,
    Session,
    Side,
)
from brokers.errors import UnexpectedResponse
from brokers.groww.instruments import plain_symbol, quote_key
from brokers.groww.spec import EXCHANGES, ORDER_TYPES, PRODUCTS, STATUSES, TRADING_HOURS, VALIDITIES
from brokers.secret import Secret
from brokers.verdicts import Failure
from brokers.wire import (
    IST,
    Row,
    amount,
    as_record,
    as_rows,
    first_text,
    money,
    number,
    one_of,
    optional_flag,
    optional_text,
    order_status,
    positive,
    required,
    text,
    texts,
    translated,
    whole,
)

BALANCE = "cnc_balance_available"
PAISE_RATIOS = (Decimal(80), Decimal(125))


def failure(body: Any) -> Failure | None:
    """Read `{"status": "FAILURE", "error": {"code", "message"}}`, which may come with HTTP 200.

    The token call has no envelope: neither its success nor its `{"error": {"displayMessage"}}` has a `status`.
    """
    if not isinstance(body, Mapping) or body.get("status") == "SUCCESS":
        return None
    if "status" not in body and "error" not in body:
        return None
    error = body.get("error")
    if not isinstance(error, Mapping):
        return Failure(None)
    return Failure(optional_text(error, "code"), optional_text(error, "message") or error.get("displayMessage"))


def data(body: Any) -> Any:
    return required(as_record(body, "body"), "payload")


def listed(body: Any, name: str) -> list[Any]:
    """The list of that name in the payload of a success.

    UNCONFIRMED how an empty list is sent: null, or a payload with nothing in it, is read as empty. A payload that has
    other things in it but not the list is one we do not know, and no empty account.
    """
    payload = as_record(data(body), "payload")
    if not payload:
        return []
    rows = required(payload, name)
    return [] if rows is None else as_rows(rows, name)


def session(row: Any, *, expires_at: datetime) -> Session:
    """Map the bare reply of POST /v1/token/api/access. Its `expiry`, naive IST (UNCONFIRMED), beats `expires_at`.

    One third-party client expects the object under `payload` (UNCONFIRMED): taken too. Whose account it opens is told
    by the profile only.
    """
    row = as_payload(row)
    expiry = optional_text(row, "expiry")
    return Session(
        access_token=Secret(text(row, "token")),
        expires_at=moment(expiry, "expiry") if expiry else expires_at,
    )


def as_payload(body: Any) -> Row:
    """What a call answers that may come with an envelope, or without."""
    row = as_record(body, "body")
    return as_record(row.get("payload") or row, "payload")


def profile(row: Any) -> Profile:
    """Map GET /v1/user/detail. There is no name of a person: the client code stands for it."""
    row = as_record(row, "payload")
    account_id = text(row, "ucc")
    return Profile(
        account_id=account_id,
        name=account_id,
        exchanges=_exchanges(row),
        debit_authorised=optional_flag(row, "ddpi_enabled"),
    )


def _exchanges(row: Row) -> tuple[Exchange, ...] | None:
    if row.get("active_segments") is None:
        return None
    active = texts(row, "active_segments")
    closed = {word for word in ("NSE", "BSE") if row.get(f"{word.lower()}_enabled") is False}
    return tuple(
        exchange for (segment, word), exchange in EXCHANGES.items() if segment in active and word not in closed
    )


def holdings(row: Row) -> list[Holding]:
    """Map one element of `payload.holdings` in GET /v1/holdings/user.

    Wire: `quantity` is the net total, T1 and pledged shares inside it (inferred from the one published row; a row in
    which they cannot be inside is not read). Locked, re-pledged and moving shares are shown there, never added.
    No exchange: NSE until a price is found at BSE alone. No price. An average of 0 or null is unknown.
    UNCONFIRMED when a sale of today leaves `quantity`, so only an earlier snapshot can tell.
    """
    symbol = plain_symbol(text(row, "trading_symbol"))
    quantity, t1, pledged = whole(row, "quantity"), _part(row, "t1_quantity"), _part(row, "pledge_quantity")
    if t1 + pledged > quantity:
        raise UnexpectedResponse("quantity", "is less than its parts")
    return [
        Holding(
            exchange=Exchange.NSE,
            tradingsymbol=symbol,
            isin=text(row, "isin"),
            broker_token=quote_key(Exchange.NSE, symbol),
            settled_quantity=quantity - t1 - pledged,
            t1_quantity=t1,
            pledged_quantity=pledged,
            used_quantity=_part(row, "groww_locked_quantity"),
            sales_deducted=None,
            average_price=positive(row, "average_price"),
            last_price=None,
            close_price=None,
        )
    ]


def at_bse(line: Holding) -> Holding:
    return replace(line, exchange=Exchange.BSE, broker_token=quote_key(Exchange.BSE, line.tradingsymbol))


def adds_up(row: Row) -> bool:
    """Whether free, T1 and pledged shares make up `quantity`, as they do in the published row."""
    parts = ("demat_free_quantity", "t1_quantity", "pledge_quantity")
    return whole(row, "quantity") == sum((_part(row, name) for name in parts), ZERO)


def _part(row: Row, name: str) -> Decimal:
    """A part of a quantity that is known as a whole: where it is not told, there is none of it."""
    exact = number(row.get(name), name) or ZERO
    if exact < 0:
        raise UnexpectedResponse(name, "is negative")
    return exact


def positions(row: Row) -> list[Position]:
    """Map one element of `payload.positions` in GET /v1/positions/user.

    Wire: credit is bought, debit is sold, both today (inferred: carried + credit - debit is `quantity` in the published
    row; one where it is not cannot be read). No price, no token, and an ISIN for shares only.
    Ignored on purpose: `realised_pnl`, which we compute ourselves, and the carried parts by side.
    UNCONFIRMED on MCX: quantities are read as units, as the docs say of all.
    """
    exchange = translated(EXCHANGES, (required(row, "segment"), required(row, "exchange")), "segment")
    symbol = plain_symbol(text(row, "trading_symbol"))
    quantity, carried = amount(row, "quantity"), _signed(row, "net_carry_forward_quantity")
    bought, sold = _part(row, "credit_quantity"), _part(row, "debit_quantity")
    if carried + bought - sold != quantity:
        raise UnexpectedResponse("quantity", "is not what was carried, bought and sold")
    day_buy_value, day_sell_value = _value(row, bought, "credit_price"), _value(row, sold, "debit_price")
    carried_value = _value(row, abs(carried), "net_carry_forward_price")
    return [
        Position(
            exchange=exchange,
            tradingsymbol=symbol,
            isin=optional_text(row, "symbol_isin") if SEGMENT_OF[exchange] is Segment.EQUITY else None,
            broker_token=quote_key(exchange, symbol),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            quantity=quantity,
            overnight_quantity=carried,
            average_price=positive(row, "net_price") if quantity else None,
            last_price=None,
            close_price=None,
            buy_value=day_buy_value + (carried_value if carried > 0 else ZERO),
            sell_value=day_sell_value + (carried_value if carried < 0 else ZERO),
            day_buy_quantity=bought,
            day_buy_value=day_buy_value,
            day_sell_quantity=sold,
            day_sell_value=day_sell_value,
        )
    ]


def _signed(row: Row, name: str) -> Decimal:
    return number(row.get(name), name) or ZERO


def _value(row: Row, quantity: Decimal, price: str) -> Decimal:
    """What so many units were dealt for. Units without a price make the row unreadable: nothing changes hands for 0."""
    if not quantity:
        return ZERO
    paid = positive(row, price)
    if paid is None:
        raise UnexpectedResponse(price, "has no number")
    return quantity * paid


def is_perhaps_in_paise(position: Position) -> bool:
    """Whether a share or future seems to have cost a hundred times its price: one client divides some prices by 100.

    UNCONFIRMED: documented as rupees, and kept so. Options do lose 99 % of their price, and are left alone.
    """
    is_option = position.segment is not Segment.EQUITY and position.tradingsymbol.endswith(("CE", "PE"))
    if is_option or position.average_price is None or not position.last_price:
        return False
    lowest, highest = PAISE_RATIOS
    return lowest < position.average_price / position.last_price < highest


def funds(row: Any) -> Funds:
    """Map GET /v1/margins/detail/user.

    The balances per product are the same money seen from several sides: never added. What stands in the nested "used"
    figures has no reliable sign, so the overall one is taken.
    """
    row = as_record(row, "payload")
    cash, used = money(row, "clear_cash"), money(row, "net_margin_used")
    available = number(as_record(row.get("equity_margin_details") or {}, "equity_margin_details").get(BALANCE), BALANCE)
    if available is None and cash is not None and used is not None:
        available = cash - used
    return Funds(available=available, used=used, collateral=money(row, "collateral_available"), cash=cash)


def orders(row: Row) -> list[BrokerOrder]:
    """Map one element of `payload.order_list` in GET /v1/order/list. 0 stands for "no price".

    The exchange's number of an order is told with its trades only. Of a status that we do not know, its word is kept.
    """
    exchange, symbol = _traded(row)
    quantity, filled = whole(row, "quantity"), whole(row, "filled_quantity")
    word, remark = text(row, "order_status"), optional_text(row, "remark")
    status = order_status(STATUSES, word, filled, quantity)
    return [
        BrokerOrder(
            broker_order_id=text(row, "groww_order_id"),
            exchange_order_id=None,
            exchange=exchange,
            tradingsymbol=symbol,
            broker_token=quote_key(exchange, symbol),
            side=one_of(Side, row, "transaction_type"),
            order_type=translated(ORDER_TYPES, required(row, "order_type"), "order_type"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            validity=translated(VALIDITIES, required(row, "validity"), "validity"),
            quantity=quantity,
            filled_quantity=filled,
            price=positive(row, "price"),
            trigger_price=positive(row, "trigger_price"),
            average_price=positive(row, "average_fill_price"),
            status=status,
            status_message=word if status is OrderStatus.UNKNOWN else remark,
            tag=optional_text(row, "order_reference_id"),
            placed_at=_time(row, "created_at", exchange),
        )
    ]


def trades(row: Row) -> list[BrokerTrade]:
    """Map one element of `payload.trade_list` in GET /v1/order/trades/{id}. Groww's own number may be empty."""
    exchange, symbol = _traded(row)
    price = positive(row, "price")
    if price is None:
        raise UnexpectedResponse("price", "has no number")
    return [
        BrokerTrade(
            trade_id=first_text(row, "exchange_trade_id", "groww_trade_id"),
            broker_order_id=text(row, "groww_order_id"),
            exchange=exchange,
            tradingsymbol=symbol,
            broker_token=quote_key(exchange, symbol),
            side=one_of(Side, row, "transaction_type"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            quantity=whole(row, "quantity"),
            price=price,
            traded_at=_time(row, "trade_date_time", exchange),
        )
    ]


def _traded(row: Row) -> tuple[Exchange, str]:
    exchange = translated(EXCHANGES, (required(row, "segment"), required(row, "exchange")), "segment")
    return exchange, plain_symbol(text(row, "trading_symbol"))


def _time(row: Row, name: str, exchange: Exchange) -> datetime | None:
    """A time of day at an exchange; without an offset it is IST.

    UNCONFIRMED whether a `Z` is meant: it is believed where the market was open then, else the time is unknown.
    """
    value = optional_text(row, name)
    if value is None:
        return None
    at = moment(value, name)
    opens, closes = TRADING_HOURS[SEGMENT_OF[exchange]]
    is_marked = at.tzinfo is not IST
    return None if is_marked and not opens <= at.astimezone(IST).time() <= closes else at


def moment(value: str, name: str) -> datetime:
    """An ISO time; without an offset it is IST."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise UnexpectedResponse(name, "is not a time") from None
    return at if at.tzinfo else at.replace(tzinfo=IST)


def quotes(row: Any, asked: Mapping[str, Listing]) -> tuple[Quote, ...]:
    """Map GET /v1/live-data/ltp: `NSE_RELIANCE` → price. UNCONFIRMED that unknown listings are missing: none is needed.

    UNCONFIRMED that the batch of OHLC has the previous day's close (it has not in the published sample): not asked.
    """
    found = as_record(row, "payload")
    return tuple(
        Quote(
            exchange=listing.exchange,
            broker_token=listing.broker_token,
            last_price=positive(found, key),
            close_price=None,
        )
        for key, listing in asked.items()
        if key in found
    )


def candles(body: Any, first: date, last: date) -> Rows[Candle]:
    """Map GET /v1/historical/candles: `candles` of `[time, open, high, low, close, volume, open interest]`, INR, units.

    Wire: the time is that of an Indian clock, without an offset. UNCONFIRMED whether prices are adjusted for splits and
    bonuses: they are taken as they stand.
    """
    return daily(listed(body, "candles"), ist_day, first, last)
