"""The least costly spread where gains are taxed together, exactly.

Tax is r·max(0, sum of gains), short-term and long-term apart: no sum over accounts, so that the grid's argument does
not hold for it. But max(0, z) is the larger of 0 and z: whatever is left untaxed, or taxed even as a loss, costs no
more than the truth. So each of four *corners* (short-term gains taxed or not, long-term ones taxed or not) is a problem
for the grid whose answer bounds the true one from below; and where a corner's answer truly costs what the corner says,
it is the best. Where none does, the best lies at a kink, and `boxes` finds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from orders.routing import grid
from orders.routing.boxes import Boxes
from orders.routing.grid import NOTHING, Column, Packing, Point, Spread
from orders.routing.options import Option

CORNERS = ((1, 1), (0, 0), (1, 0), (0, 1))
# So many boxes are split for the answer, and for each candidate for the next best. What is open then is told: `left`.
MOST_BOXES, MOST_BOXES_ASIDE = 1500, 100

Account = Sequence[tuple[int, Option]]  # its options, each with the rank of its exchange


class Solver:
    """All spreads over some accounts. `exempt`: what of the tax on long-term gains is forgiven; None: no tax at all.

    `shut`: an option (rank of the account, number; None: all of them) that may not be used. `left`: see `Boxes`, of the
    last answer.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        packing: Packing,
        most_children: int,
        exempt: int | None,
        *,
        origin: Solver | None = None,
        shut: tuple[int, int | None] | None = None,
    ) -> None:
        self.accounts, self.packing, self.most_children, self.exempt = accounts, packing, most_children, exempt
        self.open = [
            tuple(number for number in range(len(account)) if shut not in ((rank, number), (rank, None)))
            for rank, account in enumerate(accounts)
        ]
        self.left, self._origin = 0, origin
        self._sizes = grid.sizes_of(accounts)
        # The same column serves in every solver in which its account may do the same.
        self._known: dict[tuple[int, tuple[int, ...], tuple[int, int]], Column] = origin._known if origin else {}

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
        boxes = Boxes(self, total, MOST_BOXES if self._origin is None else MOST_BOXES_ASIDE)
        found = boxes.best(min(known))
        self.left = boxes.left
        return found

    def without(self, rank: int, number: int | None = None) -> Solver:
        """The same with one option of one account shut, or with the account left out."""
        return Solver(self.accounts, self.packing, self.most_children, self.exempt, origin=self, shut=(rank, number))

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

    def _column(self, rank: int, numbers: tuple[int, ...], corner: tuple[int, int]) -> Column:
        known = self._known.get((rank, numbers, corner))
        if known is None:
            options = {number: self.accounts[rank][number] for number in numbers}
            known = Column(rank, options, self.packing, self._sizes, corner)
            self._known[rank, numbers, corner] = known
        return known
