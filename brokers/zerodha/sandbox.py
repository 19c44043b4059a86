"""Kite Connect v3, simulated: the wire of api.kite.trade and the login page of kite.zerodha.com.

Shapes and field order follow the Kite Connect v3 docs and fixtures/zerodha/*.json. Words of errors that
Zerodha never published are invented there and here; clients decide on status and `error_type`.
Stricter than the docs ask: a request without `X-Kite-Version: 3` is refused, so a client cannot forget it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from datetime import time
from decimal import Decimal
from urllib.parse import parse_qsl

from brokers.simulation.book import ZERO, Holding, Position
from brokers.simulation.dealing import DeskOrder
from brokers.simulation.dialect import Access, App, Problem, Route, same
from brokers.simulation.instruments import Listing
from brokers.simulation.login import LoginField
from brokers.simulation.market import Price
from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST, Session, random_text, tomorrow_at
from brokers.simulation.streams import StreamRoute
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, redirect, trimmed
from brokers.zerodha.sandbox_candles import KiteCandles
from brokers.zerodha.sandbox_postback import news, postback
from brokers.zerodha.sandbox_stream import KiteTicker
from brokers.zerodha.sandbox_wire import error, kite_time, success

TOKEN_DEATH = time(6, 0)  # IST, on the calendar day after the login
QUOTE_LIMIT, SHORT_QUOTE_LIMIT = 500, 1000
REQUEST_TOKEN_ERROR = (403, "TokenException", "Token is invalid or has expired.")
CHECKSUM_ERROR = (403, "TokenException", "Invalid `checksum`.")
PROBLEMS = {
    Problem.TOKEN_DEAD: (403, "TokenException", "Incorrect `api_key` or `access_token`."),
    Problem.RATE_LIMITED: (429, "NetworkException", "Too many requests"),
    Problem.SERVER_ERROR: (500, "GeneralException", "Something went wrong."),
    Problem.MAINTENANCE: (503, "NetworkException", "Gateway is under maintenance."),
    Problem.NOT_FOUND: (404, "GeneralException", "Route not found"),
    Problem.METHOD_NOT_ALLOWED: (405, "GeneralException", "Method not allowed"),
}
PROFILE = {
    "broker": "ZERODHA",
    "exchanges": ["NSE", "NFO", "BFO", "CDS", "BSE", "MCX", "BCD", "MF"],
    "products": ["CNC", "NRML", "MIS", "BO", "CO"],
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "avatar_url": None,
}
MASTER_COLUMNS = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike", "tick_size",
    "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip


class ZerodhaSandbox(KiteCandles):
    slug, name = "zerodha", "Zerodha"
    login_path = "/connect/login"
    login_fields = (
        LoginField("user_id", "User ID", account="user_id"),
        LoginField("password", "Password"),
        LoginField("totp", "TOTP", digits=6),
    )
    compresses = True

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/connect/login", self.login_form, Access.PAGE)
        yield Route("POST", "/connect/login", self.login, Access.PAGE)
        yield Route("POST", "/session/token", self.exchange, Access.PUBLIC)
        yield Route("DELETE", "/session/token", self.logout, Access.PUBLIC)
        yield Route("POST", "/session/refresh_token", self.refresh, Access.PUBLIC)
        yield Route("GET", "/user/profile", self.profile)
        yield Route("GET", "/user/margins", self.margins)
        yield Route("GET", "/user/margins/{segment}", self.margins)
        yield Route("GET", "/portfolio/holdings", self.holdings)
        yield Route("GET", "/portfolio/holdings/auctions", self.nothing)
        yield Route("GET", "/portfolio/positions", self.positions)
        yield from self.order_routes()
        yield Route("GET", "/quote", self.quote)
        yield Route("GET", "/quote/ohlc", self.quote_ohlc)
        yield Route("GET", "/quote/ltp", self.quote_ltp)
        yield from self.candle_routes()
        yield Route("GET", "/instruments", self.instruments_master)
        yield Route("GET", "/instruments/{exchange}", self.instruments_master)

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        lower = "abcdefghijklmnopqrstuvwxyz0123456789"
        return App(api_key=random_text(16, lower), api_secret=random_text(32, lower), redirect_uri=redirect_uri)

    def problem(self, kind: Problem, path: str = "") -> Reply:
        return error(*PROBLEMS[kind])

    # --- login and session -----------------------------------------------------------------------

    def login_form(self, call: Call) -> Reply:
        self._known_app(call.asked("api_key"))
        return super().login_form(call)

    def accepted(self, call: Call) -> Reply:
        self._known_app(call.asked("api_key"))
        code = self.sessions.issue_code(random_text(32), now=self.now(), redirect_uri="")
        return self._back(call, {"request_token": code, "action": "login", "type": "login", "status": "success"})

    def cancelled(self, call: Call) -> Reply:
        """The published pages are silent on refusal: a status without a request token."""
        return self._back(call, {"status": "error"})

    def _back(self, call: Call, pairs: dict[str, str]) -> Reply:
        """`redirect_params` is a query string of the client's own; its decoded pairs travel along."""
        return redirect(self.app.redirect_uri, {**pairs, **dict(parse_qsl(call.asked("redirect_params")))})

    def _known_app(self, api_key: str) -> None:
        if not same(api_key, self.app.api_key):
            raise Refusal(error(400, "InputException", "Invalid `api_key`."))

    def exchange(self, call: Call) -> Reply:
        check_version(call)
        code = call.posted("request_token")
        known = self.sessions.spend_code(code, now=self.now())  # burnt, whatever follows
        self._known_app(call.posted("api_key"))
        if known is None:
            raise Refusal(error(*REQUEST_TOKEN_ERROR))
        expected = hashlib.sha256((self.app.api_key + code + self.app.api_secret).encode()).hexdigest()
        if not same(call.posted("checksum"), expected):
            raise Refusal(error(*CHECKSUM_ERROR))
        now = self.now()
        session = self.sessions.open(random_text(32), now=now, expires_at=tomorrow_at(now, TOKEN_DEATH), alone=True)
        return success(
            {
                "user_type": "individual",
                "email": self.book.account.email,
                "user_name": self.book.account.name,
                "user_shortname": self._shortname,
                **PROFILE,
                "user_id": self.book.account.user_id,
                "api_key": self.app.api_key,
                "access_token": session.token,
                "public_token": random_text(32),
                "enctoken": random_text(86) + "==",
                "refresh_token": "",
                "silo": "",
                "login_time": kite_time(now),
                "meta": {"demat_consent": "consent"},
            }
        )

    def refresh(self, call: Call) -> Reply:
        """Only approved platforms have refresh tokens; this app is not one of them."""
        check_version(call)
        raise Refusal(error(*REQUEST_TOKEN_ERROR))

    def logout(self, call: Call) -> Reply:
        check_version(call)
        known_app = same(call.asked("api_key"), self.app.api_key)
        if not known_app or not self.sessions.close(call.asked("access_token")):
            raise self.refusal(Problem.TOKEN_DEAD)
        return success(True)

    def postback(self, told: Told) -> Json | None:
        return postback(told, self.order_row(told.order) if told.order else None)

    def streams(self) -> Iterable[StreamRoute]:
        yield StreamRoute("/", self.ticker)

    def ticker(self, call: Call) -> KiteTicker:
        """The token is in the address; a wrong one is refused before the socket opens."""
        live = self.sessions.live(call.asked("access_token"), now=self.now())
        if live is None or not same(call.asked("api_key"), self.app.api_key):
            raise self.refusal(Problem.TOKEN_DEAD)
        by_token = {listing.kite_token: listing for listing in self.instruments}
        return KiteTicker(self.market, by_token, self.now, desk=self.desk, told=self._news)

    def _news(self, order: DeskOrder) -> Json:
        """The ticker tells every state, of orders from anywhere."""
        return news(self.order_row(order), self.book.account.user_id, self.app.api_secret)

    def token(self, call: Call) -> str:
        scheme, _, credentials = call.headers.get("authorization", "").partition(" ")
        api_key, _, token = credentials.partition(":")
        return token if scheme == "token" and same(api_key, self.app.api_key) else ""

    def admit(self, call: Call) -> Session:
        check_version(call)
        return super().admit(call)

    # --- account ---------------------------------------------------------------------------------

    @property
    def _shortname(self) -> str:
        return self.book.account.name.split()[0]

    def nothing(self, call: Call) -> Reply:
        return success([])

    def profile(self, call: Call) -> Reply:
        account = self.book.account
        return success(
            {
                "user_id": account.user_id,
                "user_type": "individual",
                "email": account.email,
                "user_name": account.name,
                "user_shortname": self._shortname,
                **PROFILE,
                "meta": {"demat_consent": "consent"},
            }
        )

    def margins(self, call: Call) -> Reply:
        funds = self.book.funds
        segments = {
            "equity": segment_margin(
                opening=funds.opening_balance,
                payin=funds.added_today,
                cash=funds.cash,
                collateral=funds.collateral,
                debits=funds.used,
                span=funds.used_span,
                exposure=funds.used_exposure,
                delivery=funds.used_delivery,
            ),
            "commodity": segment_margin(),
        }
        wanted = call.parts.get("segment")
        if wanted is None:
            return success(segments)
        if wanted not in segments:
            raise Refusal(error(400, "InputException", "Invalid `segment`."))
        return success(segments[wanted])

    # --- portfolio -------------------------------------------------------------------------------

    def holdings(self, call: Call) -> Reply:
        return success([self._holding(row) for row in self.book.holdings])

    def _holding(self, row: Holding) -> Json:
        price = self.price(row.key)
        average = double(row.average_price or 0)
        last, close = double(price.last), double(price.close)
        return {
            "tradingsymbol": row.symbol,
            "exchange": row.exchange,
            "instrument_token": self.instruments[row.key].kite_token,
            "isin": row.isin,
            "product": "CNC",
            "price": 0,
            "quantity": row.settled,
            "used_quantity": row.used_today,
            "t1_quantity": row.t1,
            "realised_quantity": row.settled + row.used_today,
            "authorised_quantity": 0,
            "authorised_date": f"{self.now().astimezone(IST):%Y-%m-%d} 00:00:00",
            "authorisation": {},
            "opening_quantity": row.opening_quantity,
            "short_quantity": 0,
            "collateral_quantity": row.pledged,
            "collateral_type": "margin" if row.pledged else "",
            "discrepancy": row.average_price is None,
            "average_price": trimmed(average),
            "last_price": trimmed(last),
            "close_price": trimmed(close),
            "pnl": trimmed((last - average) * (row.settled + row.t1)),
            "day_change": trimmed(last - close),
            "day_change_percentage": trimmed((last - close) / close * 100),
            "mtf": financed(row),
        }

    def positions(self, call: Call) -> Reply:
        rows = self.book.positions
        dealt = [row for row in rows if row.day_buy_quantity or row.day_sell_quantity]
        return success(
            {
                "net": [self._position(row) for row in rows],
                "day": [self._position(todays_part(row)) for row in dealt],
            }
        )

    def _position(self, row: Position) -> Json:
        """Values carry the multiplier; `*_m2m` price the carried part at yesterday's close."""
        listing, price = self.instruments[row.key], self.price(row.key)
        multiplier = listing.contract_multiplier
        buy_value, sell_value = row.buy_value * multiplier, row.sell_value * multiplier
        buy_m2m = (row.overnight_buy_quantity * price.close + row.day_buy_value) * multiplier
        sell_m2m = (row.overnight_sell_quantity * price.close + row.day_sell_value) * multiplier
        open_value = row.quantity * price.last * multiplier
        pnl = double(sell_value) - double(buy_value) + double(open_value)
        return {
            "tradingsymbol": row.symbol,
            "exchange": row.exchange,
            "instrument_token": listing.kite_token,
            "product": row.product,
            "quantity": row.quantity,
            "overnight_quantity": row.overnight_quantity,
            "multiplier": multiplier,
            "average_price": trimmed(row.average_price),
            "close_price": trimmed(price.close if row.overnight_quantity else ZERO),
            "last_price": trimmed(price.last),
            "value": trimmed(sell_value - buy_value),
            "pnl": trimmed(pnl),
            "m2m": trimmed(double(sell_m2m) - double(buy_m2m) + double(open_value)),
            "unrealised": trimmed(pnl),
            "realised": 0,
            "buy_quantity": row.buy_quantity,
            "buy_price": trimmed(row.buy_price),
            "buy_value": trimmed(buy_value),
            "buy_m2m": trimmed(buy_m2m),
            "sell_quantity": row.sell_quantity,
            "sell_price": trimmed(row.sell_price),
            "sell_value": trimmed(sell_value),
            "sell_m2m": trimmed(sell_m2m),
            "day_buy_quantity": row.day_buy_quantity,
            "day_buy_price": trimmed(row.day_buy_price),
            "day_buy_value": trimmed(row.day_buy_value * multiplier),
            "day_sell_quantity": row.day_sell_quantity,
            "day_sell_price": trimmed(row.day_sell_price),
            "day_sell_value": trimmed(row.day_sell_value * multiplier),
        }

    # --- market ----------------------------------------------------------------------------------

    def quote(self, call: Call) -> Reply:
        return success({key: self._full(item, price) for key, item, price in self._asked(call, QUOTE_LIMIT)})

    def quote_ohlc(self, call: Call) -> Reply:
        asked = self._asked(call, SHORT_QUOTE_LIMIT)
        return success({key: {**ltp(item, price), "ohlc": ohlc(price)} for key, item, price in asked})

    def quote_ltp(self, call: Call) -> Reply:
        return success({key: ltp(item, price) for key, item, price in self._asked(call, SHORT_QUOTE_LIMIT)})

    def _asked(self, call: Call, limit: int) -> list[tuple[str, Listing, Price]]:
        """Return what is known of the `i` parameters; unknown or idle instruments vanish silently."""
        keys = call.query.get("i", [])
        if not 0 < len(keys) <= limit:
            raise Refusal(error(400, "InputException", "Invalid `i`."))
        found = ((key, self.instruments.get(key), self.market.price(key)) for key in keys)
        return [(key, listing, price) for key, listing, price in found if listing and price]

    def _full(self, listing: Listing, price: Price) -> Json:
        now = kite_time(self.now())
        best: Json = {"price": trimmed(price.last), "quantity": 100 * listing.lot_size, "orders": 3}
        empty: Json = {"price": 0, "quantity": 0, "orders": 0}
        side: list[Json] = [best, empty, empty, empty, empty]
        return {
            "instrument_token": listing.kite_token,
            "timestamp": now,
            "last_trade_time": now,
            "last_price": trimmed(price.last),
            "last_quantity": listing.lot_size,
            "buy_quantity": 100 * listing.lot_size,
            "sell_quantity": 100 * listing.lot_size,
            "volume": price.volume,
            "average_price": trimmed((price.high + price.low + price.last) / 3),
            "oi": 0,
            "oi_day_high": 0,
            "oi_day_low": 0,
            "net_change": 0,
            "lower_circuit_limit": trimmed(price.close * Decimal("0.9")),
            "upper_circuit_limit": trimmed(price.close * Decimal("1.1")),
            "ohlc": ohlc(price),
            "depth": {"buy": side, "sell": side},
        }

    def instruments_master(self, call: Call) -> Reply:
        exchange = call.parts.get("exchange")
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(MASTER_COLUMNS)
        listed = [item for item in self.listed() if exchange in (None, item.exchange)]
        rows.writerows(master_row(item, self.market.tick_size(item)) for item in listed)
        return Reply(200, text.getvalue().encode(), "text/csv")


