"""What a broker's failure means for the instrument, for the broker, and for nobody."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.models import User
from brokers.domain import Candle, ConnectionStatus, Listing, RowProblem
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    CircuitOpen,
    NotSupported,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.models import BrokerConnection
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Deadline
from market.candle_models import CandleFill, FillState
from market.candles import Batch, want
from market.models import Instrument
from tests.market.candle_teller import (
    BOTH,
    DAY,
    HOUR,
    INFY,
    NOW,
    RELIANCE,
    TODAY,
    YEAR,
    Tellers,
    closes_of,
    fails,
    fill,
    level,
    listed,
    row_of,
    weekdays,
)
from tests.people import connect


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
