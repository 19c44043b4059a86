"""The market that a book is judged in: daily prices out of the store, the index, and the days that markets trade on.

What stands in the store changes by the day: it is read, and what follows from it computed, every few minutes at most,
and shared by everybody in the process whose book moves by the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from brokers.domain import Exchange, InstrumentKind
from brokers.shared import if_redis_is_there, redis
from brokers.wire import IST
from market import factors, histories
from market.days import days_of
from market.models import Instrument
from market.publishing import latest
from portfolio.domain import InstrumentKey
from portfolio.risk.past import DAYS, Past, alike_of, past_of, wanted_factors
from portfolio.risk.words import History, MarketData, RiskBook
from portfolio.risk_terms import assumed

KEPT_FOR = timedelta(minutes=3)
MOST_KEPT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The market, and what of a report follows from its past alone. `read_at`: when the store was read."""

    market: MarketData
    past: Past
    index_key: InstrumentKey | None
    read_at: datetime


_kept: OrderedDict[tuple[str, ...], Judged] = OrderedDict()
_lock = threading.Lock()


def judged_in(book: RiskBook, *, now: datetime) -> Judged:
    """Of this book's factors, with the index as it stands now. Raises RiskError where a history cannot be."""
    keys = tuple(sorted({line.factor for line in book.lines}))
    with _lock:
        found = _kept.get(keys)
    if found is None or not timedelta(0) <= now - found.read_at < KEPT_FOR:
        found = _read(keys, book, now)
        with _lock:
            _kept[keys] = found
            _kept.move_to_end(keys)
            while len(_kept) > MOST_KEPT:
                _kept.popitem(last=False)
    return replace(found, market=replace(found.market, index_level=_level(found)))


def forget() -> None:
    """Read the store anew at the next question."""
    with _lock:
        _kept.clear()


def _read(keys: Collection[str], book: RiskBook, now: datetime) -> Judged:
    index = factors.index()
    held = histories.past({*keys, index}, days=DAYS + 1, now=now)
    today = now.astimezone(IST).date()
    market = MarketData(
        index=index,
        rate=assumed().rate,
        histories={name: history_of(series) for name, series in held.series.items() if series.days},
        index_lot=_lot(today),
        trading_days=_days(held.trading_days, now),
        breaks={name: frozenset(series.suspected) for name, series in held.series.items() if series.suspected},
    )
    return Judged(
        market=market,
        past=past_of(wanted_factors(book, market), market, alike=alike_of(book)),
        index_key=_index_key(index),
        read_at=now,
    )


def history_of(series: histories.Series) -> History:
    return History(
        factor=series.factor,
        days=series.days,
        closes=series.closes,
        volumes=series.volumes,
        proxy=series.proxy,
        beta=series.beta,
    )


def _days(past: Iterable[date], now: datetime) -> tuple[date, ...]:
    """Days of trading: those that are over, by the store, and those to come, by the calendar."""
    today = now.astimezone(IST).date()
    ahead = days_of([Exchange.NSE], now)[Exchange.NSE]
    coming = {day for day, known in ahead.items() if day >= today and known.sessions}
    return tuple(sorted({day for day in past if day < today} | coming))


def _lot(today: date) -> Decimal | None:
    living = Instrument.objects.filter(
        underlying=assumed().index_future, kind=InstrumentKind.FUTURE, expiry__gte=today, ended_on=None
    )
    return living.order_by("expiry", "pk").values_list("lot_size", flat=True).first()


def _index_key(index: str) -> InstrumentKey | None:
    named: Mapping[str, factors.Named] = factors.named()
    rows = Instrument.objects.filter(identity__in=named[index].listed_as, ended_on=None).exclude(exchange_token=None)
    found = rows.order_by("pk").values_list("exchange", "exchange_token").first()
    return (Exchange(found[0]), found[1]) if found and found[1] else None


def _level(judged: Judged) -> Decimal | None:
    """As it streams; else its last close, where the store has its own."""
    if judged.index_key is not None:
        with if_redis_is_there("the level of the index"):
            told = latest(redis(), [judged.index_key])
            price = told.prices.get(judged.index_key)
            if told.is_fed and price is not None and not price.stale:
                return price.last_price
    history = judged.market.histories.get(judged.market.index)
    return history.closes[-1] if history is not None and history.proxy is None and history.closes else None
