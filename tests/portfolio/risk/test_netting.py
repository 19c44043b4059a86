"""Long here and short there: what the market nets, and what both legs cost."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import HealthCheck, given, settings

from brokers.domain import ZERO, Product
from portfolio.domain import Source
from portfolio.risk.netting import opposed
from portfolio.risk.words import Kind, Line
from tests.portfolio.risk.made import book_of, contract, held, splits
from tests.portfolio.sources import INFY, holding, position

FUTURE = "NFO|NIFTY|2026-12-29|FUT"
repeatable = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def by_broker(line: Line) -> Decimal | None:
    """INR a unit: 2,000 at Zerodha, 3,000 at Upstox, nothing for shares that are owned; nobody knows Groww's."""
    if line.kind is Kind.SPOT and not line.is_intraday:
        return ZERO
    return {"zerodha": Decimal(2000), "upstox": Decimal(3000)}.get(line.broker_type)


def test_two_legs_of_one_future() -> None:
    book = book_of(
        held(contract("NIFTY26DECFUT", 130, last="26000")), held(contract("NIFTY26DECFUT", -65), slug="upstox")
    )
    [found] = opposed(book, by_broker)
    assert (found.instrument, found.nets, found.net_units, found.value) == (FUTURE, 65, 65, 1_690_000)
    assert [(leg.broker_type, leg.units, leg.closes, leg.bound, leg.freed) for leg in found.legs] == [
        ("zerodha", 130, 65, 260_000, 130_000),
        ("upstox", -65, 65, 195_000, 195_000),
    ]
    assert (found.bound, found.freed) == (455_000, 325_000)


def test_the_dearest_leg_of_the_larger_side_is_closed_first() -> None:
    book = book_of(
        held(contract("NIFTY26DECFUT", 65)),
        held(contract("NIFTY26DECFUT", 65), slug="upstox"),
        held(contract("NIFTY26DECFUT", -65), number=2),
    )
    [found] = opposed(book, by_broker)
    assert {leg.connection_id: leg.closes for leg in found.legs} == {"zerodha-1": 0, "upstox-1": 65, "zerodha-2": 65}
    assert found.freed == 65 * 5000


def test_a_margin_that_nobody_knows_is_not_zero() -> None:
    book = book_of(held(contract("NIFTY26DECFUT", 65)), held(contract("NIFTY26DECFUT", -65), slug="groww"))
    [found] = opposed(book, by_broker)
    assert (found.nets, found.bound, found.freed) == (65, None, None)
    assert found.legs[0].bound == 130_000


def test_shares_and_an_intraday_short_elsewhere() -> None:
    short = position(-40, symbol="INFY", isin=INFY, product=Product.MIS)
    [found] = opposed(book_of(held(holding(INFY, 100)), held(short, slug="upstox")), by_broker)
    assert (found.instrument, found.nets, found.bound, found.freed) == (INFY, 40, 120_000, 120_000)


def test_what_is_opposed_within_one_account_is_none_of_this() -> None:
    short = position(-40, symbol="INFY", isin=INFY, product=Product.MIS)
    assert opposed(book_of(held(holding(INFY, 100), short)), by_broker) == ()


def test_one_side_alone_is_none_either() -> None:
    book = book_of(held(contract("NIFTY26DECFUT", 65)), held(contract("NIFTY26DECFUT", 65), slug="upstox"))
    assert opposed(book, by_broker) == ()


@repeatable
@given(splits())
def test_both_sides_close_the_same(split: tuple[list[Source], list[Source]]) -> None:
    for found in opposed(book_of(*split[1]), lambda line: Decimal(1)):
        assert found.nets > 0
        assert sum(leg.closes for leg in found.legs if leg.units > 0) == found.nets
        assert sum(leg.closes for leg in found.legs if leg.units < 0) == found.nets
        assert found.freed == 2 * found.nets
        assert found.bound is not None
        assert found.bound >= found.freed
        assert all(0 <= leg.closes <= abs(leg.units) for leg in found.legs)
        assert found.net_units == sum(leg.units for leg in found.legs)
