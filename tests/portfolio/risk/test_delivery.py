"""What expiry asks of each account: shares, cash, and what of them is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Exchange, OptionType, Segment
from brokers.wire import IST
from portfolio.domain import SourceState
from portfolio.risk.delivery import Outcome, deliveries
from portfolio.risk.words import Purse, RiskBook, RiskClass
from tests.portfolio.risk.risk_lines import EXPIRY, INFY, NOW, RELIANCE, future, option, share
from tests.portfolio.risk.test_expiry import DAYS

CE, PE = OptionType.CE, OptionType.PE
E_MINUS_4 = datetime(2026, 12, 22, 9, 0, tzinfo=IST)


def purse(broker="zerodha", cash=None, state=SourceState.LIVE):
    return Purse(
        connection_id=f"{broker}-1", broker_type=broker, broker_name=broker, display_name=broker, state=state,
        as_of=NOW, cash=None if cash is None else Decimal(cash),
    )  # fmt: skip


def book(*lines, purses=(), now=E_MINUS_4):
    return RiskBook(now=now, lines=lines, purses=tuple(purses))


def told(*lines, purses=(), now=E_MINUS_4, cash_settled=()):
    return deliveries(book(*lines, purses=purses, now=now), trading_days=DAYS, cash_settled=cash_settled)


def only(line, **more):
    (obligation,) = told(line, **more).obligations
    return obligation


@pytest.mark.parametrize(
    ("line", "outcome", "received", "paid_in"),
    [
        (future(units=500, price=1410), Outcome.RECEIVE, 500, -705_000),
        (future(units=-500, price=1410), Outcome.GIVE, -500, 705_000),
        (option(1300, CE, 500), Outcome.RECEIVE, 500, -650_000),
        (option(1300, CE, -500), Outcome.GIVE, -500, 650_000),
        (option(1500, PE, 500), Outcome.GIVE, -500, 750_000),
        (option(1500, PE, -500), Outcome.RECEIVE, 500, -750_000),
        (option(1500, CE, 500), Outcome.WORTHLESS, 0, 0),
        (option(1300, PE, -500), Outcome.WORTHLESS, 0, 0),
        (option(1400, CE, -500), Outcome.WORTHLESS, 0, 0),
        (option(1300, CE, 500, spot=None), Outcome.UNKNOWN, None, None),
        (option(1300, None, 500), Outcome.UNKNOWN, None, None),
        (future(units=500, price=None), Outcome.RECEIVE, 500, None),
        (future(units=500, price=1410, underlying_price=Decimal(1400)), Outcome.RECEIVE, 500, -700_000),
        (future(units=500, risk_class=RiskClass.OTHER), Outcome.UNKNOWN, None, None),
    ],
)
def test_what_comes_of_a_contract_on_a_share(line, outcome, received, paid_in) -> None:
    obligation = only(line)
    assert (obligation.outcome, obligation.received, obligation.paid_in) == (outcome, received, paid_in)
    assert (obligation.days_left, obligation.is_over) == (4, False)


def test_how_far_in_the_money_it_is() -> None:
    assert (only(option(1250, CE)).in_the_money, only(option(1250, CE)).in_the_money_pct) == (150, 12)
    assert (only(option(1250, PE)).in_the_money, only(option(1250, PE)).in_the_money_pct) == (-150, -12)
    assert only(future()).in_the_money is None
    assert only(option(1250, CE, spot=None)).in_the_money is None


def on_index(line):
    return replace(line, issuer="NIFTY", underlying="NIFTY", risk_class=RiskClass.INDEX)


def on_commodity(line, underlying="GOLD", expiry=date(2026, 12, 30)):
    return replace(
        line, issuer=underlying, underlying=underlying, risk_class=RiskClass.COMMODITY, exchange=Exchange.MCX,
        segment=Segment.COMMODITY, expiry=expiry,
    )  # fmt: skip


def test_index_and_currency_end_in_cash() -> None:
    call = only(on_index(option(26000, CE, -75, spot=26200)))
    assert (call.outcome, call.received, call.paid_in) == (Outcome.CASH, 0, -15_000)
    assert (only(on_index(future())).outcome, only(on_index(future())).paid_in) == (Outcome.CASH, 0)
    assert only(replace(future(), risk_class=RiskClass.CURRENCY, exchange=Exchange.CDS)).outcome is Outcome.CASH


def test_options_on_commodities_become_their_future_which_may_be_delivered() -> None:
    put = only(on_commodity(option(130_000, PE, 100, spot=125_000)))
    assert (put.outcome, put.received, put.paid_in) == (Outcome.BECOMES_FUTURE, -100, 0)
    gold = only(on_commodity(future(units=100, price=125_000)))
    assert (gold.outcome, gold.received, gold.paid_in, gold.days_left) == (Outcome.MAY_DELIVER, 100, -12_500_000, 5)
    crude = only(on_commodity(future(units=100, price=5600), "CRUDEOIL"), cash_settled={"CRUDEOIL"})
    assert (crude.outcome, crude.paid_in) == (Outcome.CASH, 0)


@pytest.mark.parametrize(
    ("now", "listed"),
    [
        ("2026-12-21 16:00", False),  # E-5
        ("2026-12-22 00:00", True),  # E-4
        ("2026-12-29 09:15", True),
        ("2026-12-29 18:00", True),
        ("2026-12-30 09:00", True),  # delivery comes later; its broker still shows it
    ],
)
def test_is_listed_from_four_trading_days_before_until_its_row_is_gone(now, listed) -> None:
    when = datetime.fromisoformat(now).replace(tzinfo=IST)
    assert bool(told(future(), now=when).obligations) is listed


def test_says_when_a_contract_has_ended() -> None:
    assert not only(future(), now=datetime(2026, 12, 29, 15, 39, tzinfo=IST)).is_over
    assert only(future(), now=datetime(2026, 12, 29, 15, 40, tzinfo=IST)).is_over


def test_what_has_ended_still_asks_for_its_shares() -> None:
    after = told(option(1300, CE, -500), now=datetime(2026, 12, 31, 9, 0, tzinfo=IST))
    (obligation,) = after.obligations
    assert (obligation.is_over, obligation.days_left, obligation.outcome) == (True, 0, Outcome.GIVE)
    assert after.shares[0].shortfall == 500


def test_flat_contracts_and_shares_are_no_obligation() -> None:
    assert told(share(), future(units=0)).obligations == ()


def test_shares_at_another_broker_do_not_help() -> None:
    short = option(1300, CE, -500, broker="upstox")
    owned = share(units=900, broker="zerodha")
    (need,) = told(short, owned).shares
    assert (need.broker_type, need.to_give, need.free, need.shortfall) == ("upstox", 500, 0, 500)
    (need,) = told(short, owned, share(units=320, broker="upstox")).shares
    assert (need.free, need.shortfall) == (320, 180)


def test_only_settled_shares_that_are_not_pledged_count() -> None:
    owned = share(units=700, settled=Decimal(100), t1=Decimal(400), pledged=Decimal(200))
    (need,) = told(option(1300, CE, -500), owned).shares
    assert (need.free, need.t1, need.pledged, need.shortfall) == (100, 400, 200, 400)


def test_shares_sold_short_within_the_day_are_none_that_are_owned() -> None:
    (need,) = told(option(1300, CE, -500), share(units=500, is_intraday=True)).shares
    assert need.shortfall == 500


def test_what_is_received_is_given_on() -> None:
    """Long future and short call in the money: nothing is left to give, and the strike pays most of the future."""
    both = told(future(units=500, price=1410), option(1300, CE, -500), purses=[purse(cash=50_000)])
    assert both.shares == ()
    (cash,) = both.cash
    assert (cash.to_pay, cash.cash, cash.shortfall) == (55_000, 50_000, 5_000)


def test_an_earlier_expiry_takes_its_shares_first() -> None:
    lines = (
        share(units=600),
        replace(option(1300, CE, -500), expiry=date(2026, 12, 24), instrument="earlier"),
        option(1300, CE, -500),
    )
    assert [(need.expiry.day, need.free, need.shortfall) for need in told(*lines).shares] == [
        (24, 600, 0),
        (29, 100, 400),
    ]


def test_cash_that_another_delivery_brings_is_not_counted() -> None:
    lines = (option(1300, CE, 500), option(1500, PE, 100, spot=1400, issuer=INFY))
    (need,) = told(*lines, purses=[purse(cash=100_000)]).cash
    assert (need.to_pay, need.shortfall, need.unknown) == (650_000, 550_000, 0)


def test_unknown_cash_and_unknown_ends_are_said() -> None:
    (need,) = told(option(1300, CE, 500), option(1200, CE, 500, spot=None), purses=[purse()]).cash
    assert (need.to_pay, need.cash, need.shortfall, need.unknown) == (650_000, None, None, 1)
    (need,) = told(option(1200, CE, 500, spot=None)).cash
    assert (need.to_pay, need.unknown) == (0, 1)


def test_accounts_that_did_not_answer_are_named() -> None:
    silent = purse("groww", state=SourceState.MISSING)
    assert told(future(), purses=[purse(), silent]).missing == ("groww-1",)


@given(
    st.integers(-1000, 1000).filter(bool), st.integers(1000, 2000), st.sampled_from(OptionType), st.integers(1000, 2000)
)
def test_what_is_given_and_what_is_paid_mirror_each_other(units, strike, kind, spot) -> None:
    """Two accounts on the two sides of one contract: what leaves one reaches the other."""
    one, other = (only(option(strike, kind, sign * units, spot=spot)) for sign in (1, -1))
    assert one.received == -other.received
    assert one.paid_in == -other.paid_in
    assert one.received == 0 or one.received * one.paid_in < 0


def test_sorted_by_expiry() -> None:
    early = replace(future(INFY), expiry=date(2026, 12, 24))
    assert [each.expiry for each in told(future(), early).obligations] == [date(2026, 12, 24), EXPIRY]


def test_another_share_is_none_of_it() -> None:
    (need,) = told(option(1300, CE, -500), share(INFY, 900)).shares
    assert (need.issuer, need.free) == (RELIANCE, 0)
