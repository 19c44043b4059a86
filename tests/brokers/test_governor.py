"""Rate budgets: exact in every window, shared by processes, waited for or refused before anything is sent."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from django.conf import settings
from pytest_django import Settings
from redis import Redis

from brokers import governor, registry, shared
from brokers.errors import BudgetSpent
from brokers.gate import gate_for
from brokers.spec import BrokerSpec, RateLimit
from brokers.transport import Call, Deadline
from tests.brokers import hammer
from tests.brokers.ageing import grow_older
from trademaster.local.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
ACCOUNT = "account-1"
NOW = datetime(2026, 11, 24, 4, 30, tzinfo=UTC)


def spec_with(*limits: RateLimit, slug: str = "zerodha") -> BrokerSpec:
    spec = registry.load(slug).spec
    return replace(spec, capabilities=replace(spec.capabilities, rate_limits=limits))


def limit(endpoints: str, calls: int, seconds: int, **more: object) -> RateLimit:
    return RateLimit(endpoints=endpoints, calls=calls, seconds=seconds, **more)  # type: ignore[arg-type]


def asker(spec: BrokerSpec, account: str = ACCOUNT) -> Callable[..., float]:
    return lambda rate_class, path="": governor.take(governor.plan(spec, account, rate_class, path))


# --- windows ----------------------------------------------------------------------------------------------------------
def test_every_window_of_a_class_holds_at_once(governed: Redis) -> None:
    ask = asker(spec_with(limit("quotes", 3, 1), limit("quotes", 5, 60)))
    assert [ask("quotes") for _ in range(3)] == [0, 0, 0]
    assert 0.8 < ask("quotes") <= 1.05
    grow_older(governed, 1.05)
    assert [ask("quotes"), ask("quotes")] == [0, 0]
    assert 57 < ask("quotes") <= 59.1  # two of the second are left, none of the minute
    grow_older(governed, 59.1)
    assert ask("quotes") == 0


def test_a_call_is_recorded_in_all_its_windows_or_in_none(governed: Redis) -> None:
    ask = asker(spec_with(limit("quotes", 1, 1), limit("all", 3, 60)))
    assert ask("quotes") == 0
    assert [ask("quotes") > 0 for _ in range(5)] == [True] * 5
    assert governed.llen(f"budget:zerodha:{ACCOUNT}:all") == 1
    assert [ask("other"), ask("history")] == [0, 0]
    assert ask("other") > 50  # the account's three are spent, by three classes


def test_a_hundred_thousand_a_day_keeps_its_log_as_long_as_its_window(governed: Redis) -> None:
    ask = asker(spec_with(limit("other", 4, 86400)))
    governed.lpush(f"budget:zerodha:{ACCOUNT}:other", *range(10))
    assert ask("other") == 0
    assert governed.llen(f"budget:zerodha:{ACCOUNT}:other") == 4


def test_a_clock_that_was_set_back_blocks_nobody(governed: Redis) -> None:
    ask = asker(spec_with(limit("quotes", 1, 1)))
    assert ask("quotes") == 0
    grow_older(governed, -3600)
    assert ask("quotes") == 0
    assert ask("quotes") > 0


def test_paths_that_count_by_themselves(governed: Redis) -> None:
    spec = registry.load("angel_one").spec
    ask = asker(spec)
    secure = "/rest/secure/angelbroking"
    for path in ("portfolio/v1/getAllHolding", "order/v1/getPosition", "order/v1/getOrderBook"):
        rate_class, entry = spec.rate_class("GET", f"{secure}/{path}")
        assert rate_class == "books"
        assert (ask(rate_class, entry), ask(rate_class, entry) > 0) == (0, True)


def test_ids_in_a_path_share_one_window() -> None:
    spec = registry.load("upstox").spec
    assert spec.rate_class("GET", "/v2/order/trades") == ("other", "/v2/order/trades")
    assert spec.rate_class("GET", "/v2/order/trades/2411250001") == ("other", "/v2/order/trades")
    assert spec.rate_class("GET", "/v2/order/trades/get-trades-for-day")[1] == "/v2/order/trades/get-trades-for-day"
    assert spec.rate_class("DELETE", "/v3/order/cancel") == ("cancels", "/v3/order")
    assert spec.rate_class("GET", "/v2/order-like") == ("other", "")


def test_a_limit_of_several_classes_and_one_of_a_single(governed: Redis, settings: Settings) -> None:
    """Zerodha: ten a second for placing, changing and cancelling; 400 a minute for placing alone."""
    settings.ORDERS_PER_SECOND = 10
    ask = asker(registry.load("zerodha").spec)
    assert [ask(name) for name in ("orders", "order_changes") * 4] == [0] * 8
    assert ask("orders") > 0
    assert ask("order_changes") > 0
    left = {(w.endpoints, w.seconds): w.left for w in governor.budget("zerodha", ACCOUNT, "orders").windows}
    assert left[("orders", 60)] == 396


@pytest.mark.parametrize("slug", registry.slugs())
def test_of_ten_a_second_two_are_kept_for_cancelling(slug: str, governed: Redis) -> None:
    """However many orders are placed meanwhile; and no more than what the broker allows in all."""
    spec = registry.load(slug).spec
    most = min(each.calls for each in spec.capabilities.rate_limits if each.seconds == 1 and each.counts("cancels"))
    ask = asker(spec)
    placed = cancelled = 0
    while not ask("orders"):
        placed += 1
    while not ask("cancels"):
        cancelled += 1
    assert (placed, cancelled) == (most - 2, 2)


@pytest.mark.parametrize(("slug", "calls", "seconds"), [("angel_one", 1000, 3600), ("upstox", 2000, 1800)])
def test_of_long_windows_a_fifth_is_kept_for_cancelling_too(
    slug: str, calls: int, seconds: int, governed: Redis
) -> None:  # fmt: skip
    """An hour in which all was spent on placing would leave what stands there for as long."""
    spec = registry.load(slug).spec
    whole = next(each for each in spec.capabilities.rate_limits if (each.calls, each.seconds) == (calls, seconds)
                 and each.counts("cancels"))  # fmt: skip
    placing, cancelling = (governor.plan(spec, ACCOUNT, name, "") for name in ("orders", "cancels"))
    most = {name: next(limit.calls for _, limit in wanted.windows if limit.seconds == seconds)
            for name, wanted in (("orders", placing), ("cancels", cancelling))}  # fmt: skip
    assert most == {"orders": whole.calls * 4 // 5, "cancels": whole.calls}


@pytest.mark.parametrize(("slug", "placing"), [("zerodha", "gtt"), ("angel_one", "gtt"), ("fyers", "orders"),
                                               ("groww", "smart_orders")])  # fmt: skip
def test_what_waits_for_its_price_is_taken_back_from_what_is_kept(slug: str, placing: str, governed: Redis) -> None:
    ask = asker(registry.load(slug).spec)
    while not ask(placing):
        pass
    assert [ask("gtt_cancels"), ask("gtt_cancels")] == [0, 0]


@pytest.mark.parametrize("slug", registry.slugs())
def test_the_houses_own_cap_on_orders(slug: str, governed: Redis, settings: Settings) -> None:
    settings.ORDERS_PER_SECOND = 3
    spec = registry.load(slug).spec
    placing = [name for name in governor.ORDER_CLASSES if name not in governor.CANCELS]
    named = [name for name in placing if name in spec.rate_classes.values()]
    ask = asker(spec)
    assert "orders" in named
    assert [ask(named[number % len(named)]) for number in range(3)] == [0] * 3
    assert all(0 < ask(name) <= 1.05 for name in named)


@pytest.mark.parametrize("number", ["11", "0"])
def test_no_installation_may_send_more_orders_than_the_exchanges_allow(number: str) -> None:
    environment = {**os.environ, "ORDERS_PER_SECOND": number}
    command = [sys.executable, "-c", "import trademaster.settings"]
    tried = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert tried.returncode != 0
    assert "ORDERS_PER_SECOND must be from 1 to 10" in tried.stderr


def test_accounts_have_budgets_of_their_own_and_every_key_expires(governed: Redis) -> None:
    spec = registry.load("zerodha").spec
    assert asker(spec)("quotes") == 0
    assert asker(spec)("quotes") > 0
    assert asker(spec, "account-2")("quotes") == 0
    asker(spec)("orders")
    governor.pause(spec, ACCOUNT, "orders", 5)
    assert [key for key in governed.keys("*") if governed.pttl(key) <= 0] == []


# --- waiting and refusing ---------------------------------------------------------------------------------------------
def test_a_call_waits_for_its_turn_within_its_deadline(governed: Redis) -> None:
    spec = spec_with(limit("quotes", 2, 1))
    started = time.monotonic()

    def wait() -> float:
        governor.acquire(spec, ACCOUNT, "quotes", "", Deadline(20))
        return time.monotonic() - started

    with ThreadPoolExecutor(6) as threads:
        ends = sorted(future.result() for future in [threads.submit(wait) for _ in range(6)])
    assert ends[1] < 1.0 < ends[2]
    assert ends[4] > 2.0


def test_a_call_whose_turn_comes_too_late_is_refused_at_once(governed: Redis) -> None:
    spec = spec_with(limit("quotes", 1, 60))
    governor.acquire(spec, ACCOUNT, "quotes", "", Deadline(20))
    started = time.monotonic()
    with pytest.raises(BudgetSpent) as caught:
        governor.acquire(spec, ACCOUNT, "quotes", "", Deadline(30))
    assert time.monotonic() - started < 20
    assert caught.value.code == "rate_budget_spent"
    assert caught.value.connection_status is None
    assert 30 < (caught.value.retry_after or 0) <= 60.05


def test_a_pause_that_a_broker_asked_for(governed: Redis) -> None:
    spec = registry.load("zerodha").spec
    governor.pause(spec, ACCOUNT, "quotes", 30)
    assert 29 < asker(spec)("quotes") <= 30
    assert asker(spec)("other") == 0
    [paused] = governor.budget("zerodha", ACCOUNT, "quotes", now=NOW).windows
    assert paused.paused_until is not None
    assert timedelta(seconds=29) < paused.paused_until - NOW <= timedelta(seconds=30)


def test_a_pause_without_a_figure_lasts_a_second(governed: Redis) -> None:
    spec = registry.load("zerodha").spec
    governor.pause(spec, ACCOUNT, "quotes", None)
    assert 0.8 < asker(spec)("quotes") <= 1.0


def test_where_a_broker_counts_all_calls_together_it_is_left_alone_with_all(governed: Redis) -> None:
    spec = registry.load("fyers").spec
    governor.pause(spec, ACCOUNT, "quotes", 30)
    assert asker(spec)("other") > 29
    assert all(window.paused_until for window in governor.budget("fyers", ACCOUNT).windows)


def test_what_is_left_can_be_read(governed: Redis) -> None:
    ask = asker(registry.load("fyers").spec)
    before = governor.budget("fyers", ACCOUNT)
    assert before.shared
    assert [(w.endpoints, w.left) for w in before.windows if w.left != w.calls] == []
    ask("quotes")
    ask("other")
    left = {(w.endpoints, w.calls, w.seconds): w.left for w in governor.budget("fyers", ACCOUNT).windows}
    assert left[("all", 10, 1)] == 8
    assert left[("all", 200, 60)] == 198
    assert left[("all", 100_000, 86400)] == 99_998
    grow_older(governed, 30)
    left = {(w.endpoints, w.calls, w.seconds): w.left for w in governor.budget("fyers", ACCOUNT).windows}
    assert (left[("all", 10, 1)], left[("all", 200, 60)]) == (10, 198)


@pytest.mark.parametrize("slug", registry.slugs())
def test_every_class_of_every_broker_has_a_limit_and_a_readable_budget(slug: str, governed: Redis) -> None:
    spec = registry.load(slug).spec
    limits = spec.capabilities.rate_limits
    named = {*spec.rate_classes.values(), "orders", "other"}
    assert [name for name in named if not any(limit.counts(name) for limit in limits)] == []
    counted = {name for limit in limits for name in (limit.endpoints, *limit.also)}
    assert counted <= {*named, "all"}
    assert {window.left for window in governor.budget(slug, ACCOUNT).windows if window.left != window.calls} == set()


# --- several processes ------------------------------------------------------------------------------------------------
def test_processes_that_hammer_one_budget_never_exceed_it_in_any_window(governed: Redis) -> None:
    """Two processes of eight threads each. The grants are those that Redis itself was seen to record."""
    seen: dict[str, list[int]] = defaultdict(list)
    with governed.monitor() as monitor:
        command = [sys.executable, "-m", "tests.brokers.hammer", "4"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        processes = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(2)]
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        watch = Thread(target=hammer.note_grants, args=(monitor.listen(), seen))
        watch.start()
        counts: Counter[str] = Counter()
        for process in processes:
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            granted = json.loads(output)
            assert sum(granted.values()) > 50, granted  # neither is starved
            counts.update(granted)
        governed.echo("the end")
        watch.join(20)
    assert not watch.is_alive()

    logs = {
        log: (limit, name)
        for slug, rate_class, path in hammer.CLASSES
        for plan in [governor.plan(registry.load(slug).spec, hammer.ACCOUNT, rate_class, path)]
        for number, limit in plan.windows
        for log, name in [((plan.logs[number], limit), plan.logs[number])]
    }
    assert {name for _, name in logs.values()} == set(seen)
    for limit, name in logs.values():
        grants = sorted(seen[name])
        spans = [later - earlier for earlier, later in zip(grants, grants[limit.calls :], strict=False)]
        assert min(spans, default=limit.seconds * 1000) >= limit.seconds * 1000, (name, limit)
    assert len(seen["budget:zerodha:hammered:quotes"]) == counts["zerodha/quotes"] >= 3
    assert len(seen["budget:fyers:hammered:all"]) == counts["fyers/other"] + counts["fyers/quotes"] >= 20
    # The budget is used, not only kept: what a second allows goes out, but for the slack.
    assert counts["zerodha/orders"] + counts["zerodha/order_changes"] >= 20


# --- while Redis is away ----------------------------------------------------------------------------------------------
@pytest.fixture
def own_redis(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """A Redis that a test may stop, and that is asked again soon after it was silent."""
    monkeypatch.setattr(shared, "AWAY_SECONDS", 0.3)
    server = RedisServer(tmp_path / "redis", ephemeral=True)
    server.start()
    settings.GOVERNOR_REDIS_URL = server.url
    client: Redis = Redis.from_url(server.url)
    process = int(client.info("server")["process_id"])
    client.stop = lambda: os.kill(process, signal.SIGSTOP)  # type: ignore[attr-defined]
    client.resume = lambda: os.kill(process, signal.SIGCONT)  # type: ignore[attr-defined]
    yield client
    client.resume()  # type: ignore[attr-defined]
    client.close()
    server.stop()
    governor.alone.forget()


def test_without_redis_each_process_keeps_to_its_part(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.GOVERNOR_REDIS_URL = "redis://127.0.0.1:1/3"
    settings.GOVERNOR_PROCESSES = 4
    governor.alone.forget()
    ask = asker(spec_with(limit("other", 10, 20), limit("quotes", 1, 20), limit("history", 3, 60)))
    with caplog.at_level(logging.WARNING, "brokers.shared"):
        assert [ask("other"), ask("other")] == [0, 0]
        assert 15 < ask("other") <= 20.05  # a quarter of ten is two
        assert ask("quotes") == 0
        assert 70 < ask("quotes") <= 80.05  # a quarter of one in 20 seconds is one in 80
        assert ask("history") == 0
        assert 70 < ask("history") <= 80.05
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == ["Redis is away"]
    assert asker(registry.load("zerodha").spec, "account-2")("other") == 0
    budget = governor.budget("zerodha", "account-2", "other")
    assert not budget.shared
    assert [(window.calls, window.left) for window in budget.windows] == [(10, 1)]
    governor.pause(registry.load("zerodha").spec, ACCOUNT, "history", 100)
    assert 99 < ask("history") <= 100
    governor.alone.forget()


def test_a_redis_that_hangs_costs_little_and_is_shared_again_when_it_answers(
    own_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ask = asker(spec_with(limit("other", 8, 60)))
    assert ask("other") == 0
    own_redis.stop()  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING, "brokers.shared"):
        started = time.monotonic()
        assert [ask("other"), ask("other")] == [0, 0]
        assert min(ask("other") for _ in range(20)) > 50
        assert time.monotonic() - started < 10 * settings.REDIS_TIMEOUT_SECONDS  # and not one for each
        own_redis.resume()  # type: ignore[attr-defined]
        wait_until(lambda: governor.budget("zerodha", ACCOUNT, "other").shared)
        assert ask("other") == 0
        assert ask("other") == 0
    # The client library may log too.
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("brokers")]
    assert [words.partition(" (")[0].partition(":")[0] for words in ours] == ["Redis is away", "Redis is back"]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = Deadline(20)
    while not true():
        assert deadline.remaining() > 0
        time.sleep(0.05)


# --- in the background ------------------------------------------------------------------------------------------------
def in_background(spec: BrokerSpec, rate_class: str = "quotes") -> float:
    return governor.take(governor.in_background(governor.plan(spec, ACCOUNT, rate_class, "")))


class TestInBackground:
    def test_a_fifth_of_every_window_and_no_more(self, governed: Redis) -> None:
        spec = spec_with(limit("quotes", 10, 1), limit("quotes", 15, 60))
        assert [in_background(spec), in_background(spec)] == [0, 0]
        assert 0 < in_background(spec) <= 1.05
        grow_older(governed, 1.05)
        assert in_background(spec) == 0
        grow_older(governed, 1.05)
        assert 55 < in_background(spec) <= 60.05  # three of the minute's fifteen

    def test_less_than_a_call_is_one_in_a_longer_window(self, governed: Redis) -> None:
        spec = spec_with(limit("quotes", 1, 1))
        assert in_background(spec) == 0
        grow_older(governed, 1.05)
        assert 3.5 < in_background(spec) <= 4
        assert asker(spec)("quotes") == 0  # while a trader's own call finds the second free

    def test_what_it_takes_counts_in_the_broker_s_own_window(self, governed: Redis) -> None:
        spec = spec_with(limit("quotes", 5, 1))
        assert in_background(spec) == 0
        assert [asker(spec)("quotes") for _ in range(4)] == [0] * 4
        assert asker(spec)("quotes") > 0

    def test_none_while_the_trader_s_own_calls_have_taken_half(self, governed: Redis) -> None:
        spec = spec_with(limit("quotes", 10, 1))
        assert [asker(spec)("quotes") for _ in range(5)] == [0] * 5
        assert in_background(spec) > 0
        assert [asker(spec)("quotes") for _ in range(5)] == [0] * 5

    @pytest.mark.parametrize("slug", registry.slugs())
    def test_every_broker_s_windows_have_room_for_both(self, slug: str, governed: Redis) -> None:
        """However often the house asks, what it got is a fifth of each window at most, or one call in a longer one."""
        spec = registry.load(slug).spec
        granted = sum(in_background(spec) == 0 for _ in range(50))
        tightest = min(each.calls for each in spec.capabilities.rate_limits if each.counts("quotes"))
        assert granted == max(1, tightest // governor.BACKGROUND_PART)

    def test_it_never_waits(self, governed: Redis, settings: Settings) -> None:
        settings.GOVERNOR_ENABLED = True
        gate = gate_for(spec_with(limit("quotes", 1, 20)), ACCOUNT, in_background=True)
        gate.enter(Call("GET", "/quote/ohlc"), Deadline(30))
        started = time.monotonic()
        with pytest.raises(BudgetSpent):
            gate.enter(Call("GET", "/quote/ohlc"), Deadline(30))
        assert time.monotonic() - started < 15
