"""Symphony's XTS, simulated: both applications of ttblaze.iifl.com behind one port.

Shapes and field order follow the XTS docs and fixtures/iifl/*.json. As unhelpful as the real thing: each quote is a
JSON document inside a string, and the misspelt names are kept. Logins and the market are here, what the account holds
in sandbox_account.py, its orders in sandbox_orders.py.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from urllib.parse import parse_qs
from weakref import WeakSet

from brokers.iifl.sandbox_account import SEGMENTS, bad_request, error, number_of, success
from brokers.iifl.sandbox_candles import Candles
from brokers.iifl.sandbox_orders import IiflOrders
from brokers.iifl.sandbox_stream import (
    INTERACTIVE_PATH,
    MARKET_PATH,
    UNKNOWN_PROTOCOL,
    UNKNOWN_TRANSPORT,
    BlazeSocket,
    InteractiveSocket,
    MarketSocket,
)
from brokers.simulation.dialect import Access, App, Problem, Route, same
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Price
from brokers.simulation.sessions import IST, random_text
from brokers.simulation.streams import StreamRoute
from brokers.simulation.web_token import signed_token
from brokers.simulation.wire import HTML, Call, Json, Refusal, Reply, double, json_reply

TOKEN_LIFE = timedelta(days=1)
MARKET_PREFIX = "/apimarketdata/"
QUOTE_LIMIT = MOST_SUBSCRIBED = 50
XTS_EPOCH = datetime(1980, 1, 1, tzinfo=IST)
MARKET_KEY, MARKET_SECRET = "market_api_key", "market_api_secret"

INVALID_TOKEN = (400, "e-session-0007", "Invalid Token")
NO_TOKEN = (400, "e-token-0002", "Please Provide token to Authenticate")
BAD_KEYS = (400, "e-user-0001", "Invalid User")
ALREADY_SUBSCRIBED = (400, "e-session-0002", "Instrument Already Subscribed !")
OVER_LIMIT = (400, "e-session-0004", "Subscription limit exceeded")
MAINTENANCE_PAGE = Reply(503, b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>", HTML)
PROBLEMS = {
    Problem.TOKEN_DEAD: INVALID_TOKEN,
    Problem.RATE_LIMITED: (429, "e-apirl-0004", "Rate limit exceeded"),
    Problem.SERVER_ERROR: (500, "e-server-0001", "Internal Server Error"),
    Problem.NOT_FOUND: (404, "e-app-0404", "Not Found"),
    Problem.METHOD_NOT_ALLOWED: (405, "e-app-0405", "Method Not Allowed"),
}

ORDER_TYPES: list[Json] = ["Limit", "Market", "StopLimit", "StopMarket"]
SOCKET_EVENTS: list[Json] = ["joined", "error", "warning", "success", "order", "trade", "logout", "position"]
ORDER_SOURCES: list[Json] = ["TWSAPI", "WebAPI", "MobileAndroidAPI", "MobileWindowsAPI", "MobileIOSAPI"]
INSTRUMENT_TYPES: list[Json] = ["Futures", "Options", "Spread", "Equity", "Spot"]


class IiflSandbox(IiflOrders):
    slug, name = "iifl", "IIFL (XTS Blaze)"
    login_path = "/interactive/user/session"
    login_fields = ()  # no login page: the keys are all there is

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/interactive/user/session", self.open_interactive, Access.PUBLIC)
        yield Route("DELETE", "/interactive/user/session", self.logout)
        yield Route("GET", "/interactive/user/profile", self.profile)
        yield Route("GET", "/interactive/user/balance", self.balance)
        yield Route("GET", "/interactive/portfolio/holdings", self.holdings)
        yield Route("GET", "/interactive/portfolio/positions", self.positions)
        yield Route("POST", "/interactive/orders", self.place)
        yield Route("PUT", "/interactive/orders", self.modify)
        yield Route("DELETE", "/interactive/orders", self.cancel)
        yield Route("GET", "/interactive/orders", self.order_book)
        yield Route("GET", "/interactive/orders/trades", self.trade_book)
        yield Route("POST", "/apimarketdata/auth/login", self.open_market, Access.PUBLIC)
        yield Route("DELETE", "/apimarketdata/auth/logout", self.logout)
        yield Route("POST", "/apimarketdata/instruments/quotes", self.quotes)
        yield Route("POST", "/apimarketdata/instruments/subscription", self.subscribe)
        yield Route("PUT", "/apimarketdata/instruments/subscription", self.unsubscribe)
        yield from Candles(self.bars, lambda: self._by_number).routes()
        yield Route("POST", "/apimarketdata/instruments/master", self.master, Access.PUBLIC)
        yield Route("GET", "/apimarketdata/instruments/indexlist", self.index_list, Access.PUBLIC)

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        """Two applications, each with a pair of its own."""
        return App(
            api_key=secrets.token_hex(11),
            api_secret=new_secret(),
            redirect_uri=redirect_uri,
            extra={MARKET_KEY: secrets.token_hex(11), MARKET_SECRET: new_secret()},
        )

    def problem(self, kind: Problem, path: str = "") -> Reply:
        return MAINTENANCE_PAGE if kind is Problem.MAINTENANCE else error(*PROBLEMS[kind])

    # --- login and session -----------------------------------------------------------------------

    def accepted(self, call: Call) -> Reply:
        raise self.refusal(Problem.NOT_FOUND)  # no browser ever comes here

    def cancelled(self, call: Call) -> Reply:
        raise self.refusal(Problem.NOT_FOUND)

    def open_interactive(self, call: Call) -> Reply:
        user = self.book.account.user_id
        return success(
            {
                "enums": {
                    "socketEvent": SOCKET_EVENTS,
                    "orderSide": ["BUY", "SELL"],
                    "orderSource": ORDER_SOURCES,
                    "positionSqureOffMode": ["DayWise", "NetWise"],
                    "positionSquareOffQuantityType": ["Percentage", "ExactQty"],
                    "dayOrNet": ["DAY", "NET"],
                    "instrumentType": INSTRUMENT_TYPES,
                    "exchangeSegment": [word for word, _, _ in SEGMENTS.values()],
                    "exchangeInfo": {
                        word: {
                            "productType": {product: product for product in products},
                            "orderType": ORDER_TYPES,
                            "timeInForce": ["DAY", "IOC"],
                        }
                        for word, _, products in SEGMENTS.values()
                    },
                },
                "clientCodes": [user],
                "exchangeSegmentArray": [{"key": word, "value": number} for word, number, _ in SEGMENTS.values()],
                "token": self._new_token(call, self.app.api_key, self.app.api_secret),
                "userID": user,
                "isInvestorClient": True,
                "isOneTouchUser": False,
            },
            "s-user-0001",
            "Valid User.",
        )

    def open_market(self, call: Call) -> Reply:
        token = self._new_token(call, self.app.extra[MARKET_KEY], self.app.extra[MARKET_SECRET])
        return success(
            {
                "token": token,
                "userID": self.book.account.user_id,
                "appVersion": "2.0",
                "application_expiry_date": "2027-03-31",
            },
            "s-auth-0001",
            "login successful",
        )

    def _new_token(self, call: Call, api_key: str, api_secret: str) -> str:
        """Check a pair of keys and open its one session: the one before ends."""
        given = credentials(call)
        if not (same(given.get("appKey", ""), api_key) and same(given.get("secretKey", ""), api_secret)):
            raise Refusal(error(*BAD_KEYS))
        now, user = self.now(), self.book.account.user_id
        expires_at = now + TOKEN_LIFE
        claims = {
            "userID": f"{user}_{api_key}",
            "publicKey": api_key,
            "jti": secrets.token_hex(6),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        token = signed_token(claims, api_secret)
        door = self._door(call)
        for known in [known for known in self.sessions.open_sessions if known.startswith(door)]:
            self.sessions.close(known)
            self._subscriptions.pop(known, None)
            for socket in self._sockets:
                socket.is_replaced |= socket.session == known
        self.sessions.open(door + token, now=now, expires_at=expires_at)
        return token

    @staticmethod
    def _door(call: Call) -> str:
        """Each application knows its own tokens only."""
        return "market " if call.path.startswith(MARKET_PREFIX) else "interactive "

    def token(self, call: Call) -> str:
        """Raw, without "Bearer"."""
        token = call.headers.get("authorization", "")
        if not token:
            raise Refusal(error(*NO_TOKEN))
        return self._door(call) + token

    def logout(self, call: Call) -> Reply:
        self.sessions.close(self.token(call))
        self._subscriptions.pop(self.token(call), None)
        return success("", "s-user-0001", "successfully logout from all API.")

    # --- market ----------------------------------------------------------------------------------

    @cached_property
    def _by_number(self) -> dict[tuple[int, int], Listing]:
        return {(SEGMENTS[item.exchange][1], number_of(item)): item for item in self.instruments}

    def quotes(self, call: Call) -> Reply:
        """Instruments without a snapshot are listed as asked for and answered with nothing."""
        if not isinstance(call.json, dict) or "publishFormat" not in call.json:
            raise Refusal(bad_request("publishFormat", "is required", "any.required"))
        instruments, code = asked_of(call.json)
        result: Json = {"mdp": code, "quotesList": instruments, "listQuotes": self._documents(instruments, code)}
        return success(result, "s-quotes-0001", "Get quotes successfully!")

    def _documents(self, instruments: list[Json], code: int) -> Json:
        listings = [listing for item in instruments if (listing := self._listing(item))]
        prices = [(listing, self.market.price(listing.key)) for listing in listings]
        return [self._document(listing, price, code) for listing, price in prices if price]

    def _listing(self, item: Json) -> Listing | None:
        if not isinstance(item, dict):
            return None
        segment, number = item.get("exchangeSegment"), item.get("exchangeInstrumentID")
        if not (isinstance(segment, int) and str(number).isdigit()):
            return None
        return self._by_number.get((segment, int(str(number))))

    def _document(self, listing: Listing, price: Price, code: int) -> str:
        """One quote as the text it travels as."""
        head: dict[str, Json] = {
            "MessageCode": code,
            "MessageVersion": 4,
            "ApplicationType": 0,
            "TokenID": 0,
            "ExchangeSegment": SEGMENTS[listing.exchange][1],
            "ExchangeInstrumentID": number_of(listing),
            "ExchangeTimeStamp": self._stamp(),
        }
        return json.dumps(head | WRITERS[code](self._touchline(listing, price)), separators=(",", ":"))

    def _stamp(self) -> int:
        """Seconds since 1980 of the clock on an Indian wall."""
        return int((self.now() - XTS_EPOCH).total_seconds())

    def _touchline(self, listing: Listing, price: Price) -> dict[str, Json]:
        """`Close` is the previous day's; the misspelling is the wire's."""
        last = double(price.last)
        best: Json = {"Size": 10 * listing.lot_size, "Price": last, "TotalOrders": 1, "BuyBackMarketMaker": 0}
        return {
            "BidInfo": best,
            "AskInfo": best,
            "LastTradedPrice": last,
            "LastTradedQunatity": listing.lot_size,
            "TotalBuyQuantity": 100 * listing.lot_size,
            "TotalSellQuantity": 100 * listing.lot_size,
            "TotalTradedQuantity": price.volume,
            "AverageTradedPrice": last,
            "LastTradedTime": self._stamp(),
            "LastUpdateTime": self._stamp(),
            "PercentChange": round(double((price.last / price.close - 1) * 100), 4),
            "Open": double(price.open),
            "High": double(price.high),
            "Low": double(price.low),
            "Close": double(price.close),
            "TotalValueTraded": None,
            "BuyBackTotalBuy": 0,
            "BuyBackTotalSell": 0,
        }

    def master(self, call: Call) -> Reply:
        asked = call.json
        wanted = asked.get("exchangeSegmentList") if isinstance(asked, dict) else None
        if not isinstance(wanted, list) or not wanted:
            raise Refusal(bad_request("exchangeSegmentList", "is required", "any.required"))
        listed = [item for item in self.listed() if SEGMENTS[item.exchange][0] in wanted]
        lines = (master_line(item, self.market.tick_size(item)) for item in listed)
        return success("\n".join(lines), "s-instrument-0002", "Instrument master downloaded")

    def index_list(self, call: Call) -> Reply:
        segment = call.asked("exchangeSegment")
        exchange = {"1": "NSE", "11": "BSE"}.get(segment)
        if exchange is None:
            raise Refusal(bad_request("exchangeSegment", "is required", "any.required"))
        listed = [item for item in self.instruments if item.is_index and item.exchange == exchange]
        names: list[Json] = [f"{item.symbol}_{number_of(item)}" for item in listed]
        result: Json = {"exchangeSegment": int(segment), "indexList": names}
        return success(result, "s-instrument-0001", "Index list")

    # --- streams ---------------------------------------------------------------------------------

    def streams(self) -> Iterable[StreamRoute]:
        yield StreamRoute(MARKET_PATH, self.market_socket)
        yield StreamRoute(INTERACTIVE_PATH, self.interactive_socket)

    def market_socket(self, call: Call) -> MarketSocket:
        session = self._admitted(call)
        if (call.asked("publishFormat"), call.asked("broadcastMode")) != ("JSON", "Full"):
            raise Refusal(bad_request("broadcastMode", "must be Full: nothing else is simulated", "any.allowOnly"))
        socket = MarketSocket(self.market, session, self._subscriptions.setdefault(session, {}), self._document)
        self._sockets.add(socket)
        return socket

    def interactive_socket(self, call: Call) -> InteractiveSocket:
        socket = InteractiveSocket(self.market, self._admitted(call), self.desk, self.told)
        self._sockets.add(socket)
        return socket

    def _admitted(self, call: Call) -> str:
        """The key of a live session whose token stands in the address."""
        if call.asked("EIO") != "3":
            raise Refusal(json_reply(UNKNOWN_PROTOCOL, 400))
        if call.asked("transport") != "websocket":
            raise Refusal(json_reply(UNKNOWN_TRANSPORT, 400))
        session = self._door(call) + call.asked("token")
        is_live = self.sessions.live(session, now=self.now()) is not None
        if not is_live or call.asked("userID") != self.book.account.user_id:
            raise self.refusal(Problem.TOKEN_DEAD)
        return session

    @cached_property
    def _sockets(self) -> WeakSet[BlazeSocket]:
        return WeakSet()

    @cached_property
    def _subscriptions(self) -> dict[str, dict[str, Listing]]:
        """What each market data session has subscribed to, on whatever socket."""
        return {}

    def subscribe(self, call: Call) -> Reply:
        """All of it or nothing. The answer carries the last prices."""
        instruments, code = asked_of(call.json)
        mine = self._subscriptions.setdefault(self.token(call), {})
        names = self._names(instruments, code)
        if names.keys() & mine.keys():
            raise Refusal(error(*ALREADY_SUBSCRIBED))
        if len(mine) + len(names) > MOST_SUBSCRIBED:
            raise Refusal(error(*OVER_LIMIT))
        mine |= names
        return success(
            {
                "mdp": code,
                "quotesList": instruments,
                "listQuotes": self._documents(instruments, code),
                "Remaining_Subscription_Count": MOST_SUBSCRIBED - len(mine),
            },
            "s-session-0001",
            "Instrument subscribed successfully!",
        )

    def unsubscribe(self, call: Call) -> Reply:
        """What is not subscribed to is no error; the answer's shape is a guess."""
        instruments, code = asked_of(call.json)
        session, names = self.token(call), self._names(instruments, code)
        for name in names:
            self._subscriptions.get(session, {}).pop(name, None)
        for socket in self._sockets:
            if socket.session == session:
                for name in names:
                    socket.forget(name)
        return success(
            {"mdp": code, "unsubList": instruments}, "s-session-0001", "Instrument unsubscribed successfully!"
        )

    def _names(self, instruments: list[Json], code: int) -> dict[str, Listing]:
        listings = [listing for item in instruments if (listing := self._listing(item))]
        return {f"{code} {SEGMENTS[each.exchange][1]} {number_of(each)}": each for each in listings}


