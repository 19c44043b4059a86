"""How long all twelve checks before an order take, without I/O: a book of 300 lines, 50 orders that stand.

2,000 random orders, the same every time. Facts are gathered before: what is timed is one run over them.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from statistics import median, quantiles

from bench.table import Aim, Figure
from brokers.clearance import Answer as Light
from brokers.domain import Exchange, InstrumentKind, OrderType, Product, Side, Validity
from orders.checks import table
from orders.decisions import Planned
from orders.facts import Account, Facts, Listed, Market, Priced, Resting, Tradable, Wanted
from orders.risk_words import AccountRisk, BookRisk, OpenOrder, RiskFacts, SetLimit
from portfolio.risk.limits import DEFAULTS, Action, Limit, Metric, Scope

ORDERS, LINES, STANDING, ACCOUNTS = 2000, 300, 50, 6
MOST_MS = 5.0
NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
OWN = (
    Limit(metric=Metric.ORDER_VALUE, block=Decimal(10_000_000), action=Action.BLOCK_INCREASING),
    Limit(metric=Metric.ORDER_QUANTITY, block=Decimal(100_000), action=Action.BLOCK_INCREASING),
    Limit(metric=Metric.SYMBOL_DAY_VALUE, block=Decimal(50_000_000), action=Action.BLOCK_INCREASING),
    Limit(metric=Metric.ORDER_ADV_PCT, block=Decimal(10), action=Action.BLOCK_INCREASING),
    Limit(metric=Metric.GROSS_EXPOSURE, block=Decimal(10**9), action=Action.BLOCK_INCREASING),
    Limit(metric=Metric.GROSS_EXPOSURE, scope=Scope.SEGMENT, block=Decimal(10**9), action=Action.REDUCE_ONLY),
    Limit(metric=Metric.LEVERAGE_RATIO, block=Decimal(3), action=Action.BLOCK_INCREASING),
)


def checks() -> list[Figure]:
    random = Random(8)  # noqa: S311 - it guards nothing
    book = [Decimal(random.randint(-500_000, 2_000_000)) for _ in range(LINES)]
    standing = tuple(_standing(random) for _ in range(STANDING))
    for seed in range(50):
        _one(Random(seed), book, standing)  # noqa: S311
    taken = [_one(random, book, standing) for _ in range(ORDERS)]
    note = f"{ORDERS} orders, {LINES} lines, {STANDING} that stand, {len(DEFAULTS) + len(OWN)} limits"
    return [
        Figure(name="all checks before an order, p50", value=median(taken), unit="ms", note=note),
        Figure(
            name="the same, p99",
            value=quantiles(taken, n=100, method="inclusive")[98],
            unit="ms",
            aim=Aim(MOST_MS),
            note=note,
        ),
    ]


def _one(random: Random, book: list[Decimal], standing: tuple[OpenOrder, ...]) -> float:
    facts, wanted, planned = _asked(random, book, standing)
    began = time.process_time()
    checked = table.run(facts, wanted, planned)
    taken = (time.process_time() - began) * 1000
    assert len(checked) == len(table.CHECKS)
    return taken


def _asked(random: Random, book: list[Decimal], standing: tuple[OpenOrder, ...]) -> tuple[Facts, Wanted, list[Planned]]:
    line = random.randrange(LINES)
    side, price = random.choice(list(Side)), Decimal(random.randint(20, 40_000)) / 20
    wanted = Wanted(
        instrument_id=line,
        side=side,
        order_type=OrderType.LIMIT,
        product=random.choice([Product.CNC, Product.MIS]),
        quantity=Decimal(random.randint(1, 500)),
        price=price,
    )
    facts = Facts(
        now=NOW,
        tradables={"NSE": _tradable(line)},
        prices={"NSE": Priced(last_price=price, as_of=NOW, by="zerodha", close_price=price)},
        markets={"NSE": Market(phase="CONTINUOUS")},
        accounts=tuple(_account(number) for number in range(ACCOUNTS)),
        resting=tuple(
            Resting(connection_id="c-1", exchange=Exchange.NSE, side=side, price=price, quantity=each.units)
            for each in standing
            if each.instrument == _isin(line)
        ),
        risk=_risk(line, book, standing),
    )
    parts = random.randint(1, 3)
    planned = [
        Planned(
            connection_id=f"c-{number}",
            broker_type=f"b-{number}",
            exchange=Exchange.NSE,
            side=side,
            order_type=OrderType.LIMIT,
            product=wanted.product,
            validity=Validity.DAY,
            quantity=wanted.quantity,
            price=price,
        )
        for number in range(parts)
    ]
    return facts, wanted, planned


def _risk(line: int, book: list[Decimal], standing: tuple[OpenOrder, ...]) -> RiskFacts:
    gross = sum((abs(value) for value in book), Decimal(0))
    return RiskFacts(
        halts_known=True,
        limits=tuple(SetLimit(limit=each, evaluated=True) for each in (*DEFAULTS, *OWN)),
        book=BookRisk(
            gross=gross,
            issuers=gross,
            sectors=gross,
            by_segment={"EQUITY": gross},
            instrument=book[line],
            issuer=book[line],
            sector=sum(book[line % 20 :: 20], Decimal(0)),
            equity=gross,
            day_loss=Decimal(0),
            day_loss_pct=Decimal(0),
            drawdown_pct=Decimal(0),
            complete=True,
        ),
        instrument=_isin(line),
        issuer=_isin(line),
        sector=str(line % 20),
        accounts={f"c-{n}": AccountRisk(used=Decimal(10_000), available=Decimal(10**7)) for n in range(ACCOUNTS)},
        orders=standing,
        adv=Decimal(1_000_000),
        dealt_today=Decimal(0),
        skews={"the database": Decimal(0)},
    )


def _standing(random: Random) -> OpenOrder:
    line, side, units = random.randrange(LINES), random.choice(list(Side)), Decimal(random.randint(1, 500))
    return OpenOrder(
        connection_id="c-1",
        broker_type="b-1",
        instrument=_isin(line),
        issuer=_isin(line),
        sector=str(line % 20),
        segment="EQUITY",
        product=Product.CNC,
        side=side,
        units=units,
        adds=units * 100 if side is Side.BUY else -units * 100,
    )


def _isin(line: int) -> str:
    return f"INE{line:06}A10"


def _tradable(line: int) -> Tradable:
    return Tradable(
        instrument_id=line,
        exchange=Exchange.NSE,
        exchange_token=str(line),
        tradingsymbol=f"S{line}",
        kind=InstrumentKind.EQUITY,
        isin=_isin(line),
        tick_size=Decimal("0.05"),
        freeze_quantity=Decimal(100_000),
        last_seen_on=date(2026, 11, 26),
    )


def _account(number: int) -> Account:
    return Account(
        connection_id=f"c-{number}",
        broker_type=f"b-{number}",
        name=f"Account {number}",
        rank=number,
        trading_enabled=True,
        trade=Light.YES,
        sell=Light.YES,
        segments={"EQUITY": "YES"},
        products=(Product.CNC, Product.MIS),
        order_types=tuple(OrderType),
        answered=True,
        available=Decimal(10**7),
        owned=Decimal(1000),
        listed={"NSE": Listed(broker_token="1", tradingsymbol="S")},  # noqa: S106 - a number
        rate_tokens=8,
        squared_off_at=datetime(2026, 11, 26, 9, 30, tzinfo=UTC),
    )