SANDBOX = ZerodhaSandbox


def check_version(call: Call) -> None:
    if call.headers.get("x-kite-version") != "3":
        raise Refusal(error(400, "InputException", "Missing or unknown `X-Kite-Version` header."))


def segment_margin(
    *,
    opening: Decimal = ZERO,
    payin: Decimal = ZERO,
    cash: Decimal = ZERO,
    collateral: Decimal = ZERO,
    debits: Decimal = ZERO,
    span: Decimal = ZERO,
    exposure: Decimal = ZERO,
    delivery: Decimal = ZERO,
) -> Json:
    net = trimmed(double(cash) + double(collateral) - double(debits))
    return {
        "enabled": True,
        "net": net,
        "available": {
            "adhoc_margin": 0,
            "cash": trimmed(cash),
            "opening_balance": trimmed(opening),
            "live_balance": net,
            "collateral": trimmed(collateral),
            "intraday_payin": trimmed(payin),
        },
        "utilised": {
            "debits": trimmed(debits),
            "exposure": trimmed(exposure),
            "m2m_realised": 0,
            "m2m_unrealised": 0,
            "option_premium": 0,
            "payout": 0,
            "span": trimmed(span),
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": 0,
            "stock_collateral": trimmed(collateral),
            "delivery": trimmed(delivery),
        },
    }


