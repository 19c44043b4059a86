"""Circuit breakers: each step from closed to open to half-open and back, agreed by all who ask.

The scripts take `now` from us: no test waits for half a minute.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings
from redis import Redis

from brokers import breaker, registry
from brokers.breaker import Circuit, Kind, Outcome, State
from brokers.domain import ConnectionStatus
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.governor import ORDER_CLASSES

ROOT = Path(__file__).parents[2]
SLUG = "zerodha"
T0 = datetime(2026, 11, 24, 4, 30, tzinfo=UTC)  # 10:00 IST
DOWN = BrokerUnavailable("The broker cannot be reached.")

pytestmark = pytest.mark.usefixtures("governed")


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def admit(seconds: float, kind: Kind = Kind.PORTFOLIO, *, writes: bool = False) -> int:
    return breaker.admit(SLUG, kind, writes=writes, now=at(seconds))


def tell(
    seconds: float,
    error: BrokerError | None = None,
    *,
    kind: Kind = Kind.PORTFOLIO,
    probe: int = 0,
    writes: bool = False,
    took: float = 0.1,
) -> None:
    outcome = breaker.outcome_of(error, kind)
    breaker.report(SLUG, kind, outcome, seconds=took, writes=writes, probe=probe, error=error, now=at(seconds))


def circuit(seconds: float, kind: Kind = Kind.PORTFOLIO) -> Circuit:
    return breaker.state_of(SLUG, kind, now=at(seconds))


def opened(kind: Kind = Kind.PORTFOLIO, error: BrokerError = DOWN, *, from_second: float = 0) -> None:
    """Five failures, one a second."""
    for number in range(breaker.FAILURES_IN_A_ROW):
        tell(from_second + number, error, kind=kind)


# --- closed → open ----------------------------------------------------------------------------------------------------
def test_five_failures_in_a_row_open_the_circuit() -> None:
    for second in range(4):
        tell(second, DOWN)
    assert (circuit(4).state, circuit(4).consecutive_failures) == (State.CLOSED, 4)
    assert admit(4) == 0
    tell(4, DOWN)
    found = circuit(5)
    assert (found.state, found.opened_at, found.retry_at) == (State.OPEN, at(4), at(34))
    assert (found.reason, found.consecutive_failures) == ("broker_unavailable", 5)


def test_an_answer_between_failures_starts_the_count_anew() -> None:
    for second, error in enumerate([DOWN] * 4 + [None] + [DOWN] * 4):
        tell(second, error)
    assert circuit(9).state is State.CLOSED


def test_more_than_half_of_ten_calls_within_a_minute_open_it() -> None:
    pattern = [None, DOWN, DOWN, None, DOWN, None, DOWN, None, DOWN]  # five of nine
    for second, error in enumerate(pattern):
        tell(second, error)
    assert circuit(9).state is State.CLOSED
    tell(9, DOWN)
    assert circuit(10).state is State.OPEN


def test_half_of_the_calls_is_not_more_than_half() -> None:
    for second in range(20):
        tell(second, DOWN if second % 2 else None)
    assert circuit(20).state is State.CLOSED


def test_failures_of_more_than_a_minute_ago_do_not_count() -> None:
    for second, error in enumerate([DOWN, DOWN, None] * 3):
        tell(second, error)
    tell(70, None)
    tell(71, DOWN)
    assert circuit(72).state is State.CLOSED


def test_an_open_circuit_says_since_when_and_until_when() -> None:
    opened(from_second=60)
    with pytest.raises(CircuitOpen) as caught:
        admit(80)
    error = caught.value
    assert error.message == "Zerodha has not answered since 10:01:00 IST; it is asked again at 10:01:34."
    assert (error.code, error.retry_at, error.retryable) == ("circuit_open", at(94), True)
    assert error.connection_status is ConnectionStatus.ERROR
    assert not hasattr(error, "retry_after")  # that would pause the connection as if the broker had asked for it


def test_maintenance_stays_maintenance_while_the_circuit_is_open() -> None:
    opened(
        error=BrokerUnavailable("Closed.", code="broker_maintenance", connection_status=ConnectionStatus.MAINTENANCE)
    )
    with pytest.raises(CircuitOpen) as caught:
        admit(10)
    assert caught.value.connection_status is ConnectionStatus.MAINTENANCE
    assert circuit(10).reason == "broker_maintenance"


def test_circuits_are_apart() -> None:
    opened(Kind.DATA)
    assert admit(10, Kind.PORTFOLIO) == 0
    assert breaker.admit("upstox", Kind.DATA, writes=False, now=at(10)) == 0
    with pytest.raises(CircuitOpen):
        admit(10, Kind.DATA)


# --- open → half-open → closed ----------------------------------------------------------------------------------------
def test_after_half_a_minute_one_probe_goes_out_at_a_time() -> None:
    opened()
    with pytest.raises(CircuitOpen):
        admit(33.9)
    assert circuit(34).state is State.HALF_OPEN
    probe = admit(34)
    assert probe > 0
    with pytest.raises(CircuitOpen):
        admit(34.1)
    tell(34.2, None, probe=probe)
    assert admit(34.3) == probe + 1


def test_three_successes_close_it_and_nothing_old_counts_any_more() -> None:
    opened()
    for second in (40, 41, 42):
        assert circuit(second).state is State.HALF_OPEN
        tell(second + 0.5, None, probe=admit(second))
    found = circuit(43)
    assert (found.state, found.opened_at, found.retry_at, found.reason) == (State.CLOSED, None, None, "")
    for second, error in enumerate([DOWN, DOWN, None, DOWN], 43):  # with the old ones it would be more than half
        tell(second, error)
    assert circuit(47).state is State.CLOSED


def test_the_wait_doubles_at_each_failed_probe_up_to_ten_minutes() -> None:
    opened()
    second, waits = 34.0, []
    for _ in range(7):
        tell(second, DOWN, probe=admit(second))
        found = circuit(second)
        assert found.state is State.OPEN
        assert found.retry_at is not None
        assert found.opened_at == at(4)
        waits.append((found.retry_at - at(second)).total_seconds())
        second += waits[-1]
    assert waits == [60, 120, 240, 480, 600, 600, 600]


def test_a_success_then_a_failure_needs_three_successes_again() -> None:
    opened()
    tell(40, None, probe=admit(40))
    tell(41, None, probe=admit(41))
    tell(42, DOWN, probe=admit(42))
    assert circuit(50).state is State.OPEN
    tell(103, None, probe=admit(103))
    assert circuit(104).state is State.HALF_OPEN


def test_the_wait_is_short_again_after_the_circuit_was_closed() -> None:
    opened()
    tell(34, DOWN, probe=admit(34))
    for second in (100, 101, 102):
        tell(second, None, probe=admit(second))
    opened(from_second=200)
    assert circuit(205).retry_at == at(234)


def test_a_probe_that_never_reports_makes_room_after_a_while() -> None:
    opened()
    lost = admit(40)
    with pytest.raises(CircuitOpen):
        admit(40 + breaker.PROBE_SECONDS - 0.1)
    second = admit(40 + breaker.PROBE_SECONDS)
    tell(56, None, probe=lost)  # too late: its place was taken
    with pytest.raises(CircuitOpen):
        admit(57)
    tell(57, None, probe=second)
    assert admit(58) == second + 1


def test_a_probe_that_says_nothing_makes_room_and_changes_nothing() -> None:
    opened()
    probe = admit(40)
    tell(40.1, RateLimited("Slower."), probe=probe)
    assert circuit(41).state is State.HALF_OPEN
    assert admit(41) == probe + 1


def test_answers_that_were_under_way_when_it_opened_do_not_close_it() -> None:
    opened()
    for second in (5, 35, 36, 37):
        tell(second, None)
    assert circuit(6).state is State.OPEN
    assert circuit(38).state is State.HALF_OPEN
    tell(39, DOWN)
    assert circuit(39).retry_at == at(34)


# --- writes -----------------------------------------------------------------------------------------------------------
def test_a_write_is_never_the_first_probe() -> None:
    opened()
    opened(Kind.ORDERS)
    with pytest.raises(CircuitOpen):
        admit(40, writes=True)
    with pytest.raises(CircuitOpen):
        admit(40, Kind.ORDERS, writes=True)
    tell(41, None, probe=admit(41))  # a read of the account, answered
    assert admit(42, writes=True) > 0
    assert admit(42, Kind.ORDERS, writes=True) > 0


def test_a_read_answered_before_the_circuit_was_half_open_proves_nothing() -> None:
    opened(Kind.ORDERS)
    tell(33, None, kind=Kind.DATA)
    with pytest.raises(CircuitOpen):
        admit(40, Kind.ORDERS, writes=True)
    tell(41, None, kind=Kind.DATA, writes=True)
    with pytest.raises(CircuitOpen):
        admit(42, Kind.ORDERS, writes=True)


def test_after_a_failed_order_a_read_must_be_answered_anew() -> None:
    opened(Kind.ORDERS)
    tell(35, None)
    probe = admit(36, Kind.ORDERS, writes=True)
    tell(37, OutcomeUnknown("Silence."), kind=Kind.ORDERS, probe=probe, writes=True)
    with pytest.raises(CircuitOpen):
        admit(98, Kind.ORDERS, writes=True)
    tell(99, None)
    assert admit(100, Kind.ORDERS, writes=True) == probe + 1


def test_a_login_may_be_the_first_probe() -> None:
    """It changes nothing in the account, and there may be no session to read with."""
    opened(Kind.SESSION)
    assert admit(40, Kind.SESSION, writes=True) > 0


# --- what counts ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.ANSWERED),
        (BrokerUnavailable("Down."), Outcome.FAILED),
        (BrokerUnavailable("Closed.", code="broker_maintenance"), Outcome.FAILED),
        (BrokerUnavailable("Down.", vendor_code="AB2001"), Outcome.FAILED),
        (OutcomeUnknown("Silence."), Outcome.FAILED),
        (UnexpectedResponse("body"), Outcome.FAILED),
        (BrokerUnavailable("Not yours.", user_action="Give your app this permission."), Outcome.ANSWERED),
        (RequestRefused("No."), Outcome.ANSWERED),
        (OrderRejected("No."), Outcome.REJECTED),
        (OrderRejected("No.", code="insufficient_funds"), Outcome.ANSWERED),
        (SessionEnded("Over."), Outcome.ANSWERED),
        (RateLimited("Slower."), Outcome.NOTHING),
        (BudgetSpent("Later.", retry_after=1), Outcome.NOTHING),
        (CircuitOpen("Later.", retry_at=T0), Outcome.NOTHING),
        (NotSupported("Never."), Outcome.NOTHING),
    ],
)
def test_what_the_end_of_a_call_says(error: BrokerError | None, outcome: Outcome) -> None:
    assert breaker.outcome_of(error, Kind.PORTFOLIO) is outcome


def test_at_a_login_a_code_of_the_brokers_own_is_an_answer() -> None:
    """Angel One's AB1007: the order system failed; at a login, wrong keys. Nobody may close a broker with those."""
    assert breaker.outcome_of(BrokerUnavailable("No.", vendor_code="AB1007"), Kind.SESSION) is Outcome.ANSWERED
    assert breaker.outcome_of(BrokerUnavailable("Down."), Kind.SESSION) is Outcome.FAILED


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("Slower."),
        BudgetSpent("Later.", retry_after=1),
        SessionEnded("Over."),
        RequestRefused("No."),
        OrderRejected("No."),
        NotSupported("Never."),
    ],
)
def test_throttling_session_ends_and_refusals_never_open_a_circuit(error: BrokerError) -> None:
    for second in range(30):
        tell(second, error, kind=Kind.ORDERS)
    found = circuit(30, Kind.ORDERS)
    assert (found.state, found.consecutive_failures) == (State.CLOSED, 0)


