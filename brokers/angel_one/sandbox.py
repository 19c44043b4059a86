"""SmartAPI, simulated: the wire of apiconnect.angelone.in, the publisher login page and the scrip master.

Shapes and field order follow the SmartAPI docs and fixtures/angel_one/*.json; positions carry the five fields that
live replies have and the published row has not. Failures come as they do live: HTTP 200 in one of two envelopes, and
the rate limit as a plain text with 403.

The redirect loses the `state`, as several implementers report. Post `keep_state=1` with the login form to have it
returned, as the docs promise. Chosen where the docs are silent: a refresh ends the session it renews; `buyqty` and
`sellqty` are today's alone; a sale of today has left `quantity`; pledged shares are inside it.
Stricter than the docs ask: a request that lacks one of the X- headers is refused, so a client cannot forget one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from functools import cached_property

from brokers.angel_one.sandbox_candles import Candles
from brokers.angel_one.sandbox_orders import Orders
from brokers.angel_one.sandbox_postback import postback
from brokers.angel_one.sandbox_stream import OrderStatusSocket, SmartStream
from brokers.angel_one.sandbox_wire import (
    BAD_QUOTE,
    PRODUCTS,
    PROFILE,
    SECURE,
    UNKNOWN_SYMBOL,
    body,
    error,
    expiry,
    gateway_error,
    handshake_refused,
    instrument_type,
    master_row,
    ohlc,
    percent,
    rupees,
    sent,
    success,
    symbol,
    token_of,
    unknown,
)
from brokers.simulation.book import ZERO, Holding, Position
from brokers.simulation.dialect import Access, App, Problem, Route, Sandbox, same
from brokers.simulation.instruments import Listing
from brokers.simulation.login import LoginField
from brokers.simulation.market import Price
from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST, Session, next_at, random_text
from brokers.simulation.streams import StreamRoute
from brokers.simulation.web_token import signed_token
from brokers.simulation.wire import HTML, Call, Json, Refusal, Reply, double, json_reply, redirect

AUTH = "/rest/auth/angelbroking"
LOGIN_PAGE = "/publisher-login"
MASTER = "/OpenAPI_File/files/OpenAPIScripMaster.json"
TOKEN_DEATH = time(0, 0)  # IST, the midnight after the login
QUOTE_LIMIT = 50
OTHER_HEADERS = ("x-usertype", "x-sourceid", "x-clientlocalip", "x-clientpublicip", "x-macaddress")

# Code and words, in the gateway's envelope.
TOKEN_INVALID = ("AG8001", "Invalid Token")
TOKEN_EXPIRED = ("AG8002", "Token Expired")
TOKEN_MISSING = ("AG8003", "Token missing")
BAD_KEY = ("AG8004", "Invalid API Key")
# Code and words, in the usual one.
BAD_HEADERS = ("AB1005", "User Type Must Be USER")
BAD_LOGIN = ("AB1007", "Login Id or password is invalid")
NOT_LOGGED_IN = ("AB1011", "Client not login")
BAD_TOTP = ("AB1050", "Invalid totp")
INTERNAL = ("AB2001", "Internal Error, Please try after sometime")
BAD_REFRESH = ("AB8050", "Invalid Refresh Token")


@dataclass(frozen=True)
class Line:
    """One row of the holdings: the shares of one product. An average of None is not known."""

    row: Holding
    product: str
    quantity: int
    t1: int
    pledged: int
    average_price: Decimal | None

    @property
    def cost(self) -> Decimal:
        return (self.average_price or ZERO) * self.quantity


class AngelOneSandbox(Sandbox):
    slug, name = "angel_one", "Angel One"
    login_path = LOGIN_PAGE
    login_fields = (
        LoginField("clientcode", "Client code", account="user_id"),
        LoginField("pin", "PIN", digits=4),
        LoginField("totp", "TOTP", digits=6),
    )
    compresses = True

    def routes(self) -> Iterable[Route]:
        yield Route("GET", LOGIN_PAGE, self.login_form, Access.PAGE)
        yield Route("POST", LOGIN_PAGE, self.login, Access.PAGE)
        yield Route("POST", f"{AUTH}/user/v1/loginByPassword", self.login_by_password, Access.PUBLIC)
        yield Route("POST", f"{AUTH}/jwt/v1/generateTokens", self.refresh)
        yield Route("POST", f"{SECURE}/user/v1/logout", self.logout)
        yield Route("GET", f"{SECURE}/user/v1/getProfile", self.profile)
        yield Route("GET", f"{SECURE}/user/v1/getRMS", self.funds)
        yield Route("GET", f"{SECURE}/portfolio/v1/getHolding", self.holding)
        yield Route("GET", f"{SECURE}/portfolio/v1/getAllHolding", self.all_holding)
        yield Route("GET", f"{SECURE}/order/v1/getPosition", self.positions)
        yield from Orders(self.desk, lambda: self._by_token).routes()
        yield from Candles(self.bars, lambda: self._by_token).routes()
        yield Route("POST", f"{SECURE}/order/v1/getLtpData", self.ltp)
        yield Route("POST", f"{SECURE}/order/v1/searchScrip", self.search)
        yield Route("POST", f"{SECURE}/market/v1/quote", self.quote)
        yield Route("GET", MASTER, self.instruments_master, Access.PUBLIC)

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        """Angel One shows a secret beside the key; no call asks for it."""
        return App(api_key=random_text(8), api_secret=random_text(32), redirect_uri=redirect_uri)

    def problem(self, kind: Problem, path: str = "") -> Reply:
        """A gateway's words where the API has none of its own: no maintenance answer is published."""
        replies = {
            Problem.TOKEN_DEAD: gateway_error(*TOKEN_INVALID),
            Problem.RATE_LIMITED: Reply(403, b"Access denied because of exceeding access rate", "text/plain"),
            Problem.SERVER_ERROR: error(*INTERNAL),
            Problem.MAINTENANCE: Reply(503, b"<html><body>503 Service Unavailable</body></html>", HTML),
            Problem.NOT_FOUND: Reply(404, b"<html><body>404 Not Found</body></html>", HTML),
            Problem.METHOD_NOT_ALLOWED: Reply(405, b"<html><body>405 Not Allowed</body></html>", HTML),
        }
        return replies[kind]

    # --- login and session -----------------------------------------------------------------------

    def login_form(self, call: Call) -> Reply:
        self._known_app(call.asked("api_key"))
        return super().login_form(call)

    def accepted(self, call: Call) -> Reply:
        """No code and no exchange: the tokens themselves travel in the address."""
        self._known_app(call.asked("api_key"))
        tokens = self._open()
        names = {"auth_token": "jwtToken", "feed_token": "feedToken", "refresh_token": "refreshToken"}
        return self._back(call, {name: tokens[theirs] for name, theirs in names.items()})

    def cancelled(self, call: Call) -> Reply:
        """Unpublished: back without tokens."""
        return self._back(call, {})

    def _back(self, call: Call, pairs: dict[str, str]) -> Reply:
        state = {"state": call.asked("state")} if call.posted("keep_state") else {}
        return redirect(self.app.redirect_uri, pairs | state)

    def _known_app(self, api_key: str) -> None:
        if not same(api_key, self.app.api_key):
            raise Refusal(gateway_error(*BAD_KEY, status=403))

    def login_by_password(self, call: Call) -> Reply:
        self._check_headers(call)
        if not (self._is_right(call, "clientcode", "clientcode") and self._is_right(call, "password", "pin")):
            code, message = BAD_LOGIN
            raise Refusal(json_reply({"status": "false", "message": message, "errorcode": code, "data": "null"}))
        if not self._is_right(call, "totp", "totp"):
            raise Refusal(error(*BAD_TOTP))
        return success({**self._open(), "state": sent(call, "state") or "live"})

    def _is_right(self, call: Call, name: str, field: str) -> bool:
        return same(sent(call, name), self.login_values[field])

    def refresh(self, call: Call) -> Reply:
        """A refresh token works once, and with the access token it came with."""
        old = self.admit(call)
        if not same(sent(call, "refreshToken"), old.refresh_token):
            raise Refusal(error(*BAD_REFRESH))
        self.sessions.close(old.token)
        return success(self._open())

    def _open(self) -> dict[str, str]:
        now = self.now()
        expires_at = next_at(now, TOKEN_DEATH)
        session = self.sessions.open(self._token("access", now, expires_at), now=now, expires_at=expires_at)
        session.refresh_token = self._token("refresh", now, expires_at)
        session.feed_token = self._token("feed", now, expires_at)
        return {
            "jwtToken": session.token,
            "refreshToken": session.refresh_token,
            "feedToken": session.feed_token,
        }

    def _token(self, kind: str, now: datetime, expires_at: datetime) -> str:
        claims = {
            "username": self.book.account.user_id,
            "roles": 0,
            "usertype": "USER",
            "token": f"{kind}-{secrets.token_hex(12)}",
            "iss": "AngelOne",
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return signed_token(claims, self.app.api_secret)

    def logout(self, call: Call) -> Reply:
        if not same(sent(call, "clientcode"), self.book.account.user_id):
            raise Refusal(error(*NOT_LOGGED_IN))
        self.sessions.close(self.token(call))
        return success("")

    def token(self, call: Call) -> str:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else ""

    def admit(self, call: Call) -> Session:
        self._check_headers(call)
        token = self.token(call)
        session = self.sessions.live(token, now=self.now())
        if session is None:
            known = token in self.sessions.open_sessions
            raise Refusal(gateway_error(*(TOKEN_EXPIRED if known else TOKEN_INVALID if token else TOKEN_MISSING)))
        return session

    def _check_headers(self, call: Call) -> None:
        if not same(call.headers.get("x-privatekey", ""), self.app.api_key):
            raise Refusal(gateway_error(*BAD_KEY))
        if not all(call.headers.get(name) for name in OTHER_HEADERS):
            raise Refusal(error(*BAD_HEADERS))

    # --- streams ---------------------------------------------------------------------------------

    def postback(self, told: Told) -> Json:
        return postback(told, self.instruments)

    def streams(self) -> Iterable[StreamRoute]:
        yield StreamRoute("/smart-stream", self.smart_stream)
        yield StreamRoute("/smart-order-update", self.order_status)

    def smart_stream(self, call: Call) -> SmartStream:
        """The refusal names the first header that is wrong. The browser's form, all in the address, is not served."""
        session = self.sessions.live(self._handshake_token(call), now=self.now())
        if session is None:
            raise handshake_refused("Auth token")
        if not same(call.headers.get("x-client-code", ""), self.book.account.user_id):
            raise handshake_refused("Client Code")
        if not same(call.headers.get("x-api-key", ""), self.app.api_key):
            raise handshake_refused("API Key")
        if not same(call.headers.get("x-feed-token", ""), session.feed_token):
            raise handshake_refused("Feed Token")
        return SmartStream(self.market, self._by_token, self.now)

    def order_status(self, call: Call) -> OrderStatusSocket:
        token = self._handshake_token(call)
        if self.sessions.live(token, now=self.now()) is None:
            raise Refusal(Reply(403 if token in self.sessions.open_sessions else 401, b""))
        return OrderStatusSocket(self.market, self.book.account.user_id, self.desk)

    def _handshake_token(self, call: Call) -> str:
        """With or without `Bearer`: the SDK sends what it is given."""
        return call.headers.get("authorization", "").removeprefix("Bearer ")

    # --- account ---------------------------------------------------------------------------------

    def profile(self, call: Call) -> Reply:
        account = self.book.account
        return success({"clientcode": account.user_id, "name": account.name, "email": "", "mobileno": "", **PROFILE})

    def funds(self, call: Call) -> Reply:
        """As one live account showed it: `availablecash` has the pledge margin in it, `collateral` has not."""
        funds = self.book.funds
        amounts = {
            "net": funds.available,
            "availablecash": funds.available,
            "availableintradaypayin": ZERO,
            "availablelimitmargin": ZERO,
            "collateral": ZERO,
            "m2munrealized": ZERO,
            "m2mrealized": ZERO,
            "utiliseddebits": funds.used,
        }
        unknown = ("utilisedspan", "utilisedoptionpremium", "utilisedholdingsales", "utilisedexposure")
        return success(
            {
                **{name: f"{amount:.4f}" for name, amount in amounts.items()},
                **dict.fromkeys((*unknown, "utilisedturnover")),
                "utilisedpayout": f"{funds.cash - funds.used:.4f}",
            }
        )

    # --- portfolio -------------------------------------------------------------------------------

    def holding(self, call: Call) -> Reply:
        return success([self._holding(line) for line in self._lines()] or None)

    def all_holding(self, call: Call) -> Reply:
        lines = self._lines()
        total = self._total(lines) if lines else None
        return success({"holdings": [self._holding(line) for line in lines], "totalholding": total})

    def _lines(self) -> list[Line]:
        """Funded shares are rows of their own, under the product MARGIN."""
        lines = []
        for row in self.book.holdings:
            if row.owned or not row.mtf:
                lines.append(Line(row, "DELIVERY", row.owned, row.t1, row.pledged, row.average_price))
            if row.mtf:
                lines.append(Line(row, "MARGIN", row.mtf.quantity, 0, 0, row.mtf.average_price))
        return lines

    def _holding(self, line: Line) -> Json:
        listing, price = self.instruments[line.row.key], self.price(line.row.key)
        profit = self._value(line) - line.cost
        return {
            "tradingsymbol": symbol(listing),
            "exchange": listing.exchange,
            "isin": line.row.isin,
            "t1quantity": line.t1,
            "realisedquantity": line.quantity - line.t1,
            "quantity": line.quantity,
            "authorisedquantity": 0,
            "product": line.product,
            "collateralquantity": line.pledged or None,
            "collateraltype": "MARGIN" if line.pledged else None,
            "haircut": 12.5 if line.pledged else 0,
            "averageprice": double(line.average_price or 0),
            "ltp": double(price.last),
            "symboltoken": token_of(listing),
            "close": double(price.close),
            "profitandloss": round(profit),
            "pnlpercentage": percent(profit, line.cost),
        }

    def _value(self, line: Line) -> Decimal:
        return self.price(line.row.key).last * line.quantity

    def _total(self, lines: list[Line]) -> Json:
        """Cut to whole rupees, as published."""
        value = sum((self._value(line) for line in lines), ZERO)
        cost = sum((line.cost for line in lines), ZERO)
        return {
            "totalholdingvalue": int(value),
            "totalinvvalue": int(cost),
            "totalprofitandloss": double(round(value - cost, 2)),
            "totalpnlpercentage": percent(value - cost, cost),
        }

    def positions(self, call: Call) -> Reply:
        return success([self._position(row) for row in self.book.positions] or None)

    def _position(self, row: Position) -> Json:
        """Every value is a text; quantities are units on MCX too; `netvalue` has a space after its minus."""
        listing, price = self.instruments[row.key], self.price(row.key)
        units = listing.contract_multiplier
        bought, sold = row.buy_value * units, row.sell_value * units
        pnl = sold - bought + row.quantity * units * price.last
        open_pnl = row.quantity * units * (price.last - row.average_price)
        average = rupees(row.average_price)
        return {
            "exchange": row.exchange,
            "symboltoken": token_of(listing),
            "producttype": PRODUCTS[row.product],
            "tradingsymbol": symbol(listing),
            "symbolname": listing.symbol if listing.is_cash else listing.underlying,
            "instrumenttype": instrument_type(listing),
            "priceden": "1",
            "pricenum": "1",
            "genden": "1",
            "gennum": "1",
            "precision": "2",
            "multiplier": "-1",
            "boardlotsize": str(listing.lot_size * units),
            "buyqty": str(row.day_buy_quantity * units),
            "sellqty": str(row.day_sell_quantity * units),
            "buyamount": rupees(row.day_buy_value * units),
            "sellamount": rupees(row.day_sell_value * units),
            "symbolgroup": "EQ" if listing.is_cash else "XX",
            "strikeprice": "-1" if listing.strike is None else rupees(listing.strike),
            "optiontype": listing.option_type,
            "expirydate": expiry(listing),
            "lotsize": str(listing.lot_size * units),
            "cfbuyqty": str(row.overnight_buy_quantity * units),
            "cfsellqty": str(row.overnight_sell_quantity * units),
            "cfbuyamount": rupees(row.overnight_buy_quantity * row.overnight_price * units),
            "cfsellamount": rupees(row.overnight_sell_quantity * row.overnight_price * units),
            "buyavgprice": rupees(row.day_buy_price),
            "sellavgprice": rupees(row.day_sell_price),
            "avgnetprice": average,
            "netvalue": rupees(sold - bought).replace("-", "- "),
            "netqty": str(row.quantity * units),
            "totalbuyvalue": rupees(bought),
            "totalsellvalue": rupees(sold),
            "cfbuyavgprice": rupees(row.overnight_price if row.overnight_buy_quantity else ZERO),
            "cfsellavgprice": rupees(row.overnight_price if row.overnight_sell_quantity else ZERO),
            "totalbuyavgprice": rupees(row.buy_price),
            "totalsellavgprice": rupees(row.sell_price),
            "netprice": average,
            "pnl": rupees(pnl),
            "realised": rupees(pnl - open_pnl),
            "unrealised": rupees(open_pnl),
            "ltp": rupees(price.last),
            "close": rupees(price.close),
        }

    # --- market ----------------------------------------------------------------------------------

    @cached_property
    def _by_token(self) -> dict[tuple[str, str], Listing]:
        return {(listing.exchange, token_of(listing)): listing for listing in self.instruments}

    def _traded(self, exchange: str, token: str) -> tuple[Listing, Price] | None:
        listing = self._by_token.get((exchange, token))
        price = self.market.price(listing.key) if listing else None
        return (listing, price) if listing and price else None

    def quote(self, call: Call) -> Reply:
        """What is unknown or idle stands in `unfetched`, and the envelope then spells its fields the other way."""
        mode, asked = sent(call, "mode"), body(call).get("exchangeTokens")
        tokens = asked if isinstance(asked, dict) else {}
        keys = [(exchange, str(token)) for exchange, some in tokens.items() if isinstance(some, list) for token in some]
        if mode not in ("LTP", "OHLC", "FULL") or not 0 < len(keys) <= QUOTE_LIMIT:
            raise Refusal(error(*BAD_QUOTE))
        found = {key: self._traded(*key) for key in keys}
        fetched = [self._quoted(*traded, mode) for traded in found.values() if traded]
        unfetched = [unknown(*key) for key, traded in found.items() if traded is None]
        data = {"fetched": fetched, "unfetched": unfetched}
        if not unfetched:
            return success(data)
        return json_reply({"success": True, "message": "SUCCESS", "errorCode": "", "data": data})

    def _quoted(self, listing: Listing, price: Price, mode: str) -> Json:
        row: dict[str, Json] = {
            "exchange": listing.exchange,
            "tradingSymbol": symbol(listing),
            "symbolToken": token_of(listing),
            "ltp": double(price.last),
        }
        if mode == "LTP":
            return row
        row |= ohlc(price)
        return row if mode == "OHLC" else row | self._full(listing, price)

    def _full(self, listing: Listing, price: Price) -> dict[str, Json]:
        now = f"{self.now().astimezone(IST):%d-%b-%Y %H:%M:%S}"
        best: Json = {"price": double(price.last), "quantity": 100 * listing.lot_size, "orders": 3}
        return {
            "lastTradeQty": listing.lot_size,
            "exchFeedTime": now,
            "exchTradeTime": now,
            "netChange": double(price.last - price.close),
            "percentChange": percent(price.last - price.close, price.close),
            "avgPrice": double(round((price.high + price.low + price.last) / 3, 2)),
            "tradeVolume": price.volume,
            "opnInterest": 0,
            "lowerCircuit": double(price.close * Decimal("0.9")),
            "upperCircuit": double(price.close * Decimal("1.1")),
            "totBuyQuan": 100 * listing.lot_size,
            "totSellQuan": 100 * listing.lot_size,
            "52WeekLow": double(price.low),
            "52WeekHigh": double(price.high),
            "depth": {"buy": [best], "sell": [best]},
        }

    def ltp(self, call: Call) -> Reply:
        traded = self._traded(sent(call, "exchange"), sent(call, "symboltoken"))
        if traded is None:
            raise Refusal(error(*UNKNOWN_SYMBOL))
        listing, price = traded
        named = {
            "exchange": listing.exchange, "tradingsymbol": symbol(listing), "symboltoken": token_of(listing),
        }  # fmt: skip
        return success({**named, **ohlc(price), "ltp": double(price.last)})

    def search(self, call: Call) -> Reply:
        exchange, wanted = sent(call, "exchange"), sent(call, "searchscrip").upper()
        return success(
            [
                {"exchange": exchange, "tradingsymbol": symbol(item), "symboltoken": token_of(item)}
                for item in self.instruments
                if item.exchange == exchange and wanted and symbol(item).startswith(wanted)
            ]
        )

    def instruments_master(self, call: Call) -> Reply:
        """A bare array, every field a text; no ISIN."""
        return json_reply(
            [
                master_row(item, self.market.tick_size(item), by_auction=self.closes_by_auction(item))
                for item in self.listed()
            ]
        )


SANDBOX = AngelOneSandbox
