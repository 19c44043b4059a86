"""Fyers' JSON into our words. Pure.

Sources: Fyers API v3 docs ("User", "Transaction Info", "Data API"); fixtures/fyers/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from brokers import web_token
from brokers.candles import daily, without_volumes
from brokers.domain import (
    ZERO,
    BrokerOrder,
    BrokerTrade,
    Candle,
    Funds,
    Holding,
    Listing,
    Position,
    Product,
    Profile,
    Quote,
    Rows,
    Session,
)
from brokers.errors import UnexpectedResponse
from brokers.fyers.instruments import contract, exchange, exchange_token, plain_symbol, quote_key
from brokers.fyers.spec import ORDER_TYPES, PRODUCTS, SIDES, SPEC, STATUSES, VALIDITIES
from brokers.secret import Secret
from brokers.verdicts import Failure
from brokers.wire import (
    IST,
    Row,
    amount,
    as_record,
    as_rows,
    ist,
    money,
    optional_flag,
    optional_text,
    order_status,
    positive,
    record,
    required,
    text,
    translated,
    whole,
)

Line = TypeVar("Line", Holding, Position)

DATE_TIME = "%d-%b-%Y %H:%M:%S"
CROSS_CURRENCY = "Y"
OWN_TAG = "1:"
T1 = "T1"
NO_DATA = "no_data"
LATEST_SECOND = 1 << 33  # what is later counts something else than seconds
# The rows of the funds, told apart by their ids; titles are for people.
USED, CLEAR, COLLATERAL, AVAILABLE = "2", "3", "5", "10"


def failure(body: Any) -> Failure | None:
    """Read `{"s": "error", "code": -16, "message": "…"}`, whatever the HTTP status; some replies lack one of the three.

    A success has a positive code (200, 1101, 201 "sent, not acknowledged"), a failure a negative one. `no_data` is how
    a history says that it is empty.
    """
    if not isinstance(body, Mapping):
        return None
    code = body.get("code")
    negative = isinstance(code, int) and code < 0
    if body.get("s", "ok") in ("ok", NO_DATA) and not negative:
        return None
    return Failure(None if code is None else str(code), optional_text(body, "message"))


def data(body: Any, name: str) -> Any:
    """The payload, whose key differs by route. UNCONFIRMED whether null means "empty": it is taken for an error."""
    return required(as_record(body, "body"), name)


def session(body: Any, *, expires_at: datetime) -> Session:
    """Map the reply of POST /api/v3/validate-authcode. The token's own `exp` beats `expires_at`; it names the account.

    `refresh_token`, optional, is not kept: since April 2026 nothing accepts it.
    """
    access_token = Secret(text(as_record(body, "body"), "access_token"))
    return Session(
        access_token=access_token,
        expires_at=web_token.expiry(access_token) or expires_at,
        account_id=optional_text(web_token.claims(access_token), "fy_id"),
    )


def profile(row: Any) -> Profile:
    """Map `data` of GET /api/v3/profile: of what the account may do, only MTF and DDPI are told. The name is masked."""
    row = as_record(row, "data")
    account_id = text(row, "fy_id")
    without_mtf = tuple(product for product in SPEC.capabilities.products if product is not Product.MTF)
    return Profile(
        account_id=account_id,
        name=optional_text(row, "name") or account_id,
        products=without_mtf if row.get("mtf_enabled") is False else None,
        debit_authorised=optional_flag(row, "ddpi_enabled"),
    )


def holdings(row: Row) -> list[Holding]:
    """Map one element of `holdings` in GET /api/v3/holdings.

    Wire: `quantity` is of this morning, `remainingQuantity` what is left of it after today's sales. Pledged shares are
    inside, and so are those of `qty_t1` (UNCONFIRMED for a row of type HLD; the published one with 1 of each fits).
    A `costPrice` of 0 is unknown or a bonus. There is no previous close. UNCONFIRMED whether a share sold and bought
    back on one day is in `remainingQuantity`, and whether funded shares of earlier days are listed here: these rows
    carry no product.
    Ignored on purpose: `pl`, `marketVal` and `overall`, whose figures mix sold shares with kept ones.
    """
    owned, ticker = whole(row, "remainingQuantity"), text(row, "symbol")
    place = exchange(text(row, "fyToken"))
    pledged = min(whole(row, "collateralQuantity"), owned)
    t1 = min(owned if row.get("holdingType") == T1 else whole(row, "qty_t1"), owned - pledged)
    return [
        Holding(
            exchange=place,
            tradingsymbol=plain_symbol(ticker, place),
            isin=text(row, "isin"),
            broker_token=ticker,
            settled_quantity=owned - t1 - pledged,
            t1_quantity=t1,
            pledged_quantity=pledged,
            used_quantity=max(whole(row, "quantity") - owned, ZERO),
            sales_deducted=True,
            average_price=positive(row, "costPrice"),
            last_price=positive(row, "ltp"),
            close_price=None,
        )
    ]


def joined(rows: Rows[Holding]) -> Rows[Holding]:
    """One line per share, where the wire has a row for what is delivered and another for what is on its way.

    A row sold out today stays apart: its cost is that of the shares that were sold.
    """
    lines: dict[tuple[str, bool], Holding] = {}
    for line in rows.items:
        key = (line.broker_token, line.owned_quantity > 0)
        lines[key] = _together(lines[key], line) if key in lines else line
    return Rows(tuple(lines.values()), rows.problems)


def _together(one: Holding, other: Holding) -> Holding:
    return replace(
        one,
        settled_quantity=one.settled_quantity + other.settled_quantity,
        t1_quantity=one.t1_quantity + other.t1_quantity,
        pledged_quantity=one.pledged_quantity + other.pledged_quantity,
        used_quantity=one.used_quantity + other.used_quantity,
        average_price=_mean_price(one, other),
    )


def _mean_price(one: Holding, other: Holding) -> Decimal | None:
    if one.average_price is None or other.average_price is None:
        return None
    if one.average_price == other.average_price:
        return one.average_price
    cost = one.owned_quantity * one.average_price + other.owned_quantity * other.average_price
    quantity = one.owned_quantity + other.owned_quantity
    return cost / quantity if quantity else None


def with_prices(rows: Rows[Line], quotes: Mapping[str, Quote]) -> Rows[Line]:
    """Fill in what only a quote tells: the previous close, and a last price where the row has none."""
    return Rows(tuple(_priced(line, quotes.get(line.broker_token)) for line in rows.items), rows.problems)


def _priced(line: Line, quote: Quote | None) -> Line:
    if quote is None:
        return line
    last_price = quote.last_price if line.last_price is None else line.last_price
    untold = isinstance(line, Position) and _day_is_untold(line)
    return replace(line, last_price=last_price, close_price=None if untold else quote.close_price)


def _day_is_untold(position: Position) -> bool:
    """Whether one average covers carried and today's units of one side, so that today's profit cannot be told.

    Without a previous close it is not told: better unknown than near the truth.
    """
    carried = position.overnight_quantity
    return bool(carried and (position.day_buy_quantity if carried > 0 else position.day_sell_quantity))


def positions(row: Row) -> list[Position]:
    """Map one element of `netPositions` in GET /api/v3/positions.

    Wire: quantities are lots on MCX and currency, and `qtyMulti_com` makes units of them; `buyQty`, `buyVal` and
    `buyAvg` include what was carried over, `cfBuyQty` says how much of it. A closed row stays, with `netQty` 0.
    UNCONFIRMED whether currency rows carry their 1000 units in `qtyMulti_com`: it is taken as it stands.
    Cross-currency contracts are quoted in foreign money: reported as unreadable, never counted as rupees.
    Ignored on purpose: `exchange` (wrong in a published row), `netAvg` (the price to break even), `pl` and its parts.
    """
    if row.get("crossCurrency") == CROSS_CURRENCY:
        raise UnexpectedResponse("crossCurrency", "means prices that are not rupees")
    ticker, fy_token = text(row, "symbol"), text(row, "fyToken")
    place = exchange(fy_token)
    multiplier, quantity = _multiplier(row), amount(row, "netQty")
    bought, sold = _leg(row, "buy", multiplier), _leg(row, "sell", multiplier)
    return [
        Position(
            exchange=place,
            tradingsymbol=plain_symbol(ticker, place),
            isin=None,
            broker_token=ticker,
            product=translated(PRODUCTS, required(row, "productType"), "productType"),
            quantity=quantity * multiplier,
            overnight_quantity=bought.carried - sold.carried,
            average_price=positive(row, "buyAvg" if quantity > 0 else "sellAvg") if quantity else None,
            last_price=positive(row, "ltp"),
            close_price=None,
            buy_value=bought.value,
            sell_value=sold.value,
            day_buy_quantity=bought.today,
            day_buy_value=bought.value_today,
            day_sell_quantity=sold.today,
            day_sell_value=sold.value_today,
            exchange_token=exchange_token(fy_token),
            contract=contract(ticker, fy_token),
        )
    ]


def _multiplier(row: Row) -> Decimal:
    multiplier = positive(row, "qtyMulti_com")
    if multiplier is None:
        raise UnexpectedResponse("qtyMulti_com", "has no number")
    return multiplier


@dataclass(frozen=True, slots=True)
class _Leg:
    """One side of a position, in units and INR. Where it is both carried and of today, one mean price covers both."""

    carried: Decimal
    today: Decimal
    value: Decimal

    @property
    def value_today(self) -> Decimal:
        return self.value if not self.carried else self.value * self.today / (self.carried + self.today)


def _leg(row: Row, side: str, multiplier: Decimal) -> _Leg:
    quantity, carried = whole(row, f"{side}Qty"), whole(row, f"cf{side.capitalize()}Qty")
    if carried > quantity:
        raise UnexpectedResponse(f"{side}Qty", "is less than what was carried over")
    value = whole(row, f"{side}Val")
    # UNCONFIRMED whether values of contracts counted in lots contain the multiplier: the row's own average tells.
    plain = quantity * whole(row, f"{side}Avg")
    if abs(value - plain) <= abs(value - plain * multiplier):
        value *= multiplier
    return _Leg(carried * multiplier, (quantity - carried) * multiplier, value)


def orders(row: Row) -> list[BrokerOrder]:
    """Map one element of `orderBook` in GET /api/v3/orders.

    Wire: MCX and currency quantities are lots and nothing here says of how many units, so they stay as they are given.
    Prices are 0 where there is none. A tag of the trader's own starts with `1:`, one of the system's with `2:`.
    """
    ticker, place = text(row, "symbol"), exchange(text(row, "fyToken"))
    quantity, filled = whole(row, "qty"), whole(row, "filledQty")
    return [
        BrokerOrder(
            broker_order_id=text(row, "id"),
            exchange_order_id=optional_text(row, "exchOrdId"),
            exchange=place,
            tradingsymbol=plain_symbol(ticker, place),
            broker_token=ticker,
            side=translated(SIDES, text(row, "side"), "side"),
            order_type=translated(ORDER_TYPES, text(row, "type"), "type"),
            product=translated(PRODUCTS, required(row, "productType"), "productType"),
            validity=translated(VALIDITIES, required(row, "orderValidity"), "orderValidity"),
            quantity=quantity,
            filled_quantity=filled,
            price=positive(row, "limitPrice"),
            trigger_price=positive(row, "stopPrice"),
            average_price=positive(row, "tradedPrice"),
            status=order_status(STATUSES, text(row, "status"), filled, quantity),
            status_message=optional_text(row, "message"),
            tag=_tag(row),
            placed_at=time_of(row, "orderDateTime"),
        )
    ]


def _tag(row: Row) -> str | None:
    tag = optional_text(row, "orderTag") or ""
    return tag.removeprefix(OWN_TAG) if tag.startswith(OWN_TAG) else None


def trades(row: Row) -> list[BrokerTrade]:
    """Map one element of `tradeBook` in GET /api/v3/tradebook. `orderDateTime` is the time of the fill."""
    ticker, place = text(row, "symbol"), exchange(text(row, "fyToken"))
    return [
        BrokerTrade(
            trade_id=text(row, "tradeNumber"),
            broker_order_id=text(row, "orderNumber"),
            exchange=place,
            tradingsymbol=plain_symbol(ticker, place),
            broker_token=ticker,
            side=translated(SIDES, text(row, "side"), "side"),
            product=translated(PRODUCTS, required(row, "productType"), "productType"),
            quantity=whole(row, "tradedQty"),
            price=amount(row, "tradePrice"),
            traded_at=time_of(row, "orderDateTime"),
        )
    ]


def time_of(row: Row, name: str) -> datetime | None:
    value = optional_text(row, name)
    return None if value is None else ist(value, name, DATE_TIME)


def funds(rows: Any) -> Funds:
    """Map `fund_limit` of GET /api/v3/funds: the amounts for shares and for commodities, added.

    "Available" contains the collateral already, so nothing is added to it. UNCONFIRMED how the rows add up.
    """
    found = {text(row, "id"): row for row in as_rows(rows, "fund_limit")}
    return Funds(
        available=_both(found.get(AVAILABLE)),
        used=_both(found.get(USED)),
        collateral=_both(found.get(COLLATERAL)),
        cash=_both(found.get(CLEAR)),
    )


def _both(row: Row | None) -> Decimal | None:
    """None where the row is missing, or one of its amounts is unknown."""
    if row is None:
        return None
    equity, commodity = money(row, "equityAmount"), money(row, "commodityAmount")
    return None if equity is None or commodity is None else equity + commodity


def quotes(rows: Any, asked: Iterable[tuple[str, Listing]]) -> tuple[Quote, ...]:
    """Map `d` of GET /data/quotes. A row for a symbol that is unknown says so in its own `s`, and is left out."""
    found = {text(row, "n"): record(row, "v") for row in as_rows(rows, "d") if as_record(row, "d").get("s") == "ok"}
    return tuple(
        Quote(
            exchange=listing.exchange,
            broker_token=listing.broker_token,
            last_price=positive(found[key], "lp"),
            close_price=positive(found[key], "prev_close_price"),
        )
        for key, listing in asked
        if key in found
    )


def history_params(listing: Listing, first: date, last: date) -> dict[str, str]:
    """The query of GET /data/history: whole days, named as days. A contract's own days, not joined to others of it."""
    return {
        "symbol": quote_key(listing),
        "resolution": "D",
        "date_format": "1",
        "range_from": first.isoformat(),
        "range_to": last.isoformat(),
        "cont_flag": "0",
    }


def candles(body: Any, listing: Listing, first: date, last: date) -> Rows[Candle]:
    """Map GET /data/history: `candles` of `[epoch seconds, open, high, low, close, volume]`, INR.

    Wire: a day's time is its midnight in UTC, half past five in India. UNCONFIRMED how an empty list comes: as clients
    report it, with `no_data`. UNCONFIRMED whether prices are adjusted for splits and bonuses: they are taken as they
    stand. UNCONFIRMED how many units a volume of lots is: unknown.
    """
    told = [] if as_record(body, "body").get("s") == NO_DATA else data(body, "candles")
    rows = daily(told, _candle_day, first, last)
    return without_volumes(rows) if listing.exchange in SPEC.counts_lots_at else rows


def _candle_day(row: Row) -> date:
    seconds = whole(row, "time")
    if seconds >= LATEST_SECOND:
        raise UnexpectedResponse("time", "is not in seconds")
    return datetime.fromtimestamp(int(seconds), IST).date()
