"""Quotes that nobody waits for: at every broker by its own names, and what becomes of one that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from accounts.models import User
from brokers import reach, registry
from brokers.domain import Exchange, Listing, Session, Streamed
from brokers.models import BrokerConnection
from brokers.secret import Secret
from brokers.simulation.instruments import load_instruments
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import SessionOver
from market.masters import load_master
from market.polling import FIRST_REST, REFUSED_REST, Polled, Polling, batch
from market.streaming import Wanted
from portfolio.fetching import pool
from portfolio.wanted import Names
from tests.people import connect
from tests.portfolio.test_wanted import INFY, with_masters

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
NSE_INFY = Streamed(Exchange.NSE, "1594", isin=INFY)


@dataclass
class Asked:
    """One of Alice's connections, and a polling whose clock stands where it is put."""

    connection: UUID
    wanted: Wanted
    polled: list[Polled]
    contract: str
    now: datetime = NOW
    over: list[UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.polling = Polling(pool, self._hear, clock=lambda: self.now)

    async def _hear(self, connection: UUID, session: Session, over: SessionOver) -> None:
        self.over.append(connection)

    async def prices(self) -> dict[str, Decimal] | None:
        ticks = await self.polling.ask(self.connection, self.wanted, self.polled)
        return None if ticks is None else {tick.exchange_token: tick.last_price for tick in ticks}

    def may_ask(self, after: timedelta = timedelta()) -> bool:
        return self.polling.may_ask(self.connection, self.wanted.session, self.polled[0], self.now + after)


Make = Callable[..., Asked]


@pytest.fixture
def make(alice: User, brokers: SimulatedBrokers, settings: object) -> Make:
    def made(slug: str) -> Asked:
        """With the names of its own master, of one share and one contract."""
        with_masters(settings, brokers)
        connection: BrokerConnection = connect(alice, slug, brokers)
        loaded = load_master(broker_type=slug, now=timezone.now())
        assert loaded is not None
        assert loaded.outcome == "LOADED", loaded.error_message
        prices = brokers.control.market()["prices"]
        [contract, *_] = [each for each in load_instruments() if each.exchange == "NFO" and each.key in prices]
        keys = [(Exchange.NSE, "1594"), (Exchange.NFO, contract.exchange_token)]
        names = Names().of(keys, timezone.now())
        streamed = (NSE_INFY, Streamed(*keys[1]))
        session = connection.session
        assert session is not None
        wanted = Wanted(broker=slug, app=reach.app_credentials(alice, slug), session=session)
        polled = [Polled(each, names[key][slug]) for each, key in zip(streamed, keys, strict=True)]
        connections.close_all()
        return Asked(connection.pk, wanted, polled, contract.key)

    return made


@pytest.mark.parametrize("slug", registry.slugs())
async def test_at_every_broker_by_its_own_name(slug: str, make: Make, brokers: SimulatedBrokers) -> None:
    asked = await sync_to_async(make)(slug)
    told = brokers.control.market()["prices"]
    for each in asked.polled:
        [found] = (await replace(asked, polled=[each]).prices() or {}).items()
        symbol = "NSE:INFY" if each.wanted == NSE_INFY else asked.contract
        assert found == (each.wanted.exchange_token, Decimal(told[symbol]["last"]))


async def test_one_that_fails_rests_longer_each_time(make: Make, brokers: SimulatedBrokers) -> None:
    asked = await sync_to_async(make)("zerodha")
    brokers.control.set_fault("zerodha", "server_error", path="/quote")
    assert await asked.prices() is None
    assert not asked.may_ask(FIRST_REST - timedelta(seconds=1))
    assert asked.may_ask(FIRST_REST)
    asked.now += FIRST_REST
    assert await asked.prices() is None
    assert not asked.may_ask(FIRST_REST)
    assert asked.may_ask(2 * FIRST_REST)
    brokers.control.clear_faults("zerodha")
    assert await asked.prices()
    assert asked.over == []


async def test_one_that_refuses_is_left_alone_for_long(make: Make, brokers: SimulatedBrokers) -> None:
    """As Kite does to a free "Personal" app; the connection itself is as well as before."""
    asked = await sync_to_async(make)("zerodha")
    refusal = {"status": "error", "message": "Insufficient permission", "error_type": "PermissionException"}
    brokers.control.serve("zerodha", "GET /quote/ohlc", refusal, status=403)
    assert await asked.prices() is None
    assert not asked.may_ask(REFUSED_REST - timedelta(seconds=1))
    assert asked.may_ask(REFUSED_REST)
    status = await sync_to_async(lambda: BrokerConnection.objects.get(pk=asked.connection).status)()
    await sync_to_async(connections.close_all)()
    assert (status, asked.over) == ("CONNECTED", [])


async def test_a_session_that_has_ended_is_told(make: Make, brokers: SimulatedBrokers) -> None:
    asked = await sync_to_async(make)("zerodha")
    brokers.control.revoke("zerodha")
    assert await asked.prices() is None
    assert asked.over == [asked.connection]
    assert not asked.may_ask()


async def test_what_a_broker_does_not_know_is_asked_of_others(make: Make) -> None:
    asked = await sync_to_async(make)("zerodha")
    nobody = Polled(
        Streamed(Exchange.NSE, "424242"),
        Listing(exchange=Exchange.NSE, tradingsymbol="NOBODY", broker_token="NOBODY"),
    )
    asked.polled = [nobody, asked.polled[0]]
    assert set(await asked.prices() or {}) == {"1594"}
    assert not asked.may_ask()
    assert asked.may_ask(REFUSED_REST)
    assert asked.polling.may_ask(asked.connection, asked.wanted.session, asked.polled[1], NOW)


async def test_a_login_anew_is_asked_whatever_the_session_before_it_was_told(
    make: Make, brokers: SimulatedBrokers
) -> None:
    asked = await sync_to_async(make)("zerodha")
    refusal = {"status": "error", "message": "Insufficient permission", "error_type": "PermissionException"}
    brokers.control.serve("zerodha", "GET /quote/ohlc", refusal, status=403)
    old, new = asked.wanted, replace(asked.wanted, session=replace(asked.wanted.session, feed_token=Secret("anew")))
    assert await asked.prices() is None
    asked.wanted = new
    assert asked.may_ask()
    brokers.control.serve_nothing("zerodha")
    assert await asked.prices()
    assert asked.may_ask()
    asked.wanted = old  # an answer of the old one, however late, says nothing of the new one
    brokers.control.serve("zerodha", "GET /quote/ohlc", refusal, status=403)
    assert await asked.prices() is None
    asked.wanted = new
    assert asked.may_ask()


async def test_a_dead_key_tells_no_secret(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    asked = await sync_to_async(make)("upstox")
    dead = replace(asked.wanted.session, access_token=Secret("dead-token-of-alice"))
    asked.wanted = replace(asked.wanted, session=dead)
    assert await asked.prices() is None
    assert "dead-token-of-alice" not in caplog.text


def test_one_call_is_of_one_segment_and_no_larger_than_the_broker_allows() -> None:
    def polled(exchange: Exchange, token: int) -> Polled:
        listing = Listing(exchange=exchange, tradingsymbol=str(token), broker_token=str(token))
        return Polled(Streamed(exchange, str(token)), listing)

    due = [polled(Exchange.NSE, 1), polled(Exchange.NFO, 2), polled(Exchange.BSE, 3), polled(Exchange.NSE, 4)]
    assert [each.wanted.exchange_token for each in batch(due, 50)] == ["1", "3", "4"]
    assert [each.wanted.exchange_token for each in batch(due, 2)] == ["1", "3"]
    assert [each.wanted.exchange_token for each in batch(due[1:], 50)] == ["2"]
