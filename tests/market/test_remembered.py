"""What the master says, kept for a while."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest

from market.remembered import KEPT, UNKNOWN_KEPT, Remembered

NOW = datetime(2026, 11, 26, 6, 30, tzinfo=UTC)


class Master:
    """Names letters by their capitals, and says nothing of digits."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.is_down = False

    def __call__(self, keys: Collection[str]) -> dict[str, str]:
        self.asked.append(set(keys))
        if self.is_down:
            raise ConnectionError
        return {key: key.upper() for key in keys if key.isalpha()}


@pytest.fixture
def master() -> Master:
    return Master()


@pytest.fixture
def remembered(master: Master) -> Remembered[str, str]:
    return Remembered(master)


def test_only_what_is_not_known_is_asked_for(master: Master, remembered: Remembered[str, str]) -> None:
    assert remembered.of(["a", "1", "a"], NOW) == {"a": "A"}
    assert remembered.of(["b", "a", "1"], NOW) == {"a": "A", "b": "B"}
    assert remembered.of(["a", "b", "1"], NOW) == {"a": "A", "b": "B"}
    assert remembered.of([], NOW) == {}
    assert master.asked == [{"a", "1"}, {"b"}]


def test_what_nobody_knew_is_asked_for_again_sooner(master: Master, remembered: Remembered[str, str]) -> None:
    for later in (timedelta(0), UNKNOWN_KEPT, KEPT):
        assert remembered.of(["a", "1"], NOW + later) == {"a": "A"}
    assert master.asked == [{"a", "1"}, {"1"}, {"a", "1"}]


def test_a_question_that_failed_leaves_nothing_behind(master: Master, remembered: Remembered[str, str]) -> None:
    master.is_down = True
    with pytest.raises(ConnectionError):
        remembered.of(["a"], NOW)
    master.is_down = False
    assert remembered.of(["a"], NOW) == {"a": "A"}


def test_what_is_forgotten_is_asked_for_anew(master: Master, remembered: Remembered[str, str]) -> None:
    remembered.of(["a"], NOW)
    remembered.forget()
    remembered.of(["a"], NOW)
    assert master.asked == [{"a"}, {"a"}]


def test_nobody_waits_for_another_s_answer() -> None:
    """Each of two questions is answered only when both are being asked."""
    both = Barrier(2, timeout=20)
    master = Master()

    def slow(keys: Collection[str]) -> dict[str, str]:
        both.wait()
        return master(keys)

    remembered = Remembered(slow)
    told: list[dict[str, str]] = []
    threads = [Thread(target=lambda keys=keys: told.append(remembered.of(keys, NOW))) for keys in ("ab", "ac")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told, key=str) == [{"a": "A", "b": "B"}, {"a": "A", "c": "C"}]
    assert remembered.of("abc", NOW) == {"a": "A", "b": "B", "c": "C"}
