"""Sharing as pages: let somebody look, take it back, and look at what another shares."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import profiles
from accounts.models import User
from brokers import grants
from brokers.agreements import ConnectionGrant
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from portfolio.templatetags.risk import MINUS, rupees
from tests.settings_pages.conftest import beside, text_of

LIST = "/account/family"
NEW = "/account/family/new"
Alices = dict[str, BrokerConnection]


@pytest.fixture
def given(alice: User, bob: User, alices: Alices) -> ConnectionGrant:
    """Bob may look at Alice's Zerodha."""
    return grants.give(
        owner=alice,
        named="bob",
        connection_ids=[alices["zerodha"].pk],
        expires_at=None,
        now=timezone.now(),
    )


def test_nobody_and_nothing(as_bob: Client) -> None:
    text = text_of(as_bob.get(LIST))
    assert "Nobody may. There is nothing to look at yet: connect a broker first." in text
    assert "Nothing of anybody else’s." in text


def test_somebody_may_look_until_it_is_taken_back(
    as_alice: Client, as_bob: Client, alice: User, bob: User, alices: Alices
) -> None:
    sent = {"to": "bob", "connections": [str(alices["zerodha"].pk)], "expires_at": "2031-05-01T18:00"}
    text = text_of(as_alice.post(NEW, sent, follow=True))
    assert "“bob” may look at these accounts, if anybody here is called so." in text
    assert "until 1 May 2031, 18:00" in text
    grant = ConnectionGrant.objects.get(owner=alice, viewer=bob)
    assert "alice" in text_of(as_bob.get(LIST))
    assert as_bob.post(f"{LIST}/{grant.pk}/withdraw").status_code == 404
    assert "“bob” may not look at your accounts any more." in text_of(
        as_alice.post(f"{LIST}/{grant.pk}/withdraw", follow=True)
    )
    assert "Nothing of anybody else’s." in text_of(as_bob.get(LIST))
    assert as_bob.get(f"{LIST}/shared/{grant.pk}").status_code == 404


def test_whether_somebody_is_called_so_is_not_told(as_alice: Client, bob: User, alices: Alices) -> None:
    told = [
        text_of(as_alice.post(NEW, {"to": name, "connections": [str(alices["zerodha"].pk)]}, follow=True)).replace(
            name, "X"
        )
        for name in ("bob", "nobody")
    ]
    assert told[0].count("sees the merged portfolio") == 1
    assert told[1].count("sees the merged portfolio") == 2
    assert "“X” may look at these accounts, if anybody here is called so." in told[0]
    assert "“X” may look at these accounts, if anybody here is called so." in told[1]


def test_letting_somebody_look_asks_for_a_proof_and_taking_back_does_not(
    unproven: Client, given: ConnectionGrant
) -> None:
    for ask in (unproven.get, unproven.post):
        assert ask(NEW).url == "/step-up?next=%2Faccount%2Ffamily%2Fnew"
    assert unproven.post(f"{LIST}/{given.pk}/withdraw").url == LIST
    assert not ConnectionGrant.objects.standing(timezone.now()).exists()


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        ({"to": "alice"}, "to", "That is you. Name another person."),
        ({"to": ""}, "to", "Enter a user name, or an e-mail address."),
        ({"expires_at": "2020-01-01T09:00"}, "expires_at", "Choose a later time, or none."),
        ({"connections": []}, "connections", "Choose one account at least."),
    ],
)
def test_a_refusal_stands_beside_its_field(
    sent: dict[str, str], field: str, words: str, as_alice: Client, bob: User, alices: Alices
) -> None:
    answer = as_alice.post(NEW, {"to": "bob", "connections": [str(alices["zerodha"].pk)], **sent})
    assert words in beside(answer, field), beside(answer, field)
    assert not ConnectionGrant.objects.exists()


def test_accounts_of_another_cannot_be_shared(as_mallory: Client, bob: User, alices: Alices) -> None:
    answer = as_mallory.post(NEW, {"to": "bob", "connections": [str(alices["zerodha"].pk)]})
    assert "is not one of the available choices" in beside(answer, "connections")
    assert not ConnectionGrant.objects.exists()


def test_what_is_shared_is_looked_at_under_the_name_that_its_owner_chose(
    as_bob: Client, alice: User, given: ConnectionGrant
) -> None:
    profiles.rename(alice, name="Asha", now=timezone.now())
    page = as_bob.get(f"{LIST}/shared/{given.pk}")
    text = text_of(page)
    assert "Portfolio of Asha" in text
    assert "User name alice; Zerodha" in text
    assert "Asha (user name alice) Zerodha" in text_of(as_bob.get(LIST))
    assert re.search(r"Zerodha \w+: live", text)
    assert "INFY" in text
    assert page.content.decode().count("data-money") > 10


def test_what_is_shared_has_the_totals_and_positions_of_the_live_page(as_bob: Client, given: ConnectionGrant) -> None:
    page = as_bob.get(f"{LIST}/shared/{given.pk}")
    html, book = page.content.decode(), page.context["book"]
    for total in ("net_worth", "day_pnl", "open_pnl"):
        assert rupees(book[total]).lstrip(MINUS) in text_of(page), total
    assert book["trading_positions"]
    rows = html[html.index('data-testid="read-positions"') :].count('<th scope="row"')
    others = [row for row in book["trading_positions"] if row["kind"] != "DERIVATIVE"]
    assert rows == len(book["derivatives"]) + len(others)


def test_an_outage_is_said_and_is_no_poverty(as_bob: Client, given: ConnectionGrant, control: Control) -> None:
    page = f"{LIST}/shared/{given.pk}"
    before = as_bob.get(page)
    assert "live" in text_of(before)
    assert "what is missing is not worth nothing" not in text_of(before)
    control.set_fault("zerodha", "down")
    cache.clear()
    after = as_bob.get(page)
    assert re.search(r"Zerodha \w+: stale since", text_of(after))
    assert "what is missing is not worth nothing" in text_of(after)
    html = after.content.decode()
    assert "₹0" not in html[html.index('data-testid="read-totals"') : html.index("</dl>")]


def test_a_grant_that_has_ended_shows_nothing(as_bob: Client, given: ConnectionGrant) -> None:
    ConnectionGrant.objects.filter(pk=given.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert as_bob.get(f"{LIST}/shared/{given.pk}").status_code == 404
    assert "Nothing of anybody else’s." in text_of(as_bob.get(LIST))
