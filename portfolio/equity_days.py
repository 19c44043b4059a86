"""What the book was worth at each day's end, and the payments that explain what profit does not.

    unexplained = equity − the day before's − the day's profit − what was paid in

A day is written once its markets have closed, and written again until all of it is known.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum

from accounts.models import User
from brokers.domain import ZERO, Exchange, Segment
from brokers.models import BrokerConnection
from brokers.wire import IST
from market.hours import Hours
from portfolio import risk_gathering
from portfolio.flow_models import CashFlow
from portfolio.risk.coverage import coverage
from portfolio.risk.equity import Equity, book_equity, equities
from portfolio.risk.sections import DayWorth
from portfolio.risk.words import RiskBook
from portfolio.risk_models import EquityDay
from portfolio.risk_refusals import FlowInFuture, FlowOfNothing, TooManyFlows
from portfolio.services import NoBrokerConnections

logger = logging.getLogger(__name__)

MOST_OF_A_DAY = 100
EARLY_MARKETS = (Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO)
# Whoever holds something there waits for these.
LATE_MARKETS = {
    Segment.CURRENCY: (Exchange.CDS, Exchange.BCD),
    Segment.COMMODITY: (Exchange.MCX, Exchange.NCO),
}
# Where markets never close, a day ends with the day.
LAST_MINUTES = time(23, 45)
# Answers may still settle for some minutes after the last trade.
SETTLED_AFTER = timedelta(minutes=10)


# --- reading ----------------------------------------------------------------------------------------------------------
def days_of(user: User) -> list[DayWorth]:
    """Oldest first. A day that has payments and nothing else is in it, so that these are not lost."""
    rows = {
        row.day: DayWorth(
            day=row.day,
            equity=row.equity,
            cash_flow=row.cash_flow,
            day_pnl=row.day_pnl,
            unexplained=row.unexplained,
            complete=row.complete,
        )
        for row in EquityDay.objects.filter(user=user)
    }
    flows = CashFlow.objects.filter(user=user).order_by().values_list("day").annotate(Sum("amount"))
    for day, amount in flows:
        if day not in rows:
            rows[day] = DayWorth(day=day, equity=None, cash_flow=amount, day_pnl=None, unexplained=None, complete=False)
    return [rows[day] for day in sorted(rows)]


def worth_of(book: RiskBook) -> Equity | None:
    """What the book is worth; None where not even a part of it is known."""
    worth = book_equity(list(equities(book).values()))
    return None if worth.amount is None else worth


def today(user: User, book: RiskBook, worth: Equity) -> DayWorth:
    """The day so far."""
    day = book.now.astimezone(IST).date()
    return DayWorth(
        day=day,
        equity=worth.amount,
        cash_flow=paid_in(user, day),
        day_pnl=book.day_pnl,
        unexplained=None,
        complete=worth.complete and coverage(book).complete,
    )


def paid_in(user: User, day: date) -> Decimal:
    total: Decimal | None = CashFlow.objects.filter(user=user, day=day).aggregate(total=Sum("amount"))["total"]
    return total or ZERO


# --- writing days -----------------------------------------------------------------------------------------------------
def due(now: datetime) -> list[int]:
    """Users whose day has ended and is not wholly written, by id."""
    day = now.astimezone(IST).date()
    hours = Hours()
    hours.read(now)
    if not has_closed(hours, EARLY_MARKETS, now):
        return []
    users = User.objects.filter(is_active=True, broker_connections__in=BrokerConnection.objects.active())
    written = EquityDay.objects.filter(day=day, complete=True)
    return list(users.exclude(pk__in=written.values("user")).distinct().order_by("pk").values_list("pk", flat=True))


def note(user: User, *, now: datetime) -> None:
    """Have the brokers asked, and write the day. Who has no connection any more has no day."""
    try:
        write(user, risk_gathering.gathered(user, now=now))
    except NoBrokerConnections:
        logger.debug("User %s has no connection, and no day to write", user.pk)


def has_closed(
    hours: Hours, exchanges: Collection[Exchange], now: datetime, *, since: timedelta = SETTLED_AFTER
) -> bool:
    """Whether there was a trading day today that has ended at all of these, so long ago."""
    if settings.MARKET_AROUND_THE_CLOCK:
        return now.astimezone(IST).time() >= LAST_MINUTES
    traded = hours.trading_day(now)
    if traded is None or now < traded[1] + since:
        return False
    return not any(hours.is_open(exchange, moment) for exchange in exchanges for moment in (now, now - since))


def write(user: User, book: RiskBook) -> EquityDay | None:
    """Write the day of this book, unless a market is open that it holds something at."""
    hours = Hours()
    hours.read(book.now)
    segments = {line.segment for line in book.lines}
    late = [exchange for segment, places in LATE_MARKETS.items() if segment in segments for exchange in places]
    # Commodities trade until minutes before the day itself ends: there is no time to let anything settle.
    if late and not has_closed(hours, late, book.now, since=timedelta(0)):
        return None
    worth = worth_of(book)
    if worth is None:
        return None
    found = today(user, book, worth)
    complete = found.complete and book.day_pnl is not None
    row, _ = EquityDay.objects.update_or_create(
        user=user,
        day=found.day,
        defaults={
            "equity": found.equity,
            "day_pnl": found.day_pnl,
            "cash_flow": found.cash_flow,
            "complete": complete,
            "as_of": book.now,
        },
    )
    _explain(row)
    return row


def _explain(row: EquityDay) -> None:
    """Where both days are wholly known."""
    before = EquityDay.objects.filter(user=row.user_id, day__lt=row.day).order_by("-day").first()
    row.unexplained = None if before is None else _left_over(before, row)
    row.save(update_fields=["unexplained"])


def _left_over(before: EquityDay, row: EquityDay) -> Decimal | None:
    if not before.complete or not row.complete:
        return None
    if before.equity is None or row.equity is None or row.day_pnl is None:
        return None
    between = CashFlow.objects.filter(user=row.user_id, day__gt=before.day, day__lte=row.day)
    paid: Decimal = between.aggregate(total=Sum("amount"))["total"] or ZERO
    left: Decimal = row.equity - before.equity - row.day_pnl - paid
    return left


# --- payments ---------------------------------------------------------------------------------------------------------
def add_flow(user: User, *, day: date, amount: Decimal, note: str, now: datetime) -> CashFlow:
    """Raises FlowInFuture, FlowOfNothing, TooManyFlows."""
    if day > now.astimezone(IST).date():
        raise FlowInFuture
    if not amount:
        raise FlowOfNothing
    if CashFlow.objects.filter(user=user, day=day).count() >= MOST_OF_A_DAY:
        raise TooManyFlows
    row = CashFlow.objects.create(user=user, day=day, amount=amount, note=note, created_at=now)
    _count_anew(user, day)
    return row


def remove_flow(row: CashFlow) -> None:
    user, day = row.user, row.day
    row.delete()
    _count_anew(user, day)


def _count_anew(user: User, day: date) -> None:
    """The day's sum, and what is unexplained of the next day that was written."""
    rows = EquityDay.objects.filter(user=user, day__gte=day).order_by("day")[:1]
    for row in rows:
        if row.day == day:
            EquityDay.objects.filter(pk=row.pk).update(cash_flow=paid_in(user, day))
        _explain(row)
