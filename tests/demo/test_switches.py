"""The switchboard, over the real simulated brokers."""

from __future__ import annotations

import socket

import pytest
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from pytest_django import Settings

from accounts.models import User
from brokers import registry
from brokers.connecting import STATUSES
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from tests.pages.test_pages import Page
from trademaster.demo import switches
from trademaster.demo.acts import ACTS, FOUR, KILL

pytestmark = pytest.mark.django_db

Alices = dict[str, BrokerConnection]


def faults(sandbox: Control) -> dict[str, set[str]]:
    """What is on, by broker; those that are well are left out."""
    told = {slug: set(broker["faults"]) for slug, broker in sandbox.overview()["brokers"].items()}
    return {slug: kinds for slug, kinds in told.items() if kinds}


def press(client: Client, value: str) -> str:
    """Press a button of the page, and return the page that comes."""
    return client.post("/demo/do", {"do": value}, follow=True).content.decode()


def buttons(html: str) -> dict[str, str]:
    """What each button sends, by its id."""
    found = [fields for tag, fields in Page(html).tags if tag == "button" and fields.get("name") == "do"]
    return {str(fields["id"]): str(fields["value"]) for fields in found}


@pytest.mark.parametrize("act", [act for act in ACTS if act.fault], ids=lambda act: act.code)
def test_every_switch_is_turned_on_and_off_again(as_alice: Client, sandbox: Control, act: switches.Act) -> None:
    button = f"{act.code}-fyers"
    on = press(as_alice, buttons(as_alice.get("/demo/").content.decode())[button])
    assert faults(sandbox) == {"fyers": {act.fault}}
    assert f"Fyers: {act.sign}. You are not connected to Fyers: nothing of yours changes." in on
    off = press(as_alice, buttons(on)[button])
    assert faults(sandbox) == {}
    assert f"Fyers {act.over}. You are not connected to Fyers" in off


@pytest.mark.parametrize("act", [act for act in ACTS if act.fault], ids=lambda act: act.code)
def test_who_is_connected_there_is_told_what_to_watch(
    alice: User, sandbox: Control, alices: Alices, act: switches.Act
) -> None:
    assert switches.turn(alice, f"{act.code}:upstox:on") == f"Upstox: {act.sign}. {act.watch}"
    assert switches.turn(alice, f"{act.code}:upstox:off") == f"Upstox {act.over}. {act.after}".rstrip()


def test_who_disconnected_is_not(alice: User, sandbox: Control, alices: Alices) -> None:
    BrokerConnection.objects.filter(pk=alices["upstox"].pk).update(status=ConnectionStatus.DISCONNECTED)
    nothing = "You are not connected to Upstox: nothing of yours changes."
    assert switches.turn(alice, "expire:upstox:on") == f"Upstox: no session. {nothing}"


def test_the_four_say_what_this_trader_will_see(alice: User, sandbox: Control, alices: Alices) -> None:
    """Alice is at Zerodha and Upstox."""
    watch = {large.big.title: (large.watch, large.big.watch) for large in switches.board(alice).four}
    for title in ("Kill Zerodha", "Lose the next order reply"):
        assert watch[title][0] == watch[title][1]
    assert watch["429 at Fyers"][0] == "You are not connected to Fyers: nothing of yours changes."
    assert watch["Expire Groww"][0] == "You are not connected to Groww: nothing of yours changes."


def test_to_a_newcomer_no_reply_is_lost(alice: User, sandbox: Control) -> None:
    said = "You are not connected to any broker: nothing of yours changes."
    assert [large.watch for large in switches.board(alice).four if large.big.broker == "any"] == [said]
    assert switches.turn(alice, "lost_reply:any:on") == f"Every broker: armed. {said}"


@pytest.mark.parametrize("said", [KILL.watch, KILL.after])
def test_nobody_is_promised_a_broker_sooner_than_it_may_come(said: str) -> None:
    assert "within a minute or two, or up to ten where it was away for long" in said


def test_the_four_at_the_top_stand_for_switches_below(as_alice: Client, sandbox: Control) -> None:
    for big in FOUR:
        html = as_alice.get("/demo/").content.decode()
        assert f">{big.title}</button>" in html
        press(as_alice, buttons(html)[f"big-{big.act.code}"])
    everywhere = {slug: {"lost_reply"} for slug in registry.slugs()}
    assert faults(sandbox) == everywhere | {"zerodha": {"down", "lost_reply"}, "fyers": {"rate_limit", "lost_reply"}}
    html = as_alice.get("/demo/").content.decode()
    for end in ("Revive: Zerodha", "Let calls in: Fyers", "Disarm"):
        assert f">{end}</button>" in html


def test_a_reply_is_lost_once_whichever_broker_has_the_order(alice: User, sandbox: Control) -> None:
    """It is one fault for all of them: said once, and disarmed in one."""
    switches.turn(alice, "lost_reply:any:on")
    board = switches.board(alice)
    assert [(switch.broker_name, switch.act.sign) for switch in board.broken] == [("Every broker", "armed")]
    big = next(large.switch for large in board.four if large.big.broker == "any")
    assert (big.is_on, big.value) == (True, "lost_reply:any:off")
    switches.turn(alice, big.value)
    assert faults(sandbox) == {}


