"""The gate before every call, between our clients and the simulated brokers: what it refuses never leaves the house."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from redis import Redis

from accounts.models import User
from brokers import breaker, governor, reach, registry
from brokers.base import BrokerClient, listing_of
from brokers.breaker import Kind, State
from brokers.domain import ConnectionStatus
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    RateLimited,
    SessionEnded,
)
from brokers.gate import FAIR_SECONDS, gate_for
from brokers.models import BrokerConnection
from brokers.shared import Ledger
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.spec import Renewal
from brokers.transport import Call, Deadline, Passage, Transport
from orders import calling
from portfolio.fetching import fetch_all
from tests.brokers.ageing import grow_older
from tests.contract.live import LiveBroker, read
from tests.people import connect

SLUG = "zerodha"
every_broker = pytest.mark.parametrize("slug", registry.slugs())


# As long as a broker must be given before its silence says something of it, and what a busy machine loses of that.
FAIR = FAIR_SECONDS + 1


def client(connection: BrokerConnection, seconds: float = 5) -> BrokerClient:
    return reach.client_for(connection, deadline=Deadline(seconds), now=timezone.now())


def error_of(act: Callable[[], Any]) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        act()
    return caught.value


def left(connection: BrokerConnection, endpoints: str, seconds: int = 1) -> int:
    windows = governor.budget(connection.broker_type, str(connection.pk), endpoints).windows
    return min(window.left for window in windows if window.seconds == seconds)


def sent(control: Control, slug: str = SLUG) -> int:
    return sum(control.counters(slug).values())


@pytest.fixture
def connection(alices: dict[str, BrokerConnection], governed: Redis) -> BrokerConnection:
    """Alice's connection at Zerodha; its login took nothing from these budgets."""
    return alices[SLUG]


def break_circuit(connection: BrokerConnection) -> None:
    for _ in range(breaker.FAILURES_IN_A_ROW):
        error_of(client(connection).profile)


def half_an_hour_later(redis: Redis) -> None:
    """Let every circuit have been opened earlier: its time to be tried has come."""
    for key in redis.keys("circuit:*"):
        if redis.type(key) == b"hash" and redis.hexists(key, "retry_at"):
            redis.hincrby(key, "retry_at", -1_800_000)


# --- circuits ---------------------------------------------------------------------------------------------------------
def test_a_broker_that_hangs_is_soon_asked_nothing_and_costs_no_time(
    connection: BrokerConnection, control: Control
) -> None:
    control.set_fault(SLUG, "latency", milliseconds=30_000)
    with ThreadPoolExecutor(breaker.FAILURES_IN_A_ROW) as threads:
        asked = [client(connection, FAIR) for _ in range(breaker.FAILURES_IN_A_ROW)]
        errors = list(threads.map(error_of, [one.profile for one in asked]))
    assert {type(error) for error in errors} == {BrokerUnavailable}
    assert breaker.state_of(SLUG, Kind.PORTFOLIO).state is State.OPEN
    control.reset_counters()

    started = time.monotonic()
    refused = [error_of(client(connection).profile) for _ in range(50)]
    assert time.monotonic() - started < 20  # and not five seconds each
    assert {type(error) for error in refused} == {CircuitOpen}
    assert refused[0].connection_status is ConnectionStatus.ERROR
    assert control.counters(SLUG) == {}
    assert left(connection, "other") >= 5  # what is refused by the circuit takes nothing from the budget


def test_one_probe_finds_the_broker_well_and_three_answers_close_the_circuit(
    connection: BrokerConnection, control: Control, governed: Redis
) -> None:
    control.set_fault(SLUG, "down")
    break_circuit(connection)
    assert isinstance(error_of(client(connection).holdings), CircuitOpen)
    half_an_hour_later(governed)
    assert [one.kind for one in breaker.due_probes(timezone.now())] == [Kind.PORTFOLIO]
    assert not isinstance(error_of(client(connection).profile), CircuitOpen)  # the probe
    assert isinstance(error_of(client(connection).profile), CircuitOpen)  # a minute, now
    control.clear_faults(SLUG)
    half_an_hour_later(governed)
    for _ in range(3):
        assert breaker.state_of(SLUG, Kind.PORTFOLIO).state is State.HALF_OPEN
        client(connection).profile()
    assert breaker.state_of(SLUG, Kind.PORTFOLIO).state is State.CLOSED


