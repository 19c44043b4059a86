"""Daily prices through the real client, over HTTP: what they take of a broker's windows."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pytest_django import Settings
from redis import Redis

from brokers import governor, registry
from brokers.domain import Exchange
from brokers.models import BrokerConnection
from brokers.simulation.candles import bars
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import SimulatedBrokers
from market.candle_models import CandleFill, FillState
from market.candles import Batch, want
from market.masters import load_master
from market.models import Instrument
from tests.market.candle_teller import NOW, closes_of, fill, row_of


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
