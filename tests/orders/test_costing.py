"""What our own orders cost: by the account's terms, from their fills, and as the contract note says."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers.domain import Exchange, Product, Side
from brokers.models import BrokerConnection
from market.models import Instrument
from orders.charges import Costs, exact
from orders.costing import USUAL, agree_terms, costs_of, deal_for, debits_paid, record_note, terms_of
from orders.models import ChildOrder, OrderIntent, RoutingDecision
from orders.rates import current_rates
from orders.tariffs import ChargeError

pytestmark = pytest.mark.django_db
NOW = datetime.fromisoformat("2026-11-20T10:00:00+05:30")
D = Decimal


@pytest.fixture
def share() -> Instrument:
    return Instrument.objects.create(
        exchange="NSE", segment="EQUITY", kind="EQUITY", identity="NSE|1594", tradingsymbol="INFY",
        isin="INE009A01021", first_seen_on=NOW.date(), last_seen_on=NOW.date(), rank=1, words="infy",
    )  # fmt: skip


@pytest.fixture
def account(alice: User) -> BrokerConnection:
    return BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="AB1234")


def a_child(account: BrokerConnection, share: Instrument, number: int = 1, **changes: Any) -> ChildOrder:
    side = changes.get("side", Side.BUY)
    intent = OrderIntent.objects.create(
        user=account.user, instrument=share, side=side, order_type="LIMIT", product="CNC", validity="DAY",
        quantity=100, price=1000, created_at=NOW, status="WORKING", status_since=NOW,
    )  # fmt: skip
    decision = RoutingDecision.objects.create(
        intent=intent, made_at=NOW, problem={}, answer={}, solver="test", microseconds=1
    )
    usual = {
        "exchange": Exchange.NSE, "side": side, "order_type": "LIMIT", "product": "CNC", "validity": "DAY",
        "quantity": 100, "price": 1000, "tag": f"t{number:018}", "request_hash": "", "state": "FILLED",
        "state_since": NOW, "filled_quantity": D(100), "average_price": D(1000), "sent_at": NOW,
    }  # fmt: skip
    return ChildOrder.objects.create(
        intent=intent, decision=decision, broker_connection=account, broker_type=account.broker_type, traded={},
        number=number, **{**usual, **changes},
    )  # fmt: skip


def test_an_order_costs_what_is_filled_of_it(account: BrokerConnection, share: Instrument) -> None:
    """C01 of the worked examples."""
    costs = costs_of(a_child(account, share))
    assert costs.estimate is not None
    assert round(costs.estimate.total, 2) == D("118.74")
    assert (costs.note, costs.problem, costs.total) == (None, "", costs.estimate.total)


def test_what_is_not_filled_costs_nothing(account: BrokerConnection, share: Instrument) -> None:
    child = a_child(account, share, filled_quantity=D(0), average_price=None, state="OPEN")
    assert costs_of(child).estimate == Costs()


def test_a_fill_without_a_price_is_unknown_and_not_free(account: BrokerConnection, share: Instrument) -> None:
    costs = costs_of(a_child(account, share, average_price=None))
    assert (costs.estimate, costs.total) == (None, None)
    assert "price of what it filled" in costs.problem


def test_the_second_sale_of_a_day_pays_no_debit_charge(account: BrokerConnection, share: Instrument) -> None:
    first = a_child(account, share, 1, side=Side.SELL)
    second = a_child(account, share, 2, side=Side.SELL, sent_at=NOW + timedelta(hours=1))
    tomorrow = a_child(account, share, 3, side=Side.SELL, sent_at=NOW + timedelta(days=1))
    paid = [costs_of(child).estimate.dp for child in (first, second, tomorrow)]  # type: ignore[union-attr]
    assert paid == [D(13), D(0), D(13)]
    assert debits_paid([account.pk], "INE009A01021", NOW.date()) == {account.pk}
    assert debits_paid([account.pk], "INE009A01021", NOW.date() + timedelta(days=5)) == frozenset()


class TestNote:
    def test_it_takes_the_place_of_the_estimate(self, account: BrokerConnection, share: Instrument) -> None:
        child = a_child(account, share)
        record_note(
            child, {"stt": D(100), "gst": D("0.58")}, total=D("119.20"), dated=NOW.date(), number="CN7",
            source="upload", now=NOW,
        )  # fmt: skip
        costs = costs_of(child)
        assert costs.total == D("119.20")
        assert costs.note is not None
        assert (costs.note.stt, costs.note.gst) == (D(100), D("0.58"))
        assert costs.estimate is not None

    def test_a_later_note_replaces_it(self, account: BrokerConnection, share: Instrument) -> None:
        child = a_child(account, share)
        for total in (D(5), D("4.5")):
            record_note(child, {}, total=total, dated=NOW.date(), source="upload", now=NOW)
        assert costs_of(child).total == D("4.5")

    @pytest.mark.parametrize(
        ("components", "code"),
        [({"tip": D(1)}, "component_unknown"), ({"stt": D(8), "gst": D(3)}, "note_does_not_add_up")],
    )
    def test_a_note_that_makes_no_sense_is_refused(
        self, account: BrokerConnection, share: Instrument, components: dict[str, Decimal], code: str
    ) -> None:
        with pytest.raises(ChargeError) as refused:
            record_note(a_child(account, share), components, total=D(10), dated=NOW.date(), source="upload", now=NOW)
        assert refused.value.code == code


class TestTerms:
    def agree(self, account: BrokerConnection, **told: Any) -> None:
        usual = {"plan_id": "", "is_woman": False, "overrides": {}}
        agree_terms(account, **{**usual, **told}, actor=account.user, now=NOW)

    def test_nothing_told_is_the_usual_plan(self, account: BrokerConnection) -> None:
        assert terms_of([account.pk]) == {account.pk: USUAL}

    def test_an_account_pays_what_it_agreed(self, account: BrokerConnection, share: Instrument) -> None:
        rule = {"type": "percent", "rate": "0.0001"}
        self.agree(account, is_woman=True, overrides={"brokerage": {"equity_delivery": rule}})
        costs = costs_of(a_child(account, share, side=Side.SELL))
        assert costs.estimate is not None
        assert (costs.estimate.brokerage, costs.estimate.dp) == (D(10), D("12.75"))
        told = AuditEntry.objects.get(event=Event.CHARGE_TERMS_CHANGED)
        assert (told.subject_id, told.details["overridden"]) == (account.user_id, ["brokerage"])

    @pytest.mark.parametrize(
        ("told", "code"),
        [
            ({"plan_id": "gold"}, "plan_missing"),
            ({"overrides": {"tips": "1"}}, "overrides_unknown"),
            ({"overrides": {"dp_sell": 1.5}}, "rates_broken"),
            ({"overrides": {"brokerage": {"equity_delivery": {}}}}, "overrides_broken"),
        ],
    )
    def test_what_cannot_be_is_refused(self, account: BrokerConnection, told: dict[str, Any], code: str) -> None:
        with pytest.raises(ChargeError) as refused:
            self.agree(account, **told)
        assert refused.value.code == code
        assert terms_of([account.pk]) == {account.pk: USUAL}


@pytest.mark.parametrize(
    ("exchange", "kind", "fields", "asset", "lots", "group"),
    [
        ("NSE", "EQUITY", {}, "EQUITY", None, "A"),
        ("BSE", "EQUITY", {"series": "X"}, "EQUITY", None, "X"),
        ("BSE", "EQUITY", {"series": "??"}, "EQUITY", None, "A"),
        ("MCX", "FUTURE", {"underlying": "CRUDEOIL", "lot_size": D(100)}, "NON_AGRI", D(2), "A"),
        ("MCX", "FUTURE", {"underlying": "MENTHAOIL", "lot_size": D(50)}, "AGRI", D(4), "A"),
    ],
)
def test_the_deal_that_an_order_is(
    exchange: str, kind: str, fields: dict[str, Any], asset: str, lots: Decimal | None, group: str
) -> None:
    instrument = Instrument(exchange=exchange, kind=kind, **fields)
    deal = deal_for(
        broker="iifl_capital", terms=USUAL, instrument=instrument, exchange=Exchange(exchange),
        product=Product.CNC if kind == "EQUITY" else Product.NRML, side=Side.BUY, quantity=D(200), price=D(50),
        on=date(2026, 11, 20), dp_paid_today=False,
    )  # fmt: skip
    assert (deal.asset, deal.lots, deal.bse_group) == (asset, lots, group)
    assert exact(deal, current_rates()).turnover == D(10000)


class TestTermsOverHttp:
    def test_its_owner_reads_and_tells_them(
        self, as_alice: Client, alice: User, account: BrokerConnection, share: Instrument
    ) -> None:
        address = f"/api/v1/charges/terms/{account.pk}"
        plan = {"plan_id": "standard", "is_default": False, "effective_from": "2026-06-19"}
        usual = {"plan_id": "", "is_woman": False, "overrides": {}, "broker_type": "zerodha", "plans": [plan]}
        with time_machine.travel(NOW, tick=False):
            assert as_alice.get(address).json() == usual
            rule = {"type": "percent_capped", "rate": "0.0002", "cap": "10", "by_the_way": "\x00"}
            body = {"plan_id": "standard", "overrides": {"brokerage": {"equity_delivery": rule}, "dp_sell": "3.5"}}
            answer = as_alice.put(address, body, content_type="application/json")
        assert answer.status_code == 200, answer.content
        kept = {"type": "percent_capped", "rate": "0.0002", "cap": "10"}
        assert answer.json()["overrides"] == {"brokerage": {"equity_delivery": kept}, "dp_sell": "3.5"}
        costs = costs_of(a_child(account, share, side=Side.SELL))
        assert costs.estimate is not None
        assert (costs.estimate.brokerage, costs.estimate.dp) == (D(10), D("3.5"))
        assert AuditEntry.objects.get(event=Event.CHARGE_TERMS_CHANGED).actor_id == alice.pk

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"plan_id": "gold"}, "plan_id"),
            ({"overrides": {"tips": "1"}}, "overrides"),
            ({"overrides": {"dp_sell": "-1"}}, "overrides"),
            ({"overrides": {"dp_sell": "1e400"}}, "overrides"),
            ({"overrides": {"dp_sell": "NaN"}}, "overrides"),
            ({"overrides": {"dp_sell": 0.5}}, "overrides"),
            ({"overrides": {"brokerage": []}}, "overrides"),
            ({"overrides": {"brokerage": {"moon": {"type": "flat", "amount": "1"}}}}, "overrides"),
            ({"overrides": {"brokerage": {"equity_delivery": {"type": "flat", "amount": "-20"}}}}, "overrides"),
            (
                {"overrides": {"brokerage": {"equity_options": {
                    "type": "per_lot", "amount": "1", "by_underlying": {"\x00": "1"}}}}},
                "overrides",
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_refused(
        self, body: dict[str, Any], field: str, as_alice: Client, account: BrokerConnection
    ) -> None:
        answer = as_alice.put(f"/api/v1/charges/terms/{account.pk}", body, content_type="application/json")
        assert answer.status_code == 400, answer.content
        assert field in answer.json()["error"]["details"]
        assert terms_of([account.pk]) == {account.pk: USUAL}

    def test_another_persons_account_has_none(self, as_mallory: Client, account: BrokerConnection) -> None:
        address = f"/api/v1/charges/terms/{account.pk}"
        assert as_mallory.get(address).status_code == 404
        assert as_mallory.put(address, {}, content_type="application/json").status_code == 404
