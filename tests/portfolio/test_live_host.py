"""Prices of the simulated brokers, over their own streams, to a user's sockets: through the real Redis and rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import msgspec
import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from brokers import postbacks, reach, registry
from brokers.domain import ConnectionStatus
from brokers.models import BrokerApp, BrokerConnection
from brokers.secret import Secret
from brokers.shared import redis
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import SessionOver
from market.feed import FeedState
from market.masters import load_master
from portfolio import live_process, services, watching
from portfolio.live_host import WANTED
from portfolio.live_process import LiveProcess
from portfolio.loading import in_a_thread
from tests.contract.recorded import payload
from tests.people import connect
from tests.portfolio.living import PATIENCE, SOON, Ear, running

pytestmark = pytest.mark.django_db(transaction=True)

INFY = "INE009A01021"


@pytest.fixture(autouse=True)
def streams(brokers: SimulatedBrokers, settings: Settings) -> Iterator[None]:
    settings.BROKERS = {
        slug: known
        | {"stream_url": brokers.brokers[slug]["stream_url"] or "", "master_url": brokers.brokers[slug]["master_url"]}
        for slug, known in settings.BROKERS.items()
    }
    redis().flushdb()
    yield
    redis().flushdb()


@pytest.fixture
def book(alices: dict[str, BrokerConnection], streams: None) -> dict[str, BrokerConnection]:
    """Alice's accounts, and the instruments that they hold."""
    loaded = load_master(broker_type="upstox", now=timezone.now())
    assert loaded is not None
    assert loaded.outcome == "LOADED", loaded.error_message
    return alices


def price_of(control: Control, key: str) -> Decimal:
    return Decimal(control.market()["prices"][key]["last"])


async def set_price(control: Control, price: Decimal) -> None:
    await in_a_thread(control.set_price, "NSE", str(price), isin=INFY)


async def asked_anew(user: User) -> dict[str, object]:
    """The book as the brokers tell it now, without any stream."""

    def ask() -> dict[str, object]:
        return msgspec.json.decode(services.refresh(user, now=timezone.now()).include)  # type: ignore[union-attr]

    return await in_a_thread(ask)


async def test_a_price_arrives_with_the_exact_total(alice: User, book: object, control: Control) -> None:
    ear = Ear(alice)
    await ear.listen()
    before = await in_a_thread(price_of, control, "NSE:INFY")
    async with running():
        await ear.until(lambda ear: ear.portfolio is not None and ear.row(INFY)["price_state"] == "STREAMED")
        assert ear.number >= 1
        await set_price(control, before + 10)
        await ear.until(lambda ear: Decimal(ear.row(INFY)["current_price"]) == before + 10, SOON)
        assert ear.heard[-1][0] == "PORTFOLIO_DELTA"
        told = ear.total()
        await set_price(control, before)
        await ear.until(lambda ear: Decimal(ear.row(INFY)["current_price"]) == before, SOON)
        quantity = Decimal(ear.row(INFY)["total_quantity"])
        assert told - ear.total() == quantity * 10
        assert ear.total() == Decimal(str((await asked_anew(alice))["total_value"]))
        assert ear.gaps == 0


async def test_another_broker_takes_over_and_without_any_the_page_says_so(
    alice: User, book: object, control: Control
) -> None:
    ear = Ear(alice)
    await ear.listen()
    async with running():
        await ear.until(lambda ear: ear.portfolio is not None and len(live(ear)) == 2)
        await ear.until(lambda ear: ear.row(INFY)["price_state"] == "STREAMED")
        first = ear.row(INFY)["price_source"]
        before = await in_a_thread(price_of, control, "NSE:INFY")
        await in_a_thread(control.set_fault, first, "stream_down")
        await set_price(control, before + 5)
        await ear.until(lambda ear: Decimal(ear.row(INFY)["current_price"]) == before + 5, SOON)
        await ear.until(lambda ear: live(ear) == {"zerodha", "upstox"} - {first}, SOON)
        assert ear.row(INFY)["price_source"] != first
        assert not ear.prices()["stale"]
        for slug in ("zerodha", "upstox"):
            await in_a_thread(control.set_fault, slug, "stream_down")
        await ear.until(lambda ear: ear.prices()["asked"] and not ear.prices()["stale"])
        await set_price(control, before + 7)
        await ear.until(lambda ear: Decimal(ear.row(INFY)["current_price"]) == before + 7, SOON)
        await ear.until(lambda ear: ear.row(INFY)["price_state"] == "ASKED", SOON)
        for slug in ("zerodha", "upstox"):
            await in_a_thread(control.clear_faults, slug)
        await ear.until(lambda ear: not ear.prices()["asked"] and ear.row(INFY)["price_state"] == "STREAMED")
        await set_price(control, before)
        assert ear.gaps == 0


