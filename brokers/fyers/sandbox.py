"""Fyers API v3, simulated: the wire of api-t1.fyers.in, its login page, and the symbol masters of public.fyers.in.

Shapes and field order follow the Fyers API v3 docs and fixtures/fyers/*.json. Logins and the market are here, what the
account holds in sandbox_account.py, its orders in sandbox_orders.py. As awkward as the original: the callback's `code`
is a status. Invented, because nothing is published: the callback of a refusal, the words for a wrong redirect address,
a wrong path or a wrong method, and `-201` for maintenance.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from brokers import web_token
from brokers.fyers.sandbox_candles import FyersCandles
from brokers.fyers.sandbox_postback import postback
from brokers.fyers.sandbox_stream import MarketSocket, OrderSocket, topic_names
from brokers.fyers.sandbox_wire import PLACES, error, fy_token, series, success, ticker
from brokers.secret import Secret
from brokers.simulation.dialect import Access, App, Problem, Route, same
from brokers.simulation.instruments import Listing
from brokers.simulation.login import LoginField
from brokers.simulation.market import Price
from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST, Session, next_at, random_text
from brokers.simulation.streams import StreamRoute
from brokers.simulation.web_token import signed_token
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply, redirect

TOKEN_DEATH = time(6, 0)  # IST, the next one after the login
CODE_LIFE = timedelta(seconds=30_000)  # what the code says of itself; here it dies sooner, see sessions.py
QUOTE_LIMIT = 50
SYMBOL_TOKEN_LIMIT = 500
SYMBOL_TOKEN_PATH = "/data/symbol-token"  # noqa: S105 - a path
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
MASTER_SUFFIX = "_sym_master.json"

BAD_APP = (400, -352, "Please provide valid app id")
BAD_REDIRECT = (400, -50, "Please provide valid redirect uri")
BAD_HASH = (400, -371, "Please provide sha256 hash of appId and app secret")
NO_CODE = (400, -374, "Please provide auth code")
BAD_CODE = (400, -437, "invalid auth code")
BAD_SYMBOLS = (400, -50, "Please provide valid symbols")
BAD_SYMBOL: dict[str, Json] = {"code": -300, "errmsg": "invalid symbol"}
TOKEN_OVER = (401, -8, "Your token has expired. Please generate a token")
TOKEN_DEAD_AT_DATA = (401, -15, "Please provide valid token")
TOKEN_DEAD_AT_SOCKET = (403, -15, "Please provide valid token")
PROBLEMS = {
    Problem.TOKEN_DEAD: (401, -16, "Could not authenticate the user"),
    Problem.RATE_LIMITED: (429, -429, "Request limit reached"),
    Problem.SERVER_ERROR: (500, -96, "An unexpected error occurred. Please contact support."),
    Problem.MAINTENANCE: (500, -201, "Connection error. Please try again"),
    Problem.NOT_FOUND: (404, -1, "Not found"),
    Problem.METHOD_NOT_ALLOWED: (405, -1, "Method not allowed"),
}
PAUSE = {"Retry-After": "1", "X-Retry-After-Ms": "150"}

MASTER_NAMES = {*(file for *_, file in PLACES.values()), "NSE_COM"}  # the last is empty here
SHARE, FUND, INDEX, FUTURE, OPTION = 0, 9, 10, 13, 15
TYPES_OF_UNDERLYING = {
    ("INDEX", "FUTURE"): 11,
    ("INDEX", "OPTION"): 14,
    ("CURRENCY", "FUTURE"): 16,
    ("CURRENCY", "OPTION"): 19,
    ("COMMODITY", "FUTURE"): 30,
    ("COMMODITY", "OPTION"): 31,
}


class FyersSandbox(FyersCandles):
    slug, name = "fyers", "Fyers"
    login_path = "/api/v3/generate-authcode"
    login_fields = (
        LoginField("client_id", "Client ID", account="user_id"),
        LoginField("totp", "TOTP", digits=6),
        LoginField("pin", "PIN", digits=4),
    )

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/api/v3/generate-authcode", self.login_form, Access.PAGE)
        yield Route("POST", "/api/v3/generate-authcode", self.login, Access.PAGE)
        yield Route("POST", "/api/v3/validate-authcode", self.exchange, Access.PUBLIC)
        yield Route("POST", "/api/v3/logout", self.logout)
        yield Route("GET", "/api/v3/profile", self.profile)
        yield Route("GET", "/api/v3/funds", self.funds)
        yield Route("GET", "/api/v3/holdings", self.holdings)
        yield Route("GET", "/api/v3/positions", self.positions)
        yield from self.order_routes()
        yield Route("GET", "/data/quotes", self.quotes)
        yield Route("POST", "/data/quotes", self.quotes)
        yield Route("POST", SYMBOL_TOKEN_PATH, self.symbol_tokens)
        yield Route("GET", "/data/depth", self.depth)
        yield from self.candle_routes()
        yield Route("GET", "/data/marketStatus", self.market_status)
        yield Route("GET", "/sym_details/{file}", self.instruments_master, Access.PUBLIC)

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        """The SDK's market socket cannot cut an app ID from a token at every length; this one it can."""
        return App(
            api_key=f"{random_text(10, UPPER)}-100", api_secret=random_text(10, UPPER), redirect_uri=redirect_uri
        )

    def problem(self, kind: Problem, path: str = "") -> Reply:
        reply = error(*PROBLEMS[kind])
        return replace(reply, headers=PAUSE) if kind is Problem.RATE_LIMITED else reply

    # --- login and session -----------------------------------------------------------------------

    def login_form(self, call: Call) -> Reply:
        self._check_app(call)
        return super().login_form(call)

    def accepted(self, call: Call) -> Reply:
        self._check_app(call)
        code = self._auth_code()
        self.sessions.issue_code(code, now=self.now(), redirect_uri=call.asked("redirect_uri"))
        return self._back(call, {"s": "ok", "code": "200", "auth_code": code})

    def cancelled(self, call: Call) -> Reply:
        self._check_app(call)
        return self._back(call, {"s": "error", "code": "-1", "message": "login cancelled"})

    def _back(self, call: Call, pairs: dict[str, str]) -> Reply:
        state = {"state": call.asked("state")} if "state" in call.query else {}
        return redirect(self.app.redirect_uri, pairs | state)

    def _check_app(self, call: Call) -> None:
        if not same(call.asked("client_id"), self.app.api_key):
            raise Refusal(error(*BAD_APP))
        if call.asked("redirect_uri") != self.app.redirect_uri or call.asked("response_type") != "code":
            raise Refusal(error(*BAD_REDIRECT))

    def _auth_code(self) -> str:
        claims = {
            "app_id": self.app.api_key.partition("-")[0],
            "uuid": secrets.token_hex(16),
            "ipAddr": "127.0.0.1",
            "nonce": "",
            "scope": "",
            "display_name": self.book.account.user_id,
            **self._common_claims(self.now(), self.now() + CODE_LIFE),
            "iss": "api.login.fyers.in",
            "sub": "auth_code",
        }
        return signed_token(claims, self.app.api_secret)

    def _common_claims(self, now: datetime, expires_at: datetime) -> dict[str, Json]:
        return {
            "aud": ["d:1", "d:2", "x:0", "x:1", "x:2"],
            "oms": "K1",
            "hsm_key": secrets.token_hex(28),
            "isDdpiEnabled": "N",
            "isMtfEnabled": "N",
            "exp": int(expires_at.timestamp()),
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
        }

    def exchange(self, call: Call) -> Reply:
        """The code is burnt whatever follows."""
        body = call.json if isinstance(call.json, dict) else {}
        code = body.get("code")
        if not isinstance(code, str) or not code:
            raise Refusal(error(*NO_CODE))
        known = self.sessions.spend_code(code, now=self.now())
        proof = hashlib.sha256(f"{self.app.api_key}:{self.app.api_secret}".encode()).hexdigest()
        if not same(str(body.get("appIdHash")), proof):
            raise Refusal(error(*BAD_HASH))
        if known is None or body.get("grant_type") != "authorization_code":
            raise Refusal(error(*BAD_CODE))
        now = self.now()
        token = self._token("access_token", now, next_at(now, TOKEN_DEATH))
        self.sessions.open(token, now=now, expires_at=next_at(now, TOKEN_DEATH))
        refresh_token = self._token("refresh_token", now, now + timedelta(days=15))
        return success({"access_token": token, "refresh_token": refresh_token})

    def _token(self, kind: str, now: datetime, expires_at: datetime) -> str:
        claims = {
            **self._common_claims(now, expires_at),
            "at_hash": random_text(18),
            "display_name": "",
            "fy_id": self.book.account.user_id,
            "appType": 100,
            "iss": "api.fyers.in",
            "sub": kind,
        }
        return signed_token(claims, self.app.api_secret)

    def logout(self, call: Call) -> Reply:
        self.sessions.close(self.token(call))
        return success({}, "you are successfully logged out")

    def token(self, call: Call) -> str:
        """`Authorization: <app ID>:<access token>`, without any scheme; one path wants the bare token."""
        header = call.headers.get("authorization", "")
        if call.path == SYMBOL_TOKEN_PATH:
            return header
        app_id, _, token = header.partition(":")
        return token if same(app_id, self.app.api_key) else ""

    def admit(self, call: Call) -> Session:
        token = self.token(call)
        if session := self.sessions.live(token, now=self.now()):
            return session
        if token in self.sessions.open_sessions:
            raise Refusal(error(*TOKEN_OVER))
        raise Refusal(error(*TOKEN_DEAD_AT_DATA)) if call.path.startswith("/data") else self.refusal(Problem.TOKEN_DEAD)

    # --- streams ---------------------------------------------------------------------------------

    def postback(self, told: Told) -> Json:
        return postback(told, self.order_row(told.order, 1) if told.order else None)

    def streams(self) -> Iterable[StreamRoute]:
        yield StreamRoute("/hsm/v1-5/prod", self.market_socket)
        yield StreamRoute("/trade/v3", self.order_socket)

    def market_socket(self, call: Call) -> MarketSocket:
        """Open to everybody; the key comes in the first frame."""
        by_name = {name: listing for listing in self.instruments for name in topic_names(listing)}
        return MarketSocket(self.market, by_name, self._is_live_key, self.now)

    def _is_live_key(self, hsm_key: str) -> bool:
        now = self.now()
        live = (token for token in self.sessions.open_sessions if self.sessions.live(token, now=now))
        return any(same(hsm_key, str(web_token.claims(Secret(token))["hsm_key"])) for token in live)

    def order_socket(self, call: Call) -> OrderSocket:
        if self.sessions.live(self.token(call), now=self.now()) is None:
            raise Refusal(error(*TOKEN_DEAD_AT_SOCKET))
        return OrderSocket(self.market, desk=self.desk, told=self.order_news)

    # --- market ----------------------------------------------------------------------------------

    def _found(self, symbol: str) -> tuple[Listing, Price] | None:
        listing = self.by_ticker.get(symbol)
        price = self.market.price(listing.key) if listing else None
        return (listing, price) if listing and price else None

    def quotes(self, call: Call) -> Reply:
        """A symbol that is unknown, or does not trade, fails in its own row."""
        symbols = asked_symbols(call)
        if not 0 < len(symbols) <= QUOTE_LIMIT:
            raise Refusal(error(*BAD_SYMBOLS))
        return json_reply({"s": "ok", "code": 200, "d": [self._quote(symbol) for symbol in symbols]})

    def _quote(self, symbol: str) -> Json:
        found = self._found(symbol)
        if found is None:
            return {"n": symbol, "s": "error", "v": BAD_SYMBOL}
        listing, price = found
        tick = self.market.tick_size(listing)
        value: Json = {
            "ch": double(price.last - price.close),
            "chp": percent_change(price),
            "lp": double(price.last),
            "spread": double(tick),
            "ask": double(price.last + tick),
            "bid": double(price.last),
            "open_price": double(price.open),
            "high_price": double(price.high),
            "low_price": double(price.low),
            "prev_close_price": double(price.close),
            "atp": double(((price.high + price.low + price.last) / 3).quantize(Decimal("0.01"))),
            "volume": price.volume,
            "short_name": symbol.partition(":")[2],
            "exchange": symbol.partition(":")[0],
            "description": symbol,
            "original_name": symbol,
            "symbol": symbol,
            "fyToken": fy_token(listing),
            "tt": str(epoch(self.now().astimezone(IST).date(), time(0))),
        }
        return {"n": symbol, "s": "ok", "v": value}

    def symbol_tokens(self, call: Call) -> Reply:
        symbols = asked_symbols(call)
        if not 0 < len(symbols) <= SYMBOL_TOKEN_LIMIT:
            raise Refusal(error(*BAD_SYMBOLS))
        known = {symbol: fy_token(self.by_ticker[symbol]) for symbol in symbols if symbol in self.by_ticker}
        unknown = [symbol for symbol in symbols if symbol not in known]
        return json_reply({"s": "ok", "validSymbol": known, "invalidSymbol": unknown})

    def depth(self, call: Call) -> Reply:
        """No `code` in this one; `bids` is plural and `ask` is not; `c` is the previous close."""
        symbol = call.asked("symbol")
        found = self._found(symbol)
        if found is None:
            raise Refusal(error(400, -300, "invalid symbol"))
        listing, price = found
        tick, quantity = self.market.tick_size(listing), 100 * listing.lot_size
        row: Json = {
            "totalbuyqty": 5 * quantity,
            "totalsellqty": 5 * quantity,
            "bids": [level(price.last - step * tick, quantity) for step in range(5)],
            "ask": [level(price.last + step * tick, quantity) for step in range(1, 6)],
            "o": double(price.open),
            "h": double(price.high),
            "l": double(price.low),
            "c": double(price.close),
            "chp": percent_change(price),
            "tick_Size": double(tick),
            "ch": double(price.last - price.close),
            "ltq": listing.lot_size,
            "ltt": int(self.now().timestamp()),
            "ltp": double(price.last),
            "v": price.volume,
            "atp": double(price.last),
            "lower_ckt": double(price.close * Decimal("0.9")),
            "upper_ckt": double(price.close * Decimal("1.1")),
            "expiry": "",
            "oi": 0,
            "oiflag": False,
            "pdoi": 0,
            "oipercent": 0.0,
        }
        return json_reply({"s": "ok", "d": {symbol: row}, "message": ""})

    def market_status(self, call: Call) -> Reply:
        """The simulated market is always open."""
        rows: list[Json] = [
            {"exchange": exchange, "segment": segment, "market_type": "NORMAL", "status": "OPEN"}
            for exchange, segment, _, _ in PLACES.values()
        ]
        return success({"marketStatus": rows})

    def instruments_master(self, call: Call) -> Reply:
        """`NSE_CM_sym_master.json`, `NSE_FO_sym_master.json` and so on: an object keyed by ticker."""
        wanted = call.parts["file"].removesuffix(MASTER_SUFFIX)
        if wanted == call.parts["file"] or wanted not in MASTER_NAMES:
            raise self.refusal(Problem.NOT_FOUND)
        listed = [item for item in self.listed() if PLACES[item.exchange][3] == wanted]
        return json_reply({ticker(item): self._master_row(item) for item in listed})

    def _master_row(self, listing: Listing) -> Json:
        exchange, segment, prefix, _ = PLACES[listing.exchange]
        price, own = self.market.price(listing.key), listing.underlying or listing.symbol
        close = double(price.close) if price else 0.0
        return {
            "fyToken": fy_token(listing),
            "isin": listing.isin or "",
            "exSymbol": listing.symbol if listing.is_cash else own,
            "symDetails": ticker(listing).partition(":")[2] if listing.is_index else listing.name.upper(),
            "symTicker": ticker(listing),
            "exchange": exchange,
            "segment": segment,
            "exSymName": listing.symbol if listing.is_cash else own,
            "exToken": int(listing.exchange_token),
            "exSeries": series(listing) if listing.is_cash else "XX",
            "optType": listing.option_type or "XX",
            "underSym": listing.symbol if listing.is_cash else own,
            "underFyTok": fy_token(listing) if listing.is_cash or listing.is_index else "",
            "exInstType": instrument_type(listing),
            "minLotSize": listing.lot_size,
            "tickSize": double(self.market.tick_size(listing)),
            "tradingSession": "0915-1530|1815-1915:",
            "lastUpdate": f"{self.now().astimezone(IST):%Y-%m-%d}",
            "expiryDate": str(epoch(listing.expiry, time(15, 30))) if listing.expiry else "",
            "strikePrice": double(listing.strike) if listing.strike else -1.0,
            "qtyFreeze": listing.row["freeze_qty"],
            "tradeStatus": 1,
            "currencyCode": "INR",
            "upperPrice": close * 1.1,
            "lowerPrice": close * 0.9,
            "faceValue": 1.0,
            "qtyMultiplier": double(listing.contract_multiplier),
            "previousClose": close,
            "previousOi": 0.0,
            "asmGsmVal": "",
            "exchangeName": prefix,
            "symbolDesc": listing.name.upper(),
            "originalExpDate": "",
            "is_mtf_tradable": int(listing.is_cash),
            "mtf_margin": 4.0 if listing.is_cash else 0.0,
            "stream": "",
        }


SANDBOX = FyersSandbox


def asked_symbols(call: Call) -> list[str]:
    """Of a GET the comma-separated `symbols`, of a POST the list in the body."""
    if call.method == "GET":
        return [symbol for symbol in call.asked("symbols").split(",") if symbol]
    listed = call.json.get("symbols") if isinstance(call.json, dict) else None
    return [str(symbol) for symbol in listed] if isinstance(listed, list) else []


def instrument_type(listing: Listing) -> int:
    if listing.is_index:
        return INDEX
    if listing.is_cash:
        return FUND if listing.kind == "ETF" else SHARE
    known = TYPES_OF_UNDERLYING.get((listing.row["asset_class"], listing.kind))
    return known or (OPTION if listing.option_type else FUTURE)


def percent_change(price: Price) -> float:
    return round(double((price.last - price.close) / price.close * 100), 2)


def level(price: Decimal, quantity: int) -> Json:
    return {"price": double(price), "volume": quantity, "ord": 3}


def epoch(day: date, wall_time: time) -> int:
    """Epoch seconds of a time of day in India."""
    return int(datetime.combine(day, wall_time, tzinfo=IST).astimezone(UTC).timestamp())
