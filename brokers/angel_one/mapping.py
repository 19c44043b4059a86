"""SmartAPI's JSON into our words. Pure.

Sources: SmartAPI docs (User, Portfolio, Orders, Market data, Error codes), the official SDKs; fixtures/angel_one/.
The published samples are written by hand: numbers come as numbers or as texts, absent things as null, "" or "-1".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from brokers.angel_one.instruments import exchange_of, expiry, plain_symbol
from brokers.angel_one.spec import EXCHANGES, NOT_A_FAILURE, ORDER_TYPES, PRODUCTS, SPEC, STATUSES, VALIDITIES
from brokers.candles import daily, ist_day, without_volumes
from brokers.domain import (
    SEGMENT_OF,
    ZERO,
    BrokerOrder,
    BrokerTrade,
    Candle,
    Contract,
    Exchange,
    Funds,
    Holding,
    Listing,
    OptionType,
    Position,
    Product,
    Profile,
    Quote,
    Rows,
    Segment,
    Session,
    Side,
)
from brokers.errors import UnexpectedResponse
from brokers.secret import Secret
from brokers.verdicts import Failure
from brokers.web_token import expiry as token_expiry
from brokers.wire import (
    Row,
    amount,
    as_record,
    as_rows,
    first_text,
    ist,
    known,
    money,
    one_of,
    optional_text,
    order_status,
    positive,
    required,
    text,
    translated,
    whole,
)

T = TypeVar("T")
Line = TypeVar("Line", Holding, Position)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Dealing:
    """What was bought and sold, as the wire counts it, and for how many rupees."""

    buy_quantity: Decimal
    buy_value: Decimal
    sell_quantity: Decimal
    sell_value: Decimal

    def without(self, other: Dealing) -> Dealing:
        return Dealing(
            self.buy_quantity - other.buy_quantity,
            self.buy_value - other.buy_value,
            self.sell_quantity - other.sell_quantity,
            self.sell_value - other.sell_value,
        )


def failure(body: Any) -> Failure | None:
    """Read the envelope, in either spelling: `status` and `errorcode`, or `success` and `errorCode`.

    A success says so with true (a failure may say "false", as a text) and carries no code: one that does is not
    believed, because its null `data` would be taken for an empty account.
    """
    if not isinstance(body, Mapping):
        return None
    said = [body[name] for name in ("status", "success") if name in body]
    code = body.get("errorcode") or body.get("errorCode") or None
    if code in NOT_A_FAILURE or (code is None and said and all(word is True for word in said)):
        return None
    return Failure(code, body.get("message"))


def data(body: Any) -> Any:
    return required(as_record(body, "body"), "data")


def rows(body: Any) -> list[Any]:
    """The list in an envelope; null is its way to say that there is nothing."""
    found = data(body)
    return [] if found is None else as_rows(found, "data")


def holding_rows(body: Any) -> list[Any]:
    """The list in GET getAllHolding, `data{holdings, totalholding}`; of GET getHolding, the older call, `data` itself.

    The totals are rounded to rupees and ignored.
    """
    found = data(body)
    if isinstance(found, Mapping):
        found = required(found, "holdings")
    return [] if found is None else as_rows(found, "holdings")


def session(row: Row, names: tuple[str, str, str], *, expires_at: datetime) -> Session:
    """A session out of three tokens, whose names differ by the way they came. The token's own `exp` beats `expires_at`.

    UNCONFIRMED whether every redirect carries the refresh token: without it there is no renewal.
    """
    access_name, refresh_name, feed_name = names
    access_token = Secret(text(row, access_name))
    refresh_token, feed_token = optional_text(row, refresh_name), optional_text(row, feed_name)
    return Session(
        access_token=access_token,
        refresh_token=Secret(refresh_token) if refresh_token else None,
        feed_token=Secret(feed_token) if feed_token else None,
        expires_at=token_expiry(access_token) or expires_at,
    )


def renewed(old: Session, new: Session) -> Session:
    """The same account under new tokens. The refresh token rotates: the old one is dead."""
    return replace(
        old,
        access_token=new.access_token,
        refresh_token=new.refresh_token or old.refresh_token,
        feed_token=new.feed_token or old.feed_token,
        expires_at=new.expires_at,
    )


def profile(row: Any) -> Profile:
    row = as_record(row, "data")
    account_id = text(row, "clientcode")
    return Profile(
        account_id=account_id,
        name=optional_text(row, "name") or account_id,
        exchanges=_known(EXCHANGES, row, "exchanges"),
        products=_known(PRODUCTS, row, "products"),
    )


def _known(table: Mapping[str, T], row: Row, name: str) -> tuple[T, ...] | None:
    """A list of words; live it is a list, in the docs a text that looks like one. None where nothing is said."""
    words = re.findall(r"\w+", str(row.get(name) or ""))
    return known(table, words) if words else None


def holdings(row: Row) -> list[Holding]:
    """Map one element of `data.holdings` in GET getAllHolding.

    Wire: `quantity` is what is owned, T1 shares inside; so are the pledged ones, UNCONFIRMED, unless they are more.
    An average of 0 is unknown. `exchange` and `product` may be null. `product` MARGIN marks funded shares, a line of
    their own; the loan behind them is not told. UNCONFIRMED whether a sale of today has left `quantity` already:
    `authorisedquantity` is what may be sold, not what was. Ignored on purpose: `profitandloss`, rounded to rupees.
    """
    symbol = text(row, "tradingsymbol")
    settled, t1, pledged = _buckets(
        whole(row, "quantity"), _count(row, "t1quantity"), _count(row, "collateralquantity")
    )
    exchange, product = row.get("exchange"), row.get("product")
    return [
        Holding(
            exchange=translated(EXCHANGES, exchange, "exchange") if exchange else exchange_of(symbol),
            tradingsymbol=plain_symbol(symbol),
            isin=text(row, "isin"),
            broker_token=text(row, "symboltoken"),
            product=translated(PRODUCTS, product, "product") if product else Product.CNC,
            settled_quantity=settled,
            t1_quantity=t1,
            pledged_quantity=pledged,
            sales_deducted=None,
            average_price=positive(row, "averageprice"),
            last_price=positive(row, "ltp"),
            close_price=positive(row, "close"),
        )
    ]


def _buckets(quantity: Decimal, t1: Decimal, pledged: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Settled, T1 and pledged, not overlapping. A part that is more than the total proves that it stands beside it.

    Where both fit into the total but not together, the total still holds: the pledge gives way.
    """
    free = quantity if t1 > quantity else quantity - t1
    if pledged > quantity:
        return free, t1, pledged
    inside = min(pledged, free)
    return free - inside, t1, inside


