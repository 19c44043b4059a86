"""IIFL Capital's JSON into our words. Pure.

Sources: IIFL Capital open API docs ("User", "Portfolio", "Orders", "Market data"); fixtures/iifl_capital/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from brokers import web_token
from brokers.candles import PART, daily, ist_day, without_volumes
from brokers.domain import (
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
    Session,
    Side,
)
from brokers.errors import UnexpectedResponse
from brokers.iifl_capital.instruments import plain_symbol
from brokers.iifl_capital.spec import (
    CLIENT_ID,
    COUNTED_IN_LOTS,
    ERRORS,
    EXCHANGES,
    ORDER_TYPES,
    PRODUCTS,
    STATUSES,
    TELLING_WORDS,
    VALIDITIES,
)
from brokers.secret import Secret
from brokers.verdicts import Failure
from brokers.wire import (
    Row,
    amount,
    as_record,
    as_rows,
    ist,
    known,
    money,
    one_of,
    optional_text,
    order_status,
    positive,
    required,
    text,
    texts,
    translated,
    whole,
)

TIME = "%d-%b-%Y %H:%M:%S"
NOTHING_SAID = "NA"
MARGIN = "currentOrderMargin"
MASK = "*"
SUCCESS = "Success"  # the status of one leg
# A price this many times another of the same share is not in the same unit.
IMPLAUSIBLE = Decimal(50)
_json = msgspec.json.Decoder(float_hook=Decimal)


def failure(body: Any) -> Failure | None:
    """Read `{"status", "message"}`, whose status is "Ok", "Not_Ok" or a code; None for a success, or what comes bare.

    HTTP 200 can carry a failure, and so can a success: each leg of an order has a status of its own. (One leg is all we
    send; where any succeeded, it is none.) A status we do not know gives way to a telling word of the message.
    """
    if not isinstance(body, Mapping) or ("status" not in body and MARGIN in body):
        return None
    said_by = body if body.get("status") != "Ok" else _failed_leg(body.get("result"))
    if said_by is None:
        return None
    code, message = optional_text(said_by, "status"), optional_text(said_by, "message")
    if (None, code) not in ERRORS:
        said = (message or "").casefold()
        code = next((word for word in TELLING_WORDS if word in said), code)
    return Failure(code, message)


def _failed_leg(result: Any) -> Row | None:
    legs = result if isinstance(result, list) else [result]
    failed = [leg for leg in legs if isinstance(leg, Mapping) and leg.get("status", SUCCESS) != SUCCESS]
    return failed[0] if failed and len(failed) == len(legs) else None


def data(body: Any) -> Any:
    return required(as_record(body, "body"), "result")


def rows(body: Any) -> list[Any]:
    """The rows of a list, in the envelope or bare: the docs and the clients disagree. A null is no empty list
    (UNCONFIRMED): a book without rows is told by a code of its own."""
    return as_rows(body if isinstance(body, list) else data(body), "result")


def session(body: Any, *, client_id: str, expires_at: datetime) -> Session:
    """Map POST /v1/getusersession: the token stands beside `status`. Its own `exp`, if any, beats `expires_at`."""
    access_token = Secret(text(as_record(body, "body"), "userSession"))
    return Session(
        access_token=access_token,
        expires_at=web_token.expiry(access_token) or expires_at,
        account_id=client_id,
        facts={CLIENT_ID: client_id},
    )


def profile(row: Any, *, client_id: str | None) -> Profile:
    """Map GET /v1/profile. The published `clientId` is masked, "3******4": where the mask fits the login's own id, that
    is the account; where it does not, the login was another's. `accountStatus` is UNCONFIRMED and not judged."""
    row = as_record(row, "result")
    told = text(row, "clientId")
    return Profile(
        account_id=client_id if client_id and _fits(told, client_id) else told,
        name=text(row, "clientName"),
        exchanges=known(EXCHANGES, texts(row, "exchanges")),
        products=known(PRODUCTS, texts(row, "products")),
        # UNCONFIRMED whether a DDPI counts as a PoA here.
        debit_authorised={"Y": True, "N": False}.get(str(row.get("isPoaProvided"))),
    )


def _fits(masked: str, client_id: str) -> bool:
    return len(masked) == len(client_id) and all(
        shown in (MASK, real) for shown, real in zip(masked, client_id, strict=True)
    )


