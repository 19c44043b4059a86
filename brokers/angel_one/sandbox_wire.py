"""What the parts of the simulated SmartAPI share: envelopes, names, and the rows that several of them tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from brokers.domain import OrderStatus, OrderType
from brokers.simulation.book import ZERO
from brokers.simulation.dealing import Deal, DeskOrder
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Price
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply

SECURE = "/rest/secure/angelbroking"

# Code and words.
BAD_QUOTE = ("AB4018", "Symbol token cannot be empty")
UNKNOWN_SYMBOL = ("AB1018", "Failed to get symbol details")

PROFILE = {
    "exchanges": ["bse_fo", "cde_fo", "ncx_fo", "bse_cm", "nse_fo", "nse_cm", "mcx_fo"],
    "products": ["NRML", "BO", "CNC", "CO", "MARGIN", "MIS"],
    "lastlogintime": "",
    "broker": "",
}

PRODUCTS = {"CNC": "DELIVERY", "MIS": "INTRADAY", "NRML": "CARRYFORWARD", "MTF": "MARGIN"}
INDICES = frozenset({"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX"})
# exchange → what ends the instrument type of a future, of an option
TYPE_ENDS = {"NFO": ("STK", "STK"), "BFO": ("STK", "STK"), "CDS": ("CUR", "CUR"), "MCX": ("COM", "FUT")}
# Angel One's own tokens of indices. UNCONFIRMED for the last two, which no page of the documentation shows.
INDEX_TOKENS = {"NIFTY 50": "99926000", "NIFTY BANK": "99926009", "SENSEX": "99919000", "INDIA VIX": "99926017"}
STRIKE_SCALES = {"CDS": 10**7}
PAISE = 100
ORDER_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.SL: "STOPLOSS_LIMIT",
    OrderType.SL_M: "STOPLOSS_MARKET",
}
VARIETIES = {
    OrderType.MARKET: "NORMAL",
    OrderType.LIMIT: "NORMAL",
    OrderType.SL: "STOPLOSS",
    OrderType.SL_M: "STOPLOSS",
}
CANCELLED = "cancelled"
STATUSES = {
    OrderStatus.PENDING: "open pending",
    OrderStatus.OPEN: "open",
    OrderStatus.PARTIALLY_FILLED: "open",
    OrderStatus.TRIGGER_PENDING: "trigger pending",
    OrderStatus.FILLED: "complete",
    OrderStatus.CANCELLED: CANCELLED,
    OrderStatus.EXPIRED: CANCELLED,
    OrderStatus.REJECTED: "rejected",
}


def success(data: object) -> Reply:
    return json_reply({"status": True, "message": "SUCCESS", "errorcode": "", "data": data})


def error(code: str, message: str) -> Reply:
    return json_reply({"status": False, "message": message, "errorcode": code, "data": None})


def gateway_error(code: str, message: str, *, status: int = 200) -> Reply:
    """The gateway's spelling, for tokens and keys."""
    return json_reply({"success": False, "message": message, "errorCode": code, "data": ""}, status)


def handshake_refused(header: str) -> Refusal:
    return Refusal(Reply(401, b"", headers={"x-error-message": f"Invalid Header - Invalid {header}"}))


def body(call: Call) -> Mapping[str, Json]:
    return call.json if isinstance(call.json, dict) else {}


def sent(call: Call, name: str) -> str:
    """A text of the JSON body, or an empty one."""
    value = body(call).get(name)
    return value if isinstance(value, str) else ""


def token_of(listing: Listing) -> str:
    return INDEX_TOKENS[listing.symbol] if listing.is_index else listing.exchange_token


def symbol(listing: Listing) -> str:
    """`SBIN-EQ` at NSE, `SBIN` at BSE, `NIFTY29DEC2627000CE`. UNCONFIRMED that BFO, CDS and MCX have the same form."""
    if listing.is_index:
        return listing.row["angel_symbol"]
    if listing.is_cash:
        return listing.row["angel_symbol"] if listing.exchange == "NSE" else listing.symbol
    end = f"{listing.strike.normalize():f}{listing.option_type}" if listing.strike is not None else "FUT"
    return listing.row["angel_symbol"] or f"{listing.underlying}{listing.expiry:%d%b%y}".upper() + end


def expiry(listing: Listing) -> str:
    return f"{listing.expiry:%d%b%Y}".upper() if listing.expiry else ""


def instrument_type(listing: Listing) -> str:
    if listing.is_cash:
        return ""
    if listing.is_index:
        return "AMXIDX"
    future_end, option_end = ("IDX", "IDX") if listing.underlying in INDICES else TYPE_ENDS[listing.exchange]
    return f"OPT{option_end}" if listing.option_type else f"FUT{future_end}"


def rupees(amount: Decimal) -> str:
    return f"{amount:.2f}"


def percent(part: Decimal, whole: Decimal) -> float:
    return double(round(part / whole * 100, 2)) if whole else 0.0


