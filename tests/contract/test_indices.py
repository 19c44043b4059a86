"""The indices of the market strip, at every broker that lists them: named, asked for and streamed in its own wire."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from accounts.models import User
from brokers import registry
from brokers.base import BrokerClient
from brokers.domain import Exchange, Instrument, InstrumentKind, Listing, Streamed
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from market.identity import identity
from market.indices import SHOWN, Index, exchange_token, known_index
from tests.contract.live import LiveBroker
from tests.contract.test_candles import listed
from tests.contract.test_streams import PriceWire

# What a broker's pages say nothing of, it lists none of.
LISTING = [slug for slug in registry.slugs() if registry.load(slug).spec.master and slug != "iifl_capital"]
# What each is known to stream; what is missing is asked for.
STREAMED = {
    "zerodha": 4,
    "upstox": 4,
    "fyers": 4,
    "angel_one": 4,
    "groww": 2,
    "iifl": 0,
    "iifl_capital": 0,
}
SIMULATED = {index.name: f"{index.exchange}:{index.name}" for index in SHOWN}


@pytest.fixture
def client(live: LiveBroker) -> BrokerClient:
    return live.client(live.log_in(), seconds=60)  # masters are read before it is asked


def named(live: LiveBroker, client: BrokerClient) -> Mapping[Index, Instrument]:
    rows = [each for each in listed(live, client) if each.kind is InstrumentKind.INDEX]
    return {index: row for row in rows if (index := known_index(row)) is not None}


def streamed(index: Index) -> Streamed:
    return Streamed(*index.key, index_name=index.streamed_as)


@pytest.mark.parametrize("slug", LISTING)
def test_its_master_lists_all_four_as_one_instrument_each(live: LiveBroker, client: BrokerClient) -> None:
    found = named(live, client)
    assert set(found) == set(SHOWN)
    for index, row in found.items():
        assert identity(row) == f"{index.exchange}|INDEX|{index.name}"
        assert exchange_token(row) == index.exchange_token
        assert (row.isin, row.contract) == (None, None)


@pytest.mark.parametrize("slug", ["iifl_capital"])
def test_one_whose_pages_say_nothing_lists_none(live: LiveBroker, client: BrokerClient) -> None:
    assert named(live, client) == {}


@pytest.mark.parametrize("slug", LISTING)
def test_it_is_quoted_under_its_masters_name(live: LiveBroker, client: BrokerClient) -> None:
    found = named(live, client)
    asked = {(row.exchange, row.broker_token): index.name for index, row in found.items()}
    listings = [
        Listing(exchange=row.exchange, tradingsymbol=row.tradingsymbol, broker_token=row.broker_token)
        for row in found.values()
    ]
    prices = live.control.market()["prices"]
    told = {asked[quote.exchange, quote.broker_token]: quote.last_price for quote in client.quotes(listings)}
    assert told == {name: Decimal(prices[key]["last"]) for name, key in SIMULATED.items()}


@pytest.fixture
def wire(slug: str, alice: User, brokers: SimulatedBrokers) -> PriceWire:
    kind = registry.load(slug).price_stream
    assert kind is not None
    return PriceWire(slug, kind, alice, brokers)


@pytest.mark.parametrize("slug", STREAMED)
def test_it_is_streamed_under_our_number(wire: PriceWire, slug: str, control: Control) -> None:
    wanted = [index for index in SHOWN if wire.stream.can_stream(streamed(index))]
    assert len(wanted) == STREAMED[slug]
    if not wanted:
        return
    with wire.opened():
        wire.say(wire.stream.subscribe([streamed(index) for index in wanted]))
        for index in wanted:
            key = SIMULATED[index.name]
            before = control.market()["prices"][key]
            price = Decimal(before["last"]) + Decimal("0.05")
            control.set_price(index.exchange, str(price), symbol=index.name)
            tick = wire.price_of(streamed(index), price)
            assert tick.close_price in (Decimal(before["close"]), None)  # Groww's message has the level alone
            assert (tick.volume, tick.bids, tick.asks) == (None, (), ()) or slug == "angel_one"


@pytest.mark.parametrize("slug", STREAMED)
def test_an_index_that_nobody_knows_is_not_streamed_under_a_share_s_number(slug: str, wire: PriceWire) -> None:
    unknown = Streamed(Exchange.NSE, "2885", index_name="Nifty Nobody")
    if slug in ("upstox", "fyers"):  # whose names are made of the index's own
        assert wire.stream.can_stream(unknown)
    else:
        assert not wire.stream.can_stream(unknown)
