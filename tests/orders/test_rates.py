"""Rates in the database: as seeded, as staff change them, and as every process sees them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers.domain import Exchange, Side
from orders import rates as rates_module
from orders.charge_models import BrokerPlan, StatutoryRate
from orders.charges import Deal, exact, rounded
from orders.examples import DATA, READER, deal_of, seed_rates
from orders.rates import current_rates, fill_empty_tables
from orders.tariffs import ChargeError
from tests.conftest import signed_in
from tests.orders.test_charges import EXAMPLES

pytestmark = pytest.mark.django_db
FUTURE = Deal(
    broker="zerodha",
    segment="equity_futures",
    exchange=Exchange.NFO,
    side=Side.SELL,
    quantity=Decimal(65),
    price=Decimal(26000),
    on=date(2027, 4, 1),
)


def stt_on_futures() -> StatutoryRate:
    return StatutoryRate.objects.get(component="stt", segment="equity_futures", effective_to=None)


class TestSeed:
    def test_every_row_of_the_file_is_there_as_it_is(self) -> None:
        seed, held = READER.decode(DATA.read_bytes()), rates_module.document()
        left_out = {"note"}
        plain = [{k: v for k, v in row.items() if k not in left_out} for row in seed["statutory"]]

        def key(row: dict[str, Any]) -> str:
            return repr(sorted((name, str(value)) for name, value in row.items()))

        assert sorted(held["statutory"], key=key) == sorted(plain, key=key)
        assert {name: len(of["plans"]) for name, of in held["brokers"].items()} == {
            name: len(of["plans"]) for name, of in seed["brokers"].items()
        }

    @pytest.mark.parametrize("example", EXAMPLES, ids=[example["id"] for example in EXAMPLES])
    def test_the_tables_answer_as_the_file_does(self, example: dict[str, Any]) -> None:
        deal = deal_of(example["input"])
        assert rounded(exact(deal, current_rates())) == rounded(exact(deal, seed_rates()))

    def test_what_somebody_changed_is_not_filled_in_again(self) -> None:
        row = stt_on_futures()
        row.note = "mine"
        row.save()
        fill_empty_tables()
        assert stt_on_futures().note == "mine"
        assert StatutoryRate.objects.count() == len(READER.decode(DATA.read_bytes())["statutory"])

    def test_empty_tables_are_no_zero_rates(self) -> None:
        BrokerPlan.objects.all().delete()
        with pytest.raises(ChargeError) as refused:
            current_rates()
        assert refused.value.code == "rates_missing"
        call_command("migrate", verbosity=0)
        assert exact(FUTURE, current_rates()).brokerage == 20


class TestChange:
    def test_a_new_rate_holds_from_its_day_and_the_old_one_before(self) -> None:
        old = stt_on_futures()
        old.effective_to = date(2027, 3, 31)
        old.save()
        new = StatutoryRate(
            component="stt",
            segment="equity_futures",
            exchange="*",
            side="sell",
            rate=Decimal("0.001"),
            basis="turnover",
            effective_from=date(2027, 4, 1),
            status="confirmed",
        )
        new.full_clean()
        new.save()
        assert exact(FUTURE, current_rates()).stt == Decimal(1690)
        before = Deal(**{**{f: getattr(FUTURE, f) for f in Deal.__dataclass_fields__}, "on": date(2027, 3, 31)})
        assert exact(before, current_rates()).stt == Decimal(845)

    def test_nothing_is_read_again_until_something_changed(self, django_assert_num_queries: Any) -> None:
        known = current_rates()
        with django_assert_num_queries(1):
            assert current_rates() is known
        # As another process changes it: by a row of its own.
        StatutoryRate.objects.get(pk=stt_on_futures().pk).save()
        assert current_rates() is not known

    def test_two_who_change_one_row_at_once_are_two_changes(self) -> None:
        one, other = stt_on_futures(), stt_on_futures()
        one.save()
        other.save()
        assert stt_on_futures().version == 3

    def test_two_rows_for_the_same_day_are_refused(self) -> None:
        twin = StatutoryRate(
            component="stt",
            segment="equity_futures",
            exchange="NSE",
            side="both",
            rate=Decimal("0.001"),
            basis="turnover",
            effective_from=date(2027, 4, 1),
            status="confirmed",
        )
        with pytest.raises(ValidationError, match="holds on some of these days already"):
            twin.full_clean()
        twin.side = "buy"
        twin.full_clean()

    def test_rows_for_other_shares_stand_beside_each_other(self) -> None:
        row = StatutoryRate.objects.filter(component="stt", segment="equity_delivery", applies_to=["EQUITY_ETF"]).get()
        row.full_clean()

    @pytest.mark.parametrize(
        ("terms", "words"),
        [
            ({"brokerage": {"equity_delivery": {"type": "flat", "amount": 0.5}}}, "no exact number"),
            ({"brokerage": {"equity_delivery": {"type": "by_mood"}}}, "no brokerage of type"),
            ({}, "brokerage"),
        ],
    )
    def test_terms_that_cannot_be_read_are_refused(self, terms: dict[str, Any], words: str) -> None:
        plan = BrokerPlan(
            broker="zerodha",
            plan_id="new",
            terms={"regulatory_ceiling": {}, **terms},
            effective_from=date(2027, 1, 1),
            status="partly",
        )
        with pytest.raises(ValidationError, match=words):
            plan.full_clean()

    def test_a_broker_has_one_usual_plan_at_a_time(self) -> None:
        second = BrokerPlan.objects.get(broker="iifl", plan_id="z20")
        second.is_default = True
        with pytest.raises(ValidationError, match="investor-online-plus"):
            second.full_clean()


class TestDesk:
    @pytest.fixture
    def desk(self, root: User) -> Client:
        return signed_in(root)

    def test_a_rate_is_ended_and_the_audit_log_tells(self, desk: Client, root: User) -> None:
        row = stt_on_futures()
        page = reverse("admin:orders_statutoryrate_change", args=[row.pk])
        sent = {"effective_to": "2027-03-31", "status": "confirmed", "sources": "[]", "note": "", "rate": "0.9"}
        assert desk.post(page, sent).status_code == 302
        row.refresh_from_db()
        assert (row.effective_to, row.rate) == (date(2027, 3, 31), Decimal("0.0005"))
        told = AuditEntry.objects.get(event=Event.RATE_CHANGED)
        assert (told.actor_id, told.object_kind, told.object_id) == (root.pk, "statutoryrate", str(row.pk))
        assert told.details["until"] == "2027-03-31"
        assert "effective_to" in told.details["fields"]

    def test_a_new_rate_is_added(self, desk: Client) -> None:
        sent = {
            "component": "ipft",
            "segment": "equity_futures",
            "exchange": "BSE",
            "side": "both",
            "rate": "0.000001",
            "basis": "turnover",
            "effective_from": "2027-01-01",
            "status": "partly",
            **dict.fromkeys(("applies_to", "bse_groups", "underlyings", "of", "sources"), "[]"),
        }
        assert desk.post(reverse("admin:orders_statutoryrate_add"), sent).status_code == 302
        assert StatutoryRate.objects.get(component="ipft", exchange="BSE").rate == Decimal("0.000001")
        again = desk.post(reverse("admin:orders_statutoryrate_add"), sent)
        assert b"holds on some of these days already" in again.content

    @pytest.mark.parametrize("name", ["statutoryrate", "brokerplan"])
    def test_nobody_deletes_a_row(self, desk: Client, name: str) -> None:
        row = {"statutoryrate": StatutoryRate, "brokerplan": BrokerPlan}[name].objects.earliest("pk")
        assert desk.post(reverse(f"admin:orders_{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
