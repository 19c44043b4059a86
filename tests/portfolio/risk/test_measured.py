"""What the merged book alone says of limits, by books whose figures were worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Exchange, Funds, Product
from portfolio.domain import ConsolidatedPortfolio, SourceState
from portfolio.risk.evaluating import Figure, Measured
from portfolio.risk.limits import Metric, Scope
from portfolio.risk.measured import OVERDRAWN, measured_from
from tests.portfolio.sources import INFY, SBIN, account, holding, merged, position, source

D = Decimal
WHOLE = (Metric.DAY_LOSS, Scope.GLOBAL)


def funds(available: str | None = "900", used: str | None = "100", cash: str | None = "1000") -> Funds:
    return Funds(
        available=None if available is None else D(available),
        used=None if used is None else D(used),
        collateral=None,
        cash=None if cash is None else D(cash),
    )


def book(*, zerodha: Any = None, upstox: Any = None, state: SourceState = SourceState.LIVE) -> ConsolidatedPortfolio:
    """INFY 10 at 90 after 100, SBIN 5 at 210 after 200, at one broker; INFY 30 at the other."""
    first = account(
        [
            holding(INFY, 10, average="80", last="90", close="100"),
            holding(SBIN, 5, average="200", last="210", close="200", symbol="SBIN"),
        ],
        funds=zerodha or funds(),
    )
    second = account([holding(INFY, 30, average="80", last="90", close="100")], funds=upstox or funds("600", "400"))
    return merged(source("zerodha", first), source("upstox", second, state=state))


def of(measured: Measured, metric: Metric, scope: Scope = Scope.GLOBAL, key: str = "") -> Figure:
    return measured.of(metric, scope, key)


def test_the_days_loss_is_positive_and_of_what_the_day_began_with() -> None:
    measured = measured_from(book())
    # 40 × −10 of INFY and 5 × 10 of SBIN; it began with 40 × 100 and 5 × 200 of shares, and 2000 of cash.
    assert of(measured, *WHOLE) == Figure(D(350), complete=True)
    assert of(measured, Metric.DAY_LOSS_PCT) == Figure(D(5), complete=True)
    assert of(measured, Metric.DAY_LOSS, Scope.ACCOUNT, "upstox-1") == Figure(D(300), complete=True)


def test_a_gain_is_no_loss() -> None:
    gained = merged(source("zerodha", account([holding(INFY, 10, average="80", last="110", close="100")])))
    assert of(measured_from(gained), *WHOLE).value == D(0)


def test_margin_is_of_each_account_and_of_the_worst() -> None:
    measured = measured_from(book())
    assert of(measured, Metric.MARGIN_PCT, Scope.ACCOUNT, "zerodha-1") == Figure(D(10), complete=True)
    assert of(measured, Metric.MARGIN_PCT) == Figure(D(40), complete=True)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (funds("0", "0"), D(0)),
        (funds("-50", "150"), D(150)),
        (funds("-200", "100"), OVERDRAWN),
        (funds(None, "100"), None),
        (funds("100", None), None),
    ],
)
def test_margin_at_its_edges(told: Funds, expected: Decimal | None) -> None:
    measured = measured_from(book(zerodha=told))
    assert of(measured, Metric.MARGIN_PCT, Scope.ACCOUNT, "zerodha-1").value == expected
    # Of one that is not known the worst may be: what is known is a part.
    assert of(measured, Metric.MARGIN_PCT).complete is (expected is not None)


def test_shares_of_the_book() -> None:
    measured = measured_from(book())
    # 3600 of INFY and 1050 of SBIN; 1950 and 2700 by broker.
    assert of(measured, Metric.ISSUER_PCT, Scope.ISSUER, INFY) == Figure(D("77.419355"), complete=True)
    assert of(measured, Metric.BROKER_PCT, Scope.BROKER, "upstox") == Figure(D("58.064516"), complete=True)
    assert of(measured, Metric.ISSUER_PCT, Scope.ISSUER, "INE000000000") == Figure(D(0), complete=True)


def test_a_stale_answer_makes_a_part_of_it() -> None:
    measured = measured_from(book(state=SourceState.STALE))
    assert of(measured, *WHOLE) == Figure(D(350), complete=False)
    assert not of(measured, Metric.MARGIN_PCT).complete
    assert of(measured, Metric.MARGIN_PCT, Scope.ACCOUNT, "zerodha-1").complete
    assert not of(measured, Metric.ISSUER_PCT, Scope.ISSUER, INFY).complete
    assert of(measured, Metric.ISSUER_PCT, Scope.ISSUER, "INE000000000") == Figure(None, complete=False)


def test_an_answer_of_another_day_tells_nothing_of_this_one() -> None:
    falling = account([holding(INFY, 10, last="90", close="100")], funds=funds(), age=24 * 3600)
    alone = measured_from(merged(source("zerodha", falling, state=SourceState.STALE)))
    assert of(alone, *WHOLE) == of(alone, Metric.DAY_LOSS_PCT) == Figure(None, complete=False)
    assert of(alone, Metric.DAY_LOSS, Scope.ACCOUNT, "zerodha-1") == Figure(None, complete=False)
    today = source("upstox", account([holding(INFY, 30, last="90", close="100")], funds=funds()))
    both = measured_from(merged(source("zerodha", falling, state=SourceState.STALE), today))
    assert of(both, *WHOLE) == Figure(D(300), complete=False)


def test_unknown_cash_leaves_the_percentage_unknown() -> None:
    measured = measured_from(book(upstox=funds(cash=None)))
    assert of(measured, *WHOLE).value == D(350)
    assert of(measured, Metric.DAY_LOSS_PCT).value is None


def test_a_loss_by_who_had_nothing_is_above_any_level() -> None:
    owing = merged(source("zerodha", account([holding(INFY, 10, last="90", close="100")], funds=funds(cash="-5000"))))
    assert of(measured_from(owing), Metric.DAY_LOSS_PCT) == Figure(OVERDRAWN, complete=True)


def test_what_options_are_worth_is_not_known_here() -> None:
    bought = position(65, symbol="NIFTY", last="90", close="100", product=Product.NRML, exchange=Exchange.NFO)
    dealing = merged(source("zerodha", account([], [bought], funds=funds(cash="0"))))
    measured = measured_from(dealing)
    assert of(measured, *WHOLE).value == D(650)
    assert of(measured, Metric.DAY_LOSS_PCT).value is None


def test_the_loss_that_is_known_is_told_beside_a_row_that_is_not() -> None:
    rows = [
        position(100, price="10000", last="1000", symbol="INFY", isin=INFY, product=Product.MIS),
        position(1, last=None, symbol="SBIN", isin=SBIN, product=Product.MIS),
    ]
    measured = measured_from(merged(source("zerodha", account([], rows, funds=funds()))))
    for key in (WHOLE, (Metric.DAY_LOSS, Scope.ACCOUNT, "zerodha-1")):
        assert of(measured, *key) == Figure(D(900_000), complete=False)


def test_of_nothing_a_broker_has_no_part() -> None:
    measured = measured_from(merged(source("zerodha", account(funds=funds()))))
    assert of(measured, Metric.BROKER_PCT, Scope.BROKER, "zerodha") == Figure(D(0), complete=True)


def test_open_intraday_positions_leave_issuers_incomplete() -> None:
    short = position(-10, price="100", last="101", close="100", symbol="INFY", isin=INFY, product=Product.MIS)
    traded = merged(source("zerodha", account([holding(INFY, 10)], [short], funds=funds())))
    assert not of(measured_from(traded), Metric.ISSUER_PCT, Scope.ISSUER, INFY).complete


def test_a_missing_broker_may_hold_anything() -> None:
    missing = merged(
        source("zerodha", account([holding(INFY, 10)], funds=funds())),
        source("upstox", None, state=SourceState.MISSING),
    )
    measured = measured_from(missing)
    assert measured.listed == frozenset()
    assert not of(measured, *WHOLE).complete
    assert not of(measured, Metric.MARGIN_PCT).complete


def test_nobody_answers() -> None:
    assert measured_from(merged(source("zerodha", None, state=SourceState.MISSING))) == Measured()


@given(last=st.decimals("1", "500", places=2), further=st.decimals("0", "0.99", places=2))
def test_a_lower_price_is_never_a_smaller_loss(last: Decimal, further: Decimal) -> None:
    losses = [
        of(
            measured_from(merged(source("zerodha", account([holding(INFY, 10, last=price, close="250")])))), *WHOLE
        ).value
        for price in (last, last - further)
    ]
    assert losses[0] is not None
    assert losses[1] is not None
    assert losses[1] >= losses[0] >= 0
