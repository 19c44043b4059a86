"""What limits are held against: the same figures as the full ones, in one pass."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from hypothesis import HealthCheck, given, settings

from brokers.domain import Funds, OptionType, Product, RowProblem
from portfolio.domain import Source, SourceState
from portfolio.risk import concentration
from portfolio.risk.coverage import coverage
from portfolio.risk.directory import Directory
from portfolio.risk.exposure import exposures
from portfolio.risk.limits import DEFAULTS, Metric, Scope
from portfolio.risk.margins import accounts_of, margins
from portfolio.risk.measured import FINEST, measured_from
from portfolio.risk.quick import Measure, quick_measures
from tests.portfolio.risk.made import ANY_ROWS, CONTRACTS, book_of, contract, deltas_of, funds, held
from tests.portfolio.sources import INFY, RELIANCE, SBIN, account, holding, merged, position, source
from tests.portfolio.strategies import books

repeatable = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
SECTORS = Directory(sectors={INFY: "IT", RELIANCE: "Oil", SBIN: "Banks", "INF204KB14I2": "Equity ETF"})


@repeatable
@given(books(rows=ANY_ROWS))
def test_they_are_the_full_figures(sources: list[Source]) -> None:
    book = book_of(*sources, directory=SECTORS)
    deltas = deltas_of(book)
    quick, tree = quick_measures(book, deltas), exposures(book, deltas)
    assert quick.gross == tree.whole.gross
    assert quick.coverage == tree.coverage
    assert quick.without_delta == 0 or any(line.strike is None for line in book.lines)
    issuers = concentration.by_issuer(book, deltas)
    assert quick.issuer_pct == {
        weight.key: weight.weight_pct for weight in issuers.weights if weight.weight_pct is not None
    }
    full = margins(accounts_of(book, deltas))
    assert {key: measure.value for key, measure in quick.margin_pct.items()} == {
        each.account.connection_id: None if each.utilisation is None else each.utilisation * 100
        for each in full.accounts
    }
    assert quick.broker_pct.keys() == {purse.broker_type for purse in book.purses}


@repeatable
@given(books(rows=ANY_ROWS))
def test_a_missing_account_leaves_nothing_complete(sources: list[Source]) -> None:
    figures = quick_measures(book_of(*sources, source("upstox", None, number=99))).figures()
    for (metric, scope, key), measure in figures.items():
        if scope is Scope.GLOBAL:
            assert not measure.complete, metric
        if key in ("upstox-99",):
            assert measure == Measure(None, False)


def test_a_loss_is_measured_against_what_the_day_began_with() -> None:
    falling = holding(INFY, 1000, last="100", close="110")
    quick = quick_measures(book_of(held(falling)))
    assert (quick.day_loss, quick.equity.amount) == (10_000, 200_000)
    assert quick.day_loss_pct is not None
    assert round(quick.day_loss_pct, 6) == Decimal("4.761905")  # of 210,000


def test_who_lost_more_than_there_was_is_over_any_level() -> None:
    # It began with 100,000 and lost 101,000.
    fallen = contract("NIFTY26DECFUT", 1000, last="99", close="200")
    quick = quick_measures(book_of(held(fallen)))
    assert (quick.day_loss, quick.equity.amount, quick.day_loss_pct) == (101_000, -1000, 101)
    nothing = quick_measures(book_of(held(fallen, money=funds(0))))
    assert nothing.figures()[Metric.DAY_LOSS_PCT, Scope.GLOBAL, ""] == Measure(Decimal(1000), True)
    unknown = Funds(available=None, used=None, collateral=None, cash=None)
    assert quick_measures(book_of(held(fallen, money=unknown))).day_loss_pct is None


def test_of_an_account_the_loss_that_is_known_is_told() -> None:
    fallen = contract("NIFTY26DECFUT", 100, last="1000", close="10000")
    figures = quick_measures(book_of(held(fallen, holding(INFY, 1, close=None)))).figures()
    for key in ((Metric.DAY_LOSS, Scope.GLOBAL, ""), (Metric.DAY_LOSS, Scope.ACCOUNT, "zerodha-1")):
        assert figures[key] == Measure(Decimal(900_000), False)


def test_of_a_book_without_a_price_no_largest_is_told() -> None:
    figures = quick_measures(book_of(held(holding(INFY, 10, last=None)))).figures()
    for metric in (Metric.ISSUER_PCT, Metric.SECTOR_PCT):
        assert figures[metric, Scope.GLOBAL, ""] == Measure(None, False)
    assert figures[Metric.BROKER_PCT, Scope.BROKER, "zerodha"] == Measure(None, False)
    assert figures[Metric.ISSUER_PCT, Scope.ISSUER, INFY] == Measure(None, False)
    none = quick_measures(book_of(held())).figures()
    assert none[Metric.ISSUER_PCT, Scope.GLOBAL, ""] == Measure(Decimal(0), True)


def test_margin_that_nobody_tells_is_not_complete() -> None:
    unknown = Funds(available=None, used=Decimal(5), collateral=None, cash=Decimal(5))
    assert quick_measures(book_of(held(money=unknown))).margin_pct["zerodha-1"] == Measure(None, False)


@repeatable
@given(books(rows=ANY_ROWS))
def test_brokers_are_the_parts_that_the_merged_book_tells(sources: list[Source]) -> None:
    quick, book = quick_measures(book_of(*sources)), measured_from(merged(*sources))
    for broker, measure in quick.broker_pct.items():
        figure = book.of(Metric.BROKER_PCT, Scope.BROKER, broker)
        assert (figure.value is None) == (measure.value is None), broker
        if figure.value is not None and measure.value is not None:
            assert figure.value == measure.value.quantize(FINEST, ROUND_HALF_UP), broker


def test_a_broker_is_a_part_of_what_is_owned_and_cash_is_none_of_it() -> None:
    here = held(holding(INFY, 10, last="100"), contract("NIFTY26DECFUT", 65), money=funds(9_000_000))
    there = held(holding(SBIN, 30, symbol="SBIN", last="100"), slug="upstox")
    figures = quick_measures(book_of(here, there)).figures()
    assert figures[Metric.BROKER_PCT, Scope.BROKER, "zerodha"] == Measure(Decimal(25), True)
    assert figures[Metric.BROKER_PCT, Scope.GLOBAL, ""] == Measure(Decimal(75), True)


def test_a_gain_is_no_loss() -> None:
    quick = quick_measures(book_of(held(holding(INFY, 1000, last="110", close="100"))))
    assert (quick.day_loss, quick.day_loss_pct) == (0, 0)


def test_of_a_day_that_nobody_knows_there_is_no_loss_to_tell() -> None:
    quick = quick_measures(book_of(held(holding(INFY, 1000, last="100", close=None))))
    assert (quick.day_loss, quick.day_loss_pct) == (None, None)
    assert quick.figures()[Metric.DAY_LOSS, Scope.GLOBAL, ""] == Measure(None, False)


def test_a_loss_that_is_partly_known_is_told_as_such() -> None:
    falling = held(holding(INFY, 1000, last="100", close="110"))
    figures = quick_measures(book_of(falling, source("upstox", None))).figures()
    assert figures[Metric.DAY_LOSS, Scope.GLOBAL, ""] == Measure(Decimal(10_000), False)
    assert figures[Metric.DAY_LOSS_PCT, Scope.GLOBAL, ""].value is not None
    assert figures[Metric.DAY_LOSS, Scope.ACCOUNT, "zerodha-1"] == Measure(Decimal(10_000), True)
    assert figures[Metric.DAY_LOSS, Scope.ACCOUNT, "upstox-1"] == Measure(None, False)


def test_an_option_without_a_delta_counts_as_its_whole_underlying() -> None:
    book = book_of(
        held(contract("RELIANCE26DEC1500CE", -500), holding(RELIANCE, 1, last="1400", symbol="RELIANCE")),
        directory=Directory(issuers={"RELIANCE": RELIANCE}),
    )
    quick = quick_measures(book)
    assert (quick.gross, quick.without_delta) == (1400 + 700_000, 1)
    assert not quick.figures()[Metric.GROSS_EXPOSURE, Scope.GLOBAL, ""].complete
    known = quick_measures(book, {"NFO|RELIANCE|2026-12-29|1500|CE": 0.5})
    assert (known.gross, known.without_delta) == (1400 + 350_000, 0)


def test_a_put_without_one_moves_the_other_way() -> None:
    book = book_of(held(contract("NIFTY26DECFUT", 65, last="26000"), contract("NIFTY26DEC25000PE", 65)))
    assert quick_measures(book, {"NFO|NIFTY|2026-12-29|25000|PE": -1}).issuer_pct == {}  # the two cancel out
    assert quick_measures(book).segment_gross == {"FNO": 2 * 65 * 26000}


def test_a_hedge_that_nobody_knows_the_size_of_hides_no_issuer() -> None:
    far = replace(CONTRACTS["RELIANCE26DEC1500CE"], strike=Decimal(1000), option_type=OptionType.PE)
    puts = contract("RELIANCE26DEC1000PE", 1000, contract=far)
    shares = holding(RELIANCE, 1000, last="1400", symbol="RELIANCE")
    book = book_of(
        held(shares, holding(INFY, 1000, last="1400"), puts), directory=Directory(issuers={"RELIANCE": RELIANCE})
    )
    quick = quick_measures(book)
    # With all of its delta the put leaves nothing of RELIANCE, and INFY alone; with none, half of either.
    assert quick.issuer_pct == {RELIANCE: 50, INFY: 100}
    assert quick.figures()[Metric.ISSUER_PCT, Scope.ISSUER, RELIANCE] == Measure(Decimal(50), False)
    assert quick_measures(book, {"NFO|RELIANCE|2026-12-29|1000|PE": -0.75}).issuer_pct == {RELIANCE: 20, INFY: 80}


def test_kinds_of_funds_are_no_sector() -> None:
    book = book_of(
        held(holding(INFY, 10, last="100"), holding("INF204KB14I2", 30, symbol="NIFTYBEES", last="100")),
        directory=SECTORS,
    )
    quick = quick_measures(book)
    assert (quick.sector_pct, quick.is_classified) == ({"IT": 25}, True)


def test_companies_that_nobody_classified_leave_sectors_incomplete() -> None:
    quick = quick_measures(
        book_of(held(holding(INFY, 10), holding(SBIN, 10, symbol="SBIN")), directory=Directory(sectors={INFY: "IT"}))
    )
    assert quick.sector_pct == {"IT": 50}
    assert quick.figures()[Metric.SECTOR_PCT, Scope.GLOBAL, ""] == Measure(Decimal(50), False)


def test_globally_it_is_the_worst_account_and_the_largest_issuer() -> None:
    full = held(holding(INFY, 30, last="100"), money=funds(used=95, available=5))
    empty = held(holding(SBIN, 10, symbol="SBIN", last="100"), slug="upstox", money=funds(used=0, available=100))
    figures = quick_measures(book_of(full, empty)).figures()
    assert figures[Metric.MARGIN_PCT, Scope.GLOBAL, ""] == Measure(Decimal(95), True)
    assert figures[Metric.MARGIN_PCT, Scope.ACCOUNT, "upstox-1"] == Measure(Decimal(0), True)
    assert figures[Metric.ISSUER_PCT, Scope.ISSUER, INFY] == Measure(Decimal(75), True)
    assert figures[Metric.ISSUER_PCT, Scope.GLOBAL, ""] == Measure(Decimal(75), True)
    leverage = figures[Metric.LEVERAGE_RATIO, Scope.GLOBAL, ""]
    assert leverage == Measure(Decimal(4000) / Decimal(204_000), True)


def test_a_stale_account_tells_its_margin_and_is_not_believed_whole() -> None:
    old = source("zerodha", account([], [], funds(used=95, available=5)), state=SourceState.STALE)
    measure = quick_measures(book_of(old)).margin_pct["zerodha-1"]
    assert measure == Measure(Decimal(95), False)


def test_every_limit_of_the_book_that_needs_no_history_has_its_figure() -> None:
    figures = quick_measures(book_of(held(holding(INFY, 1)))).figures()
    with_history = {Metric.VAR_99_PCT, Metric.ES_975_PCT, Metric.DRAWDOWN_PCT, Metric.ORDER_VALUE_PCT}
    for limit in DEFAULTS:
        if limit.metric not in with_history:
            assert any(metric is limit.metric and scope is limit.scope for metric, scope, _ in figures), limit


class TestCoverage:
    def test_a_whole_book(self) -> None:
        told = coverage(book_of(held(holding(INFY, 10, last="110"))), proxied=Decimal(0), unmodelled=Decimal(0))
        assert told.complete
        assert (told.gross, told.proxied_pct, told.unmodelled_pct, told.lines) == (1100, 0, 0, 1)

    def test_what_is_proxied_is_a_part_of_what_was_judged(self) -> None:
        told = coverage(book_of(held(holding(INFY, 10, last="110"))), proxied=Decimal(275))
        assert (told.complete, told.proxied_pct, told.unmodelled_pct) == (False, 25, None)

    def test_stale_and_missing_are_told_apart(self) -> None:
        old = source("zerodha", account([holding(INFY, 10)], age=90), state=SourceState.STALE)
        book = book_of(old, held(slug="groww"), source("upstox", None))
        told = coverage(book)
        assert (told.complete, told.accounts) == (False, 3)
        assert (told.stale, told.missing) == (("zerodha-1",), ("upstox-1",))
        assert told.as_of == old.answered_at

    def test_a_row_that_could_not_be_read_leaves_it_incomplete(self) -> None:
        broken = account([holding(INFY, 1)], problems=(RowProblem(part="holdings", row=1, field="isin"),))
        told = coverage(book_of(source("zerodha", broken)))
        assert (told.complete, told.unreadable, told.unvalued) == (False, 1, 0)

    def test_a_book_without_one_price_was_not_judged(self) -> None:
        told = coverage(book_of(held(holding(INFY, 10, last=None))))
        assert (told.gross, told.unvalued, told.complete) == (None, 1, False)

    def test_an_empty_one_was(self) -> None:
        told = coverage(book_of(held()))
        assert (told.gross, told.unvalued, told.complete) == (0, 0, True)


def test_intraday_shorts_meet_the_shares_that_are_owned() -> None:
    short = position(-10, symbol="INFY", isin=INFY, last="110", product=Product.MIS)
    assert quick_measures(book_of(held(holding(INFY, 10, last="110")), held(short, slug="upstox"))).gross == 0
