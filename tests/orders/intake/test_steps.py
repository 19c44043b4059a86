"""What comes after: approval, changes, cancellations, square-off."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import AuditEntry, User
from brokers.domain import OrderStatus, OrderType, Product, Side
from brokers.errors import NotSupported, OrderRejected
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import amending, approval, failover, intake, squaring
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderIntent, OrderSettings, SeenOrder
from orders.refusals import (
    ApprovalTooLate,
    BreaksRule,
    BrokerAway,
    NoPosition,
    NotAwaitingApproval,
    NothingStands,
    OutcomeOpen,
    SeveralStand,
    UnknownConnection,
)
from tests.orders.conftest import NOW, later
from tests.orders.fakes import LOST_REPLY, Desks
from tests.orders.intake.conftest import Place, Told, buy, only, position


@pytest.fixture
def waiting(place: Place, infy: Instrument, alice: User) -> OrderIntent:
    OrderSettings.objects.create(user=alice, approval_above=Decimal(1000))
    return only(place(buy(infy)))


class TestApproval:
    def test_a_large_order_waits_and_nothing_is_sent(self, waiting: OrderIntent, desks: Desks) -> None:
        assert (waiting.status, waiting.reason_code) == (IntentStatus.AWAITING_APPROVAL, "approval_value")
        assert waiting.approval_due_at == later(600)
        assert not desks.by_connection

    def test_approved_it_is_decided_anew_and_sent(
        self, waiting: OrderIntent, alice: User, told: Told, send: intake.Send
    ) -> None:
        told("zerodha", cash=0, at=later(60))
        told("upstox", at=later(60))
        done = approval.approve(waiting, user=alice, now=later(60), send=send)
        assert (done.status, done.decided_by) == (IntentStatus.WORKING, alice)
        assert [child.broker_type for child in done.children.all()] == ["upstox"]
        assert done.decisions.count() == 2
        assert AuditEntry.objects.filter(event="order.approved").count() == 1

    def test_it_is_sent_once(self, waiting: OrderIntent, alice: User, send: intake.Send) -> None:
        approval.approve(waiting, user=alice, now=later(5), send=send)
        waiting.status = IntentStatus.AWAITING_APPROVAL  # as a second request read it before
        with pytest.raises(NotAwaitingApproval):
            approval.approve(waiting, user=alice, now=later(5), send=send)
        assert ChildOrder.objects.count() == 1

    @pytest.mark.parametrize("seconds", [600, 86_400])
    def test_too_late_is_never(self, waiting: OrderIntent, alice: User, seconds: int, send: intake.Send) -> None:
        with pytest.raises(ApprovalTooLate):
            approval.approve(waiting, user=alice, now=later(seconds), send=send)
        waiting.refresh_from_db()
        assert waiting.status == IntentStatus.EXPIRED
        assert not ChildOrder.objects.exists()

    def test_time_ends_it(self, waiting: OrderIntent) -> None:
        assert approval.expire_all(later(599)) == 0
        assert approval.expire_all(later(600)) == 1
        waiting.refresh_from_db()
        assert (waiting.status, waiting.reason_code) == (IntentStatus.EXPIRED, "approval_expired")

    def test_without_an_end_it_is_over(self, waiting: OrderIntent) -> None:
        OrderIntent.objects.update(approval_due_at=None)
        assert approval.expire_all(NOW) == 1

    def test_what_cannot_be_sent_any_more_is_refused(
        self, waiting: OrderIntent, alice: User, told: Told, send: intake.Send
    ) -> None:
        told("zerodha", cash=0)
        told("upstox", cash=0)
        done = approval.approve(waiting, user=alice, now=later(5), send=send)
        assert (done.status, done.reason_code) == (IntentStatus.REFUSED, "nowhere_to_go")

    def test_declined_it_ends(self, waiting: OrderIntent, alice: User) -> None:
        assert approval.decline(waiting, user=alice, now=later(5)).status == IntentStatus.DECLINED
        with pytest.raises(NotAwaitingApproval):
            approval.decline(waiting, user=alice, now=later(6))

    def test_cancelled_it_ends_too(self, waiting: OrderIntent, alice: User) -> None:
        assert amending.cancel(waiting, user=alice, now=later(5)) == {}
        waiting.refresh_from_db()
        assert waiting.status == IntentStatus.DECLINED

    def test_a_setting_that_cannot_be_read_holds_everything(self, place: Place, infy: Instrument, alice: User) -> None:
        OrderSettings.objects.create(user=alice, approval_products=["NONSENSE"])
        intent = only(place(buy(infy)))
        assert (intent.status, intent.reason_code) == (IntentStatus.AWAITING_APPROVAL, "approval_unreadable")


class TestChanges:
    @pytest.fixture
    def standing(self, place: Place, infy: Instrument, desks: Desks, monkeypatch: pytest.MonkeyPatch) -> OrderIntent:
        monkeypatch.setattr("orders.calling.clients_for", desks)
        for name in ("modify", "cancel", "send_cancel", "cancel_all"):
            function = getattr(__import__("orders.changing", fromlist=[name]), name)
            monkeypatch.setitem(function.__kwdefaults__, "clients", desks)
        return only(place(buy(infy)))

    def test_the_price_is_changed_at_the_broker(self, standing: OrderIntent, alice: User, desks: Desks) -> None:
        said = amending.amend(standing, user=alice, now=later(1), price=Decimal("1499.95"))
        assert list(said.values()) == ["DONE"]
        child = standing.children.get()
        assert child.price == Decimal("1499.95")
        assert desks[child.broker_connection].orders[child.broker_order_id].price == Decimal("1499.95")
        assert OrderIntent.objects.get().price == Decimal("1499.95")

    def test_a_price_off_the_tick_goes_nowhere(self, standing: OrderIntent, alice: User) -> None:
        with pytest.raises(BreaksRule) as refused:
            amending.amend(standing, user=alice, now=later(1), price=Decimal("1499.97"))
        assert refused.value.where == {"rule": "off_tick"}
        assert standing.children.get().price == Decimal("1500.05")

    def test_it_does_not_move_to_where_it_meets_ones_own_order(
        self, standing: OrderIntent, alice: User, infy: Instrument, accounts: dict[str, BrokerConnection]
    ) -> None:
        child = standing.children.get()
        other = next(name for name in ("zerodha", "upstox") if name != child.broker_type)
        SeenOrder.objects.create(
            broker_connection=accounts[other], day=NOW.date(), broker_order_id="1", exchange="NSE",
            tradingsymbol="INFY", broker_token=f"{other}|1594", side=Side.SELL, order_type=OrderType.LIMIT,
            product=Product.CNC, validity="DAY", quantity=1, filled_quantity=0, price=Decimal("1500.10"),
            status=OrderStatus.OPEN, seen_at=NOW,
        )  # fmt: skip
        with pytest.raises(BreaksRule) as refused:
            amending.amend(standing, user=alice, now=later(1), price=Decimal("1500.10"))
        assert refused.value.where == {"rule": "self_trade"}
        assert str(accounts[other].display_name or accounts[other].broker_name) in str(refused.value)
        assert list(amending.amend(standing, user=alice, now=later(1), price=Decimal(1500)).values()) == ["DONE"]

    def test_it_does_not_grow_beyond_what_the_exchange_freezes(
        self, standing: OrderIntent, alice: User, infy: Instrument
    ) -> None:
        Instrument.objects.update(freeze_quantity=Decimal(12))
        with pytest.raises(BreaksRule) as refused:
            amending.amend(standing, user=alice, now=later(1), quantity=Decimal(13))
        assert refused.value.where == {"rule": "above_freeze"}
        assert list(amending.amend(standing, user=alice, now=later(1), quantity=Decimal(12)).values()) == ["DONE"]

    def test_it_is_not_changed_more_often_than_its_broker_lets(self, standing: OrderIntent, alice: User) -> None:
        assert standing.children.get().broker_type == "zerodha"
        ChildOrder.objects.update(changes=25)
        with pytest.raises(BreaksRule) as refused:
            amending.amend(standing, user=alice, now=later(1), price=Decimal(1500))
        assert refused.value.where == {"rule": "too_many_changes"}

    def test_an_account_that_was_taken_away_is_told_so(
        self, standing: OrderIntent, alice: User, accounts: dict[str, BrokerConnection]
    ) -> None:
        for row in accounts.values():
            row.delete()
        [answer] = amending.amend(standing, user=alice, now=later(1), price=Decimal(1500)).values()
        assert isinstance(answer, NotSupported)
        assert answer.code == "connection_gone"

    def test_what_is_not_known_is_not_changed(self, standing: OrderIntent, alice: User) -> None:
        ChildOrder.objects.update(state=State.UNKNOWN)
        with pytest.raises(OutcomeOpen):
            amending.amend(standing, user=alice, now=later(1), price=Decimal(1499))

    def test_the_quantity_of_several_cannot_be_changed_in_one(
        self, standing: OrderIntent, alice: User, accounts: dict[str, BrokerConnection]
    ) -> None:
        child = standing.children.get()
        child.pk, child.number, child.tag = None, 2, "tother0000000000002"
        child._state.adding = True
        child.save()
        with pytest.raises(SeveralStand):
            amending.amend(standing, user=alice, now=later(1), quantity=Decimal(5))

    def test_it_is_cancelled_and_cannot_be_twice(self, standing: OrderIntent, alice: User, desks: Desks) -> None:
        assert list(amending.cancel(standing, user=alice, now=later(1)).values()) == ["DONE"]
        child = standing.children.get()
        assert desks[child.broker_connection].orders[child.broker_order_id].status is OrderStatus.CANCELLED
        ChildOrder.objects.update(state=State.CANCELLED)
        OrderIntent.objects.update(status=IntentStatus.CANCELLED)
        standing.refresh_from_db()
        with pytest.raises(NothingStands):
            amending.cancel(standing, user=alice, now=later(2))
        with pytest.raises(NothingStands):
            amending.amend(standing, user=alice, now=later(2), price=Decimal(1499))


class TestSquareOff:
    @pytest.fixture
    def wanted(self, alice: User, infy: Instrument, accounts: dict[str, BrokerConnection], told: Told) -> Any:
        def close(broker: str = "upstox", quantity: int | None = None, now: Any = NOW) -> Any:
            return squaring.wanted_to_close(
                user=alice,
                connection_id=accounts[broker].pk,
                instrument_id=infy.pk,
                product=Product.MIS,
                quantity=None if quantity is None else Decimal(quantity),
                now=now,
            )

        return close

    @pytest.mark.parametrize(("held", "side"), [(10, Side.SELL), (-10, Side.BUY)])
    def test_it_goes_where_the_position_is(
        self, wanted: Any, told: Told, held: int, side: Side, accounts: dict[str, BrokerConnection]
    ) -> None:
        told("upstox", positions=(position("upstox", held),))
        order = wanted()
        assert (order.side, order.quantity, order.product, order.order_type) == (
            side,
            Decimal(10),
            Product.MIS,
            OrderType.MARKET,
        )
        assert order.connection_ids == (str(accounts["upstox"].pk),)
        assert order.reduces

    def test_it_is_sent_there_and_nowhere_else(
        self, wanted: Any, told: Told, place: Place, last_price: Any, infy: Instrument
    ) -> None:
        last_price("1500")
        told("upstox", cash=0, positions=(position("upstox", 10),))
        intent = only(place(wanted(), origin="SQUARE_OFF"))
        assert [(child.broker_type, child.side) for child in intent.children.all()] == [("upstox", "SELL")]
        assert not failover.is_open(intent, [], NOW)

    def test_what_closes_already_is_not_closed_twice(
        self, wanted: Any, told: Told, place: Place, last_price: Any
    ) -> None:
        last_price("1500")
        told("upstox", positions=(position("upstox", 10),))
        place(replace(wanted(quantity=4)), origin="SQUARE_OFF")
        assert wanted().quantity == 6
        place(wanted(), origin="SQUARE_OFF", key="key-00002", confirm_duplicate=True)
        with pytest.raises(NoPosition):
            wanted()

    def test_no_position_is_told(self, wanted: Any) -> None:
        with pytest.raises(NoPosition):
            wanted()

    def test_a_broker_that_cannot_be_asked_closes_nothing_elsewhere(self, wanted: Any, told: Told) -> None:
        told("upstox", positions=(position("upstox", 10),), at=later(-60))
        with pytest.raises(BrokerAway):
            wanted()

    def test_nobody_elses_account(self, wanted: Any, accounts: dict[str, BrokerConnection], mallory: User) -> None:
        BrokerConnection.objects.filter(pk=accounts["upstox"].pk).update(user=mallory)
        with pytest.raises(UnknownConnection):
            wanted()


def test_a_rejected_order_moves_by_a_fresh_decision(
    place: Place, infy: Instrument, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    """`intake.decide_anew` is what failover asks: it leaves out where it was, and keeps the decision."""
    desks[accounts["zerodha"]].faults.append(OrderRejected("No."))
    intent = only(place(buy(infy)))
    row = intake.decide_anew(intent, Decimal(10), frozenset({accounts["zerodha"].pk}), later(1))
    assert row is not None
    assert [child["broker_type"] for child in row.answer["children"]] == ["upstox"]
    codes = {each["broker_type"]: each["code"] for each in row.answer["excluded"]}
    assert codes == {"zerodha": "tried_already"}
    assert intent.decisions.count() == 2
    nowhere = intake.decide_anew(intent, Decimal(10), frozenset(row.pk for row in accounts.values()), later(2))
    assert nowhere is None


def test_what_may_be_at_a_broker_is_no_part_of_what_moves(
    place: Place, infy: Instrument, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    """Nor where its account is not asked any more, because its owner disconnected it."""
    desks[accounts["zerodha"]].faults.append(LOST_REPLY)
    intent = only(place(buy(infy)))
    row = intake.decide_anew(intent, Decimal(4), frozenset(), later(1))
    assert row is not None
    assert [(each["broker_type"], each["quantity"]) for each in row.answer["children"]] == [("upstox", "4")]
    accounts["zerodha"].status = "DISCONNECTED"
    accounts["zerodha"].save()
    again = intake.decide_anew(intent, Decimal(4), frozenset(), later(2))
    assert again is not None
    assert [each["quantity"] for each in again.answer["children"]] == ["4"]


class TestMovesByItself:
    @pytest.fixture
    def tried(self, place: Place, infy: Instrument, last_price: Any) -> OrderIntent:
        last_price("1500")
        return only(place(buy(infy, order_type=OrderType.MARKET, price=None)))

    @pytest.mark.parametrize(("price", "moves"), [("1507.50", True), ("1508", False), ("1400", True)])
    def test_only_at_a_price_that_it_could_have_had(
        self, tried: OrderIntent, last_price: Any, accounts: dict[str, BrokerConnection], price: str, *, moves: bool
    ) -> None:
        last_price(price, at=later(1))
        row = intake.decide_anew(tried, Decimal(10), frozenset({accounts["zerodha"].pk}), later(1))
        assert (row is not None) is moves
        assert tried.events.filter(code="move_beyond_collar").exists() is not moves

    def test_not_where_nobody_knows_what_it_cost_then(
        self, tried: OrderIntent, accounts: dict[str, BrokerConnection]
    ) -> None:
        tried.market_price = None
        assert intake.decide_anew(tried, Decimal(10), frozenset({accounts["zerodha"].pk}), later(1)) is None

    @pytest.mark.parametrize("approved", [False, True])
    def test_not_without_the_approval_that_it_needs_by_now(
        self, tried: OrderIntent, alice: User, accounts: dict[str, BrokerConnection], *, approved: bool
    ) -> None:
        OrderSettings.objects.create(user=alice, approval_above=Decimal(1000))
        tried.decided_at = NOW if approved else None
        row = intake.decide_anew(tried, Decimal(10), frozenset({accounts["zerodha"].pk}), later(1))
        assert (row is not None) is approved
        assert tried.events.filter(code="move_needs_approval").exists() is not approved
