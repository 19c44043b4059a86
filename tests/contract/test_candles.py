"""The past as every broker that tells it tells it: whole days, exact, and its refusals for what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Any

import pytest

from brokers import registry
from brokers.base import Broker, BrokerClient
from brokers.domain import Candle, ConnectionStatus, Exchange, Instrument, Listing
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    FeedEnded,
    NotSupported,
    RateLimited,
    RequestRefused,
    SessionEnded,
)
from brokers.simulation.candles import OLDEST, bars
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.transport import Deadline
from brokers.wire import IST
from tests.contract.live import LiveBroker
from tests.contract.recorded import NOW

# Brokers that tell daily prices, each with a name that it does not know.
UNKNOWN = {
    "zerodha": "1",
    "fyers": "NSE:NOSUCH-EQ",
    "angel_one": "1",
    "groww": "NSE_NOSUCH",
    "iifl": "1",
    "iifl_capital": "1",
}
TELLING = tuple(UNKNOWN)
# Those whose name for a contract cannot be made of a listing's.
WITHOUT_CONTRACTS = ("groww",)
# Those whose prices come from an application of their own, which logs in by itself.
WITH_ANOTHER_SESSION = ("iifl",)
SILENT = ("upstox",)
# What their pages call the Nifty 50.
NIFTY = {
    "zerodha": ("NIFTY 50", "256265"),
    "fyers": ("NIFTY50-INDEX", "NSE:NIFTY50-INDEX"),
    "angel_one": ("Nifty 50", "99926000"),
    "groww": ("NIFTY", "NSE_NIFTY"),
    "iifl": ("NIFTY 50", "26000"),
}
NIFTY_50 = "NSE:NIFTY 50"
TRADED = ("NSE:INFY", "BSE:SBIN", "NFO:NIFTY26DEC27000CE")
TODAY = NOW.astimezone(IST).date()
FRIDAY, MONDAY, LAST_MONDAY = date(2026, 11, 20), date(2026, 10, 5), date(2026, 11, 16)
LARGEST_MASTER = 1 << 26

telling = pytest.mark.parametrize("slug", TELLING)


@pytest.fixture(scope="module")
def masters() -> dict[str, dict[tuple[Exchange, str], Instrument]]:
    """What was read of each broker's master, by exchange and the exchange's own number."""
    return {}


@pytest.fixture
def client(live: LiveBroker) -> BrokerClient:
    return live.client(live.log_in())


@pytest.fixture
def named(live: LiveBroker, client: BrokerClient, masters: dict[str, Any]) -> Any:
    """Gives the name by which a broker's own master calls what trades."""
    if live.slug not in masters:
        masters[live.slug] = {
            (each.exchange, str(each.exchange_token)): each for each in listed(live, client) if each.exchange_token
        }

    def find(key: str) -> Listing:
        simulated = load_instruments()[key]
        found = masters[live.slug][Exchange(simulated.exchange), simulated.exchange_token]
        return Listing(
            exchange=found.exchange,
            tradingsymbol=found.tradingsymbol,
            broker_token=found.broker_token,
            isin=found.isin,
        )

    return find


def listed(live: LiveBroker, client: BrokerClient) -> Iterator[Instrument]:
    broker: Broker = live.broker
    master = broker.spec.master
    assert master is not None
    assert broker.master_rows is not None
    assert broker.instrument is not None
    for wanted in master.files:
        with TemporaryFile() as file:
            live.transport(Deadline(20)).download(
                wanted.method,
                wanted.path,
                json=wanted.json,
                into=file,
                largest=LARGEST_MASTER,
                authorization=client.authorization() if master.needs_session else None,
                keys=client.keys() if master.needs_session else None,
            )
            file.seek(0)
            for row in broker.master_rows(file):
                yield from broker.instrument(row)


def reach(client: BrokerClient) -> date:
    """The Monday that whole weeks before FRIDAY begin with: seven of them, or one where a call reaches no further."""
    return MONDAY if client.candle_days > (FRIDAY - MONDAY).days else LAST_MONDAY


def past(key: str, first: date, last: date) -> list[Candle]:
    market = Market(load_instruments())
    return [
        Candle(
            day=bar.day,
            open_price=bar.open,
            high_price=bar.high,
            low_price=bar.low,
            close_price=bar.close,
            volume=Decimal(bar.volume),
        )
        for bar in bars(market, market.instruments[key], first, last, today=TODAY)
    ]


