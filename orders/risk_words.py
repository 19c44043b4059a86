"""What the checks before an order are judged by, beside its own facts: the book, limits, and what is stopped.

Gathered once (`orders.risk_facts`), stored with the decision, and read back from there. INR and units, exact; None is
unknown: where a check needs it, it denies. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from brokers.domain import ZERO, Product, Side
from portfolio.risk.limits import Limit, State


class Occasion(StrEnum):
    """What is about to be sent."""

    ORDER = "ORDER"
    CHANGE = "CHANGE"  # an order that stands, as it shall stand
    WAITING = "WAITING"  # it waits at its broker for a price (GTT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """What stops trading (`portfolio.risk_models.TradingHalt`): `level` is one of its words."""

    kind: str
    level: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimit:
    """A limit of the owner's, and how it stood when it was last evaluated: in all, and by key where it watches each.

    Not `evaluated`: nobody has looked yet.
    """

    limit: Limit
    state: State = State.OK
    states: Mapping[str, State] = field(default_factory=dict)
    evaluated: bool = False

    def stood(self, key: str) -> State:
        """How it stood for one key. Where no key told anything, as where nothing measures it, it is not known."""
        if self.limit.scope_key or not key:
            return self.state
        return self.states.get(key, State.UNKNOWN if self.state is State.UNKNOWN else State.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order of the owner's that stands, or may stand, at a broker: what is not filled of it.

    `adds` is the signed exposure that it would add if it were filled; None: not known. `instrument`, `issuer`,
    `sector` and `segment`: as in `portfolio.risk.words.Line`.
    """

    connection_id: str
    broker_type: str
    instrument: str
    issuer: str
    sector: str
    segment: str
    product: Product
    side: Side
    units: Decimal
    adds: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRisk:
    """One account's margin in use and free, INR, as its broker told."""

    used: Decimal | None = None
    available: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRisk:
    """The merged book, INR: `gross` nets each instrument over all accounts, `issuers` and `sectors` add up the sizes of
    each; `by_segment` is gross. `instrument`, `issuer` and `sector` are the signed values of what the order is in.

    None: a part of it has no price; `issuers` and `sectors` are without such a part, as a smaller whole makes no part
    of it smaller. Options count at full delta. Not `complete`: an account is missing or old; then the figures are of
    the rest. Not `whole`: of an account nothing at all is known, or a row could not be read. Not `day_known`: an
    account does not tell its day, or told it some time ago. Not `day_whole`: of a row the day is not known. A loss is
    positive, as is a drawdown.
    """

    gross: Decimal | None
    issuers: Decimal | None
    sectors: Decimal | None
    by_segment: Mapping[str, Decimal]
    instrument: Decimal | None
    issuer: Decimal | None
    sector: Decimal | None
    equity: Decimal | None
    day_loss: Decimal | None
    day_loss_pct: Decimal | None
    drawdown_pct: Decimal | None
    complete: bool
    whole: bool = True
    day_known: bool = True
    day_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFacts:
    """Everything at one moment. `book` None: nobody could read it.

    `instrument`, `issuer` and `sector` name what the order is in. `orders` are all that stand or may stand at any
    broker, but not one that is about to be changed. `adv`: units that are dealt in on an average day, over `adv_days`.
    `dealt_today`: INR of this very symbol that was bought or sold today, or may still be. `repeats`: the same orders of
    a moment ago. `moves`: how often this order moved to another broker a moment ago. `skews`: seconds by which our
    clock differs at least from each other one. Of an order that is changed: `replaces` is what of it stands now,
    `changes` how often it was changed, `filled` what is filled of it, `takes` and `binds` the units and INR that it has
    already; `shrinks`: the change takes from it and does nothing else.
    """

    occasion: Occasion = Occasion.ORDER
    halts: tuple[Halt, ...] = ()
    halts_known: bool = False
    limits: tuple[SetLimit, ...] | None = None
    book: BookRisk | None = None
    instrument: str = ""
    issuer: str = ""
    sector: str = ""
    accounts: Mapping[str, AccountRisk] = field(default_factory=dict)
    orders: tuple[OpenOrder, ...] = ()
    adv: Decimal | None = None
    adv_days: int = 0
    dealt_today: Decimal | None = None
    repeats: tuple[str, ...] = ()
    repeats_confirmed: bool = False
    moves: int = 0
    replaces: OpenOrder | None = None
    shrinks: bool = False
    changes: int | None = None
    most_changes: int | None = None
    filled: Decimal = ZERO
    takes: Decimal = ZERO
    binds: Decimal = ZERO
    skews: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def standing(self) -> tuple[OpenOrder, ...]:
        """All that stands now, what is about to be changed as it is."""
        return self.orders if self.replaces is None else (*self.orders, self.replaces)

    def after(self, orders: tuple[OpenOrder, ...], dealt: Decimal) -> RiskFacts:
        """The same when these orders have gone before. For baskets. `dealt`: of the same symbol, INR."""
        return replace(
            self,
            orders=(*self.orders, *orders),
            dealt_today=None if self.dealt_today is None else self.dealt_today + dealt,
        )
