"""What reduces, while only that goes out: all that goes with it, goes before it or waits for a price is counted."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from accounts.models import User
from brokers.dealing import GttKind, GttLeg, GttStatus
from brokers.domain import OrderStatus, Product, Side
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import amending, gtt, intake
from orders.facts import Wanted
from orders.lifecycle import State
from orders.models import ChildOrder, GttOrder, IntentStatus, OrderIntent, Origin, SeenOrder
from portfolio import halting as switch
from portfolio.halt_refusals import TradingHalted
from portfolio.risk_models import HaltKind, HaltLevel
from tests.orders.conftest import NOW, later
from tests.orders.fakes import Desk, Desks
from tests.orders.halting.conftest import units
from tests.orders.intake.conftest import Place, Told, buy, holding, only, position
from tests.orders.intake.test_gtt import Waiting, WaitingClient

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lock(alice: User) -> Any:
    return partial(
        switch.halt, alice, kind=HaltKind.DAY_LOSS, level=HaltLevel.REDUCE_ONLY, cause="day_loss", reason="", by=None,
        now=NOW,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _long(told: Told, last_price: Any) -> None:
    last_price("1500")
    told("zerodha", positions=(position("zerodha", 100),))


@pytest.fixture
def sell(infy: Instrument, accounts: dict[str, BrokerConnection]) -> Any:
    here = str(accounts["zerodha"].pk)

    def made(quantity: int, **changed: Any) -> Wanted:
        wanted = buy(
            infy, quantity, side=Side.SELL, product=Product.MIS, price=Decimal(1499), connection_ids=(here,)
        )  # fmt: skip
        return replace(wanted, **changed)

    return made


def test_the_orders_of_a_basket_reduce_together(
    alice: User, place: Place, lock: Any, sell: Any, desk: Desk, infy: Instrument
) -> None:
    lock()
    first, second = intake.preview(user=alice, wanted=[sell(100), sell(99)], now=NOW)
    assert (first.answer.is_sent, second.answer.is_sent) == (True, False)
    assert "halted" in {each.code for each in second.answer.refusals}
    assert [each.answer.is_sent for each in intake.preview(user=alice, wanted=[sell(60), sell(40)], now=NOW)] == [
        True,
        True,
    ]
    taken = place(sell(100), sell(99), origin=Origin.BASKET)
    assert {each.status for each in taken.intents} == {IntentStatus.REFUSED}
    assert desk.placed == []


def test_what_was_filled_since_the_position_was_told_is_taken_off_it(
    place: Place, lock: Any, sell: Any, desk: Desk
) -> None:
    lock()
    first = only(place(sell(60), key="key-a-001"))
    ChildOrder.objects.filter(intent=first).update(state=State.FILLED, filled_quantity=60)
    assert only(place(sell(41), key="key-a-002", now=later(3))).reason_code == "halted"
    assert only(place(sell(40), key="key-a-003", now=later(4))).status == IntentStatus.WORKING
    assert [each.quantity for each in desk.placed] == [60, 40]


def test_so_is_what_was_sold_in_the_brokers_own_app(
    place: Place, lock: Any, sell: Any, accounts: dict[str, BrokerConnection]
) -> None:
    lock()
    SeenOrder.objects.create(
        broker_connection=accounts["zerodha"], day=NOW.date(), broker_order_id="Z1", exchange="NSE",
        tradingsymbol="INFY", broker_token="zerodha|1594", side=Side.SELL, order_type="LIMIT", product=Product.MIS,
        quantity=60, filled_quantity=60, status=OrderStatus.FILLED, placed_at=later(1), seen_at=later(2),
    )  # fmt: skip
    assert only(place(sell(41), key="key-a-001", now=later(3))).reason_code == "halted"


def test_of_two_at_once_the_second_finds_the_first(
    alice: User, place: Place, send: intake.Send, lock: Any, sell: Any, desk: Desk
) -> None:
    lock()

    def overtaken(**facts: Any) -> bool:
        """While this one is decided and not sent yet, another is decided and sent."""
        assert only(place(sell(99), key="key-b-002")).status == IntentStatus.WORKING
        return send(**facts)

    late = only(intake.create(user=alice, wanted=[sell(100)], key="key-b-001", now=NOW, send=overtaken))
    assert (late.status, late.reason_code) == (IntentStatus.NOT_PLACED, "halted")
    assert [each.quantity for each in desk.placed] == [99]


@pytest.fixture
def waits(alice: User, infy: Instrument, accounts: dict[str, BrokerConnection]) -> Any:
    def made(quantity: int, **facts: Any) -> GttOrder:
        leg = {"trigger_price": "1400", "price": "1399", "quantity": str(quantity)}
        return GttOrder.objects.create(
            **{
                "user": alice, "broker_connection": accounts["zerodha"], "broker_type": "zerodha", "instrument": infy,
                "kind": GttKind.SINGLE, "side": Side.SELL, "product": Product.MIS, "legs": [leg],
                "status": GttStatus.ACTIVE, "status_since": NOW, "created_at": later(-3600),
            } | facts
        )  # fmt: skip

    return made


@pytest.mark.parametrize("status", [GttStatus.SENDING, GttStatus.ACTIVE, GttStatus.UNKNOWN])
def test_what_waits_for_its_price_is_counted_as_filled(
    status: GttStatus, place: Place, lock: Any, sell: Any, waits: Any
) -> None:
    lock()
    waits(70, status=status)
    assert only(place(sell(31), key="key-c-001")).reason_code == "halted"
    assert only(place(sell(30), key="key-c-002")).status == IntentStatus.WORKING


def test_and_so_is_one_that_was_left_there_meanwhile(
    alice: User, send: intake.Send, lock: Any, sell: Any, waits: Any, desk: Desk
) -> None:
    lock()

    def overtaken(**facts: Any) -> bool:
        waits(70, status=GttStatus.SENDING, created_at=NOW)
        return send(**facts)

    late = only(intake.create(user=alice, wanted=[sell(31)], key="key-c-001", now=NOW, send=overtaken))
    assert (late.reason_code, desk.placed) == ("halted", [])


@pytest.mark.parametrize("status", [GttStatus.CANCELLED, GttStatus.TRIGGERED, GttStatus.NOT_PLACED])
def test_one_that_is_over_is_not(status: GttStatus, place: Place, lock: Any, sell: Any, waits: Any) -> None:
    lock()
    waits(70, status=status)
    assert only(place(sell(100))).status == IntentStatus.WORKING


def test_limits_count_what_waits_as_well(alice: User, sell: Any, waits: Any) -> None:
    waits(70, side=Side.BUY)
    (decision,) = intake.preview(user=alice, wanted=[sell(10)], now=NOW)
    assert decision.facts.risk is not None
    (order,) = decision.facts.risk.orders
    assert (order.side, order.units, order.adds) == (Side.BUY, units(70), Decimal(70 * 1400))


def test_those_that_wait_reduce_together(
    alice: User, lock: Any, infy: Instrument, accounts: dict[str, BrokerConnection], told: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    told("zerodha", holdings=(holding("zerodha", 10),))
    known = Waiting()
    monkeypatch.setattr(gtt, "FEATURE", "holdings")
    monkeypatch.setattr("orders.calling.clients_for", lambda rows, now: {row.pk: WaitingClient(known) for row in rows})
    lock()

    def leave(quantity: int, key: str) -> GttOrder:
        leg = GttLeg(trigger_price=Decimal(1480), price=Decimal(1479), quantity=Decimal(quantity))
        sale = gtt.WantedGtt(
            connection_id=accounts["zerodha"].pk, instrument_id=infy.pk, kind=GttKind.SINGLE, side=Side.SELL,
            product=Product.CNC, legs=(leg,),
        )  # fmt: skip
        return gtt.place(user=alice, wanted=sale, key=key, now=NOW)[0]

    assert leave(6, "key-e-001").status == GttStatus.ACTIVE
    with pytest.raises(TradingHalted):
        leave(5, "key-e-002")
    assert known.calls == 1
    assert leave(4, "key-e-003").status == GttStatus.ACTIVE


class TestChanges:
    @pytest.fixture(autouse=True)
    def _clients(self, desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
        function = __import__("orders.changing", fromlist=["modify"]).modify
        monkeypatch.setitem(function.__kwdefaults__, "clients", desks)

    def change(self, intent: OrderIntent, **change: Any) -> list[Any]:
        return list(amending.amend(intent, user=intent.user, now=later(2), **change).values())

    def test_an_exit_may_be_given_another_price(self, place: Place, lock: Any, sell: Any) -> None:
        lock()
        exit_ = only(place(sell(100)))
        assert self.change(exit_, price=Decimal(1495)) == ["DONE"]
        assert exit_.children.get().price == Decimal(1495)

    def test_so_may_one_that_is_filled_in_part(self, place: Place, lock: Any, sell: Any) -> None:
        lock()
        exit_ = only(place(sell(100)))
        exit_.children.update(state=State.PARTIALLY_FILLED, filled_quantity=40)
        assert self.change(exit_, price=Decimal(1495)) == ["DONE"]

    def test_it_becomes_no_larger(self, place: Place, lock: Any, sell: Any) -> None:
        lock()
        exit_ = only(place(sell(50)))
        with pytest.raises(TradingHalted):
            self.change(exit_, price=Decimal(1495), quantity=Decimal(60))

    def test_nor_what_opens_a_position(self, place: Place, lock: Any, infy: Instrument, sell: Any) -> None:
        opens = only(place(buy(infy), key="key-d-001"))
        beyond = only(place(sell(101), key="key-d-002"))
        lock()
        for order in (opens, beyond):
            with pytest.raises(TradingHalted):
                self.change(order, price=Decimal(1499) + Decimal("0.5"))
            assert order.children.get().changes == 0
