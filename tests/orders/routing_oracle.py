"""Routing by trying everything: slow, and written from the text of the rules alone, to hold the solver against.

Costs come from `charges.exact`, one deal per slice; constraints are asked of each number of lots by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from brokers.domain import Exchange, Side
from orders.charges import Costs, Deal, exact
from orders.routing import Broker, Circuit, Problem
from orders.tariffs import Brokerage, Rates
from portfolio.sums import EXACT

Choice = tuple[Exchange, int] | None
# Cost, orders, lots and exchanges as they compare, and the choices.
Way = tuple[Decimal, int, tuple[int, ...], tuple[int, ...], tuple[Choice, ...]]


class Answer(NamedTuple):
    """Compares as the objective does: the least is the best."""

    unrouted: Decimal
    cost: Decimal
    children: int
    less_taken: tuple[int, ...]
    exchanges: tuple[int, ...]
    choices: tuple[Choice, ...]


def total(*amounts: Decimal) -> Decimal:
    result = Decimal(0)
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def times(*factors: Decimal | int) -> Decimal:
    result = Decimal(1)
    for factor in factors:
        result = EXACT.multiply(result, Decimal(factor))
    return result


class Oracle:
    def __init__(self, problem: Problem, rates: Rates) -> None:
        self.problem, self.rates = problem, rates
        order = problem.order
        held = min(order.quantity, total(*(row.quantity for row in problem.possibly_live)))
        self.to_route = EXACT.subtract(order.quantity, held)
        self.lots = int(self.to_route // order.lot_size)
        self.cost = lru_cache(maxsize=None)(self._cost)
        self.charges = lru_cache(maxsize=None)(self._charges)

    # --- one account ------------------------------------------------------------------------------------------------
    def choices(self, broker: Broker) -> list[Choice]:
        found: list[Choice] = [None]
        if self.may_deal(broker):
            found += [
                (exchange, lots)
                for exchange in self.problem.order.exchanges
                for lots in range(1, self.lots + 1)
                if self.allows(broker, exchange, lots)
            ]
        return found

    def may_deal(self, broker: Broker) -> bool:
        order = self.problem.order
        return (
            all(row.broker != broker.id for row in self.problem.possibly_live)
            and broker.session == "valid"
            and broker.circuit is not Circuit.OPEN
            and order.segment in broker.segments
            and broker.rate_tokens != 0
            and not (self.is_delivery_sale and broker.debit_authorised is False)
        )

    @property
    def is_delivery_sale(self) -> bool:
        return self.problem.order.segment == "equity_delivery" and self.problem.order.side is Side.SELL

    def allows(self, broker: Broker, exchange: Exchange, lots: int) -> bool:
        order, policy = self.problem.order, self.problem.policy
        sizes = self.slices(broker, exchange, lots)
        if sizes is None:
            return False
        value = self.value(exchange, lots)
        units = lots * order.lot_size
        if self.is_delivery_sale or order.is_exit:
            free = broker.sellable or Decimal(0)
            if self.is_delivery_sale and policy.sells_unsettled:
                free += broker.unsettled
            if units > free:
                return False
        else:
            rate = Decimal(1) if order.margin_rate is None else order.margin_rate
            need = total(times(value, rate), self.charges(broker.id, exchange, lots).total)
            if need > (broker.available or Decimal(0)) - broker.reserved:
                return False
        if broker.exposure_left is not None and value > broker.exposure_left:
            return False
        if broker.circuit is Circuit.HALF_OPEN and (len(sizes) > 1 or value > (policy.probe_value or 0)):
            return False
        return broker.rate_tokens is None or len(sizes) <= broker.rate_tokens

    def value(self, exchange: Exchange, lots: int) -> Decimal:
        order = self.problem.order
        return times(lots, order.lot_size, order.multiplier, order.prices[exchange])

    def slices(self, broker: Broker, exchange: Exchange, lots: int) -> list[int] | None:
        """None: not even one lot may be sent."""
        order = self.problem.order
        largest = lots
        while largest > 0 and (
            (exchange in order.freeze_quantities and largest * order.lot_size > order.freeze_quantities[exchange])
            or (broker.max_order_value is not None and self.value(exchange, largest) > broker.max_order_value)
        ):
            largest -= 1
        if not largest:
            return None
        return [largest] * (lots // largest) + ([lots % largest] if lots % largest else [])

    def _charges(self, broker_id: str, exchange: Exchange, lots: int) -> Costs:
        broker = self.broker(broker_id)
        sizes = self.slices(broker, exchange, lots) or []
        costs = Costs()
        for size in sizes:
            costs += exact(self.deal(broker, exchange, size, dp_paid=True), self.rates)
        if not broker.dp_paid_today:
            # The one debit of the day is of the whole.
            whole = self.deal(broker, exchange, lots, dp_paid=False)
            with_debit, without = exact(whole, self.rates), exact(self.deal(broker, exchange, lots, True), self.rates)
            costs += Costs(dp=with_debit.dp, gst=EXACT.subtract(with_debit.gst, without.gst))
        return costs

    def deal(self, broker: Broker, exchange: Exchange, lots: int, dp_paid: bool) -> Deal:
        order = self.problem.order
        return Deal(
            broker=broker.slug or broker.id, segment=order.segment, exchange=exchange, side=order.side,
            quantity=lots * order.lot_size, price=order.prices[exchange], on=order.on, multiplier=order.multiplier,
            lots=Decimal(lots), asset=order.asset, bse_group=order.bse_group, underlying=order.underlying,
            plan_id=broker.plan_id, dp_paid_today=dp_paid, is_woman=broker.is_woman, own_debit=broker.own_debit,
            own_brokerage=Brokerage.from_plain(broker.own_brokerage) if broker.own_brokerage else None,
        )  # fmt: skip

    def broker(self, broker_id: str) -> Broker:
        return next(broker for broker in self.problem.brokers if broker.id == broker_id)

    def health(self, broker: Broker, exchange: Exchange, lots: int) -> Decimal:
        policy = self.problem.policy
        rejects = times(broker.reject_rate or 0, policy.fail_cost_bps)
        delay = times(broker.latency_ms or 0, policy.latency_cost_bps_per_second, Decimal("0.001"))
        return times(self.value(exchange, lots), total(rejects, delay), Decimal("0.0001"))

    def _cost(self, broker_id: str, exchange: Exchange, lots: int) -> Decimal:
        """Without tax and split penalty."""
        sign = 1 if self.problem.order.side is Side.BUY else -1
        return total(
            times(sign, self.value(exchange, lots)),
            self.charges(broker_id, exchange, lots).total,
            self.health(self.broker(broker_id), exchange, lots),
        )

    # --- tax --------------------------------------------------------------------------------------------------------
    def gains(self, broker: Broker, choice: Choice) -> tuple[Decimal, Decimal]:
        """Short and long, unit by unit from the oldest."""
        if choice is None:
            return Decimal(0), Decimal(0)
        price, left = self.problem.order.prices[choice[0]], choice[1] * self.problem.order.lot_size
        short = long = Decimal(0)
        for lot in broker.lots or ():
            used = min(left, lot.quantity)
            left -= used
            if lot.term == "long" and lot.cost is not None:
                long += used * (price - lot.cost)
            else:
                short += used * (price - (lot.cost or 0))
        return short + left * price, long

    def tax(self, choices: tuple[Choice, ...]) -> Decimal:
        tax = self.problem.policy.tax
        if tax is None or not self.is_delivery_sale:
            return Decimal(0)
        gains = [self.gains(broker, choice) for broker, choice in zip(self.problem.brokers, choices, strict=True)]
        short, long = (sum((each[term] for each in gains), Decimal(0)) for term in (0, 1))
        return total(
            times(tax.stcg, max(Decimal(0), short)), times(tax.ltcg, max(Decimal(0), long - tax.ltcg_exemption_left))
        )

    # --- all of them ------------------------------------------------------------------------------------------------
    def answer(self, choices: tuple[Choice, ...]) -> Answer:
        taken = [0 if choice is None else choice[1] for choice in choices]
        parts, children = [self.tax(choices)], 0
        for broker, choice in zip(self.problem.brokers, choices, strict=True):
            if choice is not None:
                parts.append(self.cost(broker.id, *choice))
                children += len(self.slices(broker, *choice) or ())
        used = sum(1 for lots in taken if lots)
        parts.append(times(self.problem.policy.split_penalty, max(0, used - 1)))
        return Answer(
            unrouted=self.to_route - sum(taken) * self.problem.order.lot_size,
            cost=total(*parts),
            children=children,
            less_taken=tuple(-lots for lots in taken),
            exchanges=tuple(
                0 if choice is None else 1 + self.problem.order.exchanges.index(choice[0]) for choice in choices
            ),
            choices=choices,
        )

    def answers(self) -> Iterator[Answer]:
        """Every answer that is allowed."""
        for choices in product(*(self.choices(broker) for broker in self.problem.brokers)):
            if sum(0 if choice is None else choice[1] for choice in choices) > self.lots:
                continue
            answer = self.answer(choices)
            if answer.children <= self.problem.policy.max_children:
                yield answer

    def best(self) -> Answer:
        return min(self.answers(), key=lambda answer: answer[:5])

    def best_without_one_of(self, chosen: Answer) -> Answer | None:
        """The best in which at least one account of `chosen` is left out; if there is none, its exchange there."""
        places = [choice and choice[0] for choice in chosen.choices]
        elsewhere, else_at = [], []
        for answer in self.answers():
            if answer.unrouted >= self.to_route:
                continue
            pairs = [(old, new) for old, new in zip(places, answer.choices, strict=True) if old is not None]
            if any(new is None for _, new in pairs):
                elsewhere.append(answer)
            if any(new is not None and new[0] != old for old, new in pairs):
                else_at.append(answer)
        return min(elsewhere or else_at, key=lambda answer: answer[:5], default=None)

    def best_by_dense_programme(self) -> Answer:
        """The same by dynamic programming over every number of lots: for problems without tax."""
        best: dict[tuple[int, int], Way] = {(0, 0): (Decimal(0), 0, (), (), ())}
        order, policy = self.problem.order, self.problem.policy
        for broker in self.problem.brokers:
            after: dict[tuple[int, int], Way] = {}
            for choice in self.choices(broker):
                lots = 0 if choice is None else choice[1]
                orders = 0 if choice is None else len(self.slices(broker, *choice) or ())
                cost = Decimal(0) if choice is None else total(self.cost(broker.id, *choice), policy.split_penalty)
                rank = 0 if choice is None else 1 + order.exchanges.index(choice[0])
                for (sum_lots, sum_orders), (sum_cost, _, taken, ranks, choices) in best.items():
                    key = (sum_lots + lots, sum_orders + orders)
                    if key[0] > self.lots or key[1] > policy.max_children:
                        continue
                    way = (total(sum_cost, cost), key[1], (*taken, -lots), (*ranks, rank), (*choices, choice))
                    if key not in after or way < after[key]:
                        after[key] = way
            best = after
        return min((self.answer(way[4]) for way in best.values()), key=lambda answer: answer[:5])
