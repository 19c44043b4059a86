"""The solver against trying everything: the same answer, to the last digit and the last tie."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orders.examples import seed_rates
from orders.routing import Decision, Problem, pinned, replay, solve
from portfolio.sums import EXACT
from tests.orders.routing_oracle import Oracle
from tests.orders.routing_problems import chance_of, problem

RATES = seed_rates()
seeds = st.integers(min_value=0, max_value=2**32)


def compared(given_problem: Problem, allocation, unrouted) -> tuple[Decimal, tuple[int, ...], tuple[int, ...]]:
    """Unrouted quantity, lots by account, and exchanges, as an answer of the oracle has them."""
    order, got = given_problem.order, {part.broker: part for part in allocation}
    parts = [got.get(broker.id) for broker in given_problem.brokers]
    lots = tuple(0 if part is None else -int(part.quantity / order.lot_size) for part in parts)
    return unrouted, lots, tuple(0 if part is None else 1 + order.exchanges.index(part.exchange) for part in parts)


def assert_best(given_problem: Problem, decision: Decision, best) -> None:
    got = compared(given_problem, decision.allocation, decision.unrouted)
    assert got == (best.unrouted, best.less_taken, best.exchanges)
    assert decision.objective == best.cost
    assert len(decision.children) == best.children


@settings(max_examples=1000, deadline=None)
@given(seeds)
def test_tiny_problems_by_trying_everything(seed: int) -> None:
    chance = chance_of(seed)
    small = problem(chance, brokers=chance.randint(1, 3), lots=chance.randint(1, 7))
    oracle = Oracle(small, RATES)
    best = oracle.best()
    assert_best(small, solve(small, RATES), best)
    assert oracle.best_by_dense_programme() == best


@settings(max_examples=500, deadline=None)
@given(seeds)
def test_taxed_sales_by_trying_everything(seed: int) -> None:
    chance = chance_of(seed)
    sale = problem(chance, brokers=chance.randint(1, 3), lots=chance.randint(1, 7), taxed=True)
    decision = solve(sale, RATES)
    assert_best(sale, decision, Oracle(sale, RATES).best())
    assert "not_proved" not in [warned.code for warned in decision.warnings]


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_larger_problems_by_the_dense_programme(seed: int) -> None:
    chance = chance_of(seed)
    larger = problem(chance, brokers=chance.randint(2, 7), lots=chance.randint(8, 40))
    assert_best(larger, solve(larger, RATES), Oracle(larger, RATES).best_by_dense_programme())


@settings(max_examples=150, deadline=None)
@given(seeds, st.booleans())
def test_the_next_best_by_trying_everything(seed: int, taxed: bool) -> None:
    chance = chance_of(seed)
    small = problem(chance, brokers=chance.randint(1, 3), lots=chance.randint(1, 6), taxed=taxed)
    oracle = Oracle(small, RATES)
    chosen, alternative = oracle.best(), solve(small, RATES).alternative
    expected = oracle.best_without_one_of(chosen)
    if expected is None or alternative is None:
        assert expected is alternative
        return
    got = compared(small, alternative.allocation, alternative.unrouted)
    assert got == (expected.unrouted, expected.less_taken, expected.exchanges)
    more = EXACT.subtract(expected.cost, chosen.cost) if expected.unrouted == chosen.unrouted else None
    assert alternative.difference == more


@settings(max_examples=150, deadline=None)
@given(seeds, st.booleans())
def test_every_decision_can_be_made_again_from_what_is_stored(seed: int, taxed: bool) -> None:
    chance = chance_of(seed)
    kept = pinned(problem(chance, brokers=chance.randint(1, 4), lots=chance.randint(1, 9), taxed=taxed), RATES)
    decision = solve(kept, RATES)
    assert replay(kept.plain()) == decision == Decision.from_plain(decision.plain())
    assert Problem.from_plain(kept.plain()) == kept


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_of_a_bound_never_lets_more_through(seed: int) -> None:
    """Routed, held and unrouted are what was wanted; no slice, account or number of orders is above its limit."""
    chance = chance_of(seed)
    wanted = problem(chance, brokers=5, lots=3000)
    decision = solve(wanted, RATES)
    routed = sum((part.quantity for part in decision.allocation), Decimal(0))
    assert routed + decision.unrouted + decision.held_for_reconciliation == wanted.order.quantity
    assert sum((child.quantity for child in decision.children), Decimal(0)) == routed
    assert len(decision.children) <= wanted.policy.max_children
    limits = {(limit.broker, limit.exchange): limit.quantity for limit in decision.limits}
    assert all(part.quantity <= limits.get((part.broker, part.exchange), routed) for part in decision.allocation)
    freeze = wanted.order.freeze_quantities
    assert all(child.quantity <= freeze.get(child.exchange, child.quantity) for child in decision.children)
