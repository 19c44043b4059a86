"""The numbers over all that is owned and open: net worth, the day's profit, the open profit. Pure.

All are sums over single lines (a broker's lots of a share under one product, a trading row), so that what the brokers
add is the total. A line that is not known is left out, and counted. To be used within `EXACT` arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.domain import ZERO
from portfolio.domain import PnlParts, Source, WorthParts
from portfolio.marks import same_day
from portfolio.sums import Tally, percent
from portfolio.totals import Standing, Totals, Trading


@dataclass(frozen=True, slots=True)
class Day:
    """One account's day. `base` is of the lines that are known."""

    shares: Tally
    positions: Tally
    base: Decimal

    @property
    def amount(self) -> Decimal | None:
        return Tally.together([self.shares, self.positions]).of_known


def day_of(source: Source, totals: Totals, trading: Trading, now: datetime) -> Day:
    """What an account earned on the day of `now`.

    An answer of an earlier day tells that day's dealing and change. Of such an account only what a stream prices is
    known, and of that only what was carried then.
    """
    part, traded = totals.parts[source.connection_id], trading.parts[source.connection_id]
    if same_day(source.answered_at, now):
        return Day(part.day.tally, traded.tally, part.day.base + traded.base)
    shares = part.streamed
    return Day(_known_of(shares.tally, part.day.tally), _known_of(Tally(), traded.tally), shares.base)


def all_told(
    standing: Standing, totals: Totals, trading: Trading, days: Iterable[Day], *, is_whole: bool
) -> dict[str, Any]:
    """The fields of a portfolio that are over all that is owned and open; `days` are of the accounts inside.

    `is_whole`: no account is missing, and each of their rows was read. Only then is the profit of no line nought.
    """
    days = list(days)
    shares = Tally.together(day.shares for day in days)
    positions = Tally.together(day.positions for day in days)
    opened = trading.unrealized
    return {
        **_worth(standing, totals),
        **_pnl("day_pnl", shares, positions, sum((day.base for day in days), ZERO), is_whole),
        **_pnl("open_pnl", totals.gain, opened.tally, totals.covered_cost + opened.base, is_whole),
    }


def _worth(standing: Standing, totals: Totals) -> dict[str, Any]:
    """Cash alone is no worth where shares are held and none of them has a price; without a share whose part is known
    and without any cash that is, nothing is. What was paid today for what is not counted is not taken off.
    """
    value = totals.value
    shares = None if value.of_known is None else value.amount - totals.owing.amount
    bought_today = standing.bought_today - totals.paid_uncounted
    owed = bought_today if standing.lent is None else bought_today + standing.lent
    kept = shares if shares is None or standing.cash is None else shares + standing.cash
    is_empty = standing.cash is None and totals.lots_known == totals.owing.known
    return {
        "net_worth": None if kept is None or is_empty else kept - owed,
        "net_worth_parts": WorthParts(
            shares=shares,
            cash=standing.cash,
            owed=owed,
            lent=standing.lent,
            bought_today=bought_today,
            sold_today=standing.sold_today,
            cash_unknown=standing.cash_unknown,
            loans_unknown=standing.loans_unknown,
        ),
    }


def _pnl(name: str, shares: Tally, positions: Tally, base: Decimal, is_whole: bool) -> dict[str, Any]:
    both = Tally.together([shares, positions])
    if not is_whole and not both.known and not both.unknown:
        return {name: None, f"{name}_percent": None, f"{name}_parts": NO_PNL}
    return {
        name: both.of_known,
        f"{name}_percent": percent(both.of_known, base),
        f"{name}_parts": PnlParts(
            shares=shares.of_known, positions=positions.of_known, base=base, lines_unknown=both.unknown
        ),
    }


def _known_of(tally: Tally, of: Tally) -> Tally:
    """The same, where the other lines of `of` are unknown."""
    found = Tally()
    found.amount, found.known, found.unknown = tally.amount, tally.known, of.known + of.unknown - tally.known
    return found


# Of nobody anything is known: not a day without trades.
NO_PNL = PnlParts(shares=None, positions=None, base=None, lines_unknown=0)
NOTHING_TOLD: dict[str, Any] = {
    "net_worth": None,
    "net_worth_parts": WorthParts(
        shares=None,
        cash=None,
        owed=None,
        lent=None,
        bought_today=None,
        sold_today=None,
        cash_unknown=(),
        loans_unknown=0,
    ),
    "day_pnl": None,
    "day_pnl_percent": None,
    "day_pnl_parts": NO_PNL,
    "open_pnl": None,
    "open_pnl_percent": None,
    "open_pnl_parts": NO_PNL,
}
