"""Where brokers are real, nothing of the demo is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from market.models import MarketDay
from trademaster.checks import the_switchboard_stays_at_home
from trademaster.demo import market_days, switches
from trademaster.demo.gate import NotSimulated
from trademaster.tasks import keep_market_open

pytestmark = pytest.mark.django_db

READ = ("/demo/", "/demo/panel", "/demo/first-run")
WRITTEN = ("/demo/do", "/demo/checklist", "/demo/market")


@pytest.fixture
def real(settings: Settings) -> None:
    settings.SIMULATED_BROKERS = False


@pytest.mark.usefixtures("real")
class TestElsewhere:
    @pytest.mark.parametrize("address", READ)
    def test_no_page_of_it_exists(self, as_alice: Client, client: Client, address: str) -> None:
        assert [as_alice.get(address).status_code, client.get(address).status_code] == [404, 404]

    @pytest.mark.parametrize("address", WRITTEN)
    def test_no_form_of_it_is_taken(self, as_alice: Client, address: str) -> None:
        body = {"do": "kill:zerodha:on", "hours": "all_day", "show": "0"}
        answer = as_alice.post(address, body)
        assert answer.status_code == 404
        assert not MarketDay.objects.filter(source=market_days.SOURCE).exists()
        assert "first_run_hidden" not in answer.cookies

    @pytest.mark.parametrize(
        "verb",
        [
            lambda: switches.turn(User(), "kill:zerodha:on"),
            switches.mend_everything,
            lambda: market_days.open_all_day(timezone.now()),
            lambda: market_days.keep_open(timezone.now()),
            market_days.follow_exchanges,
            keep_market_open,
        ],
        ids=["turn", "mend_everything", "open_all_day", "keep_open", "follow_exchanges", "task"],
    )
    def test_no_verb_of_it_does_anything(self, verb: Callable[[], object]) -> None:
        with pytest.raises(NotSimulated):
            verb()
        assert not MarketDay.objects.filter(source=market_days.SOURCE).exists()

    def test_its_preparation_refuses(self) -> None:
        with pytest.raises(CommandError, match="SIMULATED_BROKERS=1"):
            call_command("prepare_demo")


@pytest.mark.parametrize(
    ("address", "simulated", "is_wrong"),
    [
        ("", True, False),
        ("", False, False),
        ("http://127.0.0.1:9100", True, False),
        ("http://127.0.0.1:9100", False, True),
        ("http://sandbox.example:9100", True, True),
    ],
)
def test_the_control_is_on_this_machine(settings: Settings, address: str, simulated: bool, is_wrong: bool) -> None:
    settings.SANDBOX_CONTROL_URL, settings.SIMULATED_BROKERS = address, simulated
    assert [error.id for error in the_switchboard_stays_at_home(None)] == ["trademaster.E002"] * is_wrong
