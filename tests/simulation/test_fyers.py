"""What is Fyers' alone: its names, its lots, its quote round, and the wire that its simulation speaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from brokers.base import BrokerClient
from brokers.domain import (
    AppCredentials,
    Contract,
    Exchange,
    Instrument,
    InstrumentKind,
    Listing,
    OptionType,
    Product,
    Rows,
    Session,
)
from brokers.errors import RateLimited, RequestRefused, SessionEnded, UnexpectedResponse
from brokers.fyers import BROKER, instruments, mapping
from brokers.secret import Secret
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Endpoints
from tests.simulation.conftest import MovableClock

FIXTURES = Path(__file__).parents[1] / "fixtures" / "fyers"
CLOCK = MovableClock()


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers(["fyers"], clock=CLOCK) as simulated:
        yield simulated


@pytest.fixture
def fyers(running: SimulatedBrokers) -> Iterator[SimulatedBrokers]:
    """The simulated Fyers, handed over clean: demo book, no faults, today's clock."""
    start, book = CLOCK.moment, running.control.book("fyers")
    running.control.reset_counters()
    yield running
    CLOCK.moment = start
    running.control.clear_faults("fyers")
    running.control.serve_nothing("fyers")
    running.control.set_book("fyers", book)


def app_of(simulated: SimulatedBrokers) -> AppCredentials:
    entry = simulated.brokers["fyers"]
    return AppCredentials(api_key=Secret(entry["api_key"]), api_secret=Secret(entry["api_secret"]))


def log_in(simulated: SimulatedBrokers, **typed: str) -> tuple[BrokerClient, Session]:
    entry, app = simulated.brokers["fyers"], app_of(simulated)
    http = BROKER.transport(endpoints=Endpoints(base_url=entry["base_url"], login_url=entry["login_url"]))
    auth = BROKER.auth(http, app)
    url = auth.authorization_url(state="some-state", redirect_uri=entry["redirect_uri"])
    callback = simulated.login("fyers", url, **typed)
    session = auth.exchange(callback=callback, redirect_uri=entry["redirect_uri"], now=CLOCK())
    return BROKER.client(http, app, session), session


def get(simulated: SimulatedBrokers, path: str, token: str, **parameters: str) -> requests.Response:
    entry = simulated.brokers["fyers"]
    headers = {"Authorization": f"{entry['api_key']}:{token}"}
    return requests.get(entry["base_url"] + path, headers=headers, params=parameters, timeout=20)


def recorded(file: str) -> Any:
    return json.loads((FIXTURES / file).read_text(), parse_float=Decimal)


# --- the simulated wire -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/api/v3/holdings", "holdings.json"),
        ("/api/v3/positions", "positions.json"),
        ("/api/v3/funds", "funds.json"),
        ("/api/v3/profile", "profile.json"),
        ("/data/quotes", "quotes.json"),
    ],
)
def test_replies_have_the_published_fields(fyers: SimulatedBrokers, path: str, file: str) -> None:
    _, session = log_in(fyers)
    reply = get(fyers, path, session.access_token.reveal(), symbols="NSE:SBIN-EQ").json()
    assert field_names(reply) == field_names(recorded(file))


