"""The parts that pages without a script share: totals, what they lack, and positions."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client

from brokers.models import BrokerConnection
from tests.settings_pages.conftest import text_of


class Answer:
    def __init__(self, html: str) -> None:
        self.content = html.encode()


def said(part: str, **book: Any) -> str:
    return text_of(Answer(render_to_string(f"parts/{part}.html", {"book": book})))


def book(**changed: Any) -> dict[str, Any]:
    coverage = {"sources": 2, "sources_live": 2, "sources_stale": 0, "sources_missing": 0, "unreadable_rows": 0}
    known = {"cash_unknown": [], "loans_unknown": 0}
    told = {
        "complete": True,
        "coverage": {**coverage, "without_price": 0, "without_cost": 0, "without_day_change": 0},
        "net_worth": "1000000",
        "net_worth_parts": known,
        "total_value": "900000",
        "day_pnl": "-30426.50",
        "day_pnl_parts": {"lines_unknown": 0},
        "open_pnl": "270120",
        "open_pnl_parts": {"lines_unknown": 0},
        "day_change": "-35541",
        "unrealized_pnl": "258181",
        "day_pnl_percent": "-1.5",
        "open_pnl_percent": None,
        "funds": {"available": "50000", "cash": "60000", "complete": True},
    }
    return {**told, **changed}


def test_totals_are_over_all_that_is_owned_and_open() -> None:
    text = said("read_totals", **book())
    for told in ("₹10,00,000", "₹9,00,000", "\u2212₹30,426.50", "+₹2,70,120", "₹50,000", "₹60,000"):
        assert told in text
    assert "35,541" not in text
    assert "2,58,181" not in text
    assert "not known" not in text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"net_worth_parts": {"cash_unknown": ["a"], "loans_unknown": 0}}, "the cash of 1 account is not known"),
        ({"net_worth_parts": {"cash_unknown": [], "loans_unknown": 2}}, "2 MTF holdings whose loan is not known"),
        ({"day_pnl_parts": {"lines_unknown": 1}}, "1 line not known: not in it"),
        ({"open_pnl_parts": {"lines_unknown": 6}}, "6 lines not known, such as without a purchase price: not in it"),
        ({"funds": {"available": "1", "cash": None, "complete": False}}, "not every account tells all of its money"),
        ({"net_worth": None}, "Net worth —"),
    ],
)
def test_what_is_not_known_is_counted_under_its_number(changed: dict[str, Any], words: str) -> None:
    assert words in said("read_totals", **book(**changed))


def test_gaps_are_said_although_every_account_answered() -> None:
    whole = book()
    assert said("read_gaps", **whole).strip() == ""
    text = said("read_gaps", **book(coverage={**whole["coverage"], "without_cost": 6, "without_day_change": 1}))
    assert "6 shares have a part without a purchase price." in text
    assert "1 share has a part whose change of today is not known." in text


def test_an_account_that_is_missing_is_in_no_total_and_said() -> None:
    coverage = {**book()["coverage"], "sources_live": 1, "sources_missing": 1}
    text = said("read_gaps", **book(complete=False, coverage=coverage))
    assert "what is missing is not worth nothing. 1 of 2 accounts answered now" in text
    assert "1 is in no total" in text


def test_positions_are_marked_where_they_are_stale() -> None:
    figures = {"current_price": "1500.50", "day_pnl": None, "unrealized_pnl": "-20", "realized_pnl": "5", "stale": True}
    row = {**figures, "symbol": "NIFTY26DECFUT", "net_quantity": "75", "broker_positions": [{"broker_name": "Fyers"}]}
    traded = {**figures, "symbol": "INFY", "broker_name": "Upstox", "quantity": "10", "kind": "INTRADAY"}
    repeated = {**traded, "kind": "DERIVATIVE", "symbol": "REPEATED"}
    text = said("read_positions", derivatives=[row], trading_positions=[traded, repeated], sources=[])
    assert "NIFTY26DECFUT stale Fyers 75" in text
    assert "INFY stale Intraday Upstox 10" in text
    assert "REPEATED" not in text


def test_of_two_accounts_at_one_broker_each_is_named() -> None:
    accounts = [("1", "zerodha", "Zerodha AB1234"), ("2", "zerodha", "Father"), ("3", "fyers", "My own")]
    sources = [{"connection_id": key, "broker_id": slug, "display_name": name} for key, slug, name in accounts]
    figures = {"current_price": None, "day_pnl": None, "unrealized_pnl": None, "realized_pnl": None, "stale": False}
    parts = [
        {"connection_id": key, "broker_id": slug, "broker_name": slug.title(), "quantity": "1"}
        for key, slug, _ in accounts
    ]
    row = {**figures, "symbol": "NIFTY26DECFUT", "net_quantity": "75", "broker_positions": parts}
    traded = {**figures, **parts[1], "symbol": "INFY", "kind": "INTRADAY"}
    text = said("read_positions", derivatives=[row], trading_positions=[traded], sources=sources)
    assert "NIFTY26DECFUT Zerodha AB1234, Zerodha, Father, Fyers 75" in text
    assert "INFY Intraday Zerodha, Father 1" in text


@pytest.mark.django_db
def test_the_page_to_read_shows_both(as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
    html = as_alice.get("/plain").content.decode()
    assert 'data-testid="read-totals"' in html
    assert 'data-testid="read-positions"' in html
