"""The simulated market that is open at any hour."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client

from brokers.domain import Exchange
from market.calendar import Phase
from market.days import market_state
from market.models import MarketDay
from trademaster.demo import market_days
from trademaster.tasks import keep_market_open

pytestmark = pytest.mark.django_db

EVENING = datetime(2026, 11, 26, 16, 0, tzinfo=UTC)  # Thursday, 21:30 IST
SATURDAY = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)  # 01:30 IST on Sunday
NEXT_YEAR = datetime(2027, 3, 1, 6, 0, tzinfo=UTC)  # nobody has told that year's holidays


def rows() -> list[tuple[Any, ...]]:
    columns = ("exchange", "date", "kind", "sessions", "settles", "source", "note", "edited_at")
    return list(MarketDay.objects.order_by("date", "exchange").values_list(*columns))


@pytest.mark.parametrize("now", [EVENING, SATURDAY, NEXT_YEAR], ids=["evening", "weekend", "unknown year"])
def test_every_exchange_is_open_at_any_hour_and_has_its_own_hours_back(now: datetime) -> None:
    before = rows()
    assert not market_state(Exchange.NSE, now=now).is_open
    market_days.open_all_day(now)
    for moment in (now, now + timedelta(hours=12)):
        states = [
            market_state(exchange, now=moment, cas_eligible=cas) for exchange in Exchange for cas in (True, False)
        ]
        assert {(each.is_open, each.phase) for each in states} == {(True, Phase.CONTINUOUS)}
    assert market_days.is_open_all_day()
    market_days.follow_exchanges()
    assert rows() == before
    assert not market_days.is_open_all_day()


def test_it_is_open_until_a_minute_before_midnight_and_open_again_after_it() -> None:
    market_days.open_all_day(EVENING)
    midnight = datetime(2026, 11, 26, 18, 30, tzinfo=UTC)
    seen = [market_state(Exchange.NSE, now=midnight + timedelta(seconds=each)).is_open for each in (-61, -60, -1, 0)]
    assert seen == [True, False, False, True]


def test_it_goes_on_past_midnight_if_it_is_open_and_after_days_of_sleep() -> None:
    with time_machine.travel(EVENING, tick=False):
        keep_market_open()
        assert not market_days.is_open_all_day()
        market_days.open_all_day(EVENING)
    monday = EVENING + timedelta(days=4)
    assert market_state(Exchange.NSE, now=monday).is_open is False
    with time_machine.travel(monday, tick=False):
        keep_market_open()
    assert market_state(Exchange.NSE, now=monday).is_open is True


def test_what_support_entered_stands() -> None:
    today = MarketDay.objects.filter(exchange=Exchange.NSE, date=date(2026, 11, 26))
    today.update(edited_at=EVENING, note="Closed by a circular")
    market_days.open_all_day(EVENING)
    assert [row.note for row in today] == ["Closed by a circular"]
    assert market_state(Exchange.NSE, now=EVENING).is_open is False
    assert market_state(Exchange.BSE, now=EVENING).is_open is True


def test_money_and_shares_move_on_the_days_on_which_they_did() -> None:
    settles = MarketDay.objects.filter(date__in=[date(2026, 11, 28), date(2026, 11, 30)]).values_list("date", "settles")
    before = sorted(settles)
    market_days.open_all_day(SATURDAY - timedelta(days=1))
    assert sorted(settles.all()) == before


def test_the_api_says_what_is_special_about_today(as_alice: Client) -> None:
    def notes() -> set[str]:
        with time_machine.travel(EVENING, tick=False):
            answer = as_alice.get("/api/v1/market/status").json()
        return {market["note"] for market in answer["markets"] if market["exchange"] in ("NSE", "BSE", "NFO")}

    assert notes() == {""}
    market_days.open_all_day(EVENING)
    assert notes() == {"Simulated session: open all day"}


class TestPage:
    def test_a_button_opens_it_and_another_follows_the_exchange(self, as_alice: Client) -> None:
        with time_machine.travel(EVENING, tick=False):
            shown = as_alice.get("/demo/").content.decode()
            assert "NSE is closed until Fri 27 Nov, 09:15 IST, and orders are refused" in shown
            opened = as_alice.post("/demo/market", {"hours": "all_day"}, follow=True).content.decode()
            assert "Simulated session: open all day." in opened
            assert market_state(Exchange.NSE, now=EVENING).is_open
            closed = as_alice.post("/demo/market", {"hours": "exchange"}, follow=True).content.decode()
            assert "outside of them orders are refused" in closed
        assert not market_days.is_open_all_day()

    def test_nonsense_changes_nothing(self, as_alice: Client) -> None:
        html = as_alice.post("/demo/market", {"hours": "never"}, follow=True).content.decode()
        assert "Nothing was changed" in html
        assert not market_days.is_open_all_day()


class TestStart:
    """`prepare_demo` as `make demo` calls it: the first start opens the market, later ones leave it as it is."""

    @pytest.mark.parametrize("was_followed", [False, True])
    def test_the_choice_outlives_a_restart(self, was_followed: bool) -> None:
        call_command("prepare_demo", new_passwords=True, stdout=StringIO())
        assert market_days.is_open_all_day()
        if was_followed:
            market_days.follow_exchanges()
        printed = StringIO()
        call_command("prepare_demo", stdout=printed)
        assert market_days.is_open_all_day() is not was_followed
        assert '"trader": null' in printed.getvalue()