async def test_without_streams_and_without_quotes_the_page_says_stale(
    alice: User, book: object, control: Control
) -> None:
    ear = Ear(alice)
    await ear.listen()
    async with running():
        await ear.until(lambda ear: ear.portfolio is not None and ear.row(INFY)["price_state"] == "STREAMED")
        for slug, path in (("zerodha", "/quote"), ("upstox", "/v3/market-quote")):
            await in_a_thread(lambda slug=slug, path=path: control.set_fault(slug, "server_error", path=path))
            await in_a_thread(control.set_fault, slug, "stream_down")
        await ear.until(lambda ear: ear.prices()["stale"])
        assert not ear.prices()["asked"]
        await ear.until(lambda ear: ear.row(INFY)["price_state"] == "HELD", SOON)
        for slug in ("zerodha", "upstox"):
            await in_a_thread(control.clear_faults, slug)
        await ear.until(lambda ear: not ear.prices()["stale"])
        assert ear.gaps == 0


def live(ear: Ear) -> set[str]:
    return {feed["broker_type"] for feed in ear.prices()["brokers"] if feed["state"] == "LIVE"}


async def test_another_host_takes_over_under_a_new_book(alice: User, book: object, control: Control) -> None:
    ear = Ear(alice)
    await ear.listen()
    before = await in_a_thread(price_of, control, "NSE:INFY")
    async with running("one") as one:
        await ear.until(lambda ear: ear.portfolio is not None and ear.row(INFY)["price_state"] == "STREAMED")
        async with running("two") as two:
            first, second = (one, two) if one.host.told else (two, one)
            old = ear.book
            first.stop()
            await ear.until(lambda ear: ear.book not in (None, old))
            assert alice.pk in second.host.told
            await set_price(control, before + 3)
            await ear.until(lambda ear: Decimal(ear.row(INFY)["current_price"]) == before + 3)
            assert ear.total() == Decimal(str((await asked_anew(alice))["total_value"]))
            assert ear.gaps == 0
            await set_price(control, before)


async def test_who_asks_is_given_a_snapshot_that_deltas_follow(alice: User, book: object, control: Control) -> None:
    ear = Ear(alice)
    await ear.listen()
    before = await in_a_thread(price_of, control, "NSE:INFY")
    async with running():
        await ear.until(lambda ear: ear.portfolio is not None and ear.row(INFY)["price_state"] == "STREAMED")
        book_id, number = ear.book, ear.number
        await in_a_thread(redis().publish, WANTED, str(alice.pk))
        _, snapshot = await ear.next(["PORTFOLIO_SNAPSHOT"])
        assert snapshot["book"] == book_id
        assert snapshot["number"] >= number
        assert [point for point in snapshot["series"]["points"] if point["value"] is not None]
        await set_price(control, before + 1)
        await ear.until(lambda ear: Decimal(ear.row(INFY)["current_price"]) == before + 1, SOON)
        await set_price(control, before)
        assert ear.gaps == 0


async def test_the_day_goes_on_where_the_last_host_ended(alice: User, book: object) -> None:
    ear = Ear(alice)
    await ear.listen()
    points = []
    for owner in ("one", "two"):
        async with running(owner):
            ear.portfolio = None
            await ear.until(lambda ear: ear.portfolio is not None)
            await asyncio.sleep(0.5)  # a value is noted
            await in_a_thread(redis().publish, WANTED, str(alice.pk))
            await ear.next(["PORTFOLIO_SNAPSHOT"])
            points.append([each for each in ear.heard[-1][1]["series"]["points"] if each["value"] is not None])
    assert points[0]
    assert points[1][0] == points[0][0]


async def test_hosted_users_are_left_to_their_host(alice: User, bob: User, book: object) -> None:
    ear = Ear(alice)
    await ear.listen()
    await in_a_thread(watching.watch, bob.pk)
    users = [alice.pk, bob.pk]
    assert await in_a_thread(watching.unhosted, users) == users
    async with running():
        await ear.until(lambda ear: ear.portfolio is not None)
        assert await in_a_thread(watching.unhosted, users) == [bob.pk]  # who has no account to hold
    assert await in_a_thread(watching.unhosted, users) == users


