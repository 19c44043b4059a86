"""The live engine on one core: 10,000 watched books of 50 shares, and ticks that each move the rows of one share.

No broker, no socket, no row of a table. A plain recompute of the books that a tick touches runs in turn with it.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from bench.table import Aim, Figure, of_rounds
from brokers.domain import BrokerPortfolio, Exchange, Holding
from portfolio.consolidate import Book, valued
from portfolio.domain import InstrumentKey, LivePrice, LivePrices, Source, SourceState
from portfolio.live import LiveBooks
from trademaster.local.house import House

USERS = 10_000
ROWS = 50
SHARES = 2_000
# Everybody's first rows are of these: the shares that half the country holds.
POPULAR = 10
ROUNDS = 7
TICKS = 400
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
CLOSE = Decimal("1000.00")


@dataclass(frozen=True, slots=True)
class Round:
    rows_per_second: float
    counted_anew_per_second: float
    recomputed_per_second: float
    changes_ms: float
    recompute_ms: float


def measure(house: House) -> list[Figure]:
    return measured()


def measured(users: int = USERS) -> list[Figure]:
    chance = random.Random(5)  # noqa: S311 - the same books every time
    listings = {instrument(number): isin(number) for number in range(SHARES)}
    before = resident()
    sources = {user_id: [source(user_id, part, chance) for part in range(2)] for user_id in range(users)}
    held = resident()
    books = LiveBooks(listings)
    for number in range(SHARES):
        books.apply(instrument(number), price(1000, 0))
    for user_id, told in sources.items():
        books.hold(user_id, told)
    engine = resident() - held
    gc.collect()
    gc.freeze()
    rounds = [one_round(books, chance, number) for number in range(ROUNDS)]
    rows = users * ROWS
    assert all(not books.books[user_id].reconcile(NOW) for user_id in range(0, users, max(1, users // 50)))
    gc.unfreeze()
    return [
        of_rounds(
            "row updates by ticks, one core",
            [each.rows_per_second for each in rounds],
            "/s",
            aim=Aim(100_000, at_least=True),
            note=f"{users} users × {ROWS} rows; best {max(each.rows_per_second for each in rounds):,.0f}/s",
        ),
        of_rounds(
            "  as many times a plain recompute of the touched books",
            [each.rows_per_second / each.recomputed_per_second for each in rounds],
            "×",
        ),
        of_rounds(
            "rows of streams that begin or fall silent",
            [each.counted_anew_per_second for each in rounds],
            "/s",
            note="taken out of the sums and counted again",
        ),
        of_rounds(
            f"delta of one user, {ROWS // 10} of {ROWS} rows changed",
            [each.changes_ms for each in rounds],
            "ms",
            note=f"best {min(each.changes_ms for each in rounds):.3f} ms",
        ),
        of_rounds(
            "  part of a plain recompute of that user",
            [each.changes_ms / each.recompute_ms for each in rounds],
            "×",
        ),
        Figure(
            name="memory of one watched user",
            value=(engine + held - before) / users / 1000,
            unit="kB",
            note=f"{engine / rows:,.0f} bytes per row for the engine, {(held - before) / rows:,.0f} for the answers",
        ),
    ]


def one_round(books: LiveBooks, chance: random.Random, number: int) -> Round:
    """Ticks of shares as they come: one in five is of a popular one."""
    numbers = [chance.randrange(POPULAR if chance.random() < 0.2 else SHARES) for _ in range(TICKS)]
    ticks = [(instrument(share), price(900 + chance.randrange(200), number)) for share in numbers]
    touched = 0

    def tick() -> None:
        nonlocal touched
        touched += sum(len(books.apply(*each)) for each in ticks)

    seconds = cpu_seconds(tick)
    silent = [instrument(share) for share in chance.sample(range(POPULAR, SHARES), TICKS // 8)]
    anew = 0

    def fall_silent_and_begin() -> None:
        nonlocal anew
        anew += sum(len(books.apply(each, told)) for told in (None, price(1000, number)) for each in silent)

    silence = cpu_seconds(fall_silent_and_begin)
    some = list(books.books)[:: max(1, len(books.books) // 200)]
    for user_id in some:
        books.books[user_id].changes(NOW)
    for share in chance.sample(range(POPULAR), ROWS // 10):
        books.apply(instrument(share), price(900 + chance.randrange(200), number))
    changes = cpu_seconds(lambda: [books.books[user_id].changes(NOW) for user_id in some])
    streamed = LivePrices({isin(share): price(1000, number) for share in range(SHARES)})
    answers = {user_id: Book.of(books.books[user_id].sources) for user_id in some}
    recompute = cpu_seconds(
        lambda: [valued(user_id, book, now=NOW, streamed=streamed) for user_id, book in answers.items()]
    )
    return Round(
        rows_per_second=touched / seconds,
        counted_anew_per_second=anew / silence,
        recomputed_per_second=len(some) / recompute,
        changes_ms=changes / len(some) * 1000,
        recompute_ms=recompute / len(some) * 1000,
    )


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


def resident() -> int:
    """Bytes of memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- books ------------------------------------------------------------------------------------------------------------
def isin(number: int) -> str:
    return f"INE{number:04d}01021"


def instrument(number: int) -> InstrumentKey:
    return (Exchange.NSE, str(number))


def price(rupees: int, seconds: int) -> LivePrice:
    return LivePrice(
        exchange=Exchange.NSE,
        price=Decimal(rupees * 100 + 5) / 100,
        close=CLOSE,
        source="zerodha",
        as_of=NOW + timedelta(seconds=seconds),
    )


def source(user_id: int, part: int, chance: random.Random) -> Source:
    """The first broker has all of the user's shares, the second a few of them again."""
    popular = list(range(POPULAR))
    shares = popular + chance.sample(range(POPULAR, SHARES), ROWS - POPULAR) if part == 0 else popular
    return Source(
        connection_id=f"{user_id}-{part}",
        broker_type=("zerodha", "upstox")[part],
        broker_name=("Zerodha", "Upstox")[part],
        display_name=("Zerodha", "Upstox")[part],
        rank=part,
        state=SourceState.LIVE,
        portfolio=BrokerPortfolio(as_of=NOW, holdings=tuple(holding(number, chance) for number in shares)),
    )


def holding(number: int, chance: random.Random) -> Holding:
    return Holding(
        exchange=Exchange.NSE,
        tradingsymbol=f"SHARE{number}",
        isin=isin(number),
        broker_token=str(number),
        settled_quantity=Decimal(chance.randint(1, 500)),
        average_price=Decimal(chance.randint(10_000, 200_000)) / 100,
        last_price=Decimal(chance.randint(90_000, 110_000)) / 100,
        close_price=Decimal(CLOSE),
    )
