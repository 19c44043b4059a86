"""XTS's JSON into our words. Pure.

Sources: Symphony XTS docs and SDKs ("User", "Portfolio", "Orders", "Instruments"); fixtures/iifl/. Numbers come as
numbers or strings, with commas, as "" or as "NaN"; little was seen at IIFL itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from brokers import web_token
from brokers.candles import daily, without_volumes
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
    OrderType,
    Position,
    Product,
    Profile,
    Quote,
    Rows,
    Segment,
    Session,
    Side,
)
from brokers.errors import RequestRefused, UnexpectedResponse
from brokers.iifl.instruments import plain_symbol, valid_isin, wall_day
from brokers.iifl.spec import (
    EMPTY_BOOK_CODES,
    EMPTY_BOOK_WORDS,
    ERRORS,
    EXCHANGES,
    ORDER_TYPES,
    PRODUCTS,
    REJECTED_CODES,
    REJECTED_WORDS,
    SPEC,
    STATUSES,
    TELLING_WORDS,
    VALIDITIES,
)
from brokers.secret import Secret
from brokers.verdicts import Failure
from brokers.wire import (
    IST,
    Row,
    amount,
    as_record,
    as_rows,
    first_text,
    flag,
    ist,
    known,
    money,
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

ALL_LIMITS = "ALL|ALL|ALL"
MARKET_USER = "marketUserID"  # a fact of the session
TWIN = "API"
# Delivery becomes a holding and intraday is closed by tonight: whatever stands in these rows was dealt today.
DEALT_TODAY = frozenset({Product.CNC, Product.MTF, Product.MIS, Product.CO, Product.BO})
_json = msgspec.json.Decoder(float_hook=Decimal)


def failure(body: Any) -> Failure | None:
    """Read `{"type": "error", "code", "description"}`, perhaps wrapped in `data`; None for a success.

    `type` decides, whatever the HTTP status. A code we do not know gives way to a telling word of the description; the
    code of an empty book counts only together with its words, so that no outage is taken for one.
    """
    if isinstance(body, Mapping) and "type" not in body and isinstance(body.get("data"), Mapping):
        body = body["data"]
    if not isinstance(body, Mapping) or body.get("type") == "success":
        return None
    code, description = optional_text(body, "code"), optional_text(body, "description")
    said = (description or "").casefold()
    if code in EMPTY_BOOK_CODES and said != EMPTY_BOOK_WORDS:
        return Failure(None, description)
    if code in REJECTED_CODES:
        code = next((word for word in REJECTED_WORDS if word in said), code)
    if (None, code) not in ERRORS:
        code = next((word for word in TELLING_WORDS if word in said), code)
    return Failure(code, description)


def data(body: Any) -> Any:
    return required(as_record(body, "body"), "result")


def session(row: Any, *, expires_at: datetime) -> Session:
    """Map the `result` of POST /interactive/user/session. The token's own `exp` beats `expires_at`.

    Raises RequestRefused for a dealer of several clients: which of them is meant, nothing here could say.
    """
    row = as_record(row, "result")
    access_token = Secret(text(row, "token"))
    clients = texts(row, "clientCodes")
    if len(clients) != 1:
        raise RequestRefused(
            "A dealer's login, with several clients or none, cannot be connected.",
            code="dealer_login",
            user_action="Use the API keys of a single client's account.",
        )
    return Session(
        access_token=access_token,
        expires_at=web_token.expiry(access_token) or expires_at,
        account_id=clients[0],
        facts={
            "userID": text(row, "userID"),
            "clientID": clients[0],
            "isInvestor": "yes" if flag(row, "isInvestorClient") else "no",
        },
    )


def market_session(row: Any) -> tuple[Secret, dict[str, str]]:
    """Map the `result` of POST /apimarketdata/auth/login: the token, and as a fact the user that its socket asks for.

    UNCONFIRMED whether that is always the account's own.
    """
    row = as_record(row, "result")
    user_id = optional_text(row, "userID")
    return Secret(text(row, "token")), {} if user_id is None else {MARKET_USER: user_id}


def told_order(row: Row) -> BrokerOrder:
    """Map an `order` or `trade` event of the interactive socket: an order's row, written for people (commas, ISO times,
    mixed case), in which some fields have a machine's twin named `…API`. The twin counts."""
    twins = {name.removesuffix(TWIN): value for name, value in row.items() if name.endswith(TWIN)}
    [order] = orders({**row, **twins})
    return order