async def test_a_session_that_ended_closes_its_stream(
    alice: User, book: dict[str, BrokerConnection], control: Control
) -> None:
    """Zerodha refuses the socket, its API confirms that, and the connection says why."""
    connection = book["zerodha"]
    ear = Ear(alice)
    await ear.listen()
    await in_a_thread(control.revoke, "zerodha")
    async with running() as process, asyncio.timeout(PATIENCE):
        while await status(connection) != ConnectionStatus.TOKEN_EXPIRED:
            await asyncio.sleep(0.1)
        while connection.pk in process.streams.reports():
            await asyncio.sleep(0.1)


async def test_a_stream_alone_is_not_believed_about_its_session(
    alice: User, book: dict[str, BrokerConnection], control: Control
) -> None:
    """Its word closes it for a while, and the connection stays as it is: the API knows better."""
    connection = book["zerodha"]
    session = connection.session
    assert session is not None
    ear = Ear(alice)
    await ear.listen()
    async with running() as process:
        await ear.until(lambda ear: live(ear) == {"zerodha", "upstox"})
        await process.news(connection.pk, session, SessionOver("The broker does not accept this session."))
        await ear.until(lambda ear: live(ear) == {"upstox"})
        assert await status(connection) == ConnectionStatus.CONNECTED
        assert control.counters("zerodha")["GET /user/profile"] == 1


async def live_since(begun: datetime, connection: BrokerConnection, process: LiveProcess) -> None:
    """Wait until its stream was opened, and is live, since then."""
    async with asyncio.timeout(PATIENCE):
        while True:
            report = process.streams.reports().get(connection.pk, {}).get("prices")
            if report is not None and report.state is FeedState.LIVE and report.since > begun:
                return
            await asyncio.sleep(0.05)


