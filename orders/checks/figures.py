"""The figures that limits are held against, before an order and after it, each at its worst. Pure.

The definitions are those of `portfolio.risk.quick`; docs/risk.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from brokers.domain import ZERO, Product
from orders.checks.exposure import is_closing, opened, worst
from orders.decisions import Planned
from orders.explaining import bound
from orders.facts import Facts, Wanted
from orders.risk_words import BookRisk, OpenOrder, RiskFacts
from portfolio.risk.limits import Limit, Metric, Scope
from portfolio.risk.margins import utilisation
from portfolio.sums import HUNDRED, percent

PAID_IN_FULL = frozenset({Product.CNC})


@dataclass(frozen=True, slots=True)
class Figure:
    """One limit's figure for one key. None: it cannot be told."""

    key: str
    before: Decimal | None
    after: Decimal | None

    @property
    def is_worse(self) -> bool:
        """What is not known is worse where an order adds to it, which whoever asks has to know."""
        return self.before is None or self.after is None or self.after > self.before


@dataclass(frozen=True, slots=True)
class Post:
    """The book with what stands, and the same with what is planned, too."""

    facts: Facts
    risk: RiskFacts
    book: BookRisk
    planned: tuple[Planned, ...]
    added: tuple[OpenOrder, ...]
    is_exit: bool

    @classmethod
    def of(cls, facts: Facts, wanted: Wanted, book: BookRisk, planned: Sequence[Planned]) -> Post:
        risk = facts.risk
        assert risk is not None  # noqa: S101 - the book is of it
        added = tuple(opened(facts, risk, child) for child in planned)
        return cls(facts, risk, book, tuple(planned), added, is_closing(facts, wanted, planned))

    # --- each metric --------------------------------------------------------------------------------------------------
    def figures(self, limit: Limit) -> Iterator[Figure]:
        """By key, those alone that the order has to do with."""
        yield from OF_METRIC.get(limit.metric, NOT_AT_ALL).make(self, limit)

    def issuer_pct(self, limit: Limit) -> Iterator[Figure]:
        key = self.risk.issuer
        if limit.scope in (Scope.GLOBAL, Scope.ISSUER) and limit.scope_key in ("", key):
            yield self._part(key, self.book.issuer, self.book.issuers, lambda order: order.issuer == key)

    def sector_pct(self, limit: Limit) -> Iterator[Figure]:
        key = self.risk.sector
        if key and limit.scope is Scope.GLOBAL and limit.scope_key in ("", key):
            yield self._part(key, self.book.sector, self.book.sectors, lambda order: order.sector == key)

    def gross(self, limit: Limit) -> Iterator[Figure]:
        segment = next(iter(self.facts.tradables.values())).segment.value
        if limit.scope is Scope.GLOBAL:
            yield self._gross("", self.book.gross, lambda order: True)
        elif limit.scope is Scope.SEGMENT and limit.scope_key in ("", segment):
            base = None if self.book.gross is None else self.book.by_segment.get(segment, ZERO)
            yield self._gross(segment, base, lambda order: order.segment == segment)

    def leverage(self, limit: Limit) -> Iterator[Figure]:
        if limit.scope is not Scope.GLOBAL:
            return
        whole, equity = self._gross("", self.book.gross, lambda order: True), self.book.equity
        if equity is None or equity <= 0:
            yield Figure("", None, None)
            return
        yield Figure("", *(None if each is None else each / equity for each in (whole.before, whole.after)))

    def margin_pct(self, limit: Limit) -> Iterator[Figure]:
        """Of each account of which it asks margin: what is paid for in full is none, and an exit asks for none."""
        for connection_id in dict.fromkeys(child.connection_id for child in self.planned):
            of_all = limit.scope is Scope.GLOBAL
            is_asked = not self.is_exit and any(self._margined(connection_id))
            if is_asked and (of_all or limit.scope_key in ("", connection_id)):
                yield self._margin(connection_id)

    # --- steps --------------------------------------------------------------------------------------------------------
    def _part(
        self, key: str, value: Decimal | None, whole: Decimal | None, is_of: Callable[[OpenOrder], bool]
    ) -> Figure:
        others = [order for order in self.risk.orders if is_of(order)]
        standing = [order for order in self.risk.standing if is_of(order)]
        sizes = (worst(value, standing), worst(value, [*others, *self.added]))
        if value is None or whole is None:
            return Figure(key, None, None)
        rest = whole - abs(value)
        before, after = (None if size is None else percent(size, rest + size) or ZERO for size in sizes)
        return Figure(key, before, after)

    def _gross(self, key: str, base: Decimal | None, is_of: Callable[[OpenOrder], bool]) -> Figure:
        """Other instruments grow by all that is open in them: their own side is not told apart from here."""
        value = self.book.instrument
        own = self.risk.instrument
        mine = [order for order in self.risk.orders if order.instrument == own and is_of(order)]
        standing = [order for order in self.risk.standing if order.instrument == own and is_of(order)]
        others = [order.adds for order in self.risk.orders if order.instrument != own and is_of(order)]
        if value is None or base is None or any(each is None for each in others):
            return Figure(key, None, None)
        rest = max(ZERO, base - abs(value)) + sum((abs(each) for each in others if each is not None), ZERO)
        sizes = (worst(value, standing), worst(value, [*mine, *self.added]))
        return Figure(key, *(None if size is None else rest + size for size in sizes))

    def _margin(self, connection_id: str) -> Figure:
        own = self.risk.accounts.get(connection_id)
        account = next((each for each in self.facts.accounts if each.connection_id == connection_id), None)
        if own is None or account is None or own.used is None or own.available is None:
            return Figure(connection_id, None, None)
        binds = sum((bound(self.facts, child) for child in self._margined(connection_id)), ZERO)
        used, free = own.used + account.reserved, own.available - account.reserved
        sizes = (utilisation(used, free), utilisation(used + binds, free - binds))
        return Figure(connection_id, *(None if each is None else each * HUNDRED for each in sizes))

    def _margined(self, connection_id: str) -> Iterator[Planned]:
        return (
            child
            for child in self.planned
            if child.connection_id == connection_id and child.product not in PAID_IN_FULL
        )


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes a metric's figures, and of which scopes."""

    make: Callable[[Post, Limit], Iterator[Figure]]
    scopes: frozenset[Scope]


NOT_AT_ALL = Maker(lambda post, limit: iter(()), frozenset())
OF_METRIC: dict[Metric, Maker] = {
    Metric.ISSUER_PCT: Maker(Post.issuer_pct, frozenset({Scope.GLOBAL, Scope.ISSUER})),
    Metric.SECTOR_PCT: Maker(Post.sector_pct, frozenset({Scope.GLOBAL})),
    Metric.GROSS_EXPOSURE: Maker(Post.gross, frozenset({Scope.GLOBAL, Scope.SEGMENT})),
    Metric.LEVERAGE_RATIO: Maker(Post.leverage, frozenset({Scope.GLOBAL})),
    Metric.MARGIN_PCT: Maker(Post.margin_pct, frozenset({Scope.GLOBAL, Scope.ACCOUNT})),
}
