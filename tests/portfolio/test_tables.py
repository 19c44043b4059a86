"""The tables that support reads say what the trader sees, and nothing that is gone stays in them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from accounts.models import User
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from portfolio import presentation, services
from portfolio.models import BrokerPositionBreakdown, BrokerSnapshot, ConsolidatedPosition

MONEY = ("total_cost", "current_value", "unrealized_pnl", "day_change")


def fetched(user: User) -> dict[str, Any]:
    cache.clear()  # the tables are written again at once
    answer: dict[str, Any] = json.loads(services.refresh(user, now=timezone.now()).include)
    return answer


def test_every_position_is_written_as_it_is_shown(alice: User, alices: object) -> None:
    portfolio = fetched(alice)
    rows = {row.instrument_key: row for row in ConsolidatedPosition.objects.filter(user=alice)}
    assert rows.keys() == {position["key"] for position in portfolio["positions"]}
    for position in portfolio["positions"]:
        row = rows[position["key"]]
        assert row.symbol == position["symbol"]
        assert presentation.quantity(row.total_quantity) == position["total_quantity"]
        for name in MONEY:
            value = getattr(row, name)
            assert (None if value is None else presentation.paise(value)) == position[name], name
        parts = [(part["connection_id"], part["product"]) for part in position["broker_positions"]]
        kept = row.broker_positions.values_list("broker_connection_id", "product")
        assert sorted(parts) == sorted((str(connection), product) for connection, product in kept)


def test_an_unknown_cost_is_null_and_not_zero(alice: User, alices: object) -> None:
    fetched(alice)
    wipro = ConsolidatedPosition.objects.get(symbol="WIPRO")
    assert (wipro.avg_price, wipro.total_cost, wipro.unrealized_pnl) == (None, None, None)
    assert wipro.current_value is not None


def test_what_was_sold_leaves_the_tables(alice: User, alices: object, control: Control) -> None:
    fetched(alice)
    before = ConsolidatedPosition.objects.get(symbol="INFY").pk
    book = control.book("upstox")
    book["holdings"] = [row for row in book["holdings"] if row["symbol"] not in ("INFY", "WIPRO")]
    control.set_book("upstox", book)
    fetched(alice)
    infosys = ConsolidatedPosition.objects.get(symbol="INFY")
    assert infosys.pk == before
    assert infosys.total_quantity == 120
    assert infosys.broker_positions.count() == 1
    assert not ConsolidatedPosition.objects.filter(symbol="WIPRO").exists()


def test_they_are_not_written_with_every_tick(alice: User, alices: object) -> None:
    for _ in range(2):
        services.refresh(alice, now=timezone.now())
        BrokerPositionBreakdown.objects.all().delete()
    assert not BrokerPositionBreakdown.objects.exists()


def test_another_users_rows_are_left_alone(alice: User, mallory: User, alices: object) -> None:
    foreign = ConsolidatedPosition.objects.create(
        user=mallory, instrument_key="X", symbol="X", total_quantity=1, last_updated=timezone.now()
    )
    fetched(alice)
    foreign.refresh_from_db()
    assert foreign.total_quantity == 1


@pytest.mark.parametrize("slug", ["zerodha", "upstox"])
def test_the_last_good_answer_is_kept_per_connection(
    slug: str, alice: User, alices: dict[str, BrokerConnection], control: Control
) -> None:
    fetched(alice)
    good = BrokerSnapshot.objects.get(connection=alices[slug])
    assert control.book(slug)["holdings"][0]["isin"] in good.payload
    control.set_fault(slug, "server_error")
    fetched(alice)
    kept = BrokerSnapshot.objects.get(connection=alices[slug])
    assert (kept.payload, kept.as_of) == (good.payload, good.as_of)


def test_an_answer_that_was_asked_for_earlier_and_comes_later_replaces_no_newer_one(
    alice: User, alices: dict[str, BrokerConnection], control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a host and a request ask at the same time, and the broker is slow with one of them."""
    kept, began = services._keep, timezone.now()

    def later(*arguments: Any) -> Any:
        monkeypatch.setattr(services, "_keep", kept)
        book = control.book("upstox")
        book["holdings"] = [row for row in book["holdings"] if row["symbol"] != "WIPRO"]
        control.set_book("upstox", book)
        services.fetched_sources(alice, now=began + timedelta(seconds=3))
        return kept(*arguments)

    monkeypatch.setattr(services, "_keep", later)
    services.fetched_sources(alice, now=began)
    snapshot = BrokerSnapshot.objects.get(connection=alices["upstox"])
    assert snapshot.as_of == began + timedelta(seconds=3)
    assert "WIPRO" not in snapshot.payload
    services.fetched_sources(alice, now=began + timedelta(seconds=6))
    snapshot.refresh_from_db()
    assert snapshot.as_of == began + timedelta(seconds=6)
