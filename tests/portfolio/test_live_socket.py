"""The socket behind a live host: deltas in order, a snapshot after every gap, and nothing that grows without bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from autobahn.exception import Disconnected
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client

from accounts.models import User
from portfolio import asking, client_messages, consumers, services
from tests.portfolio.live_host import NSE_INFY, NSE_SBIN, FakeHost
from tests.portfolio.sockets import PATIENCE, SNAPSHOT_FIELDS, Application, opened, publish, socket, told
from tests.samples import live_client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "connections_given_back")]


@pytest.fixture
def host(alice: User, transactional_db: None) -> Iterator[FakeHost]:
    with FakeHost(alice.pk) as running:
        yield running


@dataclass
class Copy:
    """What a client makes of the messages."""

    portfolio: dict[str, Any] = field(default_factory=dict)
    book: str | None = None
    number: int | None = None
    kinds: list[str] = field(default_factory=list)
    sequence: int = 0

    def take(self, message: dict[str, Any]) -> None:
        kind, data = message["type"], message["data"]
        self.kinds.append(kind)
        assert message["sequence"] == self.sequence + 1
        self.sequence = message["sequence"]
        if kind == "SNAPSHOT":
            assert set(data) == SNAPSHOT_FIELDS
            self.portfolio, self.book, self.number = data["portfolio"], data["book"], data["number"]
        elif kind == "PORTFOLIO_DELTA":
            assert (data["book"], data["number"]) == (self.book, (self.number or 0) + 1)
            self.portfolio, self.number = live_client.apply_delta(self.portfolio, data["delta"]), data["number"]

    async def follow(self, page: WebsocketCommunicator, host: FakeHost) -> None:
        """Until it stands where the host stands."""
        while (self.book, self.number) != (host.book, host.number):
            self.take(await told(page))

    def agrees_with(self, host: FakeHost) -> bool:
        """To the paisa, and to the second decimal of every weight; ages of sources pass between deltas."""
        mine, theirs = dict(self.portfolio), dict(host.portfolio)
        del mine["sources"], theirs["sources"]
        return mine == theirs


async def tick(host: FakeHost, price: int | str, **more: Any) -> None:
    await database_sync_to_async(host.tick)(price, **more)


class TestDeltas:
    async def test_the_hosts_snapshot_is_followed_by_its_deltas(
        self, application: Application, as_alice: Client, host: FakeHost
    ) -> None:
        copy = Copy()
        async with opened(application, as_alice) as page:
            copy.take(await told(page))
            for number in range(20):
                await tick(host, 120 + number, instrument=(NSE_INFY, NSE_SBIN)[number % 2])
            await copy.follow(page, host)
        assert copy.kinds == ["SNAPSHOT"] + ["PORTFOLIO_DELTA"] * 20
        assert copy.agrees_with(host)

    @pytest.mark.parametrize("how", ["a delta is lost", "the host begins anew", "a number is skipped forwards"])
    async def test_after_a_gap_comes_a_snapshot(
        self, how: str, application: Application, as_alice: Client, host: FakeHost
    ) -> None:
        copy = Copy()
        async with opened(application, as_alice) as page:
            copy.take(await told(page))
            await tick(host, 120)
            await copy.follow(page, host)
            if how == "the host begins anew":
                host.restart()
            else:
                for price in (121, 122, 123)[: 1 if how == "a delta is lost" else 3]:
                    await tick(host, price, is_lost=True)
            await tick(host, 130)
            await copy.follow(page, host)
            await tick(host, 131)
            await copy.follow(page, host)
        assert copy.kinds == ["SNAPSHOT", "PORTFOLIO_DELTA", "SNAPSHOT", "PORTFOLIO_DELTA"]
        assert copy.agrees_with(host)

    async def test_deltas_that_a_snapshot_has_already_are_not_sent(
        self, application: Application, alice: User, as_alice: Client, host: FakeHost
    ) -> None:
        old = json.dumps({"book": host.book, "number": 1, "delta": {}})
        copy = Copy()
        await tick(host, 120)
        async with opened(application, as_alice) as page:
            copy.take(await told(page))
            await publish(alice, "PORTFOLIO_DELTA", old)
            assert await page.receive_nothing(timeout=0.2)
        assert copy.agrees_with(host)

    @pytest.mark.parametrize("kind", ["PORTFOLIO_DELTA", "PORTFOLIO_SNAPSHOT"])
    async def test_what_cannot_be_read_costs_one_message(
        self, kind: str, application: Application, alice: User, as_alice: Client, host: FakeHost
    ) -> None:
        copy = Copy()
        async with opened(application, as_alice) as page:
            copy.take(await told(page))
            await publish(alice, kind, '{"book": 5}')
            await tick(host, 120)
            await copy.follow(page, host)
        assert copy.agrees_with(host)

    async def test_many_sockets_of_one_user_share_a_request(
        self, application: Application, as_alice: Client, host: FakeHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copies = [Copy() for _ in range(5)]
        pages = [opened(application, as_alice) for _ in copies]
        sockets = [await page.__aenter__() for page in pages]
        for copy, line in zip(copies, sockets, strict=True):
            copy.take(await told(line))
        before = host.asked
        await tick(host, 120, is_lost=True)
        await tick(host, 121)
        for copy, line in zip(copies, sockets, strict=True):
            await copy.follow(line, host)
        assert host.asked == before + 1
        for page in pages:
            await page.__aexit__(None, None, None)


class TestWithoutAHost:
    async def test_a_host_that_does_not_answer_is_not_waited_for(
        self, application: Application, as_alice: Client, host: FakeHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.05)
        host.is_mute = True
        async with opened(application, as_alice) as page:
            message = await told(page)
        assert (message["type"], message["data"]["book"]) == ("SNAPSHOT", None)

    async def test_a_host_that_takes_over_is_followed(
        self, application: Application, as_alice: Client, alice: User, transactional_db: None
    ) -> None:
        copy = Copy()
        async with opened(application, as_alice) as page:
            copy.take(await told(page))
            assert copy.book is None
            with FakeHost(alice.pk) as host:
                await database_sync_to_async(host.tell_all)()
                await tick(host, 120)
                await copy.follow(page, host)
        assert copy.agrees_with(host)

    async def test_whole_portfolios_are_told_only_when_the_host_has_left(
        self, application: Application, alice: User, as_alice: Client, host: FakeHost
    ) -> None:
        async with opened(application, as_alice) as page:
            await told(page)
            await publish(alice, "PORTFOLIO_UPDATE", '"without streams"')
            await tick(host, 120)
            assert (await told(page))["type"] == "PORTFOLIO_DELTA"
            assert await page.receive_nothing(timeout=0.2)
            host.leave()
            await publish(alice, "PORTFOLIO_UPDATE", '"the last"')
            message = await told(page)
        assert (message["type"], message["data"]) == ("PORTFOLIO_UPDATE", "the last")


class Gate:
    """Stands between the application and a client that does not read."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.is_blocked = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def slow(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.send":
                if not self.is_open.is_set():
                    self.is_blocked.set()
                await self.is_open.wait()
            await send(message)

        await self.application(scope, receive, slow)


