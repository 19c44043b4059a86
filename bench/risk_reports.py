"""How long a whole risk report takes, and what limits need at each change of a book. Times are of the processor.

The book is invented and the same every time: 300 instruments over six accounts, a third of them derivatives. What the
past alone decides is made once a day in production, and so is timed apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas

from bench.table import Aim, Figure, of_rounds
from brokers.domain import SEGMENT_OF, Exchange, OptionType, Product
from portfolio.domain import SourceState
from portfolio.risk.arrays import BookArrays
from portfolio.risk.evaluating import Figure as Measure
from portfolio.risk.evaluating import Measured, Watched, evaluated
from portfolio.risk.exposure import exact
from portfolio.risk.limits import DEFAULTS
from portfolio.risk.past import Past, alike_of, past_of, wanted_factors
from portfolio.risk.presenting import written
from portfolio.risk.quick import quick_measures
from portfolio.risk.report import report
from portfolio.risk.repricing import repriced
from portfolio.risk.revaluation import revalue
from portfolio.risk.tail import historical
from portfolio.risk.valuing import Assumptions, deltas, valued
from portfolio.risk.words import History, Kind, Line, MarketData, Purse, RiskBook, RiskClass

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
INDEX = "NIFTY"
ACCOUNTS = 6
SECTORS = 11
SHARES, FUTURES, OPTIONS = 200, 20, 80  # 300 instruments
ROUNDS = 60
MOVED = 20  # shares whose price a change of the book moves
REPORT_AIM = Aim(50)
LIMITS_AIM = Aim(5)

Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    book: RiskBook
    market: MarketData
    past: Past


def reports(returns: np.ndarray) -> list[Figure]:
    """`returns` (days, instruments) are ratios."""
    world = made(returns)
    found = report(world.book, world.market, past=world.past)
    assert not found.failures
    assert found.losses.value is not None
    rounds = [timed(lambda: report(world.book, world.market, past=world.past)) for _ in range(ROUNDS)]
    name = f"Risk report, {SHARES + FUTURES + OPTIONS} instruments × {len(returns)} scenarios"
    note = f"p99 {np.percentile(rounds, 99):.0f} ms"
    return [
        of_rounds(name, rounds, "ms", aim=REPORT_AIM, note=note),
        of_rounds("  as JSON", [timed(lambda: written(found)) for _ in range(ROUNDS)], "ms"),
        of_rounds("  what the past decides, once a day", [timed(lambda: past(world)) for _ in range(5)], "ms"),
        *against_pandas(world),
        limits(world),
    ]


def limits(world: World) -> Figure:
    """A change of prices: the book at these, its figures, and the default limits held against them."""
    told = valued(world.book.lines, Assumptions(rate=world.market.rate), now=NOW)
    known = [exact(delta) for delta in deltas(told.arrays).tolist()]
    moved = [line.instrument for line in world.book.lines if line.kind is Kind.SPOT][:MOVED]
    watched = [Watched(id=number, limit=limit) for number, limit in enumerate(DEFAULTS)]
    prices = iter(range(1, 1_000_000))

    def change() -> None:
        by = Decimal(next(prices)) / 1000
        book = repriced(world.book, {name: 1000 + by for name in moved}, now=NOW)
        figures = quick_measures(book, known).figures()
        evaluated(watched, Measured({key: Measure(each.value, each.complete) for key, each in figures.items()}))

    change()
    rounds = [timed(change) for _ in range(ROUNDS)]
    return of_rounds(
        f"Limits of that book, held anew after {MOVED} prices moved",
        rounds,
        "ms",
        aim=LIMITS_AIM,
        note=f"p99 {np.percentile(rounds, 99):.1f} ms",
    )


def against_pandas(world: World) -> list[Figure]:
    """VaR and ES of the shares alone, from returns, which is what pandas can do: no option is priced there."""
    shares = [line for line in world.book.lines if line.kind is Kind.SPOT]
    assumed = Assumptions(rate=world.market.rate, index=INDEX, betas=world.past.betas)
    names = world.past.factors.names
    arrays = valued(shares, assumed, now=NOW, factors=names).arrays
    frame = pandas.DataFrame(world.past.factors.returns, columns=list(names))
    values = pandas.Series({line.factor: float(line.units * (line.price or 0)) for line in shares})

    ours, theirs = own_tail(arrays, world), pandas_tail(frame, values)
    assert np.allclose((ours.var, ours.es), theirs)
    pairs = [(timed(lambda: own_tail(arrays, world)), timed(lambda: pandas_tail(frame, values))) for _ in range(ROUNDS)]
    return [
        of_rounds(f"VaR and ES of {len(shares)} shares, by revaluation", [mine for mine, _ in pairs], "ms"),
        of_rounds("  the same in pandas", [other / mine for mine, other in pairs], "×"),
    ]


def own_tail(arrays: BookArrays, world: World) -> object:
    return historical(revalue(arrays, world.past.factors.returns).sum(axis=1), "0.99")


def pandas_tail(frame: pandas.DataFrame, values: pandas.Series) -> tuple[float, float]:
    losses = -frame[values.index].mul(values, axis="columns").sum(axis=1)
    ordered = losses.quantile(0.99, interpolation="lower")
    return ordered, losses[losses > ordered].mean()


def timed(work: Work) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


# --- the invented world -----------------------------------------------------------------------------------------------
def made(returns: np.ndarray) -> World:
    rng = np.random.default_rng(8)
    index = rng.standard_t(4, len(returns)) * 0.007
    days = weekdays(len(returns) + 1)
    histories = {INDEX: history(INDEX, days, index)}
    for number in range(SHARES):
        name = f"INE{number:06d}010"
        histories[name] = history(name, days, index + returns[:, number])
    market = MarketData(index=INDEX, rate=Decimal("0.0525"), histories=histories, trading_days=days)
    book = RiskBook(
        now=NOW, lines=tuple(lines(histories)), purses=tuple(map(purse, range(ACCOUNTS))), day_pnl=Decimal(0)
    )
    return World(book=book, market=market, past=past_of(wanted_factors(book, market), market, alike=alike_of(book)))


def past(world: World) -> Past:
    return past_of(wanted_factors(world.book, world.market), world.market, alike=alike_of(world.book))


def weekdays(count: int) -> tuple[date, ...]:
    days = (date(2026, 11, 20) - timedelta(days=back) for back in range(2 * count))
    return tuple(reversed([day for day in days if day.weekday() < 5][:count]))


def history(name: str, days: tuple[date, ...], returns: np.ndarray) -> History:
    closes = 1000 * np.cumprod(np.concatenate(([1.0], 1 + returns)))
    return History(
        factor=name,
        days=days,
        closes=tuple(Decimal(f"{close:.2f}") for close in closes),
        volumes=(Decimal(250_000),) * len(days),
    )


def lines(histories: dict[str, History]) -> list[Line]:
    shares = [name for name in histories if name != INDEX]
    found = [line(number, Kind.SPOT, name, histories, 50 + number) for number, name in enumerate(shares)]
    found += [line(number, Kind.FUTURE, shares[number], histories, -500) for number in range(FUTURES)]
    for number in range(OPTIONS):
        kind = OptionType.CE if number % 2 else OptionType.PE
        found.append(line(number, Kind.OPTION, INDEX, histories, 75 * (number % 7 - 3) or 75, kind))
    return found


def line(
    number: int,
    kind: Kind,
    factor: str,
    histories: dict[str, History],
    units: int,
    option_type: OptionType | None = None,
) -> Line:
    spot = histories[factor].closes[-1]
    exchange = Exchange.NSE if kind is Kind.SPOT else Exchange.NFO
    strike = (spot * (90 + number % 20) / 100).quantize(Decimal(1)) if option_type else None
    return Line(
        connection_id=f"account-{number % ACCOUNTS}",
        broker_type=f"broker-{number % ACCOUNTS}",
        broker_name=f"Broker {number % ACCOUNTS}",
        kind=kind,
        instrument=factor if kind is Kind.SPOT else f"NFO|{factor}|2026-12-29|{strike}|{option_type}|{number}",
        issuer=factor,
        factor=factor,
        symbol=factor,
        name=None,
        exchange=exchange,
        segment=SEGMENT_OF[exchange],
        product=Product.CNC if kind is Kind.SPOT else Product.NRML,
        risk_class=RiskClass.INDEX if option_type else RiskClass.EQUITY,
        units=Decimal(units),
        price=premium(spot, strike, option_type) if strike is not None and option_type else spot,
        as_of=NOW,
        sector=f"Sector {number % SECTORS}",
        underlying=factor,
        underlying_price=spot,
        expiry=None if kind is Kind.SPOT else date(2026, 12, 29),
        strike=strike,
        option_type=option_type,
        settled=Decimal(units) if kind is Kind.SPOT else Decimal(0),
        loan=Decimal(0),
    )


def premium(spot: Decimal, strike: Decimal, option_type: OptionType) -> Decimal:
    """What it is worth at once, and some time value."""
    within = spot - strike if option_type is OptionType.CE else strike - spot
    away = abs(spot - strike) / spot
    return max(within, Decimal(0)) + spot * max(Decimal("0.002"), Decimal("0.018") - away / 8)


def purse(number: int) -> Purse:
    return Purse(
        connection_id=f"account-{number}",
        broker_type=f"broker-{number}",
        broker_name=f"Broker {number}",
        display_name=f"Broker {number}",
        state=SourceState.LIVE,
        as_of=NOW,
        cash=Decimal(500_000),
        available=Decimal(400_000),
        used=Decimal(200_000),
        collateral=Decimal(0),
        unsettled=Decimal(0),
        day_pnl=Decimal(0),
    )