def holdings(row: Row) -> list[Holding]:
    """Map one element of GET /v1/holdings; a blank row, which stands for "nothing", yields none.

    Wire: `totalQuantity` is documented as `dpQuantity` + `t1Quantity`; T1 and pledged shares are taken as parts of it
    (UNCONFIRMED of the pledged ones): the total holds, and a pledge that does not fit into it gives way. Nothing tells
    whether a sale of today has left it. An average of 0 is unknown. There is no last price.
    """
    total, isin = whole(row, "totalQuantity"), str(required(row, "isin") or "")
    if not isin and not total:
        return []
    t1 = min(total, whole(row, "t1Quantity"))
    pledged = min(total - t1, whole(row, "collateralQuantity"))
    exchange, side = _listed(row)
    return [
        Holding(
            exchange=exchange,
            tradingsymbol=plain_symbol(optional_text(row, f"{side}TradingSymbol") or isin),
            isin=text(row, "isin"),
            broker_token=optional_text(row, f"{side}InstrumentId") or isin,
            product=translated(PRODUCTS, required(row, "product"), "product"),
            settled_quantity=total - t1 - pledged,
            t1_quantity=t1,
            pledged_quantity=pledged,
            sales_deducted=None,
            average_price=positive(row, "averageTradedPrice"),
            last_price=None,
            close_price=positive(row, "previousDayClose"),
            company_name=optional_text(row, "formattedInstrumentName"),
        )
    ]


def _listed(row: Row) -> tuple[Exchange, str]:
    """Where the share trades: at NSE, unless only BSE has a number for it."""
    if row.get("nseInstrumentId") in (None, "", "0", 0) and row.get("bseInstrumentId") not in (None, "", "0", 0):
        return Exchange.BSE, "bse"
    return Exchange.NSE, "nse"


def believed(line: Holding) -> Holding:
    """The line without an average that cannot be in rupees.

    Published samples look like paise, clients see rupees (UNCONFIRMED): an average far above the share's own price is
    unknown rather than a hundred times too high.
    """
    price = line.last_price or line.close_price
    if price and line.average_price and line.average_price >= price * IMPLAUSIBLE:
        return replace(line, average_price=None)
    return line


