"""Instruments as Hypothesis draws them, for brokers that go by the exchange's own number."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import strategies as st

from brokers.domain import Contract, Exchange, Instrument, InstrumentKind, OptionType

NAMES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&", min_size=1, max_size=12)
NUMBERS = st.integers(min_value=1, max_value=9_999_999).map(str)
STEPS = st.sampled_from(["0.01", "0.05", "0.1", "1", "5"]).map(Decimal)
LOTS = st.integers(min_value=1, max_value=9_999).map(Decimal)
STRIKES = st.decimals(min_value=Decimal("0.25"), max_value=Decimal(300_000), places=2)
ISINS = st.from_regex(r"IN[A-Z0-9]{10}", fullmatch=True)
TEXTS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ .()", min_size=1, max_size=20)


@st.composite
def shares(draw: st.DrawFn, *, with_isin: bool) -> Instrument:
    number = draw(NUMBERS)
    return Instrument(
        exchange=draw(st.sampled_from([Exchange.NSE, Exchange.BSE])),
        kind=InstrumentKind.EQUITY,
        tradingsymbol=draw(NAMES),
        broker_token=number,
        exchange_token=number,
        isin=draw(ISINS) if with_isin else None,
        name=draw(TEXTS),
        lot_size=Decimal(1),
        tick_size=draw(STEPS),
    )


@st.composite
def contracts(draw: st.DrawFn, *, counted_in_lots: frozenset[Exchange] = frozenset()) -> Instrument:
    """`counted_in_lots`: where the broker counts lots, whose units are then the multiplier."""
    number, lot_size = draw(NUMBERS), draw(LOTS)
    option = draw(st.none() | st.sampled_from(OptionType))
    exchange = draw(st.sampled_from([Exchange.NFO, Exchange.BFO, Exchange.CDS, Exchange.BCD, Exchange.MCX]))
    return Instrument(
        exchange=exchange,
        kind=InstrumentKind.OPTION if option else InstrumentKind.FUTURE,
        tradingsymbol=draw(NAMES),
        broker_token=number,
        exchange_token=number,
        name=draw(TEXTS),
        contract=Contract(
            underlying=draw(NAMES),
            expiry=draw(st.dates(date(2026, 1, 1), date(2035, 12, 31))),
            strike=draw(STRIKES) if option else None,
            option_type=option,
        ),
        lot_size=lot_size,
        tick_size=draw(STEPS),
        multiplier=lot_size if exchange in counted_in_lots else Decimal(1),
    )
