"""The alarm for replies that change their fields: once per change, to the log and to support, and nothing breaks."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers import registry, services
from brokers.drift import Change, changes, shape_of
from brokers.models import BrokerConnection, ReplyDrift, ReplyShape
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from portfolio import services as portfolio
from tests.conftest import signed_in
from tests.contract.recorded import cases
from tests.people import connect

NEW = "field_of_tomorrow"
CALL = "GET /holdings"
ROW = {"isin": "INE009A01021", "quantity": 5}

each_broker = pytest.mark.parametrize("slug", registry.slugs())


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just started."""
    monkeypatch.setattr(services, "_seen_shapes", set())


class TestShapes:
    """Pure: which fields stand where."""

    @pytest.mark.parametrize(
        ("body", "shape"),
        [
            ({"status": 1, "data": [ROW, {"isin": "x", "t1": 0}]}, {"": "data status", "data[]": "isin quantity t1"}),
            ([ROW], {"[]": "isin quantity"}),
            ({"data": {"net": [{"a": 1}], "day": []}}, {"": "data", "data": "day net", "data.net[]": "a"}),
            ({"data": []}, {"": "data"}),
            ({"data": None}, {"": "data"}),
            ([], {}),
            ("text", {}),
            (None, {}),
            ({}, {}),
        ],
    )
    def test_field_names_per_place(self, body: object, shape: dict[str, str]) -> None:
        assert shape_of(body) == {place: frozenset(names.split()) for place, names in shape.items()}

    @pytest.mark.parametrize(
        "keys",
        [
            ("NSE:INFY", "BSE:500209"),
            ("NSE_EQ|INE009A01021",),
            ("INE009A01021", "INE062A01020"),
            ("NSECM", "BSEFO"),
            ("NSE_M&M", "NSE_BAJAJ-AUTO", "BSE_SBIN", "NSE_NIFTY26DEC27000CE"),
            ("1594", "3045"),
        ],
    )
    def test_objects_keyed_by_data_are_one_place(self, keys: tuple[str, ...]) -> None:
        body = {"data": {key: {"last_price": 1} for key in keys}}
        assert shape_of(body) == {"": {"data"}, "data{}": {"last_price"}}

    def test_fields_are_not_taken_for_data(self) -> None:
        assert shape_of({"NSE": 1, "nse_quantity": 2}) == {"": {"NSE", "nse_quantity"}}
        assert shape_of({"payload": {"NSE_M&M": 1}}) == {"": {"payload"}}

    def test_only_so_deep(self) -> None:
        body: dict[str, Any] = {}
        for _ in range(500):
            body = {"a": body}
        assert len(shape_of(body)) <= 6

    def test_changes_are_told_where_both_replies_have_the_place(self) -> None:
        before = shape_of({"data": [{"a": 1, "b": 1}], "meta": {"x": 1}})
        assert changes(before, shape_of({"data": [{"b": 1, "c": 1}], "meta": None})) == [
            Change("data[]", "a", appeared=False),
            Change("data[]", "c", appeared=True),
        ]
        assert changes(before, shape_of({"data": [], "meta": {"x": 1}})) == []