async def test_a_socket_that_fails_is_closed_and_does_not_stay_silent(
    application: Application, as_bob: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise LookupError("no row")

    monkeypatch.setattr(services, "snapshot_json", fail)
    page = socket(application, as_bob)
    assert (await page.connect(timeout=PATIENCE))[0]
    closed = await page.receive_output(timeout=PATIENCE)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1011)
    assert "failed" in caplog.text
    await page.disconnect(timeout=PATIENCE)


async def test_a_page_that_leaves_while_it_is_told_something_is_no_failure(
    application: Application, as_bob: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = asyncio.Event()

    async def left(*_: object, **__: object) -> None:
        tried.set()
        raise Disconnected("Attempt to send on a closed protocol")

    monkeypatch.setattr(consumers.PortfolioConsumer, "send", left)
    page = socket(application, as_bob)
    assert (await page.connect(timeout=PATIENCE))[0]
    await asyncio.wait_for(tried.wait(), PATIENCE)
    await page.disconnect(timeout=PATIENCE)
    assert "failed" not in caplog.text


class TestASlowClient:
    async def test_its_backlog_is_dropped_and_the_final_state_is_not(
        self, application: Application, as_alice: Client, host: FakeHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        boxes: list[consumers.Outbox] = []

        class Seen(consumers.Outbox):
            def __init__(self) -> None:
                super().__init__(most_deltas=8)
                self.most = 0
                boxes.append(self)

            def put_delta(self, data: str) -> bool:
                has_room = super().put_delta(data)
                self.most = max(self.most, len(self._deltas))
                return has_room

        monkeypatch.setattr(consumers, "Outbox", Seen)
        gate = Gate(application)
        copy = Copy()
        async with opened(gate, as_alice) as page:
            copy.take(await told(page))
            asked = host.asked
            gate.is_open.clear()
            await tick(host, 119)
            await asyncio.wait_for(gate.is_blocked.wait(), PATIENCE)
            for number in range(100):
                await tick(host, 120 + number)
            assert host.asked == asked  # nothing is asked for a client that does not read
            gate.is_open.set()
            await copy.follow(page, host)
        assert boxes[0].most <= 8
        assert len(copy.kinds) < 12
        assert "SNAPSHOT" in copy.kinds[1:]
        assert copy.agrees_with(host)


class TestMallory:
    async def test_no_subscription_shows_her_anything_of_alices(
        self, application: Application, mallory: User, as_mallory: Client, host: FakeHost
    ) -> None:
        async with opened(application, as_mallory) as page:
            assert (await told(page))["data"]["connections"] == []
            asked = host.asked
            for text in (
                '{"type":"subscribe","topics":["portfolio","status","orders"]}',
                '{"type":"snapshot"}',
            ):
                await page.send_to(text_data=text)
            messages = [await told(page), await told(page)]
            await tick(host, 120)
            await database_sync_to_async(host.tell_all)()
            assert await page.receive_nothing(timeout=0.3)
            await page.send_to(text_data=f'{{"type":"subscribe","topics":["user.{host.user_id}"]}}')
            messages.append(await told(page))
        assert sorted(message["type"] for message in messages) == ["ERROR", "SNAPSHOT", "SUBSCRIBED"]
        assert host.asked == asked
        assert host.book not in json.dumps(messages)


class TestWhatAClientSays:
    async def test_it_chooses_its_topics(
        self, application: Application, alice: User, as_alice: Client, host: FakeHost
    ) -> None:
        copy = Copy()
        async with opened(application, as_alice) as page:
            copy.take(await told(page))
            await page.send_to(text_data='{"type":"unsubscribe","topics":["portfolio"]}')
            message = await told(page)
            assert message["data"] == {"topics": ["status"], "instruments": []}
            copy.sequence = message["sequence"]
            await publish(alice, "ORDER_UPDATE", "{}")
            await tick(host, 120)
            assert await page.receive_nothing(timeout=0.2)
            await page.send_to(text_data='{"type":"subscribe","topics":["portfolio","orders"]}')
            await copy.follow(page, host)
            await publish(alice, "ORDER_UPDATE", "{}")
            copy.take(await told(page))
        assert copy.kinds[-1] == "ORDER_UPDATE"
        assert copy.agrees_with(host)

    async def test_a_snapshot_is_sent_when_it_asks(
        self, application: Application, as_alice: Client, host: FakeHost
    ) -> None:
        async with opened(application, as_alice) as page:
            await told(page)
            await page.send_to(text_data='{"type":"snapshot"}')
            again = await told(page)
            await page.send_to(text_data='{"type":"ping"}')
            alive = await told(page)
        assert (again["type"], again["data"]["book"], alive["type"]) == ("SNAPSHOT", host.book, "HEARTBEAT")

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            "null",
            '{"type":"push","kind":"PORTFOLIO_UPDATE","data":"forged"}',
            '{"type":"subscribe"}',
            '{"type":"subscribe","topics":["everything"]}',
            '{"type":"subscribe","topics":["portfolio"],"user_id":1}',
            '{"type":"subscribe","topics":["portfolio"],"instruments":["NSE:1"]}',
            "[" * 10_000,
        ],
    )
    async def test_nonsense_is_answered_and_closes_nothing(
        self, text: str, application: Application, as_bob: Client
    ) -> None:
        async with opened(application, as_bob) as page:
            await told(page)
            await page.send_to(text_data=text)
            message = await told(page)
            assert (message["type"], message["data"]["code"]) == ("ERROR", "bad_message")
            assert set(message["data"]) == {"code", "message", "remedy"}
            await page.send_to(text_data='{"type":"ping"}')
            assert (await told(page))["type"] == "HEARTBEAT"

    async def test_a_long_message_and_a_binary_one_are_answered(self, application: Application, as_bob: Client) -> None:
        async with opened(application, as_bob) as page:
            await told(page)
            await page.send_to(text_data=" " * (client_messages.LONGEST_MESSAGE + 1))
            await page.send_to(bytes_data=b"\x00")
            codes = [(await told(page))["data"]["code"] for _ in range(2)]
        assert codes == ["message_too_long", "bad_message"]

    async def test_a_flood_closes_the_socket(self, application: Application, as_bob: Client) -> None:
        async with opened(application, as_bob) as page:
            await told(page)
            for _ in range(200):
                await page.send_to(text_data="?")
            errors = 0
            while (output := await page.receive_output(timeout=PATIENCE))["type"] == "websocket.send":
                errors += 1
            assert output["type"] == "websocket.close"
            assert output["code"] == 1008
            assert errors <= client_messages.MESSAGES_AT_ONCE + 2
