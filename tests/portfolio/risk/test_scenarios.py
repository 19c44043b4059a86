"""What a book is stressed with: the shipped set, remembered days, and scenarios of somebody's own."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.risk import own_scenarios
from portfolio.risk.own_scenarios import CODES, OF_ISSUERS, RANGES, ScenarioRefused
from portfolio.risk.scenarios import EPISODES, GRID, SHIPPED, Basis, Scenario, episodes

OWN = {"code": "my_crash", "title": "My crash", "index": "-0.15"}


def test_the_shipped_set_is_the_specified_one() -> None:
    moves = {(str(each.index), str(each.volatility)) for each in GRID}
    assert moves == {
        (index, volatility)
        for index in ("-0.20", "-0.10", "-0.05", "0.05", "0.10")
        for volatility in ("0.60", "0.30", "0", "-0.20")
    }
    beside = {each.code: each for each in SHIPPED if each not in GRID}
    assert {code: each.each_company for code, each in beside.items() if each.each_company} == {
        "single_name_m20": Decimal("-0.20")
    }
    assert beside["rates_p100bp"].rate == Decimal("0.01")
    assert {beside[code].rupee for code in ("rupee_weaker_p5", "rupee_stronger_m5")} == {
        Decimal("0.05"),
        Decimal("-0.05"),
    }
    assert {beside[code].crude for code in ("crude_m15", "crude_p15")} == {Decimal("0.15"), Decimal("-0.15")}


def test_codes_are_unique() -> None:
    codes = [each.code for each in (*SHIPPED, *EPISODES)]
    assert len(codes) == len(set(codes))


def test_remembered_days_move_as_prices_did() -> None:
    closes = {
        date(2020, 3, 20): Decimal(8745), date(2020, 3, 23): Decimal(7610), date(2020, 3, 24): Decimal(7801),
        date(2024, 6, 3): Decimal(23263), date(2024, 6, 4): Decimal(21884),
    }  # fmt: skip
    fear = {date(2020, 3, 20): Decimal(67), date(2020, 3, 23): Decimal(72)}
    told, untold = episodes(closes, fear, written={}, written_volatility={})
    found = {each.code: each for each in told}
    assert found["covid_2020"].index == Decimal(7610) / 8745 - 1
    assert found["covid_2020"].volatility == Decimal(72) / 67 - 1
    assert found["election_2024"].index == Decimal(21884) / 23263 - 1
    assert found["election_2024"].volatility == 0
    assert {each.basis for each in told} == {Basis.DATA}
    assert [each.code for each in untold] == ["october_2008", "invasion_2022"]


def test_without_prices_all_of_them_move_as_is_written_down() -> None:
    told, untold = episodes({})
    moves = [(each.code, round(each.index, 4), round(each.volatility, 4)) for each in told]
    assert moves == [
        ("october_2008", Decimal("-0.1220"), 0),
        ("covid_2020", Decimal("-0.1298"), Decimal("0.0729")),
        ("invasion_2022", Decimal("-0.0478"), Decimal("0.2953")),
        ("election_2024", Decimal("-0.0593"), Decimal("0.2775")),
    ]
    assert ({each.basis for each in told}, untold) == ({Basis.REFERENCE}, ())


def test_where_volatility_is_not_known_the_title_says_so() -> None:
    told, _ = episodes({})
    assert [each.title.endswith("(volatility unknown: unmoved)") for each in told] == [True, False, False, False]


def test_what_a_store_tells_comes_before_what_is_written_down() -> None:
    own = {date(2020, 3, 20): Decimal(100), date(2020, 3, 23): Decimal(90)}
    found = {each.code: each for each in episodes(own, own)[0]}
    assert (found["covid_2020"].index, found["covid_2020"].volatility) == (Decimal("-0.1"), Decimal("-0.1"))
    assert [found[code].basis for code in ("covid_2020", "election_2024")] == [Basis.DATA, Basis.REFERENCE]


@pytest.mark.parametrize(
    "closes",
    [
        {
            date(2020, 3, 2): Decimal(11000),
            date(2020, 3, 23): Decimal(7610),
        },  # weeks before: no close of the day before
        {date(2020, 3, 20): Decimal(8745)},
        {date(2020, 3, 23): Decimal(7610)},
        {date(2020, 3, 20): Decimal(0), date(2020, 3, 23): Decimal(7610)},
    ],
)
def test_prices_with_gaps_are_not_taken_for_a_day(closes) -> None:
    told, _ = episodes(closes)
    assert next(each for each in told if each.code == "covid_2020").basis is Basis.REFERENCE


def test_reads_what_somebody_wrote() -> None:
    scenario = own_scenarios.read(OWN | {"days": 3, "issuers": {"INE002A01018": "-0.3"}})
    assert scenario == Scenario(
        code="my_crash",
        title="My crash",
        basis=Basis.OWN,
        index=Decimal("-0.15"),
        days=3,
        issuers={"INE002A01018": Decimal("-0.3")},
    )


def ratios(span):
    low, high = span
    return st.decimals(low, high, places=4).map(lambda each: each + 0)


@given(
    st.builds(
        Scenario,
        code=st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True),
        title=st.text("abc ₹é-", min_size=1, max_size=80).map(str.strip).filter(bool),
        basis=st.just(Basis.OWN),
        days=st.integers(1, 365),
        each_company=st.none() | ratios(OF_ISSUERS),
        issuers=st.dictionaries(st.text("IN0123", min_size=1, max_size=12), ratios(OF_ISSUERS), max_size=5),
        **{name: ratios(span) for name, span in RANGES.items()},
    )
)
def test_goes_out_and_comes_back_as_json(scenario) -> None:
    assert own_scenarios.read(json.loads(json.dumps(scenario.plain()))) == scenario


@pytest.mark.parametrize(
    ("wire", "code", "field"),
    [
        ([], "scenario_shape", ""),
        (None, "scenario_shape", ""),
        (OWN | {"nifty": "-0.1"}, "scenario_unknown_field", "nifty"),
        ({"title": "x", "index": "-0.1"}, "scenario_code", "code"),
        (OWN | {"code": "My crash"}, "scenario_code", "code"),
        (OWN | {"code": "x" * 41}, "scenario_code", "code"),
        (OWN | {"code": "crude_m15"}, "scenario_code_taken", "code"),
        (OWN | {"code": "covid_2020"}, "scenario_code_taken", "code"),
        (OWN | {"title": " "}, "scenario_title", "title"),
        (OWN | {"title": "x" * 81}, "scenario_title", "title"),
        (OWN | {"title": "two\nlines"}, "scenario_title", "title"),
        (OWN | {"index": -0.1}, "scenario_number", "index"),
        (OWN | {"index": True}, "scenario_number", "index"),
        (OWN | {"index": "NaN"}, "scenario_number", "index"),
        (OWN | {"index": "much"}, "scenario_number", "index"),
        (OWN | {"index": "0." + "1" * 30}, "scenario_number", "index"),
        (OWN | {"index": None}, "scenario_number", "index"),
        (OWN | {"index": "-10"}, "scenario_range", "index"),
        (OWN | {"volatility": "60"}, "scenario_range", "volatility"),
        (OWN | {"rate": "1"}, "scenario_range", "rate"),
        (OWN | {"each_company": "-20"}, "scenario_range", "each_company"),
        (OWN | {"days": -1}, "scenario_range", "days"),
        (OWN | {"days": "7"}, "scenario_range", "days"),
        (OWN | {"days": True}, "scenario_range", "days"),
        (OWN | {"issuers": []}, "scenario_issuers", "issuers"),
        (OWN | {"issuers": {"": "-0.1"}}, "scenario_issuers", "issuers"),
        (OWN | {"issuers": {f"I{number}": "-0.1" for number in range(101)}}, "scenario_issuers", "issuers"),
        (OWN | {"issuers": {"INE002A01018": "-2"}}, "scenario_range", "issuers.INE002A01018"),
        ({"code": "still", "title": "Nothing"}, "scenario_empty", ""),
        ({"code": "still", "title": "Nothing", "index": "0", "issuers": {"A": "0"}}, "scenario_empty", ""),
    ],
)
def test_refuses_with_a_code_a_field_and_a_remedy(wire, code, field) -> None:
    with pytest.raises(ScenarioRefused) as refused:
        own_scenarios.read(wire)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert code in CODES
    assert refused.value.remedy.endswith(".")