@pytest.mark.parametrize("slug", registry.slugs())
def test_a_broker_says_whether_it_tells_candles(slug: str) -> None:
    broker = registry.load(slug)
    tells = slug in TELLING
    assert (broker.client_class.candle_days > 0) is tells
    assert ("candles" in broker.spec.capabilities.features) is tells


@pytest.mark.parametrize(
    ("slug", "key"),
    [(slug, key) for slug in TELLING for key in TRADED if slug not in WITHOUT_CONTRACTS or not key.startswith("NFO:")],
)
def test_days_are_whole_exact_and_in_their_order(client: BrokerClient, named: Any, key: str) -> None:
    first = reach(client)
    rows = client.candles(named(key), first, FRIDAY)
    assert rows.problems == ()
    assert list(rows.items) == past(key, first, FRIDAY)
    days = [candle.day for candle in rows.items]
    assert (days[0], days[-1], len(days)) == (first, FRIDAY, 35 if first == MONDAY else 5)
    assert days == sorted(set(days))


@telling
def test_the_last_day_closes_where_quotes_say_that_it_did(live: LiveBroker, client: BrokerClient, named: Any) -> None:
    listing = named("NSE:INFY")
    [candle] = client.candles(listing, FRIDAY, FRIDAY).items
    close = live.control.market()["prices"]["NSE:INFY"]["close"]
    assert (candle.day, candle.close_price) == (FRIDAY, Decimal(close))
    [quote] = client.quotes([listing])
    assert quote.close_price in (None, candle.close_price)


@telling
def test_today_is_absent_as_long_as_it_is_not_over(client: BrokerClient, named: Any) -> None:
    rows = client.candles(named("NSE:INFY"), FRIDAY, TODAY)
    assert [candle.day for candle in rows.items] == [FRIDAY]


@telling
def test_days_without_trades_are_absent_and_no_error(client: BrokerClient, named: Any) -> None:
    rows = client.candles(named("NSE:INFY"), date(2026, 11, 14), date(2026, 11, 15))  # a weekend
    assert (rows.items, rows.problems) == ((), ())


@telling
def test_as_many_days_as_the_client_says_fit_one_call(live: LiveBroker, client: BrokerClient, named: Any) -> None:
    listing = named("NSE:INFY")
    first = FRIDAY - timedelta(days=client.candle_days - 1)
    live.control.reset_counters()
    rows = client.candles(listing, first, FRIDAY)
    assert list(rows.items) == past("NSE:INFY", first, FRIDAY)
    assert rows.items[0].day <= max(first, OLDEST) + timedelta(days=3)
    assert list(live.control.counters(live.slug).values()) == [1]


@telling
def test_one_day_more_is_refused_by_the_broker(client: BrokerClient, named: Any) -> None:
    listing = named("NSE:INFY")
    with pytest.raises(RequestRefused) as caught:
        client.candles(listing, FRIDAY - timedelta(days=client.candle_days), FRIDAY)
    assert caught.value.connection_status is None


@telling
def test_an_unknown_instrument_is_refused_and_the_account_is_well(client: BrokerClient, named: Any, slug: str) -> None:
    listing = replace(named("NSE:INFY"), broker_token=UNKNOWN[slug], tradingsymbol="NOSUCH")
    with pytest.raises(RequestRefused) as caught:
        client.candles(listing, reach(client), FRIDAY)
    assert caught.value.connection_status is None
    assert client.profile().is_active


@pytest.mark.parametrize("slug", NIFTY)
def test_an_index_is_asked_by_the_name_of_the_brokers_page(client: BrokerClient, slug: str) -> None:
    symbol, token = NIFTY[slug]
    index = Listing(exchange=Exchange.NSE, tradingsymbol=symbol, broker_token=token)
    first = reach(client)
    assert list(client.candles(index, first, FRIDAY).items) == past(NIFTY_50, first, FRIDAY)