def test_a_broker_that_is_ill_does_not_shut_another_off(
    alices: dict[str, BrokerConnection], connection: BrokerConnection, control: Control
) -> None:
    control.set_fault(SLUG, "server_error")
    break_circuit(connection)
    assert isinstance(error_of(client(connection).profile), CircuitOpen)
    assert client(alices["upstox"]).profile().account_id


TAKING_BACK = {
    "zerodha": (("DELETE", "/orders/regular/1"), ("DELETE", "/gtt/triggers/1")),
    "angel_one": tuple(
        ("POST", f"/rest/secure/angelbroking/{path}") for path in ("order/v1/cancelOrder", "gtt/v1/cancelRule")
    ),
    "fyers": (("DELETE", "/api/v3/orders/sync"), ("DELETE", "/api/v3/gtt/orders/sync")),
    "groww": (("POST", "/v1/order/cancel"), ("POST", "/v1/order-advance/cancel/CASH/GTT/1")),
    "upstox": (("DELETE", "/v3/order/cancel"),),
    "iifl": (("DELETE", "/interactive/orders"),),
    "iifl_capital": (("DELETE", "/v1/orders/1"),),
}


@every_broker
def test_no_circuit_holds_up_what_takes_an_order_back(slug: str, governed: Redis, settings: Any) -> None:
    """Five placements without an answer say nothing of a cancellation: it is asked for, and its budget alone counts."""
    settings.GOVERNOR_ENABLED = True
    gate = gate_for(registry.load(slug).spec, "account-1")
    down = BrokerUnavailable("It cannot be reached.")
    for _ in range(breaker.FAILURES_IN_A_ROW):
        breaker.report(slug, Kind.ORDERS, breaker.Outcome.FAILED, writes=True, error=down)
    assert breaker.state_of(slug, Kind.ORDERS).state is State.OPEN
    placing = next(
        (method or "POST", path) for (method, path), name in gate.spec.rate_classes.items() if name == "orders"
    )
    with pytest.raises(CircuitOpen):
        gate.enter(Call(*placing, writes=True), Deadline(5))
    for method, path in TAKING_BACK[slug]:
        passage = gate.enter(Call(method, path, writes=True), Deadline(5))
        passage.leave(None, 0.1)
    # Nor is it the probe that closes a circuit.
    assert breaker.state_of(slug, Kind.ORDERS).state is State.OPEN


def test_a_pause_of_other_calls_holds_up_no_cancellation(connection: BrokerConnection, settings: Any) -> None:
    connection.record_failure(_slow_down(), timezone.now())
    connection.refresh_from_db()
    [refused] = calling.clients_for([connection], timezone.now()).values()
    [ending] = calling.clients_to_end([connection], timezone.now()).values()
    assert isinstance(refused, RateLimited)
    assert isinstance(ending, BrokerClient)


def _slow_down() -> RateLimited:
    error = RateLimited("Fewer calls, please.")
    error.retry_after = 60
    return error


def test_maintenance_is_still_maintenance_behind_an_open_circuit(
    connection: BrokerConnection, control: Control
) -> None:
    control.set_fault(SLUG, "maintenance")
    break_circuit(connection)
    error = error_of(client(connection).profile)
    assert (error.code, error.connection_status) == ("circuit_open", ConnectionStatus.MAINTENANCE)


