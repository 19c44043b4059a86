"""The least costly way to spread so many lots over accounts, exactly: a grid of breakpoints, and a programme over it.

Why a grid is enough. Say that the accounts' costs are added, and that each is a function c of the number of lots. Call
a number x *sharp* if it is 0, the account's bound, the end of a slice, or if c(x+1) − c(x) > c(x) − c(x−1). In the best
answer at most one account stands at a number that is not sharp. For suppose that i, before j in the owner's order, and
j both do. Neither is at its bound or at the end of a slice, so a lot can be moved from one to the other, either way,
without an order more and without another account in use. Moving it to i costs c_i(x+1) − c_i(x), which is at most
c_i(x) − c_i(x−1); likewise for j. The answer being the best, and the only one because the earlier account takes more
where all else is equal, a move to i must cost more, and a move to j no less. Each of the four differences would then be
smaller than the next, in a ring.

So all accounts but one are tried at their sharp numbers alone, and that one takes what remains. Likewise for whole
slices: of the accounts with slices of one size, at most one *roams*, that is, has a slice to give and room for one
more, because a whole slice has one price at each. Nothing is supposed about the shape of the costs: floors, caps,
ceilings, slices, a debit charge that jumps, odd bounds merely make more numbers sharp; which are is found by comparing
neighbours wherever a cost can bend (`Option.bends`). What breaks it is a cost that is no sum over accounts: tax on
gains, which `taxed` deals with.

The order of comparing (cost, number of orders, earlier takes more, preferred exchange) is packed into one whole number,
a *weight*, in which equality means identity.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from itertools import pairwise
from typing import NamedTuple

from orders.routing.options import Option

BEAM = 24


class Packing:
    """How cost, orders, quantities and exchanges become one number that compares as they do one after the other."""

    def __init__(self, accounts: int, exchanges: int, total: int) -> None:
        self._exchange = [_power(exchanges + 1, accounts - 1 - rank) for rank in range(accounts)]
        below = _power(exchanges + 1, accounts)
        self._lots = [below * _power(total + 1, accounts - 1 - rank) for rank in range(accounts)]
        self.order = below * _power(total + 1, accounts)
        self.rupee = self.order * (total + 1)

    def weight(self, rank: int, exchange: int, lots: int, cost: int, children: int) -> int:
        if not lots:
            return 0
        return (
            cost * self.rupee + children * self.order - lots * self._lots[rank] + (exchange + 1) * self._exchange[rank]
        )


def _power(base: int, exponent: int) -> int:
    return int(base**exponent)


class Point(NamedTuple):
    """So many lots by one option of an account, and their weight. `option` None: nothing."""

    lots: int
    weight: int
    children: int
    option: int | None
    roams: int = 0  # a bit for its size of slices


NOTHING = Point(0, 0, 0, None)


class Column:
    """One account: its open options (one per exchange, by number), with the weight of every number of lots.

    `slopes`: what a rupee of short- and of long-term gain, taxed by itself, adds (0 or 1 each): see `taxed`. `sizes`:
    the bit of every size of slices.
    """

    def __init__(
        self,
        rank: int,
        options: Mapping[int, tuple[int, Option]],
        packing: Packing,
        sizes: Mapping[int, int],
        slopes: tuple[int, int] = (0, 0),
    ) -> None:
        self.rank, self.options, self._packing, self._sizes = rank, options, packing, sizes
        self._short, self._long = slopes
        self._known: dict[tuple[int, int], Point] = {}
        self.most = max((option.most for _, option in options.values()), default=0)
        self.points = [NOTHING, *(point for number in options for point in self._sharp(number))]

    def at(self, number: int, lots: int) -> Point:
        """So many lots by one option. Kept: the same are asked for again and again."""
        known = self._known.get((number, lots))
        if known is None:
            known = self._known[number, lots] = self._reckon(number, lots)
        return known

    def every(self, lots: int) -> list[Point]:
        """So many lots by each option that can take them."""
        return [self.at(number, lots) for number, (_, option) in self.options.items() if lots <= option.most]

    def _reckon(self, number: int, lots: int) -> Point:
        exchange, option = self.options[number]
        cost = option.cost(lots)
        if self._short or self._long:
            short, long = option.taxed(lots)
            cost += self._short * short + self._long * long
        children = option.children(lots)
        steady = not (option.gains and (self._short or self._long))
        roams = self._sizes.get(option.slice_lots or 0, 0) if steady and option.roams(lots) else 0
        return Point(lots, self._packing.weight(self.rank, exchange, lots, cost, children), children, number, roams)

    def _sharp(self, number: int) -> list[Point]:
        option = self.options[number][1]
        step = option.slice_lots or option.most
        found = []
        for lots in option.bends():
            if lots == 0:
                continue
            here = self.at(number, lots)
            if lots == option.most or lots % step == 0:
                found.append(here)
                continue
            before, after = self.at(number, lots - 1), self.at(number, lots + 1)
            if after.weight - here.weight > here.weight - before.weight:
                found.append(here)
        return found


def sizes_of(accounts: Sequence[Sequence[tuple[int, Option]]]) -> dict[int, int]:
    """A bit for each size of slices."""
    sizes = sorted({option.slice_lots for account in accounts for _, option in account if option.slice_lots})
    return {size: 1 << number for number, size in enumerate(sizes)}


def lower_hull(points: Sequence[Point], toll: int = 0) -> list[tuple[int, int]]:
    """The lower convex hull of weight over lots, where every order weighs `toll` more."""
    hull: list[tuple[int, int]] = []
    for lots, weight in sorted((point.lots, point.weight + toll * point.children) for point in points):
        if hull and hull[-1][0] == lots:
            continue  # the first is the lighter one
        while len(hull) >= 2 and _is_above(hull[-2], hull[-1], (lots, weight)):
            hull.pop()
        hull.append((lots, weight))
    return hull


def _is_above(left: tuple[int, int], middle: tuple[int, int], right: tuple[int, int]) -> bool:
    return (middle[1] - left[1]) * (right[0] - left[0]) >= (right[1] - left[1]) * (middle[0] - left[0])


def _compared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Pieces of hulls, that begin with their run and their rise, by slope."""
    return one[1] * other[0] - other[1] * one[0]