@telling
def test_a_call_counts_as_history(live: LiveBroker, client: BrokerClient, named: Any) -> None:
    listing = named("NSE:INFY")
    live.control.reset_counters()
    client.candles(listing, reach(client), FRIDAY)
    asked = live.control.counters(live.slug)
    spec = live.broker.spec
    assert {spec.rate_class(*request.split(" ", 1))[0]: calls for request, calls in asked.items()} == {"history": 1}
    assert any(limit.counts("history") for limit in spec.capabilities.rate_limits)


@telling
def test_the_shape_of_a_reply_is_kept_without_the_instrument(client: BrokerClient, named: Any) -> None:
    client.candles(named("NSE:INFY"), reach(client), FRIDAY)
    noted = dict(client.shapes)
    client.candles(named("BSE:SBIN"), reach(client), FRIDAY)
    assert (len(noted), dict(client.shapes)) == (1, noted)


@pytest.mark.parametrize("slug", WITHOUT_CONTRACTS)
def test_a_contract_without_a_name_of_the_brokers_is_not_asked_for(
    live: LiveBroker, client: BrokerClient, named: Any
) -> None:
    listing = named("NFO:NIFTY26DEC27000CE")
    live.control.reset_counters()
    with pytest.raises(NotSupported) as caught:
        client.candles(listing, reach(client), FRIDAY)
    assert (caught.value.code, caught.value.connection_status) == ("not_supported", None)
    assert live.control.counters(live.slug) == {}


@pytest.mark.parametrize("slug", [slug for slug in TELLING if slug not in WITH_ANOTHER_SESSION])
@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_dead_token_ends_the_session(live: LiveBroker, client: BrokerClient, named: Any, end: str) -> None:
    listing = named("NSE:INFY")
    if end == "expired":
        live.control.set_fault(live.slug, "expired_token")
    else:
        live.control.revoke(live.slug)
    with pytest.raises(SessionEnded) as caught:
        client.candles(listing, reach(client), FRIDAY)
    assert caught.value.connection_status is ConnectionStatus.TOKEN_EXPIRED


@pytest.mark.parametrize("slug", WITH_ANOTHER_SESSION)
def test_another_session_that_died_is_told_apart_and_never_ends_the_account(
    live: LiveBroker, client: BrokerClient, named: Any
) -> None:
    """And nobody who reads logs in for it: that would end everybody else's."""
    listing = named("NSE:INFY")
    live.control.revoke(live.slug)
    live.control.reset_counters()
    with pytest.raises(FeedEnded) as caught:
        client.candles(listing, reach(client), FRIDAY)
    assert caught.value.connection_status is None
    assert [call for call in live.control.counters(live.slug) if "login" in call] == []


@telling
@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("rate_limit", RateLimited, ConnectionStatus.RATE_LIMITED),
        ("maintenance", BrokerUnavailable, ConnectionStatus.MAINTENANCE),
        ("server_error", BrokerUnavailable, ConnectionStatus.ERROR),
    ],
)
def test_an_outage_is_told_and_is_never_an_empty_past(
    live: LiveBroker, client: BrokerClient, named: Any, kind: str, error: type[BrokerError], status: ConnectionStatus
) -> None:
    listing = named("NSE:INFY")
    live.control.set_fault(live.slug, kind)
    with pytest.raises(error) as caught:
        client.candles(listing, reach(client), FRIDAY)
    assert (caught.value.retryable, caught.value.connection_status) == (True, status)
    live.control.clear_faults(live.slug)
    assert client.candles(listing, reach(client), FRIDAY).items


@telling
def test_it_is_asked_once_more_when_the_connection_breaks(live: LiveBroker, client: BrokerClient, named: Any) -> None:
    listing = named("NSE:INFY")
    live.control.reset_counters()
    live.control.set_fault(live.slug, "drop_connection", count=1)
    assert client.candles(listing, reach(client), FRIDAY).items
    assert list(live.control.counters(live.slug).values()) == [2]


@pytest.mark.parametrize("slug", SILENT)
def test_a_broker_that_tells_none_says_so_before_any_call(live: LiveBroker, client: BrokerClient, named: Any) -> None:
    listing = named("NSE:INFY")
    live.control.reset_counters()
    with pytest.raises(NotSupported) as caught:
        client.candles(listing, reach(client), FRIDAY)
    assert (caught.value.code, caught.value.connection_status) == ("not_supported", None)
    assert live.control.counters(live.slug) == {}
