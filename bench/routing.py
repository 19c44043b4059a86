"""How long it takes to route an order over seven accounts, and what the cheapest account first would cost instead.

Times are of the processor. The same random problems every time; no broker and no row takes part.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from statistics import mean, median, quantiles

from bench.table import Aim, Figure
from brokers import registry
from brokers.domain import Exchange, Side
from orders.examples import seed_rates
from orders.routing import Broker, Order, Policy, Problem, Tax, TaxLot, pinned, solve
from orders.routing.options import Option, unscaled
from orders.routing.solve import Layout
from orders.tariffs import Rates
from trademaster.local.house import House

ORDERS = 200
TAXED = 20
DENSE_ROUNDS = 3
DENSE_LOTS = 400
DAY = date(2026, 11, 23)
TAX = Tax(stcg=Decimal("0.20"), ltcg=Decimal("0.125"), ltcg_exemption_left=Decimal(125_000))
EXCHANGES = (Exchange.NSE, Exchange.BSE)


def measure(house: House) -> list[Figure]:
    rates = seed_rates()
    small = [pinned(problem(seed, 100), rates) for seed in range(ORDERS)]
    large = [pinned(problem(seed, 1_000_000), rates) for seed in range(ORDERS)]
    sliced = [pinned(problem(seed, 1_000_000, freeze=60_000, children=40), rates) for seed in range(ORDERS)]
    tight = [pinned(problem(seed, 1000, freeze=180, children=7), rates) for seed in range(ORDERS)]
    taxed = [pinned(problem(seed, 100, side=Side.SELL, tax=TAX), rates) for seed in range(TAXED)]
    return [
        *timed("100 shares", small, rates),
        *timed("1,000,000 shares", large, rates),
        *timed("1,000,000 shares in slices of 60,000", sliced, rates),
        *timed("100 shares sold, with tax", taxed, rates, aim=None),
        dense_beside_grid(rates),
        *greedy_beside_best([*small, *tight], rates),
    ]


def problem(
    seed: int,
    quantity: int,
    *,
    side: Side = Side.BUY,
    freeze: int | None = None,
    children: int = 10,
    tax: Tax | None = None,
) -> Problem:
    """A delivery order whose accounts can each take a part of it, seldom all."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    price = Decimal(chance.randint(2_000, 300_000)) / 100
    order = Order(
        side=side,
        segment="equity_delivery",
        quantity=Decimal(quantity),
        exchanges=EXCHANGES,
        prices={Exchange.NSE: price, Exchange.BSE: price + Decimal(chance.randint(-1, 1)) / 20},
        on=DAY,
        freeze_quantities={} if freeze is None else dict.fromkeys(EXCHANGES, Decimal(freeze)),
    )
    value = price * quantity
    brokers = [
        Broker(
            id=slug,
            segments=(order.segment,),
            available=value * chance.randint(5, 120) / 100,
            sellable=Decimal(quantity * chance.randint(5, 60) // 100),
            exposure_left=value * chance.randint(10, 150) / 100,
            reject_rate=Decimal(chance.randint(0, 30)) / 1000,
            latency_ms=Decimal(chance.randint(20, 800)),
            lots=tuple(lot(chance, price, quantity) for _ in range(4)),
        )
        for slug in registry.slugs()
    ]
    return Problem(order=order, brokers=tuple(brokers), policy=Policy(max_children=children, tax=tax))


def lot(chance: random.Random, price: Decimal, quantity: int) -> TaxLot:
    return TaxLot(
        quantity=Decimal(chance.randint(1, max(1, quantity // 6))),
        cost=price * chance.randint(60, 130) / 100,
        term=chance.choice(("short", "long")),
    )


def timed(name: str, problems: Sequence[Problem], rates: Rates, aim: Aim | None = Aim(50)) -> list[Figure]:  # noqa: B008
    for each in problems[:3]:
        solve(each, rates)
    times = [milliseconds(lambda each=each: solve(each, rates)) for each in problems]
    note = f"{len(problems)} orders over {len(problems[0].brokers)} accounts and two exchanges"
    return [
        Figure(name=f"Routing {name}, CPU p50", value=median(times), unit="ms", note=note),
        Figure(name="  p99", value=quantiles(times, n=100, method="inclusive")[98], unit="ms", aim=aim),
    ]


def milliseconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1000


def dense_beside_grid(rates: Rates) -> Figure:
    """The grid answers more (reasons, the next best); the dense programme finds the cost alone."""
    ratios = []
    for seed in range(DENSE_ROUNDS):
        each = pinned(problem(seed, DENSE_LOTS), rates)
        dense = milliseconds(lambda each=each: dense_cost(each, rates))
        ratios.append(dense / milliseconds(lambda each=each: solve(each, rates)))
    return Figure(
        name=f"Every number of lots beside the grid, {DENSE_LOTS} lots",
        value=median(ratios),
        unit="×",
        spread=(min(ratios), max(ratios)),
        note="the grid with reasons and next best, the other without",
    )


def dense_cost(given: Problem, rates: Rates) -> int | None:
    layout = Layout(given, rates)
    best: list[int | None] = [0] + [None] * layout.wanted
    for account in layout.accounts:
        costs = [
            min((option.cost(lots) for _, option in account.options if lots <= option.most), default=None)
            for lots in range(layout.wanted + 1)
        ]
        best = [
            min(
                (
                    before + cost
                    for lots, cost in enumerate(costs[: total + 1])
                    if cost is not None and (before := best[total - lots]) is not None
                ),
                default=None,
            )
            for total in range(layout.wanted + 1)
        ]
    return best[layout.wanted]


def greedy_beside_best(problems: Sequence[Problem], rates: Rates) -> list[Figure]:
    """Cheapest account first, each filled before the next is asked."""
    gaps, short, worse = [], 0, 0
    for each in problems:
        decision, layout = solve(each, rates), Layout(each, rates)
        routed, cost = greedy(layout, each.policy)
        if layout.wanted - routed > decision.unrouted / each.order.lot_size:
            short += 1
            continue
        gap = unscaled(cost) - decision.objective
        assert gap >= 0, "greedy beat the best answer"
        gaps.append(float(gap))
        worse += gap > 0
    compared = f"of {len(gaps)} orders that both routed alike"
    return [
        Figure(name="Cheapest account first, dearer by", value=mean(gaps), unit="₹", note=f"mean {compared}"),
        Figure(name="  at most", value=max(gaps), unit="₹"),
        Figure(name="  dearer in", value=worse * 100 / max(1, len(gaps)), unit="%", note=compared),
        Figure(name="  left more unrouted in", value=short * 100 / len(problems), unit="%"),
    ]


def greedy(layout: Layout, policy: Policy) -> tuple[int, int]:
    """Lots routed, and what is made least."""
    left, children, cost = layout.wanted, policy.max_children, 0
    accounts = [[option for _, option in account.options] for account in layout.accounts]
    while left and accounts and children:
        per_lot = [
            (unscaled(option.cost(lots)) / lots, rank, number)
            for rank, options in enumerate(accounts)
            for number, option in enumerate(options)
            if (lots := fitting(option, left, children))
        ]
        if not per_lot:
            break
        _, rank, number = min(per_lot)
        option = accounts.pop(rank)[number]
        lots = fitting(option, left, children)
        left, children, cost = left - lots, children - option.children(lots), cost + option.cost(lots)
    used = len(layout.accounts) - len(accounts)
    return layout.wanted - left, cost - int(policy.split_penalty * 10**60) * bool(used)


def fitting(option: Option, lots: int, children: int) -> int:
    most = min(lots, option.most)
    return min(most, children * option.slice_lots) if option.slice_lots else most
