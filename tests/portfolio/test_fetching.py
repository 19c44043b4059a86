"""Several brokers asked at once: none waits for another, none hides another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from brokers import registry
from brokers.base import BrokerClient, PortfolioPart
from brokers.domain import AppCredentials, Exchange, Funds, Listing, Quote, RowProblem, Rows, Session
from brokers.errors import BrokerError, BrokerUnavailable, BudgetSpent, RateLimited, SessionEnded, UnexpectedResponse
from brokers.secret import Secret
from brokers.transport import Deadline
from portfolio.domain import Unpriced
from portfolio.fetching import THREADS_PER_BROKER, fetch_all
from portfolio.prices import borrow_prices
from tests.portfolio.sources import INFY, NOW, SBIN, holding

FUNDS = Funds(available=Decimal(5), used=None, collateral=None, cash=None)
Part = Callable[[], PortfolioPart]


def scripted(slug: str, *, quotes: Callable[[list[Listing]], Iterable[Quote]] | None = None, **parts: Part) -> Any:
    """A client of that broker whose calls are answered here; what is not given is empty."""
    broker = registry.load(slug)
    well: dict[str, Part] = {
        "holdings": lambda: Rows((holding(),)),
        "positions": lambda: Rows(()),
        "funds": lambda: FUNDS,
    }

    class Scripted(broker.client_class):
        def portfolio_parts(self) -> Mapping[str, Part]:
            return {**well, **parts}

        @classmethod
        def assemble(cls, parts: Mapping[str, PortfolioPart], *, as_of: Any) -> Any:
            return BrokerClient.assemble.__func__(cls, parts, as_of=as_of)

        def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing | None:
            return Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=f"{slug}:{tradingsymbol}")

        def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
            return tuple(quotes(list(listings)) if quotes else ())

    nothing = Secret("")
    return Scripted(
        broker.transport(), AppCredentials(api_key=nothing, api_secret=nothing), Session(access_token=nothing)
    )


def fails(error: Exception) -> Part:
    def part() -> PortfolioPart:
        raise error

    return part


def one(client: BrokerClient, seconds: float = 5) -> Any:
    key = uuid4()
    return fetch_all({key: client}, Deadline(seconds), now=NOW)[key]


@pytest.fixture
def forever() -> Iterable[Part]:
    """A call that lasts until the test is over."""
    over = threading.Event()

    def part() -> PortfolioPart:
        over.wait(30)
        return Rows(())

    yield part
    over.set()


def test_an_account_is_put_together_from_its_parts() -> None:
    problem = RowProblem(part="positions", row=0, field="quantity")
    answer = one(scripted("zerodha", positions=lambda: Rows((), (problem,))))
    assert (answer.error, answer.portfolio.as_of, answer.portfolio.funds) == (None, NOW, FUNDS)
    assert (answer.portfolio.holdings, answer.portfolio.problems) == ((holding(),), (problem,))


def test_holdings_that_cannot_be_read_at_all_are_no_empty_account() -> None:
    problems = tuple(RowProblem(part="holdings", row=row, field="quantity") for row in range(2))
    answer = one(scripted("zerodha", holdings=lambda: Rows((), problems)))
    assert (answer.portfolio, type(answer.error)) == (None, UnexpectedResponse)
    assert "holdings.quantity" in answer.error.message
    answer = one(scripted("zerodha", holdings=lambda: Rows((holding(),), problems)))
    assert (answer.error, answer.portfolio.holdings, answer.portfolio.problems) == (None, (holding(),), problems)


def test_all_calls_of_all_brokers_run_at_the_same_time() -> None:
    """Nobody passes the barrier before all six calls have begun."""
    barrier = threading.Barrier(6)

    def part() -> PortfolioPart:
        barrier.wait(20)
        return Rows(())

    clients: dict[UUID, BrokerClient] = {
        uuid4(): scripted(slug, holdings=part, positions=part, funds=part) for slug in ("zerodha", "upstox")
    }
    answers = fetch_all(clients, Deadline(20), now=NOW)
    assert [answer.error for answer in answers.values()] == [None, None]


def test_a_broker_that_hangs_ends_at_the_deadline_and_hides_nobody(forever: Part) -> None:
    slow, well = uuid4(), uuid4()
    clients = {slow: scripted("zerodha", holdings=forever), well: scripted("upstox")}
    started = time.monotonic()
    answers = fetch_all(clients, Deadline(0.5), now=NOW)
    assert time.monotonic() - started < 20
    assert (answers[slow].portfolio, type(answers[slow].error)) == (None, BrokerUnavailable)
    assert (answers[well].portfolio.holdings, answers[well].error) == ((holding(),), None)


def test_a_broker_that_hangs_fills_its_own_threads_alone(forever: Part) -> None:
    hanging = {uuid4(): scripted("zerodha", holdings=forever) for _ in range(2 * THREADS_PER_BROKER)}
    fetch_all(hanging, Deadline(0.1), now=NOW)
    assert one(scripted("upstox"), seconds=20).error is None


def test_without_funds_a_portfolio_is_still_a_portfolio() -> None:
    answer = one(scripted("upstox", funds=fails(BrokerUnavailable("Closed at night."))))
    assert (answer.portfolio.funds, answer.portfolio.holdings) == (None, (holding(),))
    assert isinstance(answer.error, BrokerUnavailable)


@pytest.mark.parametrize("part", ["holdings", "positions"])
def test_half_a_portfolio_is_none(part: str) -> None:
    answer = one(scripted("zerodha", **{part: fails(BrokerUnavailable("Away."))}))
    assert (answer.portfolio, type(answer.error)) == (None, BrokerUnavailable)


def test_an_ended_session_is_told_before_an_outage() -> None:
    failures: dict[str, Part] = {
        "holdings": fails(RateLimited("Slowly.")),
        "positions": fails(SessionEnded("Ended.")),
        "funds": fails(BrokerUnavailable("Away.")),
    }
    assert isinstance(one(scripted("zerodha", **failures)).error, SessionEnded)


def test_and_an_outage_before_what_our_own_budget_refused() -> None:
    failures = {
        "holdings": fails(BudgetSpent("No further call.", retry_after=1)),
        "positions": fails(BrokerUnavailable("Away.")),
    }
    assert type(one(scripted("zerodha", **failures)).error) is BrokerUnavailable


def test_a_mistake_in_one_dialect_is_logged_and_hides_nobody(caplog: pytest.LogCaptureFixture) -> None:
    wrong, well = uuid4(), uuid4()
    clients = {wrong: scripted("zerodha", holdings=fails(KeyError("isin"))), well: scripted("upstox")}
    with caplog.at_level(logging.ERROR):
        answers = fetch_all(clients, Deadline(20), now=NOW)
    assert isinstance(answers[wrong].error, UnexpectedResponse)
    assert "Reading holdings of zerodha failed" in caplog.text
    assert answers[well].error is None


# --- borrowed prices --------------------------------------------------------------------------------------------------
def lends(price: str, *symbols: str, close: str | None = "1") -> Callable[[list[Listing]], list[Quote]]:
    def quotes(listings: list[Listing]) -> list[Quote]:
        return [
            Quote(
                exchange=listing.exchange,
                broker_token=listing.broker_token,
                last_price=Decimal(price),
                close_price=None if close is None else Decimal(close),
            )
            for listing in listings
            if listing.tradingsymbol in symbols
        ]

    return quotes


WANTED = [
    Unpriced(isin=INFY, has_price=False, exchange=Exchange.NSE, symbol="INFY"),
    Unpriced(isin=SBIN, has_price=False, exchange=Exchange.BSE, symbol="SBIN"),
]


def borrowed(*clients: BrokerClient | BrokerError) -> dict[str, tuple[Decimal, str]]:
    found = borrow_prices(WANTED, {uuid4(): client for client in clients}, Deadline(5), now=NOW)
    return {isin: (price.price, price.broker_type) for isin, price in found.items()}


def test_the_next_broker_is_asked_for_what_the_first_does_not_know() -> None:
    asked: list[str] = []

    def knows_all(listings: list[Listing]) -> list[Quote]:
        asked.extend(listing.tradingsymbol for listing in listings)
        return lends("2", "INFY", "SBIN")(listings)

    first = scripted("zerodha", quotes=lends("1", "INFY"))
    second = scripted("upstox", quotes=knows_all)
    assert borrowed(first, second) == {INFY: (Decimal(1), "zerodha"), SBIN: (Decimal(2), "upstox")}
    assert asked == ["SBIN"]


def test_a_close_that_the_first_does_not_quote_is_the_next_ones() -> None:
    clients = {
        uuid4(): scripted("groww", quotes=lends("1", "INFY", "SBIN", close=None)),
        uuid4(): scripted("zerodha", quotes=lends("2", "INFY", close="3")),
    }
    found = borrow_prices(WANTED, clients, Deadline(5), now=NOW)
    assert {isin: (lent.price, lent.close, lent.broker_type) for isin, lent in found.items()} == {
        INFY: (Decimal(1), Decimal(3), "groww"),
        SBIN: (Decimal(1), None, "groww"),
    }


def test_a_broker_that_fails_or_cannot_be_asked_is_passed_over() -> None:
    def refuses(listings: list[Listing]) -> list[Quote]:
        raise SessionEnded("Ended.")

    clients = (
        SessionEnded("Ended."),
        scripted("zerodha", quotes=refuses),
        scripted("upstox", quotes=lends("2", "INFY")),
    )
    assert borrowed(*clients) == {INFY: (Decimal(2), "upstox")}


def test_nobody_is_asked_for_a_close_that_is_known() -> None:
    asked: list[str] = []

    def closes(listings: list[Listing]) -> list[Quote]:
        asked.extend(listing.tradingsymbol for listing in listings)
        return lends("2", "SBIN", close="3")(listings)

    clients = {
        uuid4(): scripted("groww", quotes=lends("1", "INFY", "SBIN", close=None)),
        uuid4(): scripted("zerodha", quotes=closes),
    }
    found = borrow_prices(WANTED, clients, Deadline(5), now=NOW, with_close={INFY})
    assert asked == ["SBIN"]
    assert {isin: (lent.price, lent.close) for isin, lent in found.items()} == {
        INFY: (Decimal(1), None),
        SBIN: (Decimal(1), Decimal(3)),
    }


def test_a_mistake_in_one_dialect_costs_only_its_loan(caplog: pytest.LogCaptureFixture) -> None:
    def mistaken(listings: list[Listing]) -> list[Quote]:
        raise KeyError("last_price")

    with caplog.at_level(logging.ERROR):
        found = borrowed(scripted("zerodha", quotes=mistaken), scripted("upstox", quotes=lends("2", "INFY")))
    assert found == {INFY: (Decimal(2), "upstox")}
    assert "Reading quotes of zerodha failed" in caplog.text


def test_nobody_is_asked_when_the_time_is_up() -> None:
    client = scripted("zerodha", quotes=lends("1", "INFY"))
    assert borrow_prices(WANTED, {uuid4(): client}, Deadline(0), now=NOW) == {}