def test_a_dead_session_leaves_the_circuit_closed(connection: BrokerConnection, control: Control) -> None:
    control.revoke(SLUG)
    errors = [error_of(client(connection).profile) for _ in range(8)]
    assert {type(error) for error in errors} == {SessionEnded}
    found = breaker.state_of(SLUG, Kind.PORTFOLIO)
    assert (found.state, found.consecutive_failures) == (State.CLOSED, 0)


def test_a_caller_without_time_says_nothing_of_the_broker(connection: BrokerConnection, control: Control) -> None:
    control.set_fault(SLUG, "latency", milliseconds=1000)
    for _ in range(6):
        assert isinstance(error_of(client(connection, 0.3).profile), BrokerUnavailable)
    assert breaker.state_of(SLUG, Kind.PORTFOLIO).consecutive_failures == 0
    control.reset_counters()
    before = left(connection, "other")
    spent = error_of(client(connection, 0).profile)
    assert (type(spent), spent.message) == (BrokerUnavailable, "The broker cannot be reached in time.")
    assert control.counters(SLUG) == {}
    assert left(connection, "other") >= before


def test_in_the_background_a_call_that_something_larger_ended_says_nothing_either(
    connection: BrokerConnection, control: Control
) -> None:
    """Its own time, run out of, does: daily prices and quotes share a circuit, and one must not shut the other off."""
    control.set_fault(SLUG, "latency", milliseconds=30_000)

    def asked(batch: float, call: float) -> BrokerError:
        whole = reach.client_for(connection, deadline=Deadline(batch), now=timezone.now(), in_background=True)
        return error_of(whole.within(call).profile)

    assert isinstance(asked(FAIR, 8), BrokerUnavailable)
    assert breaker.state_of(SLUG, Kind.PORTFOLIO).consecutive_failures == 0
    assert isinstance(asked(8, FAIR), BrokerUnavailable)
    assert breaker.state_of(SLUG, Kind.PORTFOLIO).consecutive_failures == 1
    assert isinstance(error_of(client(connection, FAIR).within(8).profile), BrokerUnavailable)
    assert breaker.state_of(SLUG, Kind.PORTFOLIO).consecutive_failures == 2, "somebody waits for this one"


# --- budgets ----------------------------------------------------------------------------------------------------------
def test_a_call_beyond_the_budget_is_never_sent(connection: BrokerConnection, control: Control) -> None:
    for _ in range(10):
        client(connection).profile()
    error = error_of(client(connection, 0.5).profile)
    assert isinstance(error, BudgetSpent)
    assert error.retry_after is not None
    assert sent(control) == 10
    client(connection, 3).profile()  # has time to wait for its turn
    assert sent(control) == 11


def test_a_throttled_account_is_left_alone_and_the_circuit_stays_closed(
    connection: BrokerConnection, control: Control
) -> None:
    control.set_fault(SLUG, "rate_limit", count=1)
    assert type(error_of(client(connection).profile)) is RateLimited
    control.reset_counters()
    error = error_of(client(connection, 0.5).profile)
    assert isinstance(error, BudgetSpent)
    assert control.counters(SLUG) == {}
    assert breaker.state_of(SLUG, Kind.PORTFOLIO).consecutive_failures == 0
    assert client(connection, 3).profile().account_id


def test_a_read_that_is_asked_once_more_pays_twice(connection: BrokerConnection, control: Control) -> None:
    control.set_fault(SLUG, "drop_connection", count=1)
    client(connection).profile()
    assert left(connection, "other") == 8


def test_a_read_is_not_asked_once_more_without_budget(
    alices: dict[str, BrokerConnection], connection: BrokerConnection, control: Control
) -> None:
    control.set_fault(SLUG, "drop_connection", count=1)
    listing = client(connection).listing(registry.load(SLUG).spec.capabilities.exchanges[0], "INFY", None)
    assert listing is not None
    error = error_of(lambda: client(connection, 0.9).quotes([listing]))  # one a second
    assert type(error) is BrokerUnavailable
    assert breaker.state_of(SLUG, Kind.DATA).consecutive_failures == 1


