"""No way past approval or the trading switch: not by a low limit, a change, a GTT, or the company of a basket."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache

from accounts.models import User
from brokers.dealing import GttLeg
from brokers.domain import Product, Side
from brokers.errors import NotSupported
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import amending, approval, daybook, gtt, intake
from orders import standing as standing_orders
from orders.models import ChildOrder, GttOrder, IntentStatus, OrderIntent, OrderSettings, Origin
from orders.refusals import ApprovalNeeded, TradingOff
from tests.orders.conftest import NOW, later
from tests.orders.fakes import Desks
from tests.orders.intake.conftest import Place, Told, buy, holding, only
from tests.orders.intake.test_gtt import Waiting, waiting, wanted  # noqa: F401 - fixtures
from tests.orders.intake.test_gtt import place as place_gtt


@pytest.fixture
def limit(alice: User) -> OrderSettings:
    return OrderSettings.objects.create(user=alice, approval_above=Decimal(20_000))


def sale(instrument: Instrument, price: str) -> Any:
    return replace(buy(instrument, 1000), side=Side.SELL, price=Decimal(price))


class TestSale:
    def test_a_low_limit_makes_it_no_cheaper(
        self, limit: OrderSettings, told: Told, place: Place, infy: Instrument, last_price: Any
    ) -> None:
        last_price("1500")
        told("upstox", holdings=(holding("upstox", 1000),))
        intent = only(place(sale(infy, "1460.00")))
        assert (intent.status, intent.reason_code) == (IntentStatus.AWAITING_APPROVAL, "approval_value")
        assert intent.decisions.get().answer["value"] == "1500000.00"

    @pytest.mark.usefixtures("no_price")
    def test_without_a_last_price_nobody_is_asked_for_approval_and_nothing_goes(
        self, limit: OrderSettings, told: Told, place: Place, infy: Instrument
    ) -> None:
        told("upstox", holdings=(holding("upstox", 1000),))
        intent = only(place(sale(infy, "1.00")))
        assert (intent.status, intent.reason_code) == (IntentStatus.REFUSED, "no_reference")


class TestChange:
    @pytest.fixture
    def standing(
        self, limit: OrderSettings, place: Place, infy: Instrument, desks: Desks, monkeypatch: pytest.MonkeyPatch
    ) -> OrderIntent:
        function = __import__("orders.changing", fromlist=["modify"]).modify
        monkeypatch.setitem(function.__kwdefaults__, "clients", desks)
        return only(place(buy(infy)))

    @pytest.mark.parametrize(
        "change", [{"quantity": Decimal(14)}, {"price": Decimal(2001)}, {"quantity": Decimal(1000)}]
    )
    def test_above_the_limit_it_is_refused(
        self, standing: OrderIntent, alice: User, desks: Desks, change: dict[str, Decimal]
    ) -> None:
        with pytest.raises(ApprovalNeeded) as refused:
            amending.amend(standing, user=alice, now=later(1), **change)
        assert refused.value.where == {"rule": "approval_value"}
        child = standing.children.get()
        assert (child.quantity, child.price) == (10, Decimal("1500.05"))
        assert OrderIntent.objects.get().price == Decimal("1500.05")

    def test_below_it_it_goes(self, standing: OrderIntent, alice: User) -> None:
        assert list(amending.amend(standing, user=alice, now=later(1), quantity=Decimal(12)).values()) == ["DONE"]

    def test_a_sale_is_worth_its_last_price(
        self, standing: OrderIntent, alice: User, told: Told, place: Place, infy: Instrument, last_price: Any
    ) -> None:
        last_price("1500")
        told("zerodha", holdings=(holding("zerodha", 1000),))
        sold = only(place(replace(sale(infy, "1540.00"), quantity=Decimal(5)), key="key-00002"))
        with pytest.raises(ApprovalNeeded):
            amending.amend(sold, user=alice, now=later(1), price=Decimal(1), quantity=Decimal(900))

    def test_what_was_approved_may_shrink(
        self,
        limit: OrderSettings,
        standing: OrderIntent,
        alice: User,
        place: Place,
        infy: Instrument,
        send: intake.Send,
    ) -> None:
        large = only(place(buy(infy, 20), key="key-00002"))
        approval.approve(large, user=alice, now=NOW, send=send)
        assert list(amending.amend(large, user=alice, now=later(1), quantity=Decimal(18)).values()) == ["DONE"]
        large.refresh_from_db()
        with pytest.raises(ApprovalNeeded):
            amending.amend(large, user=alice, now=later(2), quantity=Decimal(19))

    def test_not_while_trading_is_off(self, standing: OrderIntent, alice: User, desks: Desks) -> None:
        BrokerConnection.objects.update(trading_enabled_at=None)
        with pytest.raises(TradingOff):
            amending.amend(standing, user=alice, now=later(1), price=Decimal(1499))
        assert standing.children.get().changes == 0

    def test_nor_where_it_is_turned_off_meanwhile(
        self, standing: OrderIntent, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        facts = amending.change_facts

        def off(*args: Any) -> Any:
            found = facts(*args)
            BrokerConnection.objects.update(trading_enabled_at=None)
            return found

        monkeypatch.setattr(amending, "change_facts", off)
        (error,) = amending.amend(standing, user=alice, now=later(1), price=Decimal(1499)).values()
        assert isinstance(error, NotSupported)
        assert (error.code, standing.children.get().changes) == ("trading_off", 0)

    def test_facts_are_read_once(self, standing: OrderIntent, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        child, read = standing.children.get(), list[OrderIntent]()
        child.pk, child.number, child.tag, child.broker_order_id = None, 2, "tother0000000000002", None
        child._state.adding = True
        child.save()
        change_facts = standing_orders.change_facts

        def reads(intent: OrderIntent, *more: Any) -> Any:
            read.append(intent)
            return change_facts(intent, *more)

        monkeypatch.setattr(amending, "change_facts", reads)
        amending.amend(standing, user=alice, now=later(1), price=Decimal(1499))
        assert len(read) == 1


class TestGtt:
    def test_above_the_limit_none_is_left_there(
        self,
        limit: OrderSettings,
        alice: User,
        waiting: Waiting,  # noqa: F811
        wanted: gtt.WantedGtt,  # noqa: F811
    ) -> None:
        leg = GttLeg(trigger_price=Decimal(1400), price=Decimal(1401), quantity=Decimal(15))
        with pytest.raises(ApprovalNeeded) as refused:
            place_gtt(alice, replace(wanted, legs=(leg,)))
        assert refused.value.where == {"rule": "approval_value"}
        assert (waiting.calls, GttOrder.objects.get().reason_code) == (0, "approval_needed")
        assert place_gtt(alice, wanted, key="key-00002").status == "ACTIVE"

    def test_nor_of_a_product_that_waits(
        self,
        alice: User,
        waiting: Waiting,  # noqa: F811
        wanted: gtt.WantedGtt,  # noqa: F811
    ) -> None:
        OrderSettings.objects.create(user=alice, approval_products=[Product.CNC])
        with pytest.raises(ApprovalNeeded):
            place_gtt(alice, wanted)
        assert waiting.calls == 0


class TestBasket:
    def test_if_one_waits_all_wait(self, limit: OrderSettings, place: Place, infy: Instrument) -> None:
        taken = place(buy(infy, 1), buy(infy, 20), origin=Origin.BASKET)
        assert [(each.status, each.reason_code) for each in taken.intents] == [
            (IntentStatus.AWAITING_APPROVAL, "approval_basket"),
            (IntentStatus.AWAITING_APPROVAL, "approval_value"),
        ]
        assert not ChildOrder.objects.exists()

    def test_one_that_waits_for_its_turn_is_left_alone(self, alice: User, infy: Instrument, told: Told) -> None:
        def dies(**more: Any) -> bool:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            intake.create(user=alice, wanted=[buy(infy)], key="key-00001", now=NOW, send=dies)
        assert intake.settle_undecided(later(500)) == 0
        assert intake.settle_undecided(later(901)) == 1
        intent = OrderIntent.objects.get()
        assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "not_sent")


def test_books_are_read_without_redis(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found and nothing is kept there then; to add is what does not forgive."""

    def away(*args: Any, **more: Any) -> bool:
        raise ConnectionError

    monkeypatch.setattr(type(cache._connections[cache._alias]), "add", away)
    assert daybook.orders(alice, NOW)["orders"] == []
