"""Exposure: netted for the market, never for a broker; the same however the book is spread over brokers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from brokers.domain import ZERO, Product
from portfolio.domain import Source
from portfolio.risk import concentration
from portfolio.risk.directory import Directory
from portfolio.risk.exposure import UNCLASSIFIED, Exposure, Node, exposures
from portfolio.risk.factors import by_factor
from portfolio.risk.quick import quick_measures
from portfolio.risk.words import RiskBook
from tests.portfolio.risk.made import ANY_ROWS, book_of, contract, deltas_of, held, splits
from tests.portfolio.sources import INFY, RELIANCE, SBIN, holding, position, source
from tests.portfolio.strategies import books

repeatable = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
KNOWN = Directory(issuers={"RELIANCE": RELIANCE}, sectors={INFY: "IT", RELIANCE: "Oil", SBIN: "Banks"})
MARKET = ("by_exchange", "by_segment", "by_risk_class", "by_sector", "by_issuer", "by_expiry")


def figures(node: Node) -> tuple[Decimal | None, ...]:
    return (node.gross, node.net, node.long, node.short, node.delta_net, node.notional)


def market(tree: Exposure) -> dict[str, dict[str, tuple[Decimal | None, ...]]]:
    """What the market moves: everything but who holds it."""
    return {
        **{name: {node.key: (*figures(node)[:5], node.weight_pct) for node in getattr(tree, name)} for name in MARKET},
        "whole": {"": figures(tree.whole)[:5]},
    }


def plain(sizes: dict[str, Decimal]) -> dict[str, Decimal]:
    return {key: size for key, size in sizes.items() if size}


@repeatable
@given(splits())
def test_how_a_book_is_spread_over_brokers_is_nothing_to_the_market(
    split: tuple[list[Source], list[Source]],
) -> None:
    one, many = (book_of(*sources, directory=KNOWN) for sources in split)
    deltas = deltas_of(one)
    assert market(exposures(one, deltas)) == market(exposures(many, deltas))
    for judge in (concentration.by_issuer, concentration.by_sector):
        spread_out = judge(many, deltas)
        assert replace(spread_out, unvalued=judge(one, deltas).unvalued) == judge(one, deltas)
    assert plain(by_factor(one, deltas)) == plain(by_factor(many, deltas))
    quick, spread = quick_measures(one, deltas), quick_measures(many, deltas)
    assert (quick.gross, quick.issuer_pct, quick.sector_pct) == (spread.gross, spread.issuer_pct, spread.sector_pct)
    assert quick.segment_gross == spread.segment_gross


@repeatable
@given(splits())
def test_at_the_brokers_nothing_nets(split: tuple[list[Source], list[Source]]) -> None:
    one, many = (book_of(*sources, directory=KNOWN) for sources in split)
    deltas = deltas_of(one)
    whole, tree = exposures(one, deltas).whole, exposures(many, deltas)
    by_broker = [node.gross or ZERO for node in tree.by_broker]
    assert sum(by_broker, ZERO) >= (whole.gross or ZERO)
    assert sum((node.net or ZERO for node in tree.by_broker), ZERO) == (whole.net or ZERO)


@repeatable
@given(books(rows=ANY_ROWS))
def test_the_parts_make_up_the_whole(sources: list[Source]) -> None:
    book = book_of(*sources)
    tree = exposures(book, deltas_of(book))
    for name in (*MARKET, "by_broker"):
        if name == "by_expiry":
            continue
        nodes: Sequence[Node] = getattr(tree, name)
        assert sum(node.lines for node in nodes) == tree.whole.lines == len(book.lines)
        assert sum(node.unvalued for node in nodes) == tree.whole.unvalued
        assert sum((node.net or ZERO for node in nodes), ZERO) == (tree.whole.net or ZERO)
        assert sum((node.notional or ZERO for node in nodes), ZERO) == (tree.whole.notional or ZERO)
    assert sum((node.gross or ZERO for node in tree.by_issuer), ZERO) == (tree.whole.gross or ZERO)
    for node in (*tree.by_issuer, *tree.by_broker):
        assert figures(node)[0] == sum_of(node.children)


def sum_of(nodes: Sequence[Node]) -> Decimal | None:
    known = [node.gross for node in nodes if node.gross is not None]
    return sum(known, ZERO) if known else None


@repeatable
@given(books(rows=ANY_ROWS))
def test_a_missing_account_makes_no_figure_smaller_in_silence(sources: list[Source]) -> None:
    book, partial = book_of(*sources), book_of(*sources, source("upstox", None, number=99))
    deltas = deltas_of(book)
    assert market(exposures(partial, deltas)) == market(exposures(book, deltas))
    told = exposures(partial, deltas).coverage
    assert (told.complete, told.missing) == (False, ("upstox-99",))
    assert told.accounts == len(sources) + 1


@repeatable
@given(books(rows=ANY_ROWS))
def test_a_line_without_a_price_is_said(sources: list[Source]) -> None:
    book = book_of(*sources)
    if not book.lines:
        return
    gone = book.lines[0].instrument
    lines = tuple(
        replace(line, price=None, underlying_price=None) if line.instrument == gone else line for line in book.lines
    )
    tree = exposures(replace(book, lines=lines), deltas_of(book))
    assert not tree.coverage.complete
    assert tree.coverage.unvalued == tree.whole.unvalued >= sum(line.instrument == gone for line in lines)
    [issuer] = [node for node in tree.by_issuer if node.key == book.lines[0].issuer]
    [instrument] = [node for node in issuer.children if node.key == gone]
    assert figures(instrument) == (None,) * 6
    assert instrument.unvalued == instrument.lines


class TestByHand:
    """300 shares and a future at one broker, the other side of the future and a call at another."""

    @pytest.fixture
    def book(self) -> RiskBook:
        one = held(
            holding(RELIANCE, 300, last="1400", symbol="RELIANCE"), contract("RELIANCE26DECFUT", 500, last="1410")
        )
        other = held(
            contract("RELIANCE26DECFUT", -500, last=None), contract("RELIANCE26DEC1500CE", -500, last="20"),
            slug="upstox",
        )  # fmt: skip
        return book_of(one, other, directory=KNOWN)

    def test_the_two_futures_are_nothing_to_the_market(self, book: RiskBook) -> None:
        tree = exposures(book, {"NFO|RELIANCE|2026-12-29|1500|CE": Decimal("0.25")})
        # 300 × 1400 = 420,000 long; -500 × 0.25 × 1410 (the future of the same expiry) = 176,250 short
        assert figures(tree.whole)[:4] == (596_250, 243_750, 420_000, 176_250)
        assert tree.whole.delta_net == -176_250
        # 420,000 + 2 × 705,000 + 700,000
        assert tree.whole.notional == 2_535_000
        [issuer] = tree.by_issuer
        assert (issuer.key, issuer.name, issuer.weight_pct) == (RELIANCE, "RELIANCE", 100)
        assert {child.key: child.gross for child in issuer.children} == {
            RELIANCE: 420_000,
            "NFO|RELIANCE|2026-12-29|1500|CE": 176_250,
            "NFO|RELIANCE|2026-12-29|FUT": 0,
        }

    def test_at_their_brokers_they_are_all_there(self, book: RiskBook) -> None:
        tree = exposures(book, {"NFO|RELIANCE|2026-12-29|1500|CE": Decimal("0.25")})
        assert {node.key: figures(node)[:4] for node in tree.by_broker} == {
            "zerodha": (1_125_000, 1_125_000, 1_125_000, 0),
            "upstox": (881_250, -881_250, 0, 881_250),
        }

    def test_derivatives_alone_expire(self, book: RiskBook) -> None:
        [node] = exposures(book).by_expiry
        assert (node.key, node.lines, node.unvalued) == ("2026-12-29", 3, 1)

    def test_an_option_without_a_delta_is_in_no_sum_but_its_notional(self, book: RiskBook) -> None:
        tree = exposures(book)
        assert (tree.whole.gross, tree.whole.unvalued, tree.coverage.complete) == (420_000, 1, False)
        assert tree.whole.notional == 2_535_000

    def test_deltas_may_be_an_array_in_the_order_of_the_lines(self, book: RiskBook) -> None:
        by_line = np.array([0.25 if line.option_type else np.nan for line in book.lines])
        by_name = exposures(book, {"NFO|RELIANCE|2026-12-29|1500|CE": 0.25})
        assert exposures(book, by_line) == by_name

    def test_an_array_of_another_length_is_refused(self, book: RiskBook) -> None:
        with pytest.raises(ValueError, match="zip"):
            exposures(book, np.array([0.25]))


def test_an_account_nets_within_itself() -> None:
    short = position(-40, symbol="INFY", isin=INFY, last="110", product=Product.MIS)
    [node] = exposures(book_of(held(holding(INFY, 100, last="110"), short))).by_broker
    assert figures(node)[:4] == (6_600, 6_600, 6_600, 0)


def test_two_accounts_of_one_broker_do_not() -> None:
    long = held(contract("NIFTY26DECFUT", 65, last="26000"))
    short = held(contract("NIFTY26DECFUT", -65, last="26000"), number=2)
    [node] = exposures(book_of(long, short)).by_broker
    assert (node.gross, node.net, len(node.children)) == (3_380_000, 0, 2)


def test_who_is_no_company_stands_under_its_class() -> None:
    book = book_of(
        held(
            holding(INFY, 1), holding(SBIN, 1, symbol="SBIN"), holding("INF204KB14I2", 1, symbol="NIFTYBEES"),
            contract("NIFTY26DECFUT", 65, last="26000"),
        ),
        directory=Directory(sectors={INFY: "IT"}),
    )  # fmt: skip
    assert {node.key: node.name for node in exposures(book).by_sector} == {
        "IT": "IT",
        "": UNCLASSIFIED,
        "FUND": "Fund",
        "INDEX": "Index",
    }


def test_a_contract_whose_day_is_over_is_in_no_sum_and_counted() -> None:
    book = book_of(held(holding(INFY, 100, last="110"), contract("NIFTY26DECFUT", 65, last="26000")))
    later = replace(book, now=datetime(2026, 12, 30, 4, 0, tzinfo=UTC))
    assert (exposures(book).whole.gross, exposures(book).coverage.complete) == (1_701_000, True)
    tree = exposures(later)
    assert (tree.whole.gross, tree.whole.unvalued, tree.coverage.complete) == (11_000, 1, False)


def test_an_empty_book_is_exposed_to_nothing() -> None:
    tree = exposures(book_of(held()))
    assert figures(tree.whole) == (0, 0, 0, 0, 0, 0)
    assert (tree.whole.weight_pct, tree.by_issuer, tree.coverage.complete) == (None, (), True)