def is_dealer(session: Session) -> bool:
    return session.facts.get("isInvestor") == "no"


def client_id(session: Session) -> dict[str, str]:
    """What a dealer adds to every call."""
    return {"clientID": session.facts["clientID"]} if is_dealer(session) else {}


def profile(row: Any) -> Profile:
    """Map GET /interactive/user/profile. It is full of personal data: no more is read than who, and which segments."""
    row = as_record(row, "result")
    segments = row.get("ClientExchangeDetailsList") or {}
    enabled = [word for word, details in segments.items() if isinstance(details, Mapping) and details.get("Enabled")]
    return Profile(
        account_id=text(row, "ClientId"),
        name=text(row, "ClientName"),
        exchanges=known(EXCHANGES, enabled) if segments else None,
    )


def holding_rows(result: Any) -> list[Any]:
    """The rows of GET /interactive/portfolio/holdings, in either form: by ISIN, or the lists of older installations.

    Collateral of an ISIN that is also held is left out: UNCONFIRMED whether the two are disjoint, and no share may
    count twice. Collateral of any other ISIN is kept.
    """
    result = as_record(result, "result")
    if "RMSHoldings" in result:
        both = record(result, "RMSHoldings")
        held, pledged = _values(both, "Holdings"), _values(both, "CollateralHoldings", optional=True)
    else:
        held = as_rows(required(result, "RMSHoldingList"), "RMSHoldingList")
        pledged = as_rows(result.get("CollateralHoldingList") or [], "CollateralHoldingList")
    isins = {row.get("ISIN") for row in held if isinstance(row, Mapping)}
    return held + [row for row in pledged if not isinstance(row, Mapping) or row.get("ISIN") not in isins]


def _values(both: Row, name: str, *, optional: bool = False) -> list[Any]:
    """The rows of an object keyed by ISIN; a plain field beside them is none."""
    rows = as_record(both.get(name) or {}, name) if optional else record(both, name)
    return [row for key, row in rows.items() if valid_isin(key) or isinstance(row, Mapping)]


def holdings(row: Row) -> list[Holding]:
    """Map one row of GET /interactive/portfolio/holdings.

    Wire: no price, and no T1 field; UNCONFIRMED whether T1 shares are inside `HoldingQuantity`, which is the total.
    Pledged shares are inside it too; how `CollateralQuantity` and `PledgeQuantity` relate is UNCONFIRMED, so the larger
    counts. `UsedQuantity` is sold or blocked today, and inside the total until the nightly run (inferred).
    `BuyAvgPrice` means nothing unless `IsBuyAvgPriceProvided`. The NSE listing is taken where there is one.
    """
    exchange, number = _listed(row)
    isin = text(row, "ISIN")
    total, used = whole(row, "HoldingQuantity"), whole(row, "UsedQuantity")
    pledges = [whole(row, name) for name in ("CollateralQuantity", "PledgeQuantity") if name in row]
    pledged = min(total, max(pledges, default=ZERO))
    return [
        Holding(
            exchange=exchange,
            tradingsymbol=optional_text(row, "DisplayName") or isin,
            isin=isin,
            broker_token=number or isin,
            settled_quantity=total - pledged,
            pledged_quantity=pledged,
            used_quantity=used,
            sales_deducted=not used,
            average_price=positive(row, "BuyAvgPrice") if flag(row, "IsBuyAvgPriceProvided") else None,
            last_price=None,
            close_price=None,
        )
    ]


