"""However an order is born, the checks before an order stand in its way: what denies, and what stops trading."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from brokers.domain import Product, Side
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import amending, approval, calling, deciding, failover, gtt, intake, squaring
from orders.models import ChildOrder, GttOrder, IntentStatus, OrderIntent, OrderSettings, Origin
from orders.refusals import BreaksRule, OrderRefused
from portfolio import halting
from portfolio.halt_refusals import TradingHalted
from portfolio.risk.limits import Action, Metric, Scope
from portfolio.risk_models import HaltKind, HaltLevel, RiskLimit
from tests.orders.conftest import NOW, later
from tests.orders.fakes import Desks
from tests.orders.intake.conftest import Place, Told, buy, holding, only, position
from tests.orders.intake.test_gtt import Waiting, waiting, wanted  # noqa: F401 - fixtures
from tests.orders.intake.test_gtt import place as place_gtt

Deny = Callable[[], None]


def set_limit(user: User, metric: Metric, block: str, **more: Any) -> RiskLimit:
    return RiskLimit.objects.create(
        user=user, metric=metric, block=Decimal(block), changed_at=NOW, **{"action": Action.BLOCK_INCREASING} | more
    )


def halt(user: User) -> None:
    halting.halt(user, kind=HaltKind.KILL, level=HaltLevel.STOP, cause="test", reason="A test.", by=user, now=NOW)


@pytest.fixture(params=["a denying check", "a standing halt"])
def stopped(request: pytest.FixtureRequest, alice: User) -> Deny:
    """From now on nothing goes out."""

    def stop() -> None:
        if request.param == "a standing halt":
            halt(alice)
        else:
            set_limit(alice, Metric.ORDER_QUANTITY, "1")

    return stop


def refused(ask: Callable[[], Any]) -> None:
    """Refused at the door, or kept as refused."""
    try:
        answer = ask()
    except (TradingHalted, OrderRefused):
        return
    for intent in answer.intents if isinstance(answer, intake.Taken) else [answer]:
        intent.refresh_from_db()
        assert intent.status in (IntentStatus.REFUSED, IntentStatus.NOT_PLACED), intent.reason


class TestEveryOrigin:
    @pytest.mark.parametrize("origin", [Origin.ORDER, Origin.BASKET, Origin.COPY, Origin.HEDGE])
    def test_what_is_taken_in(
        self, stopped: Deny, place: Place, infy: Instrument, desks: Desks, origin: Origin
    ) -> None:
        stopped()
        refused(lambda: place(buy(infy), origin=origin))
        assert not any(desk.placed for desk in desks.by_connection.values())
        assert not ChildOrder.objects.exists()

    def test_a_square_off(
        self,
        alice: User,
        infy: Instrument,
        accounts: dict[str, BrokerConnection],
        told: Told,
        send: intake.Send,
        desks: Desks,
        last_price: Any,
    ) -> None:
        """A limit on size lets an exit out: it takes a price that is out of reason to stop it."""
        told("upstox", positions=(position("upstox", 100),))

        def close(key: str, price: str) -> intake.Taken:
            return squaring.square_off(
                user=alice,
                connection_id=accounts["upstox"].pk,
                instrument_id=infy.pk,
                product=Product.MIS,
                quantity=None,
                price=Decimal(price),
                key=key,
                now=NOW,
                send=send,
            )

        set_limit(alice, Metric.ORDER_QUANTITY, "1")
        refused(lambda: close("key-00001", "1000"))
        assert not ChildOrder.objects.exists()
        halt(alice)
        refused(lambda: close("key-00002", "1495"))
        assert not ChildOrder.objects.exists()

    def test_what_moves_to_another_broker(
        self, stopped: Deny, place: Place, infy: Instrument, desks: Desks, accounts: dict[str, BrokerConnection]
    ) -> None:
        failover.decide_by(intake.decide_anew)
        desks.away[accounts["zerodha"].pk] = calling.TRADING_OFF
        intent = only(place(buy(infy)))
        assert [child.state for child in intent.children.all()] == ["NOT_PLACED"]
        stopped()
        assert not failover.move(intent.pk, now=later(1), clients=desks)
        assert not any(desk.placed for desk in desks.by_connection.values())

    def test_what_was_approved(
        self, stopped: Deny, place: Place, infy: Instrument, alice: User, send: intake.Send, desks: Desks
    ) -> None:
        OrderSettings.objects.create(user=alice, approval_above=Decimal(1000))
        intent = only(place(buy(infy)))
        assert intent.status == IntentStatus.AWAITING_APPROVAL
        stopped()
        try:
            approval.approve(intent, user=alice, now=later(5), send=send)
        except TradingHalted:
            assert OrderIntent.objects.get().status == IntentStatus.AWAITING_APPROVAL
        else:
            assert OrderIntent.objects.get().status == IntentStatus.REFUSED
        assert not any(desk.placed for desk in desks.by_connection.values())

    def test_a_change(
        self, stopped: Deny, place: Place, infy: Instrument, alice: User, desks: Desks, monkeypatch: Any
    ) -> None:
        from orders import changing

        monkeypatch.setitem(changing.modify.__kwdefaults__, "clients", desks)
        intent = only(place(buy(infy)))
        stopped()
        with pytest.raises((TradingHalted, BreaksRule)):
            amending.amend(intent, user=alice, now=later(1), quantity=Decimal(12))
        assert intent.children.get().changes == 0

    def test_what_waits_for_its_price(
        self,
        stopped: Deny,
        alice: User,
        waiting: Waiting,  # noqa: F811
        wanted: gtt.WantedGtt,  # noqa: F811
    ) -> None:
        stopped()
        with pytest.raises((TradingHalted, BreaksRule)):
            place_gtt(alice, wanted)
        assert waiting.calls == 0
        assert all(row.status == "NOT_PLACED" for row in GttOrder.objects.all())


class TestWhatIsKept:
    def test_all_twelve_stand_with_the_decision_and_can_be_made_again(self, place: Place, infy: Instrument) -> None:
        row = only(place(buy(infy))).decisions.get()
        assert [each["number"] for each in row.answer["checks"]] == list(range(1, 13))
        assert {each["verdict"] for each in row.answer["checks"]} <= {"PASS", "WARN"}
        again = json.loads(json.dumps(deciding.replayed(row.problem).stored_answer()))
        assert again == row.answer

    def test_what_was_decided_without_them_is_never_sent(
        self, unsent: OrderIntent, desks: Desks, send: intake.Send
    ) -> None:
        intent, row = unsent, unsent.decisions.get()
        for answer in ({**row.answer, "checks": []}, {**row.answer, "checks": row.answer["checks"][:11]}):
            row.answer = answer
            row.save()
            intent.status = IntentStatus.WORKING
            intent.save()
            assert not send(intent=intent, decision=row, now=NOW)
            intent.refresh_from_db()
            assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "not_cleared")
        assert not any(desk.placed for desk in desks.by_connection.values())

    def test_nor_what_a_person_was_to_confirm(
        self, place: Place, infy: Instrument, alice: User, desks: Desks, send: intake.Send
    ) -> None:
        """Whoever puts it back to WORKING by themselves sends nothing."""
        OrderSettings.objects.create(user=alice, approval_above=Decimal(1000))
        intent = only(place(buy(infy)))
        intent.status = IntentStatus.WORKING
        intent.save()
        assert not send(intent=intent, decision=intent.decisions.get(), now=NOW)
        assert not any(desk.placed for desk in desks.by_connection.values())

    def test_what_is_not_as_it_was_cleared_stays_here(
        self, unsent: OrderIntent, desks: Desks, send: intake.Send
    ) -> None:
        """Between the decision and its sending somebody made another side of it."""
        OrderIntent.objects.update(side="SELL")
        unsent.refresh_from_db()
        assert send(intent=unsent, decision=unsent.decisions.get(), now=NOW)
        (child,) = unsent.children.all()
        assert (child.state, child.reason_code) == ("NOT_PLACED", "not_cleared")
        assert not any(desk.placed for desk in desks.by_connection.values())

    def test_a_change_keeps_its_run_in_the_story(
        self, place: Place, infy: Instrument, alice: User, desks: Desks, monkeypatch: Any
    ) -> None:
        from orders import changing

        monkeypatch.setitem(changing.modify.__kwdefaults__, "clients", desks)
        intent = only(place(buy(infy)))
        amending.amend(intent, user=alice, now=later(1), price=Decimal("1499"))
        (line,) = intent.events.filter(code="change_checked")
        assert [each["number"] for each in line.details["checks"]] == list(range(1, 13))


class TestWithRows:
    def test_a_large_part_of_the_equity_waits_for_its_owner(
        self, place: Place, infy: Instrument, told: Told, alice: User, send: intake.Send
    ) -> None:
        told("zerodha", cash=100_000)
        told("upstox", cash=49_000)
        intent = only(place(buy(infy)))
        assert (intent.status, intent.reason_code) == (IntentStatus.AWAITING_APPROVAL, "order_value_pct")
        done = approval.approve(intent, user=alice, now=later(2), send=send)
        assert done.status == IntentStatus.WORKING

    def test_orders_that_stand_count_as_if_filled(self, place: Place, infy: Instrument, alice: User) -> None:
        set_limit(alice, Metric.GROSS_EXPOSURE, "32000")
        assert only(place(buy(infy))).status == IntentStatus.WORKING
        assert only(place(buy(infy, price=Decimal("1499.95")), key="key-00002")).status == IntentStatus.WORKING
        third = only(place(buy(infy, price=Decimal("1499.9")), key="key-00003"))
        assert (third.status, third.reason_code) == (IntentStatus.REFUSED, "gross_exposure")

    def test_so_do_those_of_the_same_basket(self, place: Place, infy: Instrument, alice: User) -> None:
        set_limit(alice, Metric.GROSS_EXPOSURE, "32000")
        three = [buy(infy, price=Decimal(price)) for price in ("1500", "1499.95", "1499.9")]
        taken = place(*three, origin=Origin.BASKET)
        assert [each.reason_code for each in taken.intents] == ["basket_refused", "basket_refused", "gross_exposure"]

    def test_what_was_dealt_in_today_counts(self, place: Place, infy: Instrument, alice: User) -> None:
        set_limit(alice, Metric.SYMBOL_DAY_VALUE, "20000")
        assert only(place(buy(infy))).status == IntentStatus.WORKING
        again = only(place(buy(infy, 5, price=Decimal("1499.95")), key="key-00002"))
        assert (again.status, again.reason_code) == (IntentStatus.REFUSED, "symbol_day_value")

    def test_a_limit_on_volume_that_nobody_knows_denies(self, place: Place, infy: Instrument, alice: User) -> None:
        set_limit(alice, Metric.ORDER_ADV_PCT, "10")
        intent = only(place(buy(infy)))
        assert (intent.status, intent.reason_code) == (IntentStatus.REFUSED, "order_adv_pct_unknown")

    def test_a_sale_of_what_is_owned_passes_a_day_of_losses(
        self, place: Place, infy: Instrument, alice: User, told: Told
    ) -> None:
        told("upstox", holdings=(holding("upstox", 100, close_price=Decimal(1800)),))
        set_limit(alice, Metric.DAY_LOSS, "1000", action=Action.REDUCE_ONLY)
        bought = only(place(buy(infy)))
        assert (bought.status, bought.reason_code) == (IntentStatus.REFUSED, "day_loss")
        sold = only(place(replace(buy(infy), side=Side.SELL, price=Decimal("1499.95")), key="key-00002"))
        assert sold.status == IntentStatus.WORKING, sold.reason

    def test_a_limit_for_another_account_is_none_for_this(
        self, place: Place, infy: Instrument, alice: User, accounts: dict[str, BrokerConnection]
    ) -> None:
        set_limit(alice, Metric.ORDER_QUANTITY, "1", scope=Scope.ACCOUNT, scope_key=str(accounts["upstox"].pk))
        intent = only(place(buy(infy, connection_ids=(str(accounts["zerodha"].pk),))))
        assert intent.status == IntentStatus.WORKING

    def test_a_preview_says_that_it_repeats_one(self, place: Place, infy: Instrument, alice: User) -> None:
        place(buy(infy))
        (shown,) = intake.preview(user=alice, wanted=[buy(infy)], now=later(1))
        found = [each.code for each in shown.answer.checks[5].findings]
        assert found == ["duplicate"]


@pytest.fixture
def unsent(alice: User, infy: Instrument, told: Told) -> OrderIntent:
    """Decided, and its sender died before the first order."""

    def dies(**said: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        intake.create(user=alice, wanted=[buy(infy)], key="key-00001", now=NOW, send=dies)
    return OrderIntent.objects.get()