def field_names(value: Any) -> Any:
    if isinstance(value, list):
        return field_names(value[0])
    return {name: field_names(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_a_dead_token_is_worded_three_ways(fyers: SimulatedBrokers) -> None:
    client, session = log_in(fyers)
    token = session.access_token.reveal()
    assert get(fyers, "/api/v3/holdings", "made-up").json()["code"] == -16
    assert get(fyers, "/data/quotes", "made-up", symbols="NSE:SBIN-EQ").json()["code"] == -15
    CLOCK.moment += timedelta(hours=20)  # past 06:00 of the next morning
    assert get(fyers, "/api/v3/holdings", token).json()["code"] == -8
    with pytest.raises(SessionEnded):
        client.holdings()


def test_the_refusal_of_a_login_carries_no_code(fyers: SimulatedBrokers) -> None:
    with pytest.raises(RequestRefused) as caught:
        log_in(fyers, cancel="1")
    assert caught.value.code == "login_refused"


def test_the_pause_that_fyers_asks_for_is_read(fyers: SimulatedBrokers) -> None:
    client, _ = log_in(fyers)
    fyers.control.set_fault("fyers", "rate_limit")
    with pytest.raises(RateLimited) as caught:
        client.funds()
    assert (caught.value.retry_after, caught.value.vendor_code) == (1.0, "-429")


def test_one_share_has_a_row_for_what_is_delivered_and_one_for_what_is_coming(fyers: SimulatedBrokers) -> None:
    client, session = log_in(fyers)
    rows = get(fyers, "/api/v3/holdings", session.access_token.reveal()).json()["holdings"]
    assert [(row["holdingType"], row["quantity"]) for row in rows if row["symbol"] == "NSE:SBIN-EQ"] == [
        ("HLD", 40),
        ("T1", 40),
    ]
    [line] = [line for line in client.holdings().items if line.tradingsymbol == "SBIN"]
    assert (line.settled_quantity, line.t1_quantity, line.average_price) == (40, 40, Decimal("958.3"))


def test_lots_become_units_and_money_stays_money(fyers: SimulatedBrokers) -> None:
    fyers.control.set_price("MCX", "5500", symbol="CRUDEOIL26OCTFUT", close_price="5490")
    book = fyers.control.book("fyers")
    lots = {"symbol": "CRUDEOIL26OCTFUT", "exchange": "MCX", "product": "NRML"}
    fyers.control.set_book(
        "fyers", book | {"positions": [lots | {"overnight_quantity": -2, "overnight_price": "5480"}]}
    )
    client, _ = log_in(fyers)
    [position] = client.positions().items
    assert (position.exchange, position.quantity, position.sell_value) == (Exchange.MCX, -200, 1_096_000)
    assert (position.pnl, position.day_pnl) == (-4000, -2000)
    assert position.exchange_token == "570001"
    assert position.contract == Contract(underlying="CRUDEOIL", expiry=date(2026, 10, 19))


# --- the quote round --------------------------------------------------------------------------------------------------
def test_closes_come_in_one_round_of_fifty_a_call(fyers: SimulatedBrokers) -> None:
    client, _ = log_in(fyers)
    named = [Listing(exchange=Exchange.NSE, tradingsymbol=f"S{n}", broker_token=f"NSE:S{n}-EQ") for n in range(101)]
    fyers.control.reset_counters()
    assert client.quotes(named) == ()
    assert fyers.control.counters("fyers") == {"GET /data/quotes": 3}
    assert client.quotes([]) == ()
    fyers.control.reset_counters()
    assert all(line.close_price for line in client.holdings().items)
    assert fyers.control.counters("fyers") == {"GET /api/v3/holdings": 1, "GET /data/quotes": 1}


@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "malformed_body", "drop_connection"])
def test_without_quotes_the_rows_stand_without_their_close(fyers: SimulatedBrokers, kind: str) -> None:
    client, _ = log_in(fyers)
    fyers.control.set_fault("fyers", kind, path="/data")
    rows = client.holdings()
    assert (len(rows.items), rows.problems) == (7, ())
    assert {line.close_price for line in rows.items} == {None}
    assert all(line.last_price for line in rows.items)


def test_a_session_that_ends_before_the_quotes_has_ended(fyers: SimulatedBrokers) -> None:
    client, _ = log_in(fyers)
    fyers.control.set_fault("fyers", "expired_token", path="/data")
    with pytest.raises(SessionEnded):
        client.positions()


def test_other_brokers_shares_are_known_by_their_series() -> None:
    client = BROKER.client(
        BROKER.transport(),
        AppCredentials(api_key=Secret("key"), api_secret=Secret("secret")),
        Session(access_token=Secret("token")),
    )
    named = {symbol: client.listing(Exchange.NSE, symbol, None) for symbol in ("M&M", "BAJAJ-AUTO", "CENTRALBK-BE")}
    assert {symbol: listing.broker_token for symbol, listing in named.items() if listing} == {
        "M&M": "NSE:M&M-EQ",
        "BAJAJ-AUTO": "NSE:BAJAJ-AUTO-EQ",
        "CENTRALBK-BE": "NSE:CENTRALBK-BE",
    }
    assert client.listing(Exchange.BSE, "SBIN", "INE062A01020") is None  # its group is in the master alone


