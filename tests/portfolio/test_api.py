"""GET /brokers/portfolio/consolidated: strings for amounts, one shape for errors, stale parts as asked."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from portfolio import services
from portfolio.domain import ConsolidatedPortfolio
from portfolio.presentation import schema
from tests.brokers.test_api import refused

PATH = "/api/v1/brokers/portfolio/consolidated"
AMOUNT = re.compile(r"-?\d+(\.\d+)?")
# What the specification names, in snake_case.
SEEDS_NAMES = {
    "": {"user_id", "total_value", "total_cost", "unrealized_pnl", "unrealized_pnl_percent", "day_change",
         "day_change_percent", "positions", "broker_breakdown", "asset_allocation", "last_updated"},
    "positions": {"symbol", "company_name", "total_quantity", "avg_price", "current_price", "total_cost",
                  "current_value", "unrealized_pnl", "unrealized_pnl_percent", "day_change", "broker_positions"},
    "broker_breakdown": {"broker_id", "broker_name", "total_value"},
}  # fmt: skip


def numbers(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every JSON number in the answer, with the name it stands under."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in numbers(item, key)]
    if isinstance(value, list):
        return [found for item in value for found in numbers(item, name)]
    return [(name, value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_the_answer_has_the_specifications_names(as_alice: Client, alices: object) -> None:
    answer = as_alice.get(PATH)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    portfolio = answer.json()
    assert portfolio.keys() >= SEEDS_NAMES[""]
    for name in ("positions", "broker_breakdown"):
        assert all(row.keys() >= SEEDS_NAMES[name] for row in portfolio[name])
    assert (portfolio["currency"], portfolio["complete"]) == ("INR", True)


def test_money_is_text_and_only_counts_are_numbers(as_alice: Client, alices: object) -> None:
    portfolio = as_alice.get(PATH).json()
    counts = {name for name, value in numbers(portfolio) if isinstance(value, int)}
    assert not [name for name, value in numbers(portfolio) if isinstance(value, float)]
    assert not any(re.search("price|value|cost|pnl|change|percent|quantity", name) for name in counts - {
        "without_price", "without_cost", "without_day_change"})  # fmt: skip
    for row in [portfolio, *portfolio["positions"], *portfolio["broker_breakdown"]]:
        for name, value in row.items():
            if re.search("price$|value$|cost$|pnl$|(?<!ex)change$|percent$|quantity$", name) and value is not None:
                assert isinstance(value, str), name
                assert AMOUNT.fullmatch(value), (name, value)


def test_it_is_what_the_schema_says(as_alice: Client, alices: object) -> None:
    portfolio, described = as_alice.get(PATH).json(), schema(ConsolidatedPortfolio)
    assert set(portfolio) == set(described["properties"]) == set(described["required"])
    assert set(portfolio["positions"][0]) == set(described["properties"]["positions"]["items"]["properties"])


def test_stale_parts_are_served_or_left_out_as_asked(
    as_alice: Client, alice: User, alices: dict[str, BrokerConnection], control: Control
) -> None:
    services.refresh(alice, now=timezone.now())
    control.set_fault("upstox", "down")
    services.refresh(alice, now=timezone.now())
    default, include, exclude = (
        as_alice.get(PATH, question).json() for question in ({}, {"stale": "include"}, {"stale": "exclude"})
    )
    assert default == include
    assert [part["stale"] for part in include["broker_breakdown"]] == [False, True]
    assert [part["broker_id"] for part in exclude["broker_breakdown"]] == ["zerodha"]
    assert [row["state"] for row in include["sources"]] == ["LIVE", "STALE"]
    assert len(exclude["sources"]) == 2
    assert include["complete"] is exclude["complete"] is False


@pytest.mark.parametrize("word", ["", "INCLUDE", "yes", "1", "__class__"])
def test_another_word_is_refused(word: str, as_alice: Client, alices: object) -> None:
    assert "stale" in refused(as_alice.get(PATH, {"stale": word}), 400, "invalid_input")["details"]


def test_without_a_connection_there_is_no_portfolio(as_bob: Client) -> None:
    error = refused(as_bob.get(PATH), 404, "no_broker_connections")
    assert error["remedy"] == "Connect a broker first."


def test_an_outage_is_an_answer_and_no_error(as_alice: Client, alices: object, control: Control) -> None:
    for slug in ("zerodha", "upstox"):
        control.set_fault(slug, "down")
    answer = as_alice.get(PATH)
    assert answer.status_code == 200
    assert answer.json()["total_value"] is None


def test_two_people_never_share_an_answer(as_alice: Client, as_mallory: Client, alices: object) -> None:
    assert as_alice.get(PATH).status_code == 200
    refused(as_mallory.get(PATH), 404, "no_broker_connections")


def test_the_answer_is_the_pages_snapshot_too(as_alice: Client, alice: User, alices: object) -> None:
    portfolio = as_alice.get(PATH).json()
    snapshot = json.loads(services.snapshot_json(alice, now=timezone.now()))
    assert snapshot["portfolio"] == portfolio
    assert snapshot["error"] is None
    assert [row["broker_type"] for row in snapshot["connections"]] == ["zerodha", "upstox"]