SANDBOX = IiflSandbox


def asked_of(asked: Json) -> tuple[list[Json], int]:
    """The instruments and the message code of a call for quotes or for a subscription; raises Refusal."""
    instruments = asked.get("instruments") if isinstance(asked, dict) else None
    if not isinstance(instruments, list) or not 0 < len(instruments) <= QUOTE_LIMIT:
        raise Refusal(bad_request("instruments", "is invalid", "array.base"))
    code = asked.get("xtsMessageCode") if isinstance(asked, dict) else None
    if not isinstance(code, int) or code not in WRITERS:
        raise Refusal(bad_request("xtsMessageCode", "is invalid", "any.allowOnly"))
    return instruments, code


def credentials(call: Call) -> dict[str, str]:
    """The keys of a login: JSON, a form, or the form that the official SDK sends under a JSON content type."""
    if isinstance(call.json, dict):
        return {name: str(value) for name, value in call.json.items()}
    return {name: values[0] for name, values in parse_qs(call.body.decode("utf-8", "replace")).items()}


def new_secret() -> str:
    return f"{random_text(7)}#{random_text(2)}"


def full_quote(touchline: dict[str, Json]) -> dict[str, Json]:
    """Five levels of depth, of which the simulated market has one."""
    empty: Json = {"Size": 0, "Price": 0, "TotalOrders": 0, "BuyBackMarketMaker": 0}
    depth: dict[str, Json] = {side: [touchline[info], *[empty] * 4] for side, info in SIDES.items()}
    return depth | touchline_quote(touchline)


