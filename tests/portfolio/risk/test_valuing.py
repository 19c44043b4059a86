"""From the lines of a book to what each is valued with, and the Greeks of all of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from brokers.domain import Exchange, OptionType
from portfolio.risk.arrays import ABSENT, Driver
from portfolio.risk.expiry import years_to_expiry
from portfolio.risk.implied import NoVolatility
from portfolio.risk.pricing import greeks, price
from portfolio.risk.valuing import book_greeks, deltas, driver_of, valued
from portfolio.risk.words import RiskClass
from tests.portfolio.risk.risk_lines import ASSUMED, EXPIRY, INFY, NOW, RELIANCE, future, option, share

YEARS = years_to_expiry(Exchange.NFO, EXPIRY, NOW)
RATE = 0.0525


def fair(strike, option_type=OptionType.CE, volatility=0.22, spot=1400.0):
    sign = 1 if option_type is OptionType.CE else -1
    return round(float(price(sign, spot, float(strike), YEARS, volatility, RATE, 0.0)), 6)


def test_finds_the_volatility_of_each_option_and_leaves_the_rest_alone() -> None:
    lines = [
        share(),
        option(1450, price=fair(1450)),
        future(),
        option(1350, OptionType.PE, price=fair(1350, OptionType.PE, 0.27)),
    ]
    book = valued(lines, ASSUMED, now=NOW)
    assert book.arrays.volatility[[1, 3]] == pytest.approx([0.22, 0.27], abs=1e-6)
    assert np.isnan(book.arrays.volatility[[0, 2]]).all()
    assert book.volatilities.reason == (None,) * 4
    assert book.arrays.years[1:] == pytest.approx([YEARS] * 3)
    assert np.isnan(book.arrays.years[0])
    assert book.arrays.beta.tolist() == [1.1] * 4


def test_a_price_that_tells_none_borrows_the_same_strikes_and_says_so() -> None:
    """A call so deep in the money that its last trade lies below intrinsic value; its put tells the volatility."""
    lines = [
        option(1100, price=290), share(), option(1100, OptionType.PE, price=fair(1100, OptionType.PE, 0.31)),
        option(1400, price=fair(1400)), option(1100, price=290, issuer=INFY),
    ]  # fmt: skip
    book = valued(lines, ASSUMED, now=NOW)
    assert book.arrays.volatility[0] == pytest.approx(0.31, abs=1e-4)
    assert book.volatilities.reason[0] is NoVolatility.BELOW_INTRINSIC
    assert book.volatilities.borrowed_from.tolist() == [2, ABSENT, ABSENT, ABSENT, ABSENT]
    assert np.isnan(book.arrays.volatility[4])  # alone on its underlying
    told = book_greeks(book, lines)
    assert (told.borrowed, told.unvalued) == (1, 1)
    assert (told.lines[0].no_volatility, told.lines[0].volatility_of) == (
        NoVolatility.BELOW_INTRINSIC, lines[2].instrument,
    )  # fmt: skip
    assert told.lines[4].delta is told.lines[4].vega is None


def test_a_neighbour_that_nobody_holds_lends_too() -> None:
    held, other = option(1100, price=290), option(1150, OptionType.PE, price=fair(1150, OptionType.PE, 0.29))
    book = valued([share(), held], ASSUMED, now=NOW, neighbours=[other])
    assert len(book.arrays) == 2
    assert book.arrays.volatility[1] == pytest.approx(0.29, abs=1e-4)
    assert book_greeks(book, [share(), held]).lines[1].volatility_of == other.instrument


def test_options_on_commodities_are_blacks_whatever_their_underlying_is_called() -> None:
    worth = round(float(price(1, 6000.0, 6100.0, YEARS, 0.4, RATE, RATE)), 6)
    crude = option(6100, price=worth, spot=6000, risk_class=RiskClass.COMMODITY, underlying="CRUDEOIL")
    assert valued([crude], ASSUMED, now=NOW).arrays.volatility[0] == pytest.approx(0.4, abs=1e-6)


def test_options_on_futures_are_blacks() -> None:
    worth = round(float(price(1, 1410.0, 1450.0, YEARS, 0.22, RATE, RATE)), 6)
    book = valued([option(1450, price=worth, spot=1410, underlying_is_future=True)], ASSUMED, now=NOW)
    assert book.arrays.volatility[0] == pytest.approx(0.22, abs=1e-6)


def test_greeks_of_a_book_are_rupees() -> None:
    lines = [share(units=200), option(1450, units=-500, price=fair(1450)), future(units=250, price=1410)]
    told = book_greeks(valued(lines, ASSUMED, now=NOW), lines)
    unit = greeks(1, 1400.0, 1450.0, YEARS, 0.22, RATE, 0.0)
    assert [float(each.rupee_delta) for each in told.lines] == pytest.approx(
        [280_000, -500 * float(unit.delta) * 1400, 352_500], abs=0.5
    )
    assert float(told.rupee_delta) == pytest.approx(sum(float(each.rupee_delta) for each in told.lines), abs=0.02)
    assert float(told.gamma_1pct) == pytest.approx(-500 * float(unit.gamma) * 14**2 / 2, abs=0.05)
    assert float(told.vega) == pytest.approx(-500 * float(unit.vega), abs=0.05)
    assert float(told.theta) == pytest.approx(-500 * float(unit.theta), abs=0.05)
    assert float(told.rho) == pytest.approx(-500 * float(unit.rho), abs=0.05)
    assert told.lines[0].delta == 1
    assert told.lines[0].volatility is None


def test_deltas_are_one_beside_options_and_unknown_without_a_volatility() -> None:
    book = valued(
        [share(), future(), option(1450, price=None), option(1400, price=None, issuer=INFY)], ASSUMED, now=NOW
    )
    told = deltas(book.arrays)
    assert told[:2].tolist() == [1, 1]
    assert np.isnan(told[2:]).all()


def test_after_its_end_an_option_is_worth_what_it_is_in_the_money() -> None:
    late = datetime(2026, 12, 29, 10, 10, tzinfo=UTC)  # 15:40 IST
    book = valued([option(1300, price=100), option(1500, price="0.05")], ASSUMED, now=late)
    assert book.volatilities.reason == (NoVolatility.EXPIRED,) * 2
    assert deltas(book.arrays).tolist() == [1, 0]


def test_when_its_day_is_over_nothing_is_known_of_it() -> None:
    after = datetime(2026, 12, 29, 18, 31, tzinfo=UTC)  # 00:01 IST of the next day
    lines = [share(), future(), option(1300, price=100)]
    told = book_greeks(valued(lines, ASSUMED, now=after), lines)
    assert [line.rupee_delta is None for line in told.lines] == [False, True, True]
    assert told.unvalued == 2


@pytest.mark.parametrize(
    ("risk_class", "underlying", "driver"),
    [
        (RiskClass.EQUITY, RELIANCE, Driver.INDEX),
        (RiskClass.INDEX, "NIFTY", Driver.INDEX),
        (RiskClass.FUND, "", Driver.INDEX),
        (RiskClass.OTHER, "", Driver.INDEX),
        (RiskClass.DEBT, "", Driver.RATE),
        (RiskClass.CURRENCY, "USDINR", Driver.RUPEE),
        (RiskClass.CURRENCY, "EURUSD", Driver.NONE),
        (RiskClass.COMMODITY, "CRUDEOIL", Driver.CRUDE),
        (RiskClass.COMMODITY, "CRUDEOILM", Driver.CRUDE),
        (RiskClass.COMMODITY, "GOLD", Driver.COMMODITY),
    ],
)
def test_what_moves_a_line(risk_class, underlying, driver) -> None:
    assert driver_of(replace(share(), risk_class=risk_class, underlying=underlying)) is driver


def test_the_index_moves_with_itself_and_who_has_no_beta_with_nobody_knows_what() -> None:
    nifty = replace(share("NIFTY"), factor="NIFTY")
    book = valued([nifty, share("INE111A01025")], ASSUMED, now=NOW).arrays
    assert book.beta[0] == 1
    assert np.isnan(book.beta[1])


def test_an_empty_book_has_no_greeks() -> None:
    told = book_greeks(valued([], ASSUMED, now=NOW), [])
    assert (told.rupee_delta, told.lines, told.unvalued) == (Decimal(0), (), 0)


def test_dividends_lower_the_forward() -> None:
    worth = fair(1450)
    paying = replace(ASSUMED, dividends={RELIANCE: Decimal("0.02")})
    book = valued([option(1450, price=worth)], paying, now=NOW)
    assert book.arrays.volatility[0] > 0.22
