"""IIFL Capital's open API, simulated: api.iiflcapital.com and the login page of markets.iiflcapital.com.

Shapes and field order follow the IIFL Capital docs and fixtures/iifl_capital/*.json. As unhelpful as the real thing:
the login drops everything but its own two parameters, and what is not quoted comes back as exchange "Z". What the
account holds is in sandbox_account.py, its orders in sandbox_orders.py.
"""

from __future__ import annotations

import csv
import hashlib
import io
import secrets
from collections.abc import Iterable
from datetime import datetime, time
from decimal import Decimal
from functools import cached_property

from brokers.iifl_capital.sandbox_account import EXCHANGES, error, success, trading_symbol
from brokers.iifl_capital.sandbox_candles import Candles
from brokers.iifl_capital.sandbox_orders import IiflCapitalOrders
from brokers.iifl_capital.sandbox_stream import Bridge, topic_of
from brokers.simulation.dialect import Access, App, Problem, Route, same
from brokers.simulation.instruments import Listing
from brokers.simulation.login import LoginField
from brokers.simulation.market import Price
from brokers.simulation.mqtt import Login, NotAdmitted, OpenSession, ReturnCode
from brokers.simulation.sessions import IST, next_at, random_text
from brokers.simulation.web_token import signed_token
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply, redirect

TOKEN_DEATH = time(0, 0)  # IST: one trading day
QUOTE_LIMIT = 100
UNKNOWN_LOGIN = (200, "Not_Ok", "Unauthorized access")
PROBLEMS = {
    Problem.TOKEN_DEAD: (401, "EC044", "Token is not valid."),
    Problem.RATE_LIMITED: (429, "Not_Ok", "Too many requests"),
    Problem.SERVER_ERROR: (500, "EC042", "Internal server error."),
    Problem.MAINTENANCE: (503, "EC003", "Something went wrong, please try after some time."),
    Problem.NOT_FOUND: (404, "EC042", "Resource not found."),
    Problem.METHOD_NOT_ALLOWED: (405, "EC042", "Method not allowed."),
}
CONTRACT_FILES = {*EXCHANGES.values(), "BSECURR", "NSECOMM"}  # the last two are empty here
NOT_QUOTED = ("BSECURR", "MCXCOMM")
CONTRACT_COLUMNS = (
    *("Exchange", "Segment", "Instrument ID", "Instrument Type", "Trading Symbol", "Underlying Instrument Symbol"),
    *("Underlying Instrument Name", "Option Type", "Strike Price", "Expiry", "Lot Size", "Tick Size"),
)


