"""Looking at limits: when, at which figures, and what becomes of a look that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from brokers.models import BrokerConnection
from brokers.shared import redis
from portfolio import limit_turns, limit_watch, measuring, services, tasks, watching
from portfolio.domain import ConsolidatedPortfolio
from portfolio.limit_models import LimitWatch
from portfolio.risk.evaluating import Measured
from portfolio.risk.limits import Metric, State
from portfolio.risk_models import RiskLimit


@pytest.fixture(autouse=True)
def _no_latch(db: None) -> Iterator[None]:
    """Latches stand in Redis, which no transaction takes back."""
    yield
    client = redis()
    for key in client.scan_iter("*halt*"):
        client.delete(key)


class TestLooking:
    """At real accounts of simulated brokers."""

    def test_a_look_asks_the_brokers_and_knows_their_figures(
        self, alice: User, alices: dict[str, BrokerConnection]
    ) -> None:
        limit_watch.look(alice.pk, now=timezone.now())
        watch = LimitWatch.objects.get(pk=alice.pk)
        assert watch.looked_at is not None
        assert watch.problem == ""
        margin = RiskLimit.objects.get(metric=Metric.MARGIN_PCT)
        assert margin.state in (State.OK, State.WARN, State.BLOCK)
        assert margin.value is not None
        # Nobody measures these yet: they are unknown, and not fine.
        assert RiskLimit.objects.get(metric=Metric.VAR_99_PCT).state == State.UNKNOWN

    def test_a_broker_that_does_not_answer_makes_them_unknown_and_never_fine(
        self, alice: User, alices: dict[str, BrokerConnection], brokers: Any
    ) -> None:
        limit_watch.look(alice.pk, now=timezone.now())
        brokers.control.set_fault("upstox", "down")
        later = timezone.now() + timedelta(minutes=5)
        redis().delete(f"portfolio:{alice.pk}:answer")
        limit_watch.look(alice.pk, now=later)
        assert RiskLimit.objects.get(metric=Metric.DAY_LOSS_PCT).state != State.OK

    def test_the_cached_answer_is_read_as_it_was_told(self, alice: User, alices: dict[str, BrokerConnection]) -> None:
        now = timezone.now()
        rendered = json.loads(services.consolidated(alice, now=now).include)
        book = services.latest_book(alice, now=now, recent=timedelta(0))
        assert f"{book.total_value:.2f}" == rendered["total_value"]
        assert len(book.positions) == len(rendered["positions"])
        assert book.positions[0].current_value is not None
        assert book.as_of is not None
        assert book.complete is rendered["complete"]

    def test_while_all_markets_are_closed_states_stand_whoever_looks(
        self, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An open page shows the book on a Sunday, too: the day's change in it is of another day."""
        settings.MARKET_AROUND_THE_CLOCK = False
        sunday, asked = datetime(2026, 11, 22, 6, tzinfo=UTC), list[datetime]()
        limit_watch.watch(alice.pk, None, now=sunday)
        monkeypatch.setattr(limit_watch, "evaluate", lambda user, measured, *, now: asked.append(now))
        for now in (sunday + timedelta(hours=1), sunday + timedelta(days=1)):
            limit_watch.watch(alice.pk, None, now=now)
        assert asked == [sunday + timedelta(days=1)]

    def test_a_host_knows_better(self, alice: User, alices: dict[str, BrokerConnection]) -> None:
        redis().set(watching.host_key(alice.pk), "somebody", px=60_000)
        limit_watch.look_at_known(alice.pk, now=timezone.now())
        assert not LimitWatch.objects.exists()

    def test_a_part_that_fails_takes_its_own_figures_alone(
        self, alice: User, alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(user: User, book: ConsolidatedPortfolio, now: datetime) -> Measured:
            raise LookupError("nobody foresaw it")

        monkeypatch.setattr(measuring, "PARTS", (*measuring.PARTS, broken))
        limit_watch.look(alice.pk, now=timezone.now())
        assert LimitWatch.objects.get().problem == limit_watch.MEASURING_FAILED
        assert RiskLimit.objects.get(metric=Metric.MARGIN_PCT).state != State.UNKNOWN

    def test_a_look_that_fails_altogether_is_said_and_stops_nobody(
        self, alice: User, alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit_watch.look(alice.pk, now=timezone.now())

        def broken(*args: Any, **kwargs: Any) -> Any:
            raise LookupError("nobody foresaw it")

        monkeypatch.setattr(limit_watch, "evaluate", broken)
        limit_watch.look(alice.pk, now=timezone.now())
        assert LimitWatch.objects.get().problem == limit_watch.LOOK_FAILED
        assert not RiskLimit.objects.filter(state=State.OK).exists()

    def test_who_has_left_or_has_nothing_connected_is_passed_by(self, alice: User, bob: User) -> None:
        for user_id in (bob.pk, 987_654):
            limit_watch.look(user_id, now=timezone.now())
        assert not LimitWatch.objects.exists()

    def test_the_clock_sends_everybody_who_has_an_account(
        self, alice: User, bob: User, alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(tasks.watch_limits_of, "apply_async", lambda args, **how: asked.append(args[0]))
        tasks.watch_limits()
        assert asked == [alice.pk]

    def test_fresh_answers_ask_for_one_look_in_each_pause(
        self, alice: User, alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []
        monkeypatch.setattr(limit_turns, "PAUSE_SECONDS", 60.0)  # a second may pass between two answers
        monkeypatch.setattr(
            tasks.look_at_limits, "apply_async", lambda args, **how: asked.append((args, how["countdown"]))
        )
        redis().delete(f"limits:{alice.pk}:noted")
        for _ in range(3):
            services.refresh(alice, now=timezone.now())
        assert asked == [((alice.pk,), 60.0)]