def _count(row: Row, name: str) -> Decimal:
    """A quantity for which the wire may write null when there is none."""
    return ZERO if required(row, name) in (None, "") else whole(row, name)


def positions(row: Row) -> list[Position]:
    """Map one element of `data` in GET getPosition, every value a text.

    Wire: `netqty` is the truth, in units, on MCX too (UNCONFIRMED); a `multiplier` above 0 makes more units of them.
    The `total*value` are rupees over the whole life of the row, `cf*` what was carried into today. Live rows have `ltp`
    and `close`, the published one has not. Ignored on purpose: `pnl` and its parts, which we compute, and `netvalue`.
    """
    exchange = translated(EXCHANGES, required(row, "exchange"), "exchange")
    token = text(row, "symboltoken")
    units = _units(row)
    quantity = amount(row, "netqty")
    before = _dealing(row, "cf")
    carried = before.buy_quantity - before.sell_quantity
    today = _today(_dealing(row), before, quantity)
    return [
        Position(
            exchange=exchange,
            tradingsymbol=plain_symbol(text(row, "tradingsymbol")),
            isin=None,
            broker_token=token,
            product=translated(PRODUCTS, required(row, "producttype"), "producttype"),
            quantity=quantity * units,
            overnight_quantity=carried * units,
            average_price=_average(row, quantity),
            last_price=_price(row, "ltp"),
            close_price=_price(row, "close"),
            buy_value=amount(row, "totalbuyvalue"),
            sell_value=amount(row, "totalsellvalue"),
            day_buy_quantity=today.buy_quantity * units,
            day_buy_value=today.buy_value,
            day_sell_quantity=today.sell_quantity * units,
            day_sell_value=today.sell_value,
            exchange_token=token,
            contract=_contract(row, exchange),
        )
    ]