# --- rows that need care ----------------------------------------------------------------------------------------------
def position_row(**changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = recorded("positions_mixed.json")["netPositions"][0]
    return row | changed


def test_today_cannot_be_told_where_one_average_covers_yesterday_too() -> None:
    row = position_row(netQty=195, buyQty=195, buyAvg=Decimal(22520), buyVal=Decimal(4_391_400), dayBuyQty=65)
    [position] = mapping.positions(row)
    quote = mapping.quotes(
        [{"n": position.broker_token, "s": "ok", "v": {"lp": 22600, "prev_close_price": 22550}}],
        [(position.broker_token, Listing(**named(position)))],
    )
    [priced] = mapping.with_prices(Rows((position,)), {quote[0].broker_token: quote[0]}).items
    assert (priced.overnight_quantity, priced.day_buy_quantity, priced.close_price) == (130, 65, None)
    assert (priced.pnl, priced.day_pnl) == (Decimal("11797.5"), None)


def named(line: Any) -> dict[str, Any]:
    return {"exchange": line.exchange, "tradingsymbol": line.tradingsymbol, "broker_token": line.broker_token}


@pytest.mark.parametrize("value", [Decimal("12.4"), Decimal(15500)])
def test_a_value_with_or_without_its_multiplier_is_the_same_money(value: Decimal) -> None:
    row = recorded("positions_mixed.json")["netPositions"][3] | {"buyVal": value}
    assert mapping.positions(row)[0].buy_value == 15500


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"crossCurrency": "Y"}, "crossCurrency"),
        ({"qtyMulti_com": Decimal(0)}, "qtyMulti_com"),
        ({"cfBuyQty": 260}, "buyQty"),
        ({"fyToken": "999926033051001"}, "fyToken"),
        ({"productType": "NEW"}, "productType"),
    ],
)
def test_a_row_that_would_be_wrong_money_is_refused(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        mapping.positions(position_row(**changed))
    assert caught.value.field == field


def test_a_share_of_two_rows_has_one_average_and_a_sold_one_keeps_its_own() -> None:
    delivered, coming = recorded("holdings_mixed.json")["holdings"][:2]
    sold = delivered | {"remainingQuantity": 0, "costPrice": 500}
    lines = [line for row in (sold, delivered, coming) for line in mapping.holdings(row)]
    assert [
        (line.owned_quantity, line.used_quantity, line.average_price)
        for line in mapping.joined(Rows(tuple(lines))).items
    ] == [(0, 100, 500), (110, 0, (100 * Decimal(570) + 10 * Decimal(605)) / 110)]


def test_more_pledged_than_owned_never_adds_shares() -> None:
    row = recorded("holdings_mixed.json")["holdings"][2] | {"collateralQuantity": 60, "qty_t1": 5}
    [line] = mapping.holdings(row)
    assert (line.owned_quantity, line.pledged_quantity, line.t1_quantity) == (50, 50, 0)


# --- names ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ticker", "fy_token", "contract"),
    [
        ("NSE:SBIN-EQ", "10100000003045", None),
        ("NSE:360ONE26AUG1080PE", "101126082566825", ("360ONE", "2026-08-25", "1080", "PE")),
        ("NSE:USDINR24O3177.5CE", "101224103110905", ("USDINR", "2024-10-31", "77.5", "CE")),
        ("NSE:USDINR24NOV77.5CE", "101224112710936", ("USDINR", "2024-11-27", "77.5", "CE")),
        ("NSE:ONMIBOR24OCTFUT", "10122410311003", ("ONMIBOR", "2024-10-31", None, None)),
        ("NSE:NIFTYNXT5026303100CE", "101126030352001", ("NIFTYNXT50", "2026-03-03", "100", "CE")),
        ("MCX:GOLD26DECFUT", "1120261127495213", None),  # the names disagree about the month
    ],
)
def test_a_contract_is_read_from_both_names(ticker: str, fy_token: str, contract: tuple[Any, ...] | None) -> None:
    found = instruments.contract(ticker, fy_token)
    if contract is None:
        assert found is None
        return
    underlying, expiry, strike, kind = contract
    assert found == Contract(
        underlying=underlying,
        expiry=date.fromisoformat(expiry),
        strike=strike and Decimal(strike),
        option_type=kind and OptionType(kind),
    )


@pytest.mark.parametrize(
    ("file", "exchange"),
    [("NSE_CM", "NSE"), ("BSE_CM", "BSE"), ("NSE_FO", "NFO"), ("NSE_CD", "CDS"), ("MCX_COM", "MCX")],
)
def test_every_row_of_the_served_master_comes_back(fyers: SimulatedBrokers, file: str, exchange: str) -> None:
    address = fyers.brokers["fyers"]["base_url"] + f"/sym_details/{file}_sym_master.json"
    rows = json.loads(requests.get(address, timeout=20).text, parse_float=Decimal)
    assert rows
    for ticker, row in rows.items():
        [instrument] = instruments.instrument(row)
        assert (instrument.broker_token, instrument.exchange) == (ticker, exchange)
        written = instruments.master_row(instrument)
        assert {name: written[name] for name in ("fyToken", "exchange", "segment")} == {
            name: row[name] for name in ("fyToken", "exchange", "segment")
        }
        assert instruments.instrument(written) == [instrument]
        assert instruments.contract(ticker, row["fyToken"]) == instrument.contract


