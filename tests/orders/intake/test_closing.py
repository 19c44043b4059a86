"""A position is closed once, whoever closes it and whatever the broker's figure does not know of yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from brokers.domain import OrderStatus, OrderType, Product, Side
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import approval, books, inputs, intake, squaring
from orders.models import ChildOrder, IntentStatus, OrderIntent, OrderSettings, SeenOrder, Teller
from orders.refusals import BrokerAway, NoPosition
from tests.orders.conftest import NOW, later
from tests.orders.fakes import Desk, Desks
from tests.orders.intake.conftest import TOKENS, Place, Told, buy, holding, only, position


@pytest.fixture
def close(
    alice: User, infy: Instrument, accounts: dict[str, BrokerConnection], told: Told, last_price: Any, send: intake.Send
) -> Any:
    last_price("1500")
    told("upstox", positions=(position("upstox", 100),))

    def closed(key: str, now: datetime = NOW, quantity: int | None = None) -> OrderIntent:
        return only(
            squaring.square_off(
                user=alice,
                connection_id=accounts["upstox"].pk,
                instrument_id=infy.pk,
                product=Product.MIS,
                quantity=None if quantity is None else Decimal(quantity),
                price=None,
                key=key,
                now=now,
                send=send,
            )
        )

    return closed


def elsewhere(account: BrokerConnection, quantity: int, **changed: Any) -> SeenOrder:
    facts: dict[str, Any] = {
        "broker_connection": account,
        "day": NOW.date(),
        "broker_order_id": "APP-1",
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "broker_token": TOKENS[account.broker_type],
        "side": Side.SELL,
        "order_type": OrderType.LIMIT,
        "product": Product.MIS,
        "validity": "DAY",
        "quantity": Decimal(quantity),
        "filled_quantity": Decimal(0),
        "price": Decimal(1600),
        "status": OrderStatus.OPEN,
        "placed_at": later(-60),
        "seen_at": later(-60),
    }
    return SeenOrder.objects.create(**facts | changed)


def fill(desk: Desk, child: ChildOrder, quantity: int, now: datetime, status: OrderStatus = OrderStatus.FILLED) -> None:
    """The broker's book tells of it."""
    child.refresh_from_db()
    assert child.broker_order_id is not None
    assert child.broker_connection_id is not None
    desk.tell(child.broker_order_id, status, quantity)
    books.take(
        child.broker_connection_id, [desk.orders[child.broker_order_id]], teller=Teller.BOOK, now=now, trades=desk.deals
    )


class TestSquareOff:
    def test_of_two_at_once_one_is_too_late(
        self, close: Any, monkeypatch: pytest.MonkeyPatch, infy: Instrument
    ) -> None:
        """Both have seen the whole position before either is written down."""
        make, others = squaring._wanted, list[OrderIntent]()

        def slow(*args: Any) -> Any:
            wanted = make(*args)
            if not others:
                others.append(OrderIntent())
                others.append(close("key-00002"))
            return wanted

        monkeypatch.setattr(squaring, "_wanted", slow)
        with pytest.raises(NoPosition):
            close("key-00001")
        assert sum(child.quantity for child in ChildOrder.objects.all()) == 100

    def test_one_that_is_on_its_way_counts(self, close: Any) -> None:
        first = close("key-00001")
        OrderIntent.objects.filter(pk=first.pk).update(unsent_quantity=60)
        ChildOrder.objects.update(quantity=40)
        with pytest.raises(NoPosition):
            close("key-00002")

    def test_a_fill_that_the_figure_lacks_counts(
        self, close: Any, told: Told, desks: Desks, accounts: dict[str, BrokerConnection]
    ) -> None:
        child = close("key-00001").children.get()
        told("upstox", positions=(position("upstox", 100),), at=later(1))
        fill(desks[accounts["upstox"]], child, 100, later(1))
        with pytest.raises(NoPosition):
            close("key-00002", now=later(1))

    def test_a_fill_that_the_figure_has_does_not(
        self, close: Any, told: Told, desks: Desks, accounts: dict[str, BrokerConnection]
    ) -> None:
        child = close("key-00001", quantity=60).children.get()
        fill(desks[accounts["upstox"]], child, 60, later(1))
        told("upstox", positions=(position("upstox", 40),), at=later(2))
        assert close("key-00002", now=later(2)).quantity == 40

    def test_a_figure_of_some_seconds_ago_closes_nothing(self, close: Any) -> None:
        with pytest.raises(BrokerAway):
            close("key-00001", now=later(5))

    def test_one_that_waits_for_approval_counts(self, close: Any, alice: User) -> None:
        OrderSettings.objects.create(user=alice, approval_products=["MIS"])
        assert close("key-00001", quantity=70).status == IntentStatus.AWAITING_APPROVAL
        assert close("key-00002").quantity == 30

    def test_approved_it_finds_what_was_closed_meanwhile(
        self, close: Any, alice: User, told: Told, send: intake.Send, accounts: dict[str, BrokerConnection]
    ) -> None:
        OrderSettings.objects.create(user=alice, approval_products=["MIS"])
        waiting = close("key-00001")
        elsewhere(accounts["upstox"], 100)
        done = approval.approve(waiting, user=alice, now=NOW, send=send)
        assert (done.status, ChildOrder.objects.count()) == (IntentStatus.REFUSED, 0)

    def test_an_exit_of_the_brokers_own_app_counts(self, close: Any, accounts: dict[str, BrokerConnection]) -> None:
        elsewhere(accounts["upstox"], 30)
        elsewhere(accounts["upstox"], 50, broker_order_id="APP-2", side=Side.BUY)
        elsewhere(accounts["upstox"], 50, broker_order_id="APP-3", status=OrderStatus.CANCELLED)
        assert close("key-00001").quantity == 70


