"""What stands at the head of every page: the indices, and the hours of the segments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.conf import settings as known_settings
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from redis.asyncio import Redis

from brokers.domain import Exchange, InstrumentKind, Segment, Streamed
from brokers.shared import redis
from brokers.wire import IST
from market.indices import INDICES, SHOWN, known
from market.models import Instrument, MarketDay
from market.pricing import Price
from market.publishing import ALIVE, PricePublisher
from market.strip import Level, LevelState, Watched, levels, segment_hours, strip

PATH = "/api/v1/market/indices"
NOON = datetime(2026, 11, 26, 12, 0, tzinfo=IST)
TOLD_AT = datetime(2026, 11, 26, 6, 29, 58, tzinfo=UTC)
NIFTY = Price(Exchange.NSE, "26000", Decimal("26171.45"), Decimal("26104.15"), TOLD_AT, "zerodha")
BANK = Price(Exchange.NSE, "26009", Decimal("60432.50"), None, TOLD_AT, "groww", asked=True)
SENSEX = Price(Exchange.BSE, "1", Decimal("85100.98"), Decimal("85231.40"), TOLD_AT, "upstox", stale=True)


@pytest.fixture(autouse=True)
def empty(settings: Any) -> Iterator[None]:
    settings.MARKET_AROUND_THE_CLOCK = False
    redis().flushdb()
    yield
    redis().flushdb()


@pytest.fixture
async def published() -> None:
    client: Redis = Redis.from_url(known_settings.CACHES["default"]["LOCATION"])
    publisher = PricePublisher(client, "test")
    for price in (NIFTY, BANK, SENSEX):
        publisher.put(price)
    await publisher.flush()
    await client.set(ALIVE, "test")  # for as long as the test takes
    await client.aclose()


def listed(name: str) -> int:
    index = known("BSE" if name == "SENSEX" else "NSE", name)
    assert index is not None
    row = Instrument.objects.create(
        exchange=index.exchange,
        segment=Segment.EQUITY,
        kind=InstrumentKind.INDEX,
        identity=index.identity,
        tradingsymbol=name,
        exchange_token=index.exchange_token,
        first_seen_on=NOON.date(),
        last_seen_on=NOON.date(),
        rank=0,
        words=name,
    )
    return row.pk


class TestIndices:
    def test_the_answer_by_heart(self, published: None, as_alice: Client) -> None:
        pk = listed("NIFTY 50")
        with time_machine.travel(NOON, tick=False):
            answer = as_alice.get(PATH)
        assert answer.status_code == 200, answer.content
        told = answer.json()
        assert told["as_of"] == "2026-11-26T06:30:00Z"
        assert told["indices"][0] == {
            "name": "NIFTY 50",
            "symbol": "NIFTY",
            "exchange": "NSE",
            "instrument": "NSE:26000",
            "instrument_id": pk,
            "last_price": "26171.45",
            "close_price": "26104.15",
            "change": "67.3",
            "change_percent": "0.26",
            "as_of": "2026-11-26T06:29:58Z",
            "source": "zerodha",
            "state": "LIVE",
            "reason": None,
        }
        assert [each["name"] for each in told["indices"]] == ["NIFTY 50", "NIFTY BANK", "SENSEX", "INDIA VIX"]
        assert told["segments"][0] == {
            "segment": "EQUITY",
            "exchange": "NSE",
            "is_open": True,
            "phase": "CONTINUOUS",
            "words": "Open",
            "coming": "Closes 15:30",
            "changes_at": "2026-11-26T10:00:00Z",
        }

    @pytest.mark.django_db
    def test_each_is_as_live_as_who_tells_it(self, published: None) -> None:
        nifty, bank, sensex, vix = levels(now=NOON)
        assert (nifty.state, nifty.reason) == (LevelState.LIVE, None)
        assert bank.state is LevelState.ASKED
        assert bank.reason == "No stream tells it: Groww is asked every few seconds."
        assert (bank.change, bank.change_percent) == (None, None)
        assert (sensex.state, sensex.change_percent) == (LevelState.STALE, Decimal("-0.15"))
        assert (vix.state, vix.last_price, vix.as_of) == (LevelState.UNKNOWN, None, None)
        assert vix.reason == "No broker's list of instruments that was read names this index."

    def test_a_change_of_next_to_nothing_has_no_sign(self) -> None:
        level = Level(
            name="NIFTY 50",
            symbol="NIFTY",
            exchange=Exchange.NSE,
            instrument="NSE:26000",
            instrument_id=None,
            last_price=Decimal("26104.10"),
            close_price=Decimal("26104.15"),
        )
        assert str(level.change_percent) == "0.00"

    @pytest.mark.django_db
    def test_what_is_listed_and_was_never_told(self) -> None:
        listed("INDIA VIX")
        assert levels(now=NOON)[3].reason == "None of the connected brokers has told it yet."

    @pytest.mark.django_db
    def test_which_instruments_they_are_is_asked_once(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        pks = [listed(index.name) for index in SHOWN]
        with django_assert_num_queries(4):
            assert [each.instrument_id for each in strip(now=NOON).indices] == pks
        with django_assert_num_queries(3):
            assert [each.instrument_id for each in strip(now=NOON).indices] == pks

    @pytest.mark.django_db
    def test_in_a_closed_market_the_last_level_is_no_fault(self, published: None) -> None:
        evening = NOON.replace(hour=20)
        assert [each.state for each in levels(now=evening)[:3]] == [LevelState.CLOSED] * 3

    @pytest.mark.django_db
    def test_when_nobody_publishes_every_level_is_old(self, published: None) -> None:
        redis().delete(ALIVE)
        assert {each.state for each in levels(now=NOON)[:3]} == {LevelState.STALE}

    @pytest.mark.django_db
    def test_without_redis_they_are_unknown_and_the_hours_are_not(self, settings: Any) -> None:
        here = settings.CACHES
        settings.CACHES = {**here, "default": {**here["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
        told = strip(now=NOON)
        settings.CACHES = here
        assert {each.reason for each in told.indices} == {
            "Prices cannot be read just now; they come back by themselves."
        }
        assert told.segments[0].words == "Open"

    def test_only_for_who_is_signed_in(self, client: Client, db: None) -> None:
        assert client.get(PATH).status_code == 401


def hours(moment: datetime) -> dict[str, tuple[str, str]]:
    return {each.segment: (each.words, each.coming) for each in segment_hours(now=moment)}


@pytest.mark.django_db
class TestHours:
    @pytest.mark.parametrize(
        ("moment", "equity"),
        [
            ("2026-11-26 08:30", ("Closed", "Opens 09:15")),
            ("2026-11-26 09:07", ("Pre-open", "Opens 09:15")),
            ("2026-11-26 09:15", ("Open", "Closes 15:30")),
            ("2026-11-26 15:29", ("Open", "Closes 15:30")),
            ("2026-11-26 15:55", ("After the close", "Opens Fri 09:15")),
            ("2026-11-27 20:00", ("Closed", "Opens Mon 09:15")),
            ("2026-11-24 11:00", ("Closed: Guru Nanak Jayanti", "Opens Wed 09:15")),
            ("2026-11-10 11:00", ("Closed: Diwali, Balipratipada", "Opens Wed 09:15")),
        ],
    )
    def test_of_shares(self, moment: str, equity: tuple[str, str]) -> None:
        assert hours(datetime.fromisoformat(moment).replace(tzinfo=IST))["EQUITY"] == equity

    def test_each_segment_has_its_own(self) -> None:
        told = hours(NOON.replace(hour=15, minute=35))
        assert told["EQUITY"][0] == "Closed"
        assert told["FNO"] == ("Open", "Closes 15:40")
        assert told["CURRENCY"] == ("Open", "Closes 17:00")
        assert told["COMMODITY"] == ("Open", "Closes 23:55")

    def test_a_day_that_nobody_knows_is_not_open(self) -> None:
        MarketDay.objects.filter(exchange=Exchange.NSE).delete()
        equity = segment_hours(now=NOON)[0]
        assert (equity.is_open, equity.phase, equity.words, equity.coming) == (None, None, "Hours not known", "")

    def test_an_opening_beyond_the_week_has_its_date(self) -> None:
        MarketDay.objects.filter(exchange=Exchange.NSE, date__range=(date(2026, 11, 26), date(2026, 12, 6))).update(
            kind="CLOSED", sessions=[]
        )
        assert segment_hours(now=NOON)[0].coming == "Opens 7 Dec 09:15"


class TestNames:
    @pytest.mark.parametrize(
        ("exchange", "symbol", "name"),
        [
            ("NSE", "NIFTY 50", "NIFTY 50"),
            ("NSE", "Nifty 50", "NIFTY 50"),
            ("NSE", "NIFTY", "NIFTY 50"),
            ("NSE", "NIFTY50-INDEX", "NIFTY 50"),
            ("NSE", "BANKNIFTY", "NIFTY BANK"),
            ("NSE", "NIFTYBANK-INDEX", "NIFTY BANK"),
            ("NSE", "INDIAVIX", "INDIA VIX"),
            ("BSE", "SENSEX-INDEX", "SENSEX"),
        ],
    )
    def test_however_a_broker_spells_it(self, exchange: str, symbol: str, name: str) -> None:
        found = known(exchange, symbol)
        assert found is not None
        assert found.name == name

    @pytest.mark.parametrize(("exchange", "symbol"), [("BSE", "NIFTY 50"), ("NSE", "NIFTY IT"), ("NSE", "SENSEX")])
    def test_others_are_nobody_s(self, exchange: str, symbol: str) -> None:
        assert known(exchange, symbol) is None

    def test_no_two_share_a_number(self) -> None:
        assert len({index.key for index in INDICES}) == len(INDICES)


@pytest.mark.django_db
class TestWatched:
    def test_what_a_master_lists(self) -> None:
        listed("NIFTY 50")
        listed("SENSEX")
        assert Watched().now(NOON) == {
            Streamed(Exchange.NSE, "26000", index_name="Nifty 50"),
            Streamed(Exchange.BSE, "1", index_name="SENSEX"),
        }

    def test_a_master_that_comes_later_is_heard_of_soon(self) -> None:
        watched = Watched()
        assert watched.now(NOON) == frozenset()
        for index in SHOWN:
            listed(index.name)
        assert watched.now(NOON) == frozenset()
        assert len(watched.now(NOON.replace(minute=1))) == len(SHOWN)
