"""From the lines of the risk book to what each is valued with: years, volatility, rate, and what moves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import numpy as np

from portfolio.risk.arrays import ABSENT, BookArrays, Driver, Floats, Integers, Pricing, Terms, book_arrays
from portfolio.risk.expiry import has_ended, years_to_expiry
from portfolio.risk.implied import NoVolatility, Volatilities, implied_volatility, with_neighbours
from portfolio.risk.numbers import ratio, rupees
from portfolio.risk.pricing import Greeks, greeks, greeks_on_future
from portfolio.risk.words import Line, RiskClass

ONE = Decimal(1)
CRUDE_OIL = "CRUDEOIL"  # and CRUDEOILM, its mini
OF_THE_RUPEE = "INR"  # how names of currency pairs end that have the rupee as their price
DRIVERS = {
    RiskClass.EQUITY: Driver.INDEX,
    RiskClass.INDEX: Driver.INDEX,
    RiskClass.FUND: Driver.INDEX,  # but by the rate where its duration is told: see `_terms`
    RiskClass.DEBT: Driver.RATE,
    RiskClass.OTHER: Driver.INDEX,  # whatever has no beta is not valued there: it is not taken for safe
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What the market says beside prices.

    `rate` is the risk-free rate, `dividends` yields by issuer, both ratios a year; `betas` to the index by factor (the
    index has 1 by being named `index`); `durations` of bonds and debt funds by issuer, in years: a fund that has one
    moves by the rate, any other by its beta. Who is not named has an unknown beta or duration, and no dividends.
    """

    rate: Decimal
    index: str = ""
    betas: Mapping[str, Decimal] = field(default_factory=dict)
    dividends: Mapping[str, Decimal] = field(default_factory=dict)
    durations: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuedBook:
    """The arrays, and where each volatility is from; a line that is no option has neither one nor a reason.

    `lenders` are the instruments that `volatilities.borrowed_from` numbers: the lines', then the neighbours'.
    """

    arrays: BookArrays
    volatilities: Volatilities
    lenders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineGreeks:
    """One line's option or straight exposure. INR, signed; `delta` per unit; None: not known.

    `rupee_delta` = units × delta × underlying; `gamma_1pct` what a move of 1% earns beyond it; `vega` per percentage
    point of volatility, `theta` per calendar day, `rho` per percentage point of rate. `volatility` is a ratio a year;
    `no_volatility` says why the line's own price implies none, `volatility_of` whose stands in for it.
    """

    instrument: str
    delta: Decimal | None
    rupee_delta: Decimal | None
    gamma_1pct: Decimal | None
    vega: Decimal | None
    theta: Decimal | None
    rho: Decimal | None
    volatility: Decimal | None = None
    no_volatility: NoVolatility | None = None
    volatility_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookGreeks:
    """Sums over the lines that have Greeks. `unvalued` lines have none, and `borrowed` a neighbour's volatility.

    None: there are options, and none of them has any; for `rupee_delta`: no line has.
    """

    rupee_delta: Decimal | None
    gamma_1pct: Decimal | None
    vega: Decimal | None
    theta: Decimal | None
    rho: Decimal | None
    unvalued: int
    borrowed: int
    lines: tuple[LineGreeks, ...]


def valued(
    lines: Sequence[Line],
    assumptions: Assumptions,
    *,
    now: datetime,
    factors: Sequence[str] = (),
    neighbours: Sequence[Line] = (),
) -> ValuedBook:
    """Find every line's years, volatility (implied by its price, else its neighbour's) and driver.

    `factors` as in `book_arrays`. `neighbours` are options that nobody holds: they lend their volatility, and are not
    in the arrays. A contract whose last day is over has no value: what it became is not in its row.
    """
    lines = [
        replace(line, price=None, underlying_price=None) if has_ended(line.expiry, now) else line for line in lines
    ]
    everything = (*lines, *neighbours)
    terms = [_terms(line, assumptions, now) for line in everything]
    held = len(lines)
    plain = book_arrays(lines, terms[:held], factors=factors)
    told = _volatilities(book_arrays(everything, terms) if neighbours else plain, everything)
    found = Volatilities(told.value[:held], told.reason[:held], told.borrowed_from[:held])
    return ValuedBook(
        arrays=replace(plain, volatility=found.value),
        volatilities=found,
        lenders=tuple(line.instrument for line in everything),
    )


def deltas(book: BookArrays) -> Floats:
    """Delta of each line per unit, shape (n,): 1 for whatever is no option, NaN where an option's is not known."""
    return _unit_greeks(book).delta


