"""Groww: its three logins, what a refusal means, prices from a call of their own, and its simulated wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
import requests

from brokers.domain import AppCredentials, ConnectionStatus, Exchange, Listing, Session
from brokers.errors import BrokerUnavailable, RequestRefused, SessionEnded
from brokers.groww import BROKER, instruments
from brokers.groww.client import GrowwClient
from brokers.secret import Secret
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Endpoints
from tests.simulation.conftest import TIMEOUT, MovableClock
from tests.simulation.test_groww_rows import FIXTURES, by_symbol, master, recorded
from tests.simulation.test_wire import field_names


class Groww:
    """The simulated Groww and our side of the wire."""

    def __init__(self, simulated: SimulatedBrokers, clock: MovableClock) -> None:
        self.simulated, self.control, self.clock = simulated, simulated.control, clock
        self.entry: dict[str, Any] = simulated.brokers["groww"]
        self.app = AppCredentials(api_key=Secret(self.entry["api_key"]), api_secret=Secret(self.entry["api_secret"]))

    def log_in(self, method: str, *, app: AppCredentials | None = None, **typed: str) -> Session:
        endpoints = Endpoints(base_url=self.entry["base_url"], login_url=self.entry["login_url"])
        auth = BROKER.auth(BROKER.transport(endpoints=endpoints, loopback_only=True), app or self.app)
        return auth.exchange(callback={"method": method, **typed}, redirect_uri="", now=self.clock())

    def totp(self) -> Session:
        return self.log_in("totp", **self.entry["login"])

    def client(self, session: Session | None = None) -> GrowwClient:
        endpoints = Endpoints(base_url=self.entry["base_url"], login_url=self.entry["login_url"])
        http = BROKER.transport(endpoints=endpoints, loopback_only=True)
        return GrowwClient(http, self.app, session or self.totp())

    def approve(self, **changed: str) -> requests.Response:
        form = {**self.entry["login"], **changed}
        return requests.post(self.entry["login_url"], data=form, allow_redirects=False, timeout=TIMEOUT)

    def get(self, path: str, token: str | None = None, **parameters: Any) -> requests.Response:
        bearer = token or self.totp().access_token.reveal()
        headers = {"Authorization": f"Bearer {bearer}", "X-API-VERSION": "1.0"}
        return requests.get(self.entry["base_url"] + path, params=parameters, headers=headers, timeout=TIMEOUT)

    def payload(self, path: str, **parameters: Any) -> Any:
        reply = self.get(path, **parameters)
        assert reply.status_code == 200, reply.text
        return reply.json()["payload"]


@pytest.fixture(scope="module")
def running(clock: MovableClock) -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers(["groww"], clock=clock) as simulated:
        yield simulated


@pytest.fixture
def groww(simulated: SimulatedBrokers, clock: MovableClock) -> Groww:
    return Groww(simulated, clock)


# --- the three logins -------------------------------------------------------------------------------------------------
def test_a_key_must_be_approved_every_day(groww: Groww) -> None:
    with pytest.raises(RequestRefused) as missing:
        groww.log_in("approval")
    assert (missing.value.code, missing.value.connection_status) == ("approval_missing", None)
    assert "https://groww.in/trade-api/api-keys" in missing.value.user_action
    assert groww.approve(cancel="1").headers["Location"].endswith("?approved=no")
    assert groww.approve(totp="000").status_code == 200  # the page again
    with pytest.raises(RequestRefused):
        groww.log_in("approval")
    assert groww.approve().headers["Location"].endswith("?approved=yes")
    session = groww.log_in("approval")
    assert session.expires_at == datetime(2026, 11, 24, 0, 30, tzinfo=UTC)  # 06:00 IST
    assert groww.client(session).profile().account_id == "8712004631"
    groww.clock.moment += timedelta(days=1)
    with pytest.raises(RequestRefused) as stale:
        groww.log_in("approval")
    assert stale.value.code == "approval_missing"


def test_a_token_dies_at_six_in_the_morning(groww: Groww) -> None:
    client = groww.client()
    groww.clock.moment = datetime(2026, 11, 24, 0, 29, 59, tzinfo=UTC)
    assert client.profile()
    groww.clock.moment = datetime(2026, 11, 24, 0, 30, tzinfo=UTC)
    with pytest.raises(SessionEnded):
        client.holdings()


def test_a_login_before_six_ends_the_same_morning(groww: Groww) -> None:
    groww.clock.moment = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)  # 02:00 IST on the 24th
    assert groww.totp().expires_at == datetime(2026, 11, 24, 0, 30, tzinfo=UTC)


def test_a_key_without_its_secret_is_told_so_without_a_call(groww: Groww) -> None:
    with pytest.raises(RequestRefused) as refused:
        groww.log_in("approval", app=replace(groww.app, api_secret=Secret("")))
    assert refused.value.code == "api_secret_missing"
    assert groww.control.counters("groww") == {}


def test_a_wrong_code_and_a_wrong_key_are_told_apart(groww: Groww) -> None:
    with pytest.raises(RequestRefused) as code:
        groww.log_in("totp", totp="000000")
    assert (code.value.code, code.value.reason) == ("request_refused", "Invalid TOTP")
    with pytest.raises(RequestRefused) as key:
        groww.log_in("totp", app=replace(groww.app, api_key=Secret("another-key")), **groww.entry["login"])
    assert key.value.code == "login_refused"
    with pytest.raises(RequestRefused) as secret:
        groww.log_in("approval", app=replace(groww.app, api_secret=Secret("another-secret")))
    assert secret.value.reason == "Invalid checksum or timestamp"


def test_a_pasted_token_needs_no_key_and_is_proven_by_the_profile(groww: Groww) -> None:
    minted = groww.totp().access_token.reveal()
    nobody = AppCredentials(api_key=Secret(""), api_secret=Secret(""))
    groww.control.reset_counters()
    session = groww.log_in("token", app=nobody, access_token=f" {minted}\n")
    assert groww.control.counters("groww") == {}
    assert session.expires_at == datetime(2026, 11, 24, 0, 30, tzinfo=UTC)
    assert groww.client(session).profile().account_id == "8712004631"
    with pytest.raises(SessionEnded):
        groww.client(groww.log_in("token", app=nobody, access_token="made-up")).profile()


@pytest.mark.parametrize("timestamp", ["1795410000", 1795410000])
def test_the_timestamp_of_a_checksum_may_be_text_or_number(groww: Groww, timestamp: object) -> None:
    groww.approve()
    reply = ask_for_token(groww, timestamp)
    assert reply.status_code == 200
    assert set(reply.json()) == set(recorded("token_access.json"))


def test_an_old_checksum_is_refused(groww: Groww) -> None:
    groww.approve()
    reply = ask_for_token(groww, 1795410000 - 601)
    assert (reply.status_code, reply.json()) == (400, recorded("token_access_error_400.json"))


def ask_for_token(groww: Groww, timestamp: object) -> requests.Response:
    checksum = sha256(f"{groww.entry['api_secret']}{timestamp}".encode()).hexdigest()
    return requests.post(
        groww.entry["base_url"] + "/v1/token/api/access",
        json={"key_type": "approval", "checksum": checksum, "timestamp": timestamp},
        headers={"Authorization": f"Bearer {groww.entry['api_key']}", "X-API-VERSION": "1.0"},
        timeout=TIMEOUT,
    )


def test_a_newer_token_leaves_the_older_alive(groww: Groww) -> None:
    older = groww.client()
    groww.totp()
    assert older.profile()


# --- what a refusal means ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [403, 200])
def test_a_refused_read_with_a_live_token_is_a_missing_permission(groww: Groww, status: int) -> None:
    client = groww.client()
    groww.control.serve("groww", "GET /v1/positions/user", recorded("error_not_authorised.json"), status=status)
    with pytest.raises(RequestRefused) as refused:
        client.positions()
    assert (refused.value.code, refused.value.connection_status) == ("access_suspended", ConnectionStatus.SUSPENDED)
    assert groww.control.counters("groww")["GET /v1/user/detail"] == 1


@pytest.mark.parametrize("status", [403, 200])
def test_a_token_refused_everywhere_has_ended(groww: Groww, status: int) -> None:
    client = groww.client()
    for path in ("/v1/holdings/user", "/v1/user/detail"):
        groww.control.serve("groww", f"GET {path}", recorded("error_not_authorised.json"), status=status)
    with pytest.raises(SessionEnded) as ended:
        client.holdings()
    assert ended.value.vendor_code == "GA005"


def test_a_refusal_that_cannot_be_explained_now_is_no_verdict(groww: Groww) -> None:
    client = groww.client()
    groww.control.serve("groww", "GET /v1/holdings/user", recorded("error_not_authorised.json"), status=403)
    groww.control.set_fault("groww", "maintenance", path="/v1/user")
    with pytest.raises(BrokerUnavailable):
        client.holdings()


# --- prices -----------------------------------------------------------------------------------------------------------
def test_holdings_and_positions_bring_their_last_prices(groww: Groww) -> None:
    groww.control.set_price("NSE", "1573.70", symbol="INFY")
    groww.control.set_price("NFO", "843.15", symbol="NIFTY26DEC27000PE")
    client = groww.client()
    holdings = {line.tradingsymbol: line for line in client.holdings().items}
    positions = {line.tradingsymbol: line for line in client.positions().items}
    assert holdings["INFY"].last_price == Decimal("1573.7")
    assert all(line.last_price is not None for line in holdings.values())
    option = positions["NIFTY26DEC27000PE"]
    assert (option.exchange, option.last_price) == (Exchange.NFO, Decimal("843.15"))
    assert option.pnl == 65 * (Decimal("843.15") - Decimal("871.90"))
    assert groww.control.counters("groww")["GET /v1/live-data/ltp"] == 3  # holdings; positions of CASH and of FNO


def test_a_share_that_only_bse_prices_is_listed_there(groww: Groww) -> None:
    book = groww.control.book("groww")
    row = {"symbol": "TMCV", "isin": "INE1TAE01010", "exchange": "BSE", "settled": 7, "average_price": "300.05"}
    groww.control.set_book("groww", {**book, "holdings": [*book["holdings"], row]})
    groww.control.set_price("BSE", "318.20", symbol="TMCV")
    line = groww.client().holdings().items[-1]
    assert (line.exchange, line.broker_token, line.last_price) == (Exchange.BSE, "BSE_TMCV", Decimal("318.2"))


@pytest.mark.parametrize("kind", ["rate_limit", "maintenance", "malformed_body", "drop_connection"])
def test_holdings_without_prices_are_still_holdings(groww: Groww, kind: str) -> None:
    client = groww.client()
    groww.control.set_fault("groww", kind, path="/v1/live-data")
    holdings, positions = client.holdings(), client.positions()
    assert (len(holdings.items), holdings.problems) == (7, ())
    assert {line.last_price for line in (*holdings.items, *positions.items)} == {None}


def test_prices_that_need_another_subscription_are_done_without(groww: Groww) -> None:
    client = groww.client()
    groww.control.serve("groww", "GET /v1/live-data/ltp", recorded("error_not_authorised.json"), status=403)
    assert {line.last_price for line in client.holdings().items} == {None}


def test_a_token_that_ends_between_list_and_prices_has_ended(groww: Groww) -> None:
    client = groww.client()
    groww.control.set_fault("groww", "expired_token", path="/v1/live-data")
    with pytest.raises(SessionEnded):
        client.holdings()


def test_quotes_are_asked_fifty_at_a_time_and_by_segment(groww: Groww) -> None:
    shares = [groww.client().listing(Exchange.NSE, f"SHARE{number}", None) for number in range(120)]
    contract = Listing(exchange=Exchange.NFO, tradingsymbol="NIFTY26NOVFUT", broker_token="NSE_NIFTY26NOVFUT")
    currency = Listing(exchange=Exchange.CDS, tradingsymbol="USDINR26NOVFUT", broker_token="")
    asked = [*(share for share in shares if share), contract, currency]
    cut = [(segment, len(batch)) for segment, batch in instruments.batches(asked, 50)]
    assert cut == [("CASH", 50), ("CASH", 50), ("CASH", 20), ("FNO", 1)]
    assert [quote.broker_token for quote in groww.client().quotes(asked)] == ["NSE_NIFTY26NOVFUT"]


def test_contracts_of_other_brokers_are_not_named(groww: Groww) -> None:
    assert groww.client().listing(Exchange.NFO, "NIFTY26NOVFUT", None) is None


def test_a_row_perhaps_in_paise_is_kept_and_reported(groww: Groww) -> None:
    groww.control.set_price("NSE", "5.20", symbol="VEDL")  # bought for 519.80
    rows = groww.client().positions()
    assert len(rows.items) == 4
    assert [(problem.row, problem.field) for problem in rows.problems] == [(2, "net_price")]


# --- the simulated wire -----------------------------------------------------------------------------------------------
def test_every_row_of_the_served_master_comes_back(groww: Groww) -> None:
    reply = requests.get(groww.entry["base_url"] + "/instruments/instrument.csv", timeout=TIMEOUT)
    header = (FIXTURES / "instruments_fno_observed.csv").read_text().splitlines()[0]
    assert (reply.headers["Content-Type"], reply.text.splitlines()[0]) == ("text/csv", header)
    rows = master(reply.text)
    found = by_symbol(rows)
    assert len(found) == len(rows) > 100
    for instrument in found.values():
        assert instruments.instrument(instruments.master_row(instrument)) == [instrument]
    held = {line.broker_token: line.isin for line in groww.client().holdings().items}
    assert {token: found[token].isin for token in held} == held


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/v1/user/detail", "user_detail.json"),
        ("/v1/holdings/user", "holdings_user.json"),
        ("/v1/positions/user", "positions_user.json"),
        ("/v1/margins/detail/user", "margins_detail_user_no_commodity.json"),
    ],
)
def test_replies_have_the_published_fields_in_order(groww: Groww, path: str, file: str) -> None:
    assert field_names(groww.get(path).json()) == field_names(recorded(file))


def test_errors_have_the_published_fields(groww: Groww) -> None:
    dead = groww.get("/v1/holdings/user", "a-token-of-yesterday")
    assert (dead.status_code, dead.json()) == (401, recorded("error_token_expired.json"))
    assert groww.get("/v1/nowhere").json() == recorded("error_not_found.json")
    for kind, file, status in (
        ("rate_limit", "error_rate_limited.json", 429),
        ("maintenance", "error_maintenance.json", 503),
        ("server_error", "error_internal.json", 500),
    ):
        token = groww.totp().access_token.reveal()
        groww.control.set_fault("groww", kind)
        reply = groww.get("/v1/holdings/user", token)
        assert (reply.status_code, reply.json()) == (status, recorded(file))
        groww.control.clear_faults("groww")


def test_the_version_header_is_wanted(groww: Groww) -> None:
    bearer = {"Authorization": f"Bearer {groww.totp().access_token.reveal()}"}
    reply = requests.get(groww.entry["base_url"] + "/v1/user/detail", headers=bearer, timeout=TIMEOUT)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "GA001")


def test_symbols_may_be_joined_or_repeated(groww: Groww) -> None:
    for symbols in ("NSE_INFY,BSE_SBIN,NSE_NOSUCH", ["NSE_INFY", "BSE_SBIN", "NSE_NOSUCH"]):
        prices = groww.payload("/v1/live-data/ltp", segment="CASH", exchange_symbols=symbols)
        assert set(prices) == {"NSE_INFY", "BSE_SBIN"}
    assert groww.payload("/v1/live-data/ltp", segment="FNO", exchange_symbols="NSE_INFY") == {}
    for wrong in ("", "INFY", ["NSE_INFY"] * 51):
        assert groww.get("/v1/live-data/ltp", segment="CASH", exchange_symbols=wrong).status_code == 400


PUBLISHED_QUOTE = {
    "average_price", "bid_quantity", "bid_price", "day_change", "day_change_perc", "upper_circuit_limit",
    "lower_circuit_limit", "ohlc", "depth", "high_trade_range", "implied_volatility", "last_trade_quantity",
    "last_trade_time", "low_trade_range", "last_price", "market_cap", "offer_price", "offer_quantity",
    "oi_day_change", "oi_day_change_percentage", "open_interest", "previous_open_interest", "total_buy_quantity",
    "total_sell_quantity", "volume", "week_52_high", "week_52_low",
}  # fmt: skip


def test_a_quote_tells_the_previous_close_by_the_days_change(groww: Groww) -> None:
    groww.control.set_price("NSE", "1573.70", symbol="INFY", close_price="1567.80")
    quote = groww.payload("/v1/live-data/quote", exchange="NSE", segment="CASH", trading_symbol="INFY")
    assert (quote["last_price"], quote["day_change"], quote["ohlc"]["close"]) == (1573.7, 5.9, 1573.7)
    assert set(quote) == PUBLISHED_QUOTE


def test_positions_are_listed_by_segment_and_by_symbol(groww: Groww) -> None:
    everything = groww.payload("/v1/positions/user")["positions"]
    contracts = groww.payload("/v1/positions/user", segment="FNO")["positions"]
    assert (len(everything), [row["trading_symbol"] for row in contracts]) == (4, ["NIFTY26DEC27000PE"])
    path = "/v1/positions/trading-symbol"
    assert groww.payload(path, trading_symbol="NIFTY26DEC27000PE", segment="FNO")["positions"] == contracts
    assert groww.get(path, trading_symbol="NIFTY26DEC27000PE").status_code == 400


def test_a_sale_of_today_has_left_the_quantity(groww: Groww) -> None:
    rows = {row["isin"]: row for row in groww.payload("/v1/holdings/user")["holdings"]}
    coal = rows["INE522F01014"]
    assert (coal["quantity"], coal["demat_free_quantity"], coal["groww_locked_quantity"]) == (90.0, 90.0, 30.0)
    [sale] = [row for row in groww.payload("/v1/positions/user")["positions"] if row["trading_symbol"] == "COALINDIA"]
    assert (sale["quantity"], sale["debit_quantity"], sale["debit_price"]) == (-30, 30, 388.2)
    ntpc = rows["INE733E01010"]
    assert (ntpc["quantity"], ntpc["demat_free_quantity"], ntpc["pledge_quantity"]) == (300.0, 180.0, 120.0)
    assert rows["INE192A01025"]["average_price"] == 0.0
