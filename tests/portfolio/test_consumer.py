"""The live page's socket, over the real Redis: who is let in, and in which order they are told what."""

from __future__ import annotations

import asyncio
import json
from threading import Barrier

import pytest
from channels.db import database_sync_to_async
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers import services as brokers_services
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from brokers.statuses import Actor
from portfolio import consumers, services, watching
from tests.portfolio.sockets import (
    PATIENCE,
    SNAPSHOT_FIELDS,
    Application,
    opened,
    publish,
    refused,
    socket,
    told,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "connections_given_back")]


@database_sync_to_async
def refresh(user: User) -> None:
    services.refresh(user, now=timezone.now())


class TestWhoIsLetIn:
    @pytest.mark.parametrize(
        "origin",
        [b"https://evil.example", b"http://127.0.0.1.evil.example", b"http://127.0.0.1:9999", b"null", None],
        ids=["foreign", "look-alike", "our host, another port", "null", "none"],
    )
    async def test_no_page_of_another_site(
        self, origin: bytes | None, application: Application, as_alice: Client
    ) -> None:
        assert await refused(socket(application, as_alice, origin=origin))

    async def test_nobody_unknown(self, application: Application) -> None:
        assert await refused(socket(application, None))

    async def test_nobody_who_has_signed_out(self, application: Application, as_alice: Client) -> None:
        page = socket(application, as_alice)  # with the cookie of before
        await database_sync_to_async(as_alice.logout)()
        assert await refused(page)

    @pytest.mark.parametrize("path", ["/ws/", "/ws/portfolio", "/ws/portfolio/1", "/"])
    async def test_nobody_at_another_address(self, path: str, application: Application, as_alice: Client) -> None:
        assert await refused(socket(application, as_alice, path=path))

    async def test_not_support(self, application: Application, as_sam: Client) -> None:
        assert await refused(socket(application, as_sam))

    async def test_nobody_who_was_switched_off(self, application: Application, bob: User, as_bob: Client) -> None:
        bob.is_active = False
        await bob.asave()
        assert await refused(socket(application, as_bob))


