"""Taking orders in: once per key, decided by the facts, stored whole, and sent."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database

from accounts.models import AuditEntry, User
from brokers import registry
from brokers.domain import Exchange, InstrumentKind, OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import OutcomeUnknown
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import deciding, intake
from orders.facts import plain
from orders.inputs import gather_all
from orders.lifecycle import State
from orders.models import (
    ChildOrder,
    IdempotencyKey,
    IntentStatus,
    OrderIntent,
    OrderSettings,
    Origin,
    SeenOrder,
)
from orders.refusals import ConfirmDuplicate, KeyMissing, KeyReused, UnknownConnection, UnknownInstrument
from portfolio.services import NoBrokerConnections
from tests.orders.conftest import NOW, codes, later
from tests.orders.fakes import Desks
from tests.orders.intake.conftest import Place, Told, buy, holding, only
from tests.people import trader


def test_an_order_goes_to_the_cheapest_broker_and_says_why(place: Place, infy: Instrument, desks: Desks) -> None:
    intent = only(place(buy(infy)))
    assert intent.status == IntentStatus.WORKING
    (child,) = intent.children.all()
    assert (child.broker_type, child.quantity, child.price, child.state) == (
        "zerodha",
        Decimal(10),
        Decimal("1500.05"),
        State.PENDING,
    )
    answer = intent.decisions.get().answer
    assert answer["why"].startswith("Via Zerodha (NSE): charges of ₹17.81")
    assert answer["next_best"]["difference"] is not None
    assert answer["total_charges"] == answer["costs"][0]["total"]
    (sent,) = desks[child.broker_connection].placed
    assert (sent.order_type, sent.price, sent.tag) == (OrderType.LIMIT, Decimal("1500.05"), child.tag)


def test_a_market_order_leaves_as_a_limit_near_the_last_price(place: Place, infy: Instrument, last_price: Any) -> None:
    last_price("1500")
    intent = only(place(buy(infy, order_type=OrderType.MARKET, price=None)))
    (child,) = intent.children.all()
    assert (child.order_type, child.price) == (OrderType.LIMIT, Decimal("1507.5"))
    assert intent.market_price == Decimal(1500)


@pytest.mark.usefixtures("no_price")
def test_without_a_price_an_order_at_any_price_is_refused(place: Place, infy: Instrument) -> None:
    intent = only(place(buy(infy, order_type=OrderType.MARKET, price=None)))
    assert (intent.status, intent.reason_code) == (IntentStatus.REFUSED, "price_unknown")
    assert not intent.children.exists()


def test_an_index_cannot_be_ordered(place: Place, infy: Instrument) -> None:
    Instrument.objects.filter(pk=infy.pk).update(kind=InstrumentKind.INDEX)
    intent = only(place(buy(infy)))
    assert (intent.status, intent.reason_code) == (IntentStatus.REFUSED, "not_tradable")
    assert not intent.children.exists()


def offer(monkeypatch: pytest.MonkeyPatch, slug: str, **less: Any) -> None:
    change_spec(monkeypatch, slug, capabilities=replace(registry.load(slug).spec.capabilities, **less))


def change_spec(monkeypatch: pytest.MonkeyPatch, slug: str, **facts: Any) -> None:
    load = registry.load
    told = replace(load(slug), spec=replace(load(slug).spec, **facts))
    monkeypatch.setattr(registry, "load", lambda name: told if name == slug else load(name))


class TestWhoTakesNoPart:
    def codes(self, intent: OrderIntent) -> dict[str, str]:
        return {each["broker_type"]: each["code"] for each in intent.decisions.get().answer["excluded"]}

    def test_where_trading_is_off(self, place: Place, infy: Instrument, accounts: dict[str, BrokerConnection]) -> None:
        BrokerConnection.objects.filter(pk=accounts["zerodha"].pk).update(trading_enabled_at=None)
        intent = only(place(buy(infy)))
        assert [child.broker_type for child in intent.children.all()] == ["upstox"]
        assert self.codes(intent) == {"zerodha": "trading_off"}

    def test_whose_money_does_not_reach(self, place: Place, infy: Instrument, told: Told) -> None:
        told("zerodha", cash=100)
        assert self.codes(only(place(buy(infy)))) == {"zerodha": "funds_too_small"}

    def test_whose_money_is_not_known_is_not_taken_for_rich(self, place: Place, infy: Instrument, told: Told) -> None:
        told("zerodha", cash=None)
        assert self.codes(only(place(buy(infy)))) == {"zerodha": "funds_unknown"}

    def test_who_does_not_list_it(self, place: Place, infy: Instrument) -> None:
        infy.listings.filter(broker_type="zerodha").delete()
        assert self.codes(only(place(buy(infy)))) == {"zerodha": "not_listed"}

    def test_who_takes_no_orders_at_that_exchange(
        self, place: Place, infy: Instrument, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A broker lists more than it takes orders for: it is left out before anything is sent."""
        offer(monkeypatch, "zerodha", exchanges=(Exchange.BSE, Exchange.MCX))
        intent = only(place(buy(infy)))
        assert [child.broker_type for child in intent.children.all()] == ["upstox"]
        assert self.codes(intent) == {"zerodha": "exchange_not_offered"}

    def test_who_does_not_offer_the_validity(
        self, place: Place, infy: Instrument, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        offer(monkeypatch, "zerodha", validities=(Validity.DAY,))
        intent = only(place(buy(infy, validity=Validity.IOC)))
        assert [child.broker_type for child in intent.children.all()] == ["upstox"]
        assert self.codes(intent) == {"zerodha": "validity_not_offered"}

    def test_who_counts_lots_of_nobody_knows_how_many_units(
        self, place: Place, infy: Instrument, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change_spec(monkeypatch, "zerodha", counts_lots_at=(Exchange.NSE,))
        assert self.codes(only(place(buy(infy)))) == {"zerodha": "units_unknown"}

    def test_whose_money_an_order_of_unknown_units_may_take(
        self, place: Place, infy: Instrument, accounts: dict[str, BrokerConnection]
    ) -> None:
        SeenOrder.objects.create(
            broker_connection=accounts["zerodha"],
            day=NOW.date(),
            broker_order_id="outside",
            exchange=Exchange.MCX,
            tradingsymbol="CRUDEOIL26DECFUT",
            broker_token="570001",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            product=Product.NRML,
            validity=Validity.DAY,
            quantity=1,
            filled_quantity=0,
            price=5500,
            status=OrderStatus.OPEN,
            placed_at=later(1),
            seen_at=later(1),
        )
        assert self.codes(only(place(buy(infy)))) == {"zerodha": "funds_unknown"}

    def test_nobody_left_is_a_refusal_with_every_reason(self, place: Place, infy: Instrument, told: Told) -> None:
        told("zerodha", cash=0)
        told("upstox", cash=0)
        intent = only(place(buy(infy)))
        assert (intent.status, intent.reason_code) == (IntentStatus.REFUSED, "nowhere_to_go")
        assert set(self.codes(intent).values()) == {"funds_too_small"}

    def test_only_the_accounts_that_were_named(
        self, place: Place, infy: Instrument, accounts: dict[str, BrokerConnection]
    ) -> None:
        intent = only(place(buy(infy, connection_ids=(str(accounts["upstox"].pk),))))
        assert [child.broker_type for child in intent.children.all()] == ["upstox"]


class TestSales:
    def sale(self, infy: Instrument, quantity: int) -> Any:
        return buy(infy, quantity, side=Side.SELL)

    def test_shares_are_sold_where_they_are(self, place: Place, infy: Instrument, told: Told) -> None:
        told("upstox", holdings=(holding("upstox", 10),))
        intent = only(place(self.sale(infy, 10)))
        assert [(child.broker_type, child.quantity) for child in intent.children.all()] == [("upstox", Decimal(10))]

    def test_a_second_sale_finds_what_the_first_left(self, place: Place, infy: Instrument, told: Told) -> None:
        told("upstox", holdings=(holding("upstox", 10),))
        told("zerodha", holdings=(holding("zerodha", 4),))
        first = only(place(self.sale(infy, 10), key="key-00001"))
        second = only(place(self.sale(infy, 4), key="key-00002", now=later(1)))
        sold: dict[str, Decimal] = {}
        for child in ChildOrder.objects.all():
            sold[child.broker_type] = sold.get(child.broker_type, Decimal(0)) + child.quantity
        assert sold == {"upstox": Decimal(10), "zerodha": Decimal(4)}
        assert first.unsent_quantity == second.unsent_quantity == 0

    def test_pledged_and_unsettled_shares_stay(self, place: Place, infy: Instrument, told: Told) -> None:
        told("upstox", holdings=(holding("upstox", 3, t1_quantity=Decimal(4), pledged_quantity=Decimal(5)),))
        intent = only(place(self.sale(infy, 12)))
        assert [child.quantity for child in intent.children.all()] == [Decimal(3)]
        assert intent.unsent_quantity == Decimal(9)

    def test_unsettled_ones_go_where_their_owner_allows_it(
        self, place: Place, infy: Instrument, told: Told, alice: User
    ) -> None:
        OrderSettings.objects.create(user=alice, sells_unsettled=True)
        told("upstox", holdings=(holding("upstox", 3, t1_quantity=Decimal(4)),))
        intent = only(place(self.sale(infy, 7)))
        assert [child.quantity for child in intent.children.all()] == [Decimal(7)]


def test_money_that_an_unknown_order_may_take_is_not_spent_twice(
    place: Place, infy: Instrument, told: Told, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    told("zerodha", cash=16_000)
    told("upstox", cash=16_000, holdings=(holding("upstox", 200),))
    desks[accounts["zerodha"]].faults.append(OutcomeUnknown("The broker did not answer."))
    first = only(place(buy(infy)))
    assert [child.state for child in first.children.all()] == [State.UNKNOWN]
    second = only(place(buy(infy), key="key-00002", confirm_duplicate=True, now=later(1)))
    assert [child.broker_type for child in second.children.all()] == ["upstox"]
    codes = {each["broker_type"]: each["code"] for each in second.decisions.get().answer["excluded"]}
    assert codes == {"zerodha": "funds_too_small"}


class TestKeys:
    def test_the_same_key_is_the_same_order_for_ever(self, place: Place, infy: Instrument) -> None:
        first = place(buy(infy))
        again = place(buy(infy), now=NOW + timedelta(days=400))
        assert (first.is_new, again.is_new) == (True, False)
        assert only(first).pk == only(again).pk
        assert ChildOrder.objects.count() == OrderIntent.objects.count() == 1

    def test_of_another_order_it_is_refused(self, place: Place, infy: Instrument) -> None:
        place(buy(infy))
        with pytest.raises(KeyReused):
            place(buy(infy, 11))
        assert OrderIntent.objects.count() == 1

    def test_it_is_one_persons_own(self, place: Place, infy: Instrument, send: intake.Send) -> None:
        first, bob = only(place(buy(infy))), trader("bob")
        with pytest.raises(NoBrokerConnections):
            intake.create(user=bob, wanted=[buy(infy)], key="key-00001", now=NOW, send=send)
        assert OrderIntent.objects.get(user=bob).pk != first.pk

    @pytest.mark.parametrize("key", [None, "", "short", "with space", "x" * 101, "ключ-ключ"])
    def test_there_must_be_one(self, place: Place, infy: Instrument, key: Any) -> None:
        with pytest.raises(KeyMissing):
            place(buy(infy), key=key)

    def test_what_failed_before_it_was_decided_is_not_decided_later(
        self, place: Place, infy: Instrument, desks: Desks
    ) -> None:
        def failing(*args: Any, **more: Any) -> Any:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            place(buy(infy), gather=failing)
        intent = only(place(buy(infy)))
        assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "not_decided")
        assert not desks.by_connection


@pytest.mark.django_db(transaction=True)
class TestManyAtOnce:
    def test_one_key_from_fifty_threads_is_one_order(
        self, place: Place, infy: Instrument, desks: Desks, accounts: dict[str, BrokerConnection]
    ) -> None:
        ready, found, failed = threading.Barrier(50), [], []

        def go() -> None:
            try:
                ready.wait()
                found.append(only(place(buy(infy))).pk)
            except BaseException as error:
                failed.append(error)
            finally:
                database.close()

        threads = [threading.Thread(target=go) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(found) == 50
        assert len(set(found)) == 1
        assert OrderIntent.objects.count() == IdempotencyKey.objects.count() == ChildOrder.objects.count() == 1
        assert sum(len(desks[row].placed) for row in accounts.values()) == 1

    def test_a_double_click_with_two_keys_is_asked_about(self, place: Place, infy: Instrument) -> None:
        ready, placed, asked = threading.Barrier(8), [], []

        def go(number: int) -> None:
            ready.wait()
            try:
                placed.append(only(place(buy(infy), key=f"key-number-{number}")).pk)
            except ConfirmDuplicate as refusal:
                asked.append(refusal.where["order"])
            finally:
                database.close()

        threads = [threading.Thread(target=go, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(placed) == 1
        assert set(asked) == {str(placed[0])}
        assert len(asked) == 7


class TestDuplicates:
    def test_the_same_again_at_once_is_asked_about_and_uses_no_key(self, place: Place, infy: Instrument) -> None:
        place(buy(infy))
        with pytest.raises(ConfirmDuplicate):
            place(buy(infy), key="key-00002", now=later(1))
        assert IdempotencyKey.objects.count() == 1
        assert only(place(buy(infy), key="key-00002", now=later(1), confirm_duplicate=True)).children.count() == 1

    def test_later_it_is_another_order(self, place: Place, infy: Instrument) -> None:
        place(buy(infy))
        assert place(buy(infy), key="key-00002", now=later(11)).is_new


class TestGroups:
    def test_a_basket_shares_the_money(self, place: Place, infy: Instrument, told: Told) -> None:
        told("zerodha", cash=20_000)
        told("upstox", cash=20_000, holdings=(holding("upstox", 200),))
        taken = place(buy(infy), buy(infy, price=Decimal("1500.1")), origin=Origin.BASKET)
        assert {child.broker_type for intent in taken.intents for child in intent.children.all()} == {
            "zerodha",
            "upstox",
        }

    def test_all_go_or_none(self, place: Place, infy: Instrument, told: Told) -> None:
        told("zerodha", cash=20_000)
        told("upstox", cash=100)
        taken = place(buy(infy), buy(infy, price=Decimal("1500.1")), origin=Origin.BASKET)
        assert {intent.status for intent in taken.intents} == {IntentStatus.REFUSED}
        assert [intent.reason_code for intent in taken.intents] == ["basket_refused", "not_wholly_routable"]
        assert not ChildOrder.objects.exists()

    def test_its_key_answers_the_whole_group(self, place: Place, infy: Instrument) -> None:
        wanted = (buy(infy), buy(infy, 3))
        first = place(*wanted, origin=Origin.BASKET)
        again = place(*wanted, origin=Origin.BASKET)
        assert [row.pk for row in first.intents] == [row.pk for row in again.intents]
        assert first.group == again.group


def test_what_is_unknown_is_refused_before_anything_is_kept(place: Place, infy: Instrument, alice: User) -> None:
    with pytest.raises(UnknownConnection):
        place(buy(infy, connection_ids=("00000000-0000-0000-0000-000000000000",)))
    assert not OrderIntent.objects.exists()
    with pytest.raises(UnknownInstrument):
        intake.preview(user=alice, wanted=[buy(infy, instrument_id=987654)], now=NOW)


def test_a_preview_keeps_nothing_and_is_what_comes_of_it(place: Place, infy: Instrument, alice: User) -> None:
    (decision,) = intake.preview(user=alice, wanted=[buy(infy)], now=NOW)
    assert not OrderIntent.objects.exists()
    assert only(place(buy(infy))).decisions.get().answer == plain(decision.answer)


@pytest.mark.parametrize("seed", range(5))
def test_in_any_state_what_is_previewed_is_what_is_placed_and_what_is_made_again(
    place: Place, told: Told, accounts: dict[str, BrokerConnection], infy: Instrument, alice: User, seed: int
) -> None:
    """Orders that were placed before bind money and shares of those that follow: each finds another state."""
    chance = random.Random(seed)  # noqa: S311 - states to be made again
    for number in range(20):
        for broker in accounts:
            cash = chance.choice([None, 0, 9_000, 60_000, 1_000_000])
            told(broker, cash=cash, holdings=(holding(broker, chance.randrange(40)),))
        side = chance.choice(list(Side))
        wanted = buy(
            infy, chance.randrange(1, 90), side=side, price=Decimal(chance.randrange(147_000, 153_000, 5)) / 100
        )
        (decision,) = intake.preview(user=alice, wanted=[wanted], now=NOW)
        taken = place(wanted, key=f"key-{seed}-{number:05}", confirm_duplicate=True)
        stored = only(taken).decisions.get()
        assert stored.answer == plain(decision.answer)
        assert plain(deciding.replayed(stored.problem).answer) == stored.answer


def test_a_stored_decision_is_made_again_the_same(place: Place, infy: Instrument) -> None:
    row = only(place(buy(infy))).decisions.get()
    row.refresh_from_db()
    assert plain(deciding.replayed(row.problem).answer) == row.answer


def test_every_order_is_an_event_of_the_audit_log(place: Place, infy: Instrument, alice: User) -> None:
    intent = only(place(buy(infy)))
    event = AuditEntry.objects.get(event="order.placed")
    assert (event.subject_id, event.object_id) == (alice.pk, str(intent.pk))


def test_what_nobody_finished_ends_unsent(
    told: Told, infy: Instrument, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(intake, "refuse", dies)
    with pytest.raises(KeyboardInterrupt):
        intake.create(user=alice, wanted=[buy(infy)], key="key-00001", now=NOW, gather=dies)
    assert intake.settle_undecided(later(59)) == 0
    assert intake.settle_undecided(later(61)) == 1
    intent = OrderIntent.objects.get()
    assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "not_decided")


def test_what_was_ended_while_it_was_decided_stays_ended(place: Place, infy: Instrument, desks: Desks) -> None:
    """Brokers that are slow to say what an account holds; meanwhile it was told that nothing was sent."""

    def slow(*args: Any, **more: Any) -> Any:
        facts = gather_all(*args, **more)
        assert intake.settle_undecided(later(61)) == 1
        return facts

    intent = only(place(buy(infy), gather=slow))
    assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "not_decided")
    intent.refresh_from_db()
    assert (intent.status, intent.children.count(), intent.decisions.count()) == (IntentStatus.NOT_PLACED, 0, 0)
    assert not desks.by_connection


def test_what_was_ended_before_deciding_failed_is_ended_once(place: Place, infy: Instrument) -> None:
    def fails(*args: Any, **more: Any) -> Any:
        assert intake.settle_undecided(later(61)) == 1
        raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="ours"):
        place(buy(infy), gather=fails)
    assert codes(OrderIntent.objects.get()) == ["asked", "not_decided"]


def test_outside_trading_hours_it_is_refused(place: Place, infy: Instrument) -> None:
    intent = only(place(buy(infy), now=later(12 * 3600)))
    assert (intent.status, intent.reason_code) == (IntentStatus.REFUSED, "phase_forbids")


def test_an_order_that_could_meet_ones_own_is_refused_there(
    place: Place, infy: Instrument, told: Told, accounts: dict[str, BrokerConnection]
) -> None:
    told("upstox", holdings=(holding("upstox", 10),))
    place(buy(infy, connection_ids=(str(accounts["zerodha"].pk),)))
    intent = only(place(buy(infy, side=Side.SELL, price=Decimal(1490)), key="key-00002", now=later(1)))
    assert intent.status == IntentStatus.REFUSED
    codes = {each["broker_type"]: each["code"] for each in intent.decisions.get().answer["excluded"]}
    assert codes["upstox"] == "self_trade"


def test_intraday_is_reckoned_with_a_margin_that_is_said_to_be_ours(place: Place, infy: Instrument, told: Told) -> None:
    told("zerodha", cash=5_000)
    told("upstox", cash=0, holdings=(holding("upstox", 200),))
    intent = only(place(buy(infy, product=Product.MIS)))
    assert intent.children.count() == 1
    assert "margin_estimated" in {each["code"] for each in intent.decisions.get().answer["warnings"]}