def sold_part(line: Holding, positions: Iterable[Position]) -> Holding:
    """The line with no more counted as sold than the positions say: `UsedQuantity` holds what open orders block, too.

    A sale without any `UsedQuantity` cannot be judged: only an earlier snapshot can tell whether it has left the total.
    """
    sold = sum((-other.quantity for other in positions if other.quantity < 0 and _is_same(line, other)), ZERO)
    if not line.used_quantity:
        return replace(line, sales_deducted=None) if sold else line
    used = min(line.used_quantity, sold)
    return replace(line, used_quantity=used, sales_deducted=not used)


def _is_same(line: Holding, position: Position) -> bool:
    """A holding knows one of its two numbers; a sale at the other exchange is known by its symbol."""
    same_number = (line.exchange, line.broker_token) == (position.exchange, position.broker_token)
    same_symbol = position.segment is Segment.EQUITY and line.tradingsymbol == position.tradingsymbol
    return line.product is position.product and (same_number or same_symbol)


def _listed(row: Row) -> tuple[Exchange, str | None]:
    """Where the share trades and its number there; a number of 0 is none. A share listed at neither keeps its line."""
    for exchange, name in ((Exchange.NSE, "ExchangeNSEInstrumentId"), (Exchange.BSE, "ExchangeBSEInstrumentId")):
        number = amount(row, name)
        if number:
            return exchange, str(number)
    return Exchange.NSE, None


def position_rows(result: Any) -> list[Any]:
    """The rows of GET /interactive/portfolio/positions: `positionList`, or, as older docs have it, the bare list.

    `childPositions` are inside their parent already and never added.
    """
    rows = result if isinstance(result, list) else required(as_record(result, "result"), "positionList")
    return as_rows(rows, "positionList")


def may_be_carried(row: Any) -> bool:
    return isinstance(row, Mapping) and row.get("ProductType") not in DEALT_TODAY


def by_contract(rows: Iterable[Any]) -> dict[tuple[Any, ...], Row]:
    return {_contract_key(row): row for row in rows if isinstance(row, Mapping)}


def _contract_key(row: Row) -> tuple[Any, ...]:
    return row.get("ExchangeSegment"), _number(row), row.get("ProductType")


def _number(row: Row) -> str:
    return first_text(row, "ExchangeInstrumentID", "ExchangeInstrumentId")


def positions(row: Row, today: Mapping[tuple[Any, ...], Row]) -> list[Position]:
    """Map one row of GET /interactive/portfolio/positions?dayOrNet=NetWise; `today` are the rows of DayWise.

    Wire: amounts are INR and include `Multiplier`; averages are INR per unit. There is no price, and no word on what of
    the row is carried: it is the net quantity less what DayWise counts. No expiry either: the exchange's number is all
    that joins a contract with other brokers.
    """
    product = translated(PRODUCTS, required(row, "ProductType"), "ProductType")
    quantity = _units(row)
    dealt = row if product in DEALT_TODAY else today.get(_contract_key(row))
    bought, sold = (ZERO, ZERO) if dealt is None else _dealt(dealt)
    return [
        Position(
            exchange=translated(EXCHANGES, required(row, "ExchangeSegment"), "ExchangeSegment"),
            tradingsymbol=plain_symbol(text(row, "TradingSymbol")),
            isin=None,
            broker_token=_number(row),
            product=product,
            quantity=quantity,
            overnight_quantity=quantity - (bought - sold),
            average_price=_average(row, quantity),
            last_price=None,
            close_price=None,
            buy_value=_value(row, "Buy", quantity),
            sell_value=_value(row, "Sell", -quantity),
            day_buy_quantity=bought,
            day_buy_value=ZERO if dealt is None else amount(dealt, "BuyAmount"),
            day_sell_quantity=sold,
            day_sell_value=ZERO if dealt is None else amount(dealt, "SellAmount"),
            exchange_token=_number(row),
        )
    ]


def _units(row: Row) -> Decimal:
    """The signed net quantity in units. UNCONFIRMED whether MCX rows count lots: the row's own amounts tell; where they
    do not, lots."""
    quantity, multiplier = amount(row, "Quantity"), positive(row, "Multiplier") or Decimal(1)
    traded = _traded(row, "Buy") - _traded(row, "Sell")
    in_units = bool(traded) and abs(traded - quantity) < abs(traded - quantity * multiplier)
    return quantity if in_units else quantity * multiplier