class TestWhatIsTold:
    async def test_the_snapshot_comes_first(
        self, application: Application, as_alice: Client, alices: dict[str, BrokerConnection]
    ) -> None:
        async with opened(application, as_alice) as page:
            message = await told(page)
        assert (message["type"], message["sequence"]) == ("SNAPSHOT", 1)
        assert set(message["data"]) == SNAPSHOT_FIELDS
        assert [row["id"] for row in message["data"]["connections"]] == [str(row.pk) for row in alices.values()]
        assert message["data"]["error"] is None

    async def test_without_a_connection_the_snapshot_says_so(self, application: Application, as_bob: Client) -> None:
        async with opened(application, as_bob) as page:
            data = (await told(page))["data"]
        assert (data["portfolio"], data["connections"]) == (None, [])
        assert data["error"]["code"] == "no_broker_connections"

    async def test_a_refresh_is_told_as_it_was_answered(
        self, application: Application, alice: User, as_alice: Client, alices: object
    ) -> None:
        async with opened(application, as_alice) as page:
            await told(page)
            await refresh(alice)
            message = await told(page)
        assert (message["type"], message["sequence"]) == ("PORTFOLIO_UPDATE", 2)
        latest = await database_sync_to_async(services.latest)(alice, now=timezone.now())
        assert message["data"] == json.loads(latest.include)
        assert message["data"]["complete"] is True

    async def test_a_failure_is_told_with_the_book_that_is_left(
        self,
        application: Application,
        alice: User,
        as_alice: Client,
        alices: dict[str, BrokerConnection],
        control: Control,
    ) -> None:
        async with opened(application, as_alice) as page:
            await told(page)
            await database_sync_to_async(control.set_fault)("upstox", "down")
            await refresh(alice)
            messages = [await told(page), await told(page)]
        by_kind = {message["type"]: message["data"] for message in messages}
        assert [message["sequence"] for message in messages] == [2, 3]
        status = by_kind["BROKER_STATUS_UPDATE"]
        assert (status["connection_id"], status["status"]) == (str(alices["upstox"].pk), "ERROR")
        assert status["error_code"] == "broker_unavailable"
        assert by_kind["PORTFOLIO_UPDATE"]["complete"] is False

    async def test_two_connections_statuses_are_both_told(
        self, application: Application, as_alice: Client, alices: dict[str, BrokerConnection]
    ) -> None:
        async with opened(application, as_alice) as page:
            await told(page)
            for connection in alices.values():
                await database_sync_to_async(brokers_services.change_status)(
                    connection,
                    ConnectionStatus.TOKEN_EXPIRED,
                    code="session_ended",
                    message="Over.",
                    actor=Actor.CLOCK,
                    now=timezone.now(),
                )
            messages = [await told(page), await told(page)]
        assert {message["data"]["connection_id"] for message in messages} == {str(row.pk) for row in alices.values()}

    async def test_many_pushes_become_few_and_the_last_one_counts(
        self, application: Application, bob: User, as_bob: Client
    ) -> None:
        async with opened(application, as_bob) as page:
            await told(page)
            for number in range(50):
                await publish(bob, "PORTFOLIO_UPDATE", str(number))
            messages = [await told(page)]
            while messages[-1]["data"] != 49:
                messages.append(await told(page))
            assert await page.receive_nothing(timeout=0.2)
        assert len(messages) < 25
        assert [message["sequence"] for message in messages] == list(range(2, len(messages) + 2))

    async def test_a_sign_of_life_when_nothing_happens(
        self, application: Application, as_bob: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.1)
        async with opened(application, as_bob) as page:
            messages = [await told(page) for _ in range(3)]
        assert [message["type"] for message in messages] == ["SNAPSHOT", "HEARTBEAT", "HEARTBEAT"]
        assert [message["sequence"] for message in messages] == [1, 2, 3]

    async def test_every_socket_counts_for_itself(self, application: Application, bob: User, as_bob: Client) -> None:
        async with opened(application, as_bob) as first:
            await told(first)
            await publish(bob, "PORTFOLIO_UPDATE", "1")
            assert (await told(first))["sequence"] == 2
            async with opened(application, as_bob) as second:
                assert (await told(second))["sequence"] == 1
                await publish(bob, "PORTFOLIO_UPDATE", "2")
                assert [(await told(page))["sequence"] for page in (first, second)] == [3, 2]

    async def test_one_slow_snapshot_holds_up_nobody_else(
        self,
        application: Application,
        as_bob: Client,
        as_mallory: Client,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        both = Barrier(2, timeout=PATIENCE)  # passes only if two snapshots are made at the same time

        def meet(*_: object, **__: object) -> str:
            return f'{{"portfolio":{both.wait()},"error":null,"connections":[]}}'

        monkeypatch.setattr(services, "snapshot_json", meet)
        async with asyncio.timeout(PATIENCE):
            pages = [socket(application, client) for client in (as_bob, as_mallory)]
            await asyncio.gather(*(page.connect(timeout=PATIENCE) for page in pages))
            messages = [await told(page) for page in pages]
        assert sorted(message["data"]["portfolio"] for message in messages) == [0, 1]
        for page in pages:
            await page.disconnect(timeout=PATIENCE)


class TestMallory:
    async def test_she_is_told_nothing_of_alices(
        self,
        application: Application,
        alice: User,
        mallory: User,
        as_mallory: Client,
        alices: dict[str, BrokerConnection],
    ) -> None:
        async with opened(application, as_mallory) as page:
            snapshot = await told(page)
            assert snapshot["data"]["connections"] == []
            await refresh(alice)
            await database_sync_to_async(brokers_services.disconnect)(alices["zerodha"], now=timezone.now())
            assert await page.receive_nothing(timeout=0.3)
            await publish(mallory, "PORTFOLIO_UPDATE", '"hers"')  # the socket works: she gets what is hers
            assert (await told(page))["data"] == "hers"


class TestWatching:
    async def test_an_open_page_is_watched(self, application: Application, bob: User, as_bob: Client) -> None:
        watchers = database_sync_to_async(watching.watchers)
        assert bob.pk not in await watchers()
        async with opened(application, as_bob) as page:
            await told(page)
            await page.receive_nothing(timeout=0.1)
            assert bob.pk in await watchers()
