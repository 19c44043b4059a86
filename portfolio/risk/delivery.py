"""What expiry will ask of each account: shares to give, cash to pay, and what of it is there.

Derivatives on a company's share that end in the money are delivered in full; a future always is. That happens at the
account that holds the contract: shares and cash elsewhere do not help. Index and currency contracts end in cash,
options on commodities become their future.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from brokers.wire import IST
from portfolio.risk.arrays import sign_of
from portfolio.risk.expiry import expires_at, trading_days_left
from portfolio.risk.words import Kind, Line, Purse, RiskBook, RiskClass

ZERO = Decimal(0)

# From so many trading days before expiry on, obligations are listed. UNCONFIRMED for commodities, whose tender periods
# differ: one week and a day is longer than those we know of.
LISTED_FROM = 4
LISTED_FROM_COMMODITY = 6


class Outcome(StrEnum):
    RECEIVE = "RECEIVE"  # units come, cash goes
    GIVE = "GIVE"  # units go, cash comes
    CASH = "CASH"  # the difference alone is paid
    BECOMES_FUTURE = "BECOMES_FUTURE"  # an option on a commodity in the money
    MAY_DELIVER = "MAY_DELIVER"  # a commodity's future: whether it is delivered is not known here
    WORTHLESS = "WORTHLESS"  # an option out of the money, as things stand
    UNKNOWN = "UNKNOWN"  # the underlying's price, or what it is, is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One account's contract that ends soon, as it would end at the present price.

    `received` is in units of the underlying (shares, or units of the commodity's future), `paid_in` in INR; both are
    signed from the account's side: what comes is positive, what goes negative. None: not known. `in_the_money` is INR
    per unit, negative out of it; `in_the_money_pct` percent of the strike; both None for futures. `days_left` counts
    trading days. `is_over`: the contract has ended, and its last known price need not be the final one; it is listed
    until its broker takes the row away, for delivery comes days after the end.
    """

    connection_id: str
    broker_type: str
    broker_name: str
    instrument: str
    symbol: str
    issuer: str
    underlying: str
    kind: Kind
    units: Decimal
    expiry: date
    days_left: int
    is_over: bool
    outcome: Outcome
    received: Decimal | None
    paid_in: Decimal | None
    in_the_money: Decimal | None = None
    in_the_money_pct: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareNeed:
    """Shares of one issuer that one account must give, net of those it receives on the same day.

    `free` are settled and not pledged; T1 and pledged shares stand beside them and are not counted: whether they are
    there in time is somebody's to see to. `shortfall` is what is missing of `to_give`.
    """

    connection_id: str
    broker_type: str
    broker_name: str
    issuer: str
    underlying: str
    expiry: date
    to_give: Decimal
    free: Decimal
    t1: Decimal
    pledged: Decimal
    shortfall: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CashNeed:
    """Cash that one account must pay, up to the last expiry listed.

    What other deliveries bring in is not counted against it. `unknown`: contracts whose end is not known, which may ask
    for more. `cash` and `shortfall` are None where the account's cash is not known.
    """

    connection_id: str
    broker_type: str
    broker_name: str
    to_pay: Decimal
    cash: Decimal | None
    shortfall: Decimal | None
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Soonest first. `missing`: accounts that did not answer, so that nothing is said of them."""

    obligations: tuple[Obligation, ...]
    shares: tuple[ShareNeed, ...]
    cash: tuple[CashNeed, ...]
    missing: tuple[str, ...]


def deliveries(book: RiskBook, *, trading_days: Sequence[date], cash_settled: Collection[str] = ()) -> Deliveries:
    """List what ends soon: contracts on shares from E-4 on, others likewise, commodities from E-6.

    `trading_days` are the exchange's, from today to beyond the expiries. `cash_settled` names the commodities whose
    futures are known to end in cash.
    """
    found = [
        obligation
        for line in book.lines
        if (obligation := _obligation(line, book, trading_days, frozenset(cash_settled))) is not None
    ]
    found.sort(key=lambda each: (each.expiry, each.broker_type, each.connection_id, each.instrument))
    return Deliveries(
        obligations=tuple(found),
        shares=tuple(_share_needs(found, book.lines)),
        cash=tuple(_cash_needs(found, book.purses)),
        missing=tuple(purse.connection_id for purse in book.missing),
    )


def _obligation(
    line: Line, book: RiskBook, trading_days: Sequence[date], cash_settled: frozenset[str]
) -> Obligation | None:
    today = book.now.astimezone(IST).date()
    if line.expiry is None or line.kind is Kind.SPOT or line.units == 0:
        return None
    days_left = trading_days_left(line.expiry, today, trading_days)
    if days_left > (LISTED_FROM_COMMODITY if line.risk_class is RiskClass.COMMODITY else LISTED_FROM):
        return None
    outcome, received, paid_in = _ending(line, cash_settled)
    intrinsic = _in_the_money(line)
    return Obligation(
        connection_id=line.connection_id,
        broker_type=line.broker_type,
        broker_name=line.broker_name,
        instrument=line.instrument,
        symbol=line.symbol,
        issuer=line.issuer,
        underlying=line.underlying,
        kind=line.kind,
        units=line.units,
        expiry=line.expiry,
        days_left=days_left,
        is_over=book.now >= expires_at(line.exchange, line.expiry),
        outcome=outcome,
        received=received,
        paid_in=paid_in,
        in_the_money=intrinsic,
        in_the_money_pct=None if intrinsic is None or not line.strike else 100 * intrinsic / line.strike,
    )


def _in_the_money(line: Line) -> Decimal | None:
    sign = sign_of(line)
    if not sign or line.strike is None or line.underlying_price is None:
        return None
    return sign * (line.underlying_price - line.strike)


def _ending(line: Line, cash_settled: frozenset[str]) -> tuple[Outcome, Decimal | None, Decimal | None]:
    """How the line ends: what happens, units received, cash paid in."""
    return _option_ending(line) if line.kind is Kind.OPTION else _future_ending(line, cash_settled)


def _option_ending(line: Line) -> tuple[Outcome, Decimal | None, Decimal | None]:
    intrinsic, sign = _in_the_money(line), sign_of(line)
    if intrinsic is None or line.strike is None or not sign or line.risk_class in NOBODY_KNOWS:
        return Outcome.UNKNOWN, None, None
    if intrinsic <= 0:
        return Outcome.WORTHLESS, ZERO, ZERO
    if line.risk_class in IN_CASH:
        return Outcome.CASH, ZERO, line.units * intrinsic
    received = line.units * sign
    if line.risk_class is RiskClass.COMMODITY:
        return Outcome.BECOMES_FUTURE, received, ZERO
    return _delivered(received, line.strike)


def _future_ending(line: Line, cash_settled: frozenset[str]) -> tuple[Outcome, Decimal | None, Decimal | None]:
    """A future's own gains were paid day by day: in cash nothing is left to pay at its end."""
    if line.risk_class in IN_CASH or (line.risk_class is RiskClass.COMMODITY and line.underlying in cash_settled):
        return Outcome.CASH, ZERO, ZERO
    price = line.underlying_price if line.underlying_price is not None else line.price
    if line.risk_class is RiskClass.COMMODITY:
        return Outcome.MAY_DELIVER, line.units, None if price is None else -line.units * price
    if line.risk_class in NOBODY_KNOWS:
        return Outcome.UNKNOWN, None, None
    return _delivered(line.units, price)


