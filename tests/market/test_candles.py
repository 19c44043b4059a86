"""The store of daily prices, filled through whoever is connected."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import connection as database
from django.db import transaction
from pytest_django import DjangoAssertNumQueries, Settings
from redis import Redis

from accounts.models import User
from brokers import governor, registry
from brokers.domain import Candle, ConnectionStatus, Exchange, Listing, RowProblem
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    NotSupported,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.models import BrokerConnection
from brokers.simulation.candles import bars
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Deadline
from market import tasks
from market.candle_calls import ACCOUNTS_PER_BROKER
from market.candle_models import CandleFill, DailyCandle, FillState
from market.candles import AT_ONCE, LEASE, MOST_CUT, Batch, want
from market.masters import load_master
from market.models import Instrument
from tests.market.candle_teller import (
    DAY,
    INFY,
    NOW,
    RELIANCE,
    TODAY,
    Tellers,
    candle,
    fails,
    fill,
    level,
    listed,
    weekdays,
)
from tests.people import connect

YEAR = TODAY - timedelta(days=400)
HOUR = timedelta(hours=1)
TOMORROW = NOW + DAY
BOTH = ("zerodha", "upstox")


@pytest.fixture
def tellers(alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch) -> Tellers:
    """Alice's two accounts are connected; neither tells anything yet."""
    BrokerConnection.objects.update(token_expires_at=None)
    found = Tellers(monkeypatch)
    for slug in registry.slugs():
        found.let(slug, None)
    return found


@pytest.fixture
def share(db: None) -> Instrument:
    return listed("RELIANCE", "2885", RELIANCE, *BOTH)


def row_of(share: Instrument) -> CandleFill:
    return CandleFill.objects.get(pk=share.pk)


def closes_of(share: Instrument) -> dict[date, Decimal]:
    return dict(DailyCandle.objects.filter(instrument=share).values_list("day", "close_price"))