by_slope = cmp_to_key(_compared)


class Bound:
    """The least that any spread of some lots over some of the columns can weigh: their hulls, added up.

    Never above the truth; `least` is None where they cannot take so many. `toll` is put on every order where orders
    are scarce, and taken off again once for each that there may be: no more than the truth either, and nearer to it.
    """

    def __init__(self, columns: Sequence[Column], toll: int = 0) -> None:
        pieces = [
            (end - start, after - before, rank)
            for rank, hull in enumerate(lower_hull(column.points, toll) for column in columns)
            for (start, before), (end, after) in pairwise(hull)
        ]
        pieces.sort(key=by_slope)
        self._pieces = pieces
        self._curves: dict[int, tuple[list[int], list[int]]] = {}

    def least(self, columns: int, lots: int) -> int | None:
        """`columns`: a bit for each that takes part."""
        if columns not in self._curves:
            self._curves[columns] = self._curve(columns)
        ends, weights = self._curves[columns]
        place = bisect_left(ends, lots)
        if place == len(ends):
            return None
        if ends[place] == lots:
            return weights[place]
        start, weight = ends[place - 1], weights[place - 1]
        return weight + (weights[place] - weight) * (lots - start) // (ends[place] - start)

    def _curve(self, columns: int) -> tuple[list[int], list[int]]:
        ends, weights = [0], [0]
        for run, rise, rank in self._pieces:
            if columns >> rank & 1:
                ends.append(ends[-1] + run)
                weights.append(weights[-1] + rise)
        return ends, weights


class Spread(NamedTuple):
    """One whole answer: a point of every column."""

    weight: int
    points: tuple[Point, ...]

    @property
    def children(self) -> int:
        return sum(point.children for point in self.points)

    @property
    def used(self) -> tuple[int | None, ...]:
        return tuple(point.option for point in self.points)


class State(NamedTuple):
    """Some columns decided: the lots given so far, which column takes what remains (None: none yet), the sizes of
    slices of which one account roams, and the orders so far (0 where they do not count).
    """

    lots: int
    free: int | None
    roams: int
    children: int


Trail = tuple["Trail | None", Point | None]


def best(columns: Sequence[Column], total: int, most_children: int, below: int | None = None) -> Spread | None:
    """The lightest spread of exactly `total` lots; None: there is none.

    Where all of them are heavier than `below`, any of them, or None.
    """
    if not total:
        return Spread(0, (NOTHING,) * len(columns))
    found = _Search(columns, total, None).best(below)
    if found is None or found.children <= most_children:
        return found
    return _Search(columns, total, most_children).best(below)


