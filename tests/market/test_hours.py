"""Hours that are asked all the time, and what processes tell each other of their feeds."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.conf import settings as project
from pytest_django import Settings
from redis.asyncio import Redis

from brokers.domain import Exchange
from market.feed import FeedReport, FeedState
from market.feed_states import FeedStates, told
from market.hours import Hours

MORNING = datetime.fromisoformat("2026-11-26T10:00:00+05:30")
NIGHT = datetime.fromisoformat("2026-11-26T22:00:00+05:30")
SATURDAY = datetime.fromisoformat("2026-11-28T10:00:00+05:30")
FEED = UUID(int=1)


class TestHours:
    @pytest.fixture(autouse=True)
    def by_the_calendar(self, settings: Settings, db: None) -> None:
        settings.MARKET_AROUND_THE_CLOCK = False

    def test_as_the_calendar_says(self) -> None:
        hours = Hours()
        assert not hours.is_open(Exchange.NSE, MORNING)  # nothing was read yet
        hours.read(MORNING)
        assert hours.is_open(Exchange.NSE, MORNING)
        assert not hours.is_open(Exchange.NSE, NIGHT)
        assert hours.is_open(Exchange.MCX, NIGHT)

    def test_the_trading_day_begins_with_trading(self) -> None:
        hours = Hours()
        hours.read(MORNING)
        day = hours.trading_day(MORNING)
        assert day is not None
        assert (day[0].isoformat(), day[0].date()) == ("2026-11-26T09:15:00+05:30", day[1].date())
        assert hours.trading_day(SATURDAY) is None

    def test_around_the_clock(self, settings: Settings) -> None:
        settings.MARKET_AROUND_THE_CLOCK = True
        assert Hours().is_open(Exchange.NSE, SATURDAY)
        day = Hours().trading_day(SATURDAY)
        assert day is not None
        assert day[1] - day[0] == timedelta(days=1)


async def test_a_feed_that_is_tried_in_vain_is_down_since_the_first_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "market.feed_states")
    redis: Redis = Redis.from_url(project.CACHES["default"]["LOCATION"])
    states = FeedStates(redis)
    later = [MORNING + timedelta(seconds=number) for number in range(5)]
    seen = []
    for state, reason, since in (
        (FeedState.CONNECTING, "", later[0]),
        (FeedState.LIVE, "", later[1]),
        (FeedState.DOWN, "It was closed.", later[2]),
        (FeedState.CONNECTING, "It was closed.", later[3]),
        (FeedState.DOWN, "It was closed.", later[4]),
    ):
        await states.tell({FEED: {"prices": FeedReport(state=state, since=since, reason=reason)}})
        found = (await told(redis, [FEED]))[FEED]
        seen.append((found.state, found.since, found.is_well))
    await redis.aclose()
    down = (FeedState.DOWN, later[2], False)
    assert seen == [(FeedState.CONNECTING, later[0], True), (FeedState.LIVE, later[1], True), down, down, down]
    assert len(caplog.records) == 3