def _units(row: Row) -> Decimal:
    """What one of the wire's quantity counts: "-1" and 0 stand for no multiplier."""
    multiplier = money(row, "multiplier") or ZERO
    return multiplier if multiplier > 0 else Decimal(1)


def _dealing(row: Row, prefix: str = "") -> Dealing:
    bought, sold = _count(row, f"{prefix}buyqty"), _count(row, f"{prefix}sellqty")
    return Dealing(
        bought,
        amount(row, f"{prefix}buyamount") if bought else ZERO,
        sold,
        amount(row, f"{prefix}sellamount") if sold else ZERO,
    )


def _today(said: Dealing, before: Dealing, quantity: Decimal) -> Dealing:
    """Today's dealing. UNCONFIRMED whether `buyqty` and `sellqty` contain what was carried in: `netqty` tells."""
    dealt = said.buy_quantity - said.sell_quantity
    if before.buy_quantity - before.sell_quantity + dealt == quantity:
        return said
    if dealt == quantity:
        return said.without(before)
    raise UnexpectedResponse("netqty", "is not what was carried, bought and sold")


def _average(row: Row, quantity: Decimal) -> Decimal | None:
    """What the open side cost; none where nothing is open."""
    if not quantity:
        return None
    return positive(row, "avgnetprice") or positive(row, "totalbuyavgprice" if quantity > 0 else "totalsellavgprice")


def _price(row: Row, name: str) -> Decimal | None:
    return positive(row, name) if name in row else None


def _contract(row: Row, exchange: Exchange) -> Contract | None:
    """What a derivative is. The strike is rupees here, UNCONFIRMED, and paise in the scrip master."""
    if SEGMENT_OF[exchange] is Segment.EQUITY or not row.get("expirydate") or not row.get("symbolname"):
        return None
    option_type = OptionType.__members__.get(str(row.get("optiontype")))
    return Contract(
        underlying=text(row, "symbolname"),
        expiry=expiry(text(row, "expirydate"), "expirydate"),
        strike=amount(row, "strikeprice") if option_type else None,
        option_type=option_type,
    )


def orders(row: Row) -> list[BrokerOrder]:
    """Map one element of `data` in GET getOrderBook.

    Wire: a price of 0 is none. `symboltoken` may be null. A protected MARKET order comes back as LIMIT. There is no
    time of placing: the exchange's is taken, or that of the last change.
    """
    quantity, filled = whole(row, "quantity"), whole(row, "filledshares")
    return [
        BrokerOrder(
            broker_order_id=text(row, "orderid"),
            exchange_order_id=optional_text(row, "exchangeorderid"),
            exchange=translated(EXCHANGES, required(row, "exchange"), "exchange"),
            tradingsymbol=plain_symbol(text(row, "tradingsymbol")),
            broker_token=optional_text(row, "symboltoken") or "",
            side=one_of(Side, row, "transactiontype"),
            order_type=translated(ORDER_TYPES, required(row, "ordertype"), "ordertype"),
            product=translated(PRODUCTS, required(row, "producttype"), "producttype"),
            validity=translated(VALIDITIES, required(row, "duration"), "duration"),
            quantity=quantity,
            filled_quantity=filled,
            price=positive(row, "price"),
            trigger_price=positive(row, "triggerprice"),
            average_price=positive(row, "averageprice"),
            status=order_status(STATUSES, first_text(row, "orderstatus", "status").lower(), filled, quantity),
            status_message=optional_text(row, "text"),
            tag=optional_text(row, "ordertag"),
            placed_at=_time(row, "exchtime") or _time(row, "updatetime"),
        )
    ]


def _time(row: Row, name: str) -> datetime | None:
    value = optional_text(row, name)
    return None if value is None else ist(value, name, "%d-%b-%Y %H:%M:%S")


