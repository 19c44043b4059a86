"""Rows of several brokers that are one contract, against the plainest way to find them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Contract, Exchange, OptionType, Position
from portfolio.domain import Source, TradeKind
from portfolio.lots import Trade
from portfolio.trades import grouped
from tests.portfolio.sources import account, position, source

SOURCES = [source("zerodha", account([])), source("upstox", account([]), number=1)]
CONTRACTS = [
    Contract(underlying="NIFTY", expiry=date(2026, 12, 29), strike=Decimal(strike), option_type=OptionType.CE)
    for strike in (24_000, 24_500, 25_000, 25_500)
]


@st.composite
def rows(draw: st.DrawFn) -> Trade:
    """Few names, so that rows meet; tokens and contracts go together as it happens, so that groups are joined late."""
    return trade(
        draw(st.sampled_from(SOURCES)),
        exchange=draw(st.sampled_from([Exchange.NFO, Exchange.NFO, Exchange.BFO])),
        symbol=draw(st.sampled_from("ABCD")),
        exchange_token=draw(st.none() | st.sampled_from("1234567")),
        contract=draw(st.none() | st.sampled_from(CONTRACTS)),
    )


def trade(of: Source, **facts: object) -> Trade:
    return Trade(source=of, position=position(1, **facts), kind=TradeKind.DERIVATIVE)  # type: ignore[arg-type]


def plainly(those: list[Trade]) -> list[list[Trade]]:
    """Each row against every group that there is."""
    groups: list[list[Trade]] = []
    bare = [each for each in those if not names(each)]
    for each in those:
        if each not in bare:
            same = [group for group in groups if any(names(each) & names(other) for other in group)]
            groups = [group for group in groups if group not in same]
            groups.append([one for group in same for one in group] + [each])
    found, alone = [list(group) for group in groups], dict[object, list[Trade]]()
    for each in bare:
        bearers = [group for group in found if symbol(each) in {symbol(other) for other in group}]
        if len(bearers) == 1:
            bearers[0].append(each)
        else:
            alone.setdefault((each.source.connection_id, symbol(each)), []).append(each)
    return found + list(alone.values())


def names(row: Trade) -> set[object]:
    at: Position = row.position
    return {(at.exchange, name) for name in (at.exchange_token, at.contract) if name}


def symbol(row: Trade) -> tuple[str, str]:
    return row.position.exchange, row.position.tradingsymbol


@given(st.lists(rows(), max_size=40))
def test_contracts_are_found_as_by_comparing_each_row_with_every_group(those: list[Trade]) -> None:
    assert grouped(those) == plainly(those)


def test_two_groups_are_one_as_soon_as_a_row_bears_both_their_names() -> None:
    by_token = trade(SOURCES[0], exchange=Exchange.NFO, exchange_token="1")
    by_contract = trade(SOURCES[1], exchange=Exchange.NFO, contract=CONTRACTS[0])
    by_both = trade(SOURCES[1], exchange=Exchange.NFO, exchange_token="1", contract=CONTRACTS[0])
    assert grouped([by_token, by_contract]) == [[by_token], [by_contract]]
    assert grouped([by_token, by_contract, by_both]) == [[by_token, by_contract, by_both]]