async def test_a_stream_whose_word_nobody_can_confirm_is_opened_again(
    alice: User, book: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = book["zerodha"]
    session = connection.session
    assert session is not None

    def away(*_: object) -> bool:
        raise OperationalError("the database is away")

    ear = Ear(alice)
    await ear.listen()
    async with running() as process:
        await ear.until(lambda ear: live(ear) == {"zerodha", "upstox"})
        monkeypatch.setattr(live_process, "_confirm", away)
        monkeypatch.setattr(live_process, "DISBELIEVED", timedelta(seconds=2))
        told = timezone.now()
        with pytest.raises(OperationalError):
            await process.news(connection.pk, session, SessionOver("The broker does not accept this session."))
        await live_since(told, connection, process)


async def test_a_login_that_ends_the_session_before_it_streams_at_once(
    alice: User, book: object, brokers: SimulatedBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    """Many a time: the old stream says "replaced" while the new session is being stored, or before, or after."""
    connection = await in_a_thread(connect, alice, "iifl", brokers)
    ear = Ear(alice)
    await ear.listen()

    async with running() as process:
        for _ in range(5):
            begun = timezone.now()
            await in_a_thread(connect, alice, "iifl", brokers)
            await live_since(begun, connection, process)
    assert "that its session is over" in caplog.text


async def test_prices_whose_own_session_ended_stream_again_at_once(
    alice: User, book: object, brokers: SimulatedBrokers
) -> None:
    """Another program has logged in for prices with the same keys: the account is well, and its stream was put out."""
    connection = await in_a_thread(connect, alice, "iifl", brokers)
    ear = Ear(alice)
    await ear.listen()

    def log_in_elsewhere() -> None:
        broker, row = registry.load("iifl"), BrokerConnection.objects.get(pk=connection.pk)
        assert row.session is not None
        http = reach.transport_to(broker, account="elsewhere")
        broker.auth(http, reach.app_credentials(alice, "iifl")).reopen_feed(row.session)

    async with running() as process:
        await live_since(connection.created_at, connection, process)
        # What an earlier test left under way may have logged in just now, with the same keys.
        await in_a_thread(redis().delete, f"feed:{connection.pk}:{connection.session_number}:taken")
        begun = timezone.now()
        await in_a_thread(log_in_elsewhere)
        await live_since(begun, connection, process)
        assert await status(connection) == ConnectionStatus.CONNECTED


async def test_orders_stream_on_where_the_session_for_prices_cannot_be_opened(
    alice: User, book: object, brokers: SimulatedBrokers
) -> None:
    """Its keys are wrong. Prices come from elsewhere."""

    def spoil() -> BrokerConnection:
        connection = connect(alice, "iifl", brokers)
        app = BrokerApp.objects.get(user=alice, broker_type="iifl")
        app.extra_encrypted = Secret('{"market_api_key": "wrong", "market_api_secret": "wrong-too"}')
        app.save()
        connection.refresh_from_db()
        connection.feed_token_encrypted = Secret("dead")
        connection.save()
        return connection

    connection = await in_a_thread(spoil)
    ear = Ear(alice)
    await ear.listen()

    def states(process: LiveProcess) -> dict[str, FeedState]:
        return {name: report.state for name, report in process.streams.reports().get(connection.pk, {}).items()}

    async with running() as process, asyncio.timeout(PATIENCE):
        while states(process) != {"prices": FeedState.OVER, "orders": FeedState.LIVE}:
            await asyncio.sleep(0.05)
        opened = process.streams.reports()[connection.pk]["orders"].since
        for _ in range(60):  # rounds, in which it might be closed
            await asyncio.sleep(0.05)
            assert states(process)["orders"] is FeedState.LIVE  # that of prices is tried again meanwhile
        assert process.streams.reports()[connection.pk]["orders"].since == opened


async def test_a_postback_of_an_order_in_the_brokers_book_has_the_account_read_anew(
    alice: User, book: dict[str, BrokerConnection], control: Control
) -> None:
    """Long before its turn."""
    connection = book["zerodha"]
    await in_a_thread(control.serve, "zerodha", "GET /orders", payload("zerodha", "orders.json"))
    bought = await in_a_thread(control.book, "zerodha")
    [infy] = [row for row in bought["holdings"] if row["isin"] == INFY]
    infy["settled"] += 7

    def posted(order_id: str) -> None:
        address = postbacks.make_address(connection, now=timezone.now()).reveal()
        inbox = postbacks.inbox_at(address.rpartition("/")[2])
        assert inbox is not None
        secret = inbox.broker_connection.user.broker_apps.get(broker_type="zerodha").api_secret_encrypted.reveal()
        checksum = sha256(f"{order_id}2026-11-26 10:30:00{secret}".encode()).hexdigest()
        row = {"user_id": connection.account_id, "order_id": order_id, "order_timestamp": "2026-11-26 10:30:00"}
        body = msgspec.json.encode({**row, "status": "COMPLETE", "checksum": checksum})
        now = timezone.now()
        reading = postbacks.receive(inbox, body, {}, now=now)
        assert reading is not None
        assert postbacks.read_orders(connection.pk, now=reading[1]) is None

    ear = Ear(alice)
    await ear.listen()
    async with running():
        await ear.until(lambda ear: ear.portfolio is not None and ear.row(INFY)["price_state"] == "STREAMED")
        before = Decimal(ear.row(INFY)["total_quantity"])
        await in_a_thread(control.set_book, "zerodha", bought)
        await in_a_thread(posted, "100000000000000")
        await ear.until(lambda ear: Decimal(ear.row(INFY)["total_quantity"]) == before + 7, SOON)
        assert ear.gaps == 0


async def status(connection: BrokerConnection) -> str:
    def read() -> str:
        return BrokerConnection.objects.get(pk=connection.pk).status

    return await in_a_thread(read)


async def test_a_lively_market_leaves_the_books_right(
    alice: User, book: object, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    """Reconciled every second, while prices move and deltas flow: never a difference, and the copy is the book."""
    ear = Ear(alice)
    await ear.listen()
    prices = (await in_a_thread(control.market))["prices"]
    async with running():
        await ear.until(lambda ear: ear.portfolio is not None and ear.row(INFY)["price_state"] == "STREAMED")
        await in_a_thread(control.freeze, False)
        await ear.until(lambda ear: sum(kind == "PORTFOLIO_DELTA" for kind, _ in ear.heard) > 12)
        await in_a_thread(control.freeze)
        await asyncio.sleep(1.5)
        await in_a_thread(redis().publish, WANTED, str(alice.pk))
        copy, total = ear.portfolio, None
        while total is None:
            kind, data = await ear.next()
            total = data["portfolio"]["total_value"] if kind == "PORTFOLIO_SNAPSHOT" else None
        assert copy is not None
        assert total == str((await asked_anew(alice))["total_value"])
        assert ear.gaps == 0
    for key, price in prices.items():
        exchange, _, symbol = key.partition(":")
        await in_a_thread(
            lambda e=exchange, s=symbol, p=price: control.set_price(e, p["last"], symbol=s, close_price=p["close"])
        )
    assert "erred" not in caplog.text