def _traded(row: Row, side: str) -> Decimal:
    """Units dealt on one side, as amount and average tell them."""
    price = positive(row, f"{side}AveragePrice")
    return amount(row, f"{side}Amount") / price if price else ZERO


def _dealt(row: Row) -> tuple[Decimal, Decimal]:
    """Units bought and sold. Averages are rounded, so the quotients are too; their difference is exact."""
    net = _units(row)
    if not amount(row, "SellAmount"):
        return net, ZERO
    sold = _traded(row, "Sell").to_integral_value() if amount(row, "BuyAmount") else -net
    return net + sold, sold


def _average(row: Row, quantity: Decimal) -> Decimal | None:
    if not quantity:
        return None
    return positive(row, "BuyAveragePrice" if quantity > 0 else "SellAveragePrice")


def _value(row: Row, side: str, open_quantity: Decimal) -> Decimal:
    """What was paid, or received. UNCONFIRMED whether amounts include what was carried: an open side without any amount
    is valued at its average."""
    value = amount(row, f"{side}Amount")
    if not value and open_quantity > 0:
        return open_quantity * (positive(row, f"{side}AveragePrice") or ZERO)
    return value


def order_rows(result: Any) -> list[Any]:
    return as_rows(result, "result")


def orders(row: Row) -> list[BrokerOrder]:
    """Map one row of GET /interactive/orders.

    Wire: no symbol, only segment and number; averages are texts such as "1,401.20", or "". Quantities stay as given.
    """
    quantity, filled = whole(row, "OrderQuantity"), whole(row, "CumulativeQuantity")
    order_type = translated(ORDER_TYPES, text(row, "OrderType").upper(), "OrderType")
    return [
        BrokerOrder(
            broker_order_id=text(row, "AppOrderID"),
            exchange_order_id=optional_text(row, "ExchangeOrderID"),
            exchange=translated(EXCHANGES, required(row, "ExchangeSegment"), "ExchangeSegment"),
            tradingsymbol=_symbol(row),
            broker_token=_number(row),
            side=translated(Side.__members__, text(row, "OrderSide").upper(), "OrderSide"),
            order_type=order_type,
            product=translated(PRODUCTS, required(row, "ProductType"), "ProductType"),
            validity=translated(VALIDITIES, required(row, "TimeInForce"), "TimeInForce"),
            quantity=quantity,
            filled_quantity=filled,
            price=positive(row, "OrderPrice"),
            trigger_price=positive(row, "OrderStopPrice"),
            average_price=positive(row, "OrderAverageTradedPrice"),
            status=_status(text(row, "OrderStatus"), order_type, filled, quantity),
            status_message=optional_text(row, "CancelRejectReason"),
            tag=optional_text(row, "OrderUniqueIdentifier"),
            placed_at=_time(row, "OrderGeneratedDateTime"),
        )
    ]


def _symbol(row: Row) -> str:
    """Some installations name the instrument; where it is not named, its number stands in."""
    return plain_symbol(optional_text(row, "TradingSymbol") or _number(row))


def _status(word: str, order_type: OrderType, filled: Decimal, quantity: Decimal) -> OrderStatus:
    """A new stop order without fills waits for its trigger (inferred)."""
    if word == "New" and order_type in (OrderType.SL, OrderType.SL_M) and not filled:
        return OrderStatus.TRIGGER_PENDING
    return order_status(STATUSES, word, filled, quantity)


