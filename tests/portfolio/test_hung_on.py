"""What is streamed beside contracts: what their value hangs on."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from brokers.domain import Exchange, InstrumentKind, OptionType, Segment, Streamed
from market.models import Instrument
from portfolio.hung_on import HungOn

NOW = datetime(2026, 12, 1, 4, 0, tzinfo=UTC)
DECEMBER, JANUARY = date(2026, 12, 29), date(2027, 1, 28)

pytestmark = pytest.mark.django_db


def listed(symbol: str, token: str, kind: InstrumentKind, exchange: Exchange = Exchange.NFO, **more: object) -> None:
    segment = {Exchange.NFO: Segment.FNO, Exchange.MCX: Segment.COMMODITY}.get(exchange, Segment.EQUITY)
    Instrument.objects.create(
        exchange=exchange,
        segment=segment,
        kind=kind,
        identity=more.pop("identity", f"{exchange}|{symbol}"),
        tradingsymbol=symbol,
        exchange_token=token,
        first_seen_on=NOW.date(),
        last_seen_on=NOW.date(),
        rank=more.pop("rank", 5),
        words=symbol,
        **more,
    )


def contract(symbol: str, token: str, expiry: date, *, exchange: Exchange = Exchange.NFO, underlying: str) -> None:
    is_option = symbol.endswith("CE")
    terms = {"strike": Decimal(27000), "option_type": OptionType.CE} if is_option else {}
    kind = InstrumentKind.OPTION if is_option else InstrumentKind.FUTURE
    listed(symbol, token, kind, exchange, underlying=underlying, expiry=expiry, **terms)


def test_an_index_option_brings_the_future_of_its_month_and_the_index() -> None:
    contract("NIFTY26DEC27000CE", "1", DECEMBER, underlying="NIFTY")
    contract("NIFTY26DECFUT", "2", DECEMBER, underlying="NIFTY")
    contract("NIFTY27JANFUT", "3", JANUARY, underlying="NIFTY")
    listed("NIFTY 50", "26000", InstrumentKind.INDEX, Exchange.NSE, identity="NSE|INDEX|NIFTY 50")

    assert HungOn().of([(Exchange.NFO, "1")], NOW) == {
        Streamed(Exchange.NFO, "2"),
        Streamed(Exchange.NSE, "26000", index_name="Nifty 50"),
    }


def test_an_option_on_a_share_brings_the_share_at_both_exchanges() -> None:
    contract("RELIANCE26DEC1400CE", "1", DECEMBER, underlying="RELIANCE")
    for exchange, token in ((Exchange.NSE, "2885"), (Exchange.BSE, "500325")):
        listed("RELIANCE", token, InstrumentKind.EQUITY, exchange, isin="INE002A01018", rank=0)

    assert HungOn().of([(Exchange.NFO, "1")], NOW) == {
        Streamed(Exchange.NSE, "2885", isin="INE002A01018"),
        Streamed(Exchange.BSE, "500325", isin="INE002A01018"),
    }


def test_an_option_on_a_commodity_brings_the_next_future_that_outlives_it() -> None:
    contract("CRUDEOIL26DEC6000CE", "1", date(2026, 12, 15), exchange=Exchange.MCX, underlying="CRUDEOIL")
    contract("CRUDEOIL26DECFUT", "2", date(2026, 12, 18), exchange=Exchange.MCX, underlying="CRUDEOIL")
    contract("CRUDEOIL27JANFUT", "3", date(2027, 1, 19), exchange=Exchange.MCX, underlying="CRUDEOIL")

    assert HungOn().of([(Exchange.MCX, "1")], NOW) == {Streamed(Exchange.MCX, "2")}


def test_another_month_s_future_is_none_of_it_and_a_share_hangs_on_nothing() -> None:
    contract("NIFTY26DEC27000CE", "1", DECEMBER, underlying="NIFTY")
    contract("NIFTY27JANFUT", "3", JANUARY, underlying="NIFTY")
    listed("INFY", "1594", InstrumentKind.EQUITY, Exchange.NSE, isin="INE009A01021")

    assert HungOn().of([(Exchange.NFO, "1"), (Exchange.NSE, "1594")], NOW) == frozenset()
