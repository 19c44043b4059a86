"""Routing and approval as a page: every change asks for a proof."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from brokers.models import BrokerConnection
from orders import preferences
from orders.models import OrderSettings
from tests.settings_pages.conftest import beside, prove, text_of

PAGE = "/account/orders"


def typed(**changed: Any) -> dict[str, Any]:
    return {"approval_minutes": "10", "split_penalty": "5", **changed}


def test_it_begins_with_what_the_house_does(as_alice: Client) -> None:
    form = as_alice.get(PAGE).context["form"]
    assert (form["approval_above"].value(), form["split_penalty"].value(), form["approval_minutes"].value()) == (
        None,
        "5",
        10,
    )
    assert "No broker is connected yet." in text_of(as_alice.get(PAGE))


def test_it_is_kept_and_shown_again(as_alice: Client, alice: User, alices: dict[str, BrokerConnection]) -> None:
    first, second = alices["upstox"].pk, alices["zerodha"].pk
    sent = typed(
        **{"approval_above": "₹2,50,000", "approval_products": ["MIS", "MTF"], "sells_unsettled": "on"},
        **{f"place_{first}": "1", f"place_{second}": "2"},
    )
    answer = as_alice.post(PAGE, sent, follow=True)
    assert "Saved. It holds for orders that are decided from now on." in text_of(answer)
    row = preferences.settings_of(alice)
    assert (row.approval_above, row.approval_products, row.approval_minutes) == (250_000, ["MIS", "MTF"], 10)
    assert (row.sells_unsettled, row.minimises_tax, row.split_penalty) == (True, False, Decimal(5))
    assert row.broker_order == [str(first), str(second)]
    form = as_alice.get(PAGE).context["form"]
    assert [form[f"place_{pk}"].value() for pk in (first, second)] == ["1", "2"]


def test_an_account_may_be_left_without_a_place(
    as_alice: Client, alice: User, alices: dict[str, BrokerConnection]
) -> None:
    only = alices["zerodha"].pk
    as_alice.post(PAGE, typed(**{f"place_{only}": "2", f"place_{alices['upstox'].pk}": ""}))
    assert preferences.settings_of(alice).broker_order == [str(only)]


def test_two_accounts_in_one_place_are_refused(
    as_alice: Client, alice: User, alices: dict[str, BrokerConnection]
) -> None:
    places = {f"place_{row.pk}": "1" for row in alices.values()}
    answer = as_alice.post(PAGE, typed(**places))
    told = [beside(answer, name) for name in places]
    assert sorted(bool(each) for each in told) == [False, True]
    assert "has this place. Give each its own, or none." in "".join(told)
    assert not OrderSettings.objects.filter(user=alice).exists()


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        ({"approval_above": "-1"}, "approval_above", "Enter an amount in rupees, zero or more."),
        ({"approval_minutes": "0"}, "approval_minutes", "Enter whole minutes, from 1 to 1440"),
        ({"approval_minutes": "soon"}, "approval_minutes", "Enter whole minutes, from 1 to 1440"),
        ({"split_penalty": ""}, "split_penalty", "Enter an amount in rupees, zero or more."),
        ({"approval_minutes": "1441"}, "approval_minutes", "Enter whole minutes, from 1 to 1440"),
        ({"split_penalty": "a little"}, "split_penalty", "Enter an amount in rupees, such as 50000."),
    ],
)
def test_a_refusal_stands_beside_its_field(
    sent: dict[str, str], field: str, words: str, as_alice: Client, alice: User
) -> None:
    answer = as_alice.post(PAGE, typed(**sent))
    assert words in beside(answer, field), beside(answer, field)
    assert not OrderSettings.objects.filter(user=alice).exists()


def test_every_change_asks_for_a_proof_and_keeps_what_was_typed(unproven: Client, alice: User) -> None:
    assert unproven.post(PAGE, typed(approval_above="100")).url == "/step-up?next=%2Faccount%2Forders"
    assert not OrderSettings.objects.filter(user=alice).exists()
    prove(unproven, alice)
    assert unproven.get(PAGE).context["form"]["approval_above"].value() == "100"
    assert not OrderSettings.objects.filter(user=alice).exists()


def test_an_account_of_another_is_no_choice(
    as_mallory: Client, mallory: User, alices: dict[str, BrokerConnection]
) -> None:
    page = as_mallory.post(PAGE, typed(**{f"place_{alices['zerodha'].pk}": "1"}), follow=True)
    assert "Saved." in text_of(page)
    assert preferences.settings_of(mallory).broker_order == []
