"""Lines of a risk book, with as little said as a test needs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from brokers.domain import Exchange, OptionType, Product, Segment
from portfolio.risk.valuing import Assumptions
from portfolio.risk.words import Kind, Line, RiskClass

NOW = datetime(2026, 11, 26, 5, 30, tzinfo=UTC)  # 11:00 IST, a Thursday
EXPIRY = date(2026, 12, 29)
RELIANCE, INFY = "INE002A01018", "INE009A01021"
ASSUMED = Assumptions(rate=Decimal("0.0525"), index="NIFTY", betas={RELIANCE: Decimal("1.1"), INFY: Decimal("0.75")})


def share(issuer: str = RELIANCE, units: Any = 100, price: Any = 1400, broker: str = "zerodha", **more: Any) -> Line:
    return line(Kind.SPOT, issuer, units, price, broker, **{"settled": Decimal(units), **more})


def future(issuer: str = RELIANCE, units: Any = 500, price: Any = 1410, broker: str = "zerodha", **more: Any) -> Line:
    return line(Kind.FUTURE, issuer, units, price, broker, **{"expiry": EXPIRY, "exchange": Exchange.NFO, **more})


def option(
    strike: Any,
    option_type: OptionType = OptionType.CE,
    units: Any = 500,
    price: Any = None,
    spot: Any = 1400,
    issuer: str = RELIANCE,
    broker: str = "zerodha",
    **more: Any,
) -> Line:
    return line(
        Kind.OPTION,
        issuer,
        units,
        price,
        broker,
        **{
            "expiry": EXPIRY,
            "exchange": Exchange.NFO,
            "strike": Decimal(str(strike)),
            "option_type": option_type,
            "underlying_price": None if spot is None else Decimal(str(spot)),
            **more,
        },
    )


def line(kind: Kind, issuer: str, units: Any, price: Any, broker: str, **more: Any) -> Line:
    words = [kind, issuer, more.get("expiry", ""), more.get("strike", ""), more.get("option_type", "")]
    return Line(
        **{
            "connection_id": f"{broker}-1",
            "broker_type": broker,
            "broker_name": broker.title(),
            "kind": kind,
            "instrument": "|".join(str(word) for word in words),
            "issuer": issuer,
            "factor": issuer,
            "symbol": issuer,
            "name": None,
            "exchange": Exchange.NSE,
            "segment": Segment.EQUITY if kind is Kind.SPOT else Segment.FNO,
            "product": Product.CNC if kind is Kind.SPOT else Product.NRML,
            "risk_class": RiskClass.EQUITY,
            "units": Decimal(units),
            "price": None if price is None else Decimal(str(price)),
            "as_of": NOW,
            "underlying": issuer,
            **more,
        }
    )
