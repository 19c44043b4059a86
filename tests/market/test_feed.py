"""One connection on a made-up socket and clock: opened, watched, opened again, or over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import pytest

from brokers.domain import Exchange, OrderStatus, Streamed, Tick
from brokers.errors import BrokerUnavailable, FeedEnded, RateLimited, SessionEnded
from brokers.streaming import Alive, BookChanged, Event, OrderUpdate, Refused, SessionOver
from market.mailbox import MOST_NEWS, Mailbox
from market.mqtt import MqttClosed, MqttRefused
from market.patience import Pace
from tests.market.feed_rig import (
    APP,
    CONNECTING,
    DOWN,
    LIVE,
    OVER,
    SESSION,
    STALLED,
    START,
    BeatingStream,
    CallingStream,
    QuickStream,
    Rig,
    TalkingStream,
    WordStream,
    closed,
    eventually,
    share,
    turned_away,
)


class TestSubscriptions:
    async def test_wishes_are_asked_for_after_the_greeting(self) -> None:
        rig = Rig()
        assert rig.feed.wish([share(1), share(2), Streamed(Exchange.BSE, "3")]) == [Streamed(Exchange.BSE, "3")]
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear()
            assert rig.wire.sent == ["hello", "+1", "+2"]

    async def test_only_what_changes_is_said(self) -> None:
        rig = Rig()
        rig.feed.wish([share(1), share(2)])
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear()
            rig.feed.wish([share(2), share(3)])
            await rig.hear()
            assert rig.wire.sent[3:] == ["-1", "+3"]

    async def test_a_new_connection_is_asked_for_everything(self) -> None:
        rig = Rig()
        rig.feed.wish([share(1)])
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear(closed())
            await rig.until(DOWN)
            await rig.clock.forward(1)
            await rig.until(LIVE, times=2)
            await rig.hear()
            assert [wire.sent for wire in rig.wires] == [["hello", "+1"]] * 2
            assert rig.wires[0].is_closed

    def test_wishes_keep_to_the_limit(self) -> None:
        assert Rig().feed.wish(map(share, range(7))) == [share(5), share(6)]

    async def test_what_was_not_asked_for_is_not_passed_on(self) -> None:
        rig = Rig()
        rig.feed.wish([share(1)])
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("price 1 10", "price 2 20")
            assert rig.events == [Tick(Exchange.NSE, "1", Decimal(10))]
            assert rig.feed.report.unasked == 1


class TestCalls:
    """Wishes that take calls."""

    @pytest.fixture
    def stream(self) -> CallingStream:
        return CallingStream(APP, SESSION)

    @asynccontextmanager
    async def live(self, stream: CallingStream) -> AsyncIterator[Rig]:
        rig = Rig()
        rig.feed._make = lambda: stream
        rig.feed.wish([share(1), share(2)])
        async with rig.running():
            await rig.until(LIVE)
            yield rig

    async def test_are_made_and_what_they_tell_is_heard(self, stream: CallingStream) -> None:
        async with self.live(stream) as rig:
            await eventually(lambda: len(rig.events) == 2)
            rig.feed.wish([share(2), share(3)])
            await eventually(lambda: len(rig.events) == 3)
            assert stream.calls == ["+1 zerodha", "+2 zerodha", "-1 zerodha", "+3 zerodha"]
            assert [event[1] for event in rig.events if isinstance(event, Tick)] == ["1", "2", "3"]
            assert rig.wire.sent == ["hello"]

    @pytest.mark.parametrize("pause", [None, 30.0])
    async def test_that_fail_are_made_again_while_the_stream_goes_on(
        self, stream: CallingStream, pause: float | None
    ) -> None:
        error: BrokerUnavailable = BrokerUnavailable("Away.")
        if pause is not None:
            error = RateLimited("Too fast.")
            error.retry_after = pause
        stream.ends = [[Alive()], error]
        async with self.live(stream) as rig:
            await eventually(lambda: (pause or 0.5) in rig.clock.slept)
            assert stream.calls == ["+1 zerodha", "+2 zerodha"]
            await rig.hear("price 1 10")
            for _ in range(int(pause or 1)):
                await rig.clock.forward(1)
                await rig.hear("alive")
            await eventually(lambda: len(rig.events) == 3)
            assert stream.calls[2:] == ["+1 zerodha", "+2 zerodha"]
            assert rig.states == [LIVE]

    @pytest.mark.parametrize("end", [SessionEnded("It has ended."), [SessionOver("It has ended.")]])
    async def test_can_end_the_session(self, stream: CallingStream, end: Exception | list[Event]) -> None:
        stream.ends = [end]
        async with self.live(stream) as rig:
            await rig.until(OVER)
            assert rig.feed.report.reason == "It has ended."
            assert stream.calls == ["+1 zerodha"]

    async def test_may_be_refused(self, stream: CallingStream) -> None:
        stream.ends = [[Refused("Too many.", "E1")]]
        async with self.live(stream) as rig:
            await eventually(lambda: len(rig.events) == 1)
            assert (rig.feed.report.refused, rig.states) == (1, [LIVE])


class TestEnds:
    async def test_a_session_that_is_over_is_not_opened_again(self) -> None:
        rig = Rig()
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("over")
            await rig.until(OVER)
            await rig.clock.forward(3600)
        assert (len(rig.wires), rig.feed.report.reason) == (1, "No more.")

    @pytest.mark.parametrize("status", [401, 403])
    async def test_nor_one_that_is_refused_at_the_door(self, status: int) -> None:
        rig = Rig(attempts=[turned_away(status)])
        async with rig.running():
            await rig.until(OVER)
            await rig.clock.forward(3600)
        assert rig.states == [OVER]
        assert rig.wires == []

    @pytest.mark.parametrize("end", [FeedEnded("It has ended."), SessionEnded("It has ended.")])
    async def test_a_session_apart_is_tried_again_after_the_longest_pause(
        self, monkeypatch: pytest.MonkeyPatch, end: Exception
    ) -> None:
        """Another may be had, and whoever has it is heard of late."""
        monkeypatch.setattr(WordStream, "has_own_session", True)
        monkeypatch.setattr(WordStream, "fails", end)
        rig = Rig(pace=Pace(longest=60))
        async with rig.running():
            await rig.until(OVER)
            assert rig.clock.slept[-1] == 60
            monkeypatch.setattr(WordStream, "fails", None)
            await rig.clock.forward(60)
            await rig.until(LIVE)

    async def test_what_refuses_over_mqtt_has_a_code(self) -> None:
        rig = Rig(attempts=[MqttRefused(3), MqttClosed("not connected")])
        async with rig.running():
            await rig.until(DOWN)
            assert rig.feed.report.reason == "The broker answered with MQTT 3."
            await rig.clock.forward(1)
            await rig.until(DOWN, times=2)
            assert rig.feed.report.reason == "It could not be connected to (MqttClosed)."
            await rig.clock.forward(2)
            await rig.until(LIVE)
            await rig.hear(MqttClosed("no reason"))
            await rig.until(DOWN, times=3)
            assert rig.feed.report.reason == "The connection was closed (no reason)."

    async def test_nor_one_that_cannot_even_ask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(WordStream, "fails", SessionEnded("It has ended."))
        rig = Rig()
        async with rig.running():
            await rig.until(OVER)
        assert rig.feed.report.reason == "It has ended."

    @pytest.mark.parametrize("url", ["wss://feed.example.com/", "mqtts://feed.example.com:8883"])
    async def test_a_live_host_is_not_connected_to(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setattr(WordStream, "url", url)
        rig = Rig()
        async with rig.running():
            await rig.until(DOWN)
        assert rig.wires == []
        assert "simulation" in rig.feed.report.reason

    async def test_pauses_double_up_to_the_longest_and_begin_anew(self) -> None:
        rig = Rig(pace=Pace(first=1, longest=8), attempts=[OSError()] * 5)
        async with rig.running():
            for number, pause in enumerate([1, 2, 4, 8, 8], 1):
                await rig.until(DOWN, times=number)
                assert rig.clock.slept[-1] == pause
                await rig.clock.forward(pause)
            await rig.until(LIVE)
            for _ in range(12):
                await rig.clock.forward(5)
                await rig.hear("alive")
            await rig.hear(closed())
            await rig.until(DOWN, times=6)
            assert rig.clock.slept[-1] == 1

    @pytest.mark.parametrize(
        ("asked", "pause"),
        [(turned_away(503, **{"Retry-After": "42"}), 42), (turned_away(503), 0.5), (MqttRefused(3), 0.5)],
    )
    async def test_a_broker_may_ask_for_a_pause(self, asked: Exception, pause: float) -> None:
        rig = Rig(attempts=[asked])
        async with rig.running():
            await rig.until(DOWN)
            assert rig.clock.slept == [pause]

    @pytest.mark.parametrize("pause", [None, 30.0])
    async def test_so_may_the_call_before(self, monkeypatch: pytest.MonkeyPatch, pause: float | None) -> None:
        error: BrokerUnavailable = BrokerUnavailable("Away.")
        if pause is not None:
            error = RateLimited("Too fast.")
            error.retry_after = pause
        monkeypatch.setattr(WordStream, "fails", error)
        rig = Rig()
        async with rig.running():
            await rig.until(DOWN)
            assert rig.clock.slept == [pause or 0.5]

    def test_a_pause_is_never_below_the_least(self) -> None:
        assert Pace(least=300).pause(1, 0.0) == 300
        assert Pace(first=2).pause(3, 0.0) == 4
        assert Pace(first=2).pause(3, 1.0) == 8
        assert Pace().pause(10_000, 1.0) == 60

    async def test_a_bug_of_a_dialect_ends_one_connection_only(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = Rig()
        rig.feed.wish([share(1)])
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("bug")
            await rig.until(DOWN)
            await rig.clock.forward(1)
            await rig.until(LIVE, times=2)
            await rig.hear("price 1 10")
            assert len(rig.events) == 1
        assert "broke" in caplog.text


class TestWatch:
    async def test_a_mute_connection_is_stalled(self) -> None:
        rig = Rig()
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("alive")
            await rig.clock.forward(10)
            assert rig.states == [LIVE]
            await rig.clock.forward(1)
            assert rig.states[:2] == [LIVE, STALLED]
            assert rig.feed.report.last_frame == START

    async def ticking(self, rig: Rig, seconds: int, every: int = 1) -> None:
        rig.feed.wish([share(1)])
        await rig.until(LIVE)
        for second in range(seconds):
            await rig.clock.forward(1)
            await rig.hear("alive" if second % every else f"price 1 {second + 1}")

    async def beating(self, rig: Rig, seconds: int) -> None:
        for _ in range(seconds):
            await rig.clock.forward(1)
            await rig.hear("alive")

    async def test_a_feed_that_ticked_all_the_time_may_not_stop(self) -> None:
        rig = Rig(is_open=True)
        async with rig.running():
            await self.ticking(rig, 60)
            await self.beating(rig, 9)
            assert rig.states[:2] == [LIVE, STALLED]
            assert rig.feed.report.last_tick == START + timedelta(seconds=60)

    async def test_a_quiet_market_is_no_fault(self) -> None:
        """A tick in a minute, and then none for four."""
        rig = Rig(is_open=True)
        async with rig.running():
            await self.ticking(rig, 600, every=60)
            await self.beating(rig, 240)
            assert rig.states == [LIVE]

    async def test_nor_is_a_closed_one(self) -> None:
        rig = Rig(is_open=True)
        async with rig.running():
            await self.ticking(rig, 60)
            rig.is_open = False
            await self.beating(rig, 3600)
            assert rig.states == [LIVE]
            rig.is_open = True
            await self.beating(rig, 29)
            assert rig.states == [LIVE]

    async def test_a_subscription_that_brings_nothing_is_a_fault(self) -> None:
        rig = Rig(is_open=True)
        rig.feed.wish([share(1)])
        async with rig.running():
            await rig.until(LIVE)
            await self.beating(rig, 36)
            await rig.until(LIVE, times=2)
            assert rig.states[:4] == [LIVE, STALLED, CONNECTING, LIVE]
            await self.beating(rig, 50)  # twice as long the second time
            assert rig.states == [LIVE, STALLED, CONNECTING, LIVE]

    async def test_without_wishes_no_ticks_are_expected(self) -> None:
        rig = Rig(is_open=True)
        async with rig.running():
            await rig.until(LIVE)
            await self.beating(rig, 120)
            assert rig.states == [LIVE]

    async def test_a_broker_may_say_how_often_to_beat(self) -> None:
        rig = Rig(kind=QuickStream)
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("alive")
            await rig.clock.forward(7)
            assert rig.wire.sent[1:] == ["beat"] * 4

    @pytest.mark.parametrize(("kind", "sent", "pings"), [(BeatingStream, [], 3), (TalkingStream, ["beat"] * 3, 0)])
    async def test_beats_are_sent(self, kind: type[WordStream], sent: list[str], pings: int) -> None:
        rig = Rig(kind=kind)
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear()
            await rig.clock.forward(13)
            assert (rig.wire.sent[1:], rig.wire.pings) == (sent, pings)


class TestDelivery:
    async def test_a_slow_sink_gets_the_latest_of_each(self) -> None:
        rig = Rig()
        rig.feed.wish([share(1), share(2)])
        rig.gate.clear()
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("price 1 1")
            await rig.hear(*(f"price {token} {price}" for price in range(1, 500) for token in (1, 2)))
            await eventually(rig.wire.frames.empty)
            rig.gate.set()
            await rig.hear()
            ticks = [(tick.exchange_token, int(tick.last_price)) for tick in rig.events if isinstance(tick, Tick)]
            assert ticks == [("1", 1), ("1", 499), ("2", 499)]
            assert rig.feed.report.overwritten == 996

    async def test_a_tick_that_is_overwritten_leaves_its_close(self) -> None:
        box = Mailbox()
        box.put(Tick(Exchange.NSE, "1", Decimal(10), Decimal(9)))
        box.put(Tick(Exchange.NSE, "1", Decimal(11)))
        assert await box.take() == [Tick(Exchange.NSE, "1", Decimal(11), Decimal(9))]

    async def test_too_many_orders_become_one_word(self) -> None:
        box = Mailbox()
        for number in range(MOST_NEWS + 1):
            box.put(OrderUpdate(str(number), OrderStatus.OPEN))
        box.put(OrderUpdate("last", OrderStatus.OPEN))
        assert await box.take() == [OrderUpdate("last", OrderStatus.OPEN), BookChanged()]

    async def test_a_sink_that_fails_is_asked_again(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = Rig()

        async def failing(events: Sequence[object]) -> None:
            rig.events += events
            raise RuntimeError("the sink")

        rig.feed._sink = failing
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("order 1")
            await rig.hear("order 2")
            assert len(rig.events) == 2

    async def test_what_is_unreadable_or_refused_is_counted(self) -> None:
        rig = Rig()
        async with rig.running():
            await rig.until(LIVE)
            await rig.hear("what", b"\x00", "refused")
            report = rig.feed.report
        assert (report.unreadable, report.refused, report.opened, report.state) == (2, 1, 1, LIVE)
