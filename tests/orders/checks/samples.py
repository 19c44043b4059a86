"""An order of a hundred shares that passes all twelve checks, and what it is judged by; each test changes one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from brokers.clearance import Answer as Light
from brokers.domain import Exchange, InstrumentKind, OptionType, OrderType, Product, Side, Validity
from orders.checks import table
from orders.checks.words import Checked, Finding, Verdict
from orders.decisions import Planned
from orders.facts import Account, Facts, Listed, Market, Priced, Tradable, Wanted
from orders.risk_words import AccountRisk, BookRisk, OpenOrder, RiskFacts, SetLimit
from portfolio.risk.limits import Action, Limit, Metric, Scope, State
from tests.orders.conftest import NOW

HERE, THERE = "c-zerodha", "c-upstox"
ISIN = "INE009A01021"
SHARE = Tradable(
    instrument_id=1,
    exchange=Exchange.NSE,
    exchange_token="1594",
    tradingsymbol="INFY",
    kind=InstrumentKind.EQUITY,
    isin=ISIN,
    tick_size=Decimal("0.05"),
    freeze_quantity=Decimal(100_000),
    last_seen_on=date(2026, 11, 26),
)
FUTURE = replace(
    SHARE,
    exchange=Exchange.NFO,
    kind=InstrumentKind.FUTURE,
    isin=None,
    tradingsymbol="INFY26DECFUT",
    underlying="INFY",
    expiry=date(2026, 12, 29),
    lot_size=Decimal(100),
    banned=False,
)
OPTION = replace(FUTURE, kind=InstrumentKind.OPTION, strike=Decimal(1500), option_type=OptionType.CE)


def account(connection_id: str = HERE, **changed: Any) -> Account:
    return replace(
        Account(
            connection_id=connection_id,
            broker_type=connection_id.removeprefix("c-"),
            name=connection_id.removeprefix("c-").title(),
            rank=0,
            trading_enabled=True,
            trade=Light.YES,
            sell=Light.YES,
            segments={"EQUITY": "YES", "FNO": "YES"},
            products=(Product.CNC, Product.MIS, Product.NRML),
            order_types=tuple(OrderType),
            answered=True,
            as_of=NOW,
            available=Decimal(1_000_000),
            owned=Decimal(0),
            listed={name: Listed(broker_token="1", tradingsymbol="INFY") for name in ("NSE", "NFO")},
            rate_tokens=8,
            squared_off_at=datetime.max.replace(tzinfo=NOW.tzinfo),
        ),
        **changed,
    )


def book(**changed: Any) -> BookRisk:
    """Ten million in equity, of which INFY is half a million."""
    return replace(
        BookRisk(
            gross=Decimal(8_000_000),
            issuers=Decimal(8_000_000),
            sectors=Decimal(8_000_000),
            by_segment={"EQUITY": Decimal(8_000_000)},
            instrument=Decimal(500_000),
            issuer=Decimal(500_000),
            sector=Decimal(900_000),
            equity=Decimal(10_000_000),
            day_loss=Decimal(0),
            day_loss_pct=Decimal(0),
            drawdown_pct=Decimal(0),
            complete=True,
        ),
        **changed,
    )


def risk(**changed: Any) -> RiskFacts:
    return replace(
        RiskFacts(
            halts_known=True,
            limits=(),
            book=book(),
            instrument=ISIN,
            issuer=ISIN,
            sector="Information Technology",
            accounts={each: AccountRisk(used=Decimal(0), available=Decimal(1_000_000)) for each in (HERE, THERE)},
            adv=Decimal(1_000_000),
            adv_days=20,
            dealt_today=Decimal(0),
            skews={"zerodha": Decimal(0), "the database": Decimal("-0.2")},
        ),
        **changed,
    )


def facts(*, place: Tradable = SHARE, of_risk: Mapping[str, Any] | None = None, **changed: Any) -> Facts:
    name = place.exchange.value
    return replace(
        Facts(
            now=NOW,
            tradables={name: place},
            prices={name: Priced(last_price=Decimal(1500), as_of=NOW, by="zerodha", close_price=Decimal(1490))},
            markets={name: Market(phase="CONTINUOUS")},
            accounts=(account(), account(THERE)),
            risk=risk(**(of_risk or {})),
        ),
        **changed,
    )


def wanted(quantity: int = 100, **changed: Any) -> Wanted:
    return replace(
        Wanted(
            instrument_id=1,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            product=Product.CNC,
            quantity=Decimal(quantity),
            price=Decimal(1500),
        ),
        **changed,
    )


def child(of: Wanted, *, at: str = HERE, exchange: Exchange = Exchange.NSE, **changed: Any) -> Planned:
    return replace(
        Planned(
            connection_id=at,
            broker_type=at.removeprefix("c-"),
            exchange=exchange,
            side=of.side,
            order_type=of.order_type,
            product=of.product,
            validity=Validity.DAY,
            quantity=of.quantity,
            price=of.price,
            trigger_price=of.trigger_price,
        ),
        **changed,
    )


def standing(side: Side, units: int, price: int = 1500, **changed: Any) -> OpenOrder:
    worth = Decimal(units * price)
    return replace(
        OpenOrder(
            connection_id=THERE,
            broker_type="upstox",
            instrument=ISIN,
            issuer=ISIN,
            sector="Information Technology",
            segment="EQUITY",
            product=Product.CNC,
            side=side,
            units=Decimal(units),
            adds=worth if side is Side.BUY else -worth,
        ),
        **changed,
    )


def limit(
    metric: Metric,
    block: str | int | None = None,
    *,
    warn: str | int | None = None,
    action: Action = Action.BLOCK_INCREASING,
    scope: Scope = Scope.GLOBAL,
    key: str = "",
    state: State = State.OK,
    **changed: Any,
) -> SetLimit:
    level = {name: None if each is None else Decimal(each) for name, each in (("warn", warn), ("block", block))}
    of = Limit(metric=metric, scope=scope, scope_key=key, action=action, **level)
    return replace(SetLimit(limit=of, state=state, evaluated=True), **changed)


def run(of: Facts, asked: Wanted, planned: Sequence[Planned] | None = None) -> tuple[Checked, ...]:
    exchange = next(iter(of.tradables.values())).exchange
    return table.run(of, asked, [child(asked, exchange=exchange)] if planned is None else planned)


def of_check(number: int, checked: Sequence[Checked]) -> list[tuple[str, str]]:
    """Codes and verdicts of what one check found, but for what it merely saw."""
    (one,) = [each for each in checked if each.number == number]
    return [(each.code, each.verdict.value) for each in one.findings if each.verdict is not Verdict.PASS]


def denials(checked: Sequence[Checked]) -> list[str]:
    return [f"{each.check}:{each.code}" for each in table.stopping(checked)]


def findings(checked: Sequence[Checked]) -> list[Finding]:
    return [found for each in checked for found in each.findings]