# --- those who agree --------------------------------------------------------------------------------------------------
def test_of_many_threads_one_gets_the_probe() -> None:
    opened()

    def try_it(_: int) -> int:
        try:
            return admit(40)
        except CircuitOpen:
            return 0

    with ThreadPoolExecutor(16) as threads:
        probes = [probe for probe in threads.map(try_it, range(64)) if probe]
    assert len(probes) == 1


def test_another_process_sees_the_same_circuit() -> None:
    for second in range(2):
        tell(second, DOWN)
    elsewhere = f"""
from datetime import datetime, timedelta
from brokers import breaker
from brokers.breaker import Kind, Outcome
from brokers.errors import CircuitOpen
start = datetime.fromisoformat({T0.isoformat()!r})
for second in (2, 3, 4):
    breaker.report({SLUG!r}, Kind.PORTFOLIO, Outcome.FAILED, now=start + timedelta(seconds=second))
try:
    breaker.admit({SLUG!r}, Kind.PORTFOLIO, writes=False, now=start + timedelta(seconds=5))
except CircuitOpen as error:
    print(error.retry_at.isoformat())
"""
    command = [sys.executable, "-c", elsewhere]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
    assert datetime.fromisoformat(ran.stdout.strip()) == at(34)
    with pytest.raises(CircuitOpen):
        admit(5)