def test_calls_in_a_hurry_pass_the_same_gate(connection: BrokerConnection) -> None:
    client(connection).hurried().profile()
    assert left(connection, "other") == 9


def test_logins_take_from_a_budget_of_their_own(alice: User, brokers: SimulatedBrokers, governed: Redis) -> None:
    connect(alice, "angel_one", brokers)
    spent = {key.decode().split(":")[2] for key in governed.keys("budget:angel_one:*")}
    assert reach.before_login(alice) in spent
    assert [key for key in governed.keys("*") if b"token" in key.lower()] == []


def test_a_call_costs_two_questions_to_redis(connection: BrokerConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    client(connection).profile()
    asked: list[object] = []
    ask = Ledger.ask
    monkeypatch.setattr(Ledger, "ask", lambda ledger, question: (asked.append(question), ask(ledger, question))[1])
    client(connection).profile()
    assert len(asked) == 2


def test_switched_off_nothing_is_counted(connection: BrokerConnection, settings: Any, governed: Redis) -> None:
    governed.flushdb()
    settings.GOVERNOR_ENABLED = False
    client(connection).profile()
    assert governed.keys("*") == []


# --- every broker -----------------------------------------------------------------------------------------------------
@every_broker
def test_a_portfolio_is_refreshed_twice_in_a_row(
    slug: str, alice: User, brokers: SimulatedBrokers, governed: Redis
) -> None:
    """As an open page asks for it every two seconds, within the three that an answer may take."""
    connection = connect(alice, slug, brokers)
    for _ in range(2):
        started = time.monotonic()
        deadline = Deadline(2.7)
        asked: dict[UUID, BrokerClient] = {
            connection.pk: reach.client_for(connection, deadline=deadline, now=timezone.now())
        }
        answer = fetch_all(asked, deadline, now=timezone.now())[connection.pk]
        assert answer.error is None
        assert answer.portfolio is not None
        assert answer.portfolio.holdings
        grow_older(governed, 2 - (time.monotonic() - started))


class Noting:
    """A gate that lets everything pass and remembers it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def enter(self, call: Call, deadline: Deadline) -> Passage:
        self.calls.append(call)
        return self

    def again(self) -> bool:
        return True

    def leave(self, error: BrokerError | None, seconds: float) -> None:
        return None


class Watched(LiveBroker):
    """A simulated broker whose every call is noted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.noting = Noting()

    def transport(self, deadline: Deadline | None = None) -> Transport:
        plain = super().transport(deadline)
        return self.broker.transport(endpoints=plain.endpoints, loopback_only=True, deadline=deadline, gate=self.noting)


@every_broker
def test_every_call_that_a_client_makes_has_a_class_with_a_limit(slug: str, brokers: SimulatedBrokers) -> None:
    live = Watched(registry.load(slug), brokers)
    spec = live.broker.spec
    session = live.log_in()
    asked = live.client(session, seconds=30)
    portfolio = read(asked)
    asked.profile(), asked.orders(), asked.trades()
    asked.quotes(listing_of(line) for line in portfolio.holdings[:2])
    if spec.session.renewal is not Renewal.NONE:
        session = live.auth().refresh(session, now=timezone.now())
    if "revoke" in spec.capabilities.features:
        live.auth().revoke(session)

    kinds = set()
    for call in live.noting.calls:
        rate_class, entry = spec.rate_class(call.method, call.path)
        kinds.add(breaker.kind_of(rate_class))
        limits = [limit for limit in spec.capabilities.rate_limits if limit.counts(rate_class)]
        assert limits, call
        assert entry or not any(limit.per_path for limit in limits), call
        assert not call.writes or rate_class in ("session", "refresh", "logout"), call
    assert {Kind.PORTFOLIO, Kind.DATA, Kind.SESSION} == kinds
