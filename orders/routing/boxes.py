"""The least costly spread at a kink of the tax: gains that losses just offset, an exemption that is just used.

Boxes (so many lots at least and at most, for each account) are split until the best is found, or until there were too
many: then the answer is the best that was found, and how far it may be from the best is known. A box is bounded from
below by the hulls of its accounts' costs, with short- and long-term gains each taxed at some fraction of their rate:
any fraction from 0 to 1 bounds, and the one that bounds best is looked for. Fractions are whole numbers of 2^-FINE.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import TYPE_CHECKING, NamedTuple

from orders.routing.grid import Point, Spread, by_slope

if TYPE_CHECKING:
    from orders.routing.taxed import Solver

FINE = 96
WHOLE = 1 << FINE
STEPS = 12

Fractions = tuple[int, int]  # of the short- and of the long-term rate


class _Side(NamedTuple):
    """What one account may do in a box."""

    options: tuple[int, ...]
    low: int
    high: int


class _Place(NamedTuple):
    """Lots of one account: their weight without tax, and what their gains are taxed by themselves."""

    lots: int
    plain: int
    short: int
    long: int
    option: int | None


class _Look(NamedTuple):
    """A box seen at some fractions: its bound (in 2^-FINE), the gains taxed in it, and the whole lots nearest to it.

    `gap`: how far those of account `loose`, which stands between two corners of its hull, are above the hull.
    """

    at: Fractions
    bound: int
    gains: tuple[int, int]
    lots: tuple[int, ...]
    loose: int
    gap: int


Places = list[list[_Place]]
Box = list[_Side]


class Boxes:
    """`left`: by how much (a weight) the answer may be above the best, where the boxes ran out; 0: it is the best."""

    def __init__(self, solver: Solver, total: int, most_boxes: int) -> None:
        self._solver, self._total, self._most_boxes = solver, total, most_boxes
        self.left = 0
        self._rupee = solver.packing.rupee
        self._exempt = (solver.exempt or 0) * self._rupee
        self._known: dict[tuple[int, int, int], _Place] = {}
        self._bends = [[option.bends() for _, option in account] for account in solver.accounts]
        self._best = Spread(0, ())

    def best(self, known: Spread) -> Spread:
        """`known`: an answer that is allowed, if not the best."""
        self._best = known
        number, split = count(), count()
        heap: list[tuple[int, int, Box, list[_Look]]] = []

        def put(box: Box, at: Fractions) -> None:
            narrowed = self._narrowed(box)
            looks = self._looks(narrowed, at) if narrowed else []
            if narrowed and looks and not self._is_settled(looks[0]):
                heapq.heappush(heap, (looks[0].bound, next(number), narrowed, looks))

        put([_Side(numbers, 0, self._total) for numbers in self._solver.open], (WHOLE, WHOLE))
        while heap:
            _, _, box, looks = heapq.heappop(heap)
            if self._is_settled(looks[0]):
                break
            if next(split) >= self._most_boxes:
                self.left = self._best.weight - (looks[0].bound >> FINE)
                break
            for half in self._halves(box, looks):
                put(half, looks[0].at)
        return self._best

    def _is_settled(self, look: _Look) -> bool:
        """Nothing in the box is better than what is known."""
        return look.bound >= self._best.weight << FINE

    def _narrowed(self, box: Box) -> Box | None:
        """Within what the options and the total leave; None: nothing."""
        box = [
            side._replace(high=min(side.high, max((self._most(rank, each) for each in side.options), default=0)))
            for rank, side in enumerate(box)
        ]
        spare = self._total - sum(side.low for side in box)
        lack = sum(side.high for side in box) - self._total
        box = [_Side(side.options, max(side.low, side.high - lack), min(side.high, side.low + spare)) for side in box]
        return None if any(side.low > side.high for side in box) else box

    def _most(self, rank: int, number: int) -> int:
        return self._solver.accounts[rank][number][1].most

    # --- the bound of a box -------------------------------------------------------------------------------------------
    def _looks(self, box: Box, at: Fractions) -> list[_Look]:
        """The look that bounds best, then others; only the first ones where that is enough to settle the box."""
        places = [self._places(rank, side) for rank, side in enumerate(box)]
        looks = [self._look(places, at)]
        for axis in (0, 1, 0, 1):
            if self._is_settled(looks[0]):
                break
            found = self._along(places, looks[0], axis)
            looks = sorted([*found, *looks], key=lambda look: -look.bound)
        return looks

    def _along(self, places: Places, start: _Look, axis: int) -> list[_Look]:
        """Looks at other fractions of one of the two taxes, where the bound grows: it is concave in the fraction."""
        slope = start.gains[axis]
        edge = WHOLE if slope > 0 else 0
        if slope == 0 or start.at[axis] == edge:
            return []
        looks = [self._look(places, self._moved(start.at, axis, edge))]
        near, far = start, looks[0]
        for _ in range(STEPS):
            if far.gains[axis] * slope >= 0 or near.gains[axis] == far.gains[axis]:
                break
            # Where the straight lines through both, with their slopes, meet.
            rise = far.bound - near.bound + near.gains[axis] * near.at[axis] - far.gains[axis] * far.at[axis]
            part = min(max(rise // (near.gains[axis] - far.gains[axis]), 0), WHOLE)
            if part in (near.at[axis], far.at[axis]):
                break
            look = self._look(places, self._moved(start.at, axis, part))
            looks.append(look)
            if self._is_settled(look) or look.bound <= max(near.bound, far.bound):
                break
            near, far = (look, far) if look.gains[axis] * slope > 0 else (near, look)
        return looks

    def _moved(self, at: Fractions, axis: int, part: int) -> Fractions:
        return (part, at[1]) if axis == 0 else (at[0], part)

    def _places(self, rank: int, side: _Side) -> list[_Place]:
        found = [_Place(0, 0, 0, 0, None)] if side.low == 0 else []
        low = max(side.low, 1)
        for number in side.options:
            high = min(side.high, self._most(rank, number))
            if low <= high:
                bends = self._bends[rank][number]
                inner = bends[bisect_right(bends, low) : bisect_left(bends, high)]
                found += [self._place(rank, number, lots) for lots in dict.fromkeys((low, *inner, high))]
        return found

    def _place(self, rank: int, number: int, lots: int) -> _Place:
        known = self._known.get((rank, number, lots))
        if known is None:
            known = self._known[rank, number, lots] = self._reckon(rank, number, lots)
        return known

    def _reckon(self, rank: int, number: int, lots: int) -> _Place:
        exchange, option = self._solver.accounts[rank][number]
        plain = self._solver.packing.weight(rank, exchange, lots, option.cost(lots), option.children(lots))
        short, long = option.taxed(lots)
        return _Place(lots, plain, short * self._rupee, long * self._rupee, number)

    def _look(self, places: Places, at: Fractions) -> _Look:
        hulls = [_hull(listed, at) for listed in places]
        pieces = [
            (end[0] - start[0], end[1] - start[1], rank, number)
            for rank, hull in enumerate(hulls)
            for number, (start, end) in enumerate(pairwise(hull))
        ]
        pieces.sort(key=by_slope)
        corners = [hull[0] for hull in hulls]
        left = self._total - sum(corner[0] for corner in corners)
        bound = sum(corner[1] for corner in corners) - at[1] * self._exempt
        gains = [sum(corner[2].short for corner in corners), sum(corner[2].long for corner in corners) - self._exempt]
        chosen = [corner[2] for corner in corners]
        loose = gap = 0
        for run, rise, rank, number in pieces:
            if not left:
                break
            taken = min(left, run)
            start, end = hulls[rank][number], hulls[rank][number + 1]
            bound += rise * taken // run
            gains[0] += (end[2].short - start[2].short) * taken // run
            gains[1] += (end[2].long - start[2].long) * taken // run
            left -= taken
            chosen[rank] = end[2]
            if taken < run:
                chosen[rank] = self._between(places, rank, start[0] + taken, at)
                loose, gap = rank, _value(chosen[rank], at) - (start[1] + rise * taken // run)
        self._see(tuple(Point(place.lots, 0, 0, place.option) for place in chosen))
        return _Look(at, bound, (gains[0], gains[1]), tuple(place.lots for place in chosen), loose, gap)

    def _between(self, places: Places, rank: int, lots: int, at: Fractions) -> _Place:
        """So many lots of an account by the best of the options that its box has."""
        numbers = dict.fromkeys(place.option for place in places[rank] if place.option is not None)
        able = (self._place(rank, number, lots) for number in numbers if lots <= self._most(rank, number))
        return min(able, key=lambda place: _value(place, at))

    def _see(self, points: tuple[Point, ...]) -> None:
        """Keep it where it is the best so far."""
        spread = self._solver.weighed(points)
        if spread.children <= self._solver.most_children and spread.weight < self._best.weight:
            self._best = spread

    # --- two boxes of one ---------------------------------------------------------------------------------------------
    def _halves(self, box: Box, looks: Sequence[_Look]) -> Iterator[Box]:
        """Split where it tightens the bound: an account far above its hull, else that on which looks disagree."""
        look = looks[0]
        lack = (self._best.weight << FINE) - look.bound
        if look.gap * 8 >= lack and box[look.loose].low < box[look.loose].high:
            rank, side = look.loose, box[look.loose]
            middle = min(look.lots[rank], side.high - 1) if side.low else 0
        else:
            seen = [[look.lots[rank] for look in looks] for rank in range(len(box))]
            rank = max(
                range(len(box)), key=lambda each: (max(seen[each]) - min(seen[each]), box[each].high - box[each].low)
            )
            side = box[rank]
            middle = min(max((min(seen[rank]) + max(seen[rank])) // 2, side.low), side.high - 1)
        if side.low == side.high:
            yield from self._by_options(box)
            return
        yield [*box[:rank], side._replace(high=middle), *box[rank + 1 :]]
        yield [*box[:rank], side._replace(low=middle + 1), *box[rank + 1 :]]

    def _by_options(self, box: Box) -> Iterator[Box]:
        """Every account is at one number of lots: only which of its options takes them is open."""
        for rank, side in enumerate(box):
            if len(side.options) > 1 and side.low:
                for number in side.options:
                    if self._most(rank, number) >= side.low:
                        yield [*box[:rank], side._replace(options=(number,)), *box[rank + 1 :]]
                return


def _value(place: _Place, at: Fractions) -> int:
    return (place.plain << FINE) + at[0] * place.short + at[1] * place.long


def _hull(places: Sequence[_Place], at: Fractions) -> list[tuple[int, int, _Place]]:
    """The lower convex hull of the value over lots."""
    hull: list[tuple[int, int, _Place]] = []
    for lots, value, place in sorted((place.lots, _value(place, at), place) for place in places):
        if hull and hull[-1][0] == lots:
            continue
        while len(hull) >= 2 and (hull[-1][1] - hull[-2][1]) * (lots - hull[-2][0]) >= (value - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((lots, value, place))
    return hull
