"""Asking many accounts within one batch: what was told counts, and what our own end cut short is nobody's failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from threading import Event
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from brokers.base import BrokerClient
from brokers.domain import Candle, Exchange, Listing, Rows
from brokers.errors import BrokerError, BrokerUnavailable, RateLimited
from brokers.transport import Deadline
from market import candle_calls
from market.candle_calls import CALL_SECONDS, Ask, Told, ask_all
from tests.market.candle_teller import DAY, TODAY, candle, no_pause, weekdays

FIRST = TODAY - 29 * DAY
KEY = uuid4()


class Clock(Deadline):
    """A batch's end that comes nearer only when somebody says so."""

    def __init__(self, left: float) -> None:
        super().__init__(left)
        self.left = left

    def remaining(self) -> float:
        return self.left


@dataclass
class Account:
    """Answers each call after so many seconds of the clock; a call that has fewer is cut, as by the transport."""

    clock: Clock
    seconds: float
    candle_days: int = 2000
    error: BrokerError | None = None
    asked: list[tuple[str, date, date]] = field(default_factory=list)
    spec: Any = field(default_factory=lambda: SimpleNamespace(slug=f"slow-{uuid4()}"))
    given: float = 0.0

    def within(self, seconds: float) -> Account:
        self.given = min(seconds, self.clock.left)
        return self

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        self.asked.append((listing.tradingsymbol, first, last))
        took = min(self.seconds, self.given)
        self.clock.left -= took
        if took < self.seconds:
            raise BrokerUnavailable("The broker did not answer in time.")
        if self.error is not None:
            raise self.error
        return Rows(tuple(candle(day, "100") for day in weekdays(first, last)), ())


def asks(*symbols: str) -> list[Ask]:
    return [
        Ask(number, Listing(exchange=Exchange.NSE, tradingsymbol=symbol, broker_token=symbol), FIRST, TODAY)
        for number, symbol in enumerate(symbols)
    ]


def told_by(account: Account, *symbols: str) -> list[Told]:
    return ask_all({KEY: (cast(BrokerClient, account), asks(*symbols))}, account.clock, no_pause)[KEY]


def test_what_was_told_before_the_end_is_kept_and_what_the_end_cut_is_no_failure() -> None:
    """A broker that takes more than half of a batch one each time, and not none for ever."""
    account = Account(Clock(15.0), 7.6)
    first, second = told_by(account, "A", "B", "C")
    assert (first.is_all, first.until, len(first.candles)) == (True, TODAY, len(weekdays(FIRST, TODAY)))
    assert (second.cut, second.error, second.until, second.is_all) == (True, None, None, False)
    assert [symbol for symbol, _, _ in account.asked] == ["A", "B"]


def test_who_has_all_the_time_of_a_call_and_does_not_answer_has_failed() -> None:
    account = Account(Clock(15.0), 60.0)
    [told] = told_by(account, "A", "B")
    assert (type(told.error), told.cut, account.clock.left) == (BrokerUnavailable, False, 15.0 - CALL_SECONDS)


def test_a_refusal_at_the_very_end_is_still_one() -> None:
    account = Account(Clock(3.0), 3.0, error=RateLimited("Fewer calls."))
    [told] = told_by(account, "A")
    assert (type(told.error), told.cut) == (RateLimited, False)


def test_no_piece_is_begun_without_the_time_for_it() -> None:
    account = Account(Clock(9.0), 2.5, candle_days=7)
    [told] = told_by(account, "A", "B")
    assert [last for _, _, last in account.asked] == [FIRST + n * DAY for n in (6, 13, 20)]
    assert account.clock.left == 1.5
    assert (told.cut, told.error, told.until) == (True, None, FIRST + 20 * DAY)


@pytest.fixture
def hanging() -> Iterator[Callable[[str], None]]:
    """Waits, at the name it is told, until the test is over."""
    over, name = Event(), "B"

    def wait(symbol: str) -> None:
        if symbol == name:
            assert over.wait(timeout=30)

    yield wait
    over.set()


def test_an_answer_counts_though_its_account_is_not_through(
    hanging: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever holds the thread up: an answer is handed over as it comes."""
    monkeypatch.setattr(candle_calls, "GRACE_SECONDS", 0.0)
    account = Account(Clock(15.0), 0.0)
    told, tell = Event(), account.candles

    def candles(listing: Listing, first: date, last: date) -> Rows[Candle]:
        if listing.tradingsymbol == "B":
            account.clock.left = 0.0
            told.set()
        hanging(listing.tradingsymbol)
        return tell(listing, first, last)

    def pooled(slug: str) -> ThreadPoolExecutor:
        found = real(slug)
        submit = found.submit

        def submitted(*given: Any, **named: Any) -> Any:
            future = submit(*given, **named)
            assert told.wait(timeout=30)
            return future

        monkeypatch.setattr(found, "submit", submitted)
        return found

    real = candle_calls.pool
    monkeypatch.setattr(candle_calls, "pool", pooled)
    monkeypatch.setattr(account, "candles", candles)
    [only] = told_by(account, "A", "B")
    assert (only.ask.listing.tradingsymbol, only.is_all) == ("A", True)


def test_every_account_has_its_place_in_the_answer() -> None:
    clock = Clock(0.0)
    keys: list[UUID] = [uuid4(), uuid4()]
    given = {key: (cast(BrokerClient, Account(clock, 1.0)), asks("A")) for key in keys}
    assert ask_all(given, clock, no_pause) == {key: [] for key in keys}
