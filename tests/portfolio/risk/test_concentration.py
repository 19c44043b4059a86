"""Weights, Herfindahl, and brokers as counterparties."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.domain import Product
from portfolio.risk.concentration import by_broker, by_issuer, by_sector, concentration, counterparties
from portfolio.risk.directory import Directory
from tests.portfolio.risk.made import book_of, contract, funds, held
from tests.portfolio.sources import INFY, RELIANCE, SBIN, holding, position, source

repeatable = settings(max_examples=100, deadline=None, derandomize=True)
AMOUNTS = st.dictionaries(
    st.text("ABCDEFGH", min_size=1, max_size=2), st.decimals("-999999", "999999", places=2).filter(bool), min_size=1
)
CLOSE = Decimal("1e-20")


@repeatable
@given(AMOUNTS)
def test_herfindahl_lies_between_all_alike_and_one_alone(amounts: dict[str, Decimal]) -> None:
    found = concentration(amounts)
    assert found.hhi is not None
    assert found.effective_number is not None
    assert 1 / Decimal(len(amounts)) - CLOSE <= found.hhi <= 1 + CLOSE
    assert 1 - CLOSE <= found.effective_number <= len(amounts) + Decimal("1e-15")
    assert abs(sum(weight.weight_ratio or 0 for weight in found.weights) - 1) < CLOSE
    assert found.top_pct == found.weights[0].weight_pct
    assert found.top_five_pct is not None
    assert found.top_pct is not None
    assert found.top_pct <= found.top_five_pct <= 100


@repeatable
@given(AMOUNTS, st.decimals("0.01", "1000", places=2))
def test_scale_and_side_are_nothing_to_it(amounts: dict[str, Decimal], scale: Decimal) -> None:
    other = concentration({key: -amount * scale for key, amount in amounts.items()})
    found = concentration(amounts)
    assert other.hhi is not None
    assert found.hhi is not None
    assert abs(other.hhi - found.hhi) < CLOSE


def test_of_nothing_there_is_no_figure() -> None:
    for amounts in ({}, {"A": Decimal(0)}):
        found = concentration(amounts)
        assert (found.total, found.hhi, found.effective_number) == (0, None, None)


def test_a_hedged_issuer_weighs_what_is_left_of_it() -> None:
    book = book_of(
        held(
            holding(RELIANCE, 500, last="1400", symbol="RELIANCE"), contract("RELIANCE26DECFUT", -500, last="1400"),
            holding(INFY, 10, last="1500"),
        ),
        directory=Directory(issuers={"RELIANCE": RELIANCE}),
    )  # fmt: skip
    assert {weight.key: weight.weight_pct for weight in by_issuer(book).weights} == {INFY: 100, RELIANCE: 0}


def test_sectors_and_brokers() -> None:
    book = book_of(
        held(holding(INFY, 10, last="100"), holding(SBIN, 20, last="100", symbol="SBIN")),
        held(holding(INFY, 10, last="100"), slug="upstox"),
        directory=Directory(sectors={INFY: "IT"}),
    )
    assert {weight.key: weight.weight_pct for weight in by_sector(book).weights} == {"IT": 50, "": 50}
    assert {weight.name: weight.weight_pct for weight in by_broker(book).weights} == {"Zerodha": 75, "Upstox": 25}


class TestCounterparties:
    def test_free_shares_in_the_own_demat_are_no_risk_of_the_broker(self) -> None:
        [stake] = counterparties(book_of(held(holding(INFY, 1000, last="110"))))
        assert (stake.total, stake.cash, stake.pledged, stake.on_the_way) == (100_000, 100_000, 0, 0)
        assert (stake.weight_pct, stake.unknown) == (100, ())
        assert stake.equity_pct is not None
        assert round(stake.equity_pct, 2) == Decimal("47.62")  # of 210,000

    def test_what_is_pledged_funded_or_on_its_way_is(self) -> None:
        lines = [
            holding(INFY, 10, last="110", t1_quantity=Decimal(2), pledged_quantity=Decimal(5)),
            holding(INFY, 40, last="110", product=Product.MTF, funded_amount=Decimal(3000)),
            position(3, symbol="INFY", isin=INFY, last="110"),
        ]
        [stake] = counterparties(book_of(held(*lines)))
        # 2 on the way from before; 3 bought today for 300
        assert (stake.on_the_way, stake.pledged) == (220 + 330 - 300, 550 + 4400 - 3000)
        assert stake.total == 100_000 + 250 + 1950

    def test_its_accounts_are_one_broker(self) -> None:
        book = book_of(held(money=funds(10)), held(number=2, money=funds(20)), held(slug="upstox", money=funds(90)))
        assert [(stake.broker_type, stake.total, stake.weight_pct) for stake in counterparties(book)] == [
            ("upstox", 90, 75),
            ("zerodha", 30, 25),
        ]

    def test_what_is_unknown_is_said_and_no_zero(self) -> None:
        missing, priceless = (
            source("upstox", None),
            held(
                holding(INFY, 1, last=None, pledged_quantity=Decimal(1)),
                holding(SBIN, 5, symbol="SBIN", last="100", product=Product.MTF),
            ),
        )
        stakes = {stake.broker_type: stake for stake in counterparties(book_of(missing, priceless))}
        assert (stakes["upstox"].total, stakes["upstox"].unknown) == (None, ("account",))
        assert stakes["zerodha"].unknown == ("price of INFY", "loan for SBIN")
        assert stakes["zerodha"].total == 100_500

    def test_who_is_owed_by_its_customer_stands_for_nothing(self) -> None:
        [stake] = counterparties(book_of(held(money=funds(-500))))
        assert (stake.total, stake.cash) == (0, -500)
