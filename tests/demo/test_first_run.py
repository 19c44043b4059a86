"""The checklist: every step ticks itself by what lies in the tables, and by nothing of anybody else's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.management.commands.demo_users import support_group
from accounts.models import User
from brokers import registry
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, ConnectionChange
from brokers.statuses import Actor
from orders.lifecycle import State
from orders.models import ChildOrder, OrderEvent, OrderIntent, RoutingDecision, SeenOrder, Teller
from portfolio.models import BrokerSnapshot
from tests.conftest import signed_in
from tests.orders.conftest import NOW, Wish, later
from trademaster.demo import first_run
from trademaster.demo.first_run import Seen

pytestmark = pytest.mark.django_db

Accounts = dict[str, BrokerConnection]


def seen(user: User) -> dict[str, Seen]:
    return {step.code: step.seen for step in first_run.steps(user)}


def done(user: User) -> set[str]:
    return {code for code, each in seen(user).items() if each.is_done}


def change(connection: BrokerConnection, before: str, after: str, seconds: int, actor: Actor = Actor.CALL) -> None:
    ConnectionChange.objects.create(
        broker_connection=connection,
        from_status=before,
        to_status=after,
        actor=actor,
        reason="",
        at=NOW + timedelta(seconds=seconds),
    )


def test_whoever_has_done_nothing_has_everything_before_them(bob: User) -> None:
    steps = first_run.steps(bob)
    assert [step.seen.is_done for step in steps] == [False] * 6
    assert [step.is_next for step in steps] == [True, *[False] * 5]


class TestFacts:
    def test_one_portfolio_is_two_brokers_answers(self, alice: User, accounts: Accounts) -> None:
        for count, connection in enumerate(accounts.values(), 1):
            BrokerSnapshot.objects.create(connection=connection, payload="{}", as_of=NOW)
            assert ("merged" in done(alice)) is (count == 2)
        assert seen(alice)["merged"].told == "2 accounts in one book."

    def test_a_failure_is_under_way_until_the_broker_is_back_by_itself(self, alice: User, accounts: Accounts) -> None:
        upstox = accounts["upstox"]
        change(upstox, ConnectionStatus.CONNECTED, ConnectionStatus.ERROR, 0)
        assert seen(alice)["failover"] == Seen(
            told="Upstox fails since 10:30:00; the total has its last numbers. Now revive it."
        )
        change(upstox, ConnectionStatus.ERROR, ConnectionStatus.CONNECTED, 45, Actor.TRADER)  # a login is no recovery
        assert "failover" not in done(alice)
        change(upstox, ConnectionStatus.ERROR, ConnectionStatus.CONNECTED, 50)
        told = "Upstox failed at 10:30:00 and was back, by itself, at 10:30:50."
        assert seen(alice)["failover"] == Seen(is_done=True, told=told)

    def test_another_brokers_recovery_is_none(self, alice: User, accounts: Accounts) -> None:
        change(accounts["upstox"], ConnectionStatus.CONNECTED, ConnectionStatus.ERROR, 0)
        change(accounts["zerodha"], ConnectionStatus.ERROR, ConnectionStatus.CONNECTED, 50)
        assert "failover" not in done(alice)

    def test_the_last_broker_is_named_until_all_are_there(self, alice: User, accounts: Accounts) -> None:
        last = registry.slugs()[-1]
        for slug in registry.slugs():
            if slug not in (*accounts, last):
                BrokerConnection.objects.create(user=alice, broker_type=slug, account_id=slug)
        step = next(step for step in first_run.steps(alice) if step.code == "connect")
        assert step.links[0].address == f"/connect#{last}"
        row = BrokerConnection.objects.create(user=alice, broker_type=last, account_id="1", status="DISCONNECTED")
        assert "connect" not in done(alice)
        BrokerConnection.objects.filter(pk=row.pk).update(status=ConnectionStatus.CONNECTED)
        assert "connect" in done(alice)

    def test_an_order_is_one_that_went_to_a_broker(self, alice: User, accounts: Accounts, wish: Wish) -> None:
        intent, decision = wish(("zerodha", 50))
        assert "order" not in done(alice)
        sent(intent, decision, accounts["zerodha"], State.OPEN)
        assert seen(alice)["order"] == Seen(
            is_done=True, told="BUY 50 INFY went to Zerodha.", address=f"/orders/{intent.pk}/"
        )

    def test_without_trading_it_says_where_that_is_turned_on(self, alice: User, accounts: Accounts) -> None:
        assert seen(alice)["order"].told == ""
        BrokerConnection.objects.update(trading_enabled_at=None)
        assert seen(alice)["order"].told.startswith("First turn trading on")

    def test_a_lost_reply_is_one_that_was_found_at_the_broker(
        self, alice: User, accounts: Accounts, wish: Wish
    ) -> None:
        intent, decision = wish(("zerodha", 50))
        child = sent(intent, decision, accounts["zerodha"], State.UNKNOWN)
        assert seen(alice)["lost"].told == "BUY 50 INFY at Zerodha is not known, and is being looked for."
        facts = {"intent": intent, "child": child, "teller": Teller.BOOK, "code": "found", "at": later(4)}
        OrderEvent.objects.create(**facts, from_state=State.UNKNOWN, to_state=State.NOT_PLACED)
        assert "lost" not in done(alice)
        OrderEvent.objects.create(**facts, from_state=State.UNKNOWN, to_state=State.FILLED)
        ChildOrder.objects.filter(pk=child.pk).update(broker_order_id="2611", state=State.FILLED)
        told = "BUY 50 INFY was not known, and was found at Zerodha at 10:30:04, number 2611"
        assert seen(alice)["lost"] == Seen(is_done=True, told=f"{told}.", address=f"/orders/{intent.pk}/")
        for count, number in enumerate(("2611", "2612"), 1):
            seen_order(child, accounts["zerodha"], number)
            assert seen(alice)["lost"].told == (f"{told}, once." if count == 1 else f"{told}.")

    def test_support_that_looked_is_seen(self, alice: User, sam: User, accounts: Accounts) -> None:
        sam.groups.add(support_group())
        desk = signed_in(sam)
        desk.get(reverse("admin:accounts_user_change", args=[alice.pk]))
        assert "support" not in done(alice)
        desk.get(reverse("admin:brokers_brokerconnection_change", args=[accounts["upstox"].pk]))
        assert "support" in done(alice)

    def test_what_alice_did_ticks_nothing_of_bobs(self, alice: User, bob: User, sam: User, accounts: Accounts) -> None:
        self.test_a_failure_is_under_way_until_the_broker_is_back_by_itself(alice, accounts)
        self.test_support_that_looked_is_seen(alice, sam, accounts)
        assert done(bob) == set()


def found(user: User) -> Seen:
    return Seen(is_done=True)


def sent(intent: OrderIntent, decision: RoutingDecision, connection: BrokerConnection, state: State) -> ChildOrder:
    return ChildOrder.objects.create(
        intent=intent,
        decision=decision,
        broker_connection=connection,
        broker_type=connection.broker_type,
        number=1,
        exchange="NSE",
        traded={},
        side=intent.side,
        order_type=intent.order_type,
        product=intent.product,
        validity=intent.validity,
        quantity=intent.quantity,
        tag="TM0001",
        request_hash="0" * 64,
        state=state,
        state_since=NOW,
        sent_at=NOW,
    )


def seen_order(child: ChildOrder, connection: BrokerConnection, number: str) -> None:
    SeenOrder.objects.create(
        broker_connection=connection,
        day=NOW.date(),
        broker_order_id=number,
        child=child,
        exchange=child.exchange,
        tradingsymbol="INFY",
        broker_token="1594",
        side=child.side,
        order_type=child.order_type,
        product=child.product,
        validity=child.validity,
        quantity=child.quantity,
        filled_quantity=0,
        status="OPEN",
        seen_at=NOW,
    )


class TestPages:
    def test_a_page_asks_for_it_and_has_it_until_it_is_put_away(self, as_alice: Client) -> None:
        part = as_alice.get("/demo/first-run").content.decode()
        assert part.count("data-step=") == 6
        assert part.count('data-state="next"') == part.count('aria-current="step"') == 1
        hidden = as_alice.post("/demo/checklist", {"show": "0"}, follow=True).content.decode()
        assert "data-step=" not in hidden
        assert "Show the checklist" in hidden
        assert as_alice.get("/demo/first-run").status_code == 204
        assert "data-step=" in as_alice.post("/demo/checklist", {"show": "1"}, follow=True).content.decode()

    def test_another_browser_has_its_own_choice(self, as_alice: Client, as_bob: Client) -> None:
        as_alice.post("/demo/checklist", {"show": "0"})
        assert as_bob.get("/demo/first-run").status_code == 200

    def test_it_stays_away_when_one_signs_in_anew(self, as_alice: Client, alice: User) -> None:
        as_alice.post("/demo/checklist", {"show": "0"})
        as_alice.post(reverse("account_logout"))
        as_alice.force_login(alice)
        assert as_alice.get("/demo/first-run").status_code == 204
        as_alice.post("/demo/checklist", {"show": "1"})
        assert as_alice.get("/demo/first-run").status_code == 200

    def test_it_costs_few_queries(
        self, as_alice: Client, accounts: Accounts, django_assert_max_num_queries: Any
    ) -> None:
        with django_assert_max_num_queries(14):
            as_alice.get("/demo/first-run")

    def test_it_says_when_all_of_it_was_seen(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        told = [
            (code, title, how, lambda user: Seen(is_done=True), links)
            for code, title, how, _, links in first_run.SCRIPT
        ]
        monkeypatch.setattr(first_run, "SCRIPT", tuple(told))
        assert "That is all of it" in signed_in(alice).get("/demo/first-run").content.decode()
