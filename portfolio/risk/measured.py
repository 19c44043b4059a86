"""What the merged book alone says of limits: the day's loss, margin, and shares of the book. Pure.

Percent are rounded to six places. Of shares owned the book knows the worth; what derivatives add to an issuer it does
not, so that with any of them open the figures of issuers are not complete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

from portfolio.domain import BrokerFunds, ConsolidatedPortfolio, SourceState, TradeKind
from portfolio.marks import same_day
from portfolio.risk.evaluating import ZERO, Figure, FigureKey, Measured
from portfolio.risk.limits import Metric, Scope
from portfolio.sums import known_sum

FINEST = Decimal("0.000001")
HUNDRED = Decimal(100)
# Of an account that owes more than it has: above any level that could be meant.
OVERDRAWN = Decimal(1000)
EXPOSED = frozenset({TradeKind.DERIVATIVE, TradeKind.INTRADAY})


def measured_from(portfolio: ConsolidatedPortfolio) -> Measured:
    """DAY_LOSS in all and by account, DAY_LOSS_PCT of what the day began with; MARGIN_PCT by account and of the
    worst; ISSUER_PCT and BROKER_PCT of the worth of the shares owned. A book without any source inside says nothing.
    """
    if portfolio.as_of is None:
        return Measured()
    figures = {**_day_losses(portfolio), **_margins(portfolio.funds.brokers), **_shares(portfolio)}
    figures[Metric.MARGIN_PCT, Scope.GLOBAL, ""] = _worst_margin(portfolio, figures)
    listed = {(Metric.ISSUER_PCT, Scope.ISSUER), (Metric.BROKER_PCT, Scope.BROKER), (Metric.DAY_LOSS, Scope.ACCOUNT)}
    if any(source.state is SourceState.MISSING for source in portfolio.sources):
        listed = set()  # who does not answer may hold what nobody else does
    if not portfolio.complete:
        listed -= {(Metric.ISSUER_PCT, Scope.ISSUER)}
    return Measured(figures, frozenset(listed))


# --- the day ----------------------------------------------------------------------------------------------------------
def _day_losses(portfolio: ConsolidatedPortfolio) -> dict[FigureKey, Figure]:
    """Of the accounts that answered today: an answer of another day tells that day's change."""
    fresh = {part.connection_id for part in portfolio.broker_breakdown if same_day(part.as_of, portfolio.last_updated)}
    is_of_today = len(fresh) == len(portfolio.broker_breakdown)
    dealt = known_sum(line.day_pnl for line in portfolio.trading_positions if line.connection_id in fresh)
    is_whole = (
        is_of_today
        and portfolio.complete
        and not portfolio.coverage.without_day_change
        and portfolio.trading.day_pnl is not None
    )
    moved = portfolio.day_change
    if not is_of_today:
        moved = known_sum(part.day_change for part in portfolio.broker_breakdown if part.connection_id in fresh)
    loss = _loss(known_sum([moved, dealt])) if fresh else None
    figures: dict[FigureKey, Figure] = {
        (Metric.DAY_LOSS, Scope.GLOBAL, ""): Figure(loss, is_whole),
        (Metric.DAY_LOSS_PCT, Scope.GLOBAL, ""): Figure(_loss_pct(portfolio, loss), is_whole),
    }
    traded: dict[str, list[Decimal | None]] = defaultdict(list)
    for line in portfolio.trading_positions:
        traded[line.connection_id].append(line.day_pnl)
    for part in portfolio.broker_breakdown:
        of_part = _loss(known_sum([part.day_change, *traded[part.connection_id]]))
        figures[Metric.DAY_LOSS, Scope.ACCOUNT, part.connection_id] = Figure(
            of_part if part.connection_id in fresh else None, is_whole and not part.stale
        )
    return figures


def _loss_pct(portfolio: ConsolidatedPortfolio, loss: Decimal | None) -> Decimal | None:
    """A loss by who had nothing to lose is above any level; what derivatives are worth is not known here."""
    began = _began_with(portfolio)
    if loss and began is not None and began <= 0 and portfolio.complete and not _is_exposed(portfolio):
        return OVERDRAWN
    return _percent(loss, began)


def _began_with(portfolio: ConsolidatedPortfolio) -> Decimal | None:
    """Equity before the day's moves: shares owned at yesterday's close, less what was lent for them, and cash."""
    owned = _sum([portfolio.total_value, *(each.cash for each in portfolio.funds.brokers)])
    if owned is None or portfolio.day_change is None or portfolio.mtf_funded_amount is None:
        return None
    return owned - portfolio.day_change - portfolio.mtf_funded_amount


def _loss(gain: Decimal | None) -> Decimal | None:
    return None if gain is None else max(ZERO, -gain)


# --- margin -----------------------------------------------------------------------------------------------------------
def _margins(accounts: Iterable[BrokerFunds]) -> dict[FigureKey, Figure]:
    return {
        (Metric.MARGIN_PCT, Scope.ACCOUNT, each.connection_id): Figure(_utilisation(each), not each.stale)
        for each in accounts
    }


def _utilisation(funds: BrokerFunds) -> Decimal | None:
    """Used of used and available."""
    if funds.used is None or funds.available is None:
        return None
    if funds.used <= 0:
        return ZERO
    whole = funds.used + funds.available
    return _percent(funds.used, whole) if whole > 0 else OVERDRAWN


def _worst_margin(portfolio: ConsolidatedPortfolio, figures: Mapping[FigureKey, Figure]) -> Figure:
    accounts = [figure for (metric, _, _), figure in figures.items() if metric is Metric.MARGIN_PCT]
    known = [figure.value for figure in accounts if figure.value is not None]
    are_all = len(known) == len(accounts) == len(portfolio.sources) and all(each.complete for each in accounts)
    return Figure(max(known, default=None), are_all)


# --- shares of the book -----------------------------------------------------------------------------------------------
def _shares(portfolio: ConsolidatedPortfolio) -> dict[FigureKey, Figure]:
    whole = portfolio.total_value
    is_all = portfolio.complete and not _is_exposed(portfolio)
    figures = {
        (Metric.ISSUER_PCT, Scope.ISSUER, each.key): Figure(_percent(each.current_value, whole), is_all)
        for each in portfolio.positions
    }
    held: dict[str, list[Decimal | None]] = defaultdict(list)
    for part in portfolio.broker_breakdown:
        held[part.broker_id].append(part.total_value)
    for broker, values in held.items():
        value = known_sum(values)
        share = ZERO if value == whole == 0 else _percent(value, whole)
        figures[Metric.BROKER_PCT, Scope.BROKER, broker] = Figure(share, portfolio.complete)
    return figures


def _is_exposed(portfolio: ConsolidatedPortfolio) -> bool:
    return any(line.kind in EXPOSED and line.quantity for line in portfolio.trading_positions)


def _percent(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    if part is None or whole is None or whole <= 0:
        return None
    return (part * HUNDRED / whole).quantize(FINEST, ROUND_HALF_UP)


def _sum(parts: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for part in parts:
        if part is None:
            return None
        total += part
    return total
