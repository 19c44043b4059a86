"""A small book whose report can be worked out by hand, and a market with a made-up past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from brokers.domain import OptionType
from portfolio.domain import SourceState
from portfolio.risk.report import report
from portfolio.risk.sections import DayWorth, Report
from portfolio.risk.words import History, Line, MarketData, Purse, RiskBook, RiskClass
from tests.portfolio.risk.risk_lines import INFY, NOW, RELIANCE, future, option, share

DAYS = 400
INDEX = "NIFTY"
ZERODHA, UPSTOX = "zerodha", "upstox"


def days(count: int = DAYS) -> tuple[date, ...]:
    """So many weekdays, up to the day before the book's."""
    found: list[date] = []
    day = NOW.date() - timedelta(days=1)
    while len(found) < count:
        if day.weekday() < 5:
            found.append(day)
        day -= timedelta(days=1)
    return tuple(reversed(found))


def history(factor: str, returns: Sequence[float], *, start: float = 1000.0, **more: Any) -> History:
    closes = [start]
    for each in returns:
        closes.append(closes[-1] * (1 + each))
    told = days(len(closes))
    return History(
        factor=factor,
        days=told,
        closes=tuple(Decimal(f"{close:.4f}") for close in closes),
        volumes=tuple(Decimal(100_000) for _ in closes),
        **more,
    )


def market(*, count: int = DAYS, seed: int = 8, factors: Iterable[str] = (RELIANCE, INFY), **more: Any) -> MarketData:
    rng = np.random.default_rng(seed)
    index = rng.standard_t(5, count) * 0.008
    own = {name: index * rng.uniform(0.6, 1.4) + rng.standard_t(5, count) * 0.009 for name in factors}
    histories = {INDEX: history(INDEX, index.tolist(), start=26_000.0)}
    histories |= {name: history(name, returns.tolist()) for name, returns in own.items()}
    return MarketData(
        index=INDEX,
        rate=Decimal("0.0525"),
        histories=histories,
        trading_days=days(count + 1),
        index_level=Decimal(26_000),
        index_lot=Decimal(75),
        **more,
    )


def purse(broker: str = ZERODHA, **more: Any) -> Purse:
    return Purse(
        **{
            "connection_id": f"{broker}-1",
            "broker_type": broker,
            "broker_name": broker.title(),
            "display_name": broker.title(),
            "state": SourceState.LIVE,
            "as_of": NOW,
            "cash": Decimal(100_000),
            "available": Decimal(100_000),
            "used": Decimal(0),
            "collateral": Decimal(0),
            "unsettled": Decimal(0),
            **more,
        }
    )


def book(*lines: Line, purses: Sequence[Purse] | None = None, **more: Any) -> RiskBook:
    told = (
        purses
        if purses is not None
        else [purse(broker) for broker in dict.fromkeys(each.broker_type for each in lines)]
    )
    return RiskBook(now=NOW, lines=lines, purses=tuple(told), **{"day_pnl": Decimal(1000), **more})


def mixed(broker: str = ZERODHA) -> tuple[Line, ...]:
    """Shares, a future and options on both sides."""
    return (
        share(RELIANCE, 100, 1400, broker, loan=Decimal(0), sector="Oil and gas"),
        share(INFY, 200, 1500, broker, loan=Decimal(0), sector="Software"),
        future(RELIANCE, -500, 1410, broker, loan=Decimal(0)),
        option(1400, OptionType.CE, 500, 42, broker=broker, loan=Decimal(0)),
        option(1300, OptionType.PE, -500, 11, broker=broker, loan=Decimal(0)),
        option(26_000, OptionType.PE, 75, 310, 26_000, INDEX, broker, loan=Decimal(0), risk_class=RiskClass.INDEX),
    )


def worth(*equities: int | None, flows: Sequence[int] = ()) -> tuple[DayWorth, ...]:
    told = days(len(equities))
    paid = [*flows, *[0] * (len(equities) - len(flows))]
    return tuple(
        DayWorth(
            day=day,
            equity=None if equity is None else Decimal(equity),
            cash_flow=Decimal(flow),
            day_pnl=None,
            unexplained=None,
            complete=equity is not None,
        )
        for day, equity, flow in zip(told, equities, paid, strict=True)
    )


def of(*lines: Line, **more: Any) -> Report:
    return report(book(*lines), market(), **more)