def test_a_published_master_row_counts_units_beside_lots() -> None:
    row = {
        "fyToken": "1120260326490002", "isin": "", "symDetails": "NATURALGAS 26 Mar 26 FUT",
        "symTicker": "MCX:NATURALGAS26MARFUT", "exchange": 11, "segment": 20, "exToken": 490002, "optType": "XX",
        "underSym": "NATURALGAS", "exInstType": 30, "minLotSize": 1, "tickSize": Decimal("0.1"),
        "expiryDate": "1774548000", "strikePrice": Decimal("-1.0"), "qtyMultiplier": Decimal("1250.0"),
    }  # fmt: skip
    [instrument] = instruments.instrument(row)
    assert (instrument.lot_size, instrument.multiplier, instrument.exchange_token) == (1, 1250, "490002")
    assert instrument.contract == Contract(underlying="NATURALGAS", expiry=date(2026, 3, 26))


SYMBOLS = st.from_regex(r"[A-Z&]{1,12}(-[A-Z]{3,6})?", fullmatch=True)
PRICES = st.decimals(min_value="0.05", max_value=500_000, places=2)
DAYS = st.dates(min_value=date(2020, 1, 1), max_value=date(2039, 12, 31))
TOKENS = st.integers(min_value=1, max_value=9_999_999).map(str)


@st.composite
def shares(draw: st.DrawFn) -> Instrument:
    exchange, symbol = draw(st.sampled_from([Exchange.NSE, Exchange.BSE])), draw(SYMBOLS)
    return Instrument(
        exchange=exchange,
        kind=InstrumentKind.EQUITY,
        tradingsymbol=symbol,
        broker_token=f"{exchange}:{symbol}-{'EQ' if exchange is Exchange.NSE else draw(st.sampled_from('ABTX'))}",
        exchange_token=draw(TOKENS),
        isin=draw(st.none() | st.from_regex(r"INE[0-9]{3}A01[0-9]{3}", fullmatch=True)),
        name=draw(st.none() | SYMBOLS),
        lot_size=Decimal(1),
        tick_size=draw(st.none() | PRICES),
    )


@st.composite
def derivatives(draw: st.DrawFn) -> Instrument:
    exchange = draw(st.sampled_from([place for place in Exchange if place not in (Exchange.NSE, Exchange.BSE)]))
    option = draw(st.none() | st.sampled_from(OptionType))
    contract = Contract(
        underlying=draw(SYMBOLS), expiry=draw(DAYS), strike=draw(PRICES) if option else None, option_type=option
    )
    written = f"{contract.expiry:%y%b}".upper() + (f"{contract.strike}{option}" if option else "FUT")
    symbol = contract.underlying + written
    return Instrument(
        exchange=exchange,
        kind=InstrumentKind.OPTION if option else InstrumentKind.FUTURE,
        tradingsymbol=symbol,
        broker_token=f"{'MCX' if exchange is Exchange.MCX else 'NSE'}:{symbol}",
        exchange_token=draw(TOKENS),
        contract=contract,
        lot_size=Decimal(draw(st.integers(min_value=1, max_value=5000))),
        tick_size=draw(PRICES),
        multiplier=Decimal(draw(st.integers(min_value=1, max_value=5000))),
    )


@given(shares() | derivatives())
def test_an_instrument_survives_the_round_trip(instrument: Instrument) -> None:
    row = instruments.master_row(instrument)
    assert instruments.instrument(row) == [instrument]
    assert instruments.exchange(row["fyToken"]) is instrument.exchange
    assert instruments.exchange_token(row["fyToken"]) == instrument.exchange_token
    assert instruments.contract(instrument.broker_token, row["fyToken"]) == instrument.contract


def test_a_profile_tells_whether_shares_may_be_funded() -> None:
    told = mapping.profile(recorded("profile.json")["data"])
    assert Product.MTF not in (told.products or ())
    assert mapping.profile(recorded("profile_nulls.json")["data"]).products is None
