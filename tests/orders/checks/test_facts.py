"""What the checks are judged by, out of rows and the brokers' last answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import User
from brokers.domain import BrokerPortfolio, Exchange, Funds, Holding
from orders.facts import facts_from, plain
from orders.risk_book import drawdown_pct, valued
from portfolio.domain import Source, SourceState
from portfolio.risk_models import EquityDay
from tests.orders.checks.samples import facts, limit, risk, standing
from tests.orders.conftest import NOW


def source(name: str, *holdings: Holding, cash: int = 100_000, state: SourceState = SourceState.LIVE) -> Source:
    money = Decimal(cash)
    book = BrokerPortfolio(
        as_of=NOW, holdings=holdings, funds=Funds(available=money, used=Decimal(0), collateral=None, cash=money)
    )
    return Source(
        connection_id=name,
        broker_type=name,
        broker_name=name.title(),
        display_name=name.title(),
        rank=0,
        state=state,
        portfolio=None if state is SourceState.MISSING else book,
        funds_as_of=NOW,
    )


def shares(isin: str, quantity: int, price: int | None, close: int = 100) -> Holding:
    return Holding(
        exchange=Exchange.NSE,
        tradingsymbol=isin[-4:],
        isin=isin,
        broker_token=isin,
        settled_quantity=Decimal(quantity),
        average_price=Decimal(90),
        last_price=None if price is None else Decimal(price),
        close_price=Decimal(close),
    )


INFY, OTHER = "INE009A01021", "INE002A01018"


def test_the_book_is_netted_and_added_up_over_accounts(alice: User) -> None:
    found = valued(alice, [source("zerodha", shares(INFY, 100, 98)), source("upstox", shares(INFY, 50, 98),
                                                                            shares(OTHER, 10, 100))], NOW)  # fmt: skip
    of = found.around(INFY, INFY, "")
    assert (of.instrument, of.issuer, of.gross, of.issuers) == (14_700, 14_700, 15_700, 15_700)
    assert (of.equity, of.day_loss, of.complete) == (215_700, 300, True)
    assert of.day_loss_pct is not None
    assert round(of.day_loss_pct, 4) == Decimal("0.1389")  # of the 2,16,000 that the day began with
    assert found.around("INE040A01034", "INE040A01034", "").instrument == 0
    assert found.accounts()["zerodha"].available == 100_000


@pytest.mark.parametrize("state", [SourceState.MISSING, SourceState.STALE])
def test_a_part_is_judged_as_a_part(alice: User, state: SourceState) -> None:
    found = valued(alice, [source("zerodha", shares(INFY, 100, 98)), source("upstox", state=state)], NOW)
    of = found.around(INFY, INFY, "")
    assert not of.complete
    assert (of.instrument, of.day_loss) == (9800, 200)
    assert (of.whole, of.day_known) == (state is SourceState.STALE, state is SourceState.STALE)


@pytest.mark.parametrize(("minutes", "known"), [(15, True), (16, False), (24 * 60, False)])
def test_an_account_that_does_not_answer_tells_of_its_day_for_a_while(alice: User, minutes: int, known: bool) -> None:
    away = source("upstox", shares(OTHER, 10, 98), state=SourceState.STALE)
    assert away.portfolio is not None
    old = replace(away, portfolio=replace(away.portfolio, as_of=NOW - timedelta(minutes=minutes)))
    assert valued(alice, [source("zerodha", shares(INFY, 100, 98)), old], NOW).around(INFY, INFY, "").day_known is known


def test_what_has_no_price_is_unknown_where_it_is_asked_for(alice: User) -> None:
    found = valued(alice, [source("zerodha", shares(INFY, 100, None), shares(OTHER, 10, 100))], NOW)
    assert found.around(INFY, INFY, "").instrument is None
    assert found.around(OTHER, OTHER, "").instrument == 1000
    of = found.around(OTHER, OTHER, "")
    assert (of.complete, of.day_known, of.day_whole) == (False, True, False)
    # Without its price the book is no smaller.
    assert (of.gross, of.issuers) == (None, 1000)


def test_a_day_known_in_part_is_that_of_all_accounts_together(alice: User) -> None:
    """Groww tells no price of its own: what it holds moves at Zerodha's, though another of its shares has none."""
    groww = source("groww", shares(INFY, 100, None), shares(OTHER, 10, None))
    of = valued(alice, [source("zerodha", shares(INFY, 50, 98)), groww], NOW).around(INFY, INFY, "")
    assert (of.day_loss, of.day_whole) == (300, False)


def test_a_drawdown_is_of_the_unit_value_and_no_withdrawal(alice: User) -> None:
    assert drawdown_pct(alice, Decimal(100), NOW) == 0
    assert drawdown_pct(alice, None, NOW) is None
    for days, equity, flow in ((3, 1000, 0), (2, 1200, 0), (1, 600, -600)):
        EquityDay.objects.create(
            user=alice,
            day=NOW.date() - timedelta(days=days),
            equity=Decimal(equity),
            cash_flow=Decimal(flow),
            complete=True,
            as_of=NOW,
        )
    assert drawdown_pct(alice, Decimal(540), NOW) == 10
    assert drawdown_pct(alice, Decimal(660), NOW) == 0


def test_all_of_it_survives_json() -> None:
    of = facts(
        of_risk={
            "limits": (limit("ISSUER_PCT", 20, warn=10, states={INFY: "WARN"}),),  # type: ignore[arg-type]
            "orders": (standing("BUY", 5), standing("SELL", 5, adds=None)),  # type: ignore[arg-type]
        }
    )
    assert plain(facts_from(plain(of))) == plain(of)
    assert facts_from(plain(facts(risk=None))).risk is None
    assert facts_from(plain(of)).risk.book == risk().book  # type: ignore[union-attr]
