"""The sockets of API clients: one ticket, one socket, for as long as what asked for the ticket is good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import api_sessions, personal_tokens, tickets
from accounts.credentials import Scope
from accounts.models import PersonalToken, User
from brokers.models import BrokerConnection
from portfolio import consumers
from tests.accounts.api_door import AUTH, ask, begun, code_of, personal
from tests.portfolio.sockets import PATIENCE, Application, publish, refused, socket, told
from tests.test_away import redis_away, redis_silent

__all__ = ("redis_away", "redis_silent")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "connections_given_back")]

PATH = "/ws/api/portfolio/"
KINDS = ("access token", "personal token")


@pytest.fixture(autouse=True)
def _nothing_counted(transactional_db: None) -> None:
    cache.clear()


def token_of(user: User, kind: str) -> str:
    return personal(user) if kind == "personal token" else str(begun(user)["access_token"])


def ticket_by(token: str) -> str:
    answer = ask("post", f"{AUTH}/ticket", token)
    assert answer.status_code == 201, answer.content
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["ticket"])


@database_sync_to_async
def ticket_of(user: User, kind: str = "access token") -> str:
    return ticket_by(token_of(user, kind))


def line(application: Application, *subprotocols: str, path: str = PATH, **headers: str) -> WebsocketCommunicator:
    sent = [(b"host", b"127.0.0.1:8000"), *((name.encode(), value.encode()) for name, value in headers.items())]
    return WebsocketCommunicator(application, path, headers=sent, subprotocols=list(subprotocols))


@asynccontextmanager
async def opened(application: Application, ticket: str, **headers: str) -> AsyncIterator[WebsocketCommunicator]:
    page = line(application, "tm.v1", f"ticket.{ticket}", **headers)
    connected, answered = await page.connect(timeout=PATIENCE)
    assert connected
    assert answered == "tm.v1"
    try:
        yield page
    finally:
        await page.disconnect(timeout=PATIENCE)


async def closed_by(page: WebsocketCommunicator) -> int:
    """The code by which the server closes, whatever it says before."""
    while True:
        message: dict[str, Any] = await page.receive_output(timeout=PATIENCE)
        if message["type"] == "websocket.close":
            return int(message["code"])


async def turned_away(page: WebsocketCommunicator) -> int:
    """Opened so that the client can be told why, and told nothing else."""
    connected, answered = await page.connect(timeout=PATIENCE)
    assert connected
    assert answered in ("tm.v1", None)
    message: dict[str, Any] = await page.receive_output(timeout=PATIENCE)
    assert message["type"] == "websocket.close"
    return int(message["code"])


class TestComingIn:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_ticket_opens_a_socket_from_any_origin_or_none(
        self, kind: str, application: Application, alice: User, alices: dict[str, BrokerConnection]
    ) -> None:
        for headers in ({}, {"origin": "https://a-page-elsewhere.example"}):
            async with opened(application, await ticket_of(alice, kind), **headers) as page:
                snapshot = await told(page)
                assert snapshot["type"] == "SNAPSHOT"
                assert len(snapshot["data"]["connections"]) == len(alices)

    async def test_pushes_and_messages_are_those_of_the_page(self, application: Application, bob: User) -> None:
        async with opened(application, await ticket_of(bob)) as page:
            assert (await told(page))["type"] == "SNAPSHOT"
            await page.send_to(text_data='{"type":"ping"}')
            assert (await told(page))["type"] == "HEARTBEAT"
            await publish(bob, "BROKER_STATUS_UPDATE", "{}", key="x")
            assert (await told(page))["type"] == "BROKER_STATUS_UPDATE"

    async def test_it_is_its_owners_socket_whoever_shows_it(
        self, application: Application, alice: User, as_mallory: Client, alices: dict[str, BrokerConnection]
    ) -> None:
        """Mallory's cookie beside her own ticket, and beside Alice's: the ticket alone says whose it is."""
        cookie = f"sessionid={as_mallory.cookies['sessionid'].value}"
        async with opened(application, await ticket_of(alice), cookie=cookie) as page:
            assert len((await told(page))["data"]["connections"]) == len(alices)
        mallory = await User.objects.aget(username="mallory")
        async with opened(application, await ticket_of(mallory), cookie=cookie) as page:
            assert (await told(page))["data"]["connections"] == []


class TestTurnedAway:
    async def test_a_reused_ticket(self, application: Application, alice: User) -> None:
        ticket = await ticket_of(alice)
        async with opened(application, ticket):
            assert await turned_away(line(application, "tm.v1", f"ticket.{ticket}")) == 4401

    async def test_of_two_at_once_one_gets_in(self, alice: User) -> None:
        ticket = await ticket_of(alice)
        spend = database_sync_to_async(tickets.spend, thread_sensitive=False)
        found = await asyncio.gather(*(spend(ticket, now=timezone.now()) for _ in range(6)))
        assert len([each for each in found if each is not None]) == 1

    async def test_one_that_is_too_old(self, application: Application, alice: User) -> None:
        ticket = await ticket_of(alice)
        key = tickets._key(ticket)
        assert 25 <= await database_sync_to_async(tickets.redis().ttl)(key) <= 30
        await database_sync_to_async(tickets.redis().pexpire)(key, 0)  # as the clock would
        assert await turned_away(line(application, "tm.v1", f"ticket.{ticket}")) == 4401

    @pytest.mark.parametrize("kind", KINDS)
    async def test_one_whose_token_is_no_longer_good(self, kind: str, application: Application, alice: User) -> None:
        ticket = await ticket_of(alice, kind)
        await User.objects.filter(pk=alice.pk).aupdate(is_active=False)
        assert await turned_away(line(application, "tm.v1", f"ticket.{ticket}")) == 4401

    @pytest.mark.parametrize("offered", [[], ["tm.v1"], ["tm.v1", "ticket."], ["tm.v1", "ticket.made-up"]])
    async def test_no_ticket(self, offered: list[str], application: Application) -> None:
        assert await turned_away(line(application, *offered)) == 4401

    async def test_two_tickets_or_another_protocol(self, application: Application, alice: User) -> None:
        one, two = await ticket_of(alice), await ticket_of(alice)
        assert await turned_away(line(application, "tm.v1", f"ticket.{one}", f"ticket.{two}")) == 4401
        assert await turned_away(line(application, f"ticket.{one}")) == 4401
        async with opened(application, one):
            pass  # neither spent it

    @pytest.mark.parametrize("name", ["ticket", "token", "access_token"])
    async def test_nothing_in_the_query_counts(self, name: str, application: Application, alice: User) -> None:
        ticket = await ticket_of(alice)
        assert await turned_away(line(application, "tm.v1", path=f"{PATH}?{name}={ticket}")) == 4401
        async with opened(application, ticket):
            pass  # and it is not spent

    async def test_a_token_is_no_ticket(self, application: Application, alice: User) -> None:
        for kind in KINDS:
            token = await database_sync_to_async(token_of)(alice, kind)
            assert await turned_away(line(application, "tm.v1", f"ticket.{token}")) == 4401
            assert await turned_away(line(application, "tm.v1", authorization=f"Bearer {token}")) == 4401

    async def test_a_cookie_opens_nothing_here(self, application: Application, as_alice: Client) -> None:
        """So that no page of another site can use its visitor's."""
        cookie = f"sessionid={as_alice.cookies['sessionid'].value}"
        for origin in ("https://evil.example", "http://127.0.0.1:8000"):
            assert await turned_away(line(application, "tm.v1", cookie=cookie, origin=origin)) == 4401

    async def test_a_ticket_opens_nothing_at_the_browsers_door(
        self, application: Application, alice: User, as_alice: Client
    ) -> None:
        ticket = await ticket_of(alice)
        page = line(application, "tm.v1", f"ticket.{ticket}", path="/ws/portfolio/")
        assert await refused(page)
        assert await refused(socket(application, as_alice, origin=b"https://evil.example"))

    @pytest.mark.parametrize("path", ["/ws/api/", "/ws/api/portfolio", "/ws/api/../portfolio/", "/ws/API/portfolio/"])
    async def test_another_address(self, path: str, application: Application, alice: User) -> None:
        assert await refused(line(application, "tm.v1", f"ticket.{await ticket_of(alice)}", path=path))

    async def test_while_redis_is_away_it_says_to_come_back(
        self, application: Application, alice: User, redis_away: None
    ) -> None:
        assert await turned_away(line(application, "tm.v1", "ticket.any")) == 1013


