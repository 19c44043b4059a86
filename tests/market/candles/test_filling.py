"""What is wanted, claimed by one worker, and asked for where somebody can tell it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import connection as database
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers.domain import Candle, ConnectionStatus, Listing
from brokers.errors import BudgetSpent
from brokers.models import BrokerConnection
from market import tasks
from market.candle_calls import ACCOUNTS_PER_BROKER
from market.candle_models import CandleFill, DailyCandle, FillState
from market.candles import AT_ONCE, LEASE, Batch, want
from market.models import Instrument
from tests.market.candle_teller import (
    BOTH,
    DAY,
    HOUR,
    INFY,
    NOW,
    RELIANCE,
    TODAY,
    TOMORROW,
    YEAR,
    Tellers,
    candle,
    closes_of,
    fill,
    level,
    listed,
    row_of,
    weekdays,
)


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
