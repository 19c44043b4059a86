"""What only Angel One has: tokens in the redirect, a second login, a rotating refresh, two envelopes, fifty quotes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import requests
import responses

from brokers.angel_one import BROKER, instruments, mapping
from brokers.angel_one.client import AngelOneClient
from brokers.angel_one.spec import PIN_TOTP, SECURE, SPEC
from brokers.base import BrokerAuth
from brokers.domain import AppCredentials, Exchange, InstrumentKind, Listing, Session
from brokers.errors import BrokerError, NotSupported, RequestRefused, SessionEnded
from brokers.secret import Secret
from brokers.simulation.server import Callback, SimulatedBrokers
from brokers.transport import Endpoints
from brokers.wire import each
from tests.simulation.conftest import TIMEOUT, MovableClock

FIXTURES = Path(__file__).parents[1] / "fixtures" / "angel_one"
STATE = "st/ate&1"


class Angel:
    """The simulated broker, and our own code in front of it."""

    def __init__(self, simulated: SimulatedBrokers, clock: MovableClock) -> None:
        self.simulated, self.clock = simulated, clock
        self.entry = simulated.brokers["angel_one"]
        self.http = BROKER.transport(
            endpoints=Endpoints(base_url=self.entry["base_url"], login_url=self.entry["login_url"]), loopback_only=True
        )
        self.app = AppCredentials(api_key=Secret(self.entry["api_key"]), api_secret=Secret(""))

    @property
    def auth(self) -> BrokerAuth:
        return BROKER.auth(self.http, self.app)

    def client(self, session: Session) -> AngelOneClient:
        return AngelOneClient(self.http, self.app, session)

    def redirected(self, **typed: str) -> Callback:
        url = self.auth.authorization_url(state=STATE, redirect_uri=self.entry["redirect_uri"])
        return self.simulated.login("angel_one", url, **typed)

    def typed(self, **changed: str) -> dict[str, str]:
        return {"method": PIN_TOTP.name, **self.entry["login"], **changed}

    def exchange(self, callback: dict[str, str]) -> Session:
        return self.auth.exchange(callback=callback, redirect_uri=self.entry["redirect_uri"], now=self.clock())


@pytest.fixture(scope="module")
def running() -> Iterator[Angel]:
    clock = MovableClock()
    with SimulatedBrokers(["angel_one"], clock=clock) as simulated:
        yield Angel(simulated, clock)


@pytest.fixture
def angel(running: Angel) -> Iterator[Angel]:
    start = running.clock.moment
    running.simulated.control.reset_counters()
    yield running
    running.clock.moment = start
    running.simulated.control.clear_faults("angel_one")


def recorded(file: str) -> object:
    return msgspec.json.Decoder(float_hook=Decimal).decode((FIXTURES / file).read_bytes())


def test_the_redirect_brings_the_tokens_and_loses_the_state(angel: Angel) -> None:
    back = angel.redirected()
    assert set(back) == {"auth_token", "feed_token", "refresh_token"}
    assert angel.redirected(keep_state="1")["state"] == STATE
    assert angel.redirected(cancel="1") == {}


def test_both_logins_open_the_same_account_until_midnight(angel: Angel) -> None:
    for callback in (angel.redirected(), angel.typed()):
        session = angel.exchange(callback)
        assert None not in (session.refresh_token, session.feed_token)
        assert session.expires_at == datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
        assert angel.client(session).profile().account_id == angel.entry["login"]["clientcode"]
        angel.clock.moment = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
        with pytest.raises(SessionEnded) as caught:
            angel.client(session).holdings()
        assert caught.value.vendor_code == "AG8002"
        angel.clock.moment = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "code"), [({"pin": "x"}, "AB1007"), ({"clientcode": "x"}, "AB1007"), ({"totp": "x"}, "AB1050")]
)
def test_a_wrong_pin_or_totp_is_the_traders_to_mend(angel: Angel, changed: dict[str, str], code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        angel.exchange(angel.typed(**changed))
    assert (caught.value.vendor_code, caught.value.connection_status) == (code, None)
    typed = [angel.typed()[name] for name in ("clientcode", "pin", "totp")]
    assert not [secret for secret in typed if secret in f"{caught.value!r} {caught.value.reason}"]


def test_a_made_up_token_opens_nothing(angel: Angel) -> None:
    with pytest.raises(SessionEnded):
        angel.exchange({"auth_token": "made-up"})


def test_a_refresh_rotates_all_three_tokens(angel: Angel) -> None:
    old = angel.exchange(angel.redirected())
    new = angel.auth.refresh(old, now=angel.clock())
    for name in ("access_token", "refresh_token", "feed_token"):
        assert getattr(new, name) != getattr(old, name)
    assert (new.account_id, new.expires_at) == (old.account_id, old.expires_at)
    assert angel.client(new).profile()
    with pytest.raises(SessionEnded):
        angel.client(old).profile()
    with pytest.raises(SessionEnded) as caught:
        angel.auth.refresh(Session(access_token=new.access_token, refresh_token=old.refresh_token), now=angel.clock())
    assert caught.value.vendor_code == "AB8050"


def test_without_a_refresh_token_nothing_is_asked(angel: Angel) -> None:
    with pytest.raises(NotSupported):
        angel.auth.refresh(Session(access_token=Secret("t")), now=angel.clock())
    assert angel.simulated.control.counters("angel_one") == {}


def test_fifty_quotes_go_in_one_call(angel: Angel) -> None:
    client = angel.client(angel.exchange(angel.typed()))
    master = requests.get(
        angel.entry["base_url"] + "/OpenAPI_File/files/OpenAPIScripMaster.json", timeout=TIMEOUT
    ).json()
    listings = [
        Listing(exchange=item.exchange, tradingsymbol=item.tradingsymbol, broker_token=item.broker_token)
        for row in master
        for item in instruments.instrument(row)
    ]
    quotes = client.quotes([*listings, *listings])
    assert len(listings) > 100
    calls = angel.simulated.control.counters("angel_one")[f"POST {SECURE}/market/v1/quote"]
    assert calls == -(-len(listings) // 50)
    assert 70 < len(quotes) <= len(listings)


@pytest.mark.parametrize("error", ["AB1015", "AB1016"])
def test_not_found_is_an_empty_list(angel: Angel, error: str) -> None:
    client = angel.client(angel.exchange(angel.typed()))
    envelope = {"status": False, "message": "Not found", "errorcode": error, "data": None}
    for path, ask in (("portfolio/v1/getAllHolding", client.holdings), ("order/v1/getPosition", client.positions)):
        angel.simulated.control.serve("angel_one", f"GET {SECURE}/{path}", envelope)
        assert ask().items == ()
    angel.simulated.control.serve_nothing("angel_one")


@pytest.mark.parametrize(
    "envelope",
    [
        {"status": True, "message": "SUCCESS", "errorcode": "AG8001", "data": None},
        {"status": "false", "message": "no", "errorcode": "", "data": None},
        {"status": True, "success": False, "message": "no", "errorCode": "", "data": None},
        {"message": "no", "data": None},
        {"status": True, "message": "SUCCESS", "errorcode": ""},
    ],
)
def test_a_doubtful_envelope_is_never_an_empty_account(envelope: dict[str, object]) -> None:
    http = BROKER.transport()
    app = AppCredentials(api_key=Secret("key"), api_secret=Secret(""))
    client = AngelOneClient(http, app, Session(access_token=Secret("token")))
    with responses.RequestsMock() as mock:
        mock.add("GET", f"{SPEC.endpoints.base_url}{SECURE}/portfolio/v1/getAllHolding", body=json.dumps(envelope))
        with pytest.raises(BrokerError):
            client.holdings()


def test_the_rate_limit_is_a_plain_text(angel: Angel) -> None:
    angel.simulated.control.set_fault("angel_one", "rate_limit")
    reply = requests.get(f"{angel.entry['base_url']}{SECURE}/user/v1/getRMS", timeout=TIMEOUT)
    assert (reply.status_code, reply.text) == (403, "Access denied because of exceeding access rate")


def test_the_mixed_holdings_add_up_to_the_published_sums() -> None:
    lines = each("holdings", mapping.holdings, mapping.holding_rows(recorded("all_holding_mixed.json"))).items
    known = [line for line in lines if line.average_price is not None]
    value = [line.owned_quantity * line.last_price for line in lines if line.last_price is not None]
    cost = sum(line.owned_quantity * line.average_price for line in known if line.average_price is not None)
    gain = sum(line.owned_quantity * line.last_price for line in known if line.last_price is not None) - cost
    day = [
        line.owned_quantity * (line.last_price - line.close_price)
        for line in lines
        if line.last_price and line.close_price
    ]
    assert (sum(value), cost, gain, sum(day)) == (
        Decimal("151114.00"),
        Decimal("138903.50"),
        Decimal("10620.50"),
        Decimal("-790.50"),
    )


def test_the_master_says_what_everything_is(angel: Angel) -> None:
    rows = requests.get(angel.entry["base_url"] + "/OpenAPI_File/files/OpenAPIScripMaster.json", timeout=TIMEOUT).json()
    read = {(item.exchange, item.tradingsymbol): item for row in rows for item in instruments.instrument(row)}
    assert len(read) == len(rows)
    option, currency = read[Exchange.NFO, "NIFTY29DEC2627000CE"], read[Exchange.CDS, "USDINR13NOV26101.25PE"]
    assert option.contract is not None
    assert (option.exchange_token, option.contract.strike, option.lot_size) == ("50978", 27000, 65)
    assert currency.contract is not None
    assert currency.contract.strike == Decimal("101.25")
    assert read[Exchange.MCX, "CRUDEOIL19OCT26FUT"].lot_size == 100
    assert read[Exchange.NSE, "BAJAJ-AUTO"].broker_token == "16669"
    for item in read.values():
        assert instruments.instrument(instruments.master_row(item)) == [item]


@pytest.mark.parametrize(
    ("exchange", "wire", "ours"),
    [
        (Exchange.NSE, "SBIN-EQ", "SBIN"),
        (Exchange.NSE, "BAJAJ-AUTO-EQ", "BAJAJ-AUTO"),
        (Exchange.NSE, "CENTRALBK-BE", "CENTRALBK-BE"),
        (Exchange.BSE, "SBIN", "SBIN"),
        (Exchange.NFO, "NIFTY29DEC2627000CE", "NIFTY29DEC2627000CE"),
    ],
)
def test_symbols_go_there_and_back(exchange: Exchange, wire: str, ours: str) -> None:
    assert instruments.plain_symbol(wire) == ours
    assert instruments.wire_symbol(exchange, ours) == wire


def test_an_index_has_no_number_of_the_exchange() -> None:
    row = {
        "token": "99926000", "symbol": "Nifty 50", "name": "NIFTY", "expiry": "", "strike": "0.000000",
        "lotsize": "1", "instrumenttype": "AMXIDX", "exch_seg": "NSE", "tick_size": "0.000000",
    }  # fmt: skip
    [index] = instruments.instrument(row)
    assert (index.kind, index.exchange_token, index.tick_size) == (InstrumentKind.INDEX, None, None)
    assert instruments.instrument(instruments.master_row(index)) == [index]
