"""The least costly spread where gains are taxed together, exactly.

Tax is r·max(0, sum of gains), short-term and long-term apart: no sum over accounts, so that the grid's argument does not
hold for it. But max(0, z) is the larger of 0 and z: whatever is left untaxed, or taxed even as a loss, costs no more than
the truth. So each of four *corners* (short-term gains taxed or not, long-term ones taxed or not) is a problem for the grid
whose answer bounds the true one from below, and where a corner's answer is charged what it truly costs, it is the answer.

Where none is, the best lies at a kink: gains that losses just offset, or an exemption that is just used. There boxes (so
many lots at least and at most, for each account) are split until the best is found. A box is bounded from below by the
hulls of its accounts' costs, with tax at the fraction of the rates that makes the bound largest.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from orders.routing import grid
from orders.routing.grid import NOTHING, Column, Packing, Point, Spread
from orders.routing.options import Option

CORNERS = ((1, 1), (0, 0), (1, 0), (0, 1))
STEPS = 24

Account = Sequence[tuple[int, Option]]  # its options, each with the rank of its exchange


class Solver:
    """All spreads over some accounts. `exempt`: what of the tax on long-term gains is forgiven; None: no tax at all.

    `shut`: an option (rank of the account, number) that may not be used.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        packing: Packing,
        most_children: int,
        exempt: int | None,
        *,
        origin: Solver | None = None,
        shut: tuple[int, int] | None = None,
    ) -> None:
        self.accounts, self.packing, self.most_children, self.exempt = accounts, packing, most_children, exempt
        self.open = [
            tuple(number for number in range(len(account)) if (rank, number) != shut)
            for rank, account in enumerate(accounts)
        ]
        self._sizes = grid.sizes_of(accounts)
        # The same column serves in every solver in which its account may do the same.
        self._column = origin._column if origin else lru_cache(maxsize=None)(self._make_column)

    def best(self, total: int, below: int | None = None) -> Spread | None:
        """The lightest spread of `total` lots (`below`: see `grid.best`); None: there is none.

        Its weight is that of the truth, tax included.
        """
        if self.exempt is None:
            return grid.best(self._columns((0, 0)), total, self.most_children, below)
        known = []
        for corner in CORNERS:
            forgiven = corner[1] * self.exempt * self.packing.rupee
            found = grid.best(
                self._columns(corner), total, self.most_children, None if below is None else below + forgiven
            )
            if found is None:
                return None
            true = self.weighed(found.points)
            if true.weight == found.weight - forgiven:
                return true
            known.append(true)
        return _Boxes(self, total).best(min(known))

    def without(self, rank: int, number: int) -> Solver:
        """The same with one option of one account shut."""
        return Solver(
            self.accounts, self.packing, self.most_children, self.exempt, origin=self, shut=(rank, number)
        )

    def weighed(self, points: tuple[Point, ...]) -> Spread:
        """What a spread truly weighs."""
        plain = self._columns((0, 0))
        same = tuple(
            NOTHING if point.option is None else column.at(point.option, point.lots)
            for column, point in zip(plain, points, strict=True)
        )
        return Spread(sum(point.weight for point in same) + self.tax(same) * self.packing.rupee, same)

    def tax(self, points: Sequence[Point]) -> int:
        if self.exempt is None:
            return 0
        parts = [
            (0, 0) if point.option is None else account[point.option][1].taxed(point.lots)
            for account, point in zip(self.accounts, points, strict=True)
        ]
        return max(0, sum(short for short, _ in parts)) + max(0, sum(long for _, long in parts) - self.exempt)

    def most(self) -> int:
        """The most lots that can be routed at all."""
        return grid.most_in_all(self._columns((0, 0)), self.most_children)

    def _columns(self, corner: tuple[int, int]) -> list[Column]:
        return [self._column(rank, numbers, corner) for rank, numbers in enumerate(self.open)]

    def _make_column(self, rank: int, numbers: tuple[int, ...], corner: tuple[int, int]) -> Column:
        options = {number: self.accounts[rank][number] for number in numbers}
        return Column(rank, options, self.packing, self._sizes, corner)


class _Side(NamedTuple):
    """What one account may do in a box."""

    options: tuple[int, ...]
    low: int
    high: int


class _Point(NamedTuple):
    """Lots of one account: weight without tax, and what its gains are taxed by themselves."""

    lots: int
    plain: int
    short: int
    long: int
    option: int | None


class _Look(NamedTuple):
    """A box seen with tax at some fractions: a bound, the sums it is made of, and the whole lots nearest to it."""

    bound: Fraction
    short: Fraction
    long: Fraction
    points: tuple[_Point, ...]
    gaps: tuple[Fraction, ...]


