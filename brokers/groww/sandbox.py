"""Groww's Trade API v1, simulated: the wire of api.groww.in, the instrument master, and the page to approve keys on.

Shapes and field order follow the Groww docs and fixtures/groww/*.json. Groww pairs no HTTP status with its codes, so
the pairs below are chosen. One key does for both logins; the approval lasts until the tokens of the day die. A sale of
today has left `quantity`; of an unknown symbol in a batch nothing is said; financed shares are not shown.
Stricter than the SDK needs: a request without `X-API-VERSION: 1.0`, which the docs call mandatory, is refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, time
from decimal import Decimal
from functools import cached_property
from uuid import NAMESPACE_OID, uuid4, uuid5

from brokers.groww import nkeys
from brokers.groww.sandbox_candles import Candles
from brokers.groww.sandbox_orders import Orders
from brokers.groww.sandbox_stream import LiveFeed, SocketTokens
from brokers.groww.sandbox_wire import WORDS, error, number_of, success, trading_symbol
from brokers.simulation.book import ZERO, Holding, Position
from brokers.simulation.dialect import Access, App, Problem, Route, Sandbox, same
from brokers.simulation.instruments import Listing
from brokers.simulation.login import LoginField
from brokers.simulation.market import Price
from brokers.simulation.sessions import IST, Code, Session, next_at, random_text
from brokers.simulation.streams import StreamRoute
from brokers.simulation.web_token import signed_token
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply, redirect

TOKEN_DEATH = time(6, 0)  # IST, the first one after the login
TIMESTAMP_LIFETIME = 600  # seconds
QUOTE_LIMIT = 50
APPROVAL = "approval"
KEYS_PAGE = "/trade-api/api-keys"
PROBLEMS = {
    Problem.TOKEN_DEAD: (401, "GA005"),
    Problem.RATE_LIMITED: (429, "GA003"),
    Problem.SERVER_ERROR: (500, "GA000"),
    Problem.MAINTENANCE: (503, "GA003"),
    Problem.NOT_FOUND: (404, "GA004"),
    Problem.METHOD_NOT_ALLOWED: (405, "GA001"),
}
MASTER_COLUMNS = (
    "exchange", "exchange_token", "trading_symbol", "groww_symbol", "name", "instrument_type", "segment", "series",
    "isin", "underlying_symbol", "underlying_exchange_token", "expiry_date", "strike_price", "lot_size", "tick_size",
    "freeze_quantity", "is_reserved", "buy_allowed", "sell_allowed", "internal_trading_symbol", "is_intraday",
)  # fmt: skip


class GrowwSandbox(Sandbox):
    slug, name = "groww", "Groww"
    login_path = KEYS_PAGE
    login_fields = (LoginField("totp", "TOTP", digits=6),)
    _sockets: Mapping[str, str] = {}  # the public key of each socket → the token of its session

    def routes(self) -> Iterable[Route]:
        yield Route("GET", KEYS_PAGE, self.login_form, Access.PAGE)
        yield Route("POST", KEYS_PAGE, self.login, Access.PAGE)
        yield Route("POST", "/v1/token/api/access", self.access_token, Access.PUBLIC)
        yield Route("GET", "/v1/changelog", self.changelog, Access.PUBLIC)
        yield Route("GET", "/v1/user/detail", self.profile)
        yield Route("GET", "/v1/holdings/user", self.holdings)
        yield Route("GET", "/v1/positions/user", self.positions)
        yield Route("GET", "/v1/positions/trading-symbol", self.positions_of_symbol)
        yield Route("GET", "/v1/margins/detail/user", self.margins)
        yield from Orders(self.desk).routes()
        yield Route("GET", "/v1/live-data/quote", self.quote)
        yield Route("GET", "/v1/live-data/ltp", self.ltp)
        yield Route("GET", "/v1/live-data/ohlc", self.ohlc)
        yield from Candles(self.bars, self.instruments).routes()
        yield Route("GET", "/instruments/instrument.csv", self.instruments_master, Access.PUBLIC)
        yield Route("POST", "/v1/api/apex/v1/socket/token/create/", self.socket_token)

    def streams(self) -> Iterable[StreamRoute]:
        yield StreamRoute("/", self._live_feed)

    def _live_feed(self, call: Call) -> LiveFeed:
        return LiveFeed(self.market, self._socket_tokens, self._admitted, self.now, self.desk)

    def new_order_id(self) -> str:
        return f"GMK{self.now().astimezone(IST):%y%m%d}{self.desk.count:010d}"

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        """Keys are tokens themselves."""
        secret = random_text(32)
        return App(
            api_key=signed_token({"role": "auth-totp", "jti": str(uuid4())}, secret),
            api_secret=secret,
            redirect_uri=redirect_uri,
        )

    def problem(self, kind: Problem, path: str = "") -> Reply:
        return error(*PROBLEMS[kind])

    # --- login and session -----------------------------------------------------------------------

    def accepted(self, call: Call) -> Reply:
        """Logged in and pressed "approve": the key may ask for tokens until the next reset."""
        self.sessions.codes[APPROVAL] = Code(expires_at=next_at(self.now(), TOKEN_DEATH), redirect_uri="")
        return redirect(KEYS_PAGE, {"approved": "yes"})

    def cancelled(self, call: Call) -> Reply:
        return redirect(KEYS_PAGE, {"approved": "no"})

    def access_token(self, call: Call) -> Reply:
        """Answer without the envelope. An older token lives on."""
        check_version(call)
        if not same(self.token(call), self.app.api_key):
            raise Refusal(error(401, "GA005"))
        body = call.json if isinstance(call.json, dict) else {}
        judge = {"totp": self._judge_code, "approval": self._judge_checksum}.get(str(body.get("key_type")))
        if judge is None:
            raise Refusal(token_error("Invalid key type"))
        judge(body)
        now = self.now()
        expires_at = next_at(now, TOKEN_DEATH)
        token = self._access_token(now, expires_at)
        self.sessions.open(token, now=now, expires_at=expires_at)
        return json_reply(
            {
                "token": token,
                "tokenRefId": str(uuid4()),
                "sessionName": "simulated",
                "expiry": f"{expires_at.astimezone(IST):%Y-%m-%dT%H:%M:%S}",
                "isActive": True,
            }
        )

    def _judge_code(self, body: dict[str, Json]) -> None:
        if not same(str(body.get("totp")), self.login_values["totp"]):
            raise Refusal(token_error("Invalid TOTP"))

    def _judge_checksum(self, body: dict[str, Json]) -> None:
        """The timestamp is a text in the docs and a number from the SDK."""
        timestamp = str(body.get("timestamp"))
        expected = hashlib.sha256((self.app.api_secret + timestamp).encode()).hexdigest()
        is_fresh = timestamp.isdigit() and abs(int(timestamp) - self.now().timestamp()) <= TIMESTAMP_LIFETIME
        if not (is_fresh and same(str(body.get("checksum")), expected)):
            raise Refusal(token_error("Invalid checksum or timestamp"))
        approval = self.sessions.codes.get(APPROVAL)
        if approval is None or approval.expires_at <= self.now():
            raise Refusal(error(403, "GA005"))

    def _access_token(self, now: datetime, expires_at: datetime) -> str:
        claims = {
            "sub": self.book.account.user_id,
            "jti": secrets.token_hex(12),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return signed_token(claims, self.app.api_secret)

    def token(self, call: Call) -> str:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else ""

    def admit(self, call: Call) -> Session:
        check_version(call)
        return super().admit(call)

    # --- stream ----------------------------------------------------------------------------------

    def socket_token(self, call: Call) -> Reply:
        """Answer without an envelope. The token is good as long as the session that it was asked for with."""
        public = str(call.json.get("socketKey")) if isinstance(call.json, dict) else ""
        try:
            nkeys.decoded(public)
        except ValueError:
            raise Refusal(error(400, "GA001")) from None
        alive = {key: token for key, token in self._sockets.items() if self.sessions.live(token, now=self.now())}
        self._sockets = {**alive, public: self.token(call)}
        return json_reply({"token": self._socket_tokens.mint(public), "subscriptionId": self._subscription_id()})

    def _admitted(self, public: str) -> str | None:
        """What ends the subjects of the account's own news; None where the session behind a token is dead."""
        session = self.sessions.live(self._sockets.get(public, ""), now=self.now())
        return None if session is None else self._subscription_id()

    def _subscription_id(self) -> str:
        return str(uuid5(NAMESPACE_OID, f"feed {self.book.account.user_id}"))

    @cached_property
    def _socket_tokens(self) -> SocketTokens:
        return SocketTokens(self.now)

    # --- account ---------------------------------------------------------------------------------

    def changelog(self, call: Call) -> Reply:
        """Notices that the SDK prints; not enveloped."""
        return json_reply({"info": [], "warning": []})

    def profile(self, call: Call) -> Reply:
        return success(
            {
                "vendor_user_id": str(uuid5(NAMESPACE_OID, self.book.account.user_id)),
                "ucc": self.book.account.user_id,
                "nse_enabled": True,
                "bse_enabled": True,
                "ddpi_enabled": False,
                "active_segments": ["CASH", "FNO"],
            }
        )

    def margins(self, call: Call) -> Reply:
        """The balances are the same money seen from several sides."""
        funds = self.book.funds
        available = double(funds.available)
        return success(
            {
                "clear_cash": double(funds.cash),
                "net_margin_used": double(funds.used),
                "brokerage_and_charges": 0.0,
                "collateral_used": double(funds.collateral_used),
                "collateral_available": double(funds.collateral),
                "adhoc_margin": 0.0,
                "fno_margin_details": {
                    "net_fno_margin_used": double(funds.used_span + funds.used_exposure),
                    "span_margin_used": double(funds.used_span),
                    "exposure_margin_used": double(funds.used_exposure),
                    "future_balance_available": available,
                    "option_buy_balance_available": available,
                    "option_sell_balance_available": available,
                },
                "equity_margin_details": {
                    "net_equity_margin_used": -double(funds.used_delivery),  # of no reliable sign, as in the sample
                    "cnc_margin_used": -double(funds.used_delivery),
                    "mis_margin_used": 0.0,
                    "cnc_balance_available": available,
                    "mis_balance_available": available,
                },
            }
        )

    # --- portfolio -------------------------------------------------------------------------------

    def holdings(self, call: Call) -> Reply:
        return success({"holdings": [holding(row) for row in self.book.holdings]})

    def positions(self, call: Call) -> Reply:
        wanted = call.asked("segment")
        rows = [row for row in self.book.positions if wanted in ("", WORDS[row.exchange][0])]
        return success({"positions": [self._position(row) for row in rows]})

    def positions_of_symbol(self, call: Call) -> Reply:
        symbol, segment = call.asked("trading_symbol"), call.asked("segment")
        if not (symbol and segment):
            raise Refusal(error(400, "GA001"))
        rows = [row for row in self.book.positions if (row.symbol, WORDS[row.exchange][0]) == (symbol, segment)]
        return success({"positions": [self._position(row) for row in rows]})

    def _position(self, row: Position) -> Json:
        """`credit` is bought today, `debit` sold today."""
        listing = self.instruments[row.key]
        units = listing.contract_multiplier
        segment, exchange = WORDS[row.exchange]
        realised = (row.sell_value - row.buy_value + row.quantity * row.average_price) * units
        return {
            "trading_symbol": row.symbol,
            "segment": segment,
            "credit_quantity": row.day_buy_quantity * units,
            "credit_price": double(row.day_buy_price),
            "debit_quantity": row.day_sell_quantity * units,
            "debit_price": double(row.day_sell_price),
            "carry_forward_credit_quantity": row.overnight_buy_quantity * units,
            "carry_forward_credit_price": double(row.overnight_price if row.overnight_buy_quantity else ZERO),
            "carry_forward_debit_quantity": row.overnight_sell_quantity * units,
            "carry_forward_debit_price": double(row.overnight_price if row.overnight_sell_quantity else ZERO),
            "exchange": exchange,
            "symbol_isin": listing.isin or "",
            "quantity": row.quantity * units,
            "product": row.product,
            "net_carry_forward_quantity": row.overnight_quantity * units,
            "net_price": double(row.average_price),
            "net_carry_forward_price": double(row.overnight_price if row.overnight_quantity else ZERO),
            "realised_pnl": double(realised),
        }

    # --- market ----------------------------------------------------------------------------------

    def ltp(self, call: Call) -> Reply:
        return success({key: double(price.last) for key, price in self._asked(call)})

    def ohlc(self, call: Call) -> Reply:
        return success({key: day_so_far(price) for key, price in self._asked(call)})

    def _asked(self, call: Call) -> list[tuple[str, Price]]:
        """Return key and price of each symbol asked, in one comma-joined value or in several; unknown ones vanish."""
        joined = ",".join(call.query.get("exchange_symbols", []))
        keys = [key.strip() for key in joined.split(",") if key.strip()]
        if not 0 < len(keys) <= QUOTE_LIMIT or any("_" not in key for key in keys):
            raise Refusal(error(400, "GA001"))
        listings = ((key, self._listing(call.asked("segment"), *key.split("_", 1))) for key in keys)
        priced = ((key, self.market.price(listing.key)) for key, listing in listings if listing)
        return [(key, price) for key, price in priced if price]

    def _listing(self, segment: str, exchange: str, symbol: str) -> Listing | None:
        ours = next((name for name, words in WORDS.items() if words == (segment, exchange)), None)
        return self._by_symbol.get((str(ours), symbol))

    @cached_property
    def _by_symbol(self) -> dict[tuple[str, str], Listing]:
        return {(each.exchange, trading_symbol(each)): each for each in self.instruments}

    def quote(self, call: Call) -> Reply:
        """The previous close is `last_price - day_change`; `ohlc.close` is the last price again, as in the sample."""
        listing = self._listing(call.asked("segment"), call.asked("exchange"), call.asked("trading_symbol"))
        price = self.market.price(listing.key) if listing else None
        if listing is None or price is None:
            raise Refusal(error(400, "GA001"))
        last, change = double(price.last), price.last - price.close
        best: Json = {"price": last, "quantity": 100 * listing.lot_size}
        return success(
            {
                "average_price": double(((price.high + price.low + price.last) / 3).quantize(Decimal("0.01"))),
                "bid_quantity": 100 * listing.lot_size,
                "bid_price": last,
                "day_change": double(change),
                "day_change_perc": double((change / price.close * 100).quantize(Decimal("0.01"))),
                "upper_circuit_limit": double(price.close * Decimal("1.1")),
                "lower_circuit_limit": double(price.close * Decimal("0.9")),
                "ohlc": day_so_far(price),
                "depth": {"buy": [best], "sell": [best]},
                "high_trade_range": double(price.high),
                "implied_volatility": None,
                "last_trade_quantity": listing.lot_size,
                "last_trade_time": int(self.now().timestamp() * 1000),
                "low_trade_range": double(price.low),
                "last_price": last,
                "market_cap": None,
                "offer_price": last,
                "offer_quantity": 100 * listing.lot_size,
                "oi_day_change": None,
                "oi_day_change_percentage": None,
                "open_interest": None,
                "previous_open_interest": None,
                "total_buy_quantity": 100 * listing.lot_size,
                "total_sell_quantity": 100 * listing.lot_size,
                "volume": price.volume,
                "week_52_high": double(max(price.high, price.close)),
                "week_52_low": double(min(price.low, price.close)),
            }
        )

    def instruments_master(self, call: Call) -> Reply:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(MASTER_COLUMNS)
        rows.writerows(
            master_row(item, self.market.tick_size(item)) for item in self.listed() if item.exchange in WORDS
        )
        return Reply(200, text.getvalue().encode(), "text/csv")


