"""Accounts that tell daily prices of our making, through the interface of the real clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers import registry
from brokers.base import BrokerClient
from brokers.domain import Candle, Exchange, Listing, Rows
from brokers.errors import BrokerError
from market.candle_models import CandleFill, DailyCandle
from market.candles import Batch, fill_due
from market.models import Instrument, InstrumentListing

# A Thursday evening: the day is over. 24 November was a holiday.
NOW = datetime.fromisoformat("2026-11-26T18:30:00+05:30")
TODAY = date(2026, 11, 26)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TOMORROW = NOW + DAY
YEAR = TODAY - timedelta(days=400)
SATURDAY = 5
RELIANCE, INFY, TCS = "INE002A01018", "INE009A01021", "INE467B01029"
BOTH = ("zerodha", "upstox")
Tell = Callable[[Listing, date, date], Sequence[Candle]]


def candle(
    day: date, close: str | Decimal, *, opened: str | Decimal | None = None, volume: int | None = 1000
) -> Candle:
    closed = Decimal(close)
    start = closed if opened is None else Decimal(opened)
    return Candle(
        day=day,
        open_price=start,
        high_price=max(start, closed) + 1,
        low_price=min(start, closed) - Decimal("0.01"),
        close_price=closed,
        volume=None if volume is None else Decimal(volume),
    )


def weekdays(first: date, last: date) -> list[date]:
    days = (first + number * DAY for number in range((last - first).days + 1))
    return [day for day in days if day.weekday() < SATURDAY]


def level(price: str = "100") -> Tell:
    """Every weekday at one price; each a day's trading of 1000."""
    return lambda listing, first, last: [candle(day, price) for day in weekdays(first, last)]


def fails(error: BrokerError) -> Tell:
    def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
        raise error

    return tell


@dataclass
class Tellers:
    """What each broker tells, and what each was asked. A broker without words tells no daily prices at all."""

    patch: pytest.MonkeyPatch
    calls: list[tuple[str, str, date, date]] = field(default_factory=list)
    problems: tuple[object, ...] = ()

    def let(self, slug: str, tell: Tell | None, *, days: int = 2000) -> None:
        kind = registry.load(slug).client_class

        def candles(client: BrokerClient, listing: Listing, first: date, last: date) -> Rows[Candle]:
            self.calls.append((slug, listing.tradingsymbol, first, last))
            assert tell is not None
            return Rows(tuple(tell(listing, first, last)), self.problems)  # type: ignore[arg-type]

        self.patch.setattr(kind, "candle_days", days if tell else 0)
        self.patch.setattr(kind, "candles", candles)

    def asked(self) -> list[tuple[str, str]]:
        return [(slug, symbol) for slug, symbol, _, _ in self.calls]


def no_pause(seconds: float) -> None:
    raise AssertionError(f"Nobody should wait here, and {seconds} seconds were asked for.")


def fill(now: datetime = NOW, *, seconds: float = 30.0) -> Batch:
    return fill_due(now=now, seconds=seconds, pause=no_pause)


def listed(
    symbol: str, token: str, isin: str | None, *brokers: str, exchange: Exchange = Exchange.NSE, kind: str = "EQUITY"
) -> Instrument:
    """A share, or an index, that these brokers list."""
    index = kind == "INDEX"
    row = Instrument.objects.create(
        exchange=exchange,
        segment="EQUITY",
        kind=kind,
        identity=f"{exchange}|INDEX|{symbol}" if index else f"{exchange}|{token}",
        tradingsymbol=symbol,
        exchange_token=None if index else token,
        isin=isin,
        tick_size=Decimal("0.05"),
        first_seen_on=TODAY,
        last_seen_on=TODAY,
        rank=0,
        words=symbol.lower(),
    )
    for slug in brokers:
        InstrumentListing.objects.create(
            instrument=row, broker_type=slug, broker_token=token, tradingsymbol=symbol, multiplier=1
        )
    return row


def row_of(share: Instrument) -> CandleFill:
    return CandleFill.objects.get(pk=share.pk)


def closes_of(share: Instrument) -> dict[date, Decimal]:
    return dict(DailyCandle.objects.filter(instrument=share).values_list("day", "close_price"))