@pytest.mark.django_db
class TestNoting:
    def note(self, row: dict[str, object], slug: str = "zerodha") -> None:
        services.note_shapes(slug, {CALL: shape_of({"data": [row]})}, timezone.now())

    def drifts(self) -> list[tuple[str, bool]]:
        return list(ReplyDrift.objects.order_by("id").values_list("field", "appeared"))

    def test_the_first_reply_is_what_is_known(self) -> None:
        self.note(ROW)
        assert self.drifts() == []
        assert ReplyShape.objects.get().shape == {"": ["data"], "data[]": ["isin", "quantity"]}

    def test_what_comes_and_goes_is_noted_and_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, logger="brokers.services"):
            for row in (ROW, {**ROW, NEW: 1}, {"isin": "x", NEW: 1}, ROW, {**ROW, NEW: 1}, ROW):
                self.note(row)
                services._seen_shapes.clear()  # as if each reply came to another process
        assert self.drifts() == [(NEW, True), ("quantity", False), (NEW, False), ("quantity", True)]
        drift = ReplyDrift.objects.get(field=NEW, appeared=True)
        assert (drift.broker_type, drift.call, drift.place) == ("zerodha", CALL, "data[]")
        logged = [record.getMessage() for record in caplog.records]
        assert logged == [f"Drift: {row}" for row in ReplyDrift.objects.order_by("id")]

    def test_an_empty_list_is_no_change_and_forgets_nothing(self) -> None:
        self.note(ROW)
        services.note_shapes("zerodha", {CALL: shape_of({"data": []})}, timezone.now())
        assert self.drifts() == []
        self.note({**ROW, NEW: 1})
        assert self.drifts() == [(NEW, True)]

    def test_brokers_and_calls_are_told_apart(self) -> None:
        self.note(ROW)
        self.note({NEW: 1}, "upstox")
        services.note_shapes("zerodha", {"GET /other": shape_of({"data": [{NEW: 1}]})}, timezone.now())
        assert self.drifts() == []

    def test_what_this_process_has_seen_costs_nothing(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        self.note(ROW)
        with django_assert_num_queries(0):
            self.note(ROW)

    def test_only_names_are_kept(self) -> None:
        for row in ({"name": "secret of Alice"}, {"name": "secret of Alice", NEW: "secret of Alice"}):
            self.note(row)
        kept = repr([*ReplyShape.objects.values(), *ReplyDrift.objects.values()])
        assert "secret of Alice" not in kept


def fetched(user: User) -> dict[str, Any]:
    rendered = portfolio.refresh(user, now=timezone.now())
    assert rendered is not None
    answer: dict[str, Any] = json.loads(rendered.include)
    return answer


@each_broker
def test_a_new_field_breaks_no_row_and_reaches_support(
    slug: str, alice: User, root: User, brokers: SimulatedBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    connect(alice, slug, brokers)
    before = fetched(alice)
    assert not ReplyDrift.objects.exists()
    assert ReplyShape.objects.filter(broker_type=slug).count() >= 3
    path = cases(slug).call("holdings").first_request.partition(" ")[2]
    brokers.control.set_fault(slug, "unknown_field", path=path, field=NEW)
    with caplog.at_level(logging.WARNING, logger="brokers.services"):
        after = [fetched(alice) for _ in range(2)]
    assert [each["complete"] for each in after] == [True, True]
    assert [each["positions"] for each in map(timeless, after)] == [timeless(before)["positions"]] * 2
    noted = ReplyDrift.objects.filter(field=NEW, appeared=True)
    assert noted
    assert {drift.call.partition(" ")[2] for drift in noted} == {path}
    assert ReplyDrift.objects.count() == noted.count() == caplog.text.count("Drift: ")
    page = signed_in(root).get(reverse("admin:brokers_replydrift_changelist"), {"broker_type": slug})
    assert page.status_code == 200
    assert page.content.decode().count(f">{NEW}<") == noted.count()


@each_broker
def test_a_vanished_field_is_told_even_where_rows_need_it(
    slug: str, alice: User, brokers: SimulatedBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    connect(alice, slug, brokers)
    fetched(alice)
    recorded = cases(slug)
    path, field = recorded.call("holdings").first_request.partition(" ")[2], recorded.required["holdings"]
    brokers.control.set_fault(slug, "missing_field", path=path, field=field)
    with caplog.at_level(logging.WARNING, logger="brokers.services"):
        for _ in range(2):
            assert fetched(alice)["complete"] is False
    assert ReplyDrift.objects.filter(field=field, appeared=False).count() == 1
    assert caplog.text.count(f"{field} vanished") == 1


def test_a_failing_reply_is_no_shape(alice: User, alices: dict[str, BrokerConnection], control: Control) -> None:
    fetched(alice)
    before = list(ReplyShape.objects.order_by("id").values_list("call", "shape"))
    control.set_fault("zerodha", "expired_token")
    control.set_fault("upstox", "malformed_body")
    fetched(alice)
    assert not ReplyDrift.objects.exists()
    assert list(ReplyShape.objects.order_by("id").values_list("call", "shape")) == before


def test_support_can_look_drifts_up(root: User) -> None:
    ReplyDrift.objects.create(
        broker_type="fyers", call=CALL, place="data[]", field=NEW, appeared=True, noticed_at=timezone.now()
    )
    client: Client = signed_in(root)
    address = reverse("admin:brokers_replydrift_changelist")
    assert NEW in client.get(address, {"q": "of_tomorrow"}).content.decode()
    assert NEW not in client.get(address, {"broker_type": "zerodha"}).content.decode()


def timeless(portfolio: dict[str, Any]) -> dict[str, Any]:
    """Without the moments at which prices were read."""
    return {**portfolio, "positions": [{**row, "price_as_of": None} for row in portfolio["positions"]]}
