"""What the book is exposed to, and where: gross, net, long and short along each way of looking at it. Pure.

Of an option the exposure is its rupee delta (units × delta × the underlying's price), with the notional beside it; of
everything else its value. What is long at one account and short at another is nothing to the market, so figures of the
market net each instrument over all accounts; figures of an account, and of a broker, never do. Exact, in INR.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import SupportsFloat

from brokers.domain import ZERO
from portfolio.risk.coverage import coverage
from portfolio.risk.expiry import has_ended
from portfolio.risk.numbers import Array
from portfolio.risk.words import Coverage, Kind, Line, RiskBook, RiskClass
from portfolio.sums import EXACT, percent

ONE = Decimal(1)
UNCLASSIFIED = "Unclassified"
# By instrument, or one for each line of the book in its order. None and NaN are unknown.
Deltas = Mapping[str, SupportsFloat | None] | Sequence[SupportsFloat | None] | Array
NO_DELTAS: Mapping[str, SupportsFloat | None] = {}


@dataclass(frozen=True, slots=True)
class Exposed:
    """A line and what it is exposed to. `amount` is signed, `notional` is not; None: a price or a delta is unknown."""

    line: Line
    amount: Decimal | None
    notional: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One of the tree. INR; None where there are lines and none of them could be valued.

    `delta_net` is the part of `net` that derivatives make: their rupee delta. `weight_pct` is the gross over the whole
    book's; `notional` adds up every line, netted with none. `unvalued` of its `lines` are in no figure.
    """

    key: str
    name: str
    gross: Decimal | None
    net: Decimal | None
    long: Decimal | None
    short: Decimal | None
    delta_net: Decimal | None
    notional: Decimal | None
    weight_pct: Decimal | None
    lines: int
    unvalued: int
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The whole, netted over all accounts, and its parts, the largest first.

    `by_broker` has accounts under each broker, nothing netted between them: its gross may add up to more than the
    whole's. `by_sector` has issuers, `by_issuer` instruments under it. `by_expiry` holds derivatives alone.
    """

    whole: Node
    by_broker: tuple[Node, ...]
    by_exchange: tuple[Node, ...]
    by_segment: tuple[Node, ...]
    by_risk_class: tuple[Node, ...]
    by_sector: tuple[Node, ...]
    by_issuer: tuple[Node, ...]
    by_expiry: tuple[Node, ...]
    coverage: Coverage


Named = Callable[[Line], tuple[str, str]]


def exposures(book: RiskBook, deltas: Deltas = NO_DELTAS) -> Exposure:
    """The tree of the book. An option without a delta, and a line without a price, are counted and in no sum."""
    with localcontext(EXACT):
        rows = exposed(book, deltas)
        names = issuer_names(book)
        whole = node("", "All", rows)

        def by(named: Named, under: Named | None = None, chosen: Iterable[Exposed] = rows) -> tuple[Node, ...]:
            return branches(chosen, named, under, whole.gross)

        def issuer(line: Line) -> tuple[str, str]:
            return line.issuer, names[line.issuer]

        return Exposure(
            whole=replace(whole, weight_pct=percent(whole.gross, whole.gross)),
            by_broker=_brokers(rows, whole.gross),
            by_exchange=by(lambda line: (line.exchange, line.exchange)),
            by_segment=by(lambda line: (line.segment, line.segment)),
            by_risk_class=by(lambda line: (line.risk_class, line.risk_class)),
            by_sector=by(sector, issuer),
            by_issuer=by(issuer, lambda line: (line.instrument, line.symbol)),
            by_expiry=by(_expiry, None, [row for row in rows if row.line.kind is not Kind.SPOT]),
            coverage=coverage(book, unvalued=whole.unvalued, gross=whole.gross),
        )


def exposed(book: RiskBook, deltas: Deltas = NO_DELTAS) -> list[Exposed]:
    """One for each line of the book, in its order.

    Of a contract whose last day is over nothing is known: what it became is not in its row. It is unvalued until its
    broker takes the row away.
    """
    with localcontext(EXACT):
        given = per_line(book, deltas)
        return [
            Exposed(line, None, None) if has_ended(line.expiry, book.now) else _exposed(line, delta)
            for line, delta in zip(book.lines, given, strict=True)
        ]


def per_line(book: RiskBook, deltas: Deltas) -> list[Decimal | None]:
    """The deltas in the order of the lines."""
    if isinstance(deltas, Mapping):
        known = {instrument: exact(delta) for instrument, delta in deltas.items()}
        return [known.get(line.instrument) for line in book.lines]
    return [exact(delta) for delta in deltas]


def exact(value: SupportsFloat | None) -> Decimal | None:
    """A number of any kind by its shortest text, which is exact from there on; None where it is none."""
    if value is None:
        return None
    number = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    return number if number.is_finite() else None


def _exposed(line: Line, delta: Decimal | None) -> Exposed:
    """A future moves with its own price, whatever its underlying does between: its delta is 1."""
    if line.kind is not Kind.OPTION:
        value = line.value
        return Exposed(line, value, None if value is None else abs(value))
    if line.underlying_price is None:
        return Exposed(line, None, None)
    full = line.units * line.underlying_price
    return Exposed(line, None if delta is None else full * delta, abs(full))


# --- nodes ------------------------------------------------------------------------------------------------------------
def node(key: str, name: str, rows: Sequence[Exposed], whole: Decimal | None = None) -> Node:
    """Rows as one, each instrument netted over whoever holds it."""
    nets: dict[str, Decimal] = {}
    notional = by_delta = ZERO
    unvalued = without_notional = 0
    for row in rows:
        line = row.line
        if row.notional is None:
            without_notional += 1
        else:
            notional += row.notional
        if row.amount is None:
            unvalued += 1
            continue
        nets[line.instrument] = nets.get(line.instrument, ZERO) + row.amount
        if line.kind is not Kind.SPOT:
            by_delta += row.amount
    long = sum((amount for amount in nets.values() if amount > 0), ZERO)
    short = -sum((amount for amount in nets.values() if amount < 0), ZERO)
    is_known = bool(nets) or not rows
    return Node(
        key=key,
        name=name,
        gross=long + short if is_known else None,
        net=long - short if is_known else None,
        long=long if is_known else None,
        short=short if is_known else None,
        delta_net=by_delta if is_known else None,
        notional=notional if without_notional < len(rows) or not rows else None,
        weight_pct=percent(long + short, whole) if is_known else None,
        lines=len(rows),
        unvalued=unvalued,
    )


def branches(
    rows: Iterable[Exposed], named: Named, under: Named | None = None, whole: Decimal | None = None
) -> tuple[Node, ...]:
    """One node for each key that `named` gives, the largest first; `under` names what stands below each."""
    groups: dict[str, list[Exposed]] = defaultdict(list)
    names: dict[str, str] = {}
    for row in rows:
        key, name = named(row.line)
        groups[key].append(row)
        names.setdefault(key, name)
    nodes = []
    for key, group in groups.items():
        made = node(key, names[key], group, whole)
        nodes.append(replace(made, children=branches(group, under, None, whole)) if under else made)
    return tuple(sorted(nodes, key=_by_size))


def _brokers(rows: Iterable[Exposed], whole: Decimal | None) -> tuple[Node, ...]:
    """A broker is the sum of its accounts."""
    accounts: dict[tuple[str, str], dict[str, list[Exposed]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        accounts[row.line.broker_type, row.line.broker_name][row.line.connection_id].append(row)
    nodes = []
    for (key, name), own in accounts.items():
        children = tuple(sorted((node(each, each, group, whole) for each, group in own.items()), key=_by_size))
        nodes.append(together(key, name, children, whole))
    return tuple(sorted(nodes, key=_by_size))


def together(key: str, name: str, children: tuple[Node, ...], whole: Decimal | None) -> Node:
    """The plain sum of nodes: nothing is netted between them."""
    gross = _sum(child.gross for child in children)
    return Node(
        key=key,
        name=name,
        gross=gross,
        net=_sum(child.net for child in children),
        long=_sum(child.long for child in children),
        short=_sum(child.short for child in children),
        delta_net=_sum(child.delta_net for child in children),
        notional=_sum(child.notional for child in children),
        weight_pct=percent(gross, whole),
        lines=sum(child.lines for child in children),
        unvalued=sum(child.unvalued for child in children),
        children=children,
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, ZERO) if known else None


def _by_size(made: Node) -> tuple[Decimal, str]:
    return (-(made.gross or ZERO), made.key)


# --- names ------------------------------------------------------------------------------------------------------------
def issuer_names(book: RiskBook) -> dict[str, str]:
    """What to call each issuer: its share's name or symbol, else its underlying's."""
    names: dict[str, str] = {}
    for line in book.lines:
        own = line.kind is Kind.SPOT
        if own or line.issuer not in names:
            names[line.issuer] = (line.name or line.symbol) if own else (line.underlying or line.symbol)
    return names


def sector(line: Line) -> tuple[str, str]:
    """Key and name. What is no company stands under its risk class; a company that nobody classified, under no key."""
    if line.sector:
        return line.sector, line.sector
    if line.risk_class in (RiskClass.EQUITY, RiskClass.OTHER):
        return "", UNCLASSIFIED
    return line.risk_class, line.risk_class.capitalize()


def _expiry(line: Line) -> tuple[str, str]:
    """Derivatives of which nobody knows when they expire stand under no key."""
    return (line.expiry.isoformat(), line.expiry.isoformat()) if line.expiry else ("", "Unknown")
