"""Of an order and a halt one comes first: it is seen on its way, or it does not go. However many threads there are."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.db import connections, transaction

from accounts.models import User
from brokers.dealing import OrderChange, OrderRequest
from brokers.domain import OrderType, Validity
from brokers.errors import HeldBack
from brokers.models import BrokerConnection
from brokers.shared import RedisAway, ledger
from orders import changing, sending
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderIntent
from portfolio import halting, latch
from portfolio.halt_refusals import NotHalted
from portfolio.latch import May
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt
from tests.orders.cleared import change_it
from tests.orders.conftest import NOW, Wish, later
from tests.orders.fakes import Desk, Desks
from tests.orders.halting.conftest import Pull, Stand, lose_redis

pytestmark = pytest.mark.django_db(transaction=True)
STOP = {"level": HaltLevel.STOP, "cause": "person", "reason": "", "by": None}


def halt(user: User, **more: Any) -> halting.Pulled:
    return halting.halt(user, kind=HaltKind.KILL, now=NOW, **STOP | more)


def ready(user: User) -> None:
    assert halting.standing(user.pk).readable


class TestTheRace:
    ORDERS = 60

    def test_no_order_enters_after_the_switch_was_pulled(
        self, wish: Wish, alice: User, desks: Desks, accounts: dict[str, BrokerConnection],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """Many threads place at once; the exchange notes when each order entered, by one clock for all."""
        wishes = [wish((broker, 5)) for broker in accounts for _ in range(self.ORDERS // 2)]
        entries: list[float] = []
        quarter = threading.Event()
        entered = Desk.enter

        def enter(desk: Desk, request: OrderRequest) -> str:
            entries.append(time.monotonic())
            if len(entries) >= self.ORDERS // 4:
                quarter.set()
            return entered(desk, request)

        monkeypatch.setattr(Desk, "enter", enter)

        def place(one: Any) -> None:
            try:
                sending.send(intent=one[0], decision=one[1], now=NOW, clients=desks, pause=lambda _: None)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(12) as threads:
            placing = [threads.submit(place, one) for one in wishes]
            assert quarter.wait(60)
            pulled = halt(alice)
            returned = time.monotonic()
            for each in placing:
                each.result()
        assert pulled.in_flight == ()
        assert self.ORDERS // 4 <= len(entries) < self.ORDERS
        assert [moment for moment in entries if moment > returned] == []
        states = set(ChildOrder.objects.values_list("state", flat=True))
        assert states <= {State.PENDING, State.NOT_PLACED}
        assert ChildOrder.objects.filter(state=State.PENDING).count() == len(entries)
        held = OrderIntent.objects.filter(status=IntentStatus.NOT_PLACED)
        assert held.count() == self.ORDERS - len(entries)
        assert set(held.values_list("reason_code", flat=True)) == {"halted"}

    def test_an_order_on_its_way_is_waited_for(
        self, wish: Wish, alice: User, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        intent, decision = wish(("zerodha", 10))
        at_the_broker, answer = threading.Event(), threading.Event()
        entered, order = desk.enter, []

        def enter(request: OrderRequest) -> str:
            at_the_broker.set()
            assert answer.wait(30)
            order.append("entered")
            return entered(request)

        def on_the_way(user_id: int) -> list[str]:
            found = looked(user_id)
            answer.set()  # only once somebody has seen it on its way
            return found

        looked = latch.on_the_way
        monkeypatch.setattr(desk, "enter", enter)
        monkeypatch.setattr(latch, "on_the_way", on_the_way)
        with ThreadPoolExecutor(1) as threads:
            sent = threads.submit(_send, intent, decision, desks)
            assert at_the_broker.wait(30)
            pulled = halt(alice)
            order.append("returned")
            sent.result()
        assert (order, pulled.in_flight) == (["entered", "returned"], ())

    def test_one_that_does_not_come_back_is_told_of(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(halting, "LANDING_SECONDS", 0.0)
        ready(alice)
        assert latch.enter(alice.pk, "t1", May.OPEN) is None
        assert halt(alice).in_flight == ("t1",)
        latch.leave(alice.pk, "t1")
        assert halt(alice).in_flight == ()


def _send(intent: Any, decision: Any, desks: Desks) -> None:
    try:
        sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    finally:
        connections.close_all()


class TestASlowDatabase:
    def test_it_holds_before_its_row_is_written(
        self, wish: Wish, alice: User, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody holds the table of halts for long: the row waits, and no order goes all the same."""
        intent, decision = wish(("zerodha", 10))
        ready(alice)
        written = threading.Event()
        recorded = halting._recorded

        def slowly(*args: Any) -> TradingHalt:
            written.set()
            return recorded(*args)

        monkeypatch.setattr(halting, "_recorded", slowly)
        with ThreadPoolExecutor(1) as threads:
            with transaction.atomic(), database.cursor() as cursor:
                cursor.execute("LOCK TABLE risk_trading_halts IN SHARE MODE")
                pulling = threads.submit(_halt_and_close, alice)
                assert written.wait(30)
                assert latch.enter(alice.pk, "t1", May.OPEN) is not None
                assert not sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
                assert not TradingHalt.objects.exists()
            row = pulling.result().row
        assert (TradingHalt.objects.get(), desk.placed) == (row, [])

    def test_a_row_that_could_not_be_written_is_written_later(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*args: Any) -> TradingHalt:
            raise ConnectionError

        with monkeypatch.context() as patch:
            patch.setattr(halting, "_recorded", away)
            with pytest.raises(ConnectionError):
                halt(alice, cause="rejects", reason="Too many.")
        assert (halting.standing(alice.pk).level, TradingHalt.objects.exists()) == (HaltLevel.STOP, False)
        assert halting.record_all(later(5)) == 1
        row = TradingHalt.objects.get()
        assert (row.level, row.cause, row.reason, row.set_at) == (HaltLevel.STOP, "rejects", "Too many.", NOW)
        assert halting.record_all(later(6)) == 0
        halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=later(7))
        assert halting.standing(alice.pk).halts == ()