# --- reading ----------------------------------------------------------------------------------------------------------
def test_latency_success_and_rejects_can_be_read() -> None:
    for milliseconds in range(1, 101):
        tell(milliseconds / 10, None, kind=Kind.ORDERS, took=milliseconds / 1000)
    tell(11, OrderRejected("No."), kind=Kind.ORDERS, took=0.05)
    found = circuit(12, Kind.ORDERS)
    assert found.p50_ms in (50, 51)
    assert found.p95_ms in (95, 96)
    assert found.success_ratio == 1
    assert found.reject_ratio == pytest.approx(1 / 101)
    tell(13, DOWN, kind=Kind.ORDERS)
    ratio = circuit(13, Kind.ORDERS).success_ratio
    assert ratio == pytest.approx(1 - breaker.WEIGHT_OF_THE_NEWEST)
    later = circuit(13 + breaker.LATENCY_WINDOW_SECONDS, Kind.ORDERS)
    assert (later.p50_ms, later.p95_ms, later.reject_ratio) == (None, None, None)


def test_every_broker_has_a_circuit_of_every_kind() -> None:
    found = breaker.states(now=T0)
    assert [(one.broker_type, one.kind) for one in found] == [
        (slug, kind) for slug in registry.slugs() for kind in Kind
    ]
    assert {one.state for one in found} == {State.CLOSED}
    assert {one.success_ratio for one in found} == {None}


