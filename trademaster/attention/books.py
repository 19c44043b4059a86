"""What the brokers' last good answers show that needs somebody: rows, names, margins, contracts that end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec
from django.db.models import F
from django.urls import reverse

from accounts.models import User
from brokers import hours
from brokers.domain import SEGMENT_OF, Contract, Exchange, InstrumentKind, RowProblem, Segment
from brokers.statuses import ACTIVE_STATUSES
from brokers.wire import IST
from market.models import Instrument
from portfolio.models import BrokerSnapshot, UnmatchedInstrument
from portfolio.risk.expiry import expires_at
from trademaster.attention.accounts import name_of
from trademaster.attention.words import Item, Remedy, Tone, counted, listed

# Contracts that end within so many trading days after today.
ENDS_WITHIN = 2
# A name that was not seen for so long before its account's last answer is not there any more.
LATELY = timedelta(minutes=10)


class Purse(msgspec.Struct, frozen=True):
    available: Decimal | None = None


class Line(msgspec.Struct, frozen=True):
    exchange: Exchange
    tradingsymbol: str
    quantity: Decimal
    contract: Contract | None = None


class Kept(msgspec.Struct, frozen=True):
    """Of a kept answer (`brokers.domain.BrokerPortfolio`) what is looked at here; the rest is not even decoded."""

    as_of: datetime
    positions: tuple[Line, ...] = ()
    funds: Purse | None = None
    problems: tuple[RowProblem, ...] = ()


_kept = msgspec.json.Decoder(Kept)


def answers(user: User, now: datetime) -> Iterator[Item]:
    """What the last answer of each account shows."""
    rows = BrokerSnapshot.objects.filter(connection__user=user, connection__status__in=ACTIVE_STATUSES)
    lines: list[Line] = []
    for row in rows.select_related("connection").defer(
        "owned_before_sales",
        *(f"connection__{token}_token_encrypted" for token in ("access", "refresh", "feed")),
    ):
        kept, name = _kept.decode(row.payload), name_of(row.connection)
        lines += kept.positions
        if kept.problems:
            yield _unreadable(row, kept, name)
        if kept.funds is not None and kept.funds.available is not None and kept.funds.available < 0:
            yield _short(row, kept.funds.available, name)
    yield from _endings(lines, now)


def _unreadable(row: BrokerSnapshot, kept: Kept, name: str) -> Item:
    fields = listed(dict.fromkeys(problem.field for problem in kept.problems))
    return Item(
        code="rows_unreadable",
        key=f"rows:{row.connection_id}",
        tone=Tone.WARN,
        subject=name,
        words=f"{counted(len(kept.problems), 'row')} of its answer could not be read ({fields}).",
        meaning="What stands in them is not in your totals.",
        remedy=Remedy(label="What is covered", href=f"{reverse('dashboard')}#coverage"),
        href=f"{reverse('dashboard')}#coverage",
        since=kept.as_of,
    )


def _short(row: BrokerSnapshot, available: Decimal, name: str) -> Item:
    return Item(
        code="margin_short",
        key=f"margin:{row.connection_id}",
        tone=Tone.BAD,
        subject=name,
        words="Money is missing for the margin of this account.",
        meaning="Until it is paid in or freed, its broker may charge interest, and close positions by itself.",
        remedy=Remedy(label="See the margins", href=f"{reverse('risk')}#margins"),
        href=f"{reverse('risk')}#margins",
        since=row.funds_as_of or row.as_of,
        amount=-available,
    )


def unmatched(user: User, now: datetime) -> Iterator[Item]:
    """Names that nothing identifies: one item for all, as nothing of value is lost by them."""
    rows = UnmatchedInstrument.objects.filter(
        broker_connection__user=user,
        broker_connection__status__in=ACTIVE_STATUSES,
        last_seen_at__gte=F("broker_connection__snapshot__as_of") - LATELY,
    )
    found = list(rows.order_by("first_seen_at", "symbol").values_list("symbol", "first_seen_at"))
    if not found:
        return
    yield Item(
        code="instruments_unmatched",
        key="unmatched",
        tone=Tone.INFO,
        subject=listed(dict.fromkeys(symbol for symbol, _ in found)),
        words=f"{counted(len(found), 'share or contract', 'shares or contracts')} not recognised.",
        meaning="Each is in your totals under its own broker, but is added to no other’s, nor netted with it.",
        remedy=Remedy(label="What is covered", href=f"{reverse('dashboard')}#coverage"),
        href=f"{reverse('dashboard')}#coverage",
        since=found[0][1],
    )


# --- contracts that end -----------------------------------------------------------------------------------------------
def _endings(lines: list[Line], now: datetime) -> Iterator[Item]:
    """One item for each day on which something of the book ends, and one more for what ends in delivery."""
    net: dict[tuple[Exchange, Contract], Decimal] = defaultdict(Decimal)
    for line in lines:
        if line.contract is not None and _ends_soon(line.exchange, line.contract.expiry, now):
            net[line.exchange, line.contract] += line.quantity
    held = [key for key, quantity in net.items() if quantity]
    shares = _shares({contract.underlying for exchange, contract in held if SEGMENT_OF[exchange] is Segment.FNO})
    by_day: dict[tuple[date, bool], list[Contract]] = defaultdict(list)
    for exchange, contract in held:
        delivers = contract.underlying in shares or SEGMENT_OF[exchange] is Segment.COMMODITY
        by_day[contract.expiry, delivers].append(contract)
    for (expiry, delivers), contracts in sorted(by_day.items(), key=lambda each: each[0]):
        yield _ending(expiry, contracts, now, delivers=delivers)


def _ends_soon(exchange: Exchange, expiry: date, now: datetime) -> bool:
    today = now.astimezone(IST).date()
    if expires_at(exchange, expiry) <= now or expiry > today + timedelta(days=14):
        return False
    ahead = (today + timedelta(days=each) for each in range(1, (expiry - today).days + 1))
    return sum(hours.is_trading_day(day) is not False for day in ahead) <= ENDS_WITHIN


def _shares(underlyings: set[str]) -> set[str]:
    """Those of them that are shares: contracts on these are settled by delivery."""
    if not underlyings:
        return set()
    rows = Instrument.objects.filter(
        kind=InstrumentKind.EQUITY, exchange__in=(Exchange.NSE, Exchange.BSE), tradingsymbol__in=underlyings
    )
    return set(rows.values_list("tradingsymbol", flat=True))


def _ending(expiry: date, contracts: list[Contract], now: datetime, *, delivers: bool) -> Item:
    days = (expiry - now.astimezone(IST).date()).days
    when = {0: "today", 1: "tomorrow"}.get(days, f"on {expiry:%A}")
    many = counted(len(contracts), "contract")
    return Item(
        code="contracts_deliver" if delivers else "contracts_expire",
        key=f"expiry:{expiry}:{delivers}",
        tone=Tone.WARN if delivers else Tone.INFO,
        subject=listed(dict.fromkeys(contract.underlying for contract in contracts)),
        words=f"{many} {'ends' if len(contracts) == 1 else 'end'} {when}.",
        meaning=(
            "What ends in the money is settled by delivery: shares or goods, or their full price, will be due."
            if delivers
            else "What is still open then is settled in cash at the closing price."
        ),
        remedy=Remedy(label="See what will be due", href=f"{reverse('risk')}#expiries"),
        href=f"{reverse('risk')}#expiries",
        since=None,
    )
