"""What support sees of the market, and the one table that it may edit."""

from __future__ import annotations

import json
from datetime import date, datetime

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.management.commands.demo_users import support_group
from accounts.models import User
from market.models import Instrument, InstrumentDispute, InstrumentListing, MarketDay, MasterLoad
from tests.conftest import signed_in
from tests.market.conftest import Load, Publisher, for_fyers, option

READ_ONLY = (Instrument, InstrumentListing, InstrumentDispute, MasterLoad)
DAY = {
    "exchange": "NSE",
    "date": "2026-11-08",
    "kind": "SPECIAL",
    "settles": "",
    "source": "NSE circular",
    "note": "Muhurat",
}


@pytest.fixture
def desk(sam: User) -> Client:
    sam.groups.add(support_group())
    return signed_in(sam)


@pytest.fixture
def book(publisher: Publisher, load: Load) -> None:
    publisher.groww(option(27000, "50978", lot=75))
    publisher.fyers(for_fyers(option(27000, "50978", lot=65)))
    load("groww")
    load("fyers")


def page(model: type, action: str = "changelist", *args: object) -> str:
    return reverse(f"admin:market_{model._meta.model_name}_{action}", args=args)  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", [*READ_ONLY, MarketDay])
def test_every_table_is_shown_and_searched(model: type, desk: Client, book: None) -> None:
    assert admin.site._registry[model].search_fields
    assert desk.get(page(model)).status_code == 200
    assert desk.get(page(model), {"q": "NIFTY"}).status_code == 200
    row = model.objects.first()  # type: ignore[attr-defined]
    assert desk.get(page(model, "change", row.pk)).status_code == 200
    assert desk.get(page(model, "history", row.pk)).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY)
def test_masters_are_nobodys_to_edit(model: type, root: User, book: None) -> None:
    client = signed_in(root)
    row = model.objects.first()  # type: ignore[attr-defined]
    assert client.get(page(model, "add")).status_code == 403
    assert client.post(page(model, "change", row.pk), {"note": "x"}).status_code == 403
    assert client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_disputes_that_are_open_come_by_themselves(desk: Client, book: None) -> None:
    listed = desk.get(page(InstrumentDispute), {"state": "open"}).content
    assert b"NFO:NIFTY26DEC27000CE" in listed
    assert b"75.0000" in listed
    assert b"NFO:NIFTY26DEC27000CE" not in desk.get(page(InstrumentDispute), {"state": "closed"}).content


class TestCalendar:
    @pytest.fixture
    def day(self, db: None) -> MarketDay:
        return MarketDay.objects.get(exchange="NSE", date=date(2026, 11, 8))

    def test_without_the_permission_support_only_looks(self, desk: Client, day: MarketDay) -> None:
        assert desk.post(page(MarketDay, "change", day.pk), DAY | {"sessions": "[]"}).status_code == 403
        assert desk.get(page(MarketDay, "add")).status_code == 403

    def test_with_it_an_edit_keeps_who_and_when(self, desk: Client, sam: User, day: MarketDay) -> None:
        sam.user_permissions.add(Permission.objects.get(codename="change_marketday"))
        sessions = [{"phase": "CONTINUOUS", "from": "18:15", "until": "19:15"}]
        at = datetime.fromisoformat("2026-11-05T10:00:00+05:30")
        with time_machine.travel(at, tick=False):
            done = desk.post(page(MarketDay, "change", day.pk), DAY | {"sessions": json.dumps(sessions)})
        assert done.status_code == 302, done.context["adminform"].form.errors
        day.refresh_from_db()
        assert (day.sessions, day.edited_by, day.edited_at) == (sessions, sam, at)
        [entry] = LogEntry.objects.all()
        assert (entry.user, entry.action_time) == (sam, at)
        call_command("seed_calendar")  # an upgrade leaves it as it is
        day.refresh_from_db()
        assert day.sessions == sessions

    @pytest.mark.parametrize(
        "sessions",
        [
            {"phase": "CONTINUOUS"},
            [{"phase": "CONTINUOUS", "from": "09:15"}],
            [{"phase": "OPENISH", "from": "09:15", "until": "15:30"}],
            [{"phase": "CONTINUOUS", "from": "15:30", "until": "09:15"}],
            [{"phase": "CONTINUOUS", "from": "9 o'clock", "until": "15:30"}],
            [{"phase": "CONTINUOUS", "from": 9, "until": "15:30"}],
            [{"phase": "CONTINUOUS", "from": "09:15", "until": "15:30", "cas": "maybe"}],
            [
                {"phase": "CONTINUOUS", "from": "09:15", "until": "15:30"},
                {"phase": "CAS", "from": "15:20", "until": "15:25", "cas": True},
            ],
        ],
    )
    def test_a_day_that_makes_no_sense_is_refused(self, sessions: object, root: User, day: MarketDay) -> None:
        refused = signed_in(root).post(page(MarketDay, "change", day.pk), DAY | {"sessions": json.dumps(sessions)})
        assert refused.status_code == 200
        assert "sessions" in refused.context["adminform"].form.errors
        day.refresh_from_db()
        assert day.edited_at is None

    def test_seeding_twice_writes_once(self, day: MarketDay, capsys: pytest.CaptureFixture[str]) -> None:
        MarketDay.objects.filter(pk=day.pk).update(note="an older file said so")
        call_command("seed_calendar")
        call_command("seed_calendar")
        assert capsys.readouterr().out == "1 days written\n0 days written\n"
