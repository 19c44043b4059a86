"""Stress: scenarios over whole books, a broker out for a day, a share locked at its circuit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Exchange, OptionType, Segment
from portfolio.risk.scenarios import GRID, SHIPPED, Scenario
from portfolio.risk.stress import ONE_DAY, circuit_locks, outages, stress
from portfolio.risk.valuing import valued
from portfolio.risk.words import RiskClass
from tests.portfolio.risk.risk_lines import ASSUMED, INFY, NOW, RELIANCE, future, option, share

FALL = Scenario(code="fall", title="Fall", index=Decimal("-0.10"))


def arrays(*lines, assumptions=ASSUMED):
    return valued(lines, assumptions, now=NOW).arrays


def only(book, scenario):
    (result,) = stress(book, [scenario])
    return result


def currency(units=1000, price="86.5"):
    return future(
        "USDINR", units, price, exchange=Exchange.CDS, segment=Segment.CURRENCY, risk_class=RiskClass.CURRENCY
    )


def commodity(underlying, units=100, price=6000):
    return future(
        underlying, units, price, exchange=Exchange.MCX, segment=Segment.COMMODITY, risk_class=RiskClass.COMMODITY
    )


def test_shares_move_by_beta_and_parts_sum_to_the_whole() -> None:
    book = arrays(share(RELIANCE, 500, 1400), share(INFY, 300, 1500, "upstox"), share(RELIANCE, 100, 1400, "upstox"))
    result = only(book, FALL)
    assert result.by_broker == {"zerodha": Decimal("-77000.00"), "upstox": Decimal("-49150.00")}
    assert result.by_issuer == {RELIANCE: Decimal("-92400.00"), INFY: Decimal("-33750.00")}
    assert result.pnl == Decimal("-126150.00")
    assert (result.left_out.lines, result.left_out.value, result.left_out.unpriced) == (0, 0, 0)


def test_each_driver_moves_its_own_alone() -> None:
    bond = share("INE000D01010", 10, 1000, risk_class=RiskClass.DEBT)
    book = arrays(
        share(), currency(), commodity("CRUDEOILM"), commodity("GOLD"), bond,
        assumptions=replace(ASSUMED, durations={"INE000D01010": Decimal(4)}),
    )  # fmt: skip
    told = {each.scenario.code: each.by_issuer for each in stress(book, SHIPPED)}
    assert set(told["index_m10_vol_p0"]) == {RELIANCE}
    assert told["rupee_weaker_p5"] == {
        "USDINR": Decimal("4325.00"), "CRUDEOILM": Decimal("30000.00"), "GOLD": Decimal("30000.00"),
    }  # fmt: skip
    assert told["crude_m15"] == {"CRUDEOILM": Decimal("-90000.00")}
    assert told["rates_p100bp"]["INE000D01010"] == Decimal("-400.00")
    assert told["rates_p100bp"]["USDINR"] > 0  # by its carry


def test_an_own_move_stands_in_for_the_index() -> None:
    book = arrays(share(RELIANCE, 100, 1400), share(INFY, 100, 1500))
    result = only(book, replace(FALL, issuers={INFY: Decimal("0.02"), "nobody": Decimal(-1)}))
    assert result.by_issuer == {RELIANCE: Decimal("-15400.00"), INFY: Decimal("3000.00")}


def test_issuers_that_nobody_holds_are_named() -> None:
    only_named = Scenario(code="typo", title="Typo", issuers={"ine1": Decimal("-0.5"), INFY: Decimal("-0.5")})
    result = only(arrays(share(INFY, 100, 1500)), only_named)
    assert (result.pnl, result.unmatched) == (Decimal("-75000.00"), ("ine1",))
    assert only(arrays(share(INFY)), FALL).unmatched == ()


def test_of_single_companies_the_worst_is_told_with_all_that_stands_on_it() -> None:
    book = arrays(
        share(RELIANCE, 100, 1400), future(RELIANCE, -500, 1410, "upstox"), share(INFY, 100, 1500),
        option("24000", units=75, price=2500, spot=26000, issuer="NIFTY", factor="NIFTY", risk_class=RiskClass.INDEX),
    )  # fmt: skip
    result = only(book, next(each for each in SHIPPED if each.each_company))
    assert (result.worst_company, result.pnl) == (INFY, Decimal("-30000.00"))
    assert result.by_broker == {"zerodha": Decimal("-30000.00"), "upstox": Decimal("0.00")}
    assert result.by_issuer == {INFY: Decimal("-30000.00")}


NAMELESS = "zerodha-1|NSE|NEWCO"


def test_a_share_without_an_isin_falls_as_any_company_does() -> None:
    book = arrays(share(RELIANCE, 10, 1000), share(NAMELESS, 100, 1000, risk_class=RiskClass.OTHER))
    result = only(book, next(each for each in SHIPPED if each.each_company))
    assert (result.worst_company, result.pnl) == (NAMELESS, Decimal("-20000.00"))
    assert circuit_locks(book)[0].issuer == NAMELESS


def test_a_company_without_a_beta_can_be_the_worst_though_the_index_moves_too() -> None:
    book = arrays(share(RELIANCE, 10, 1000), share("INE111A01025", 1000, 1000))
    result = only(book, replace(FALL, each_company=Decimal("-0.20")))
    assert (result.worst_company, result.pnl) == ("INE111A01025", Decimal("-201100.00"))
    assert result.left_out.lines == 0


def test_without_a_company_no_single_one_can_fall() -> None:
    result = only(arrays(currency()), next(each for each in SHIPPED if each.each_company))
    assert (result.worst_company, result.pnl) == (None, Decimal(0))


def test_what_cannot_be_valued_is_left_out_and_said() -> None:
    book = arrays(
        share(RELIANCE, 100, 1400),
        share("INE111A01025", 10, 250),  # no beta
        share("INE222A01023", 10, None),  # no price
        option(1400, price=None, broker="upstox"),  # no volatility, nor a neighbour
    )
    result = only(book, FALL)
    assert result.pnl == Decimal("-15400.00")
    assert result.by_broker == {"zerodha": Decimal("-15400.00"), "upstox": None}
    assert (result.left_out.lines, result.left_out.value, result.left_out.unpriced) == (3, Decimal("2500.00"), 2)
    assert only(book, replace(FALL, index=Decimal(0), crude=Decimal("0.1"))).left_out.lines == 2  # beta matters not


def test_a_contract_whose_day_is_over_is_left_out_and_said() -> None:
    ended = future(RELIANCE, -100, 1000, expiry=date(2026, 11, 25))
    result = only(arrays(share(RELIANCE, 100, 1000), ended), FALL)
    assert (result.pnl, result.left_out.lines, result.left_out.unpriced) == (Decimal("-11000.00"), 1, 1)


def test_a_fund_whose_duration_is_told_moves_by_the_rate() -> None:
    gilt, other = "INF000A01011", "INF000A01012"
    funds = [share(isin, 100, 1000, risk_class=RiskClass.FUND) for isin in (gilt, other)]
    book = arrays(*funds, assumptions=replace(ASSUMED, durations={gilt: Decimal(8)}, betas={other: Decimal(1)}))
    told = {each.scenario.code: each for each in stress(book, SHIPPED)}
    assert told["rates_p100bp"].by_issuer == {gilt: Decimal("-8000.00")}
    assert told["index_m10_vol_p0"].by_issuer == {other: Decimal("-10000.00")}


def test_where_nothing_can_be_valued_the_result_is_unknown() -> None:
    result = only(arrays(share(price=None)), FALL)
    assert (result.pnl, result.by_broker, result.by_issuer) == (None, {"zerodha": None}, {})


def test_an_empty_book_loses_nothing() -> None:
    assert [each.pnl for each in stress(arrays(), SHIPPED)] == [Decimal(0)] * len(SHIPPED)
    assert stress(arrays(share()), []) == ()
    assert (outages(arrays()), circuit_locks(arrays())) == ((), ())


def books():
    """Shares, futures and options of two issuers at three brokers, long and short, some of them without a price."""
    brokers, issuers, units = (
        st.sampled_from(["zerodha", "upstox", "fyers"]),
        st.sampled_from([RELIANCE, INFY]),
        st.integers(-500, 500),
    )
    prices = st.none() | st.integers(1000, 2000)
    lines = st.one_of(
        st.builds(share, issuers, units, prices, brokers),
        st.builds(future, issuers, units, prices, brokers),
        st.builds(
            option, st.integers(1000, 2000), st.sampled_from(OptionType), units, st.none() | st.integers(5, 300),
            st.just(1400), issuers, brokers,
        ),
    )  # fmt: skip
    return st.lists(lines, max_size=12)


@given(books())
def test_brokers_sum_to_the_whole_and_issuers_nearly(lines) -> None:
    for result in stress(arrays(*lines), SHIPPED):
        if result.pnl is None:
            assert all(part is None for part in result.by_broker.values())
            continue
        assert sum(part for part in result.by_broker.values() if part is not None) == result.pnl
        assert sum(result.by_issuer.values()) == pytest.approx(result.pnl, abs=Decimal("0.05"))


@given(books())
def test_where_nothing_moves_nothing_is_gained(lines) -> None:
    result = only(arrays(*lines), Scenario(code="still", title="Still"))
    assert result.pnl in (None, 0)
    assert result.by_issuer == {}


@given(books(), st.integers(2, 4))
def test_who_holds_a_position_does_not_matter_to_the_whole(lines, parts) -> None:
    """Every line in so many parts, each at a broker of its own."""
    split = [
        replace(line, units=line.units / parts, broker_type=f"{line.broker_type}-{part}")
        for line in lines
        for part in range(parts)
    ]
    for one, many in zip(stress(arrays(*lines), SHIPPED), stress(arrays(*split), SHIPPED), strict=True):
        assert (one.pnl is None) == (many.pnl is None)
        if one.pnl is not None:
            assert many.pnl == pytest.approx(one.pnl, abs=Decimal("0.2"))
        assert many.left_out.lines == one.left_out.lines * parts


@given(st.integers(1, 500), st.integers(1000, 2000))
def test_the_further_shares_fall_the_more_a_holder_loses(units, price) -> None:
    by_index = {each.scenario.index: each.pnl for each in stress(arrays(share(RELIANCE, units, price)), GRID)}
    ordered = [by_index[index] for index in sorted(by_index)]
    assert ordered == sorted(ordered)


def test_a_broker_that_is_out_leaves_unhedged_what_no_other_offsets() -> None:
    """Long 1,000 at one, short 400 at another in the same share; the third holds something else."""
    book = arrays(
        share(RELIANCE, 1000, 1400), future(RELIANCE, -400, 1400, "upstox"), share(INFY, 100, 1500, "fyers")
    )  # fmt: skip
    told = {each.broker: each for each in outages(book)}
    long, short, other = told["zerodha"], told["upstox"], told["fyers"]
    assert long.scenario.startswith("index_m10")
    assert (long.frozen_loss, long.offset, long.unhedgeable_loss) == (154_000, Decimal("61600.00"), Decimal("92400.00"))
    assert short.scenario.startswith("index_p10")
    assert (short.frozen_loss, short.offset, short.unhedgeable_loss) == (61_600, 61_600, 0)
    assert (other.offset, other.unhedgeable_loss) == (0, Decimal("11250.00"))
    assert [each.broker for each in outages(book)] == ["zerodha", "fyers", "upstox"]


def test_a_broker_is_frozen_for_a_day_no_index_falls_further_on() -> None:
    assert {abs(each.index) for each in ONE_DAY} == {Decimal("0.05"), Decimal("0.10")}


def test_an_outage_says_what_it_could_not_value() -> None:
    (told,) = outages(arrays(share(), share("INE111A01025", 10, 250)))
    assert (told.left_out.lines, told.left_out.value) == (1, Decimal("2500.00"))


@given(books())
def test_an_outage_never_gains_and_never_loses_more_than_is_frozen(lines) -> None:
    for each in outages(arrays(*lines)):
        assert 0 <= each.unhedgeable_loss <= max(each.frozen_loss, Decimal(0))


def test_a_locked_share_falls_by_its_band_day_after_day_and_the_widest_where_it_is_not_known() -> None:
    book = arrays(share(RELIANCE, 100, 1000), share(INFY, 100, 1000), currency())
    reliance, infy = circuit_locks(book, {INFY: Decimal("0.05")})
    assert (reliance.issuer, reliance.move, reliance.loss, reliance.band_known) == (
        RELIANCE, Decimal("-0.36"), Decimal("36000.00"), False,
    )  # fmt: skip
    assert (infy.issuer, infy.move, infy.loss, infy.band_known) == (INFY, Decimal("-0.0975"), Decimal("9750.00"), True)


def test_a_lock_counts_a_companys_derivatives_and_what_it_could_not_value() -> None:
    hedged = arrays(share(RELIANCE, 500, 1400), future(RELIANCE, -500, 1400), share(INFY, 1, None))
    told = {each.issuer: each for each in circuit_locks(hedged)}
    assert told[RELIANCE].loss == 0
    assert (told[INFY].loss, told[INFY].left_out.unpriced) == (None, 1)
    put = arrays(option(1400, OptionType.PE, 500, price=40))
    assert circuit_locks(put)[0].loss < Decimal(-200_000)  # 500 × (1400 - 896), less the premium
