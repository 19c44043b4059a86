"""Accounts with derivatives, for tests of the risk book, and whole accounts split over brokers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from brokers import registry
from brokers.domain import Contract, Exchange, Funds, Holding, OptionType, Position, Product
from portfolio.domain import Source
from portfolio.risk.book import risk_book
from portfolio.risk.words import Line, RiskBook
from tests.portfolio.sources import INFY, NOW, RELIANCE, SBIN, Number, account, holding, position, source
from tests.portfolio.strategies import PRICES, positions

DECEMBER = date(2026, 12, 29)
CONTRACTS = {
    "NIFTY26DECFUT": Contract(underlying="NIFTY", expiry=DECEMBER),
    "NIFTY26DEC27000CE": Contract(
        underlying="NIFTY", expiry=DECEMBER, strike=Decimal(27000), option_type=OptionType.CE
    ),
    "NIFTY26DEC25000PE": Contract(
        underlying="NIFTY", expiry=DECEMBER, strike=Decimal(25000), option_type=OptionType.PE
    ),
    "RELIANCE26DECFUT": Contract(underlying="RELIANCE", expiry=DECEMBER),
    "RELIANCE26DEC1500CE": Contract(
        underlying="RELIANCE", expiry=DECEMBER, strike=Decimal(1500), option_type=OptionType.CE
    ),
}
SYMBOLS = {INFY: "INFY", SBIN: "SBIN", RELIANCE: "RELIANCE"}


def contract(symbol: str, quantity: Number, *, last: Number | None = "100", **changed: Any) -> Position:
    """A derivative carried over at its close of 95, unless said otherwise."""
    facts: dict[str, Any] = {
        "overnight_quantity": Decimal(quantity),
        "day_buy_quantity": Decimal(0),
        "day_buy_value": Decimal(0),
        "day_sell_quantity": Decimal(0),
        "day_sell_value": Decimal(0),
        "contract": CONTRACTS.get(symbol),
        "close": "95",
        "exchange": Exchange.NFO,
        "product": Product.NRML,
    }
    return position(quantity, symbol=symbol, last=last, price="90", **{**facts, **changed})


def funds(cash: Number = 100_000, *, available: Number = 60_000, used: Number = 40_000, **more: Any) -> Funds:
    return Funds(
        available=Decimal(available), used=Decimal(used), cash=Decimal(cash), collateral=more.get("collateral")
    )


def book_of(*sources: Source, **more: Any) -> RiskBook:
    return risk_book(sources, now=NOW, **more)


def lines_of(book: RiskBook, instrument: str) -> list[Line]:
    return [line for line in book.lines if line.instrument == instrument]


def held(*lines: Holding | Position, slug: str = "zerodha", number: int = 1, money: Funds | None = None) -> Source:
    """One live account with these holdings and positions."""
    holdings = [line for line in lines if isinstance(line, Holding)]
    rows = [line for line in lines if isinstance(line, Position)]
    return source(slug, account(holdings, rows, money if money is not None else funds()), number=number)


# --- books nobody thought of ------------------------------------------------------------------------------------------
@st.composite
def contracts(draw: st.DrawFn, quantities: st.SearchStrategy[int] | None = None) -> Position:
    symbol = draw(st.sampled_from(list(CONTRACTS)))
    return contract(
        symbol,
        draw(quantities if quantities is not None else st.integers(-500, 500)),
        last=draw(st.none() | PRICES),
        contract=draw(st.sampled_from([CONTRACTS[symbol], None])),
        exchange_token=draw(st.sampled_from([str(50_000 + list(CONTRACTS).index(symbol)), None])),
    )


ANY_ROWS = st.one_of(positions(), contracts())


@st.composite
def whole_accounts(draw: st.DrawFn) -> list[Holding | Position]:
    """Lines of one account, all priced, each share and contract at one price."""
    lines: list[Holding | Position] = []
    for isin in draw(st.lists(st.sampled_from(list(SYMBOLS)), min_size=1, unique=True)):
        price = draw(PRICES)
        quantity, pledged = draw(st.integers(1, 900)), draw(st.integers(0, 300))
        lines.append(holding(isin, quantity, last=price, symbol=SYMBOLS[isin], pledged_quantity=Decimal(pledged)))
        short = draw(st.integers(0, 300))
        if short:
            lines.append(position(-short, last=price, isin=isin, symbol=SYMBOLS[isin], product=Product.MIS))
    for symbol in draw(st.lists(st.sampled_from(list(CONTRACTS)), unique=True)):
        quantity = draw(st.integers(-900, 900).filter(bool))
        token = str(50_000 + list(CONTRACTS).index(symbol))
        lines.append(contract(symbol, quantity, last=draw(PRICES), exchange_token=token))
    return lines


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[Source], list[Source]]:
    """One account, and the very same holdings and positions spread over up to three brokers."""
    lines = draw(whole_accounts())
    slugs = draw(st.lists(st.sampled_from(registry.slugs()), min_size=2, max_size=3, unique=True))
    parts: list[list[Holding | Position]] = [[] for _ in slugs]
    for line in lines:
        for part, share in zip(parts, draw(shares(line, len(slugs))), strict=True):
            if share is not None:
                part.append(share)
    return [held(*lines)], [held(*part, slug=slug) for slug, part in zip(slugs, parts, strict=True)]


@st.composite
def shares(draw: st.DrawFn, line: Holding | Position, count: int) -> Sequence[Holding | Position | None]:
    """A line in `count` parts that add up to it; a short may be made of a larger short and a long."""
    if isinstance(line, Holding):
        settled = draw(parts_of(int(line.settled_quantity), count))
        pledged = draw(parts_of(int(line.pledged_quantity), count))
        return [
            replace(line, settled_quantity=Decimal(free), pledged_quantity=Decimal(given)) if free or given else None
            for free, given in zip(settled, pledged, strict=True)
        ]
    offset = draw(st.integers(0, 200))
    quantities = draw(parts_of(int(line.quantity), count))
    quantities = [quantities[0] + offset, quantities[1] - offset, *quantities[2:]]
    return [_resized(line, quantity) if quantity else None for quantity in quantities]


def parts_of(whole: int, count: int) -> st.SearchStrategy[list[int]]:
    sign, size = (1 if whole >= 0 else -1), abs(whole)
    cuts = st.lists(st.integers(0, size), min_size=count - 1, max_size=count - 1).map(sorted)
    return cuts.map(lambda at: [sign * (high - low) for low, high in zip([0, *at], [*at, size], strict=True)])


def _resized(line: Position, quantity: int) -> Position:
    carried = Decimal(quantity) if line.overnight_quantity else Decimal(0)
    return replace(line, quantity=Decimal(quantity), overnight_quantity=carried)


def deltas_of(book: RiskBook) -> dict[str, Decimal]:
    """Some delta for each option, by what it is and not by who holds it."""
    return {
        line.instrument: Decimal("0.4") if line.option_type is OptionType.CE else Decimal("-0.3")
        for line in book.lines
        if line.option_type is not None
    }
