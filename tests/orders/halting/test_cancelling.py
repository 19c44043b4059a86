"""Level (b): whatever is open ends, everywhere at once, whoever placed it; what cannot is told with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database

from brokers.domain import OrderStatus
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    SessionEnded,
)
from brokers.models import BrokerConnection
from orders import changing, failover, halt_lanes, halt_rounds, halting, reconciling, sending
from orders.halt_models import HaltProgress, Outcome, Reach
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderIntent
from portfolio.risk_models import HaltLevel, TradingHalt
from tests.orders.conftest import NOW, Wish, codes, later
from tests.orders.fakes import LOST_REPLY, Desk, Desks, FakeClient
from tests.orders.halting.conftest import Pull, Stand, at

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_stands_at_all_brokers_is_cancelled(
    stand: Stand, pull: Pull, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    children = [stand("zerodha"), stand("zerodha", 3), stand("upstox")]
    stopped = pull()
    for desk in desks.by_connection.values():
        assert {order.status for order in desk.orders.values()} == {OrderStatus.CANCELLED}
    for child in children:
        child.refresh_from_db()
        assert child.state == State.CANCELLED
        assert OrderIntent.objects.get(pk=child.intent_id).status == IntentStatus.CANCELLED
    assert {row.state for row in stopped.progress} == {Reach.SETTLED}
    assert at(stopped, accounts["zerodha"]).counted()[Outcome.CANCELLED] == 2
    assert at(stopped, accounts["upstox"]).counted()[Outcome.CANCELLED] == 1
    assert all(row.next_at is None for row in stopped.progress)


def test_so_is_what_was_placed_in_the_brokers_own_app(
    stand: Stand, pull: Pull, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    child = stand("zerodha")
    known = desk.orders[str(child.broker_order_id)]
    desk.orders["APP-7"] = replace(known, broker_order_id="APP-7", tag=None, quantity=Decimal(4))
    stopped = pull()
    assert desk.orders["APP-7"].status is OrderStatus.CANCELLED
    line = at(stopped, accounts["zerodha"]).lines["APP-7"]
    assert (line["outcome"], line["is_ours"], line["quantity"]) == ("CANCELLED", False, "4")


def test_a_broker_that_is_dead_holds_up_nobody_and_is_gone_on_with(
    stand: Stand, pull: Pull, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    dead, well = stand("zerodha"), stand("upstox")
    desks.away[accounts["zerodha"].pk] = SessionEnded("Log in.")
    stopped = pull()
    row = at(stopped, accounts["zerodha"])
    assert (row.state, row.reason_code) == (Reach.UNREACHABLE, "session_ended")
    assert row.lines[str(dead.broker_order_id)]["outcome"] == Outcome.NOT_ASKED
    assert row.lines[str(dead.broker_order_id)]["code"] == "session_ended"
    well.refresh_from_db()
    assert well.state == State.CANCELLED
    desks.away.clear()
    assert row.next_at is not None
    assert halt_rounds.look_after(later(11)) == []
    assert halt_rounds.look_after(later(40)) == [stopped.row.pk]
    [done] = halt_rounds.go_on(stopped.row.pk, now=later(40), clients=desks)
    dead.refresh_from_db()
    assert (done.state, done.rounds, dead.state) == (Reach.SETTLED, 2, State.CANCELLED)
    assert halt_rounds.look_after(later(500)) == []


@pytest.mark.parametrize("part", ["orders", "gtts"])
def test_what_we_cannot_read_by_a_mistake_of_ours_leaves_no_order_standing_that_we_know(
    part: str,
    stand: Stand,
    pull: Pull,
    desk: Desk,
    desks: Desks,
    accounts: dict[str, BrokerConnection],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told as a reply that nobody can read, logged, and gone on with."""
    child = stand("zerodha")

    reads: Any = getattr(FakeClient, part)

    def mistaken(client: FakeClient) -> Any:
        if client.desk is desk:
            raise KeyError("status")
        return reads(client)

    monkeypatch.setattr(FakeClient, part, mistaken)
    row = at(pull(), accounts["zerodha"])
    assert desk.orders[str(child.broker_order_id)].status is OrderStatus.CANCELLED
    assert str(child.broker_order_id) in row.lines
    assert (row.reason_code, row.next_at is None) == ("unexpected_response", False)
    assert f"`{part}` cannot be mapped" in row.reason
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)
    monkeypatch.undo()
    [done] = halt_rounds.go_on(row.halt_id, now=later(60), clients=desks)
    assert (done.state, done.reason_code) == (Reach.SETTLED, "")


