"""When limits are looked at: at once after a rest, once in a pause, never at the same time twice, and the last change
counts. And a live host that looks at the book it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import User
from brokers.models import BrokerConnection
from brokers.shared import redis
from brokers.simulation.control import Control
from portfolio import limit_watch
from portfolio.limit_models import LimitWatch
from portfolio.limit_turns import LimitTurns
from portfolio.loading import in_a_thread
from portfolio.risk.limits import Metric, State
from portfolio.risk_models import RiskBreach, RiskLimit
from tests.portfolio.living import QUICK_HOST, Ear, running

INFY = "INE009A01021"


class Looker:
    """Counts who was looked at; a look lasts until it is let go."""

    def __init__(self) -> None:
        self.looked: list[int] = []
        self.go = asyncio.Event()
        self.at_once = self.most = 0

    async def __call__(self, user_id: int) -> None:
        self.looked.append(user_id)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.go.wait()
        self.at_once -= 1


async def settled(turns: LimitTurns) -> None:
    while turns.tasks:
        await asyncio.gather(*turns.tasks)


class TestTurns:
    async def test_what_comes_while_it_is_looked_is_looked_at_once_more(self) -> None:
        looker = Looker()
        turns = LimitTurns(looker, pause=0)
        for _ in range(5):
            turns.note(1)
            await asyncio.sleep(0)
        assert looker.looked == [1]
        looker.go.set()
        await settled(turns)
        assert (looker.looked, looker.most) == ([1, 1], 1)

    async def test_everybody_has_turns_of_their_own(self) -> None:
        looker = Looker()
        turns = LimitTurns(looker, pause=0)
        for user_id in (1, 2, 3):
            turns.note(user_id)
        await asyncio.sleep(0)
        assert sorted(looker.looked) == [1, 2, 3]
        looker.go.set()
        await settled(turns)

    async def test_a_look_that_fails_takes_no_later_one_along(self, caplog: pytest.LogCaptureFixture) -> None:
        looked: list[int] = []

        async def look(user_id: int) -> None:
            looked.append(user_id)
            if len(looked) == 1:
                turns.note(user_id)
                raise LookupError("nobody foresaw it")

        turns = LimitTurns(look, pause=0)
        turns.note(7)
        await settled(turns)
        assert looked == [7, 7]
        assert "limits of user 7" in caplog.text


@pytest.mark.django_db(transaction=True)
class TestALiveHost:
    @pytest.fixture(autouse=True)
    def _streams(self, brokers: Any, settings: Settings) -> Iterator[None]:
        settings.BROKERS = {
            slug: known | {"stream_url": brokers.brokers[slug]["stream_url"] or ""}
            for slug, known in settings.BROKERS.items()
        }
        redis().flushdb()
        yield
        redis().flushdb()

    async def test_it_holds_limits_against_the_book_that_it_tells(
        self, alice: User, alices: dict[str, BrokerConnection], control: Control
    ) -> None:
        ear = Ear(alice)
        await ear.listen()
        async with running(host=replace(QUICK_HOST, between_limits=0.05)):
            await ear.until(lambda ear: ear.portfolio is not None)
            await self.until_looked(alice)
            # Whoever holds anything holds more than a millionth of it there.
            await in_a_thread(
                RiskLimit.objects.filter(user=alice, metric=Metric.ISSUER_PCT).update, warn=Decimal("0.000001")
            )
            price = Decimal(control.market()["prices"]["NSE:INFY"]["last"])
            await in_a_thread(control.set_price, "NSE", str(price + 5), isin=INFY)
            _, event = await ear.next(["RISK_EVENT"])
        assert (event["event"], event["metric"], event["state"]) == ("OPENED", "ISSUER_PCT", State.WARN)
        breaches = await in_a_thread(lambda: list(RiskBreach.objects.values_list("scope_key", flat=True)))
        assert INFY in breaches

    async def test_a_look_that_fails_keeps_no_price_from_the_page(
        self, alice: User, alices: dict[str, BrokerConnection], control: Control, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*args: Any, **kwargs: Any) -> Any:
            raise LookupError("nobody foresaw it")

        monkeypatch.setattr(limit_watch, "evaluate", broken)
        ear = Ear(alice)
        await ear.listen()
        async with running(host=replace(QUICK_HOST, between_limits=0.05, refresh=0.5)):
            await ear.until(lambda ear: ear.portfolio is not None)
            price = Decimal(control.market()["prices"]["NSE:INFY"]["last"])
            await in_a_thread(control.set_price, "NSE", str(price + 5), isin=INFY)
            await ear.until(lambda ear: Decimal(ear.row(INFY)["current_price"]) == price + 5)
            await self.until_looked(alice)
        watch = await in_a_thread(LimitWatch.objects.get, pk=alice.pk)
        assert watch.problem == limit_watch.LOOK_FAILED
        assert not await in_a_thread(RiskLimit.objects.filter(state=State.OK).exists)

    async def until_looked(self, user: User) -> None:
        def has_looked() -> bool:
            return LimitWatch.objects.filter(pk=user.pk).exclude(looked_at=None, problem="").exists()

        async with asyncio.timeout(15):
            while not await in_a_thread(has_looked):
                await asyncio.sleep(0)
