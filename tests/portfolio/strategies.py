"""Books nobody thought of: accounts of several brokers, with gaps, sales, purchases and stale answers."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from brokers import registry
from brokers.domain import BrokerPortfolio, Exchange, Funds, Holding, Position, Product
from portfolio.domain import BorrowedPrice, Source, SourceState
from tests.portfolio.sources import account, holding, lent, position, source

SHARES = {
    "INE009A01021": "INFY",
    "INE062A01020": "SBIN",
    "INE002A01018": "RELIANCE",
    "INF204KC1089": "GILT5YBEES",
    "IN0020230085": "GS2033",
}
CASH_EXCHANGES = st.sampled_from([Exchange.NSE, Exchange.BSE])
QUANTITIES = st.integers(0, 5000).map(Decimal)
PRICES = st.decimals("0.05", "99999.95", places=2)
UNKNOWABLE_PRICES = st.none() | PRICES
AVERAGES = st.none() | st.decimals("0.0001", "99999.9999", places=4)
AMOUNTS = st.none() | st.decimals("-999999.99", "999999.99", places=2)


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    isin = draw(st.sampled_from(list(SHARES)))
    return holding(
        isin,
        draw(QUANTITIES),
        average=draw(AVERAGES),
        last=draw(UNKNOWABLE_PRICES),
        close=draw(UNKNOWABLE_PRICES),
        exchange=draw(CASH_EXCHANGES),
        symbol=SHARES[isin],
        product=draw(st.sampled_from([Product.CNC, Product.CNC, Product.MTF])),
        t1_quantity=draw(QUANTITIES),
        pledged_quantity=draw(QUANTITIES),
    )


@st.composite
def positions(draw: st.DrawFn, *, smallest: int = -50) -> Position:
    """A purchase or sale of today; `smallest` 1 leaves purchases alone."""
    isin = draw(st.sampled_from(list(SHARES)))
    return position(
        draw(st.integers(smallest, 50)),
        price=draw(PRICES),
        last=draw(UNKNOWABLE_PRICES),
        close=draw(UNKNOWABLE_PRICES),
        exchange=draw(CASH_EXCHANGES),
        symbol=draw(st.sampled_from([SHARES[isin], "NEWCO"])),
        isin=draw(st.sampled_from([isin, None])),
        product=draw(st.sampled_from([Product.CNC, Product.CNC, Product.MTF, Product.MIS])),
    )


FUNDS = st.none() | st.builds(Funds, available=AMOUNTS, used=AMOUNTS, collateral=AMOUNTS, cash=AMOUNTS)


@st.composite
def accounts(draw: st.DrawFn, *, rows: st.SearchStrategy[Position] | None = None) -> BrokerPortfolio:
    return account(
        draw(st.lists(holdings(), max_size=4)),
        draw(st.lists(rows if rows is not None else positions(), max_size=3)),
        draw(FUNDS),
        age=draw(st.integers(0, 600)),
    )


@st.composite
def books(draw: st.DrawFn, *, rows: st.SearchStrategy[Position] | None = None) -> list[Source]:
    """Up to four connections, every one with an answer; some of the answers stale."""
    return [
        source(
            slug,
            draw(accounts(rows=rows)),
            number=number,
            state=draw(st.sampled_from([SourceState.LIVE, SourceState.LIVE, SourceState.STALE])),
        )
        for number, slug in enumerate(draw(st.lists(st.sampled_from(registry.slugs()), min_size=1, max_size=4)))
    ]


@st.composite
def loans(draw: st.DrawFn) -> dict[str, BorrowedPrice]:
    """What another broker may tell of some shares: a price, a close, or both."""
    return {
        isin: lent(draw(UNKNOWABLE_PRICES), draw(UNKNOWABLE_PRICES), exchange=draw(CASH_EXCHANGES), by="groww")
        for isin in draw(st.lists(st.sampled_from(list(SHARES)), unique=True))
    }