def test_a_lane_that_fails_says_so(
    stand: Stand,
    pull: Pull,
    accounts: dict[str, BrokerConnection],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stand("zerodha")
    monkeypatch.setattr(halt_lanes, "standing_of", lambda row: {}["odd"])
    row = at(pull(), accounts["zerodha"])
    assert (row.reason_code, row.next_at is None) == ("unexpected_response", False)
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)


def test_a_refusal_is_told_with_its_reason_and_asked_again(
    stand: Stand, pull: Pull, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    child = stand("zerodha")
    desk.refuses.append(OrderRejected("no", code="cancel_refused", reason="The auction is on"))
    row = at(pull(), accounts["zerodha"])
    line = row.lines[str(child.broker_order_id)]
    assert (row.state, line["outcome"], line["code"], line["reason"]) == (
        Reach.OPEN,
        "REFUSED",
        "cancel_refused",
        "The auction is on",
    )
    halt_rounds.go_on(row.halt_id, now=later(60), clients=desks)
    row.refresh_from_db()
    assert (row.state, row.counted()[Outcome.CANCELLED]) == (Reach.SETTLED, 1)


def fewer_calls(kind: type[RateLimited] = RateLimited) -> RateLimited:
    return BudgetSpent("Spent.", retry_after=9) if kind is BudgetSpent else RateLimited("Fewer calls.")


@pytest.mark.parametrize("kind", [RateLimited, BudgetSpent, CircuitOpen])
def test_what_wants_fewer_calls_ends_no_lane(
    kind: type[BrokerError], stand: Stand, pull: Pull, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    """It comes at once, so the others are asked for; what it held up is gone on with at once."""
    for _ in range(5):
        stand("zerodha", 3)
    error: BrokerError = CircuitOpen("Open.", retry_at=NOW) if kind is CircuitOpen else fewer_calls(kind)  # type: ignore[arg-type]
    desk.refuses.extend([error] * (6 if kind is RateLimited else 3))
    row = at(pull(), accounts["zerodha"])
    assert (row.state, row.counted()[Outcome.NOT_ASKED], row.counted()[Outcome.CANCELLED]) == (Reach.OPEN, 3, 2)
    for again in (60, 120):
        HaltProgress.objects.update(rounds=5)
        desk.refuses.extend([error] * (4 if kind is RateLimited else 2) if again == 60 else [])
        halt_rounds.go_on(row.halt_id, now=later(again), clients=desks)
        row.refresh_from_db()
        assert row.next_at is None or row.next_at - row.updated_at == timedelta(seconds=halting.WAITS[0])
    assert (row.state, row.counted()[Outcome.CANCELLED]) == (Reach.SETTLED, 5)


def test_a_cancellation_that_came_too_soon_is_asked_for_once_more(
    stand: Stand, pull: Pull, desk: Desk, accounts: dict[str, BrokerConnection]
) -> None:
    stand("zerodha")
    desk.refuses.append(fewer_calls())
    row = at(pull(), accounts["zerodha"])
    assert (row.state, desk.cancels) == (Reach.SETTLED, 2)


def test_two_silences_still_end_a_lane(
    stand: Stand, pull: Pull, desk: Desk, accounts: dict[str, BrokerConnection]
) -> None:  # fmt: skip
    for _ in range(4):
        stand("zerodha")
    desk.refuses.extend(BrokerUnavailable("Away.") for _ in range(4))
    at(pull(), accounts["zerodha"])
    assert desk.cancels == 2


def test_an_answer_that_is_lost_is_read_in_the_book(
    stand: Stand, pull: Pull, desk: Desk, accounts: dict[str, BrokerConnection]
) -> None:
    stand("zerodha")
    desk.refuses.append(OutcomeUnknown("no answer"))
    row = at(pull(), accounts["zerodha"])
    assert (row.state, row.counted()[Outcome.UNKNOWN]) == (Reach.OPEN, 1)


def test_what_nobody_knows_of_is_cancelled_when_it_is_found(
    wish: Wish, pull: Pull, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    intent, decision = wish(("zerodha", 10))
    desk.faults.append(LOST_REPLY)
    desk.hidden.add("z-1")
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    row = at(pull(second=5), accounts["zerodha"])
    assert (row.state, row.in_doubt) == (Reach.OPEN, 1)
    child = intent.children.get()
    assert (child.state, child.cancel_asked_at is not None) == (State.UNKNOWN, True)
    desk.hidden.clear()
    reconciling.run(later(60), desks)
    assert desk.orders["z-1"].status is OrderStatus.CANCELLED
    reconciling.run(later(90), desks)
    child.refresh_from_db()
    assert child.state == State.CANCELLED


def test_what_was_filled_meanwhile_is_told_so(
    stand: Stand, pull: Pull, desk: Desk, accounts: dict[str, BrokerConnection]
) -> None:
    child = stand("zerodha")
    desk.tell(str(child.broker_order_id), OrderStatus.FILLED, 10)
    stopped = pull()
    child.refresh_from_db()
    assert (child.state, at(stopped, accounts["zerodha"]).state) == (State.FILLED, Reach.SETTLED)
    assert desk.cancels == 0


def test_again_is_harmless_and_asks_for_nothing_twice(
    stand: Stand, pull: Pull, desk: Desk, accounts: dict[str, BrokerConnection]
) -> None:
    child = stand("zerodha")
    first = pull()
    again = pull(second=20)
    assert (first.row.pk, TradingHalt.objects.count(), desk.cancels) == (again.row.pk, 1, 1)
    assert at(again, accounts["zerodha"]).counted()[Outcome.CANCELLED] == 1
    assert HaltProgress.objects.count() == 2
    assert codes(child.intent).count("cancel_sent") == 1


def test_what_waits_or_was_not_sent_ends(wish: Wish, pull: Pull) -> None:
    waits, _ = wish(("zerodha", 10), status=IntentStatus.AWAITING_APPROVAL)
    unsent, _ = wish(("zerodha", 10))
    pull()
    for intent in (waits, unsent):
        intent.refresh_from_db()
        assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "halted")


def test_level_a_cancels_nothing_and_lets_nothing_out(
    stand: Stand, wish: Wish, pull: Pull, desk: Desk, desks: Desks
) -> None:
    child = stand("zerodha")
    stopped = pull(HaltLevel.STOP)
    assert (stopped.progress, desk.cancels) == ((), 0)
    intent, decision = wish(("zerodha", 5))
    assert not sending.send(intent=intent, decision=decision, now=later(20), clients=desks)
    intent.refresh_from_db()
    assert (intent.status, intent.reason_code, len(desk.placed)) == (IntentStatus.NOT_PLACED, "halted", 1)
    assert changing.cancel(child, now=later(21), clients=desks) is changing.Asked.DONE


def test_nothing_moves_to_another_broker(
    wish: Wish, pull: Pull, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    intent, decision = wish(("zerodha", 10))
    failover.decide_by(lambda *asked: decision)
    desk.faults.append(BrokerUnavailable("It cannot be reached."))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert failover.due(later(1)) == [intent.pk]
    pull(HaltLevel.STOP, second=2)
    assert not failover.move(intent.pk, now=later(3), clients=desks)
    assert len(desk.placed) == 1
    pull(HaltLevel.CANCEL, second=4)
    assert failover.due(later(5)) == []


def test_an_order_beyond_the_first_slice_stays_unsent(
    wish: Wish, pull: Pull, desk: Desk, desks: Desks
) -> None:  # fmt: skip
    intent, decision = wish(("zerodha", 10), ("zerodha", 10))

    def pause(seconds: float) -> None:
        try:
            pull(HaltLevel.STOP)
        finally:
            database.close()

    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=pause)
    assert len(desk.placed) == 1
    second = ChildOrder.objects.get(intent=intent, number=2)
    assert (second.state, second.reason_code) == (State.NOT_PLACED, "halted")