def positions(row: Row) -> list[Position]:
    """Map one element of GET /v1/positions: numbers and texts mixed, commodity quantities in lots.

    Wire: today's amounts are INR; what was carried is quantity × `overnightPrice`. A carried quantity without a price
    has no value we could state: such a row is reported. No expiry; the exchange's number joins a contract with other
    brokers'. UNCONFIRMED whether prices are in rupees, as everybody but the published sample has them.
    """
    exchange = translated(EXCHANGES, required(row, "exchange"), "exchange")
    units = _units(row, exchange)
    quantity, overnight = amount(row, "netQuantity"), amount(row, "overnightQuantity")
    carried = _carried_value(row, overnight) * units
    day_buy_value, day_sell_value = amount(row, "dayBuyValue"), amount(row, "daySellValue")
    return [
        Position(
            exchange=exchange,
            tradingsymbol=plain_symbol(text(row, "tradingSymbol")),
            isin=None,
            broker_token=text(row, "instrumentId"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            quantity=quantity * units,
            overnight_quantity=overnight * units,
            average_price=positive(row, "netAveragePrice") if quantity else None,
            last_price=None,
            close_price=positive(row, "previousDayClose"),
            buy_value=day_buy_value + max(carried, ZERO),
            sell_value=day_sell_value + max(-carried, ZERO),
            day_buy_quantity=whole(row, "dayBuyQuantity") * units,
            day_buy_value=day_buy_value,
            day_sell_quantity=whole(row, "daySellQuantity") * units,
            day_sell_value=day_sell_value,
            exchange_token=text(row, "instrumentId"),
        )
    ]


def _units(row: Row, exchange: Exchange) -> Decimal:
    """Units in what the row counts: commodities count lots, whose `multiplier`, else `lotSize`, says of how many."""
    multiplier = positive(row, "multiplier") or Decimal(1)
    if multiplier == 1 and exchange in COUNTED_IN_LOTS:
        return positive(row, "lotSize") or Decimal(1)
    return multiplier


def _carried_value(row: Row, overnight: Decimal) -> Decimal:
    if not overnight:
        return ZERO
    price = positive(row, "overnightPrice")
    if price is None:
        raise UnexpectedResponse("overnightPrice", "has no number")
    return overnight * price


def orders(row: Row) -> list[BrokerOrder]:
    """Map one element of GET /v1/orders. Commodity quantities stay lots; 0 stands for "no price", "NA" for nothing.

    Published prices look like paise (UNCONFIRMED); they are taken as they stand, in rupees.
    """
    return [
        BrokerOrder(
            broker_order_id=text(row, "brokerOrderId"),
            exchange_order_id=_told(row, "exchangeOrderId"),
            exchange=translated(EXCHANGES, required(row, "exchange"), "exchange"),
            tradingsymbol=plain_symbol(text(row, "tradingSymbol")),
            broker_token=text(row, "instrumentId"),
            side=one_of(Side, row, "transactionType"),
            order_type=translated(ORDER_TYPES, required(row, "orderType"), "orderType"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            validity=translated(VALIDITIES, required(row, "validity"), "validity"),
            quantity=whole(row, "quantity"),
            filled_quantity=whole(row, "filledQuantity"),
            price=positive(row, "price"),
            trigger_price=positive(row, "slTriggerPrice"),
            average_price=positive(row, "averageTradedPrice"),
            status=status(row),
            status_message=_told(row, "rejectionReason"),
            tag=_told(row, "orderTag"),
            placed_at=_time(row, "exchangeTimestamp") or _time(row, "brokerUpdateTime"),
        )
    ]


def status(row: Row) -> OrderStatus:
    """The state of an order, in the order book and in the stream alike."""
    filled, quantity = whole(row, "filledQuantity"), whole(row, "quantity")
    return order_status(STATUSES, _words(text(row, "orderStatus")), filled, quantity)


def _words(status: str) -> str:
    """`Partially_Filled` and `partially-filled` are `partially filled`."""
    return " ".join(status.casefold().replace("_", " ").replace("-", " ").split())


def _told(row: Row, name: str) -> str | None:
    value = optional_text(row, name)
    return None if value == NOTHING_SAID else value


def _time(row: Row, name: str) -> datetime | None:
    value = _told(row, name)
    return None if value is None else ist(value, name, TIME)


def trades(row: Row) -> list[BrokerTrade]:
    """Map one element of GET /v1/trades: here `filledQuantity` is the fill's own."""
    return [
        BrokerTrade(
            trade_id=text(row, "exchangeTradeId"),
            broker_order_id=text(row, "brokerOrderId"),
            exchange=translated(EXCHANGES, required(row, "exchange"), "exchange"),
            tradingsymbol=plain_symbol(text(row, "tradingSymbol")),
            broker_token=text(row, "instrumentId"),
            side=one_of(Side, row, "transactionType"),
            product=translated(PRODUCTS, required(row, "product"), "product"),
            quantity=whole(row, "filledQuantity"),
            price=amount(row, "tradedPrice"),
            traded_at=_time(row, "fillTimestamp"),
        )
    ]


def funds(row: Any) -> Funds:
    """Map GET /v1/limits. `tradingLimit` is what is left; cash is the day's opening, what came in and what goes out."""
    row = as_record(row, "result")
    return Funds(
        available=money(row, "tradingLimit"),
        used=money(row, "utilizedMargin"),
        collateral=money(row, "collateralMargin"),
        cash=amount(row, "openingCashLimit") + amount(row, "intradayPayin") - amount(row, "blockedForPayout"),
    )


def quotes(found: list[Any], asked: Mapping[tuple[str, str], Listing]) -> list[Quote]:
    """Map POST /v1/marketdata/marketquotes by each row's own identity: what is not quoted comes back as exchange "Z",
    instrument 0. `close` is the previous day's."""
    quoted = [as_record(row, "result") for row in found]
    known_rows = {(row.get("exchange"), str(row.get("instrumentId"))): row for row in quoted}
    return [
        Quote(
            exchange=listing.exchange,
            broker_token=listing.broker_token,
            last_price=positive(known_rows[key], "ltp"),
            close_price=positive(known_rows[key], "close"),
        )
        for key, listing in asked.items()
        if key in known_rows
    ]


def candles(series: list[Any], listing: Listing, first: date, last: date) -> Rows[Candle]:
    """Map POST /v1/marketdata/historicaldata: one element, whose `candles` are lists of `[time, open, high, low, close,
    volume]`, or such a list as a text. INR (quotes are, too) and units; the time is an Indian clock's.

    UNCONFIRMED: no days are no element, or an empty list; whether prices are adjusted for splits: they are taken as
    they stand.
    """
    if not series:
        return Rows(())
    if len(series) > 1:
        raise UnexpectedResponse("result", "tells of more than was asked for")
    written = required(as_record(series[0], "result"), PART)
    found = daily(_decoded(written) if isinstance(written, str) else written, ist_day, first, last)
    return without_volumes(found) if listing.exchange in COUNTED_IN_LOTS else found


def _decoded(written: str) -> Any:
    try:
        return _json.decode(written)
    except (msgspec.DecodeError, RecursionError, ArithmeticError):
        raise UnexpectedResponse(PART, "holds no JSON") from None
