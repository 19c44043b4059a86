"""Upstox API v2 and v3, simulated: the wire of api.upstox.com, assets.upstox.com and the login page.

Shapes and field order follow the Upstox API docs and fixtures/upstox/*.json. Logins and the market are here, what the
account holds in sandbox_account.py, its orders in sandbox_orders.py. On purpose as unhelpful as the published samples:
a full quote's `last_price` has passed through a 32-bit float and its `ohlc.close` is not the previous close.
"""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, time
from decimal import Decimal
from uuid import uuid4

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.dialect import Access, App, Problem, Route, same
from brokers.simulation.instruments import Listing
from brokers.simulation.login import LoginField
from brokers.simulation.market import Price
from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST, next_at, random_text
from brokers.simulation.streams import StreamRoute, StreamSession
from brokers.simulation.web_token import signed_token
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply, redirect, single_precision
from brokers.upstox.sandbox_orders import UpstoxOrders
from brokers.upstox.sandbox_postback import news, postback
from brokers.upstox.sandbox_stream import MarketDataFeed, PortfolioStream
from brokers.upstox.sandbox_wire import SEGMENTS, error, index_row, instrument_key, reply_key, segment, success

TOKEN_DEATH = time(3, 30)  # IST, the first one after the login
QUOTE_LIMIT = 500
FUNDS_PATHS = ("/v2/user/get-funds-and-margin", "/v3/user/get-funds-and-margin")
FUNDS_HOURS = (423, "UDAPI100072", "The Funds service is accessible from 5:30 AM to 12:00 AM IST daily")
BAD_APP = (401, "UDAPI100068", "Check your 'client_id' and 'redirect_uri'; one or both are incorrect.")
BAD_CODE = (401, "UDAPI100057", "Invalid authorization code")
BAD_SECRET = (401, "UDAPI100069", "Check your 'client_id' and 'client_secret'; one or both are incorrect.")
BAD_REDIRECT = (401, "UDAPI100070", "The 'redirect_uri' is incorrect")
NO_KEY = (400, "UDAPI1009", "The 'instrument_key' is required")
BAD_KEY = (400, "UDAPI1011", "The 'instrument_key' is invalid")
PROBLEMS = {
    Problem.TOKEN_DEAD: (401, "UDAPI100050", "Invalid token used to access API"),
    Problem.RATE_LIMITED: (429, "UDAPI10005", "Too Many Request Sent"),
    Problem.SERVER_ERROR: (500, "UDAPI100500", "Something went wrong... please contact us"),
    Problem.MAINTENANCE: (423, "UDAPI100074", "Service is accessible from 5:30 AM to 12:00 AM IST daily"),
    Problem.NOT_FOUND: (404, "UDAPI100060", "Resource not Found"),
    Problem.METHOD_NOT_ALLOWED: (405, "UDAPI10000", "This request is not supported by Upstox API"),
}
INDEX_KEYS = {
    "NIFTY": "NSE_INDEX|Nifty 50",
    "BANKNIFTY": "NSE_INDEX|Nifty Bank",
    "SENSEX": "BSE_INDEX|SENSEX",
    "MIDCPNIFTY": "NSE_INDEX|NIFTY MID SELECT",
}
# a feed's own address → the one-time address of its host
FEEDS = {
    "/v3/feed/market-data-feed": "/market-data-feeder/v3/upstox-developer-api/feeds",
    "/v2/feed/portfolio-stream-feed": "/upstox-developer-api/order-updates/feed",
}
UNDERLYING_TYPES = {"NFO": "EQUITY", "BFO": "EQUITY", "CDS": "CUR", "MCX": "COM"}