class _Search:
    def __init__(self, columns: Sequence[Column], total: int, most_children: int | None) -> None:
        self._columns, self._total, self._most_children = columns, total, most_children
        self._toll, self._bound = self._best_toll()
        self._rest = [((1 << len(columns)) - 1) >> (rank + 1) << (rank + 1) for rank in range(len(columns))]

    def _best_toll(self) -> tuple[int, Bound]:
        """The toll on orders under which the whole is bounded best: the larger of two ever closer ones."""
        everything = (1 << len(self._columns)) - 1
        if self._most_children is None:
            return 0, Bound(self._columns)

        scarce = self._most_children

        def bounded(toll: int) -> tuple[int, int, Bound]:
            bound = Bound(self._columns, toll)
            least = bound.least(everything, self._total)
            return (0 if least is None else least) - toll * scarce, toll, bound

        heaviest = max(abs(point.weight) for column in self._columns for point in column.points)
        found = [bounded(0), *(bounded(heaviest >> shift) for shift in range(0, 48, 3))]
        _, toll, _ = max(found, key=lambda each: each[0])
        found += [bounded(toll * eighths >> 3) for eighths in range(2, 32, 2)]
        _, toll, bound = max(found, key=lambda each: each[0])
        return toll, bound

    def best(self, below: int | None) -> Spread | None:
        """First along few promising states, which gives a bound, then along all that may come below it."""
        rough = self._sweep(below, BEAM)
        return self._sweep(below if rough is None else rough.weight, None)

    def _sweep(self, bound: int | None, width: int | None) -> Spread | None:
        states: dict[State, tuple[int, Trail | None]] = {State(0, None, 0, 0): (0, None)}
        for rank in range(len(self._columns)):
            states = self._next(states, rank, bound, width)
            if not states:
                return None
        return self._ended(states)

    def _next(
        self, states: dict[State, tuple[int, Trail | None]], rank: int, bound: int | None, width: int | None
    ) -> dict[State, tuple[int, Trail | None]]:
        total, most_children, rest = self._total, self._most_children, self._rest[rank]
        column = self._columns[rank]
        reached: dict[State, tuple[int, Trail | None]] = {}
        promise: dict[State, int] = {}
        toll, tolled = self._toll, 0
        for (lots, free, roams, children), (weight, trail) in states.items():
            taking = rest if free is None else rest | 1 << free
            for point in column.points:
                now = lots + point.lots
                if now > total or point.roams & roams:
                    continue
                orders = 0 if most_children is None else children + point.children
                if most_children is not None and orders > most_children:
                    continue
                new = State(now, free, roams | point.roams, orders)
                heavy = weight + point.weight
                if new in reached and reached[new][0] <= heavy:
                    continue
                least = self._bound.least(taking, total - now)
                if least is None:
                    continue
                if most_children is not None:
                    tolled = toll * (orders - most_children)
                if bound is not None and heavy + least + tolled > bound:
                    continue
                reached[new] = (heavy, (trail, point))
                promise[new] = heavy + least + tolled
            if free is None and column.most:
                least = self._bound.least(rest | 1 << rank, total - lots)
                if most_children is not None:
                    tolled = toll * (children - most_children)
                if least is not None and (bound is None or weight + least + tolled <= bound):
                    new = State(lots, rank, roams, children)
                    reached[new] = (weight, (trail, None))
                    promise[new] = weight + least + tolled
        if width is not None and len(reached) > width:
            return {state: reached[state] for state in sorted(reached, key=promise.__getitem__)[:width]}
        return reached

    def _ended(self, states: dict[State, tuple[int, Trail | None]]) -> Spread | None:
        best: tuple[int, Trail | None, Point | None] | None = None
        for state, (weight, trail) in states.items():
            left = self._total - state.lots
            if state.free is None:
                choices = [] if left else [NOTHING]
            else:
                choices = self._columns[state.free].every(left) if left else []
            for point in choices:
                if self._most_children is not None and state.children + point.children > self._most_children:
                    continue
                if best is None or weight + point.weight < best[0]:
                    best = (weight + point.weight, trail, point)
        return None if best is None else _told(best[0], best[1], best[2])


def _told(weight: int, trail: Trail | None, free: Point | None) -> Spread:
    points = []
    while trail is not None:
        trail, point = trail
        points.append(point or free or NOTHING)
    return Spread(weight, tuple(reversed(points)))


def most_in_all(columns: Sequence[Column], most_children: int) -> int:
    """The most lots that all columns can take together in so many orders."""
    reach = [0] * (most_children + 1)
    for column in columns:
        taken = [
            max((_taken(option, orders) for _, option in column.options.values()), default=0)
            for orders in range(most_children + 1)
        ]
        reach = [
            max(reach[orders - own] + taken[own] for own in range(orders + 1)) for orders in range(most_children + 1)
        ]
    return reach[most_children]


def _taken(option: Option, orders: int) -> int:
    if not orders:
        return 0
    return min(option.most, orders * option.slice_lots) if option.slice_lots else option.most
