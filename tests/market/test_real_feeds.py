"""The feeds of real dialects: no frame ends one, and over real sockets they come, go and come again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from brokers import reach, registry
from brokers.domain import Tick
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import SessionOver
from market.feed import Feed, FeedReport, FeedState
from market.patience import Pace
from tests.contract.test_streams import KINDS, OTHER_SHARE, PRICES, SHARE, moved, streamed
from tests.market.feed_rig import APP, DOWN, LIVE, OVER, SESSION, STALLED, Rig, WordStream, eventually
from tests.people import connect


@pytest.mark.parametrize("kind", KINDS)
@given(frames=st.lists(st.binary(max_size=300) | st.text(max_size=100), min_size=1, max_size=10))
def test_no_frame_ends_a_feed(kind: Any, frames: list[str | bytes]) -> None:
    """Unless it says in the dialect's own words that the session is over."""
    own = kind(APP, SESSION)
    if any(isinstance(event, SessionOver) for frame in frames for event in own.received(frame)):
        return

    async def fed() -> list[FeedState]:
        rig = Rig()
        rig.feed._make = lambda: kind_on_a_wire(kind)
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear(*frames)
            return rig.states

    assert asyncio.run(fed()) == [LIVE]


def kind_on_a_wire(kind: Any) -> Any:
    """The dialect itself, but for its address."""
    return type(kind.__name__, (kind,), {"opening": WordStream.opening, "fails": None, "url": WordStream.url})(
        APP, SESSION
    )


@dataclass
class Real:
    """A feed of a simulated broker over a real socket."""

    feed: Feed
    brokers: SimulatedBrokers
    slug: str
    ticks: list[Tick]
    reports: list[FeedReport]

    async def move(self, key: str) -> Decimal:
        return await asyncio.to_thread(moved, self.brokers.control, key)

    async def told(self, key: str, price: Decimal) -> None:
        await eventually(lambda: (streamed(key).exchange_token, price) in [tick[1:3] for tick in self.ticks])

    async def until(self, state: FeedState, times: int = 1) -> None:
        await eventually(lambda: [report.state for report in self.reports].count(state) >= times)


@pytest.fixture
async def real(
    slug: str, alice: User, brokers: SimulatedBrokers, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Real]:
    caplog.set_level(logging.DEBUG)
    connection = await sync_to_async(connect)(alice, slug, brokers)
    session, broker = connection.session, registry.load(slug)
    app = await sync_to_async(reach.app_credentials)(alice, slug)
    await sync_to_async(connections.close_all)()
    kind = broker.price_stream
    assert kind is not None
    assert session is not None
    ticks: list[Tick] = []
    reports: list[FeedReport] = []

    async def take(events: Sequence[object]) -> None:
        ticks.extend(event for event in events if isinstance(event, Tick))

    feed = Feed(
        lambda: kind(app, session),
        reach.transport_to(broker, account="test"),
        str(brokers.brokers[slug]["stream_url"]),
        take,
        loopback_only=True,
        on_state=reports.append,
        is_expecting=lambda now: True,
        pace=Pace(first=0.05, watch=0.05, tick_silence=0.5, longest_silence=0.5),
    )
    feed.wish([streamed(SHARE)])
    running = asyncio.create_task(feed.run())
    yield Real(feed, brokers, slug, ticks, reports)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    secrets = [secret for secret in (session.access_token, session.feed_token) if secret]
    assert [secret for secret in secrets if secret.reveal() in caplog.text] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", PRICES)
class TestRealBrokers:
    async def test_ticks_come_and_wishes_change(self, real: Real) -> None:
        await real.told(SHARE, await real.move(SHARE))
        real.feed.wish([streamed(OTHER_SHARE)])
        await real.told(OTHER_SHARE, await real.move(OTHER_SHARE))

    async def test_a_stream_that_went_down_comes_back(self, real: Real) -> None:
        await real.told(SHARE, await real.move(SHARE))
        await asyncio.to_thread(real.brokers.control.set_fault, real.slug, "stream_down")
        await real.until(DOWN, times=2)
        await asyncio.to_thread(real.brokers.control.clear_faults, real.slug)
        await real.until(LIVE, times=2)
        await real.told(SHARE, await real.move(SHARE))

    async def test_a_mute_stream_is_stalled(self, real: Real) -> None:
        await real.told(SHARE, await real.move(SHARE))
        await asyncio.to_thread(real.brokers.control.set_fault, real.slug, "stream_silent")
        await real.until(STALLED)

    async def test_a_revoked_session_is_over(self, real: Real) -> None:
        await real.told(SHARE, await real.move(SHARE))  # so that no wish is still under way, which would be refused
        await asyncio.to_thread(real.brokers.control.revoke, real.slug)
        await asyncio.to_thread(real.brokers.control.set_fault, real.slug, "stream_down")
        await real.until(DOWN)
        await asyncio.to_thread(real.brokers.control.clear_faults, real.slug)
        await real.until(OVER)
        opened = real.feed.report.opened
        await asyncio.sleep(0.2)  # the sockets are real: there is no clock to move
        assert (real.feed.report.state, real.feed.report.opened) == (OVER, opened)