def test_an_ended_session_asks_for_a_login_and_for_no_switch(alice: User, sandbox: Control, alices: Alices) -> None:
    switches.turn(alice, "expire:upstox:on")
    assert sandbox.overview()["brokers"]["upstox"]["live_sessions"] == 0
    row = next(row for row in switches.board(alice).rows if row.slug == "upstox")
    ended = next(switch for switch in row.switches if switch.act.code == "expire")
    assert (ended.is_on, ended.needs_login) == (True, True)
    assert [switch.act.code for switch in switches.board(alice).broken] == ["expire"]
    assert not switches.board(alice).can_be_mended


def test_where_nobody_logged_in_no_session_has_ended(alice: User, sandbox: Control) -> None:
    assert switches.board(alice).broken == ()


def test_everything_is_mended_at_once(as_alice: Client, alice: User, sandbox: Control) -> None:
    assert "mend" not in buttons(as_alice.get("/demo/").content.decode()).values()
    switches.turn(alice, "kill:zerodha:on")
    html = press(as_alice, "maintenance:groww:on")
    assert "2 faults are on" in html
    assert "Every fault is switched off" in press(as_alice, buttons(html)["mend"])
    assert faults(sandbox) == {}


def test_the_board_says_how_the_traders_own_connections_stand(alice: User, sandbox: Control, alices: Alices) -> None:
    BrokerConnection.objects.filter(pk=alices["upstox"].pk).update(status=ConnectionStatus.MAINTENANCE)
    said = {row.slug: (row.word, row.tone) for row in switches.board(alice).rows}
    assert said["zerodha"] == ("Connected", "good")
    assert said["upstox"] == ("In maintenance", "warn")
    assert said["groww"] == ("Not connected", "plain")


@pytest.mark.parametrize("status", ConnectionStatus)
def test_a_status_is_said_as_on_every_page(
    alice: User, sandbox: Control, alices: Alices, status: ConnectionStatus
) -> None:
    BrokerConnection.objects.filter(pk=alices["upstox"].pk).update(status=status)
    row = next(row for row in switches.board(alice).rows if row.slug == "upstox")
    assert (row.word, row.tone) == STATUSES[status]


@pytest.mark.parametrize(
    "value", ["", "kill", "kill:zerodha", "kill:nobody:on", "burn:zerodha:on", "kill:zerodha:maybe", "expire:groww:off",
              "expire:any:on", "kill:zerodha/revoke:on"],
)  # fmt: skip
def test_what_is_no_switch_changes_nothing(as_alice: Client, sandbox: Control, value: str) -> None:
    html = press(as_alice, value)
    assert 'class="notice bad">There is no such switch: nothing was changed. Reload this page.' in html
    assert faults(sandbox) == {}


class TestWhenTheControlIsNotThere:
    def test_nothing_is_said_to_be_well(self, as_alice: Client, settings: Settings) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and nobody listens
            settings.SANDBOX_CONTROL_URL = f"http://127.0.0.1:{taken.getsockname()[1]}"
            shown, pressed = as_alice.get("/demo/").content.decode(), press(as_alice, "kill:zerodha:on")
        for html in (shown, pressed):
            assert "what is broken is not known. No account is touched." in html
            assert "Look at the terminal of `make demo`" in html
            assert "Nothing is broken" not in html
            assert buttons(html) == {}
        assert "The first three minutes" in shown  # the rest of the page stands

    @pytest.mark.parametrize("address", ["", "http://sandbox.example:9100", "file:///etc/passwd"])
    def test_no_other_machine_is_asked(self, as_alice: Client, settings: Settings, address: str) -> None:
        settings.SANDBOX_CONTROL_URL = address
        html = press(as_alice, "kill:zerodha:on")
        assert "It is not known here where the simulated brokers are broken" in html
        assert "set SANDBOX_CONTROL_URL" in html


class TestPages:
    def test_one_form_serves_every_button(self, as_alice: Client, sandbox: Control) -> None:
        page = Page(as_alice.get("/demo/").content.decode())
        assert page.inline == []
        assert len(page.ids) == len(set(page.ids))
        forms = {str(fields.get("form")) for tag, fields in page.tags if tag == "button" and fields.get("form")}
        assert forms == {"demo-form", "first-run-form"}
        assert forms <= set(page.ids)

    def test_the_panel_has_the_four_alone(self, as_alice: Client, sandbox: Control) -> None:
        answer = as_alice.get("/demo/panel").content.decode()
        assert set(buttons(answer)) == {f"big-{big.act.code}" for big in FOUR}
        assert "csrfmiddlewaretoken" not in answer  # that is in the page that it stands on

    @pytest.mark.parametrize(
        ("part", "address", "form"),
        [
            ("parts/switchboard.html", "/demo/panel", "demo-form"),
            ("parts/first_run.html", "/demo/first-run", "first-run-form"),
        ],
    )
    def test_on_another_page_a_part_is_a_place_and_its_form(
        self, rf: RequestFactory, part: str, address: str, form: str
    ) -> None:
        """Whoever includes it asks nobody anything: the script does, once the page stands."""
        page = Page(render_to_string(part, {}, rf.get("/")))
        assert [fields["data-live"] for _, fields in page.tags if "data-live" in fields] == [address]
        assert form in page.ids

    def test_a_form_leads_back_to_where_it_stood_and_nowhere_else(self, as_alice: Client, sandbox: Control) -> None:
        def back(wanted: str) -> str:
            return as_alice.post("/demo/do", {"do": "mend", "back": wanted}).headers["Location"]

        assert [back("dashboard"), back("demo"), back("https://evil.example"), back("logout")] == [
            "/", "/demo/", "/demo/", "/demo/",
        ]  # fmt: skip