def _halt_and_close(user: User) -> halting.Pulled:
    try:
        return halt(user)
    finally:
        connections.close_all()


class TestRedis:
    def test_what_it_has_lost_is_latched_again_from_the_rows(self, alice: User) -> None:
        halt(alice)
        lose_redis()
        assert isinstance(latch.enter(alice.pk, "t1", May.OPEN), HeldBack)
        assert halting.standing(alice.pk).level == HaltLevel.STOP
        lose_redis()
        halting.record_all(NOW)
        assert latch.read(alice.pk)[HaltKind.KILL].level == "STOP"  # type: ignore[index]

    def test_nothing_passes_of_a_user_whose_rows_nobody_has_read(self, alice: User) -> None:
        held = latch.enter(alice.pk, "t1", May.OPEN)
        assert held is not None
        assert held.code == "halt_unreadable"
        ready(alice)
        assert latch.enter(alice.pk, "t1", May.OPEN) is None

    def test_a_reading_during_which_it_was_lost_or_latched_lets_nothing_through(self, alice: User) -> None:
        def lost() -> Any:
            lose_redis()
            return ()

        def pulled() -> Any:
            latch.latch(alice.pk, "KILL", "STOP", {})
            return ()

        assert not latch.make_ready(alice.pk, lost)
        assert latch.make_ready(alice.pk, pulled)
        assert latch.enter(alice.pk, "t1", May.OPEN) is not None

    def test_many_who_read_at_once_void_nobodys_reading(self, alice: User) -> None:
        def others() -> Any:
            assert latch.make_ready(alice.pk, lambda: ())
            return ()

        assert latch.make_ready(alice.pk, others)
        lose_redis()

        def begun() -> Any:
            assert not latch.make_ready(alice.pk, lambda: [("KILL", "STOP", 1, {}), lose_redis()][:1])  # type: ignore[list-item]
            return ()

        assert not latch.make_ready(alice.pk, begun)

    def test_while_it_is_away_no_order_goes_and_cancelling_does(
        self, stand: Stand, wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = stand("zerodha")

        class Away:
            def ask(self, question: Any, **_: Any) -> Any:
                raise RedisAway

        monkeypatch.setattr(latch, "ledger", Away)
        intent, decision = wish(("zerodha", 5))
        assert not sending.send(intent=intent, decision=decision, now=later(1), clients=desks)
        intent.refresh_from_db()
        assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "halt_unreadable")
        assert len(desk.placed) == 1
        assert changing.cancel(child, now=later(2), clients=desks) is changing.Asked.DONE

    def test_a_halt_that_was_set_while_it_was_away_stands_by_its_row(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Away:
            def ask(self, question: Any, **_: Any) -> Any:
                raise RedisAway

        with monkeypatch.context() as patch:
            patch.setattr(latch, "ledger", Away)
            assert halt(alice).in_flight is None
        assert halting.standing(alice.pk).level == HaltLevel.STOP
        with monkeypatch.context() as patch:
            patch.setattr(latch, "ledger", Away)
            monkeypatch.setattr(halting, "_adopted", lambda *_: 0)
            halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=later(9))
        assert halting.standing(alice.pk).halts == ()
        assert latch.enter(alice.pk, "t1", May.OPEN) is None

    def test_and_is_latched_for_everybody_by_the_next_look(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        """Away from one process alone, it has lost nothing, and so nobody would read the rows anew."""
        ready(alice)

        class Away:
            def ask(self, question: Any, **_: Any) -> Any:
                raise RedisAway

        with monkeypatch.context() as patch:
            patch.setattr(latch, "ledger", Away)
            halt(alice)
        assert latch.enter(alice.pk, "t1", May.OPEN) is None
        halting.record_all(later(1))
        assert latch.enter(alice.pk, "t2", May.OPEN) is not None

    def test_a_silence_of_a_moment_ago_keeps_no_halt_from_being_latched(self, alice: User) -> None:
        ready(alice)
        ledger()._note(away=True, why="TimeoutError")
        with pytest.raises(RedisAway):
            latch.read(alice.pk)
        assert halt(alice).in_flight == ()
        assert latch.enter(alice.pk, "t1", May.OPEN) is not None

    def test_one_that_ends_meanwhile_is_not_latched_again(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        ready(alice)
        halt(alice)
        row = TradingHalt.objects.get()
        halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=later(9))
        halting._latch_again(alice.pk, [row], {})
        assert latch.enter(alice.pk, "t1", May.OPEN) is None

    def test_what_is_left_of_one_that_ended_makes_no_new_one(self, alice: User) -> None:
        ready(alice)
        row = halt(alice).row
        halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=later(9))
        latch.latch(alice.pk, HaltKind.KILL, HaltLevel.STOP, halting.facts_of(row), row=row.pk)
        with pytest.raises(NotHalted):
            halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=later(10))
        assert TradingHalt.objects.count() == 1
        assert latch.enter(alice.pk, "t1", May.OPEN) is None

    def test_what_was_pulled_over_what_is_left_of_one_stands(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = halt(alice).row
        halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=later(9))
        latch.latch(alice.pk, HaltKind.KILL, HaltLevel.STOP, halting.facts_of(row), row=row.pk)
        latch.latch(alice.pk, HaltKind.KILL, HaltLevel.STOP, {"cause": "rejects"})
        assert halting.standing(alice.pk).level == HaltLevel.STOP
        assert halting.record_all(later(11)) == 1


