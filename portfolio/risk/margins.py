"""Leverage and margin, account by account: money at one broker supports no position at another. Pure.

The consolidated figures are information; what is watched is the worst account.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from brokers.domain import ZERO
from portfolio.domain import SourceState
from portfolio.risk.equity import Equity, equities
from portfolio.risk.exposure import NO_DELTAS, Deltas, Exposed, exposed
from portfolio.risk.words import Kind, RiskBook
from portfolio.sums import EXACT, quotient

ONE = Decimal(1)
# An account with nothing left, or less: so is its utilisation told, which a division could not.
EXHAUSTED = Decimal(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """`fall_ratio`: by how much the lines of an account move against it (0.05). `span_factor`: what becomes of each
    rupee of margin asked for. `daily_ratio`: a day's adverse move, for the days that the cash lasts."""

    fall_ratio: Decimal = Decimal("0.05")
    span_factor: Decimal = Decimal("1.3")
    daily_ratio: Decimal = Decimal("0.02")


DEFAULT_STRESS = Stress()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is asked of one account. INR, None unknown. `gross` and `net` are of all its lines, `at_margin` the signed
    exposure of those alone that are settled daily: futures, options, intraday shares.

    `unvalued` of its lines are in none of these, `has_pledged`: shares of it are given as collateral. A missing account
    has nothing but its name.
    """

    connection_id: str
    broker_type: str
    broker_name: str
    state: SourceState = SourceState.LIVE
    equity: Decimal | None = None
    used: Decimal | None = None
    available: Decimal | None = None
    cash: Decimal | None = None
    collateral: Decimal | None = None
    gross: Decimal | None = None
    net: Decimal | None = None
    at_margin: Decimal | None = None
    unvalued: int = 0
    is_equity_complete: bool = True
    has_pledged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMargin:
    """Ratios (0.75), None where a part is unknown or there is no equity to divide by.

    Utilisation is used / (used + available), `EXHAUSTED` at most: that much where nothing is left. `after_fall` and
    `after_rise` are what it becomes when everything falls or rises by the stress, pledged shares with it; `after_span`
    when more margin is asked for; `stressed` the worse move and that together. `days_of_cash`: how many adverse days
    the cash can pay for, None where nothing drains it or it is unknown which (`is_drained` tells the two apart).
    Where shares are pledged and the worth of the collateral is unknown, so are `after_fall` and `stressed`.
    """

    account: Account
    utilisation: Decimal | None
    after_fall: Decimal | None
    after_rise: Decimal | None
    after_span: Decimal | None
    stressed: Decimal | None
    leverage_gross: Decimal | None
    leverage_net: Decimal | None
    days_of_cash: Decimal | None
    is_drained: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Accounts, the worst first and those of which nothing is known at the end. The rest is over those that are known,
    for information; `complete` says whether that is all of them.
    """

    accounts: tuple[AccountMargin, ...]
    worst: Decimal | None
    utilisation: Decimal | None
    leverage_gross: Decimal | None
    leverage_net: Decimal | None
    complete: bool


def accounts_of(book: RiskBook, deltas: Deltas = NO_DELTAS) -> list[Account]:
    """One for each purse of the book, in its order. Within an account each instrument is netted, over accounts none."""
    with localcontext(EXACT):
        return accounts_from(book, exposed(book, deltas))


def accounts_from(book: RiskBook, rows: Sequence[Exposed], worth: Mapping[str, Equity] | None = None) -> list[Account]:
    """The same from exposures, and equities, that are there already. Within `EXACT` arithmetic."""
    sums: dict[str, _Sums] = defaultdict(_Sums)
    for row in rows:
        sums[row.line.connection_id].count(row)
    worth = worth or equities(book)
    found = []
    for purse in book.purses:
        if purse.state is SourceState.MISSING:
            found.append(
                Account(
                    connection_id=purse.connection_id,
                    broker_type=purse.broker_type,
                    broker_name=purse.broker_name,
                    state=purse.state,
                    is_equity_complete=False,
                )
            )
            continue
        own, equity = sums[purse.connection_id], worth[purse.connection_id]
        found.append(
            Account(
                connection_id=purse.connection_id,
                broker_type=purse.broker_type,
                broker_name=purse.broker_name,
                state=purse.state,
                equity=equity.amount,
                used=purse.used,
                available=purse.available,
                cash=purse.cash,
                collateral=purse.collateral,
                gross=own.gross,
                net=own.net,
                at_margin=None if own.unvalued_at_margin else own.at_margin,
                unvalued=own.unvalued,
                is_equity_complete=equity.complete,
                has_pledged=own.has_pledged,
            )
        )
    return found