class _Boxes:
    def __init__(self, solver: Solver, total: int) -> None:
        self._solver, self._total = solver, total
        self._exempt = solver.exempt or 0
        self._rupee = solver.packing.rupee
        self._at = lru_cache(maxsize=None)(self._reckon)
        self._bends = [[option.bends() for _, option in account] for account in solver.accounts]

    def best(self, known: Spread) -> Spread:
        """`known`: an answer that is allowed, if not the best."""
        best = known
        number = count()
        heap: list[tuple[Fraction, int, list[_Side], list[_Look]]] = []

        def put(box: list[_Side] | None) -> None:
            nonlocal best
            narrowed = box and self._narrowed(box)
            if not narrowed:
                return
            looks = self._looks(narrowed)
            for look in looks:
                spread = self._spread(look)
                if spread.children <= self._solver.most_children and spread.weight < best.weight:
                    best = spread
            bound = max(look.bound for look in looks)
            if bound < best.weight:
                heapq.heappush(heap, (bound, next(number), narrowed, looks))

        put([_Side(numbers, 0, self._total) for numbers in self._solver.open])
        while heap:
            bound, _, box, looks = heapq.heappop(heap)
            if bound >= best.weight:
                break
            for half in self._halves(box, looks):
                put(half)
        return best

    def _narrowed(self, box: list[_Side]) -> list[_Side] | None:
        """Within what the options and the total leave; None: nothing."""
        box = [
            side._replace(high=min(side.high, max((self._most(rank, n) for n in side.options), default=0)))
            for rank, side in enumerate(box)
        ]
        lows, highs = sum(side.low for side in box), sum(side.high for side in box)
        box = [
            side._replace(
                low=max(side.low, self._total - (highs - side.high)), high=min(side.high, self._total - (lows - side.low))
            )
            for side in box
        ]
        return None if any(side.low > side.high for side in box) else box

    def _most(self, rank: int, number: int) -> int:
        return self._solver.accounts[rank][number][1].most

    def _looks(self, box: list[_Side]) -> list[_Look]:
        """At the corners, and wherever the bound is larger between them."""
        points = [self._points(rank, side) for rank, side in enumerate(box)]
        at = {corner: self._look(points, Fraction(corner[0]), Fraction(corner[1])) for corner in CORNERS}
        looks = list(at.values())
        short, long = max(at, key=lambda corner: at[corner].bound)
        one, looked = self._along(points, at[0, long], at[1, long], lambda part: (part, Fraction(long)), 1)
        looks += looked
        two, looked = self._along(points, at[short, 0], at[short, 1], lambda part: (Fraction(short), part), 2)
        looks += looked
        for fixed, axis in ((one, 2), (two, 1)):
            if 0 < fixed < 1:
                where = (lambda part, fixed=fixed: (fixed, part)) if axis == 2 else (lambda part, fixed=fixed: (part, fixed))
                ends = [self._look(points, *where(Fraction(end))) for end in (0, 1)]
                looks += [*ends, *self._along(points, *ends, where, axis)[1]]
        return looks

    def _along(self, points, low, high, where, axis):  # type: ignore[no-untyped-def]
        """The fraction on one axis at which the bound is largest: where two of its straight pieces meet."""
        slope = (lambda look: look.short) if axis == 1 else (lambda look: look.long)
        left, right, looked = (Fraction(0), low), (Fraction(1), high), []
        if slope(low) <= 0:
            return Fraction(0), looked
        if slope(high) >= 0:
            return Fraction(1), looked
        for _ in range(STEPS):
            (start, one), (end, two) = left, right
            # one.bound + slope(one)·(t − start) = two.bound + slope(two)·(t − end)
            part = (two.bound - one.bound + slope(one) * start - slope(two) * end) / (slope(one) - slope(two))
            met = one.bound + slope(one) * (part - start)
            look = self._look(points, *where(part))
            looked.append(look)
            if look.bound >= met or slope(look) == 0:
                break
            left, right = ((part, look), right) if slope(look) > 0 else (left, (part, look))
        return part, looked

    def _points(self, rank: int, side: _Side) -> list[_Point]:
        found = []
        if side.low == 0:
            found.append(_Point(0, 0, 0, 0, None))
        for number in side.options:
            high = min(side.high, self._most(rank, number))
            if max(side.low, 1) > high:
                continue
            bends = self._bends[rank][number]
            inner = bends[bisect_right(bends, max(side.low, 1)) : bisect_left(bends, high)]
            found += [self._at(rank, number, lots) for lots in dict.fromkeys((max(side.low, 1), *inner, high))]
        return found

    def _reckon(self, rank: int, number: int, lots: int) -> _Point:
        exchange, option = self._solver.accounts[rank][number]
        plain = self._solver.packing.weight(rank, exchange, lots, option.cost(lots), option.children(lots))
        short, long = option.taxed(lots)
        return _Point(lots, plain, short * self._rupee, long * self._rupee, number)

    def _look(self, points: list[list[_Point]], short: Fraction, long: Fraction) -> _Look:
        def value(point: _Point) -> Fraction:
            return point.plain + short * point.short + long * point.long

        hulls = [_hull([(point.lots, value(point), point) for point in listed]) for listed in points]
        pieces = sorted(
            (
                ((right[1] - left[1]) / (right[0] - left[0]), rank, place)
                for rank, hull in enumerate(hulls)
                for place, (left, right) in enumerate(zip(hull, hull[1:], strict=False))
            ),
        )
        at = [hull[0] for hull in hulls]
        left = self._total - sum(place[0] for place in at)
        partly: tuple[int, int] | None = None  # who is between two corners of its hull, and by how many lots
        sums = [[Fraction(place[2].short), Fraction(place[2].long)] for place in at]
        bound = sum((place[1] for place in at), Fraction(0)) - long * self._exempt * self._rupee
        for slope, rank, place in pieces:
            if left == 0:
                break
            start, end = hulls[rank][place], hulls[rank][place + 1]
            run = min(left, end[0] - start[0])
            share = Fraction(run, end[0] - start[0])
            sums[rank][0] += share * (end[2].short - start[2].short)
            sums[rank][1] += share * (end[2].long - start[2].long)
            bound += slope * run
            left -= run
            at[rank] = end
            partly = (rank, start[0] + run) if run < end[0] - start[0] else None
        chosen = [place[2] for place in at]
        gaps = [Fraction(0)] * len(at)
        if partly is not None:
            rank, lots = partly
            options = [point.option for point in points[rank] if point.option is not None]
            near = [
                self._at(rank, number, lots) for number in dict.fromkeys(options) if lots <= self._most(rank, number)
            ]
            chosen[rank] = min(near, key=value)
            start = max((place for place in hulls[rank] if place[0] <= lots), key=lambda place: place[0])
            end = min((place for place in hulls[rank] if place[0] >= lots), key=lambda place: place[0])
            hull_value = start[1] + (end[1] - start[1]) * Fraction(lots - start[0], max(1, end[0] - start[0]))
            gaps[rank] = value(chosen[rank]) - hull_value
        return _Look(
            bound,
            sum((one for one, _ in sums), Fraction(0)),
            sum((two for _, two in sums), Fraction(0)) - self._exempt * self._rupee,
            tuple(chosen),
            tuple(gaps),
        )

    def _spread(self, look: _Look) -> Spread:
        return self._solver.weighed(tuple(Point(point.lots, 0, 0, point.option) for point in look.points))

    def _halves(self, box: list[_Side], looks: list[_Look]) -> Iterator[list[_Side]]:
        """Split where the hull is farthest from the cost, or where the looks disagree most about the lots."""
        widths = []
        for rank, side in enumerate(box):
            seen = [look.points[rank].lots for look in looks]
            widths.append((max(seen) - min(seen), side.high - side.low, rank))
        best = max(looks, key=lambda look: look.bound)
        gap, rank = max((gap, rank) for rank, gap in enumerate(best.gaps))
        if gap == 0 or box[rank].low == box[rank].high:
            *_, rank = max(widths)
        side = box[rank]
        if side.low == side.high:
            # Every account is at one number of lots: only which of its options takes them is open.
            for rank, side in enumerate(box):
                if len(side.options) > 1:
                    for number in side.options:
                        yield [*box[:rank], side._replace(options=(number,)), *box[rank + 1 :]]
                    return
            return
        seen = [look.points[rank].lots for look in looks]
        middle = min(max((min(seen) + max(seen)) // 2, side.low), side.high - 1)
        yield [*box[:rank], side._replace(high=middle), *box[rank + 1 :]]
        yield [*box[:rank], side._replace(low=middle + 1), *box[rank + 1 :]]


def _hull(places):  # type: ignore[no-untyped-def]
    """The lower convex hull of (lots, value, point)."""
    hull = []
    for place in sorted(places, key=lambda place: place[:2]):
        if hull and hull[-1][0] == place[0]:
            continue
        while len(hull) >= 2 and (hull[-1][1] - hull[-2][1]) * (place[0] - hull[-2][0]) >= (
            place[1] - hull[-2][1]
        ) * (hull[-1][0] - hull[-2][0]):
            hull.pop()
        hull.append(place)
    return hull