class IiflCapitalSandbox(IiflCapitalOrders):
    slug, name = "iifl_capital", "IIFL Capital"
    login_path = "/login"
    login_fields = (
        LoginField("user_id", "User ID", account="user_id"),
        LoginField("password", "Password"),
        LoginField("otp", "OTP", digits=6),
    )

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/login", self.login_form, Access.PAGE)
        yield Route("POST", "/login", self.login, Access.PAGE)
        yield Route("POST", "/v1/getusersession", self.exchange, Access.PUBLIC)
        yield Route("POST", "/v1/profile/logout", self.logout)
        yield Route("GET", "/v1/profile", self.profile)
        yield Route("GET", "/v1/limits", self.limits)
        yield Route("GET", "/v1/limits/equity", self.limits)
        yield Route("GET", "/v1/limits/fno", self.limits)
        yield Route("GET", "/v1/holdings", self.holdings)
        yield Route("GET", "/v1/positions", self.positions)
        yield Route("POST", "/v1/orders", self.place)
        yield Route("PUT", "/v1/orders/{order_id}", self.modify)
        yield Route("DELETE", "/v1/orders/{order_id}", self.cancel)
        yield Route("GET", "/v1/orders", self.order_book)
        yield Route("GET", "/v1/orders/{order_id}", self.order_history)
        yield Route("GET", "/v1/trades", self.trade_book)
        yield Route("POST", "/v1/preordermargin", self.order_margin)
        yield Route("POST", "/v1/marketdata/marketquotes", self.quotes)
        yield from Candles(self.bars, lambda: self.by_number).routes()
        yield Route("GET", "/v1/contractfiles/{file}", self.contract_file, Access.PUBLIC)

    def mqtt(self) -> OpenSession:
        return self.bridge

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        return App(api_key=random_text(16), api_secret=random_text(32), redirect_uri=redirect_uri)

    def problem(self, kind: Problem, path: str = "") -> Reply:
        return error(*PROBLEMS[kind])

    # --- login and session -----------------------------------------------------------------------

    def login_form(self, call: Call) -> Reply:
        self._known_app(call)
        return super().login_form(call)

    def accepted(self, call: Call) -> Reply:
        """To an address that is not the registered one, to the letter, nothing is told."""
        self._known_app(call)
        if call.asked("redirecturl") not in ("", self.app.redirect_uri):
            return redirect(self.app.redirect_uri)
        code = self.sessions.issue_code(random_text(20), now=self.now(), redirect_uri="")
        return redirect(self.app.redirect_uri, {"authCode": code, "clientId": self.book.account.user_id})

    def cancelled(self, call: Call) -> Reply:
        """Unpublished: a return without parameters."""
        self._known_app(call)
        return redirect(self.app.redirect_uri)

    def _known_app(self, call: Call) -> None:
        if not same(call.asked("appkey"), self.app.api_key):
            raise Refusal(error(401, "EC075", "Unauthorized access."))

    def exchange(self, call: Call) -> Reply:
        """The checksum is all there is: the code it was made of is the one it fits, and is burnt with it."""
        given = call.json.get("checkSum") if isinstance(call.json, dict) else None
        code = next((code for code in self.sessions.codes if same(self._checksum(code), str(given))), "")
        now = self.now()
        if self.sessions.spend_code(code, now=now) is None:
            raise Refusal(error(*UNKNOWN_LOGIN))
        expires_at = next_at(now, TOKEN_DEATH)
        token = self._access_token(now, expires_at)
        self.sessions.open(token, now=now, expires_at=expires_at)
        return json_reply({"status": "Ok", "userSession": token})

    def _checksum(self, code: str) -> str:
        return hashlib.sha256((self.book.account.user_id + code + self.app.api_secret).encode()).hexdigest()

    def _access_token(self, now: datetime, expires_at: datetime) -> str:
        claims = {
            "preferred_username": self.book.account.user_id,
            "jti": secrets.token_hex(12),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return signed_token(claims, self.app.api_secret)

    def token(self, call: Call) -> str:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else ""

    def logout(self, call: Call) -> Reply:
        self.sessions.close(self.token(call))
        return success({"status": "Success", "message": "Success"})

    def bridge(self, login: Login) -> Bridge:
        """UNCONFIRMED which code a dead token has: here, that of a wrong login."""
        user, token = self.book.account.user_id, login.password.removeprefix("OPENID~~").removesuffix("~")
        is_live = self.sessions.live(token, now=self.now()) is not None
        if not is_live or not same(login.username, user) or login.password != f"OPENID~~{token}~":
            raise NotAdmitted(ReturnCode.LOGIN)
        return Bridge(self.market, self._by_topic, user, self.now, self.desk, self.told)

    @cached_property
    def _by_topic(self) -> dict[str, Listing]:
        return {topic_of(word, number): listing for (word, number), listing in self.by_number.items()}

    # --- market ----------------------------------------------------------------------------------

    def quotes(self, call: Call) -> Reply:
        asked = call.json
        if not isinstance(asked, list) or not 0 < len(asked) <= QUOTE_LIMIT:
            raise Refusal(error(400, "EC801", "Invalid request body."))
        return success([self._quote(item) for item in asked])

    def _quote(self, item: Json) -> Json:
        exchange, number = (
            (str(item.get("exchange")), str(item.get("instrumentId"))) if isinstance(item, dict) else ("", "")
        )
        listing = self.by_number.get((exchange, number)) if exchange not in NOT_QUOTED else None
        price = self.market.price(listing.key) if listing else None
        if listing is None or price is None:
            return NO_QUOTE
        return {"exchange": exchange, "instrumentId": int(number), **self._figures(listing, price)}

    def _figures(self, listing: Listing, price: Price) -> dict[str, Json]:
        last = double(price.last)
        return {
            "ltp": last,
            "lastTradedQuantity": listing.lot_size,
            "averageTradedPrice": last,
            "tradedVolume": price.volume,
            "open": double(price.open),
            "high": double(price.high),
            "low": double(price.low),
            "close": double(price.close),
            "bestBidPrice": last,
            "bestBidQuantity": 100 * listing.lot_size,
            "bestAskPrice": last,
            "bestAskQuantity": 100 * listing.lot_size,
            "totalBidQuantity": 1000 * listing.lot_size,
            "totalAskQuantity": 1000 * listing.lot_size,
            "tickTimestamp": f"{self.now().astimezone(IST):%d-%b-%Y %H:%M:%S}",
        }

    def contract_file(self, call: Call) -> Reply:
        """One file per segment, as CSV or as JSON."""
        segment, _, form = call.parts["file"].partition(".")
        if segment not in CONTRACT_FILES or form not in ("csv", "json"):
            raise self.refusal(Problem.NOT_FOUND)
        listed = [item for item in self.listed() if EXCHANGES[item.exchange] == segment and not item.is_index]
        rows = [contract_row(item, self.market.tick_size(item)) for item in listed]
        if form == "json":
            return json_reply(rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, CONTRACT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return Reply(200, text.getvalue().encode(), "text/csv")


SANDBOX = IiflCapitalSandbox

NO_QUOTE: Json = {
    "exchange": "Z",
    "instrumentId": 0,
    **dict.fromkeys(("ltp", "lastTradedQuantity", "averageTradedPrice", "tradedVolume", "open", "high", "low"), 0),
    **dict.fromkeys(("close", "bestBidPrice", "bestBidQuantity", "bestAskPrice", "bestAskQuantity"), 0),
    "totalBidQuantity": 0,
    "totalAskQuantity": 0,
    "tickTimestamp": "",
}


def contract_row(listing: Listing, tick_size: Decimal) -> dict[str, str]:
    """One line of a contract file. `Lot Size` is in units, on MCX too."""
    kind = "EQUITY" if listing.is_cash else "OPT" if listing.option_type else "FUT"
    values = (
        *(EXCHANGES[listing.exchange], EXCHANGES[listing.exchange][3:], listing.exchange_token, kind),
        *(trading_symbol(listing), listing.underlying or listing.symbol, listing.name.upper()),
        *(listing.option_type, listing.strike or "", f"{listing.expiry:%d-%b-%Y}" if listing.expiry else ""),
        *(listing.lot_size * listing.contract_multiplier, tick_size),
    )
    return {name: str(value) for name, value in zip(CONTRACT_COLUMNS, values, strict=True)}
