"""What is to be streamed, and by which connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar
from uuid import UUID, uuid5

import msgspec
import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from brokers import registry, vault
from brokers import services as services_of_brokers
from brokers.domain import Exchange, Streamed
from brokers.fyers.stream import FyersPriceStream
from brokers.models import BrokerApp, BrokerConnection
from brokers.secret import Secret
from brokers.shared import redis
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import PriceStream, StreamLimits
from brokers.zerodha.stream import ZerodhaStream
from market.feed import FeedState
from market.feed_states import Told
from market.masters import load_master
from portfolio import services
from portfolio.wanted import UNFED_FOR, Candidate, Rest, Wishes, spread, unfed_of
from tests.people import connect

SPACE = UUID(int=0)
INFY = "INE009A01021"


class Narrow(ZerodhaStream):
    limits: ClassVar[StreamLimits] = StreamLimits(instruments=3, batch=3)


class NoBonds(FyersPriceStream):
    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        return not wanted.exchange_token.startswith("9")


def candidate(name: str, kind: type[PriceStream] = ZerodhaStream, *, is_well: bool = True) -> Candidate:
    return Candidate(uuid5(SPACE, name), kind, is_well)


def share(number: int) -> Streamed:
    return Streamed(Exchange.NSE, str(number), isin=f"INE{number:06}010")


SHARES = [share(number) for number in range(100, 200)]
FOUR = [candidate(name) for name in ("one", "two", "three", "four")]


def feeds(asked: dict[UUID, frozenset[Streamed]]) -> Counter[Streamed]:
    return Counter(each for mine in asked.values() for each in mine)


class TestSpread:
    def test_two_connections_for_each_and_no_more(self) -> None:
        assert set(feeds(spread(FOUR, SHARES)).values()) == {2}

    def test_one_connection_streams_all(self) -> None:
        assert spread(FOUR[:1], SHARES) == {FOUR[0].key: frozenset(SHARES)}

    def test_nobody_streams_nothing(self) -> None:
        assert spread([], SHARES) == {}

    def test_evenly(self) -> None:
        assert all(30 <= len(mine) <= 70 for mine in spread(FOUR, SHARES).values())

    def test_within_the_limit_and_first_choices_come_first(self) -> None:
        narrow, wide = candidate("narrow", Narrow), candidate("wide")
        asked = spread([narrow, wide], SHARES[:10])
        assert len(asked[narrow.key]) == 3
        assert asked[wide.key] == frozenset(SHARES[:10])

    def test_little_room_is_for_those_that_nobody_else_streams(self) -> None:
        asked = spread([candidate("one", Narrow), candidate("two", Narrow)], SHARES[:6])
        assert set(feeds(asked).values()) == {1}

    def test_only_brokers_that_have_a_name_for_it(self) -> None:
        bond, fyers = share(912), candidate("fyers", NoBonds)
        asked = spread([fyers, FOUR[0]], [bond, SHARES[0]])
        assert asked[fyers.key] == frozenset([SHARES[0]])
        assert bond in asked[FOUR[0].key]

    def test_feeds_that_are_down_are_the_last_choice(self) -> None:
        down = [replace(FOUR[0], is_well=False), *FOUR[1:]]
        assert spread(down, SHARES)[FOUR[0].key] == frozenset()
        alone = [replace(FOUR[0], is_well=False), FOUR[1]]
        assert spread(alone, SHARES)[FOUR[0].key] == frozenset(SHARES)

    @given(st.sets(st.sampled_from(SHARES), min_size=1), st.sampled_from(SHARES))
    def test_another_instrument_moves_none_of_the_others(self, held: set[Streamed], another: Streamed) -> None:
        before, after = spread(FOUR, held), spread(FOUR, held | {another})
        assert {key: mine - {another} for key, mine in after.items()} == {
            key: mine - {another} for key, mine in before.items()
        }


@pytest.fixture
def listed(alices: dict[str, BrokerConnection], brokers: SimulatedBrokers, settings: object) -> Wishes:
    with_masters(settings, brokers)
    loaded = load_master(broker_type="upstox", now=timezone.now())
    assert loaded is not None
    assert loaded.outcome == "LOADED"
    return Wishes()


def with_masters(settings: object, brokers: SimulatedBrokers) -> None:
    known: dict[str, dict[str, str]] = settings.BROKERS  # type: ignore[attr-defined]
    settings.BROKERS = {  # type: ignore[attr-defined]
        slug: each | {"master_url": brokers.brokers[slug]["master_url"], "stream_url": "ws://127.0.0.1:1"}
        for slug, each in known.items()
    }


def all_of(wanted: Sequence[frozenset[Streamed]]) -> frozenset[Streamed]:
    return frozenset[Streamed]().union(*wanted)


class TestWishes:
    def test_what_every_account_holds_at_both_exchanges(
        self, alice: User, alices: dict[str, BrokerConnection], listed: Wishes
    ) -> None:
        services.refresh(alice, now=timezone.now())
        wanted = listed.wanted([alice.pk], timezone.now())
        assert set(wanted) == {row.pk for row in alices.values()}
        assert listed.owners == dict.fromkeys(wanted, alice.pk)
        asked = all_of([each.instruments for each in wanted.values()])
        infy = {each.exchange: each.exchange_token for each in asked if each.isin == "INE009A01021"}
        assert infy == {Exchange.NSE: "1594", Exchange.BSE: "500209"}
        assert any(each.exchange is Exchange.NFO for each in asked)  # contracts by the exchange's own number
        assert {each.base_urls.prices for each in wanted.values()} == {"ws://127.0.0.1:1"}

    def test_a_share_at_a_broker_without_a_stream_is_streamed_by_another(
        self, alice: User, listed: Wishes, brokers: SimulatedBrokers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mute, load = replace(registry.load("groww"), price_stream=None), registry.load
        monkeypatch.setattr(registry, "load", lambda slug: mute if slug == "groww" else load(slug))
        groww = connect(alice, "groww", brokers)
        services.refresh(alice, now=timezone.now())
        own = {
            holding.isin
            for source in services.fetched_sources(alice, now=timezone.now())[0]
            if source.connection_id == str(groww.pk)
            for holding in (source.portfolio.holdings if source.portfolio else ())
        }
        wanted = listed.wanted([alice.pk], timezone.now())
        assert groww.pk not in wanted
        assert own - {None}
        assert own - {None} <= {each.isin for each in all_of([each.instruments for each in wanted.values()])}

    def test_a_broker_that_punishes_haste_is_given_its_pause(
        self, alice: User, listed: Wishes, brokers: SimulatedBrokers
    ) -> None:
        groww = connect(alice, "groww", brokers)
        pauses = {key: each.least_pause for key, each in listed.wanted([alice.pk], timezone.now()).items()}
        assert pauses.pop(groww.pk) >= 10
        assert set(pauses.values()) == {0}

    def test_not_after_the_session_s_end_nor_while_a_stream_rests(
        self, alice: User, alices: dict[str, BrokerConnection], listed: Wishes
    ) -> None:
        now = timezone.now()
        zerodha, upstox = alices["zerodha"].pk, alices["upstox"].pk
        session = alices["zerodha"].session
        assert session is not None
        listed.resting[zerodha] = Rest(session, now + timedelta(seconds=60))
        assert set(listed.wanted([alice.pk], now)) == {upstox}
        assert set(listed.wanted([alice.pk], now + timedelta(seconds=61))) == {zerodha, upstox}
        BrokerConnection.objects.filter(pk=upstox).update(token_expires_at=now)
        assert set(listed.wanted([alice.pk], now + timedelta(seconds=61))) == {zerodha}

    def test_a_login_anew_ends_the_rest(
        self, alice: User, alices: dict[str, BrokerConnection], listed: Wishes, brokers: SimulatedBrokers
    ) -> None:
        now = timezone.now()
        session = alices["zerodha"].session
        assert session is not None
        listed.resting[alices["zerodha"].pk] = Rest(session, now + timedelta(seconds=60))
        again = connect(alice, "zerodha", brokers)
        assert again.pk in listed.wanted([alice.pk], now)

    def test_nobody_watches(self, listed: Wishes) -> None:
        assert listed.wanted([], timezone.now()) == {}

    def test_secrets_are_decrypted_once_for_each_session(
        self, alice: User, alices: dict[str, BrokerConnection], listed: Wishes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = listed.wanted([alice.pk], timezone.now())
        decrypted: list[str] = []
        decrypt = vault.decrypt

        def noted(text: str, context: str) -> Secret:
            decrypted.append(text)
            return decrypt(text, context)

        monkeypatch.setattr(vault, "decrypt", noted)
        assert listed.wanted([alice.pk], timezone.now()) == before
        assert decrypted == []
        zerodha = alices["zerodha"].pk
        BrokerConnection.objects.filter(pk=zerodha).update(session_number=F("session_number") + 1)
        assert listed.wanted([alice.pk], timezone.now()) == before
        assert decrypted
        decrypted.clear()
        services_of_brokers.store_app(user=alice, broker_type="zerodha", fields={"api_key": "new", "api_secret": "new"})
        assert listed.wanted([alice.pk], timezone.now())[zerodha].app.api_key == Secret("new")
        BrokerApp.objects.filter(user=alice, broker_type="zerodha").delete()
        assert zerodha not in listed.wanted([alice.pk], timezone.now())


NSE_ONE, BSE_ONE = (
    Streamed(Exchange.NSE, "1", isin="INE000001010"),
    Streamed(Exchange.BSE, "500001", isin="INE000001010"),
)
BSE_TWO = Streamed(Exchange.BSE, "500002", isin="INE000002010")
OPTION = Streamed(Exchange.NFO, "70001")


class TestUnfed:
    def test_a_share_by_one_listing_and_every_contract(self) -> None:
        assert unfed_of([BSE_ONE, NSE_ONE, BSE_TWO], [OPTION], set()) == {NSE_ONE, BSE_TWO, OPTION}

    def test_a_share_that_streams_at_either_exchange_is_fed(self) -> None:
        assert unfed_of([BSE_ONE, NSE_ONE, BSE_TWO], [OPTION], {BSE_ONE, OPTION}) == {BSE_TWO}

    def test_without_a_living_feed_every_broker_that_has_a_name_may_be_asked(
        self, alice: User, alices: dict[str, BrokerConnection], listed: Wishes
    ) -> None:
        """Only Upstox's master is loaded here; nothing is asked for before the feeds have had their time."""
        services.refresh(alice, now=timezone.now())
        now = timezone.now()
        zerodha, upstox = alices["zerodha"].pk, alices["upstox"].pk
        assert not any(each.polled for each in listed.wanted([alice.pk], now).values())
        wanted = listed.wanted([alice.pk], now + UNFED_FOR)
        assert wanted[zerodha].polled == frozenset()
        infy = {each.wanted.exchange: each.listing for each in wanted[upstox].polled if each.wanted.isin == INFY}
        assert {exchange: each.broker_token for exchange, each in infy.items()} == {Exchange.NSE: f"NSE_EQ|{INFY}"}
        assert any(each.wanted.exchange is Exchange.NFO for each in wanted[upstox].polled)

    def test_what_a_living_feed_tells_is_not_asked_for(
        self, alice: User, alices: dict[str, BrokerConnection], listed: Wishes
    ) -> None:
        services.refresh(alice, now=timezone.now())
        now = timezone.now()
        listed.wanted([alice.pk], now)
        for connection in alices.values():
            told = Told(FeedState.LIVE, now)
            redis().set(f"feed:{connection.pk}", msgspec.json.encode(told), ex=60)
        wanted = listed.wanted([alice.pk], now + UNFED_FOR)
        assert not any(each.polled for each in wanted.values())

    def test_an_account_without_a_stream_is_wanted_where_it_may_be_asked(
        self,
        alice: User,
        alices: dict[str, BrokerConnection],
        listed: Wishes,
        brokers: SimulatedBrokers,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        groww = connect(alice, "groww", brokers)
        mute, load = replace(registry.load("groww"), price_stream=None), registry.load
        monkeypatch.setattr(registry, "load", lambda slug: mute if slug == "groww" else load(slug))
        assert (loaded := load_master(broker_type="groww", now=timezone.now())) is not None
        assert loaded.outcome == "LOADED"
        services.refresh(alice, now=timezone.now())
        now = timezone.now()
        assert groww.pk not in listed.wanted([alice.pk], now)
        wanted = listed.wanted([alice.pk], now + UNFED_FOR)[groww.pk]
        assert INFY in {each.wanted.isin for each in wanted.polled}
