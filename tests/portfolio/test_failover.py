"""Reading falls back in order: a live price of who holds the share, another broker's quote, the last good answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from brokers.domain import Exchange
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from portfolio import services
from portfolio.consolidate import Book
from portfolio.domain import PriceState, Source, SourceState, Unpriced
from portfolio.sharing import Rendered
from tests.people import connect
from tests.portfolio.sources import INFY, NOW, SBIN, account, holding, lent, merged, of, source

D = Decimal
DAY = 24 * 60 * 60
# Zerodha holds INFY and fails; Upstox holds SBIN, answers, and quotes both.
HOLDER, LENDER = "zerodha", "upstox"
LENT = "GET /v3/market-quote/ltp"


def stale(slug: str, *lines: Any, age: int = 300) -> Source:
    return source(slug, account(lines, age=age), state=SourceState.STALE)


# --- the order, share by share ----------------------------------------------------------------------------------------
class TestOrder:
    def test_a_lent_price_beats_the_one_of_the_last_good_answer(self) -> None:
        old = stale("zerodha", holding(INFY, 10, average="100", last="110", close="105"))
        line = of(merged(old, borrowed={INFY: lent("120", "118")}), INFY)
        assert (line.current_price, line.close_price, line.current_value) == (120, 118, 10 * D("120"))
        assert (line.price_state, line.price_source, line.price_as_of) == (PriceState.BORROWED, "upstox", NOW)
        assert (line.day_change, line.unrealized_pnl) == (10 * D("2"), 10 * D("20"))
        assert (line.stale, [part.stale for part in line.broker_positions]) == (True, [True])

    def test_a_live_price_of_who_holds_it_beats_a_lent_one(self) -> None:
        old, live = stale("zerodha", holding(last="110")), source("upstox", account([holding(last="119")]))
        line = of(merged(old, live, borrowed={INFY: lent("120", "118", by="groww")}), INFY)
        assert (line.current_price, line.price_source, line.price_state) == (119, "upstox", PriceState.HELD)

    def test_without_a_loan_the_last_good_answer_stays_and_says_so(self) -> None:
        line = of(merged(stale("zerodha", holding(last="110"))), INFY)
        assert (line.current_price, line.price_source, line.price_state) == (110, "zerodha", PriceState.STALE)
        assert line.price_as_of == NOW - timedelta(seconds=300)

    def test_who_has_no_price_at_all_has_no_state_either(self) -> None:
        line = of(merged(source("zerodha", account([holding(last=None)])), borrowed={INFY: lent(None, "118")}), INFY)
        assert (line.current_price, line.price_source, line.price_state) == (None, None, None)


class TestPreviousClose:
    def test_a_lender_without_closes_is_held_against_the_last_answers_of_the_same_exchange(self) -> None:
        old = stale("zerodha", holding(INFY, 10, close="105"))
        assert of(merged(old, borrowed={INFY: lent("120")}), INFY).day_change == 10 * (D("120") - D("105"))
        across = merged(old, borrowed={INFY: lent("120", exchange=Exchange.BSE)})
        assert (of(across, INFY).close_price, of(across, INFY).day_change) == (None, None)

    def test_a_close_of_another_day_is_none(self) -> None:
        old = stale("zerodha", holding(close="105"), age=DAY)
        assert of(merged(old, borrowed={INFY: lent("120")}), INFY).close_price is None
        live = source("groww", account([holding(last="120", close=None)]))
        assert of(merged(old, live), INFY).close_price is None

    def test_a_lent_close_of_another_exchange_or_day_is_none(self) -> None:
        bse = source("groww", account([holding(close=None, exchange=Exchange.BSE)]))
        assert of(merged(bse, borrowed={INFY: lent(None, "118", exchange=Exchange.BSE)}), INFY).close_price == 118
        assert of(merged(bse, borrowed={INFY: lent("120", "118")}), INFY).close_price is None
        old = stale("groww", holding(close=None), age=DAY)
        assert of(merged(old, borrowed={INFY: lent(None, "118")}), INFY).close_price is None

    def test_it_is_asked_of_the_exchange_whose_price_counts(self) -> None:
        nse = stale("zerodha", holding(last="110", close="105"))
        bse = source("upstox", account([holding(last="120", close=None, exchange=Exchange.BSE)]))
        wanted = Unpriced(isin=INFY, has_price=True, exchange=Exchange.BSE, symbol="INFY")
        assert Book.of([nse, bse]).unpriced() == [wanted]


class TestWhatIsAskedFor:
    def test_a_share_whose_best_price_is_a_stale_one(self) -> None:
        book = Book.of(
            [stale("zerodha", holding(), holding(SBIN, symbol="SBIN")), source("upstox", account([holding()]))]
        )
        assert book.unpriced() == [Unpriced(isin=SBIN, has_price=False, exchange=Exchange.NSE, symbol="SBIN")]

    def test_nothing_while_all_are_live(self) -> None:
        live = source("zerodha", account([holding()])), source("upstox", account([holding(SBIN, symbol="SBIN")]))
        assert Book.of(live).unpriced() == []

    def test_no_listing_that_nobody_can_match(self) -> None:
        assert Book.of([stale("zerodha", holding(isin=None))]).unpriced() == []


# --- through the service, with real brokers ---------------------------------------------------------------------------
def refreshed(user: User) -> Rendered:
    rendered = services.refresh(user, now=timezone.now())
    assert rendered is not None
    return rendered


def fetched(user: User) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(refreshed(user).include)
    return answer


def share(portfolio: dict[str, Any], isin: str) -> dict[str, Any]:
    [found] = [position for position in portfolio["positions"] if position["isin"] == isin]
    return dict(found)


def whose_price(portfolio: dict[str, Any], isin: str) -> tuple[str, str, str]:
    found = share(portfolio, isin)
    return found["current_price"], found["price_state"], found["price_source"]


def quotes_asked(control: Control, slug: str = LENDER) -> int:
    return sum(count for call, count in control.counters(slug).items() if "quote" in call)


class TestThroughTheService:
    """INFY × 10 at Zerodha, bought at 1,400.00; SBIN × 5 at Upstox, bought at 700.00."""

    @pytest.fixture(autouse=True)
    def prices(self, brokers: SimulatedBrokers) -> Iterator[None]:
        control = brokers.control
        known = control.market()["prices"]
        control.set_price("NSE", "1500.10", isin=INFY, close_price="1490.00")
        control.set_price("NSE", "800.05", isin=SBIN, close_price="790.00")
        yield
        for isin, symbol in ((INFY, "INFY"), (SBIN, "SBIN")):
            price = known[f"NSE:{symbol}"]
            control.set_price("NSE", price["last"], isin=isin, close_price=price["close"])

    @pytest.fixture(autouse=True)
    def two_accounts(self, alice: User, brokers: SimulatedBrokers, prices: None) -> None:
        held = {HOLDER: ("INFY", INFY, 10, "1400.00"), LENDER: ("SBIN", SBIN, 5, "700.00")}
        for slug, (symbol, isin, quantity, average) in held.items():
            line = {"symbol": symbol, "isin": isin, "exchange": "NSE", "settled": quantity, "average_price": average}
            brokers.control.set_book(slug, brokers.control.book(slug) | {"holdings": [line], "positions": []})
            connect(alice, slug, brokers)
        brokers.control.reset_counters()

    def test_with_both_live_nobody_is_asked(self, alice: User, control: Control) -> None:
        portfolio = fetched(alice)
        assert quotes_asked(control) == 0
        assert portfolio["total_value"] == "19001.25"  # 10 × 1,500.10 + 5 × 800.05
        assert whose_price(portfolio, INFY) == ("1500.10", "HELD", HOLDER)

    def test_what_a_silent_broker_holds_moves_with_anothers_price(self, alice: User, control: Control) -> None:
        fetched(alice)
        control.set_fault(HOLDER, "down")
        control.set_price("NSE", "1512.35", isin=INFY)
        control.reset_counters()
        portfolio = fetched(alice)
        assert quotes_asked(control) == 1
        infy = share(portfolio, INFY)
        assert whose_price(portfolio, INFY) == ("1512.35", "BORROWED", LENDER)
        assert (infy["price_as_of"], infy["stale"]) == (portfolio["last_updated"], True)
        assert (infy["total_quantity"], infy["total_cost"]) == ("10", "14000.00")
        assert (infy["current_value"], infy["unrealized_pnl"], infy["day_change"]) == ("15123.50", "1123.50", "223.50")
        # 10 × 1,512.35 + 5 × 800.05; 10 × 22.35 + 5 × 10.05; 10 × 112.35 + 5 × 100.05
        totals = [portfolio[name] for name in ("total_value", "day_change", "unrealized_pnl", "total_cost")]
        assert totals == ["19123.75", "273.75", "1623.75", "17500.00"]
        assert [(line["broker_id"], line["total_value"], line["stale"]) for line in portfolio["broker_breakdown"]] == [
            (HOLDER, "15123.50", True),
            (LENDER, "4000.25", False),
        ]
        assert (portfolio["complete"], portfolio["coverage"]["sources_stale"]) == (False, 1)

    def test_it_moves_at_every_turn_and_is_held_again_when_its_broker_is_back(
        self, alice: User, control: Control
    ) -> None:
        fetched(alice)
        control.set_fault(HOLDER, "down")
        control.reset_counters()
        for price in ("1501.00", "1502.00", "1503.00"):
            control.set_price("NSE", price, isin=INFY)
            assert whose_price(fetched(alice), INFY) == (price, "BORROWED", LENDER)
        assert quotes_asked(control) == 3
        control.clear_faults(HOLDER)
        assert whose_price(fetched(alice), INFY) == ("1503.00", "HELD", HOLDER)
        assert quotes_asked(control) == 3

    def test_with_both_down_it_stays_as_it_was_and_is_marked(self, alice: User, control: Control) -> None:
        fetched(alice)
        for slug in (HOLDER, LENDER):
            control.set_fault(slug, "down")
        control.set_price("NSE", "1512.35", isin=INFY)
        portfolio = fetched(alice)
        assert portfolio["total_value"] == "19001.25"
        assert whose_price(portfolio, INFY) == ("1500.10", "STALE", HOLDER)
        assert whose_price(portfolio, SBIN) == ("800.05", "STALE", LENDER)
        assert share(portfolio, INFY)["price_as_of"] == portfolio["sources"][0]["as_of"]

    def test_who_just_failed_is_not_asked_to_lend(self, alice: User, control: Control) -> None:
        fetched(alice)
        control.set_fault(HOLDER, "down")
        control.set_fault(LENDER, "server_error", path="/v2/portfolio")
        control.reset_counters()
        assert whose_price(fetched(alice), INFY) == ("1500.10", "STALE", HOLDER)
        assert quotes_asked(control) == 0

    def test_what_the_lender_does_not_know_is_not_asked_again_at_once(self, alice: User, control: Control) -> None:
        fetched(alice)
        control.set_fault(HOLDER, "down")
        control.serve(LENDER, LENT, {"status": "success", "data": {}})
        control.reset_counters()
        for _ in range(3):
            assert whose_price(fetched(alice), INFY) == ("1500.10", "STALE", HOLDER)
        assert quotes_asked(control) == 1
        control.serve_nothing(LENDER)
        cache.clear()  # a minute later
        assert whose_price(fetched(alice), INFY)[1] == "BORROWED"

    def test_a_lender_whose_answer_makes_no_sense_costs_only_the_loan(self, alice: User, control: Control) -> None:
        fetched(alice)
        control.set_fault(HOLDER, "down")
        control.serve(LENDER, LENT, {"status": "success", "data": ["odd"]})
        assert whose_price(fetched(alice), INFY) == ("1500.10", "STALE", HOLDER)

    def test_who_leaves_stale_answers_out_sees_no_difference(self, alice: User, control: Control) -> None:
        fetched(alice)
        control.set_fault(HOLDER, "down")
        control.set_price("NSE", "1512.35", isin=INFY)
        portfolio = json.loads(refreshed(alice).exclude)
        assert (portfolio["total_value"], [row["isin"] for row in portfolio["positions"]]) == ("4000.25", [SBIN])
        assert whose_price(portfolio, SBIN) == ("800.05", "HELD", LENDER)

    def test_a_lender_that_hangs_does_not_hold_the_answer(
        self, alice: User, control: Control, settings: Settings
    ) -> None:
        fetched(alice)
        settings.PORTFOLIO_DEADLINE_SECONDS = 2
        control.set_fault(HOLDER, "down")
        control.set_fault(LENDER, "latency", path="/v3/market-quote", milliseconds=30_000)
        control.reset_counters()
        started = time.monotonic()
        portfolio = fetched(alice)
        assert time.monotonic() - started < 20  # it hangs for longer
        assert quotes_asked(control) == 1
        assert whose_price(portfolio, INFY) == ("1500.10", "STALE", HOLDER)
        assert whose_price(portfolio, SBIN) == ("800.05", "HELD", LENDER)
        assert portfolio["sources"][1]["state"] == "LIVE"
        settings.PORTFOLIO_DEADLINE_SECONDS = 20
        control.clear_faults(LENDER)  # what it had no time to say is not taken for unknown
        assert whose_price(fetched(alice), INFY) == ("1500.10", "BORROWED", LENDER)