class TestShares:
    """What is sold of shares, and what money is taken, since the broker's answer."""

    def facts(self, alice: User, infy: Instrument, account: BrokerConnection, now: datetime = NOW) -> Any:
        facts = inputs.gather(alice, buy(infy), now=now)
        return next(each for each in facts.accounts if each.connection_id == str(account.pk))

    def test_a_sale_sent_before_the_answer_and_filled_after_it(
        self,
        alice: User,
        infy: Instrument,
        told: Told,
        place: Place,
        desks: Desks,
        accounts: dict[str, BrokerConnection],
        last_price: Any,
    ) -> None:
        last_price("1500")
        told("upstox", holdings=(holding("upstox", 10),))
        child = only(place(replace(buy(infy, 8), side=Side.SELL))).children.get()
        told("upstox", holdings=(holding("upstox", 10),), at=later(2))
        fill(desks[accounts["upstox"]], child, 3, later(3), OrderStatus.PARTIALLY_FILLED)
        assert self.facts(alice, infy, accounts["upstox"], later(4)).sold == 8
        fill(desks[accounts["upstox"]], child, 8, later(4))
        assert self.facts(alice, infy, accounts["upstox"], later(5)).sold == 8
        told("upstox", holdings=(holding("upstox", 2),), at=later(6))
        assert self.facts(alice, infy, accounts["upstox"], later(7)).sold == 0

    def test_an_outside_order_at_any_price_takes_the_last_price(
        self, alice: User, infy: Instrument, told: Told, accounts: dict[str, BrokerConnection], last_price: Any
    ) -> None:
        last_price("1500")
        bought = {"side": Side.BUY, "product": Product.CNC, "order_type": OrderType.MARKET, "price": None}
        elsewhere(accounts["upstox"], 10, **bought, placed_at=later(1))
        assert self.facts(alice, infy, accounts["upstox"], later(2)).reserved == 15_000

    @pytest.mark.usefixtures("no_price")
    def test_without_any_price_the_money_is_not_known(
        self, alice: User, infy: Instrument, told: Told, place: Place, accounts: dict[str, BrokerConnection]
    ) -> None:
        bought = {"side": Side.BUY, "product": Product.CNC, "order_type": OrderType.MARKET, "price": None}
        elsewhere(accounts["upstox"], 10, **bought, placed_at=later(1))
        assert self.facts(alice, infy, accounts["upstox"], later(2)).available is None
        intent = only(place(buy(infy, connection_ids=(str(accounts["upstox"].pk),)), now=later(2)))
        assert intent.status == IntentStatus.REFUSED
        assert [each["code"] for each in intent.decisions.get().answer["excluded"]] == ["funds_unknown"]

    def test_one_that_is_filled_since_takes_money_too(
        self, alice: User, infy: Instrument, told: Told, accounts: dict[str, BrokerConnection]
    ) -> None:
        bought = {
            "side": Side.BUY,
            "product": Product.CNC,
            "status": OrderStatus.FILLED,
            "filled_quantity": Decimal(10),
        }
        elsewhere(accounts["upstox"], 10, **bought, placed_at=later(1), average_price=Decimal(1500), price=None)
        assert self.facts(alice, infy, accounts["upstox"], later(2)).reserved == 15_000


def test_a_sale_out_of_demat_is_no_short_position(
    alice: User, close: Any, infy: Instrument, accounts: dict[str, BrokerConnection], told: Told
) -> None:
    told("upstox", positions=(position("upstox", -100, Product.CNC),))
    with pytest.raises(NoPosition, match="sold out of demat"):
        squaring.square_off(
            user=alice, connection_id=accounts["upstox"].pk, instrument_id=infy.pk, product=Product.CNC, quantity=None,
            price=None, key="key-cnc-1", now=NOW,
        )  # fmt: skip
    assert not OrderIntent.objects.exists()
