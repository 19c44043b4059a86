"""What must hold for every book there could be."""

from __future__ import annotations

import random
import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.domain import ZERO, Product
from portfolio.consolidate import Book
from portfolio.domain import ConsolidatedPortfolio, Source
from portfolio.presentation import present, schema
from tests.portfolio.sources import account, merged, source
from tests.portfolio.strategies import books, positions

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
