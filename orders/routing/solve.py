"""A problem in, a decision out: who may be asked, what each could take, the best spread, and what to say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from brokers.domain import ZERO, Exchange, Side
from orders.charges import TARIFF_OF
from orders.routing.decision import (
    PAISA,
    Alternative,
    CostLine,
    Decision,
    Exclusion,
    Limit,
    Part,
    Warned,
    in_paise,
)
from orders.routing.grid import Packing, Spread
from orders.routing.options import Option, scaled, slice_lots, tidy, unscaled
from orders.routing.problem import BadProblem, Broker, Circuit, Problem
from orders.routing.reasons import EMPTY_LIMIT, LIMITS, barred, excluded
from orders.routing.taxed import Solver
from orders.tariffs import ChargeError, Rates
from portfolio.sums import EXACT

SOLVER = "grid 1"


def pinned(problem: Problem, rates: Rates) -> Problem:
    """The problem with the rows of `rates` that it is reckoned by: to be stored, and solved again whatever changes."""
    return replace(problem, rates=_excerpt(rates, *_excerpt_key(problem))[0])


def solve(problem: Problem, rates: Rates | None = None) -> Decision:
    """The one best answer. `rates` are not looked at where the problem carries its own.

    Raises BadProblem for a problem without an answer; an account whose charges are not known is left out.
    """
    problem.check()
    known = _rates_of(problem, rates)
    layout = Layout(problem, known)
    solver = Solver(
        [account.options for account in layout.accounts],
        Packing(len(layout.accounts), len(problem.order.exchanges), layout.wanted),
        min(problem.policy.max_children, max(1, layout.wanted)),
        layout.exempt,
    )
    total = min(layout.wanted, solver.most())
    spread = solver.best(total)
    assert spread is not None  # noqa: S101 - every total up to the most has a spread
    return _Told(problem, layout, solver, spread, known.version).decision()


def replay(plain: dict[str, Any], rates: Rates | None = None) -> Decision:
    """The decision that a stored problem led to. Raises BadProblem."""
    return solve(Problem.from_plain(plain), rates)


class _Account(NamedTuple):
    broker: Broker
    options: list[tuple[int, Option]]


class Layout:
    """Who may take part, and how far. Accounts that may not are told with their reason."""

    def __init__(self, problem: Problem, rates: Rates) -> None:
        self._problem, self._rates = problem, rates
        order = problem.order
        live = sum((row.quantity for row in problem.possibly_live), ZERO)
        self.held = min(live, order.quantity)
        self.wanted = int(EXACT.divide_int(EXACT.subtract(order.quantity, self.held), order.lot_size))
        self.exclusions: list[Exclusion] = []
        self.accounts: list[_Account] = []
        tax = problem.policy.tax if order.is_delivery_sale else None
        self.exempt = None if tax is None else scaled(EXACT.multiply(tax.ltcg, tax.ltcg_exemption_left))
        for broker in problem.brokers:
            reason = self._reason(broker)
            options = [] if reason else list(self._options(broker))
            told = reason or next((each for each in options if isinstance(each, Exclusion)), None)
            usable = [each for each in options if not isinstance(each, Exclusion)]
            if usable:
                self.accounts.append(_Account(broker, usable))
            elif told is not None:
                self.exclusions.append(told)

    def _reason(self, broker: Broker) -> Exclusion | None:
        """Why this account is out, whatever it would cost; the first reason is told."""
        return (
            next((excluded(broker, *reason) for reason in self._first(broker)), None)
            or barred(broker)
            or next((excluded(broker, *reason) for reason in self._second(broker)), None)
        )

    def _first(self, broker: Broker) -> Iterator[tuple[str, str]]:
        if any(row.broker == broker.id for row in self._problem.possibly_live):
            yield "unreconciled_order", ""

    def _second(self, broker: Broker) -> Iterator[tuple[str, str]]:
        order, policy = self._problem.order, self._problem.policy
        if broker.session != "valid":
            yield "session_invalid", ""
        if broker.circuit is Circuit.OPEN:
            yield "circuit_open", f"since {broker.circuit_since}" if broker.circuit_since else ""
        if broker.circuit is Circuit.HALF_OPEN and policy.probe_value is None:
            yield "no_probe_allowed", ""
        if order.segment not in broker.segments:
            yield "segment_unsupported", ""
        if order.product is not None and broker.products is not None and order.product not in broker.products:
            yield "product_unsupported", ""
        if not self._reachable(broker):
            yield "exchange_unsupported", ""
        if broker.rate_tokens is not None and broker.rate_tokens < 1:
            yield "no_rate_tokens", ""
        if order.is_delivery_sale and broker.debit_authorised is False:
            yield "debit_not_authorised", ""
        if (order.is_delivery_sale or order.is_exit) and broker.sellable is None:
            yield "holdings_unknown", ""
        if not order.is_delivery_sale and not order.is_exit:
            if broker.available is None:
                yield "funds_unknown", ""
            if order.margin_rate is None and order.side is Side.SELL and order.segment.endswith("_options"):
                yield "margin_unknown", ""

    def _reachable(self, broker: Broker) -> list[tuple[int, Exchange]]:
        named = enumerate(self._problem.order.exchanges)
        return [(rank, name) for rank, name in named if broker.exchanges is None or name in broker.exchanges]

    def _options(self, broker: Broker) -> Iterator[tuple[int, Option] | Exclusion]:
        order, policy = self._problem.order, self._problem.policy
        for rank, exchange in self._reachable(broker):
            if slice_lots(order, broker, exchange) == 0:
                yield excluded(broker, "order_cap_too_small")
                continue
            try:
                option = Option(order, broker, exchange, policy, self._rates, self.wanted)
            except ChargeError as error:
                yield excluded(broker, "charges_unknown", f"({error.code})")
                continue
            if option.most:
                yield rank, option
            elif option.limit:
                yield excluded(broker, EMPTY_LIMIT[option.limit])


class _Told:
    """The words and figures of one spread."""

    def __init__(self, problem: Problem, layout: Layout, solver: Solver, spread: Spread, version: str) -> None:
        self._problem, self._layout, self._solver = problem, layout, solver
        self._spread, self._version = spread, version

    def decision(self) -> Decision:
        problem, layout, spread = self._problem, self._layout, self._spread
        used = list(self._used(spread))
        charges = sum(option.charges(lots) for option, lots in used)
        split = scaled(problem.policy.split_penalty) * max(0, len(used) - 1)
        unrouted = self._unrouted(spread)
        return Decision(
            allocation=self._allocation(spread),
            children=tuple(
                Part(broker=option.broker.id, exchange=option.exchange, quantity=self._units(size))
                for option, lots in used
                for size in option.slices(lots)
            ),
            unrouted=unrouted,
            held_for_reconciliation=tidy(layout.held),
            costs=tuple(self._line(option, lots) for option, lots in used),
            total_charges=unscaled(charges),
            health_penalty=unscaled(sum(option.health * lots for option, lots in used)),
            tax=unscaled(self._solver.tax(spread.points)),
            split_penalty=unscaled(split),
            objective=unscaled(self._objective(spread)),
            excluded=tuple(layout.exclusions),
            limits=tuple(self._limits()),
            alternative=self._alternative(),
            warnings=tuple(self._warnings(used, unrouted)),
            solver=SOLVER,
            rates_version=self._version,
        )

    def _used(self, spread: Spread) -> Iterator[tuple[Option, int]]:
        for account, point in zip(self._layout.accounts, spread.points, strict=True):
            if point.option is not None:
                yield account.options[point.option][1], point.lots

    def _allocation(self, spread: Spread) -> tuple[Part, ...]:
        return tuple(
            Part(broker=option.broker.id, exchange=option.exchange, quantity=self._units(lots))
            for option, lots in self._used(spread)
        )

    def _units(self, lots: int) -> Decimal:
        return tidy(EXACT.multiply(Decimal(lots), self._problem.order.lot_size))

    def _unrouted(self, spread: Spread) -> Decimal:
        routed = self._units(sum(point.lots for point in spread.points))
        return tidy(EXACT.subtract(EXACT.subtract(self._problem.order.quantity, self._layout.held), routed))

    def _objective(self, spread: Spread) -> int:
        used = list(self._used(spread))
        usage = scaled(self._problem.policy.split_penalty) if used else 0
        return sum(option.cost(lots) for option, lots in used) - usage + self._solver.tax(spread.points)

    def _line(self, option: Option, lots: int) -> CostLine:
        costs = option.lines(lots)
        return CostLine(
            broker=option.broker.id,
            exchange=option.exchange,
            components={name: tidy(Decimal(text)) for name, text in costs.plain().items()},
        )

    def _limits(self) -> Iterator[Limit]:
        for account in self._layout.accounts:
            for _, option in account.options:
                if not option.limit:
                    continue
                reason = LIMITS[option.limit]
                most = self._units(option.most)
                yield Limit(
                    broker=option.broker.id,
                    exchange=option.exchange,
                    quantity=most,
                    code=option.limit,
                    sentence=f"{option.broker.words}: at most {most} at {option.exchange}; {reason.words}.",
                    remedy=reason.remedy,
                )

    def _alternative(self) -> Alternative | None:
        """Of the spreads without one of the chosen accounts those that route the most; the best of these.

        Where nobody else can take any of it: without one of the chosen exchanges at its account.
        """
        chosen = [(rank, point.option) for rank, point in enumerate(self._spread.points) if point.option is not None]
        return self._best_of([self._solver.without(rank) for rank, _ in chosen]) or self._best_of(
            [self._solver.without(rank, number) for rank, number in chosen]
        )

    def _best_of(self, solvers: Sequence[Solver]) -> Alternative | None:
        total = sum(point.lots for point in self._spread.points)
        reach = [min(total, solver.most()) for solver in solvers]
        most = max(reach, default=0)
        best: Spread | None = None
        for solver, own in zip(solvers, reach, strict=True):
            if own == most > 0:
                found = solver.best(most, None if best is None else best.weight)
                if found is not None and (best is None or found.weight < best.weight):
                    best = found
        if best is None:
            return None
        difference = unscaled(self._objective(best) - self._objective(self._spread)) if most == total else None
        return Alternative(allocation=self._allocation(best), unrouted=self._unrouted(best), difference=difference)

    def _warnings(self, used: list[tuple[Option, int]], unrouted: Decimal) -> Iterator[Warned]:
        order = self._problem.order
        if self._layout.held:
            held = tidy(self._layout.held)
            yield Warned(
                code="held_for_reconciliation",
                sentence=f"{held} may be at a broker already and are sent nowhere before that is known.",
            )
        if self._solver.left:
            rupees = in_paise(unscaled(self._solver.left // self._solver.packing.rupee)) + PAISA
            yield Warned(
                code="not_proved",
                sentence=f"The tax of these lots is hard to weigh: no answer is as much as ₹{rupees} better.",
            )
        if unrouted:
            yield Warned(code="unrouted", sentence=f"{unrouted} find no account that can take them.")
        for option, lots in used:
            broker = option.broker
            if broker.circuit is Circuit.HALF_OPEN:
                yield Warned(
                    code="probe", sentence=f"{broker.words} failed lately: this order tries whether it is well."
                )
            if order.is_delivery_sale and broker.debit_authorised is None:
                yield Warned(
                    code="debit_unknown", sentence=f"{broker.words} does not say whether it may debit the demat."
                )
            if option.gains and option.gains.is_guess(lots * order.lot_size):
                yield Warned(
                    code="cost_unknown",
                    sentence=f"What some shares at {broker.words} cost is not known: their tax is the most it can be.",
                )


def _excerpt_key(problem: Problem) -> tuple[tuple[str, ...], str, date]:
    slugs = (broker.slug or broker.id for broker in problem.brokers)
    return tuple(sorted({TARIFF_OF.get(slug, slug) for slug in slugs})), problem.order.segment, problem.order.on


@lru_cache(maxsize=256)
def _excerpt(rates: Rates, brokers: tuple[str, ...], segment: str, on: date) -> tuple[dict[str, Any], Rates]:
    plain = msgspec.to_builtins(rates.excerpt(brokers, segment, on))  # of days and numbers, text
    return plain, Rates(plain)


def _rates_of(problem: Problem, rates: Rates | None) -> Rates:
    if problem.rates is None:
        if rates is None:
            raise BadProblem("The routing problem carries no rates, and none are given.")
        return _excerpt(rates, *_excerpt_key(problem))[1]
    if rates is not None:
        plain, known = _excerpt(rates, *_excerpt_key(problem))
        if plain == problem.rates:
            return known
    try:
        return Rates(problem.rates)
    except (ChargeError, KeyError, AttributeError) as error:
        raise BadProblem(f"The rates of the routing problem cannot be read: {error}.") from None