def trades(row: Row) -> list[BrokerTrade]:
    """Map one element of `data` in GET getTradeBook.

    Wire: no token. `filltime` is a time of day without its day, and so no instant: all that is known is today.
    """
    return [
        BrokerTrade(
            trade_id=text(row, "fillid"),
            broker_order_id=text(row, "orderid"),
            exchange=translated(EXCHANGES, required(row, "exchange"), "exchange"),
            tradingsymbol=plain_symbol(text(row, "tradingsymbol")),
            broker_token=optional_text(row, "symboltoken") or "",
            side=one_of(Side, row, "transactiontype"),
            product=translated(PRODUCTS, required(row, "producttype"), "producttype"),
            quantity=whole(row, "fillsize"),
            price=amount(row, "fillprice"),
            traded_at=None,
        )
    ]


def funds(row: Any) -> Funds:
    """Map GET getRMS, every value a text or null.

    `net` is the broker's own word for what is available. UNCONFIRMED, derived from one live account, is the rest:
    `availablecash` contains the pledge margin and lacks what is used, `utilisedpayout` lacks both, `collateral` may
    stay 0 all the same. Where that field is empty nothing can be derived, and the split is unknown.
    """
    row = as_record(row, "data")
    available, used, payout = money(row, "availablecash"), money(row, "utiliseddebits"), money(row, "utilisedpayout")
    derived = payout is not None and payout != 0
    pledged = available - payout if available is not None and payout is not None and derived else None
    return Funds(
        available=money(row, "net"),
        used=used,
        collateral=positive(row, "collateral") or pledged,
        cash=payout + used if payout is not None and used is not None and derived else None,
    )


def quotes(found: Any, asked: Mapping[Key, Listing]) -> tuple[Quote, ...]:
    """Map POST market/v1/quote; what is unknown stands in `unfetched`. `close` is the previous day's."""
    fetched = [as_record(row, "fetched") for row in as_rows(required(as_record(found, "data"), "fetched"), "fetched")]
    prices = {(text(row, "exchange"), first_text(row, "symbolToken", "symboltoken")): row for row in fetched}
    return tuple(
        Quote(
            exchange=listing.exchange,
            broker_token=listing.broker_token,
            last_price=positive(prices[wanted], "ltp"),
            close_price=positive(prices[wanted], "close"),
        )
        for wanted, listing in asked.items()
        if wanted in prices
    )


def candle_params(listing: Listing, first: date, last: date) -> dict[str, str]:
    exchange, token = key(listing)
    return {
        "exchange": exchange,
        "symboltoken": token,
        "interval": "ONE_DAY",
        "fromdate": f"{first} 00:00",
        "todate": f"{last} 23:59",
    }


def candles(body: Any, listing: Listing, first: date, last: date) -> Rows[Candle]:
    """Map POST historical/v1/getCandleData: `data` of `[time, open, high, low, close, volume]`, INR and units.

    Wire: the time is `2023-09-06T00:00:00+05:30`; null is an empty list; an index has a volume of 0. UNCONFIRMED
    whether prices are adjusted for splits and bonuses: they are taken as they stand. UNCONFIRMED, as of orders, whether
    MCX and currency count lots or units: their volume is unknown.
    """
    found = daily(rows(body), ist_day, first, last)
    return found if listing.exchange in SPEC.capabilities.exchanges else without_volumes(found)


def key(line: Listing | Quote | Holding | Position) -> Key:
    """What is the same at every call: tokens are unique within an exchange only."""
    return line.exchange.value, line.broker_token


def with_prices(rows: Rows[Line], quotes: Mapping[Key, Quote]) -> Rows[Line]:
    """Fill in what the rows do not say themselves."""
    return Rows(tuple(_priced(line, quotes.get(key(line))) for line in rows.items), rows.problems)


def _priced(line: Line, quote: Quote | None) -> Line:
    if quote is None:
        return line
    return replace(
        line, last_price=line.last_price or quote.last_price, close_price=line.close_price or quote.close_price
    )