class TestWhatPasses:
    @pytest.mark.parametrize(
        ("level", "passing"),
        [
            (HaltLevel.REDUCE_ONLY, {May.REDUCE, May.CLOSE}),
            (HaltLevel.STOP, set()),
            (HaltLevel.CANCEL, set()),
            (HaltLevel.FLATTEN, {May.CLOSE}),
        ],
    )
    def test_by_level_alike_in_redis_and_here(self, alice: User, level: HaltLevel, passing: set[May]) -> None:
        halt(alice, level=level)
        standing = halting.standing(alice.pk)
        for may in May:
            assert standing.passes(may) == (may in passing)
            assert (latch.enter(alice.pk, f"t{may}", may) is None) == (may in passing)

    def test_of_two_halts_both_must_let_it_through(self, alice: User) -> None:
        halting.halt(alice, kind=HaltKind.DAY_LOSS, now=NOW, **STOP)
        ready(alice)
        assert latch.enter(alice.pk, "t1", May.REDUCE) is None
        halt(alice)
        assert latch.enter(alice.pk, "t2", May.CLOSE) is not None

    def test_an_order_may_be_made_smaller_and_in_no_other_way_changed(
        self, stand: Stand, pull: Pull, desk: Desk, desks: Desks
    ) -> None:
        child = stand("zerodha")
        pull(HaltLevel.STOP)
        larger, dearer, smaller = (
            OrderChange(order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=quantity, price=price)
            for quantity, price in ((Decimal(11), child.price), (Decimal(10), Decimal(1600)), (Decimal(4), child.price))
        )
        for change in (larger, dearer):
            with pytest.raises(HeldBack):
                change_it(child, change, now=later(20), clients=desks)
            child.refresh_from_db()
            assert desk.orders[str(child.broker_order_id)].quantity == 10
        assert change_it(child, smaller, now=later(30), clients=desks) is changing.Asked.DONE
        assert desk.orders[str(child.broker_order_id)].quantity == 4
