"""One answer for everybody who asks at the same time, and none that outlives what it was made from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event, Lock

import pytest
import time_machine
from django.core.cache import cache
from pytest_django import Settings

from brokers.changes import generation_key
from brokers.shared import redis
from portfolio import sharing, watching
from portfolio.sharing import Rendered

ALICE, BOB = sharing.own(101), sharing.own(102)


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


class Maker:
    """Makes numbered answers, counting; `hold` keeps the first one waiting."""

    def __init__(self) -> None:
        self.made = 0
        self._numbers = count(1)
        self._lock = Lock()
        self.begun, self.release = Event(), Event()
        self.release.set()

    def __call__(self) -> Rendered:
        with self._lock:
            self.made += 1
            number = next(self._numbers)
        self.begun.set()
        assert self.release.wait(20)
        return Rendered(b"include %d" % number, b"exclude %d" % number)


@pytest.fixture
def make() -> Maker:
    return Maker()


def test_the_second_gets_the_firsts_answer(make: Maker) -> None:
    assert sharing.shared(ALICE, make) == sharing.shared(ALICE, make) == Rendered(b"include 1", b"exclude 1")
    assert make.made == 1


def test_everybody_has_an_answer_of_their_own(make: Maker) -> None:
    assert sharing.shared(ALICE, make) != sharing.shared(BOB, make)
    assert sharing.cached(ALICE) != sharing.cached(BOB)


def test_many_at_once_wait_for_one(make: Maker) -> None:
    make.release.clear()
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(sharing.shared, ALICE, make) for _ in range(20)]
        assert make.begun.wait(20)
        make.release.set()
        answers = {each.result(timeout=20).include for each in asked}
    assert (answers, make.made) == ({b"include 1"}, 1)


def test_a_slow_answer_for_one_holds_nobody_else(make: Maker) -> None:
    make.release.clear()
    with ThreadPoolExecutor(1) as threads:
        alices = threads.submit(sharing.shared, ALICE, make)
        assert make.begun.wait(20)
        assert sharing.shared(BOB, lambda: Rendered(b"b", b"b")).include == b"b"
        make.release.set()
        assert alices.result(timeout=20).include == b"include 1"


def test_another_process_waits_too(make: Maker) -> None:
    """What another process holds is the lock in Redis; its answer is then in the cache."""
    with ThreadPoolExecutor(1) as threads:
        with redis().lock(f"{ALICE.key}:lock", timeout=20):
            waiting = threads.submit(sharing.shared, ALICE, make)
            sharing.renewed(ALICE, lambda: Rendered(b"theirs", b"theirs"))
        assert waiting.result(timeout=20).include == b"theirs"
    assert make.made == 0


def test_another_process_that_is_stuck_costs_no_answer(make: Maker, settings: Settings) -> None:
    settings.PORTFOLIO_DEADLINE_SECONDS = -1.9  # wait a tenth of a second for it
    with redis().lock(f"{ALICE.key}:lock", timeout=20):
        assert sharing.shared(ALICE, make).include == b"include 1"


def test_a_failure_is_not_kept(make: Maker) -> None:
    def fail() -> Rendered:
        raise LookupError

    with pytest.raises(LookupError):
        sharing.shared(ALICE, fail)
    assert sharing.shared(ALICE, make).include == b"include 1"


def test_a_change_of_the_connections_ends_it(make: Maker) -> None:
    sharing.shared(ALICE, make)
    redis().incr(generation_key(ALICE.owner_id))
    assert sharing.cached(ALICE) is None
    assert sharing.shared(ALICE, make).include == b"include 2"


def test_a_change_during_the_making_is_not_covered_up(make: Maker) -> None:
    def make_while_it_changes() -> Rendered:
        redis().incr(generation_key(ALICE.owner_id))
        return make()

    assert sharing.shared(ALICE, make_while_it_changes).include == b"include 1"
    assert sharing.cached(ALICE) is None


def test_it_is_kept_for_seconds_only(make: Maker, settings: Settings) -> None:
    sharing.shared(ALICE, make)
    left = redis().pttl(f"{ALICE.key}:answer")
    assert 0 < left <= settings.PORTFOLIO_CACHE_SECONDS * 1000


def test_renewing_does_not_ask_the_cache(make: Maker) -> None:
    sharing.shared(ALICE, make)
    assert sharing.renewed(ALICE, make).include == b"include 2"
    assert sharing.shared(ALICE, make).include == b"include 2"


class TestWatching:
    def test_a_watch_lapses_unless_it_is_renewed(self) -> None:
        with time_machine.travel("2026-11-23T10:00:00Z", tick=False) as clock:
            watching.watch(ALICE.owner_id)
            watching.watch(BOB.owner_id)
            clock.shift(watching.WATCH_SECONDS - 1)
            watching.watch(BOB.owner_id)
            assert sorted(watching.watchers()) == [ALICE.owner_id, BOB.owner_id]
            clock.shift(1)
            assert watching.watchers() == [BOB.owner_id]
            clock.shift(watching.WATCH_SECONDS)
            assert watching.watchers() == []
