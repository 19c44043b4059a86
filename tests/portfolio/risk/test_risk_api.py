"""The risk report over HTTP: sections as asked, exact text, what is the owner's alone, and what they add to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers.simulation.control import Control
from brokers.wire import IST
from portfolio import equity_days, risk_market, risking
from portfolio.flow_models import CashFlow
from portfolio.risk.limits import Metric, Scope
from portfolio.risk.sections import SECTIONS
from portfolio.risk_models import EquityDay, UserScenario
from tests.brokers.test_api import refused

RISK = "/api/v1/risk"
MINE = {"code": "my_crash", "title": "My crash", "index": "-0.3", "volatility": "1"}


@pytest.fixture(autouse=True)
def _no_market_of_another_test() -> Iterator[None]:
    risk_market.forget()
    yield
    risk_market.forget()


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, name)
    else:
        yield name, value


def report(client: Client, path: str = "report") -> dict[str, Any]:
    answer = client.get(f"{RISK}/{path}")
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    return told


# --- the report -------------------------------------------------------------------------------------------------------
def test_a_report_has_every_section_each_with_what_it_covers(as_alice: Client, alices: object) -> None:
    told = report(as_alice)
    assert set(told) == {"computed_at", "as_of", "coverage", *SECTIONS}
    for name in SECTIONS:
        assert told[name]["coverage"]["accounts"] == told["coverage"]["accounts"] > 0, name
        assert (told[name]["value"] is None) != (told[name]["refused"] is None), name


def test_no_amount_is_a_floating_number(as_alice: Client, alices: object) -> None:
    text = as_alice.get(f"{RISK}/report").content.decode()
    floats: list[str] = []
    json.loads(text, parse_float=floats.append)
    assert floats == []
    amounts = [value for name, value in leaves(json.loads(text)) if name in {"gross", "net", "var", "pnl", "amount"}]
    assert amounts
    assert all(value is None or re.fullmatch(r"-?\d+\.\d\d", value) for value in amounts)


def test_the_exposure_is_the_value_of_what_the_portfolio_shows(as_alice: Client, alices: object) -> None:
    portfolio = as_alice.get("/api/v1/brokers/portfolio/consolidated").json()
    told = report(as_alice, "exposure")
    assert set(told) == {
        "computed_at", "as_of", "coverage", "worth", "exposure", "concentration", "margins", "netting", "beta"
    }  # fmt: skip
    owned = Decimal(told["worth"]["value"]["equity"]["owned"])
    funded = [
        part
        for row in portfolio["positions"]
        for part in row["broker_positions"]
        if part["product"] == "MTF" and part["funded_amount"] is None
    ]
    # Whose loan nobody tells is in no equity, and named.
    assert owned == Decimal(portfolio["total_value"]) - sum(Decimal(part["current_value"]) for part in funded)
    assert len(funded) == len([name for name in told["worth"]["value"]["equity"]["unknown"] if "loan" in name])


@pytest.mark.parametrize(
    ("path", "sections"),
    [
        ("var", {"losses", "greeks"}),
        ("stress", {"stress"}),
        ("liquidity", {"liquidity"}),
        ("expiries", {"expiries"}),
        ("performance", {"record"}),
        ("report?sections=margins,stress", {"margins", "stress"}),
    ],
)
def test_a_part_is_the_same_as_in_the_whole(as_alice: Client, alices: object, path: str, sections: set[str]) -> None:
    whole, part = report(as_alice), report(as_alice, path)
    assert set(part) == {"computed_at", "as_of", "coverage", *sections}
    if part["computed_at"] == whole["computed_at"]:
        assert part == {name: whole[name] for name in part}


def test_a_section_that_is_none_is_refused(as_alice: Client, alices: object) -> None:
    refused(as_alice.get(f"{RISK}/report?sections=exposure,astrology"), 400, "risk_section_unknown")


def test_without_a_broker_there_is_no_report(as_alice: Client) -> None:
    refused(as_alice.get(f"{RISK}/report"), 404, "no_broker_connections")


def test_a_broker_that_is_away_makes_the_report_partial_and_says_so(
    as_alice: Client, alices: object, control: Control
) -> None:
    control.set_fault("zerodha", "down")
    told = report(as_alice)
    assert told["coverage"]["complete"] is False
    assert len(told["coverage"]["missing"]) == 1
    for name in SECTIONS:
        assert told[name]["coverage"]["complete"] is False, name
    assert told["worth"]["value"]["equity"]["unknown"]


# --- what the owner adds ----------------------------------------------------------------------------------------------
def test_a_scenario_of_ones_own_is_in_the_stress_table(as_alice: Client, alices: object) -> None:
    made = as_alice.post(f"{RISK}/scenarios", MINE, content_type="application/json")
    assert made.status_code == 201, made.content
    rows = report(as_alice, "stress")["stress"]["value"]["scenarios"]
    assert [row["basis"] for row in rows if row["code"] == "my_crash"] == ["OWN"]
    assert [row["code"] for row in as_alice.get(f"{RISK}/scenarios").json()] == ["my_crash"]
    assert as_alice.delete(f"{RISK}/scenarios/{made.json()['id']}").status_code == 204
    assert all(row["code"] != "my_crash" for row in report(as_alice, "stress")["stress"]["value"]["scenarios"])


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"index": "-30"}, "scenario_range"),
        ({"index": "down"}, "scenario_number"),
        ({"code": "My crash"}, "scenario_code"),
        ({"moon": "1"}, "scenario_unknown_field"),
        ({"index": "0", "volatility": "0"}, "scenario_empty"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_by_name(as_alice: Client, changed: dict[str, str], code: str) -> None:
    refused(as_alice.post(f"{RISK}/scenarios", MINE | changed, content_type="application/json"), 400, code)
    assert not UserScenario.objects.exists()


def test_a_scenario_is_made_once(as_alice: Client) -> None:
    assert as_alice.post(f"{RISK}/scenarios", MINE, content_type="application/json").status_code == 201
    refused(as_alice.post(f"{RISK}/scenarios", MINE, content_type="application/json"), 409, "scenario_exists")


def test_a_payment_is_no_profit(as_alice: Client, alice: User) -> None:
    """500 more than yesterday, of which 300 were paid in and 150 earned: 50 nobody explains."""
    today = timezone.now().astimezone(IST).date()
    worth(alice, today - timedelta(days=1), "1000", pnl="0")
    row = worth(alice, today, "1500", pnl="150")
    made = as_alice.post(
        f"{RISK}/cash-flows", {"day": today.isoformat(), "amount": "300.00"}, content_type="application/json"
    )
    assert made.status_code == 201, made.content
    row.refresh_from_db()
    assert (row.cash_flow, row.unexplained) == (Decimal(300), Decimal(50))
    assert as_alice.delete(f"{RISK}/cash-flows/{made.json()['id']}").status_code == 204
    row.refresh_from_db()
    assert (row.cash_flow, row.unexplained) == (Decimal(0), Decimal(350))


def test_days_and_payments_are_told(as_alice: Client, alice: User) -> None:
    day = date(2026, 11, 20)
    worth(alice, day, "1000.5", pnl=None)
    CashFlow.objects.create(user=alice, day=day, amount=Decimal("-20"), note="rent", created_at=timezone.now())
    [told] = as_alice.get(f"{RISK}/equity").json()
    assert (told["day"], told["equity"], told["day_pnl"]) == ("2026-11-20", "1000.50", None)
    [flow] = as_alice.get(f"{RISK}/cash-flows").json()
    assert (flow["amount"], flow["note"]) == ("-20.00", "rent")


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        ({"day": "2999-01-01", "amount": "1"}, "cash_flow_in_future"),
        ({"day": "2026-01-01", "amount": "0"}, "cash_flow_zero"),
        ({"day": "2026-01-01", "amount": "much"}, "invalid_input"),
        ({"day": "2026-01-01", "amount": "1.234"}, "invalid_input"),
        ({"amount": "1"}, "invalid_input"),
    ],
)
def test_a_payment_that_cannot_be_is_refused_by_name(as_alice: Client, wire: dict[str, str], code: str) -> None:
    refused(as_alice.post(f"{RISK}/cash-flows", wire, content_type="application/json"), 400, code)


# --- other people's ---------------------------------------------------------------------------------------------------
def test_what_is_anothers_is_not_there(as_bob: Client, alice: User) -> None:
    flow = equity_days.add_flow(alice, day=date(2026, 1, 1), amount=Decimal(1), note="", now=timezone.now())
    scenario = UserScenario.objects.create(user=alice, name="hers", terms=MINE, created_at=timezone.now())
    assert as_bob.get(f"{RISK}/cash-flows").json() == as_bob.get(f"{RISK}/scenarios").json() == []
    refused(as_bob.delete(f"{RISK}/cash-flows/{flow.pk}"), 404, "not_found")
    refused(as_bob.delete(f"{RISK}/scenarios/{scenario.pk}"), 404, "not_found")
    assert CashFlow.objects.filter(pk=flow.pk).exists()
    assert UserScenario.objects.filter(pk=scenario.pk).exists()


# --- limits -----------------------------------------------------------------------------------------------------------
def test_limits_are_held_against_the_figures_of_the_report(as_alice: Client, alice: User, alices: object) -> None:
    told = report(as_alice)
    found = risking.measured(alice, None, timezone.now())
    worst = found.of(Metric.MARGIN_PCT, Scope.GLOBAL, "").value
    assert worst is not None
    assert f"{worst / 100:.4f}" == told["margins"]["value"]["worst"]


def worth(user: User, day: date, equity: str, *, pnl: str | None) -> EquityDay:
    return EquityDay.objects.create(
        user=user,
        day=day,
        equity=Decimal(equity),
        day_pnl=None if pnl is None else Decimal(pnl),
        complete=True,
        as_of=timezone.now(),
    )
