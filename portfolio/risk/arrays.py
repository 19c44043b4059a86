"""The book as arrays: one entry per line, so that a scenario is one operation over all of them.

Floats and NaN live in here and nowhere outside of this package: NaN is what None is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from enum import IntEnum
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from brokers.domain import OptionType
from portfolio.risk.words import Kind, Line, RiskClass

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
FloatLike = Floats | float

SIGNS = {OptionType.CE: 1, OptionType.PE: -1}
COMPANIES = frozenset({RiskClass.EQUITY, RiskClass.OTHER})
ABSENT = -1  # in place of a number of a factor: there is none


class Pricing(IntEnum):
    """How the value of a line follows what it stands on."""

    SPOT = 0
    FUTURE = 1
    ON_SPOT = 2  # an option, by Black-Scholes-Merton
    ON_FUTURE = 3  # an option, by Black-76


class Driver(IntEnum):
    """What a scenario moves a line by."""

    INDEX = 0  # shares and all that stands on them: by beta × the index
    RUPEE = 1  # contracts on USDINR and its like: up where the rupee falls
    CRUDE = 2  # priced in dollars, too
    COMMODITY = 3  # other commodities that the world prices in dollars: by the rupee alone
    RATE = 4  # bonds and debt funds: by -duration × the rate
    NONE = 5  # nothing that a scenario names


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one line is valued with, beside what it is. None: not known; the line has no value wherever that counts.

    `years` to expiry in calendar time; `volatility`, `rate` and `dividend` as ratios a year; `duration` in years, for
    what Driver.RATE moves. `factor_beta`: how far the line follows the returns of its factor.
    """

    driver: Driver
    beta: Decimal | None = None
    years: float | None = None
    volatility: float | None = None
    rate: Decimal = Decimal(0)
    dividend: Decimal = Decimal(0)
    duration: Decimal | None = None
    factor_beta: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookArrays:
    """`n` lines: every array has the shape (n,).

    `broker`, `issuer` and `factor` are numbers into the tuples of names, `factor` ABSENT where there is none. `sign` is
    +1 for a call, -1 for a put, 0 for what is no option. `underlying` is the price of what an option is on, and for all
    else the line's own price. `is_company`: its issuer is one, and no index, fund, commodity or currency. What nobody
    can name counts as one, for a share without an ISIN falls as far as any. NaN: unknown.
    """

    brokers: tuple[str, ...]
    issuers: tuple[str, ...]
    factors: tuple[str, ...]
    broker: Integers
    issuer: Integers
    factor: Integers
    factor_beta: Floats
    driver: Integers
    beta: Floats
    pricing: Integers
    units: Floats
    price: Floats
    underlying: Floats
    sign: Floats
    strike: Floats
    years: Floats
    volatility: Floats
    rate: Floats
    dividend: Floats
    duration: Floats
    is_company: Flags

    def __len__(self) -> int:
        return len(self.units)

    @property
    def is_option(self) -> Flags:
        return self.pricing >= Pricing.ON_SPOT

    @property
    def value(self) -> Floats:
        """INR, signed: units × price; of a future its notional, of an option its premium."""
        return self.units * self.price


def book_arrays(lines: Sequence[Line], terms: Sequence[Terms], *, factors: Sequence[str] = ()) -> BookArrays:
    """Lay the lines side by side, in their order; `terms` are theirs, one each.

    `factors` fixes the columns of `factor_returns` (see `portfolio.risk.revaluation`); a line whose factor is not among
    them has none. Without it the columns are the lines' own factors, in the order in which they first appear.
    """
    if len(lines) != len(terms):
        raise ValueError(f"{len(lines)} lines have {len(terms)} terms.")
    brokers = tuple(dict.fromkeys(line.broker_type for line in lines))
    issuers = tuple(dict.fromkeys(line.issuer for line in lines))
    names = tuple(factors) or tuple(dict.fromkeys(line.factor for line in lines if line.factor))
    return BookArrays(
        brokers=brokers,
        issuers=issuers,
        factors=names,
        broker=_numbers(brokers, (line.broker_type for line in lines)),
        issuer=_numbers(issuers, (line.issuer for line in lines)),
        factor=_numbers(names, (line.factor for line in lines)),
        factor_beta=_floats(each.factor_beta for each in terms),
        driver=np.array([each.driver for each in terms], dtype=np.int64),
        beta=_floats(each.beta for each in terms),
        pricing=np.array([pricing_of(line) for line in lines], dtype=np.int64),
        units=_floats(line.units for line in lines),
        price=_floats(line.price for line in lines),
        underlying=_floats(line.underlying_price if line.kind is Kind.OPTION else line.price for line in lines),
        sign=_floats(sign_of(line) for line in lines),
        strike=_floats(line.strike for line in lines),
        years=_floats(each.years for each in terms),
        volatility=_floats(each.volatility for each in terms),
        rate=_floats(each.rate for each in terms),
        dividend=_floats(each.dividend for each in terms),
        duration=_floats(each.duration for each in terms),
        is_company=np.array([line.risk_class in COMPANIES for line in lines], dtype=np.bool_),
    )


def chosen(book: BookArrays, those: Flags) -> BookArrays:
    """Some of the lines, in their order; the names stay all of them."""
    parts: dict[str, Any] = {
        item.name: value[those] for item in fields(book) if isinstance(value := getattr(book, item.name), np.ndarray)
    }
    return replace(book, **parts)


def pricing_of(line: Line) -> Pricing:
    if line.kind is Kind.OPTION:  # a commodity has no spot that is traded here: its options are on the future
        is_on_future = line.underlying_is_future or line.risk_class is RiskClass.COMMODITY
        return Pricing.ON_FUTURE if is_on_future else Pricing.ON_SPOT
    return Pricing.FUTURE if line.kind is Kind.FUTURE else Pricing.SPOT


def sign_of(line: Line) -> int | None:
    if line.kind is not Kind.OPTION:
        return 0
    return SIGNS.get(line.option_type) if line.option_type else None


def _numbers(names: tuple[str, ...], wanted: Iterable[str]) -> Integers:
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(name, ABSENT) for name in wanted], dtype=np.int64)


def _floats(values: Iterable[SupportsFloat | None]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