def _delivered(received: Decimal, price: Decimal | None) -> tuple[Outcome, Decimal | None, Decimal | None]:
    outcome = Outcome.RECEIVE if received > 0 else Outcome.GIVE
    return outcome, received, None if price is None else -received * price


IN_CASH = frozenset({RiskClass.INDEX, RiskClass.CURRENCY})
NOBODY_KNOWS = frozenset({RiskClass.OTHER, RiskClass.DEBT})
DELIVERED = frozenset({Outcome.RECEIVE, Outcome.GIVE})


def _share_needs(found: Iterable[Obligation], lines: Iterable[Line]) -> Iterable[ShareNeed]:
    """Net within one account, share and expiry. What an earlier expiry takes is gone for the next."""
    owned: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO, ZERO])
    for line in lines:
        if line.kind is Kind.SPOT and not line.is_intraday:
            parts = owned[line.connection_id, line.issuer]
            owned[line.connection_id, line.issuer] = [
                part + more for part, more in zip(parts, (line.settled, line.t1, line.pledged), strict=True)
            ]
    net: dict[tuple[str, str, date], list[Obligation]] = defaultdict(list)
    for each in found:
        if each.outcome in DELIVERED:
            net[each.connection_id, each.issuer, each.expiry].append(each)
    for (connection_id, issuer, expiry), group in net.items():
        to_give = -sum((each.received for each in group if each.received is not None), ZERO)
        if to_give <= 0:
            continue
        free, t1, pledged = owned[connection_id, issuer]
        yield ShareNeed(
            connection_id=connection_id,
            broker_type=group[0].broker_type,
            broker_name=group[0].broker_name,
            issuer=issuer,
            underlying=group[0].underlying,
            expiry=expiry,
            to_give=to_give,
            free=free,
            t1=t1,
            pledged=pledged,
            shortfall=max(to_give - free, ZERO),
        )
        owned[connection_id, issuer][0] = max(free - to_give, ZERO)


def _cash_needs(found: Iterable[Obligation], purses: Iterable[Purse]) -> Iterable[CashNeed]:
    net: dict[str, dict[tuple[str, date], Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    unknown: dict[str, int] = defaultdict(int)
    names: dict[str, Obligation] = {}
    for each in found:
        names.setdefault(each.connection_id, each)
        if each.paid_in is None:
            unknown[each.connection_id] += 1
        else:
            net[each.connection_id][each.issuer, each.expiry] += each.paid_in
    cash = {purse.connection_id: purse.cash for purse in purses}
    for connection_id, one in names.items():
        to_pay = sum((-paid_in for paid_in in net[connection_id].values() if paid_in < 0), ZERO)
        there = cash.get(connection_id)
        if to_pay or unknown[connection_id]:
            yield CashNeed(
                connection_id=connection_id,
                broker_type=one.broker_type,
                broker_name=one.broker_name,
                to_pay=to_pay,
                cash=there,
                shortfall=None if there is None else max(to_pay - there, ZERO),
                unknown=unknown[connection_id],
            )