def test_the_circuits_whose_time_has_come() -> None:
    opened()
    opened(Kind.DATA, from_second=10)
    assert breaker.due_probes(at(33)) == ()
    assert [(one.broker_type, one.kind) for one in breaker.due_probes(at(35))] == [(SLUG, Kind.PORTFOLIO)]
    assert len(breaker.due_probes(at(45))) == 2


def test_support_may_close_a_circuit() -> None:
    opened()
    breaker.reset(SLUG, Kind.PORTFOLIO)
    assert admit(5) == 0
    assert circuit(5).state is State.CLOSED


def test_every_rate_class_has_a_kind() -> None:
    kinds = {
        breaker.kind_of(name) for slug in registry.slugs() for name in registry.load(slug).spec.rate_classes.values()
    }
    assert kinds == set(Kind)
    assert {breaker.kind_of(name) for name in ORDER_CLASSES} == {Kind.ORDERS}


def test_changes_are_logged_once_and_without_words_of_the_broker(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "brokers.breaker"):
        opened(error=BrokerUnavailable("Down.", reason="Dear AB1234, no."))
        for second in (40, 41, 42):
            tell(second, None, probe=admit(second))
    assert [record.getMessage().strip() for record in caplog.records] == [
        "zerodha: circuit portfolio opened broker_unavailable",
        "zerodha: circuit portfolio closed",
    ]


def test_everything_in_redis_expires(governed: Redis) -> None:
    opened()
    tell(5, None)
    assert governed.keys("circuit:*")
    assert [key for key in governed.keys("*") if governed.pttl(key) <= 0] == []


@pytest.fixture
def without_redis(governed: Redis, settings: Settings) -> None:
    opened()
    settings.GOVERNOR_REDIS_URL = "redis://127.0.0.1:1/4"


@pytest.mark.usefixtures("without_redis")
def test_without_redis_circuits_are_taken_as_closed() -> None:
    assert admit(5) == 0
    tell(6, DOWN)
    assert {one.state for one in breaker.states(now=at(5))} == {State.CLOSED}
    assert breaker.due_probes(at(40)) == ()