def ohlc(price: Price) -> dict[str, Json]:
    """`close` is the previous day's."""
    return {
        "open": double(price.open),
        "high": double(price.high),
        "low": double(price.low),
        "close": double(price.close),
    }


def unknown(exchange: str, token: str) -> Json:
    code, message = UNKNOWN_SYMBOL if token else BAD_QUOTE
    return {"exchange": exchange, "symbolToken": token, "message": message, "errorCode": code}


def master_row(listing: Listing, tick_size: Decimal, *, by_auction: bool) -> Json:
    """Strike and tick in paise, a currency strike in 10,000,000ths; lots in units."""
    if listing.is_index:
        return index_row(listing)
    scale = STRIKE_SCALES.get(listing.exchange, PAISE)
    return {
        "token": token_of(listing),
        "symbol": symbol(listing),
        "name": listing.symbol if listing.is_cash else listing.underlying,
        "expiry": expiry(listing),
        "strike": "-1.000000" if listing.strike is None else f"{listing.strike * scale:.6f}",
        "lotsize": str(listing.lot_size * listing.contract_multiplier),
        "instrumenttype": instrument_type(listing),
        "exch_seg": listing.exchange,
        "tick_size": f"{tick_size * PAISE:.6f}",
        "is_cas_enabled": str(by_auction).lower(),
    }


def index_row(listing: Listing) -> Json:
    """Nothing can be dealt in: a strike and a tick of zero. As in scrip_master_rows.json."""
    return {
        "token": token_of(listing),
        "symbol": symbol(listing),
        "name": listing.underlying or listing.symbol,
        "expiry": "",
        "strike": "0.000000",
        "lotsize": "1",
        "instrumenttype": instrument_type(listing),
        "exch_seg": listing.exchange,
        "tick_size": "0.000000",
    }


def order_row(order: DeskOrder, listing: Listing) -> dict[str, Json]:
    """An order as books, the socket and postbacks tell it: prices are numbers, quantities texts, in units on MCX too.

    Field order of order_details.json. The day's end is told as a cancellation: no word for it is published.
    """
    asked, units = order.asked, listing.contract_multiplier
    left = order.remaining * units
    status, at = STATUSES[order.status], moment(order.updated_at)
    last = order.deals[-1] if order.deals else None
    return {
        "variety": VARIETIES[asked.order_type],
        "ordertype": ORDER_TYPES[asked.order_type],
        "producttype": PRODUCTS[asked.product],
        "duration": asked.validity.value,
        "price": double(asked.price or 0),
        "triggerprice": double(asked.trigger_price or 0),
        "quantity": str(asked.quantity * units),
        "disclosedquantity": str(asked.disclosed_quantity * units),
        "squareoff": 0.0,
        "stoploss": 0.0,
        "trailingstoploss": 0.0,
        "tradingsymbol": symbol(listing),
        "transactiontype": asked.side.value,
        "exchange": listing.exchange,
        "symboltoken": token_of(listing),
        "instrumenttype": instrument_type(listing),
        "strikeprice": -1.0 if listing.strike is None else double(listing.strike),
        "optiontype": listing.option_type,
        "expirydate": expiry(listing),
        "lotsize": str(listing.lot_size * units),
        "cancelsize": str(left if status == CANCELLED else 0),
        "averageprice": double(round(order.average_price or ZERO, 4)),
        "filledshares": str(order.filled * units),
        "unfilledshares": str(left),
        "orderid": order.order_id,
        "text": order.message,
        "status": status,
        "orderstatus": status,
        "updatetime": at,
        "exchtime": at if order.exchange_order_id else "",
        "exchorderupdatetime": at if order.exchange_order_id else "",
        "fillid": last.trade_id if last else "",
        "filltime": f"{last.at.astimezone(IST):%H:%M:%S}" if last else "",
        "parentorderid": "",
        "ordertag": asked.tag or "",
    }


def trade_row(order: DeskOrder, deal: Deal, listing: Listing) -> dict[str, Json]:
    """A fill: every value is a text, without a token, and with a time that lacks its day."""
    units = listing.contract_multiplier
    return {
        "exchange": listing.exchange,
        "producttype": PRODUCTS[order.asked.product],
        "tradingsymbol": symbol(listing),
        "instrumenttype": instrument_type(listing),
        "symbolgroup": "EQ" if listing.is_cash else "XX",
        "strikeprice": "-1" if listing.strike is None else rupees(listing.strike),
        "optiontype": listing.option_type,
        "expirydate": expiry(listing),
        "marketlot": str(listing.lot_size * units),
        "precision": "2",
        "multiplier": "-1",
        "tradevalue": rupees(deal.price * deal.quantity * units),
        "transactiontype": order.asked.side.value,
        "fillprice": rupees(deal.price),
        "fillsize": str(deal.quantity * units),
        "orderid": order.order_id,
        "fillid": deal.trade_id,
        "filltime": f"{deal.at.astimezone(IST):%H:%M:%S}",
    }


def moment(at: datetime) -> str:
    return f"{at.astimezone(IST):%d-%b-%Y %H:%M:%S}"