def book_greeks(book: ValuedBook, lines: Sequence[Line], *, of_options: bool = False) -> BookGreeks:
    """Greeks of each line and of the whole. Sums leave out what has none, and say how much that is.

    `of_options`: no single line is told but those; the others have delta 1 and nothing besides.
    """
    arrays, found = book.arrays, book.volatilities
    unit = _unit_greeks(arrays)
    columns = {
        "rupee_delta": arrays.units * unit.delta * arrays.underlying,
        "gamma_1pct": 0.5 * arrays.units * unit.gamma * arrays.underlying**2 * 0.01**2,
        "vega": arrays.units * unit.vega,
        "theta": arrays.units * unit.theta,
        "rho": arrays.units * unit.rho,
    }
    shown = tuple(
        LineGreeks(
            instrument=line.instrument,
            delta=ratio(_known(unit.delta[place])),
            **{name: rupees(_known(column[place])) for name, column in columns.items()},
            volatility=ratio(_known(found.value[place])),
            no_volatility=found.reason[place],
            volatility_of=book.lenders[lender] if (lender := int(found.borrowed_from[place])) != ABSENT else None,
        )
        for place, line in enumerate(lines)
        if not of_options or arrays.is_option[place]
    )
    options = arrays.is_option
    totals = {
        name: _total(column if name == "rupee_delta" or not options.any() else column[options])
        for name, column in columns.items()
    }
    unvalued = int(np.sum(np.isnan(columns["rupee_delta"])))
    return BookGreeks(**totals, unvalued=unvalued, borrowed=int(np.sum(found.is_borrowed)), lines=shown)


def _total(column: Floats) -> Decimal | None:
    """The sum of what is known; None where there is something, and nothing of it is."""
    if len(column) and np.isnan(column).all():
        return None
    return rupees(float(np.nansum(column)))


def _unit_greeks(book: BookArrays) -> Greeks:
    """Per unit: of options by their model, of everything else delta 1 and nothing besides."""
    still = np.where(np.isnan(book.underlying), np.nan, 0.0)
    columns = {"price": book.price.copy(), "delta": np.ones(len(book))}
    columns |= {name: still.copy() for name in ("gamma", "vega", "theta", "rho")}
    for pricing in (Pricing.ON_SPOT, Pricing.ON_FUTURE):
        chosen = book.pricing == pricing
        arguments = [
            each[chosen]
            for each in (book.sign, book.underlying, book.strike, book.years, book.volatility, book.rate, book.dividend)
        ]
        told = greeks(*arguments) if pricing is Pricing.ON_SPOT else greeks_on_future(*arguments[:-1])
        for name, column in columns.items():
            column[chosen] = getattr(told, name)
    return Greeks(**columns)


def _terms(line: Line, assumptions: Assumptions, now: datetime) -> Terms:
    duration = assumptions.durations.get(line.issuer)
    is_debt_fund = line.risk_class is RiskClass.FUND and duration is not None
    return Terms(
        driver=Driver.RATE if is_debt_fund else driver_of(line),
        beta=ONE if line.factor == assumptions.index else assumptions.betas.get(line.factor),
        years=None if line.expiry is None else years_to_expiry(line.exchange, line.expiry, now),
        rate=assumptions.rate,
        dividend=assumptions.dividends.get(line.issuer, Decimal(0)),
        duration=duration,
    )


def driver_of(line: Line) -> Driver:
    if line.risk_class is RiskClass.CURRENCY:
        return Driver.RUPEE if line.underlying.upper().endswith(OF_THE_RUPEE) else Driver.NONE
    if line.risk_class is RiskClass.COMMODITY:
        return Driver.CRUDE if line.underlying.upper().startswith(CRUDE_OIL) else Driver.COMMODITY
    return DRIVERS[line.risk_class]


def _volatilities(book: BookArrays, lines: Sequence[Line]) -> Volatilities:
    options = np.flatnonzero(book.is_option)
    dividend = np.where(book.pricing == Pricing.ON_FUTURE, book.rate, book.dividend)
    arguments = (book.price, book.sign, book.underlying, book.strike, book.years, book.rate, dividend)
    own = implied_volatility(*(each[options] for each in arguments))
    found = with_neighbours(own, book.strike[options], _chains([lines[int(place)] for place in options]))
    value = np.full(len(book), np.nan)
    value[options] = found.value
    borrowed = np.full(len(book), ABSENT, dtype=np.int64)
    borrowed[options] = np.where(found.is_borrowed, options[found.borrowed_from], ABSENT)
    reasons: list[NoVolatility | None] = [None] * len(book)
    for place, reason in zip(options, found.reason, strict=True):
        reasons[place] = reason
    return Volatilities(value, tuple(reasons), borrowed)


def _chains(options: Sequence[Line]) -> Integers:
    """One number for each exchange, underlying and expiry."""
    keys = [(line.exchange, line.issuer, line.expiry) for line in options]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