def financed(row: Holding) -> Json:
    """The `mtf` object: shares beside every quantity of the row."""
    if row.mtf is None:
        return {"quantity": 0, "used_quantity": 0, "average_price": 0, "value": 0, "initial_margin": 0}
    return {
        "quantity": row.mtf.quantity,
        "used_quantity": 0,
        "average_price": trimmed(row.mtf.average_price),
        "value": trimmed(row.mtf.average_price * row.mtf.quantity),
        "initial_margin": trimmed(row.mtf.initial_margin),
    }


def todays_part(row: Position) -> Position:
    """The `day` list knows today's dealing only."""
    return Position(
        symbol=row.symbol,
        exchange=row.exchange,
        product=row.product,
        day_buy_quantity=row.day_buy_quantity,
        day_buy_price=row.day_buy_price,
        day_sell_quantity=row.day_sell_quantity,
        day_sell_price=row.day_sell_price,
    )


def ltp(listing: Listing, price: Price) -> dict[str, Json]:
    return {"instrument_token": listing.kite_token, "last_price": trimmed(price.last)}


def ohlc(price: Price) -> Json:
    """`close` is the previous day's."""
    return {
        "open": trimmed(price.open),
        "high": trimmed(price.high),
        "low": trimmed(price.low),
        "close": trimmed(price.close),
    }


def master_row(listing: Listing, tick_size: Decimal) -> tuple[object, ...]:
    """One line of the instruments dump: no ISIN; lots of 1 on MCX and CDS. An index has no lot and no tick."""
    kind = "EQ" if listing.is_cash or listing.is_index else listing.option_type or "FUT"
    segment = {"EQ": "", "FUT": "-FUT"}.get(kind, "-OPT")
    is_contract = kind != "EQ"
    return (
        listing.kite_token,
        listing.kite_token >> 8 if listing.is_index else listing.exchange_token,
        listing.symbol,
        (listing.underlying if is_contract else listing.name).upper(),
        0,
        listing.expiry or "",
        listing.strike or 0,
        0 if listing.is_index else tick_size,
        listing.lot_size,
        kind,
        "INDICES" if listing.is_index else listing.exchange + segment,
        listing.exchange,
    )