SANDBOX = GrowwSandbox


def token_error(message: str) -> Reply:
    """The one error of the token call that the SDK reads."""
    return json_reply({"error": {"displayMessage": message}}, 400)


def check_version(call: Call) -> None:
    if call.headers.get("x-api-version") != "1.0":
        raise Refusal(error(400, "GA001"))


def holding(row: Holding) -> Json:
    """T1 and pledged shares are inside `quantity`, blocked ones on top of it; an unknown average is 0."""
    return {
        "isin": row.isin,
        "trading_symbol": row.symbol,
        "quantity": double(row.owned),
        "average_price": double(row.average_price or 0),
        "pledge_quantity": double(row.pledged),
        "demat_locked_quantity": 0.0,
        "groww_locked_quantity": double(row.used_today),
        "repledge_quantity": 0.0,
        "t1_quantity": double(row.t1),
        "demat_free_quantity": double(row.settled),
        "corporate_action_additional_quantity": 0,
        "active_demat_transfer_quantity": 0,
    }


def day_so_far(price: Price) -> Json:
    return {
        "open": double(price.open),
        "high": double(price.high),
        "low": double(price.low),
        "close": double(price.last),
    }


def master_row(listing: Listing, tick_size: Decimal) -> tuple[object, ...]:
    """One line of instrument.csv: ticks of shares in paise, a strike of -0.01 for futures, no name of contracts."""
    segment, exchange = WORDS[listing.exchange]
    if listing.is_index:
        own = trading_symbol(listing)
        names = (exchange, number_of(listing), own, f"{exchange}-{own}", listing.name, "IDX", segment)
        return (*names, *[""] * 9, 0, 0, 0, own, 0)
    kind = "EQ" if listing.is_cash else listing.option_type or "FUT"
    strike = "" if listing.is_cash else listing.strike or "-0.01"
    return (
        exchange,
        listing.exchange_token,
        listing.symbol,
        f"{exchange}-{listing.symbol}" if listing.is_cash else listing.row["groww_symbol"],
        listing.name if listing.is_cash else "",
        kind,
        segment,
        listing.row["series"] if exchange == "NSE" else "A" if listing.is_cash else "",
        listing.isin or "",
        listing.underlying,
        "",
        listing.expiry or "",
        strike,
        listing.lot_size * listing.contract_multiplier,
        tick_size * 100 if listing.is_cash else tick_size,
        int(listing.row["freeze_qty"]) + 1 if listing.row["freeze_qty"] else "",
        0,
        1,
        1,
        listing.symbol,
        int(listing.is_cash),
    )
