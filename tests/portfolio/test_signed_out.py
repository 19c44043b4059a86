"""A socket lives no longer than the session that opened it."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import sockets
from accounts.models import User
from portfolio import consumers
from tests.accounts.door import PASSWORD, person, sign_in
from tests.portfolio.sockets import PATIENCE, Application, opened, told
from trademaster.local.house import free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "connections_given_back")]

in_a_thread = database_sync_to_async


@pytest.fixture
def carol(transactional_db: None) -> User:
    return person("carol")


@pytest.fixture
def browser(carol: User) -> Client:
    client = Client()
    sign_in(client, "carol")
    return client


async def closed(page: WebsocketCommunicator) -> int | None:
    """The code that it is closed with; None while it is told something else."""
    for _ in range(20):
        message = await page.receive_output(timeout=PATIENCE)
        if message["type"] == "websocket.close":
            return int(message["code"])
    return None


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/logout", {}),
        ("/account/sessions/end", {}),
        ("/account/password", {"oldpassword": PASSWORD, "password1": "x" * 9 + "yz12", "password2": "x" * 9 + "yz12"}),
    ],
)
async def test_it_is_closed_by(address: str, form: dict[str, str], application: Application, browser: Client) -> None:
    async with opened(application, browser) as page:
        await told(page)
        answer = await in_a_thread(browser.post)(address, form)
        assert answer.status_code == 302
        assert await closed(page) == sockets.SIGNED_OUT


async def test_ending_one_session_closes_that_ones_alone(application: Application, browser: Client) -> None:
    other = Client()
    await in_a_thread(sign_in)(other, "carol")
    async with opened(application, browser) as mine, opened(application, other) as theirs:
        await told(mine)
        await told(theirs)
        row = await UserSession.objects.aget(session_key=other.cookies["sessionid"].value)
        await in_a_thread(browser.post)(f"/account/sessions/{row.pk}/end")
        assert await closed(theirs) == sockets.SIGNED_OUT
        await mine.send_to(text_data='{"type": "PING"}')
        assert (await mine.receive_output(timeout=PATIENCE))["type"] == "websocket.send"


async def test_another_password_by_whatever_way_closes_it(
    application: Application, browser: Client, carol: User
) -> None:
    """From the admin, from the command line."""
    async with opened(application, browser) as page:
        await told(page)
        carol.set_password("another-long-pass-phrase")
        await carol.asave()
        assert await closed(page) == sockets.SIGNED_OUT


async def test_one_that_nobody_told_finds_out_by_itself(
    application: Application, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage of Redis, or at the end of twelve hours."""
    monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.05)
    async with opened(application, browser) as page:
        await told(page)
        await Session.objects.all().adelete()
        assert await closed(page) == sockets.SIGNED_OUT


def test_redis_being_away_stops_no_sign_out(browser: Client, settings: Any) -> None:
    layers = settings.CHANNEL_LAYERS["default"]
    nowhere = [{"address": f"redis://127.0.0.1:{free_port()}/2", "protocol": 2}]
    settings.CHANNEL_LAYERS = {"default": {**layers, "CONFIG": {"hosts": nowhere}}}
    assert browser.post("/logout").status_code == 302
    assert browser.get("/").status_code == 302


def test_no_key_of_a_session_goes_through_redis() -> None:
    assert "abcdefgh" not in sockets.group_of_session("abcdefgh")
    assert sockets.group_of_session("a") != sockets.group_of_session("b")