class UpstoxSandbox(UpstoxOrders):
    slug, name = "upstox", "Upstox"
    login_path = "/v2/login/authorization/dialog"
    login_fields = (
        LoginField("mobile", "Mobile number", account="mobile"),
        LoginField("otp", "OTP", digits=6),
        LoginField("pin", "PIN", digits=6),
    )

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/v2/login/authorization/dialog", self.dialog, Access.PAGE)
        yield Route("POST", "/v2/login/authorization/dialog", self.login, Access.PAGE)
        yield Route("GET", "/login", self.login_form, Access.PAGE)
        yield Route("POST", "/login", self.login, Access.PAGE)
        yield Route("POST", "/v2/login/authorization/token", self.exchange, Access.PUBLIC)
        yield Route("DELETE", "/v2/logout", self.logout)
        yield Route("GET", "/v2/user/profile", self.profile)
        yield Route("GET", "/v2/user/get-funds-and-margin", self.funds_v2)
        yield Route("GET", "/v3/user/get-funds-and-margin", self.funds_v3)
        yield Route("GET", "/v2/portfolio/long-term-holdings", self.holdings)
        yield Route("GET", "/v2/portfolio/short-term-positions", self.positions)
        yield Route("GET", "/v3/portfolio/mtf-positions", self.mtf_positions)
        yield from self.order_routes()
        yield Route("GET", "/v2/market-quote/ltp", self.ltp_v2)
        yield Route("GET", "/v3/market-quote/ltp", self.ltp_v3)
        yield Route("GET", "/v3/market-quote/ohlc", self.ohlc_v3)
        yield Route("GET", "/v2/market-quote/quotes", self.quotes_v2)
        yield Route("GET", "/v2/market/status/{exchange}", self.market_status)
        for feed in FEEDS:
            yield Route("GET", f"{feed}/authorize", self.authorize_feed)
        yield Route("GET", "/market-quote/instruments/exchange/{file}", self.instruments_master, Access.PUBLIC)

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        lower = "abcdefghijklmnopqrstuvwxyz0123456789"
        return App(api_key=str(uuid4()), api_secret=random_text(10, lower), redirect_uri=redirect_uri)

    def problem(self, kind: Problem, path: str = "") -> Reply:
        if kind is Problem.MAINTENANCE and path in FUNDS_PATHS:
            return error(*FUNDS_HOURS)
        return error(*PROBLEMS[kind])

    # --- login and session -----------------------------------------------------------------------

    def dialog(self, call: Call) -> Reply:
        """The authorization address only checks the app and passes on to the login page."""
        self._check_app(call)
        return redirect("/login", {name: values[0] for name, values in call.query.items()})

    def login_form(self, call: Call) -> Reply:
        self._check_app(call)
        return super().login_form(call)

    def accepted(self, call: Call) -> Reply:
        self._check_app(call)
        code = self.sessions.issue_code(random_text(6), now=self.now(), redirect_uri=call.asked("redirect_uri"))
        return self._back(call, {"code": code})

    def cancelled(self, call: Call) -> Reply:
        """Unpublished; OAuth 2.0 would answer so."""
        self._check_app(call)
        return self._back(call, {"error": "access_denied"})

    def _back(self, call: Call, pairs: dict[str, str]) -> Reply:
        state = {"state": call.asked("state")} if "state" in call.query else {}
        return redirect(self.app.redirect_uri, pairs | state)

    def _check_app(self, call: Call) -> None:
        right_app = same(call.asked("client_id"), self.app.api_key)
        right_place = call.asked("redirect_uri") == self.app.redirect_uri
        if not (right_app and right_place and call.asked("response_type") == "code"):
            raise Refusal(error(*BAD_APP))

    def exchange(self, call: Call) -> Reply:
        """Answer without the envelope. The code is burnt whatever follows."""
        code = self.sessions.spend_code(call.posted("code"), now=self.now())
        if code is None or call.posted("grant_type") != "authorization_code":
            raise Refusal(error(*BAD_CODE))
        right_key = same(call.posted("client_id"), self.app.api_key)
        if not (right_key and same(call.posted("client_secret"), self.app.api_secret)):
            raise Refusal(error(*BAD_SECRET))
        if call.posted("redirect_uri") != code.redirect_uri:
            raise Refusal(error(*BAD_REDIRECT))
        now = self.now()
        expires_at = next_at(now, TOKEN_DEATH)
        token = self._access_token(now, expires_at)
        self.sessions.open(token, now=now, expires_at=expires_at)
        return json_reply({**self._profile(), "access_token": token})

    def _access_token(self, now: datetime, expires_at: datetime) -> str:
        claims = {
            "sub": self.book.account.user_id,
            "jti": secrets.token_hex(12),
            "isMultiClient": False,
            "isPlusPlan": False,
            "iat": int(now.timestamp()),
            "iss": "udapi-gateway-service",
            "exp": int(expires_at.timestamp()),
        }
        return signed_token(claims, self.app.api_secret)

    def logout(self, call: Call) -> Reply:
        self.sessions.close(self.token(call))
        return success(True)

    def token(self, call: Call) -> str:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else ""

    # --- streams ---------------------------------------------------------------------------------

    def postback(self, told: Told) -> Json:
        return postback(told, self.order_row(told.order) if told.order else None)

    def streams(self) -> Iterable[StreamRoute]:
        market_data, portfolio = FEEDS
        yield StreamRoute(market_data, self.pass_on)
        yield StreamRoute(portfolio, self.pass_on)
        yield StreamRoute(FEEDS[market_data], self.market_data_feed)
        yield StreamRoute(FEEDS[portfolio], self.portfolio_stream)

    def authorize_feed(self, call: Call) -> Reply:
        url = self._one_time_url(call, call.path.removesuffix("/authorize"))
        return success({"authorized_redirect_uri": url, "authorizedRedirectUri": url})

    def pass_on(self, call: Call) -> StreamSession:
        """Never opens here: whoever is admitted is sent on to a one-time address."""
        self.admit(call)
        raise Refusal(redirect(self._one_time_url(call, call.path), {}))

    def _one_time_url(self, call: Call, feed: str) -> str:
        """A code as of a login, bound to its feed. Nobody knows for how long a real one waits."""
        code = self.sessions.issue_code(str(uuid4()), now=self.now(), redirect_uri=FEEDS[feed])
        return f"ws://{call.headers['host']}{FEEDS[feed]}?requestId={uuid4()}&code={code}"

    def _spend(self, call: Call) -> None:
        """UNCONFIRMED: how a used code is refused. With 401 here."""
        code = self.sessions.spend_code(call.asked("code"), now=self.now())
        if code is None or code.redirect_uri != call.path:
            raise self.refusal(Problem.TOKEN_DEAD)

    def market_data_feed(self, call: Call) -> MarketDataFeed:
        self._spend(call)
        return MarketDataFeed(self.market, self.by_key, self.now)

    def portfolio_stream(self, call: Call) -> PortfolioStream:
        self._spend(call)
        return PortfolioStream(self.market, desk=self.desk, told=self._news)

    def _news(self, order: DeskOrder) -> Json:
        return news(self.order_row(order), self.book.account.user_id)

    # --- market ----------------------------------------------------------------------------------

    def _asked(self, call: Call) -> list[tuple[str, Listing, Price]]:
        """Return reply key, listing and price of each key asked: unknown ones vanish, a malformed one fails all."""
        text = call.asked("instrument_key") or call.asked("symbol")
        if not text:
            raise Refusal(error(*NO_KEY, property_path="instrument_key"))
        keys = text.split(",")
        wrong = next((key for key in keys if "|" not in key), keys[-1] if len(keys) > QUOTE_LIMIT else None)
        if wrong is not None:
            raise Refusal(error(*BAD_KEY, property_path="instrument_key", invalid_value=wrong))
        listings = (self.by_key[key] for key in dict.fromkeys(keys) if key in self.by_key)
        priced = ((listing, self.market.price(listing.key)) for listing in listings)
        return [(reply_key(item), item, price) for item, price in priced if price]

    def ltp_v2(self, call: Call) -> Reply:
        return success({key: ltp(item, price) for key, item, price in self._asked(call)})

    def ltp_v3(self, call: Call) -> Reply:
        """`cp` is the previous close."""
        return success(
            {
                key: {
                    **ltp(item, price),
                    "ltq": item.lot_size,
                    "volume": price.volume,
                    "cp": double(price.close),
                }
                for key, item, price in self._asked(call)
            }
        )

    def ohlc_v3(self, call: Call) -> Reply:
        daily = call.asked("interval") == "1d"
        now = int(self.now().timestamp() * 1000)
        return success(
            {
                key: {
                    **ltp(item, price),
                    "prev_ohlc": candle([price.close] * 4, 0, now - 86_400_000) if daily else None,
                    "live_ohlc": candle([price.open, price.high, price.low, price.last], price.volume, now),
                }
                for key, item, price in self._asked(call)
            }
        )

    def quotes_v2(self, call: Call) -> Reply:
        return success({key: self._quote(item, price) for key, item, price in self._asked(call)})

    def _quote(self, listing: Listing, price: Price) -> Json:
        now = self.now()
        empty: Json = {"quantity": 0, "price": 0, "orders": 0}
        best: Json = {"quantity": 100 * listing.lot_size, "price": double(price.last), "orders": 3}
        side: list[Json] = [best, empty, empty, empty, empty]
        return {
            "ohlc": {
                "open": double(price.open),
                "high": double(price.high),
                "low": double(price.low),
                "close": double(price.last),
            },
            "depth": {"buy": side, "sell": side},
            "timestamp": now.astimezone(IST).isoformat(timespec="milliseconds"),
            "instrument_token": instrument_key(listing),
            "symbol": listing.symbol,
            "last_price": single_precision(price.last),
            "volume": price.volume,
            "average_price": double(((price.high + price.low + price.last) / 3).quantize(Decimal("0.01"))),
            "oi": 0,
            "net_change": double(price.last) - double(price.close),
            "total_buy_quantity": 100 * listing.lot_size,
            "total_sell_quantity": 100 * listing.lot_size,
            "lower_circuit_limit": double(price.close * Decimal("0.9")),
            "upper_circuit_limit": double(price.close * Decimal("1.1")),
            "last_trade_time": str(int(now.timestamp() * 1000)),
            "oi_day_high": 0,
            "oi_day_low": 0,
        }

    def market_status(self, call: Call) -> Reply:
        """The simulated market is always open."""
        updated = int(self.now().timestamp() * 1000)
        return success({"exchange": call.parts["exchange"], "status": "NORMAL_OPEN", "last_updated": updated})

    def instruments_master(self, call: Call) -> Reply:
        """A gzip file holding a bare JSON array, not a compressed reply."""
        name = call.parts["file"].removesuffix(".json.gz")
        if name not in ("complete", "NSE", "BSE", "MCX") or name == call.parts["file"]:
            raise self.refusal(Problem.NOT_FOUND)
        rows = [self._master_row(item) for item in self.listed() if name in ("complete", SEGMENTS[item.exchange][1])]
        return Reply(200, gzip.compress(json.dumps(rows).encode(), mtime=0), "application/gzip")

    def _master_row(self, listing: Listing) -> Json:
        if listing.is_index:
            return index_row(listing)
        row: dict[str, Json] = {
            "segment": segment(listing),
            "name": listing.name.upper(),
            "exchange": SEGMENTS[listing.exchange][1],
            "instrument_key": instrument_key(listing),
            "lot_size": listing.lot_size,
            "freeze_quantity": double(int(listing.row["freeze_qty"] or 100_000)),
            "exchange_token": listing.exchange_token,
            "tick_size": double(self.market.tick_size(listing) * 100),  # paise
        }
        if listing.is_cash:
            return row | {
                "isin": listing.isin,
                "instrument_type": listing.row["series"] if listing.exchange == "NSE" else "A",
                "trading_symbol": listing.symbol,
                "short_name": listing.symbol,
                "cas_eligible": self.closes_by_auction(listing),
                "security_type": "NORMAL",
            }
        return row | self._contract(listing)

    def _contract(self, listing: Listing) -> dict[str, Json]:
        index_key = INDEX_KEYS.get(listing.underlying)
        share = self.instruments.get(f"NSE:{listing.underlying}")
        underlying_key = index_key or (instrument_key(share) if share else None)
        contract: dict[str, Json] = {
            "name": listing.underlying,
            "weekly": False,
            "expiry": end_of_day(listing),
            "instrument_type": listing.option_type or "FUT",
            "underlying_symbol": listing.underlying,
            "minimum_lot": listing.lot_size,
            "underlying_type": "INDEX" if index_key else UNDERLYING_TYPES[listing.exchange],
            "trading_symbol": listing.row["upstox_symbol"],
            "strike_price": double(listing.strike or 0),
        }
        return contract | ({"underlying_key": underlying_key} if underlying_key else {})


SANDBOX = UpstoxSandbox


def ltp(listing: Listing, price: Price) -> dict[str, Json]:
    return {"last_price": double(price.last), "instrument_token": instrument_key(listing)}


def candle(prices: list[Decimal], volume: int, timestamp: int) -> Json:
    """`prices`: open, high, low, close; `timestamp` in epoch milliseconds."""
    candle_open, high, low, close = (double(price) for price in prices)
    return {"open": candle_open, "high": high, "low": low, "close": close, "volume": volume, "ts": timestamp}


def end_of_day(listing: Listing) -> int | None:
    """Expiry as Upstox writes it: epoch milliseconds of 23:59:59 IST."""
    if listing.expiry is None:
        return None
    return int(datetime.combine(listing.expiry, time(23, 59, 59), tzinfo=IST).astimezone(UTC).timestamp() * 1000)