class TestWhatIsWanted:
    def test_it_is_due_at_once_and_known_once(self, share: Instrument) -> None:
        assert want([share.pk, 999_999], now=NOW) == 1
        row = row_of(share)
        assert (row.state, row.next_due_at, row.refused, row.attempts) == (FillState.WAITING, NOW, {}, 0)
        assert want([share.pk], now=NOW + HOUR) == 0
        assert want([], now=NOW) == 0

    def test_wanted_again_it_keeps_its_turn(self, share: Instrument) -> None:
        want([share.pk], now=NOW)
        assert want([share.pk], now=NOW + 7 * HOUR) == 1
        assert (row_of(share).wanted_at, row_of(share).next_due_at) == (NOW + 7 * HOUR, NOW)

    def test_what_nobody_wanted_for_a_month_is_not_asked_for(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", level())
        want([share.pk], now=NOW - timedelta(days=31))
        assert fill() == Batch()
        assert tellers.calls == []
        want([share.pk], now=NOW)
        assert fill().filled == 1


class TestFilling:
    def test_at_first_a_year_and_more_in_pieces(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", level("1462.30"), days=150)
        want([share.pk], now=NOW)
        assert fill() == Batch(claimed=1, asked=1, filled=1)
        asked = [(first, last) for _, _, first, last in tellers.calls]
        assert asked[0][0] == YEAR
        assert asked[-1][1] == TODAY
        assert len(asked) == 3
        assert all(later[0] - before[1] == DAY for before, later in pairwise(asked))
        days = weekdays(YEAR, TODAY)
        assert closes_of(share) == dict.fromkeys(days, Decimal("1462.30"))
        row = row_of(share)
        assert (row.state, row.source, row.last_error_code, row.attempts) == (FillState.FILLED, "zerodha", "", 0)
        assert (row.covered_from, row.covered_until) == (YEAR, TODAY)
        assert (row.first_day, row.last_day, row.day_count) == (days[0], TODAY, len(days))
        assert row.next_due_at == datetime.fromisoformat("2026-11-27T18:00+05:30")
        one = DailyCandle.objects.get(instrument=share, day=TODAY)
        assert (one.source, one.volume, one.fetched_at) == ("zerodha", Decimal(1000), NOW)

    def test_then_each_evening_what_is_missing(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", level())
        want([share.pk], now=NOW)
        fill()
        tellers.calls.clear()
        assert fill(NOW + HOUR) == Batch()
        before = dict(DailyCandle.objects.values_list("day", "pk"))
        assert fill(TOMORROW).filled == 1
        assert tellers.calls == [("zerodha", "RELIANCE", TODAY - 10 * DAY, TODAY + DAY)]
        after = dict(DailyCandle.objects.values_list("day", "pk"))
        assert after == before | {TODAY + DAY: after[TODAY + DAY]}

    def test_a_day_that_is_not_over_is_not_asked_for(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", level())
        noon = datetime.fromisoformat("2026-11-26T12:00+05:30")
        want([share.pk], now=noon)
        fill(noon)
        assert tellers.calls[-1][3] == TODAY - DAY
        assert row_of(share).next_due_at == datetime.fromisoformat("2026-11-26T18:00+05:30")

    def test_after_a_long_absence_no_more_than_the_year(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", level())
        want([share.pk], now=NOW)
        fill()
        tellers.calls.clear()
        late = NOW + timedelta(days=900)
        want([share.pk], now=late)
        assert fill(late).filled == 1
        assert tellers.calls == [("zerodha", "RELIANCE", late.date() - timedelta(days=400), late.date())]

    def test_where_nobody_is_connected_nothing_is_claimed(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", level())
        want([share.pk], now=NOW)
        BrokerConnection.objects.update(status=ConnectionStatus.TOKEN_EXPIRED)
        assert fill() == Batch()
        assert row_of(share).next_due_at == NOW

    def test_nor_through_who_is_away_or_no_longer_here(
        self, tellers: Tellers, share: Instrument, alice: User, alices: dict[str, BrokerConnection]
    ) -> None:
        tellers.let("zerodha", level())
        want([share.pk], now=NOW)
        mine = BrokerConnection.objects.filter(pk=alices["zerodha"].pk)
        for change in ({"status": "ERROR"}, {"retry_after": NOW + HOUR}, {"token_expires_at": NOW}):
            with transaction.atomic():
                mine.update(**change)
                assert fill() == Batch()
                transaction.set_rollback(True)
        User.objects.filter(pk=alice.pk).update(is_active=False)
        assert fill() == Batch()
        assert tellers.calls == []

    def test_a_broker_that_tells_none_is_not_asked(self, tellers: Tellers, share: Instrument) -> None:
        want([share.pk], now=NOW)
        assert fill() == Batch()
        tellers.let("upstox", level())
        fill()
        assert tellers.asked() == [("upstox", "RELIANCE")]

    def test_nor_one_that_does_not_list_it(self, tellers: Tellers) -> None:
        tellers.let("zerodha", level())
        tellers.let("upstox", level())
        share = listed("INFY", "1594", INFY, "upstox")
        want([share.pk], now=NOW)
        fill()
        assert tellers.asked() == [("upstox", "INFY")]

    def test_who_lists_it_may_connect_later(self, tellers: Tellers) -> None:
        tellers.let("zerodha", level())
        tellers.let("groww", level())  # nobody is connected there
        share = listed("INFY", "1594", INFY, "groww")
        want([share.pk], now=NOW)
        fill()
        row = row_of(share)
        assert (row.state, row.last_error_code) == (FillState.WAITING, "no_connection")
        assert row.next_due_at == NOW + timedelta(minutes=5)

    def test_what_no_teller_lists_is_unsupported_until_a_master_does(self, tellers: Tellers) -> None:
        tellers.let("zerodha", level())
        share = listed("INFY", "1594", INFY)
        want([share.pk], now=NOW)
        fill()
        row = row_of(share)
        assert (row.state, row.last_error_code) == (FillState.UNSUPPORTED, "no_listing")
        assert row.next_due_at == NOW + timedelta(minutes=10)
        share.listings.create(broker_type="zerodha", broker_token="1", tradingsymbol="INFY", multiplier=1)
        assert fill(row.next_due_at).filled == 1
        assert row_of(share).state == FillState.FILLED

    def test_accounts_share_the_work(self, tellers: Tellers) -> None:
        tellers.let("zerodha", level())
        tellers.let("upstox", level())
        shares = [listed(f"S{n:02}", str(n), None, *BOTH) for n in range(2 * AT_ONCE + 3)]
        want([each.pk for each in shares], now=NOW)
        assert fill() == Batch(claimed=2 * AT_ONCE, asked=2 * AT_ONCE, filled=2 * AT_ONCE)
        told = [slug for slug, _ in tellers.asked()]
        assert (told.count("zerodha"), told.count("upstox")) == (AT_ONCE, AT_ONCE)
        assert fill(NOW + DAY / 24 / 60).filled == 3

    def test_an_account_is_asked_for_so_many_at_once(self, tellers: Tellers) -> None:
        """What only one of them lists waits for its next turn."""
        tellers.let("zerodha", level())
        tellers.let("upstox", level())
        shares = [listed(f"S{n:02}", str(n), None, "zerodha") for n in range(AT_ONCE + 1)]
        want([each.pk for each in shares], now=NOW)
        assert fill() == Batch(claimed=AT_ONCE + 1, asked=AT_ONCE, filled=AT_ONCE)
        [waiting] = CandleFill.objects.filter(state=FillState.WAITING)
        assert NOW < waiting.next_due_at <= NOW + timedelta(seconds=10)

    def test_of_many_accounts_at_one_broker_some_are_asked(
        self, tellers: Tellers, alices: dict[str, BrokerConnection]
    ) -> None:
        tellers.let("zerodha", level())
        mine = BrokerConnection.objects.get(pk=alices["zerodha"].pk)
        others = [
            BrokerConnection(
                user=mine.user, broker_type="zerodha", account_id=f"Z{n}", status=ConnectionStatus.TOKEN_EXPIRED
            )
            for n in range(9)
        ]
        for other in BrokerConnection.objects.bulk_create(others):
            other.access_token_encrypted = mine.access_token_encrypted
            other.status = ConnectionStatus.CONNECTED
            other.save()
        want([listed(f"S{n:02}", str(n), None, "zerodha").pk for n in range(5 * AT_ONCE)], now=NOW)
        assert fill().claimed == ACCOUNTS_PER_BROKER * AT_ONCE

    def test_where_nothing_is_due_nobody_is_looked_for(
        self, tellers: Tellers, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        tellers.let("zerodha", level())
        with django_assert_num_queries(1):
            assert fill() == Batch()

    def test_who_needs_many_calls_is_asked_where_nobody_else_can_be(self, tellers: Tellers) -> None:
        tellers.let("zerodha", level(), days=7)
        tellers.let("upstox", level(), days=2000)
        both, one = listed("RELIANCE", "2885", RELIANCE, *BOTH), listed("INFY", "1594", INFY, "zerodha")
        want([both.pk, one.pk], now=NOW)
        assert fill() == Batch(claimed=2, asked=2, filled=2)
        assert (row_of(both).source, row_of(one).source) == ("upstox", "zerodha")
        assert tellers.asked().count(("zerodha", "INFY")) == 58

    def test_piece_by_piece_it_goes_on_where_it_was_cut_short(self, tellers: Tellers, share: Instrument) -> None:
        """A budget that spares one call a batch, of a week each, still tells the year."""

        def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            if len(tellers.calls) % 2 == 0:
                raise BudgetSpent("No further call.", retry_after=100)
            return level()(listing, first, last)

        tellers.let("zerodha", tell, days=7)
        want([share.pk], now=NOW)
        now = NOW
        for _ in range(58):
            assert fill(now).asked == 1
            now += timedelta(seconds=20)
        row = row_of(share)
        assert (row.covered_until, row.attempts, row.source) == (TODAY, 0, "zerodha")
        assert closes_of(share).keys() == set(weekdays(YEAR, TODAY))

    def test_whose_series_it_is_goes_on_telling_it(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("upstox", level())
        want([share.pk], now=NOW)
        fill()
        tellers.let("zerodha", level())
        fill(TOMORROW)
        assert {slug for slug, _ in tellers.asked()} == {"upstox"}

    def test_the_clock_of_the_worker(self, tellers: Tellers, share: Instrument, time_machine: object) -> None:
        time_machine.move_to(NOW, tick=False)  # type: ignore[attr-defined]
        tellers.let("zerodha", level())
        want([share.pk], now=NOW)
        tasks.fill_candles()
        assert row_of(share).state == FillState.FILLED


class TestLateCandles:
    def test_the_day_may_come_an_hour_later(self, tellers: Tellers, share: Instrument) -> None:
        """A broker that has not made it by then is asked thrice more, and the next evening heals it."""
        tellers.let("zerodha", lambda listing, first, last: level()(listing, first, min(last, TODAY - DAY)))
        want([share.pk], now=NOW)
        fill()
        for hours in (1, 2, 3):
            assert row_of(share).next_due_at == NOW + hours * HOUR
            fill(NOW + hours * HOUR)
        assert row_of(share).next_due_at == datetime.fromisoformat("2026-11-27T18:00+05:30")
        assert row_of(share).last_day == TODAY - DAY
        tellers.let("zerodha", level())
        fill(TOMORROW)
        assert {TODAY, TODAY + DAY} <= closes_of(share).keys()

    def test_a_gap_within_the_last_days_is_closed(self, tellers: Tellers, share: Instrument) -> None:
        gap = TODAY - 3 * DAY
        tellers.let(
            "zerodha", lambda listing, first, last: [each for each in level()(listing, first, last) if each.day != gap]
        )
        want([share.pk], now=NOW)
        fill()
        assert gap not in closes_of(share)
        tellers.let("zerodha", level())
        fill(TOMORROW)
        assert gap in closes_of(share)


@pytest.mark.django_db(transaction=True)
class TestTwoWorkers:
    def test_each_row_is_one_workers(self, db: None) -> None:
        shares = [listed(f"S{n}", str(n), None) for n in range(5)]
        want([each.pk for each in shares], now=NOW)

        def claim(at_most: int) -> list[int]:
            try:
                rows = CandleFill.objects.claim(
                    NOW, lease=NOW + LEASE, wanted_since=NOW - timedelta(days=30), at_most=at_most
                )
                return [row.pk for row in rows]
            finally:
                database.close()

        with transaction.atomic(), ThreadPoolExecutor(1) as other:
            mine = [
                row.pk
                for row in CandleFill.objects.claim(
                    NOW, lease=NOW + LEASE, wanted_since=NOW - timedelta(days=30), at_most=3
                )
            ]
            theirs = other.submit(claim, 5).result(timeout=10)
        assert len(mine) == 3
        assert sorted(mine + theirs) == [each.pk for each in shares]
        assert claim(5) == []

    def test_what_gets_lost_comes_round_and_the_late_answer_changes_nothing(
        self, tellers: Tellers, share: Instrument
    ) -> None:
        """While one worker asks, its lease lapses and another tells it all."""
        want([share.pk], now=NOW)

        def slow(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            tellers.let("zerodha", level("100"))
            with ThreadPoolExecutor(1) as other:
                assert other.submit(elsewhere).result(timeout=10).filled == 1
            return [candle(TODAY, "999")]

        def elsewhere() -> Batch:
            try:
                return fill(NOW + LEASE)
            finally:
                database.close()

        tellers.let("zerodha", slow)
        assert fill() == Batch(claimed=1, asked=1, filled=0)
        assert set(closes_of(share).values()) == {Decimal(100)}
        assert row_of(share).state == FillState.FILLED


class TestFailures:
    def test_a_broker_that_does_not_answer_rests_and_another_is_asked(self, tellers: Tellers) -> None:
        shares = [listed(name, token, None, *BOTH) for name, token in (("INFY", "1"), ("TCS", "2"))]
        want([each.pk for each in shares], now=NOW)
        tellers.let("zerodha", fails(BrokerUnavailable("The broker did not answer.")))
        assert fill() == Batch(claimed=2, asked=1, filled=0)  # after the first it is left alone
        [failed] = CandleFill.objects.filter(state=FillState.FAILING)
        assert (failed.attempts, failed.last_error_code, failed.last_broker) == (1, "broker_unavailable", "zerodha")
        assert failed.next_due_at == NOW + timedelta(seconds=30)
        tellers.let("upstox", level())
        assert fill(NOW + timedelta(seconds=30)).filled == 2
        assert [slug for slug, _ in tellers.asked()] == ["zerodha", "upstox", "upstox"]

    def test_it_is_asked_later_and_later_and_well_again_all_is_forgotten(
        self, tellers: Tellers, share: Instrument
    ) -> None:
        tellers.let("zerodha", fails(BrokerUnavailable("The broker did not answer.")))
        want([share.pk], now=NOW)
        now, waits = NOW, []
        for _ in range(5):
            fill(now)
            waits.append((row_of(share).next_due_at - now).total_seconds())
            now += HOUR
        assert waits == [30, 60, 120, 240, 480]
        tellers.let("zerodha", level())
        fill(now)
        row = row_of(share)
        assert (row.state, row.attempts, row.last_error_code) == (FillState.FILLED, 0, "")

    def test_not_before_its_rest_is_over(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", fails(BrokerUnavailable("The broker did not answer.")))
        want([share.pk], now=NOW)
        fill()
        assert fill(NOW + timedelta(minutes=4)) == Batch()
        assert fill(NOW + timedelta(minutes=5)).claimed == 1

    def test_not_supported_is_remembered(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", fails(NotSupported("No daily prices of this.")))
        tellers.let("upstox", level())
        BrokerConnection.objects.filter(broker_type="upstox").update(status=ConnectionStatus.TOKEN_EXPIRED)
        want([share.pk], now=NOW)
        fill()
        assert row_of(share).refused["zerodha"]["code"] == "not_supported"
        BrokerConnection.objects.update(status=ConnectionStatus.CONNECTED)
        assert fill(NOW + HOUR).filled == 1
        fill(NOW + timedelta(days=1))
        assert [slug for slug, _ in tellers.asked()] == ["zerodha", "upstox", "upstox"]

    def test_where_nobody_else_lists_it_it_is_unsupported(self, tellers: Tellers) -> None:
        share = listed("INFY", "1594", INFY, "zerodha")
        tellers.let("zerodha", fails(NotSupported("No daily prices of this.")))
        want([share.pk], now=NOW)
        fill()
        fill(NOW + HOUR)
        row = row_of(share)
        assert (row.state, row.last_error_code) == (FillState.UNSUPPORTED, "not_supported")
        assert len(tellers.calls) == 1
        tellers.let("zerodha", level())
        for days in (2, 4, 6):
            fill(NOW + timedelta(days=days))
        assert len(tellers.calls) == 1
        assert fill(NOW + timedelta(days=8)).filled == 1

    def test_a_refusal_holds_for_a_day_and_one_instrument(self, tellers: Tellers) -> None:
        bad, good = listed("INFY", "1594", INFY, "zerodha"), listed("RELIANCE", "2885", RELIANCE, "zerodha")

        def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            if listing.tradingsymbol == "INFY":
                raise RequestRefused("No such number.")
            return level()(listing, first, last)

        tellers.let("zerodha", tell)
        want([bad.pk, good.pk], now=NOW)
        assert fill() == Batch(claimed=2, asked=2, filled=1)
        fill(NOW + HOUR)
        assert tellers.asked().count(("zerodha", "INFY")) == 1
        fill(NOW + 26 * HOUR)
        assert tellers.asked().count(("zerodha", "INFY")) == 2

    def test_an_app_without_daily_prices_is_left_alone_and_so_is_its_connection(
        self, tellers: Tellers, alices: dict[str, BrokerConnection]
    ) -> None:
        """Its status is for the checks to say: the account itself is well."""
        shares = [listed(f"S{n}", str(n), None, "zerodha") for n in range(3)]
        want([each.pk for each in shares], now=NOW)
        blocked = RequestRefused("Not with this app.", connection_status=ConnectionStatus.SUSPENDED)
        tellers.let("zerodha", fails(blocked))
        assert fill() == Batch(claimed=3, asked=1, filled=0)
        assert fill(NOW + timedelta(minutes=59)) == Batch()
        assert fill(NOW + HOUR).asked == 1
        alices["zerodha"].refresh_from_db()
        assert alices["zerodha"].status == ConnectionStatus.CONNECTED

    @pytest.mark.parametrize(
        "error",
        [
            SessionEnded("It has ended."),
            RequestRefused("Not with this app.", connection_status=ConnectionStatus.SUSPENDED),
        ],
    )
    def test_a_login_anew_is_asked_at_once(
        self, tellers: Tellers, share: Instrument, error: BrokerError, alice: User, brokers: SimulatedBrokers
    ) -> None:
        want([share.pk], now=NOW)
        tellers.let("zerodha", fails(error))
        fill()
        again = NOW + timedelta(seconds=30)
        assert fill(again) == Batch()
        connect(alice, "zerodha", brokers)
        BrokerConnection.objects.update(token_expires_at=None)
        tellers.let("zerodha", level())
        assert fill(again).filled == 1

    def test_another_persons_account_at_that_broker_is_asked(
        self, tellers: Tellers, share: Instrument, bob: User, brokers: SimulatedBrokers
    ) -> None:
        connect(bob, "zerodha", brokers)
        want([share.pk], now=NOW)
        tellers.let("zerodha", fails(SessionEnded("It has ended.")))
        fill()
        tellers.let("zerodha", level())
        assert fill(NOW + timedelta(seconds=30)).filled == 1
        assert set(BrokerConnection.objects.values_list("status", flat=True)) == {ConnectionStatus.CONNECTED}

    @pytest.mark.parametrize(
        ("error", "minutes"),
        [
            (CircuitOpen("Left alone.", retry_at=NOW + timedelta(minutes=7)), 7),
            (RateLimited("Fewer calls."), 10 / 60),
        ],
    )
    def test_our_own_patience_counts_against_nobody(
        self, tellers: Tellers, share: Instrument, error: BrokerUnavailable, minutes: float
    ) -> None:
        tellers.let("zerodha", fails(error))
        want([share.pk], now=NOW)
        fill()
        row = row_of(share)
        assert (row.state, row.attempts, row.last_error_code) == (FillState.WAITING, 0, error.code)
        rested = NOW + timedelta(minutes=minutes)
        assert fill(rested - timedelta(seconds=1)) == Batch()
        assert fill(rested).claimed == 1

    def test_an_answer_that_cannot_be_read(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", fails(UnexpectedResponse("candles")))
        tellers.let("upstox", level())
        want([share.pk], now=NOW)
        BrokerConnection.objects.filter(broker_type="upstox").update(status=ConnectionStatus.TOKEN_EXPIRED)
        fill()
        assert row_of(share).refused["zerodha"]["code"] == "unexpected_response"
        BrokerConnection.objects.update(status=ConnectionStatus.CONNECTED)
        assert fill(NOW + timedelta(seconds=30)).filled == 1

    def test_a_mistake_of_ours_in_one_dialect(self, tellers: Tellers, caplog: pytest.LogCaptureFixture) -> None:
        def broken(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            raise LookupError("nobody foresaw it")

        shares = [listed("INFY", "1594", INFY, "zerodha"), listed("RELIANCE", "2885", RELIANCE, "upstox")]
        tellers.let("zerodha", broken)
        tellers.let("upstox", level())
        want([each.pk for each in shares], now=NOW)
        with caplog.at_level(logging.ERROR):
            assert fill() == Batch(claimed=2, asked=2, filled=1)
        assert "Reading daily prices of zerodha failed" in caplog.text
        assert row_of(shares[0]).last_error_code == "unexpected_response"

    def test_a_piece_that_fails_does_not_cost_those_before(self, tellers: Tellers, share: Instrument) -> None:
        def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            if len(tellers.calls) == 3:
                raise BrokerUnavailable("The broker did not answer.")
            return level()(listing, first, last)

        tellers.let("zerodha", tell, days=100)
        want([share.pk], now=NOW)
        assert fill() == Batch(claimed=1, asked=1, filled=0)
        row = row_of(share)
        told_until = YEAR + timedelta(days=199)
        assert (row.state, row.covered_from, row.covered_until) == (FillState.FAILING, YEAR, told_until)
        assert closes_of(share).keys() == set(weekdays(YEAR, told_until))
        tellers.calls.clear()
        tellers.let("zerodha", level())
        assert fill(NOW + HOUR).filled == 1
        assert tellers.calls[0][2] == told_until + DAY
        assert closes_of(share).keys() == set(weekdays(YEAR, TODAY))

    def test_what_our_own_time_cut_short_counts_against_nobody_and_goes_on(
        self, tellers: Tellers, share: Instrument, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last piece of a year begins when the batch has no time left; the next batch begins with it."""
        monkeypatch.setattr(Deadline, "remaining", lambda deadline: 5.0 if len(tellers.calls) % 3 < 2 else 0.0)
        tellers.let("zerodha", level(), days=150)
        want([share.pk], now=NOW)
        assert fill() == Batch(claimed=1, asked=1, filled=0)
        row = row_of(share)
        told_until = YEAR + 299 * DAY
        assert (row.state, row.attempts, row.last_error_code) == (FillState.WAITING, 0, "")
        assert (row.covered_until, row.next_due_at) == (told_until, NOW + timedelta(seconds=10))
        tellers.calls.clear()
        assert fill(row.next_due_at).filled == 1
        assert tellers.calls == [("zerodha", "RELIANCE", told_until + DAY, TODAY)]

    def test_who_tells_no_day_at_all_is_not_believed_to_tell_it(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", lambda listing, first, last: [])
        want([share.pk], now=NOW)
        fill()
        assert (row_of(share).state, row_of(share).last_error_code) == (FillState.WAITING, "no_candles")
        tellers.let("upstox", level())
        assert fill(NOW + timedelta(seconds=1)).filled == 1
        assert row_of(share).source == "upstox"

    def test_rows_that_cannot_be_read_are_counted(self, tellers: Tellers, share: Instrument) -> None:
        tellers.problems = (RowProblem(part="candles", row=3, field="close"),)
        bad = weekdays(YEAR, TODAY)[5]
        impossible = Candle(
            day=bad,
            open_price=Decimal(5),
            high_price=Decimal(1),
            low_price=Decimal(2),
            close_price=Decimal(3),
            volume=None,
        )
        tellers.let(
            "zerodha",
            lambda listing, first, last: [
                impossible if each.day == bad else each for each in level()(listing, first, last)
            ],
        )
        want([share.pk], now=NOW)
        fill()
        assert row_of(share).unreadable_count == 2
        assert bad not in closes_of(share)


class TestTwoBrokersWords:
    @pytest.fixture
    def filled(self, tellers: Tellers, share: Instrument) -> Instrument:
        tellers.let("zerodha", level("100"))
        want([share.pk], now=NOW)
        fill()
        tellers.let("zerodha", None)
        return share

    def test_the_first_stays_and_the_other_is_remembered(self, tellers: Tellers, filled: Instrument) -> None:
        odd = {TODAY: "101", TODAY - DAY: "100.05"}
        tellers.let(
            "upstox",
            lambda listing, first, last: [candle(day, odd.get(day, "100")) for day in weekdays(first, last)],
        )
        fill(TOMORROW)
        assert closes_of(filled)[TODAY] == Decimal(100)
        [row] = DailyCandle.objects.filter(disputes__gt=0)
        assert (row.day, row.disputes, row.disputed_by, row.disputed_close) == (TODAY, 1, "upstox", Decimal(101))
        assert row.source == "zerodha"
        assert DailyCandle.objects.get(instrument=filled, day=TODAY + DAY).source == "upstox"
        fill(NOW + 4 * DAY)  # the same word again is no other dispute
        assert DailyCandle.objects.get(instrument=filled, day=TODAY).disputes == 1

    def test_brokers_that_close_by_other_rules_leave_the_series_alone(
        self, tellers: Tellers, filled: Instrument
    ) -> None:
        tellers.let("upstox", level("100.50"))
        fill(TOMORROW)
        assert row_of(filled).replaced_at is None
        assert DailyCandle.objects.filter(disputes=1).count() == len(weekdays(TODAY - 10 * DAY, TODAY))

    def test_who_told_it_may_correct_itself(self, tellers: Tellers, filled: Instrument) -> None:
        tellers.let(
            "zerodha",
            lambda listing, first, last: [
                candle(day, "102" if day == TODAY else "100") for day in weekdays(first, last)
            ],
        )
        fill(TOMORROW)
        row = DailyCandle.objects.get(instrument=filled, day=TODAY)
        assert (row.close_price, row.disputes, row.fetched_at) == (Decimal(102), 0, TOMORROW)

    @pytest.mark.parametrize("teller", BOTH)
    def test_a_series_that_was_adjusted_anew_replaces_the_old_one_whole(
        self, tellers: Tellers, filled: Instrument, teller: str
    ) -> None:
        tellers.let(teller, level("50"))
        tellers.calls.clear()
        assert fill(TOMORROW) == Batch(claimed=1, asked=1, filled=0)
        assert set(closes_of(filled).values()) == {Decimal(100)}, "nothing is mixed"
        assert fill(TOMORROW).filled == 1
        assert [first for _, _, first, _ in tellers.calls] == [TODAY - 10 * DAY, YEAR + DAY]
        assert closes_of(filled) == dict.fromkeys(weekdays(YEAR + DAY, TODAY + DAY), Decimal(50))
        row = row_of(filled)
        assert (row.replaced_at, row.source, row.state) == (TOMORROW, teller, FillState.FILLED)
        assert (row.covered_from, row.first_day) == (YEAR + DAY, weekdays(YEAR + DAY, TODAY)[0])
        assert not DailyCandle.objects.filter(suspected_split=True).exists()

    @pytest.mark.parametrize("teller", BOTH)
    @pytest.mark.parametrize("late", [1, 4])
    def test_and_so_does_one_that_is_adjusted_days_after_its_ex_day(
        self, tellers: Tellers, share: Instrument, teller: str, late: int
    ) -> None:
        """A bonus of 1:4, which no step tells: from the ex-day on the closes agree, and all before are another's."""

        def told(adjusted: bool) -> Callable[[Listing, date, date], Sequence[Candle]]:
            before = "80" if adjusted else "100"
            return lambda listing, first, last: [
                candle(day, before if day < TODAY else "80") for day in weekdays(first, last)
            ]

        tellers.let("zerodha", told(adjusted=False))
        want([share.pk], now=NOW)
        fill()
        tellers.let("zerodha", None)
        tellers.let(teller, told(adjusted=True))
        evening = NOW + late * DAY
        assert fill(evening) == Batch(claimed=1, asked=1, filled=0)
        assert fill(evening).filled == 1
        assert set(closes_of(share).values()) == {Decimal(80)}
        assert row_of(share).source == teller

    def test_who_is_too_slow_for_all_of_it_begins_it_anew(
        self, tellers: Tellers, filled: Instrument, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Our time ends again and again within the year: it would be asked for from its beginning for ever."""
        monkeypatch.setattr(Deadline, "remaining", lambda deadline: 5.0 if len(tellers.calls) < 2 else 0.0)
        tellers.let("zerodha", level("50"), days=150)

        def batch() -> None:
            tellers.calls.clear()
            fill(TOMORROW)

        for _ in range(1 + MOST_CUT):
            batch()
            assert set(closes_of(filled).values()) == {Decimal(100)}
        batch()
        assert closes_of(filled) == {}
        for seconds in (10, 20):
            tellers.calls.clear()
            fill(TOMORROW + timedelta(seconds=seconds))
        assert set(closes_of(filled).values()) == {Decimal(50)}
        assert (row_of(filled).state, row_of(filled).attempts) == (FillState.FILLED, 0)

    def test_a_part_of_it_is_never_added_to_the_old_one(self, tellers: Tellers, share: Instrument) -> None:
        """Even one that has no day in common with what is held."""
        tellers.let("zerodha", lambda listing, first, last: level("100")(listing, max(first, TODAY - 90 * DAY), last))
        want([share.pk], now=NOW)
        fill()
        old = closes_of(share)

        def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            if len(tellers.calls) == 3:
                raise BrokerUnavailable("The broker did not answer.")
            return level("50")(listing, first, last)

        tellers.calls.clear()
        tellers.let("zerodha", tell, days=200)
        fill(TOMORROW)
        fill(TOMORROW)
        assert [first for _, _, first, _ in tellers.calls] == [TODAY - 10 * DAY, YEAR + DAY, YEAR + 201 * DAY]
        assert closes_of(share) == old

    def test_a_teller_corrects_no_part_of_a_series_that_two_have_told(
        self, tellers: Tellers, filled: Instrument
    ) -> None:
        """A dividend, too small to tell brokers apart by, taken off the past by the one that told the older days."""
        tellers.let("upstox", level("100"))
        fill(TOMORROW)
        tellers.let("upstox", None)
        tellers.let("zerodha", lambda listing, first, last: [
            candle(day, "99" if day <= TODAY else "100") for day in weekdays(first, last)
        ])  # fmt: skip
        fill(NOW + 4 * DAY)
        assert set(closes_of(filled).values()) == {Decimal(100)}
        assert fill(NOW + 4 * DAY).filled == 1
        assert {close for day, close in closes_of(filled).items() if day <= TODAY} == {Decimal(99)}

    def test_who_tells_a_week_at_a_time_begins_it_anew(self, tellers: Tellers, filled: Instrument) -> None:
        """A year is never told in one batch there, and adjustments are never mixed: days are missing for a while."""
        tellers.let("zerodha", level("50"), days=7)
        assert fill(TOMORROW) == Batch(claimed=1, asked=1, filled=0)
        row = row_of(filled)
        assert (row.state, row.day_count, row.covered_until, row.next_due_at) == (FillState.WAITING, 0, None, TOMORROW)
        assert closes_of(filled) == {}
        assert fill(TOMORROW).filled == 1
        assert closes_of(filled) == dict.fromkeys(weekdays(YEAR + DAY, TODAY + DAY), Decimal(50))

    def test_while_the_whole_of_it_cannot_be_told_the_old_one_stays(self, tellers: Tellers, filled: Instrument) -> None:
        def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            if len(tellers.calls) in (2, 3):
                raise BrokerUnavailable("The broker did not answer.")
            return level("50")(listing, first, last)

        tellers.calls.clear()
        tellers.let("zerodha", tell)
        fill(TOMORROW)
        fill(TOMORROW)
        fill(TOMORROW + HOUR)
        assert set(closes_of(filled).values()) == {Decimal(100)}
        assert row_of(filled).attempts == 2
        assert fill(TOMORROW + 2 * HOUR).filled == 1
        assert set(closes_of(filled).values()) == {Decimal(50)}


class TestSplits:
    SPLIT = date(2026, 11, 18)

    def split(self, listing: Listing, first: date, last: date) -> Sequence[Candle]:
        return [candle(day, "100" if day < self.SPLIT else "50") for day in weekdays(first, last)]

    def test_the_day_is_marked(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", self.split)
        want([share.pk], now=NOW)
        fill()
        assert list(DailyCandle.objects.filter(suspected_split=True).values_list("day", flat=True)) == [self.SPLIT]

    def test_one_that_comes_by_itself_is_held_against_the_day_before(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", self.split)
        before = datetime.fromisoformat("2026-11-17T18:30+05:30")
        want([share.pk], now=before)
        fill(before)
        assert not DailyCandle.objects.filter(suspected_split=True).exists()
        fill(before + DAY)
        assert list(DailyCandle.objects.filter(suspected_split=True).values_list("day", flat=True)) == [self.SPLIT]

    def test_the_mark_goes_where_the_close_is_corrected(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let(
            "zerodha",
            lambda listing, first, last: [candle(day, "100" if day != TODAY else "1") for day in weekdays(first, last)],
        )
        want([share.pk], now=NOW)
        fill()
        assert DailyCandle.objects.get(suspected_split=True).day == TODAY
        tellers.let("zerodha", level())
        fill(TOMORROW)
        assert not DailyCandle.objects.filter(suspected_split=True).exists()


class TestBudgets:
    """Through the real client, over HTTP: at most a fifth of each window, and nothing where others are at work."""

    @pytest.fixture
    def kite(
        self, alices: dict[str, BrokerConnection], brokers: SimulatedBrokers, settings: Settings, governed: Redis
    ) -> BrokerConnection:
        settings.BROKERS = {
            slug: known | {"master_url": brokers.brokers[slug]["master_url"]}
            for slug, known in settings.BROKERS.items()
        }
        settings.GOVERNOR_ENABLED = False
        load = load_master(broker_type="zerodha", now=NOW)
        assert load is not None
        assert load.outcome == "LOADED"
        settings.GOVERNOR_ENABLED = True
        return alices["zerodha"]

    def shares(self, *symbols: str) -> list[Instrument]:
        return [Instrument.objects.get(exchange=Exchange.NSE, tradingsymbol=symbol) for symbol in symbols]

    def test_what_the_market_did_is_what_is_kept(
        self, kite: BrokerConnection, brokers: SimulatedBrokers, settings: Settings
    ) -> None:
        settings.GOVERNOR_ENABLED = False
        [share] = self.shares("RELIANCE")
        today = datetime.now(tz=NOW.tzinfo)
        want([share.pk], now=today)
        assert fill(today) == Batch(claimed=1, asked=1, filled=1)
        market, day = Market(load_instruments()), today.date()
        told = bars(market, market.instruments["NSE:RELIANCE"], day - timedelta(days=402), day, today=day)
        expected = {bar.day: bar.close for bar in told}
        kept = closes_of(share)
        assert len(kept) > 270
        assert kept == {day: expected[day] for day in kept}

    def test_it_takes_its_part_and_gives_the_rest_back(self, kite: BrokerConnection) -> None:
        """Three calls a second: in the background one in two seconds. Nobody is made to wait."""
        shares = self.shares("RELIANCE", "INFY", "TCS")
        want([each.pk for each in shares], now=NOW)
        assert fill(seconds=2.5) == Batch(claimed=3, asked=2, filled=1)
        waiting = CandleFill.objects.filter(state=FillState.WAITING)
        assert waiting.count() == 2
        assert all(NOW < row.next_due_at <= NOW + timedelta(seconds=10) for row in waiting)
        assert sum(row.attempts for row in waiting) == 0

    def test_it_takes_nothing_while_others_use_the_broker(self, kite: BrokerConnection) -> None:
        [share] = self.shares("RELIANCE")
        want([share.pk], now=NOW)
        spec = registry.load("zerodha").spec
        rate_class, path = spec.rate_class("GET", "/instruments/historical/1/day")
        for _ in range(2):
            assert governor.take(governor.plan(spec, str(kite.pk), rate_class, path)) == 0
        assert fill(seconds=2.5) == Batch(claimed=1, asked=1, filled=0)
        assert row_of(share).last_error_code == "rate_budget_spent"

    def test_the_windows_of_orders_and_quotes_are_untouched(self, kite: BrokerConnection) -> None:
        want([each.pk for each in self.shares("RELIANCE", "INFY")], now=NOW)
        fill(seconds=2.5)
        left = governor.budget("zerodha", str(kite.pk)).windows
        spent = {window.endpoints for window in left if window.left < window.calls}
        assert not spent & {"quotes", "orders", "order_changes"}
