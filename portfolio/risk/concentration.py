"""How much hangs on how few: issuers, sectors, and the brokers themselves. Pure.

The weight of an issuer is |its net exposure| over the sum of all such: a share, its future and its options are one. A
broker's weight is counterparty risk: what it, or what it keeps for others, owes. Free shares in the client's own demat
are not among that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from brokers.domain import ZERO
from portfolio.domain import SourceState
from portfolio.risk.equity import Equity, book_equity, equities
from portfolio.risk.exposure import NO_DELTAS, Deltas, Exposed, exposed, issuer_names, sector
from portfolio.risk.words import Kind, Line, Purse, RiskBook
from portfolio.sums import EXACT, ROUNDED, percent, quotient

FEW = 5
KeyOf = Callable[[Line], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """`amount` is signed INR, `weight_ratio` of its size (0.42)."""

    key: str
    name: str
    amount: Decimal
    weight_ratio: Decimal | None

    @property
    def weight_pct(self) -> Decimal | None:
        return None if self.weight_ratio is None else self.weight_ratio * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """Weights, the largest first, of `total`, the sum of all sizes in INR; figures are None where that is zero.

    `hhi` is the sum of squared weights, from 1/n (n alike) to 1 (one alone), `effective_number` its inverse: as many
    alike would be as concentrated. `unvalued` lines are in nothing.
    """

    total: Decimal
    weights: tuple[Weight, ...]
    top_pct: Decimal | None
    top_five_pct: Decimal | None
    hhi: Decimal | None
    effective_number: Decimal | None
    unvalued: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterparty:
    """What would be at stake if one broker failed: all its accounts together. INR.

    `cash` as it is told; `on_the_way`: shares bought and not delivered yet, less what today's purchases still take from
    the cash; `pledged`: shares that were given as collateral or bought with the broker's money, less its loans. `total`
    is the sum of what is known, never below zero, and None where nothing is; `unknown` names the rest. `equity_pct` is
    of the whole book's equity.
    """

    broker_type: str
    broker_name: str
    connection_ids: tuple[str, ...]
    cash: Decimal | None
    on_the_way: Decimal | None
    pledged: Decimal | None
    total: Decimal | None
    weight_pct: Decimal | None
    equity_pct: Decimal | None
    unknown: tuple[str, ...] = ()


def concentration(
    amounts: Mapping[str, Decimal], names: Mapping[str, str] | None = None, *, unvalued: int = 0
) -> Concentration:
    """Of signed amounts in INR by key."""
    with localcontext(EXACT):
        total = sum((abs(amount) for amount in amounts.values()), ZERO)
        weights = sorted(
            (
                Weight(
                    key=key,
                    name=(names or {}).get(key, key),
                    amount=amount,
                    weight_ratio=quotient(abs(amount), total) if total else None,
                )
                for key, amount in amounts.items()
            ),
            key=lambda weight: (-abs(weight.amount), weight.key),
        )
        largest = [abs(weight.amount) for weight in weights]
        hhi = quotient(sum((each * each for each in largest), ZERO), total * total) if total else None
        return Concentration(
            total=total,
            weights=tuple(weights),
            top_pct=percent(largest[0], total) if largest else None,
            top_five_pct=percent(sum(largest[:FEW], ZERO), total) if largest else None,
            hhi=hhi,
            effective_number=ROUNDED.divide(Decimal(1), hhi) if hhi else None,
            unvalued=unvalued,
        )


def by_issuer(book: RiskBook, deltas: Deltas = NO_DELTAS) -> Concentration:
    rows = exposed(book, deltas)
    return concentration(net(rows, lambda line: line.issuer), issuer_names(book), unvalued=unvalued(rows))


def by_sector(book: RiskBook, deltas: Deltas = NO_DELTAS) -> Concentration:
    """Companies by sector, those that nobody classified under an empty key; the rest by risk class."""
    rows = exposed(book, deltas)
    amounts = net(rows, lambda line: sector(line)[0])
    return concentration(amounts, dict(sector(row.line) for row in rows), unvalued=unvalued(rows))


def by_broker(book: RiskBook, deltas: Deltas = NO_DELTAS) -> Concentration:
    """Where the exposure lies: gross by account, and these added; nothing is netted between accounts."""
    rows = exposed(book, deltas)
    gross: dict[str, Decimal] = defaultdict(Decimal)
    for (_, broker_type), amounts in _by_account(rows).items():
        gross[broker_type] += sum((abs(amount) for amount in amounts.values()), ZERO)
    names = {purse.broker_type: purse.broker_name for purse in book.purses}
    return concentration(gross, names, unvalued=unvalued(rows))


def net(rows: Iterable[Exposed], key_of: KeyOf) -> dict[str, Decimal]:
    """Signed sums of what is known, in exact arithmetic."""
    with localcontext(EXACT):
        sums: dict[str, Decimal] = {}
        for row in rows:
            if row.amount is not None:
                key = key_of(row.line)
                sums[key] = sums.get(key, ZERO) + row.amount
        return sums


def unvalued(rows: Iterable[Exposed]) -> int:
    return sum(row.amount is None for row in rows)


def _by_account(rows: Iterable[Exposed]) -> dict[tuple[str, str], dict[str, Decimal]]:
    accounts: dict[tuple[str, str], list[Exposed]] = defaultdict(list)
    for row in rows:
        accounts[row.line.connection_id, row.line.broker_type].append(row)
    return {account: net(own, lambda line: line.instrument) for account, own in accounts.items()}


# --- brokers as counterparties ----------------------------------------------------------------------------------------
def counterparties(book: RiskBook, worth: Mapping[str, Equity] | None = None) -> tuple[Counterparty, ...]:
    """One for each broker, the most at stake first. `worth` is `equities(book)`, where that is there already."""
    with localcontext(EXACT):
        equity = book_equity(list((worth or equities(book)).values())).amount
        lines: dict[str, list[Line]] = defaultdict(list)
        for line in book.lines:
            lines[line.connection_id].append(line)
        brokers: dict[str, list[Purse]] = defaultdict(list)
        for purse in book.purses:
            brokers[purse.broker_type].append(purse)
        stakes = [_stake(purses, lines) for purses in brokers.values()]
        whole = sum((stake.total or ZERO for stake in stakes), ZERO)
        base = equity if equity is not None and equity > 0 else None
        weighed = [_weighed(stake, whole, base) for stake in stakes]
        return tuple(sorted(weighed, key=lambda stake: (-(stake.total or ZERO), stake.broker_type)))


def _stake(purses: Sequence[Purse], lines: Mapping[str, Sequence[Line]]) -> Counterparty:
    unknown: list[str] = []
    cash: Decimal | None = None
    on_the_way: Decimal | None = None
    pledged: Decimal | None = None
    for purse in purses:
        if purse.state is SourceState.MISSING:
            unknown.append("account")
            continue
        if purse.cash is None:
            unknown.append("cash")
        else:
            cash = (cash or ZERO) + purse.cash
        coming, given, unpriced = _shares_at_stake(lines.get(purse.connection_id, ()))
        unknown += unpriced
        on_the_way = (on_the_way or ZERO) + coming + (purse.unsettled or ZERO)
        pledged = (pledged or ZERO) + given
        if purse.unsettled is None:
            unknown.append("today's deals")
    parts = [part for part in (cash, on_the_way, pledged) if part is not None]
    return Counterparty(
        broker_type=purses[0].broker_type,
        broker_name=purses[0].broker_name,
        connection_ids=tuple(purse.connection_id for purse in purses),
        cash=cash,
        on_the_way=on_the_way,
        pledged=pledged,
        total=max(ZERO, sum(parts, ZERO)) if parts else None,
        weight_pct=None,
        equity_pct=None,
        unknown=tuple(dict.fromkeys(unknown)),
    )


def _shares_at_stake(lines: Iterable[Line]) -> tuple[Decimal, Decimal, list[str]]:
    """Of one account: what is on the way, what is pledged or funded less its loan, and what cannot be told.

    A loan that is unknown is taken for none: then more is at stake, never less.
    """
    coming = given = ZERO
    unknown = []
    for line in lines:
        if line.kind is not Kind.SPOT or line.is_intraday:
            continue
        free = line.settled
        if free == line.units:
            continue
        if line.price is None:
            unknown.append(f"price of {line.symbol}")
            continue
        kept = line.pledged + line.funded
        coming += (line.units - free - kept) * line.price
        given += kept * line.price - (line.loan or ZERO)
        if kept and line.loan is None:
            unknown.append(f"loan for {line.symbol}")
    return coming, given, unknown


def _weighed(stake: Counterparty, whole: Decimal, equity: Decimal | None) -> Counterparty:
    return replace(stake, weight_pct=percent(stake.total, whole), equity_pct=percent(stake.total, equity))