class TestAsking:
    def test_a_browser_gets_none(self, as_alice: Client) -> None:
        assert code_of(as_alice.post(f"{AUTH}/ticket")) == (403, "token_needed")

    def test_a_stranger_gets_none(self, db: None) -> None:
        assert code_of(ask("post", f"{AUTH}/ticket")) == (401, "not_authenticated")

    def test_while_redis_is_away_there_is_none(self, alice: User, redis_away: None) -> None:
        assert code_of(ask("post", f"{AUTH}/ticket", personal(alice))) == (503, "not_ready")

    def test_it_is_not_kept_as_it_is(self, alice: User) -> None:
        ticket = ticket_by(personal(alice))
        keys: Any = tickets.redis().keys("ticket:*")
        assert len(keys) == 1
        assert ticket not in repr(keys) + repr(tickets.redis().get(keys[0]))


class TestTheEnd:
    """Whoever ends what a socket stands on closes it; others of the same user stay."""

    async def test_a_revoked_token(self, application: Application, alice: User) -> None:
        other = await ticket_of(alice, "personal token")
        ticket = await ticket_of(alice, "personal token")
        async with opened(application, ticket) as page, opened(application, other) as stays:
            await told(page)
            await told(stays)
            latest = await PersonalToken.objects.select_related("user").afirst()
            await database_sync_to_async(personal_tokens.revoke)(latest)
            assert await closed_by(page) == 4401
            await stays.send_to(text_data='{"type":"ping"}')
            assert (await told(stays))["type"] == "HEARTBEAT"

    async def test_a_session_that_logs_out(self, application: Application, alice: User) -> None:
        token = (await database_sync_to_async(begun)(alice))["access_token"]
        async with opened(application, await database_sync_to_async(ticket_by)(token)) as page:
            await told(page)
            assert (await database_sync_to_async(ask)("post", f"{AUTH}/logout", token)).status_code == 204
            assert await closed_by(page) == 4401

    async def test_a_refresh_token_used_twice(self, application: Application, alice: User) -> None:
        given = await database_sync_to_async(begun)(alice)
        async with opened(application, await database_sync_to_async(ticket_by)(given["access_token"])) as page:
            await told(page)
            later = timezone.now() + timedelta(minutes=1)
            renew = database_sync_to_async(api_sessions.refresh)
            await renew(given["refresh_token"], now=timezone.now())
            with pytest.raises(api_sessions.TokenReused):
                await renew(given["refresh_token"], now=later)
            assert await closed_by(page) == 4401

    async def test_a_new_password(self, application: Application, alice: User) -> None:
        async with opened(application, await ticket_of(alice, "personal token")) as page:
            await told(page)
            alice.set_password("another-long-pass-phrase")
            await database_sync_to_async(alice.save)()
            assert await closed_by(page) == 4401

    @pytest.mark.parametrize("kind", KINDS)
    async def test_its_hour(
        self, kind: str, application: Application, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody tells of that: the socket looks for itself."""
        monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.05)
        async with opened(application, await ticket_of(alice, kind)) as page:
            await told(page)
            for rows in (alice.personal_tokens, alice.api_sessions):
                await rows.aupdate(expires_at=timezone.now())
            assert await closed_by(page) == 4401


async def test_a_trade_scope_is_not_needed_to_watch(application: Application, alice: User) -> None:
    token = await database_sync_to_async(personal)(alice, Scope.READ)
    async with opened(application, await database_sync_to_async(ticket_by)(token)) as page:
        assert (await told(page))["type"] == "SNAPSHOT"
