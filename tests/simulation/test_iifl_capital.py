"""What only IIFL Capital does: a redirect without state, a masked client, codes for nothing, lots on commodities."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hypothesis import given

from brokers.base import BrokerClient
from brokers.domain import AppCredentials, Exchange, Instrument, InstrumentKind, Listing, Session
from brokers.errors import RequestRefused, SessionEnded
from brokers.iifl_capital import BROKER, instruments
from brokers.iifl_capital.auth import IiflCapitalAuth
from brokers.iifl_capital.spec import COUNTED_IN_LOTS
from brokers.secret import Secret
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Endpoints
from tests.contract.recorded import FIXTURES
from tests.simulation.conftest import TIMEOUT, MovableClock
from tests.simulation.drawn import contracts, shares
from tests.simulation.test_wire import field_names

SLUG = "iifl_capital"
CRUDE = {"symbol": "CRUDEOIL26OCTFUT", "exchange": "MCX", "product": "NRML"}


@pytest.fixture(scope="module")
def capital(clock: MovableClock) -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers([SLUG], clock=clock) as simulated:
        yield simulated


@pytest.fixture
def entry(capital: SimulatedBrokers) -> dict[str, Any]:
    return capital.brokers[SLUG]


@pytest.fixture
def auth(entry: dict[str, Any]) -> IiflCapitalAuth:
    app = AppCredentials(api_key=Secret(entry["api_key"]), api_secret=Secret(entry["api_secret"]))
    endpoints = Endpoints(base_url=entry["base_url"], login_url=entry["login_url"])
    auth = BROKER.auth(BROKER.transport(endpoints=endpoints, loopback_only=True), app)
    assert isinstance(auth, IiflCapitalAuth)
    return auth


def callback_of(capital: SimulatedBrokers, auth: IiflCapitalAuth, redirect_uri: str | None = None) -> dict[str, str]:
    address = redirect_uri or capital.brokers[SLUG]["redirect_uri"]
    return dict(capital.login(SLUG, auth.authorization_url(state="unguessable", redirect_uri=address)))


@pytest.fixture
def session(capital: SimulatedBrokers, auth: IiflCapitalAuth, clock: MovableClock) -> Session:
    return auth.exchange(callback=callback_of(capital, auth), redirect_uri="", now=clock())


@pytest.fixture
def client(auth: IiflCapitalAuth, session: Session) -> BrokerClient:
    return BROKER.client(auth.http, auth.app, session)


def test_the_address_goes_unescaped_and_without_the_state(auth: IiflCapitalAuth, entry: dict[str, Any]) -> None:
    url = auth.authorization_url(state="unguessable", redirect_uri=entry["redirect_uri"])
    assert f"redirecturl={entry['redirect_uri']}" in url
    assert "unguessable" not in url
    assert parse_qs(urlsplit(url).query)["appkey"] == [entry["api_key"]]


def test_an_unregistered_address_is_told_nothing(capital: SimulatedBrokers, auth: IiflCapitalAuth) -> None:
    callback = callback_of(capital, auth, "http://127.0.0.1:8000/somewhere/else")
    assert callback == {}


@pytest.mark.parametrize(
    ("code", "client_id"), [("authcode", "clientid"), ("auth_code", "client_id"), ("code", "clientId")]
)
def test_the_letters_of_the_callback_do_not_matter(
    capital: SimulatedBrokers, auth: IiflCapitalAuth, clock: MovableClock, code: str, client_id: str
) -> None:
    back = callback_of(capital, auth)
    spelt = {code: back["authCode"], client_id: back["clientId"]}
    assert auth.exchange(callback=spelt, redirect_uri="", now=clock()).account_id == back["clientId"]


def test_a_login_without_a_client_or_with_another_is_refused(
    capital: SimulatedBrokers, auth: IiflCapitalAuth, clock: MovableClock
) -> None:
    code = callback_of(capital, auth)["authCode"]
    with pytest.raises(RequestRefused) as caught:
        auth.exchange(callback={"authCode": code}, redirect_uri="", now=clock())
    assert caught.value.code == "client_id_missing"
    with pytest.raises(SessionEnded):
        auth.exchange(callback={"authCode": code, "clientId": "29471831"}, redirect_uri="", now=clock())


def test_the_masked_client_is_the_one_who_logged_in(
    capital: SimulatedBrokers, entry: dict[str, Any], session: Session, client: BrokerClient
) -> None:
    token = session.access_token.reveal()
    headers = {"Authorization": f"Bearer {token}"}
    reply = requests.get(f"{entry['base_url']}/v1/profile", headers=headers, timeout=TIMEOUT).json()
    assert set(reply["result"]["clientId"][1:-1]) == {"*"}
    assert client.profile().account_id == capital.control.book(SLUG)["account"]["user_id"] == session.account_id


def test_commodity_lots_become_units(capital: SimulatedBrokers, client: BrokerClient) -> None:
    book = capital.control.book(SLUG)
    changed = json.loads(json.dumps(book))
    changed["positions"] = [{**CRUDE, "overnight_quantity": 2, "overnight_price": "6120", "day_sell_quantity": 1}]
    changed["positions"][0]["day_sell_price"] = "6150"
    capital.control.set_price("MCX", "6160", symbol=CRUDE["symbol"], close_price="6130")
    capital.control.set_book(SLUG, changed)
    try:
        [line] = client.positions().items
    finally:
        capital.control.set_book(SLUG, book)
    assert (line.quantity, line.overnight_quantity) == (Decimal(100), Decimal(200))
    assert (line.buy_value, line.sell_value) == (Decimal(1224000), Decimal(615000))
    # MCX is not quoted here; the previous close stands in the row itself.
    assert (line.last_price, line.close_price) == (None, Decimal(6130))


def test_what_is_not_quoted_is_absent(client: BrokerClient) -> None:
    asked = [("NSE", "INFY", "1594"), ("MCX", CRUDE["symbol"], "570001"), ("NSE", "NOBODY", "1")]
    listings = [Listing(exchange=Exchange(at), tradingsymbol=name, broker_token=token) for at, name, token in asked]
    assert [quote.broker_token for quote in client.quotes(listings)] == ["1594"]


def test_the_blank_row_is_no_share(capital: SimulatedBrokers, client: BrokerClient) -> None:
    rows = client.holdings()
    assert (len(rows.items), rows.problems) == (len(capital.control.book(SLUG)["holdings"]), ())
    assert all(line.last_price and line.close_price for line in rows.items)


def test_recorded_contracts_become_instruments() -> None:
    lines = (FIXTURES / SLUG / "contractfile_nseeq.csv").read_text().splitlines()
    [reliance, infy] = [line for row in csv.DictReader(lines) for line in instruments.instrument(row)]
    assert (reliance.tradingsymbol, reliance.exchange_token, reliance.kind) == (
        "RELIANCE",
        "2885",
        InstrumentKind.EQUITY,
    )
    assert infy.tick_size == Decimal("0.1")


@pytest.mark.parametrize("word", ["NSEEQ", "BSEEQ", "NSEFO", "NSECURR", "MCXCOMM"])
def test_the_contract_files_make_the_round_trip(entry: dict[str, Any], word: str) -> None:
    url = f"{entry['base_url']}/v1/contractfiles/{word}"
    rows = requests.get(f"{url}.json", timeout=TIMEOUT).json()
    assert rows == list(csv.DictReader(io.StringIO(requests.get(f"{url}.csv", timeout=TIMEOUT).text)))
    read = [line for row in rows for line in instruments.instrument(row)]
    assert read
    assert [instruments.instrument(instruments.master_row(line)) for line in read] == [[line] for line in read]


@given(shares(with_isin=False) | contracts(counted_in_lots=COUNTED_IN_LOTS))
def test_an_instrument_survives_the_round_trip(instrument: Instrument) -> None:
    assert instruments.instrument(instruments.master_row(instrument)) == [instrument]


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/v1/profile", "profile.json"),
        ("/v1/limits", "limits.json"),
        ("/v1/holdings", "holdings.json"),
        ("/v1/positions", "positions.json"),
    ],
)
def test_replies_have_the_recorded_fields_in_order(
    entry: dict[str, Any], session: Session, path: str, file: str
) -> None:
    headers = {"Authorization": f"Bearer {session.access_token.reveal()}"}
    reply = requests.get(entry["base_url"] + path, headers=headers, timeout=TIMEOUT).json()
    assert field_names(reply) == field_names(json.loads((FIXTURES / SLUG / file).read_text()))