def trades(row: Row) -> list[BrokerTrade]:
    """Map one row of GET /interactive/orders/trades: `LastTraded*` is the fill, not the order's quantity or average."""
    return [
        BrokerTrade(
            trade_id=text(row, "ExecutionID"),
            broker_order_id=text(row, "AppOrderID"),
            exchange=translated(EXCHANGES, required(row, "ExchangeSegment"), "ExchangeSegment"),
            tradingsymbol=_symbol(row),
            broker_token=_number(row),
            side=translated(Side.__members__, text(row, "OrderSide").upper(), "OrderSide"),
            product=translated(PRODUCTS, required(row, "ProductType"), "ProductType"),
            quantity=whole(row, "LastTradedQuantity"),
            price=amount(row, "LastTradedPrice"),
            traded_at=_time(row, "LastExecutionTransactTime"),
        )
    ]


def _time(row: Row, name: str) -> datetime | None:
    """`27-12-2024 11:22:47`; on the socket `2024-12-27T11:22:47.566038`, perhaps with an offset."""
    value = optional_text(row, name)
    if value is None:
        return None
    if "T" not in value:
        return ist(value, name, "%d-%m-%Y %H:%M:%S")
    try:
        told = datetime.fromisoformat(value)
    except ValueError:
        raise UnexpectedResponse(name, "is not a time") from None
    return told if told.tzinfo else told.replace(tzinfo=IST)


def funds(row: Any) -> Funds:
    """Map GET /interactive/user/balance: the entry over all segments, else the first. Never their sum: others repeat
    the same money."""
    entries = as_rows(required(as_record(row, "result"), "BalanceList"), "BalanceList")
    found = [as_record(entry, "BalanceList") for entry in entries]
    if not found:
        raise UnexpectedResponse("BalanceList", "is empty")
    whole_account = next((entry for entry in found if entry.get("limitHeader") == ALL_LIMITS), found[0])
    limits = record(record(whole_account, "limitObject"), "RMSSubLimits")
    return Funds(
        available=money(limits, "netMarginAvailable"),
        used=money(limits, "marginUtilized"),
        collateral=money(limits, "collateral"),
        cash=money(limits, "cashAvailable"),
    )


def quotes(result: Any, asked: Mapping[tuple[int, int], Listing]) -> list[Quote]:
    """Map POST /apimarketdata/instruments/quotes: each element is a JSON document inside a string, known by its own
    segment and number; instruments without a snapshot are missing. `Close` is the previous day's."""
    documents = [document(item) for item in quote_rows(result)]
    found = {(quote.get("ExchangeSegment"), quote.get("ExchangeInstrumentID")): quote for quote in documents}
    return [_quote(found[key], listing) for key, listing in asked.items() if key in found]


def quote_rows(result: Any) -> list[Any]:
    """What `document` reads, of a reply to a call for quotes or for a subscription."""
    return as_rows(required(as_record(result, "result"), "listQuotes"), "listQuotes")


def document(item: Any) -> Row:
    if not isinstance(item, str):
        return as_record(item, "listQuotes")
    try:
        return as_record(_json.decode(item), "listQuotes")
    except (msgspec.DecodeError, RecursionError, ArithmeticError):
        raise UnexpectedResponse("listQuotes", "holds no JSON") from None


def touchline(document: Row) -> Row:
    """The figures stand under `Touchline`, or, in some messages, beside it."""
    return as_record(document.get("Touchline") or document, "Touchline")


def _quote(document: Row, listing: Listing) -> Quote:
    figures = touchline(document)
    return Quote(
        exchange=listing.exchange,
        broker_token=listing.broker_token,
        last_price=positive(figures, "LastTradedPrice"),
        close_price=positive(figures, "Close") if "Close" in figures else None,
    )


def candles(result: Any, listing: Listing, first: date, last: date) -> Rows[Candle]:
    """Map GET /apimarketdata/instruments/ohlc: a text of `time|open|high|low|close|volume|…|`, parted by commas; INR.

    UNCONFIRMED: no days are an empty text; prices are taken as they stand, adjusted for splits or not.
    """
    written = required(as_record(result, "result"), "dataReponse")  # the wire's spelling
    if not isinstance(written, str):
        raise UnexpectedResponse("dataReponse", "is not a text")
    found = daily([row.split("|") for row in written.split(",") if row], wall_day, first, last)
    return without_volumes(found) if listing.exchange in SPEC.counts_lots_at else found
