"""The whole report: worked out by hand where that can be done, and the same however the book lies at brokers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.domain import OptionType
from portfolio.domain import SourceState
from portfolio.risk import beta
from portfolio.risk.past import past_of, wanted_factors
from portfolio.risk.presenting import schema, written
from portfolio.risk.report import backtest, report
from portfolio.risk.scenarios import Basis, Scenario
from portfolio.risk.sections import SECTIONS, Method, Report, Section
from portfolio.risk.words import Line, MarketData, RiskBook, RiskClass
from tests.portfolio.risk.made_reports import (
    INDEX,
    UPSTOX,
    ZERODHA,
    book,
    days,
    history,
    market,
    mixed,
    of,
    purse,
    worth,
)
from tests.portfolio.risk.risk_lines import INFY, RELIANCE, option, share

HUNDRED = Decimal(100)
repeatable = settings(max_examples=25, deadline=None, derandomize=True)


def value(section: Section[Any]) -> Any:
    assert section.refused is None, section.refused
    assert section.value is not None
    return section.value


def figure(found: Report, method: Method = Method.HISTORICAL, confidence: str = "99") -> tuple[Decimal, Decimal]:
    told = value(found.losses).figure(method, Decimal(confidence))
    assert told.refused is None, told.refused
    return told.var, told.es


# --- by hand ----------------------------------------------------------------------------------------------------------
def flat_but(*falls: float, count: int = 200) -> list[float]:
    return [0.0] * (count - len(falls)) + list(falls)


def by_hand() -> MarketData:
    """200 days on which nothing moved, but for the last four: −10 %, −5 %, −2 %, −1 %."""
    falls = flat_but(-0.10, -0.05, -0.02, -0.01)
    return replace(
        market(count=200),
        histories={INDEX: history(INDEX, falls, start=26_000.0), RELIANCE: history(RELIANCE, falls, start=100_000.0)},
    )


def test_a_share_of_140000_loses_what_its_past_did() -> None:
    """100 shares at 1,400. VaR 99 of 200 days is the 198th loss, the third largest: 2 % of 140,000. ES 97.5 is the mean
    of the five worst days: (10 + 5 + 2 + 1 + 0) % / 5 = 3.6 %. Equity is 240,000, with 100,000 of cash."""
    found = report(book(share(RELIANCE, 100, 1400, loan=Decimal(0))), by_hand())
    assert figure(found) == (Decimal("2800.00"), Decimal("10500.00"))
    assert figure(found, confidence="97.5") == (Decimal("0.00"), Decimal("5040.00"))
    assert value(found.worth).equity.amount == 240_000
    assert [each.loss for each in value(found.losses).worst_days] == [14_000, 7_000, 2_800, 1_400]
    assert value(found.losses).figure(Method.HISTORICAL, Decimal(99)).var_pct.quantize(Decimal("0.0001")) == Decimal(
        "1.1667"
    )


def test_its_exposure_concentration_and_beta_are_plain() -> None:
    found = report(book(share(RELIANCE, 100, 1400, loan=Decimal(0))), by_hand())
    whole = value(found.exposure).whole
    assert (whole.gross, whole.net, whole.long, whole.short) == (140_000, 140_000, 140_000, 0)
    assert value(found.concentration).issuers.top_pct == 100
    assert value(found.concentration).issuers.effective_number == 1
    # Raw beta 1, and 0.67 + 0.33 of it.
    assert value(found.beta).rupees == 140_000
    assert value(found.beta).hedge_lots.quantize(Decimal("0.0001")) == Decimal("-0.0718")
    assert value(found.margins).worst == 0
    [fall] = [row for row in value(found.stress).scenarios if row.code == "index_m10_vol_p0"]
    assert (fall.pnl, fall.by_broker[0].pnl) == (-14_000, -14_000)


def test_the_record_is_read_off_units() -> None:
    """100 → 110 → 99 with 50 paid in before the fourth day, which ends at 149: the money stood still that day."""
    told = value(of(*mixed(), days=worth(100, 110, 99, 149, flows=[0, 0, 0, 50])).record)
    assert [unit.value for unit in told.units] == [1, Decimal("1.1"), Decimal("0.99"), Decimal("0.99")]
    assert (told.drawdown_pct, told.worst_drawdown_pct) == (10, 10)
    assert told.drawdown_since == days(4)[1]


def test_days_that_are_not_wholly_known_are_left_out_and_their_payments_are_not() -> None:
    told = value(of(*mixed(), days=worth(100, None, 150, flows=[0, 50, 0])).record)
    assert (told.days, told.gaps) == (2, 1)
    assert told.units[-1].value == 1


# --- however it lies at brokers ---------------------------------------------------------------------------------------
def split(lines: tuple[Line, ...], part: Decimal) -> tuple[Line, ...]:
    """A part of each line at a second broker."""
    here = [replace(line, units=line.units * part, settled=line.settled * part) for line in lines]
    there = [
        replace(
            line,
            units=line.units * (1 - part),
            settled=line.settled * (1 - part),
            connection_id=f"{UPSTOX}-1",
            broker_type=UPSTOX,
            broker_name=UPSTOX.title(),
        )
        for line in lines
    ]
    return (*here, *there)


MARKET = market()
OF_THE_MARKET: dict[str, Callable[[Report], Any]] = {
    "losses": lambda found: value(found.losses),
    "whole exposure": lambda found: [
        getattr(value(found.exposure).whole, name)
        for name in ("gross", "net", "long", "short", "delta_net", "notional", "weight_pct")
    ],
    "sectors": lambda found: value(found.concentration).sectors,
    "issuers": lambda found: value(found.concentration).issuers,
    "beta": lambda found: value(found.beta).rupees,
    "greeks": lambda found: [
        getattr(value(found.greeks), name) for name in ("rupee_delta", "gamma_1pct", "vega", "theta", "rho")
    ],
    "stress": lambda found: [(row.code, row.pnl, row.worst) for row in value(found.stress).scenarios],
    "liquidity": lambda found: [(each.instrument, each.units, each.days) for each in value(found.liquidity).exits],
    "locks": lambda found: value(found.stress).locks,
    "equity": lambda found: value(found.worth).equity.amount,
}


@repeatable
@given(st.integers(1, 9).map(lambda tenth: Decimal(tenth) / 10))
def test_risk_of_the_market_is_the_same_however_the_book_lies_at_brokers(part: Decimal) -> None:
    purses = [purse(ZERODHA), purse(UPSTOX)]
    at_one = report(book(*mixed(), purses=purses), MARKET)
    at_two = report(book(*split(mixed(), part), purses=purses), MARKET)
    for name, read in OF_THE_MARKET.items():
        near(read(at_one), read(at_two), name)


def near(left: Any, right: Any, name: str) -> None:
    """Equal but for the paisa that a different order of adding floats may round to."""
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        assert abs(left - right) <= max(Decimal("0.02"), abs(left) * Decimal("1e-9")), name
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), name
        for one, other in zip(left, right, strict=True):
            near(one, other, name)
    elif hasattr(left, "__dataclass_fields__"):
        for each in left.__dataclass_fields__:
            near(getattr(left, each), getattr(right, each), f"{name}.{each}")
    else:
        assert left == right, name


# --- what is missing --------------------------------------------------------------------------------------------------
def test_a_missing_broker_makes_every_section_partial_by_name() -> None:
    whole = book(*mixed(), purses=[purse(ZERODHA), purse(UPSTOX, state=SourceState.MISSING, as_of=None, cash=None)])
    found = report(whole, MARKET, days=worth(100, 101))
    for name in SECTIONS:
        told: Section[Any] = getattr(found, name)
        assert told.coverage.complete is False, name
        assert told.coverage.missing == (f"{UPSTOX}-1",), name
    assert "account" in value(found.worth).equity.unknown


def test_a_line_without_a_price_is_counted_and_in_no_figure() -> None:
    alone = of(share(RELIANCE, 100, 1400, loan=Decimal(0)))
    found = of(share(RELIANCE, 100, 1400, loan=Decimal(0)), share(INFY, 10, None, loan=Decimal(0)))
    assert figure(found) == figure(alone)
    assert found.losses.coverage.unvalued == 1
    assert not found.losses.coverage.complete
    assert not found.exposure.coverage.complete


def test_an_option_that_nothing_prices_is_said_and_the_rest_stands() -> None:
    found = of(*mixed(), option(1500, OptionType.CE, 500, None, spot=None, issuer="INE000000001", loan=Decimal(0)))
    assert found.losses.coverage.unvalued == 1
    assert figure(found) == figure(of(*mixed()))
    assert value(found.greeks).unvalued == 1


def test_what_has_no_past_is_told_by_the_index_and_counted_as_proxied() -> None:
    found = of(share(RELIANCE, 100, 1400, loan=Decimal(0)), share("INE000000001", 100, 1400, loan=Decimal(0)))
    assert found.losses.coverage.proxied_pct == 50
    assert [each.by for each in value(found.losses).proxied] == [INDEX]


def test_a_metal_is_not_told_by_the_index() -> None:
    gold = share("GOLD", 100, 1400, loan=Decimal(0), risk_class=RiskClass.COMMODITY)
    found = of(share(RELIANCE, 100, 1400, loan=Decimal(0)), gold)
    assert found.losses.coverage.unmodelled_pct == 50
    assert value(found.losses).unmodelled == ("GOLD",)
    assert figure(found) == figure(of(share(RELIANCE, 100, 1400, loan=Decimal(0))))


def test_closes_of_a_fund_in_place_of_the_index_count_as_proxied() -> None:
    borrowed = replace(MARKET.histories[INDEX], proxy="NIFTYBEES", beta=Decimal(1))
    told = replace(MARKET, histories={**MARKET.histories, INDEX: borrowed})
    line = option(26_000, OptionType.PE, 75, 310, 26_000, INDEX, loan=Decimal(0), risk_class=RiskClass.INDEX)
    assert report(book(line), told).losses.coverage.proxied_pct == 100
    assert report(book(line), MARKET).losses.coverage.proxied_pct == 0


def test_without_any_past_losses_say_so_and_hide_nothing_else() -> None:
    found = report(book(*mixed()), MarketData(index=INDEX, rate=Decimal("0.05")))
    assert found.losses.refused is not None
    assert found.losses.refused.code == "no_history"
    for name in ("worth", "exposure", "concentration", "margins", "greeks", "expiries"):
        assert getattr(found, name).value is not None, name
    assert found.failures == ()


def test_a_section_that_breaks_is_reported_and_hides_nothing_else() -> None:
    torn = replace(MARKET, histories={**MARKET.histories, RELIANCE: replace(MARKET.histories[RELIANCE], closes=())})
    found = report(book(*mixed()), torn)
    assert {name for name, _ in found.failures} >= {"losses"}
    assert found.losses.refused is not None
    assert found.losses.refused.code == "section_failed"
    assert value(found.exposure).whole.gross
    assert "failures" not in written(found)


def test_too_short_a_past_refuses_99_and_tells_95() -> None:
    found = report(book(share(RELIANCE, 100, 1400, loan=Decimal(0))), market(count=70))
    told = value(found.losses)
    assert told.figure(Method.HISTORICAL, Decimal(99)).refused.code == "too_few_days"
    assert told.figure(Method.HISTORICAL, Decimal(95)).var is not None
    assert told.is_thin


# --- what must hold ---------------------------------------------------------------------------------------------------
units = st.integers(-20, 20).map(lambda tens: Decimal(tens * 50))


@repeatable
@given(units, units, units, units)
def test_components_sum_to_var_and_es_is_no_smaller(a: Decimal, b: Decimal, c: Decimal, d: Decimal) -> None:
    lines = [
        share(RELIANCE, a, 1400, loan=Decimal(0)),
        share(INFY, b, 1500, loan=Decimal(0)),
        option(1400, OptionType.CE, c, 42, loan=Decimal(0)),
        option(1300, OptionType.PE, d, 11, loan=Decimal(0)),
    ]
    found = report(book(*lines), MARKET)
    var, _ = figure(found, Method.PARAMETRIC)
    told = value(found.losses)
    assert sum((each.component for each in told.components), Decimal(0)) == (var if told.components else 0)
    for each in told.figures:
        assert each.es >= each.var


@repeatable
@given(st.integers(2, 50))
def test_twice_the_shares_are_twice_the_loss(times: int) -> None:
    one = report(book(share(RELIANCE, 10, 1400, loan=Decimal(0))), MARKET)
    more = report(book(share(RELIANCE, 10 * times, 1400, loan=Decimal(0))), MARKET)
    for method in Method:
        assert abs(figure(more, method)[0] - times * figure(one, method)[0]) <= Decimal("0.01") * times


def test_a_protective_put_makes_the_worst_day_no_worse() -> None:
    alone = report(book(share(RELIANCE, 500, 1400, loan=Decimal(0))), MARKET)
    held = report(
        book(share(RELIANCE, 500, 1400, loan=Decimal(0)), option(1400, OptionType.PE, 500, 30, loan=Decimal(0))), MARKET
    )
    assert figure(held)[1] < figure(alone)[1]


def test_betas_of_the_past_are_those_of_beta() -> None:
    wanted = wanted_factors(book(*mixed()), MARKET)
    found = past_of(wanted, MARKET)
    plain = beta.betas(found.factors, INDEX)
    assert set(found.betas) == set(plain)
    for name, told in found.betas.items():
        assert float(told) == pytest.approx(plain[name], abs=1e-7)


def test_a_past_handed_in_changes_nothing() -> None:
    past = past_of(wanted_factors(book(*mixed()), MARKET), MARKET)
    assert written(report(book(*mixed()), MARKET, past=past)) == written(report(book(*mixed()), MARKET))


def test_a_scenario_of_ones_own_is_among_the_others() -> None:
    own = Scenario(code="mine", title="Mine", basis=Basis.OWN, issuers={RELIANCE: Decimal("-0.5")})
    found = of(share(RELIANCE, 100, 1400, loan=Decimal(0)), scenarios=[own])
    assert [row.pnl for row in value(found.stress).scenarios if row.code == "mine"] == [-70_000]


# --- backtest ---------------------------------------------------------------------------------------------------------
def test_the_backtest_counts_the_days_that_lost_more_than_was_told() -> None:
    told = market(count=400)
    at_95, at_99 = (value(section) for section in backtest(book(share(RELIANCE, 100, 1400)), told))
    assert (at_99.window, at_99.days) == (150, 250)
    closes = np.array([float(close) for close in told.histories[RELIANCE].closes])
    pnl = 140_000 * (closes[1:] / closes[:-1] - 1)
    expected = 0
    for day in range(150, 400):
        losses = np.sort(-pnl[day - 150 : day])
        expected += -pnl[day] > losses[149 - 1]  # ceil(0.99 × 150) = 149
    assert at_99.count == expected
    assert at_95.count >= at_99.count


def test_a_backtest_without_enough_days_says_how_many_it_needs() -> None:
    [_, section] = backtest(book(share(RELIANCE, 100, 1400)), market(count=90))
    assert section.refused is not None
    assert section.refused.code == "too_few_days"


# --- as JSON ----------------------------------------------------------------------------------------------------------
def conforms(told: Any, shape: dict[str, Any], place: str) -> None:
    if told is None:
        assert shape.get("nullable"), place
        return
    kind = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}[shape["type"]]
    assert isinstance(told, kind), place
    if kind is dict and "properties" in shape:
        assert set(told) == set(shape["required"]), place
        for name, inner in shape["properties"].items():
            conforms(told[name], inner, f"{place}.{name}")
    elif kind is dict and isinstance(shape.get("additionalProperties"), dict):
        for name, item in told.items():
            conforms(item, shape["additionalProperties"], f"{place}.{name}")
    elif kind is list:
        for item in told:
            conforms(item, shape["items"], f"{place}[]")


def test_the_answer_is_what_its_schema_says() -> None:
    found = written(of(*mixed(), *mixed(UPSTOX), days=worth(100, 110, 99)))
    conforms(found, schema(Report), "report")


def test_an_empty_book_has_a_report() -> None:
    found = report(RiskBook(now=book().now, lines=(), purses=(purse(),)), MARKET)
    assert found.failures == ()
    assert value(found.worth).equity.amount == 100_000
    assert figure(found) == (0, 0)
