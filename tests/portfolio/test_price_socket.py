"""Single prices over the socket: those that a page asks for, as the market publishes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from brokers.domain import Exchange
from portfolio import price_topic
from portfolio.domain import InstrumentKey
from tests.portfolio.sockets import Application, opened, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "connections_given_back")]


def price_of(token: str, rupees: int, exchange: Exchange = Exchange.NSE) -> Any:
    return SimpleNamespace(
        exchange=exchange,
        exchange_token=token,
        last_price=Decimal(rupees),
        close_price=None,
        as_of=datetime(2026, 11, 23, 5, tzinfo=UTC),
        source="zerodha",
        stale=False,
        asked=False,
    )


class FakeFeed:
    """Prices as the market publishes them."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[Any] = asyncio.Queue()
        self.known: dict[InstrumentKey, Any] = {(Exchange.NSE, "2885"): price_of("2885", 1400)}
        self.is_followed = False
        self.is_fed = True
        self.left = asyncio.Event()

    async def latest(self, instruments: Collection[InstrumentKey]) -> Any:
        return SimpleNamespace(
            is_fed=self.is_fed, prices={key: self.known[key] for key in instruments if key in self.known}
        )

    async def prices(self) -> AsyncIterator[Any]:
        self.is_followed = True
        try:
            while True:
                yield await self.batches.get()
        finally:
            self.is_followed = False
            self.left.set()

    def tell(self, *prices: Any, is_gap: bool = False) -> None:
        self.batches.put_nowait(SimpleNamespace(prices=prices, is_gap=is_gap))


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> FakeFeed:
    feed = FakeFeed()
    monkeypatch.setattr(price_topic.stand, "open_feed", lambda: feed)
    return feed


def subscribing(*instruments: str) -> str:
    return json.dumps({"type": "subscribe", "topic": "prices", "instruments": instruments})


class TestPrices:
    async def test_the_last_price_and_every_later_one_are_told(
        self, application: Application, as_bob: Client, feed: FakeFeed
    ) -> None:
        async with opened(application, as_bob) as page:
            await told(page)
            await page.send_to(text_data=subscribing("NSE:2885", "NSE:3045"))
            messages = [await told(page)]
            if messages[-1]["type"] == "SUBSCRIBED":
                messages.append(await told(page))
            by_kind = {message["type"]: message["data"] for message in messages}
            assert by_kind["SUBSCRIBED"]["instruments"] == ["NSE:2885", "NSE:3045"]
            [first] = by_kind["PRICES"]["prices"]
            assert (first["instrument"], first["last_price"], first["source"]) == ("NSE:2885", "1400.00", "zerodha")
            feed.tell(price_of("3045", 800), price_of("1", 5))
            [second] = (await told(page))["data"]["prices"]
            assert (second["instrument"], second["last_price"]) == ("NSE:3045", "800.00")
            feed.known[Exchange.NSE, "2885"] = price_of("2885", 1410)
            feed.tell(is_gap=True)
            [third] = (await told(page))["data"]["prices"]
            assert third["last_price"] == "1410.00"
            await page.send_to(text_data='{"type":"unsubscribe","topic":"prices"}')
            assert (await told(page))["data"]["instruments"] == []
            feed.tell(price_of("3045", 801))
            assert await page.receive_nothing(timeout=0.2)
            assert not feed.is_followed

    async def test_a_socket_that_closes_listens_no_more(
        self, application: Application, as_bob: Client, feed: FakeFeed
    ) -> None:
        async with opened(application, as_bob) as page:
            await told(page)
            await page.send_to(text_data=subscribing("NSE:2885"))
            await told(page)
            await told(page)
            assert feed.is_followed
        await feed.left.wait()
        assert not feed.is_followed

    async def test_when_the_feed_falls_silent_its_prices_are_told_as_stale(
        self, application: Application, as_bob: Client, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(price_topic, "SILENT_SECONDS", 0.3)
        async with opened(application, as_bob) as page:
            await told(page)
            feed.is_fed = False
            await page.send_to(text_data=subscribing("NSE:2885"))
            messages = [await told(page) for _ in range(3)]
            assert [each["data"]["prices"][0]["stale"] for each in messages if each["type"] == "PRICES"] == [True, True]
            feed.is_fed = True
            feed.tell(price_of("2885", 1401))
            assert (await told(page))["data"]["prices"][0]["stale"] is False

    @pytest.mark.parametrize(
        ("instruments", "code"),
        [
            ([], "no_instruments"),
            (["INFY"], "bad_instrument"),
            (["NSE:"], "bad_instrument"),
            (["NSE:1 2"], "bad_instrument"),
            (["NASDAQ:1"], "bad_instrument"),
            ([f"NSE:{number}" for number in range(201)], "too_many_instruments"),
        ],
    )
    async def test_what_cannot_be_followed_is_refused_with_its_reason(
        self, instruments: list[str], code: str, application: Application, as_bob: Client, feed: FakeFeed
    ) -> None:
        async with opened(application, as_bob) as page:
            await told(page)
            await page.send_to(text_data=subscribing(*instruments))
            assert (await told(page))["data"]["code"] == code
            assert not feed.is_followed

    async def test_where_no_feed_runs_that_is_said(
        self, application: Application, as_bob: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(price_topic.stand, "open_feed", None)
        async with opened(application, as_bob) as page:
            await told(page)
            await page.send_to(text_data=subscribing("NSE:2885"))
            assert (await told(page))["data"]["code"] == "prices_unavailable"
