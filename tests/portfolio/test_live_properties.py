"""Whatever happens to them, live books are what a full recompute of the same inputs gives, to the last digit."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.domain import Contract, Exchange, Position, Product
from portfolio.consolidate import consolidate
from portfolio.deltas import LiveDelta, apply_delta, differences
from portfolio.domain import BorrowedPrice, ConsolidatedPortfolio, InstrumentKey, LivePrice, Source, SourceState
from portfolio.live import LiveBooks
from portfolio.marks import live_prices
from tests.portfolio.sources import NOW, account, future, holding, position, source, told
from tests.portfolio.strategies import PRICES, SHARES, UNKNOWABLE_PRICES, books, loans, positions

repeatable = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

TOKENS: dict[InstrumentKey, str] = {
    (exchange, f"{exchange}-{symbol}"): isin
    for isin, symbol in SHARES.items()
    for exchange in (Exchange.NSE, Exchange.BSE)
}
FUTURES: list[InstrumentKey] = [(Exchange.NFO, "53001"), (Exchange.BFO, "53001"), (Exchange.NFO, "53002")]
FOREIGN: InstrumentKey = (Exchange.NSE, "nobody")
# Few, so that one often ticks twice, and falls silent after it ticked.
INSTRUMENTS = [*list(TOKENS)[:4], *FUTURES[:2], FOREIGN]
USERS = (1, 2)
AGES = st.sampled_from([0, 1, 40_000])  # the last is yesterday


@st.composite
def derivatives(draw: st.DrawFn) -> Position:
    exchange = draw(st.sampled_from([Exchange.NFO, Exchange.BFO]))
    contract = Contract(underlying="NIFTY", expiry=date(2026, 12, 29))
    quantity = draw(st.integers(-3, 3)) * 25
    row = position(
        quantity,
        price=draw(PRICES),
        last=draw(UNKNOWABLE_PRICES),
        close=draw(UNKNOWABLE_PRICES),
        exchange=exchange,
        symbol="NIFTY26DECFUT",
        product=Product.NRML,
        exchange_token=draw(st.sampled_from([None, "53001", "53002"])),
        contract=draw(st.sampled_from([None, contract])),
        overnight_quantity=Decimal(draw(st.sampled_from([0, 25]))),
    )
    return row if draw(st.booleans()) else replace(row, average_price=None)


@st.composite
def intraday(draw: st.DrawFn) -> Position:
    exchange, token = draw(st.sampled_from(list(TOKENS)))
    return replace(draw(positions()), product=Product.MIS, exchange=exchange, exchange_token=token)


@st.composite
def prices(draw: st.DrawFn) -> tuple[InstrumentKey, LivePrice | None]:
    """What a stream tells of one instrument, that it fell silent, or that it is not streamed any more."""
    instrument = draw(st.sampled_from(INSTRUMENTS))
    if draw(st.integers(0, 4)) == 0:
        return instrument, None
    return instrument, told(
        draw(PRICES),
        draw(st.sampled_from([None, "100", "101.05"])),
        exchange=instrument[0],
        age=draw(AGES),
        stale=draw(st.sampled_from([False, False, False, True])),
    )


@dataclass
class Watched:
    """The live books beside the plain facts, and what a client that was given every delta shows."""

    live: LiveBooks = field(default_factory=lambda: LiveBooks(TOKENS))
    latest: dict[InstrumentKey, LivePrice] = field(default_factory=dict)
    told: dict[int, tuple[list[Source], dict[str, BorrowedPrice]]] = field(default_factory=dict)
    shown: dict[int, ConsolidatedPortfolio] = field(default_factory=dict)
    seconds: int = 0

    def hold(self, user_id: int, sources: list[Source], borrowed: dict[str, BorrowedPrice]) -> None:
        self.told[user_id] = (sources, borrowed)
        book = self.live.hold(user_id, sources, borrowed)
        if user_id not in self.shown:
            self.shown[user_id] = book.portfolio(self.now)

    def tick(self, instrument: InstrumentKey, price: LivePrice | None) -> None:
        before = {user_id: self.recomputed(user_id) for user_id in self.told}
        if price is None:
            self.latest.pop(instrument, None)
        else:
            self.latest[instrument] = price
        touched = self.live.apply(instrument, price)
        assert {user_id for user_id in self.told if self.recomputed(user_id) != before[user_id]} == touched

    def read(self, user_id: int) -> LiveDelta:
        self.seconds += 1
        delta = self.live.books[user_id].changes(self.now)
        self.shown[user_id] = apply_delta(self.shown[user_id], delta)
        return delta

    @property
    def now(self) -> Any:
        return NOW + timedelta(seconds=self.seconds)

    def recomputed(self, user_id: int) -> ConsolidatedPortfolio:
        sources, borrowed = self.told[user_id]
        streamed = live_prices(self.latest, TOKENS)
        return consolidate(user_id, sources, now=self.now, borrowed=borrowed, streamed=streamed)

    def check(self) -> None:
        for user_id in self.told:
            book = self.live.books[user_id]
            assert differences(book.portfolio(self.now), self.recomputed(user_id)) == []
            assert book.reconcile(self.now) == []


accounts_of_all_kinds = st.one_of(positions(), derivatives(), intraday())


@repeatable
@given(st.data())
def test_any_interleaving_leaves_the_books_as_a_full_recompute_has_them(data: st.DataObject) -> None:
    watched = Watched()
    for user_id in USERS:
        watched.hold(user_id, data.draw(books(rows=accounts_of_all_kinds)), data.draw(loans()))
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["tick", "tick", "tick", "answer", "state", "read"])):
            case "tick":
                watched.tick(*data.draw(prices()))
            case "answer":
                user_id = data.draw(st.sampled_from(USERS))
                watched.hold(user_id, data.draw(books(rows=accounts_of_all_kinds)), data.draw(loans()))
            case "state":
                user_id = data.draw(st.sampled_from(USERS))
                sources, borrowed = watched.told[user_id]
                watched.hold(user_id, [data.draw(altered(each)) for each in sources], borrowed)
            case "read":
                user_id = data.draw(st.sampled_from(USERS))
                watched.read(user_id)
                assert differences(watched.shown[user_id], watched.recomputed(user_id)) == []
        watched.check()
    for user_id in USERS:
        watched.read(user_id)
        assert differences(watched.shown[user_id], watched.recomputed(user_id)) == []
        assert watched.read(user_id).is_empty
        assert differences(watched.shown[user_id], watched.recomputed(user_id)) == []


def altered(one: Source) -> st.SearchStrategy[Source]:
    """The same connection a moment later: live, gone stale, or missing."""
    if one.portfolio is None:
        return st.just(one)
    return st.sampled_from(
        [
            one,
            replace(one, state=SourceState.STALE),
            replace(one, state=SourceState.LIVE),
            replace(one, state=SourceState.MISSING, portfolio=None),
        ]
    )


@repeatable
@given(st.lists(prices(), max_size=10), books(rows=accounts_of_all_kinds), books(), st.randoms(use_true_random=False))
def test_the_order_of_users_and_instruments_does_not_matter(
    ticks: list[tuple[InstrumentKey, LivePrice | None]], one: list[Source], other: list[Source], chance: random.Random
) -> None:
    final = dict(ticks)
    orderly, shuffled = LiveBooks(TOKENS), LiveBooks(TOKENS)
    for user_id, sources in ((1, one), (2, other)):
        orderly.hold(user_id, sources)
    for instrument, price in ticks:
        orderly.apply(instrument, price)
    for instrument in chance.sample(list(final), len(final)):
        shuffled.apply(instrument, final[instrument])
    for user_id, sources in ((2, other), (1, one)):
        shuffled.hold(user_id, chance.sample(sources, len(sources)))
    for user_id in (1, 2):
        assert orderly.books[user_id].portfolio(NOW) == shuffled.books[user_id].portfolio(NOW)


def test_sums_do_not_drift_in_ten_thousand_ticks() -> None:
    """With averages that no number of digits holds, of shares at two brokers, and a contract."""
    chance = random.Random(20261123)  # noqa: S311 - the same walk every time
    third = Decimal(100) / 3

    def answer(slug: str) -> Source:
        lines = [
            holding(isin, chance.randint(1, 999), average=third * chance.randint(1, 99), symbol=symbol)
            for isin, symbol in SHARES.items()
        ]
        return source(slug, account(lines, [future(chance.randint(1, 9) * 75)]))

    watched = Watched()
    watched.hold(1, [answer("zerodha"), answer("upstox")], {})
    instruments = [*TOKENS, FUTURES[0]]
    for number in range(10_000):
        instrument = chance.choice(instruments)
        price = told(Decimal(chance.randint(5, 9_999_999)) / 1000, "100", exchange=instrument[0])
        watched.latest[instrument] = price
        watched.live.apply(instrument, price)
        if number % 500 == 0:
            watched.read(1)
            assert watched.shown[1] == watched.recomputed(1)
    assert watched.live.books[1].portfolio(watched.now) == watched.recomputed(1)
    assert watched.live.books[1].reconcile(watched.now) == []