def touchline_quote(touchline: dict[str, Json]) -> dict[str, Json]:
    return {"Touchline": touchline, "BookType": 1, "XMarketType": 1, "SequenceNumber": 1}


def last_price_quote(touchline: dict[str, Json]) -> dict[str, Json]:
    """Flat, without a touchline."""
    kept = ("LastTradedPrice", "LastTradedQunatity", "LastUpdateTime", "PercentChange", "Close")
    return {"BookType": 1, "XMarketType": 1} | {name: touchline[name] for name in kept}


SIDES = {"Bids": "BidInfo", "Asks": "AskInfo"}
WRITERS = {1501: touchline_quote, 1502: full_quote, 1512: last_price_quote}


def master_line(listing: Listing, tick_size: Decimal) -> str:
    """One line of the master: 22 columns for shares, 21 for futures, 23 for options."""
    segment, code, _ = SEGMENTS[listing.exchange]
    if listing.is_index:
        return index_line(listing, segment, tick_size)
    units = listing.contract_multiplier
    kind = 8 if listing.is_cash else 2 if listing.option_type else 1
    name = listing.symbol if listing.is_cash else listing.underlying
    series = share_series(listing) if listing.is_cash else contract_series(listing)
    head = (
        *(segment, listing.exchange_token, kind, name, f"{name}-{series}" if listing.is_cash else listing.symbol),
        *(series, f"{name}-{series}", f"{code}1001{listing.exchange_token:0>8}"),
        *(0, 0, listing.row["freeze_qty"] or 100_000, tick_size, listing.lot_size, units),
    )
    if listing.is_cash:
        return joined(*head, listing.symbol, listing.isin, 1, 1, listing.name.upper(), 0, -1, -1)
    expiry = f"{listing.expiry}T14:30:00"
    option = (listing.strike, {"CE": 3, "PE": 4}[listing.option_type]) if listing.option_type else ()
    return joined(*head, -1, listing.underlying, expiry, *option, listing.symbol, 1, 1, listing.symbol)


def index_line(listing: Listing, segment: str, tick_size: Decimal) -> str:
    """A line like a share's, of type 16, with the name where shares carry their ISIN."""
    name, own = listing.symbol, number_of(listing)
    head = (segment, own, 16, name, name, "INDEX", name, own, 0, 0, 0, tick_size, 1, 1)
    return joined(*head, name, name, 1, 1, name, 0, -1, -1)


def share_series(listing: Listing) -> str:
    return listing.row["series"] if listing.exchange == "NSE" else "A"


def contract_series(listing: Listing) -> str:
    return {"CE": "OPT", "PE": "OPT"}.get(listing.option_type, "FUT") + ("COM" if listing.exchange == "MCX" else "")


def joined(*fields: object) -> str:
    return "|".join(str(field) for field in fields)
