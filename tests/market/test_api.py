"""Search, one instrument, and the state of the markets, as traders ask for them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers.domain import Exchange
from brokers.simulation.server import SimulatedBrokers
from market.models import Instrument, MarketDay
from tests.conftest import signed_in
from tests.market.conftest import NOW, Load, Publisher, for_fyers, option, share

SEARCH, STATUS = "/api/v1/market/instruments", "/api/v1/market/status"
RELIANCE, INFY = "INE002A01018", "INE009A01021"


def asked(client: Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(SEARCH, query)
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["instruments"]
    return found


def symbols(client: Client, **query: Any) -> list[str]:
    return [f"{hit['exchange']}:{hit['tradingsymbol']}" for hit in asked(client, **query)]


@pytest.fixture
def listed(publisher: Publisher, load: Load) -> None:
    """Seen the day before yesterday, so that one contract has expired since."""
    publisher.groww(
        share("RELIANCE", "500325", RELIANCE, exchange=Exchange.BSE, name="Reliance Industries Ltd."),
        share("RELIANCE", "2885", RELIANCE, name="Reliance Industries Ltd."),
        share("RELINFRA", "553", None, name="Reliance Infrastructure Ltd."),
        share("RPOWER", "15259", None, name="Reliance Power Ltd."),
        share("INFY", "1594", INFY, name="Infosys Ltd."),
        option(1500, "7001", underlying="RELIANCE"),
        option(1500, "7002", underlying="RELIANCE", expiry=date(2027, 1, 26)),
        option(1500, "7003", underlying="RELIANCE", expiry=date(2026, 11, 24)),
        option(27000, "50978"),
    )
    load("groww", now=NOW - timedelta(days=2))


@pytest.mark.usefixtures("listed")
class TestSearch:
    @pytest.fixture(autouse=True)
    def the_morning(self) -> Any:
        with time_machine.travel(NOW, tick=False):
            yield

    def test_the_symbol_then_what_begins_with_it_then_names(self, as_alice: Client) -> None:
        assert symbols(as_alice, q="reliance") == [
            "NSE:RELIANCE",
            "BSE:RELIANCE",
            "NFO:RELIANCE26DEC1500CE",
            "NFO:RELIANCE27JAN1500CE",
            "NSE:RELINFRA",
            "NSE:RPOWER",
        ]
        assert symbols(as_alice, q="REL")[:3] == ["NSE:RELIANCE", "NSE:RELINFRA", "BSE:RELIANCE"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"q": "infos"}, ["NSE:INFY"]),
            ({"q": "power rel"}, ["NSE:RPOWER"]),
            ({"q": INFY.lower()}, ["NSE:INFY"]),
            ({"q": RELIANCE}, ["NSE:RELIANCE", "BSE:RELIANCE"]),
            ({"q": "nifty 27000 ce dec"}, ["NFO:NIFTY26DEC27000CE"]),
            ({"q": "RELIANCE26NOV"}, []),  # it has expired
            ({"q": "reliance", "exchange": "BSE"}, ["BSE:RELIANCE"]),
            ({"q": "reliance", "segment": "FNO", "limit": 1}, ["NFO:RELIANCE26DEC1500CE"]),
            ({"q": "reliance", "kind": "OPTION", "expiry": "2027-01-26"}, ["NFO:RELIANCE27JAN1500CE"]),
            ({"q": "100%"}, []),
            ({"q": "_"}, []),
            ({"q": "a & b | !c:* 'd"}, []),
            ({"q": "ज़ी"}, []),
        ],
    )
    def test_other_ways_to_ask(self, query: dict[str, Any], expected: list[str], as_alice: Client) -> None:
        assert symbols(as_alice, **query) == expected

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"q": " "},
            {"q": "x" * 61},
            {"q": "x", "limit": 51},
            {"q": "x", "limit": 0},
            {"q": "x", "exchange": "LSE"},
            {"q": "x\0"},
            {"q": "x", "expiry": "soon"},
        ],
    )
    def test_nonsense_is_refused(self, query: dict[str, Any], as_alice: Client) -> None:
        answer = as_alice.get(SEARCH, query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")

    def test_each_hit_says_where_it_is_listed(self, as_alice: Client, publisher: Publisher, load: Load) -> None:
        publisher.fyers(for_fyers(share("INFY", "1594", INFY)))
        load("fyers")
        [hit] = asked(as_alice, q="INFY")
        assert hit["brokers"] == [
            {"broker_type": "groww", "tradingsymbol": "INFY", "broker_token": "NSE_INFY", "multiplier": "1"},
            {"broker_type": "fyers", "tradingsymbol": "INFY", "broker_token": "NSE:INFY-EQ", "multiplier": "1"},
        ]

    def test_one_instrument(self, as_alice: Client) -> None:
        [hit] = asked(as_alice, q="NIFTY26DEC27000CE")
        assert as_alice.get(f"{SEARCH}/{hit['id']}").json() == hit
        expected = {
            "exchange": "NFO", "segment": "FNO", "kind": "OPTION", "isin": None, "underlying": "NIFTY",
            "expiry": "2026-12-29", "strike": "27000", "option_type": "CE", "lot_size": "65", "tick_size": "0.05",
            "freeze_quantity": "1800", "succeeds": None, "ended_on": None, "banned": None,
        }  # fmt: skip
        assert {name: hit[name] for name in expected} == expected
        assert as_alice.get(f"{SEARCH}/{hit['id'] + 1000}").status_code == 404

    def test_a_search_asks_the_same_however_many_it_finds(
        self, as_alice: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_max_num_queries(10):  # two of them find the user
            assert len(asked(as_alice, q="r")) == 6


class TestPeople:
    @pytest.mark.parametrize("address", [f"{SEARCH}?q=x", f"{SEARCH}/1", STATUS])
    def test_traders_only(self, address: str, client: Client, as_sam: Client) -> None:
        assert client.get(address).status_code == 401
        assert as_sam.get(address).status_code == 403


class TestStatus:
    def test_the_state_of_every_market(self, as_alice: Client) -> None:
        with time_machine.travel("2026-11-26T15:22:00+05:30", tick=False):
            told = as_alice.get(STATUS).json()
        markets = {market["exchange"]: market for market in told["markets"]}
        assert list(markets) == ["NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO"]
        assert told["as_of"] == "2026-11-26T09:52:00Z"
        assert markets["NSE"]["closing_auction"] == {
            "exchange": "NSE", "is_open": True, "phase": "CAS", "until": "2026-11-26T09:55:00Z", "next_open": None,
        }  # fmt: skip
        assert markets["NSE"]["until"] == "2026-11-26T10:00:00Z"
        assert markets["NFO"]["until"] == "2026-11-26T10:10:00Z"
        assert markets["NFO"]["closing_auction"] is None

    def test_an_unknown_day_is_unknown(self, alice: User) -> None:
        with time_machine.travel("2027-01-04T11:00:00+05:30", tick=False):
            markets = signed_in(alice).get(STATUS).json()["markets"]
        assert {(market["is_open"], market["phase"], market["next_open"]) for market in markets} == {(None, None, None)}

    def test_what_support_enters_is_what_is_told(self, as_alice: Client) -> None:
        """The hours of Muhurat come by circular, days before."""
        with time_machine.travel("2026-11-08T18:20:00+05:30", tick=False):
            assert as_alice.get(STATUS).json()["markets"][0]["is_open"] is None
            sessions = [{"phase": "CONTINUOUS", "from": "18:15", "until": "19:15"}]
            MarketDay.objects.filter(exchange="NSE", date=date(2026, 11, 8)).update(sessions=sessions)
            told = as_alice.get(STATUS).json()["markets"][0]
        assert (told["is_open"], told["until"]) == (True, "2026-11-08T13:45:00Z")


def test_a_whole_demo_master_is_searched_in_order(load: Load, masters: SimulatedBrokers, as_alice: Client) -> None:
    load("upstox")
    with time_machine.travel(NOW, tick=False):
        found = asked(as_alice, q="NIFTY", limit=50)
        assert len(found) == 50
        assert [hit["kind"] for hit in found] == sorted(
            (hit["kind"] for hit in found), key=["INDEX", "EQUITY", "FUTURE", "OPTION"].index
        )
        assert symbols(as_alice, q="NIFTY", limit=50) == [f"{h['exchange']}:{h['tradingsymbol']}" for h in found]
        expiries = [hit["expiry"] for hit in found if hit["kind"] == "OPTION"]
        assert expiries == sorted(expiries)
    assert Instrument.objects.filter(last_seen_on__gt=timezone.localdate(NOW)).count() == 0
