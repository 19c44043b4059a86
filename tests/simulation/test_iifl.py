"""What only XTS does: two applications, logins that end each other, a dealer, a master without a header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests
from hypothesis import given

from brokers.domain import AppCredentials, Contract, Exchange, Instrument, InstrumentKind, Listing, OptionType, Session
from brokers.errors import FeedEnded, NotSupported, RequestRefused, SessionEnded
from brokers.iifl import BROKER, instruments
from brokers.iifl.auth import IiflAuth
from brokers.iifl.client import IiflClient
from brokers.iifl.spec import MARKET_API_KEY, MARKET_API_SECRET
from brokers.secret import Secret
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Endpoints
from tests.contract.recorded import FIXTURES
from tests.simulation.conftest import TIMEOUT, MovableClock
from tests.simulation.drawn import contracts, shares
from tests.simulation.test_wire import field_names

DEALER = {"userID": "DLR1", "clientID": "DEMO2", "isInvestor": "no"}


@pytest.fixture(scope="module")
def blaze(clock: MovableClock) -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers(["iifl"], clock=clock) as simulated:
        yield simulated


@pytest.fixture
def entry(blaze: SimulatedBrokers) -> dict[str, Any]:
    return blaze.brokers["iifl"]


@pytest.fixture
def app(entry: dict[str, Any]) -> AppCredentials:
    names = (MARKET_API_KEY.name, MARKET_API_SECRET.name)
    return AppCredentials(
        api_key=Secret(entry["api_key"]),
        api_secret=Secret(entry["api_secret"]),
        extra={name: Secret(entry[name]) for name in names},
    )


@pytest.fixture
def auth(entry: dict[str, Any], app: AppCredentials) -> IiflAuth:
    endpoints = Endpoints(base_url=entry["base_url"], login_url=entry["login_url"])
    auth = BROKER.auth(BROKER.transport(endpoints=endpoints, loopback_only=True), app)
    assert isinstance(auth, IiflAuth)
    return auth


@pytest.fixture
def session(auth: IiflAuth, clock: MovableClock) -> Session:
    return auth.exchange(callback={"method": "keys"}, redirect_uri="", now=clock())


def client_of(auth: IiflAuth, session: Session, app: AppCredentials | None = None) -> IiflClient:
    client = BROKER.client(auth.http, app or auth.app, session)
    assert isinstance(client, IiflClient)
    return client


def test_logging_in_again_renews_the_session_and_ends_the_one_before(
    auth: IiflAuth, session: Session, clock: MovableClock
) -> None:
    renewed = auth.refresh(session, now=clock())
    assert client_of(auth, renewed).profile().account_id == session.account_id
    with pytest.raises(SessionEnded):
        client_of(auth, session).profile()


def test_a_dead_market_token_costs_the_prices_alone_and_another_is_got_with_the_stored_keys(
    auth: IiflAuth, session: Session
) -> None:
    dead = replace(session, feed_token=Secret("long-dead"))
    client = client_of(auth, dead)
    assert {line.last_price for line in client.holdings().items} == {None}
    with pytest.raises(FeedEnded):
        client.quotes([Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token="1594")])
    assert client.profile().account_id == session.account_id
    client = client_of(auth, auth.reopen_feed(dead))
    assert all(line.last_price and line.close_price for line in client.holdings().items)


def test_without_market_keys_prices_are_unknown_and_nothing_else(auth: IiflAuth, session: Session) -> None:
    client = client_of(auth, replace(session, feed_token=None), replace(auth.app, extra={}))
    rows = client.holdings()
    assert {line.last_price for line in rows.items} == {None}
    assert rows.problems == ()
    with pytest.raises(NotSupported):
        client.quotes([Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token="1594")])


def test_wrong_market_keys_are_told_apart_from_wrong_account_keys(
    entry: dict[str, Any], auth: IiflAuth, clock: MovableClock
) -> None:
    wrong = replace(auth.app, extra={**auth.app.extra, MARKET_API_SECRET.name: Secret("wrong")})
    with pytest.raises(RequestRefused) as caught:
        BROKER.auth(auth.http, wrong).exchange(callback={}, redirect_uri="", now=clock())
    assert caught.value.code == "market_keys_refused"


def test_a_login_outlives_a_market_outage(blaze: SimulatedBrokers, auth: IiflAuth, clock: MovableClock) -> None:
    blaze.control.set_fault("iifl", "server_error", path="/apimarketdata")
    try:
        session = auth.exchange(callback={}, redirect_uri="", now=clock())
        assert session.feed_token is None
        assert {line.last_price for line in client_of(auth, session).holdings().items} == {None}
    finally:
        blaze.control.clear_faults("iifl")
    assert None not in {line.last_price for line in client_of(auth, auth.reopen_feed(session)).holdings().items}


def test_what_xts_will_not_tell_a_dealer_is_unknown_and_not_asked(
    blaze: SimulatedBrokers, auth: IiflAuth, session: Session
) -> None:
    client = client_of(auth, replace(session, facts=DEALER))
    blaze.control.reset_counters()
    assert client.funds().available is None
    assert blaze.control.counters("iifl") == {}


def test_carried_and_dealt_are_told_apart_by_the_two_views(
    blaze: SimulatedBrokers, auth: IiflAuth, session: Session
) -> None:
    book = blaze.control.book("iifl")
    changed = json.loads(json.dumps(book))
    option = next(row for row in changed["positions"] if row["exchange"] == "NFO")
    option |= {"day_sell_quantity": 130, "day_sell_price": "190"}
    blaze.control.set_book("iifl", changed)
    blaze.control.set_price("NFO", "180", symbol=option["symbol"], close_price="175")
    try:
        [line] = [line for line in client_of(auth, session).positions().items if line.exchange is Exchange.NFO]
    finally:
        blaze.control.set_book("iifl", book)
    assert (line.quantity, line.overnight_quantity) == (Decimal(-65), Decimal(65))
    assert (line.day_buy_quantity, line.day_sell_quantity) == (0, 130)
    # 130 sold at 190, 65 carried from 175, 65 short at 180: 24700 - 11700 - 11375
    assert line.day_pnl == Decimal(1625)


@pytest.mark.parametrize(("sold", "owned"), [(10, 80), (0, 90)])
def test_only_what_was_sold_leaves_a_holding_and_not_what_orders_block(
    blaze: SimulatedBrokers, auth: IiflAuth, session: Session, sold: int, owned: int
) -> None:
    book = blaze.control.book("iifl")
    changed = json.loads(json.dumps(book))
    changed["holdings"] = [{**book["holdings"][1], "settled": 80, "pledged": 0, "used_today": 10}]
    sale = {"symbol": "SBIN", "exchange": "BSE", "product": "CNC", "day_sell_quantity": sold, "day_sell_price": "760"}
    changed["positions"] = [sale]
    blaze.control.set_book("iifl", changed)
    try:
        client = client_of(auth, session)
        parts = {name: read() for name, read in client.portfolio_parts().items()}
    finally:
        blaze.control.set_book("iifl", book)
    [line] = client.assemble(parts, as_of=datetime(2026, 11, 23, tzinfo=UTC)).holdings
    assert line.owned_quantity == 90  # HoldingQuantity stays until the night
    assert line.owned_quantity - line.used_quantity == owned


def test_keys_are_taken_as_json_and_as_a_form(entry: dict[str, Any]) -> None:
    keys = {"appKey": entry["api_key"], "secretKey": entry["api_secret"], "source": "WEBAPI"}
    url = entry["base_url"] + "/interactive/user/session"
    mislabelled = {"Content-Type": "application/json"}
    replies = [
        requests.post(url, json=keys, timeout=TIMEOUT),
        requests.post(url, data=keys, timeout=TIMEOUT),
        requests.post(url, data=keys, headers=mislabelled, timeout=TIMEOUT),
    ]
    assert [reply.json()["type"] for reply in replies] == ["success"] * 3


def test_recorded_master_lines_become_instruments() -> None:
    recorded = FIXTURES / "iifl"
    cash = json.loads((recorded / "md_master_nsecm.json").read_text())["result"]
    contracts = json.loads((recorded / "md_master_fo.json").read_text())["result"]
    indices = (recorded / "md_master_index_rows.txt").read_text()
    read = {
        line.tradingsymbol: line
        for part in (cash, contracts, indices)
        for row in instruments.cut(part.splitlines())
        for line in instruments.instrument(row)
    }
    share, index = read["RELIANCE"], read["NIFTY 50"]
    assert (share.isin, share.exchange_token, share.tick_size) == ("INE002A01018", "2885", Decimal("0.1"))
    assert (index.kind, index.isin) == (InstrumentKind.INDEX, None)
    assert read["NIFTY26JUNFUT"].contract == Contract(underlying="NIFTY", expiry=date(2026, 6, 30))
    assert read["SENSEX2670279000PE"].contract == Contract(
        underlying="SENSEX", expiry=date(2026, 7, 2), strike=Decimal(79000), option_type=OptionType.PE
    )
    assert read["CRUDEOIL26OCTFUT"].exchange is Exchange.MCX
    assert not [symbol for symbol in read if "26JUN26JUL" in symbol]  # a spread is nothing one holds


def test_the_simulated_master_makes_the_round_trip(entry: dict[str, Any]) -> None:
    wanted = {"exchangeSegmentList": list(instruments.SEGMENTS.values())}
    url = entry["base_url"] + "/apimarketdata/instruments/master"
    master = requests.post(url, json=wanted, timeout=TIMEOUT).json()["result"]
    read = [line for row in instruments.cut(master.splitlines()) for line in instruments.instrument(row)]
    assert {line.kind for line in read} >= {InstrumentKind.EQUITY, InstrumentKind.FUTURE, InstrumentKind.OPTION}
    assert [instruments.instrument(instruments.master_row(line)) for line in read] == [[line] for line in read]


@given(shares(with_isin=True) | contracts())
def test_an_instrument_survives_the_round_trip(instrument: Instrument) -> None:
    line = "|".join(instruments.master_row(instrument).values())
    [row] = instruments.cut([line])
    assert instruments.instrument(row) == [instrument]


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/interactive/user/balance", "user_balance_multi_header.json"),
        ("/interactive/portfolio/holdings", "portfolio_holdings.json"),
        ("/interactive/portfolio/positions?dayOrNet=NetWise", "portfolio_positions_netwise.json"),
    ],
)
def test_replies_have_the_recorded_fields_in_order(
    entry: dict[str, Any], session: Session, path: str, file: str
) -> None:
    headers = {"Authorization": session.access_token.reveal()}
    reply = requests.get(entry["base_url"] + path, headers=headers, timeout=TIMEOUT).json()
    assert row_fields(reply) == row_fields(json.loads((FIXTURES / "iifl" / file).read_text()))


def row_fields(reply: dict[str, Any]) -> list[str]:
    """Field names of the envelope and of the first row, which holdings keep under its ISIN."""
    result = dict(reply["result"])
    if "RMSHoldings" in result:
        result["RMSHoldings"] = list(result["RMSHoldings"]["Holdings"].values())
    return field_names({**reply, "result": result})
