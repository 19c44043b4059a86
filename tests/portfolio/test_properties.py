"""What must hold for every book there could be."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from brokers.domain import ZERO, Product
from portfolio.consolidate import Book
from portfolio.domain import (
    BorrowedPrice,
    ConsolidatedPortfolio,
    ConsolidatedPosition,
    PriceState,
    Source,
    SourceState,
    TradeKind,
    TradingPosition,
)
from portfolio.presentation import present, schema
from tests.portfolio.sources import account, lent, merged, source
from tests.portfolio.strategies import books, loans, positions

# The same books every time: a red test stays red until it is mended.
repeatable = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@repeatable
@given(books(), st.randoms(use_true_random=False))
def test_the_order_in_which_brokers_answer_does_not_matter(book: list[Source], chance: random.Random) -> None:
    assert merged(*chance.sample(book, len(book))) == merged(*book)


@repeatable
@given(books(rows=positions(smallest=1)))
def test_no_share_is_lost_or_invented(book: list[Source]) -> None:
    owned: Counter[str] = Counter()
    for each in book:
        assert each.portfolio is not None
        for line in each.portfolio.holdings:
            owned[each.connection_id] += line.owned_quantity
        for row in each.portfolio.positions:
            owned[each.connection_id] += row.quantity if row.is_delivery else 0
    answer = merged(*book)
    found: Counter[str] = Counter()
    for position in answer.positions:
        for part in position.broker_positions:
            found[part.connection_id] += part.quantity
    assert +found == +owned
    assert sum(position.total_quantity for position in answer.positions) == sum(owned.values())


@repeatable
@given(books())
def test_the_parts_of_a_position_make_it_up(book: list[Source]) -> None:
    for position in merged(*book).positions:
        own = position.settled_quantity + position.t1_quantity + position.pledged_quantity + position.today_quantity
        assert own + position.mtf_quantity == position.total_quantity
        assert sum(part.quantity for part in position.broker_positions) == position.total_quantity
        for part in position.broker_positions:
            pieces = part.settled_quantity + part.t1_quantity + part.pledged_quantity + part.today_quantity
            assert pieces == part.quantity > 0
            assert part.product in (Product.CNC, Product.MTF)


@repeatable
@given(books())
def test_a_position_is_never_more_than_its_lots(book: list[Source]) -> None:
    lots = Book.of(book).lots
    for position in merged(*book).positions:
        assert position.total_quantity == sum(lot.quantity for lot in lots[position.key])


@repeatable
@given(books())
def test_an_average_lies_between_the_extremes(book: list[Source]) -> None:
    for position in merged(*book).positions:
        paid = [part.avg_price for part in position.broker_positions]
        if None in paid:
            assert (position.avg_price, position.total_cost, position.unrealized_pnl) == (None, None, None)
        else:
            assert position.avg_price is not None
            assert min(paid) <= position.avg_price <= max(paid)


@repeatable
@given(books())
def test_an_empty_broker_changes_no_number(book: list[Source]) -> None:
    empty = source("zerodha", account(), number=99)
    assert numbers(merged(*book, empty)) == numbers(merged(*book))


@repeatable
@given(books())
def test_a_missing_broker_changes_no_number_but_the_book_is_not_complete(book: list[Source]) -> None:
    with_missing = merged(*book, source("upstox", None, number=99))
    assert numbers(with_missing) == numbers(merged(*book))
    assert with_missing.broker_breakdown == merged(*book).broker_breakdown
    assert not with_missing.complete


@repeatable
@given(books(), loans())
def test_a_borrowed_price_changes_prices_and_nothing_else(
    book: list[Source], borrowed: dict[str, BorrowedPrice]
) -> None:
    before, after = merged(*book), merged(*book, borrowed=borrowed)
    assert {each.key: unpriced(each) for each in after.positions} == {
        each.key: unpriced(each) for each in before.positions
    }
    assert (after.sources, after.total_cost, after.funds) == (before.sources, before.total_cost, before.funds)
    assert (unmeasured(after), after.derivatives) == (unmeasured(before), before.derivatives)
    assert [(line.connection_id, line.positions, line.stale) for line in after.broker_breakdown] == [
        (line.connection_id, line.positions, line.stale) for line in before.broker_breakdown
    ]
    assert sum((line.total_value or ZERO for line in after.broker_breakdown), ZERO) == (after.total_value or ZERO)


@repeatable
@given(books(), loans())
def test_a_borrowed_price_serves_only_where_no_live_source_has_one(
    book: list[Source], borrowed: dict[str, BorrowedPrice]
) -> None:
    lots = Book.of(book).lots
    alone = {each.key: each for each in merged(*book).positions}
    for each in merged(*book, borrowed=borrowed).positions:
        loan = borrowed.get(each.key)
        held = any(lot.last_price is not None and lot.source.state is SourceState.LIVE for lot in lots[each.key])
        if held or loan is None or loan.price is None:
            assert (each.current_price, each.price_state) == (
                alone[each.key].current_price,
                alone[each.key].price_state,
            )
            assert each.price_state in ((PriceState.HELD,) if held else (PriceState.STALE, None))
        else:
            assert (each.current_price, each.price_state) == (loan.price, PriceState.BORROWED)
            assert each.current_value == each.total_quantity * loan.price


@repeatable
@given(books(), st.data())
def test_one_live_quote_changes_the_prices_of_its_share_alone(book: list[Source], data: st.DataObject) -> None:
    before = merged(*book)
    stale = sorted(each.key for each in before.positions if each.price_state is PriceState.STALE and each.isin)
    assume(stale)
    key = data.draw(st.sampled_from(stale))
    after = merged(*book, borrowed={key: lent("123.45", "120")})
    assert {each.key: unweighted(each) for each in after.positions if each.key != key} == {
        each.key: unweighted(each) for each in before.positions if each.key != key
    }
    [moved] = [each for each in after.positions if each.key == key]
    [old] = [each for each in before.positions if each.key == key]
    assert unpriced(moved) == unpriced(old)
    assert moved.current_value == moved.total_quantity * Decimal("123.45")
    assert moved.current_value is not None
    assert old.current_value is not None
    assert (after.total_value or ZERO) - (before.total_value or ZERO) == moved.current_value - old.current_value


@repeatable
@given(books())
def test_a_book_whose_live_sources_know_all_asks_for_nothing(book: list[Source]) -> None:
    """Who is asked for is known to the last share: neither one too many nor one too few."""
    priced = {
        each.isin
        for each in merged(*book).positions
        if each.price_state is PriceState.HELD and each.close_price is not None
    }
    held = {each.isin for each in merged(*book).positions if each.isin}
    assert {share.isin for share in Book.of(book).unpriced()} == held - priced


@repeatable
@given(books())
def test_what_the_brokers_add_is_the_total(book: list[Source]) -> None:
    answer = merged(*book)
    total = answer.total_value or ZERO
    assert sum((line.total_value or ZERO for line in answer.broker_breakdown), ZERO) == total
    assert sum((position.current_value or ZERO for position in answer.positions), ZERO) == total
    assert sum((line.current_value for line in answer.asset_allocation), ZERO) == total
    cost = sum((line.total_cost or ZERO for line in answer.broker_breakdown), ZERO)
    assert cost == (answer.total_cost or ZERO)


@repeatable
@given(books())
def test_the_answer_is_written_in_plain_numbers(book: list[Source]) -> None:
    shown = present(merged(*book))
    assert shown.keys() == schema(ConsolidatedPortfolio)["properties"].keys()
    for value in leaves(shown):
        assert not isinstance(value, float)
        if isinstance(value, str) and is_number(value):
            assert PLAIN_NUMBER.fullmatch(value), value
            assert value.strip("-0.") or not value.startswith("-"), "a negative zero"


PRICE_FIGURES: dict[str, Any] = dict.fromkeys(
    [
        *("current_price", "close_price", "price_source", "price_state", "price_as_of", "current_value"),
        *("unrealized_pnl", "unrealized_pnl_percent", "day_change", "day_change_percent", "weight_percent"),
    ]
)


def unpriced(position: ConsolidatedPosition) -> ConsolidatedPosition:
    """The position without what follows from its price."""
    parts = [
        replace(part, current_value=None, unrealized_pnl=None, day_change=None) for part in position.broker_positions
    ]
    return replace(position, broker_positions=tuple(parts), **PRICE_FIGURES)


def unmeasured(answer: ConsolidatedPortfolio) -> list[TradingPosition]:
    """The trading rows; of sales out of holdings without their day, which is measured from a close that may be lent."""
    is_sale = TradeKind.SALE_OF_HOLDING
    return [replace(row, day_pnl=None) if row.kind is is_sale else row for row in answer.trading_positions]


def unweighted(position: ConsolidatedPosition) -> ConsolidatedPosition:
    """The position without its share of the total, which moves with every other one."""
    return replace(position, weight_percent=None)


def numbers(answer: ConsolidatedPortfolio) -> Any:
    """All that is counted, without who was asked."""
    return (
        [answer.total_value, answer.total_cost, answer.unrealized_pnl, answer.day_change, answer.mtf_funded_amount],
        [answer.unrealized_pnl_percent, answer.day_change_percent],
        [answer.positions, answer.trading_positions, answer.trading, answer.asset_allocation],
        [answer.funds.available, answer.funds.used, answer.funds.collateral, answer.funds.cash],
    )


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def is_number(text: str) -> bool:
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True