@dataclass(slots=True)
class _Sums:
    nets: dict[str, Decimal] = field(default_factory=dict)
    at_margin: Decimal = ZERO
    unvalued: int = 0
    unvalued_at_margin: int = 0
    has_pledged: bool = False

    def count(self, row: Exposed) -> None:
        line = row.line
        self.has_pledged |= line.pledged > 0
        is_settled_daily = line.kind is not Kind.SPOT or line.is_intraday
        if row.amount is None:
            self.unvalued += 1
            self.unvalued_at_margin += is_settled_daily
            return
        self.nets[line.instrument] = self.nets.get(line.instrument, ZERO) + row.amount
        if is_settled_daily:
            self.at_margin += row.amount

    @property
    def gross(self) -> Decimal | None:
        return None if self.unvalued and not self.nets else sum((abs(amount) for amount in self.nets.values()), ZERO)

    @property
    def net(self) -> Decimal | None:
        return None if self.unvalued and not self.nets else sum(self.nets.values(), ZERO)


def margins(accounts: Sequence[Account], stress: Stress = DEFAULT_STRESS) -> Margins:
    with localcontext(EXACT):
        judged = sorted((judged_account(account, stress) for account in accounts), key=_by_need)
        known = [each for each in accounts if each.used is not None and each.available is not None]
        used = sum((each.used or ZERO for each in known), ZERO)
        available = sum((each.available or ZERO for each in known), ZERO)
        equity = _sum(each.equity for each in accounts)
        utilisations = [each.utilisation for each in judged if each.utilisation is not None]
        return Margins(
            accounts=tuple(judged),
            worst=max(utilisations, default=None),
            utilisation=utilisation(used, available) if known else None,
            leverage_gross=leverage(_sum(each.gross for each in accounts), equity),
            leverage_net=leverage(_sum(each.net for each in accounts), equity),
            complete=all(_is_whole(account) for account in accounts),
        )


def judged_account(account: Account, stress: Stress = DEFAULT_STRESS) -> AccountMargin:
    used, available = account.used, account.available
    fall, rise = _after(account, -stress.fall_ratio), _after(account, stress.fall_ratio)
    span = None if used is None or available is None else _with_span(used, available, stress.span_factor)
    worse = [_after(account, move, stress.span_factor) for move in (-stress.fall_ratio, stress.fall_ratio)]
    drain = None if account.at_margin is None else abs(account.at_margin) * stress.daily_ratio
    return AccountMargin(
        account=account,
        utilisation=utilisation(used, available),
        after_fall=fall,
        after_rise=rise,
        after_span=span,
        stressed=_worst(worse),
        leverage_gross=leverage(account.gross, account.equity),
        leverage_net=leverage(account.net, account.equity),
        days_of_cash=_days(account, drain),
        is_drained=None if drain is None else drain > 0,
    )


def utilisation(used: Decimal | None, available: Decimal | None) -> Decimal | None:
    """Used over what there is. Nothing used is 0; more used than there is, `EXHAUSTED` at most."""
    if used is None or available is None:
        return None
    if used <= 0:
        return ZERO if available >= 0 else EXHAUSTED
    whole = used + available
    return EXHAUSTED if whole <= 0 else min(EXHAUSTED, quotient(used, whole))


def leverage(exposure: Decimal | None, equity: Decimal | None) -> Decimal | None:
    """None where there is no equity, or less than none: no figure would be large enough."""
    return None if exposure is None or equity is None or equity <= 0 else quotient(exposure, equity)


def _after(account: Account, move: Decimal, span: Decimal = ONE) -> Decimal | None:
    """The utilisation after everything moved by a ratio: the day's loss or gain is money, and so are pledged shares."""
    used, available = account.used, account.available
    if used is None or available is None or account.at_margin is None:
        return None
    lost = _lost(account, move)
    return None if lost is None else _with_span(used, available + account.at_margin * move - lost, span)


def _lost(account: Account, move: Decimal) -> Decimal | None:
    """What pledged shares lose of their worth as collateral. None: some are pledged, and nobody knows for how much."""
    if move >= 0:
        return ZERO
    if account.collateral is None:
        return None if account.has_pledged else ZERO
    return account.collateral * -move


def _worst(moves: Sequence[Decimal | None]) -> Decimal | None:
    """None where one is not known: it may be the worse one."""
    known = [each for each in moves if each is not None]
    return max(known) if len(known) == len(moves) else None


def _with_span(used: Decimal, available: Decimal, span: Decimal) -> Decimal | None:
    """More is asked for, and nothing more is there."""
    return utilisation(used * span, available - used * (span - ONE))


def _days(account: Account, drain: Decimal | None) -> Decimal | None:
    if drain is None or not drain or account.cash is None or account.available is None:
        return None
    return quotient(max(ZERO, min(account.cash, account.available)), drain)


def _is_whole(account: Account) -> bool:
    known = account.used is not None and account.available is not None and account.equity is not None
    return account.state is SourceState.LIVE and known and account.is_equity_complete and not account.unvalued


def _by_need(margin: AccountMargin) -> tuple[bool, Decimal, str]:
    known = margin.utilisation
    return (known is None, -(known or ZERO), margin.account.connection_id)


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, ZERO) if known else None
