"""The page to which a broker sends the browser back: every ending leads to a page of ours, never to an error."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from accounts.models import User
from brokers import registry
from brokers.models import BrokerConnection, OAuthState
from brokers.simulation.server import Callback, SimulatedBrokers
from tests.people import begin, own_app

# Those that bring our state back; the others are in test_login_form.py.
FAITHFUL = [
    broker.spec.slug
    for broker in registry.brokers()
    if broker.spec.callback is not None and not broker.spec.callback.may_drop_state
]
each_broker = pytest.mark.parametrize("slug", FAITHFUL)


def sent_back(user: User, slug: str, brokers: SimulatedBrokers, **typed: str) -> str:
    """The address at which the broker sends the browser to us."""
    if not user.broker_apps.filter(broker_type=slug).exists():
        own_app(user, slug, brokers)
    callback: Callback = brokers.login(slug, begin(user, slug).authorization_url, **typed)
    address = urlsplit(callback.location)
    return f"{address.path}?{address.query}"


def refused(client: Client, address: str) -> str:
    """The code that the connect page is told. Fails unless nothing was connected."""
    answer = client.get(address)
    assert answer.status_code == 302
    target = urlsplit(answer["Location"])
    broker = parse_qs(target.query)["broker"][0]
    assert target.path == (f"/connect/{broker}" if broker in registry.slugs() else "/connect")
    assert "no-store" in answer["Cache-Control"]
    assert list(get_messages(answer.wsgi_request))
    assert not BrokerConnection.objects.exists()
    page = client.get(answer["Location"])
    assert page.status_code == 200
    return parse_qs(target.query)["refused"][0]


@each_broker
def test_a_login_ends_on_the_dashboard(slug: str, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    answer = as_alice.get(sent_back(alice, slug, brokers))
    assert (answer.status_code, answer["Location"]) == (302, "/")
    connection = BrokerConnection.objects.get()
    assert connection.user == alice
    assert f"{connection.display_name} is connected.".encode() in as_alice.get("/").content


@each_broker
def test_replayed(slug: str, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    address = sent_back(alice, slug, brokers)
    as_alice.get(address)
    BrokerConnection.objects.all().delete()
    assert refused(as_alice, address) == "invalid_state"


@each_broker
def test_expired(slug: str, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    address = sent_back(alice, slug, brokers)
    OAuthState.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert refused(as_alice, address) == "state_expired"


@each_broker
def test_in_another_users_browser(
    slug: str, alice: User, as_alice: Client, as_mallory: Client, brokers: SimulatedBrokers
) -> None:
    address = sent_back(alice, slug, brokers)
    assert refused(as_mallory, address) == "state_of_another_user"
    assert as_alice.get(address)["Location"] == "/"


@each_broker
def test_mallory_cannot_plant_her_account_on_alice(
    slug: str, alice: User, mallory: User, as_alice: Client, brokers: SimulatedBrokers
) -> None:
    """A link with Mallory's own code and state, clicked by Alice, connects nothing."""
    assert refused(as_alice, sent_back(mallory, slug, brokers)) == "state_of_another_user"


@each_broker
def test_not_signed_in(slug: str, alice: User, client: Client, brokers: SimulatedBrokers) -> None:
    address = sent_back(alice, slug, brokers)
    answer = client.get(address)
    assert answer.status_code == 302
    assert urlsplit(answer["Location"]).path == "/login"
    assert OAuthState.objects.count() == 1  # not spent: after signing in, the login completes
    client.force_login(alice)
    assert client.get(address)["Location"] == "/"


@each_broker
def test_the_trader_said_no(slug: str, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    assert refused(as_alice, sent_back(alice, slug, brokers, cancel="1")) == "login_refused"


@pytest.mark.parametrize(("slug", "other"), [("zerodha", "upstox"), ("upstox", "zerodha")])
def test_at_another_brokers_page(
    slug: str, other: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
) -> None:
    address = sent_back(alice, slug, brokers).replace(f"/callback/{slug}", f"/callback/{other}")
    assert refused(as_alice, address) == "state_of_another_broker"


@each_broker
def test_without_anything(slug: str, as_alice: Client) -> None:
    assert refused(as_alice, f"/brokers/callback/{slug}") == "invalid_state"


def test_of_a_broker_we_do_not_know(as_alice: Client) -> None:
    assert refused(as_alice, "/brokers/callback/barings?state=x") == "unsupported_broker"


@each_broker
def test_a_broker_that_fails_meanwhile(slug: str, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    address = sent_back(alice, slug, brokers)
    brokers.control.set_fault(slug, "down")
    assert refused(as_alice, address) == "broker_unavailable"


def test_what_a_broker_says_is_text_and_not_markup(alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    address = sent_back(alice, "zerodha", brokers)
    reply = {"status": "error", "error_type": "InputException", "message": "<script>alert(1)</script>", "data": None}
    brokers.control.serve("zerodha", "POST /session/token", reply, status=400)
    answer = as_alice.get(address, follow=True)
    assert b"<script>alert(1)" not in answer.content
    assert b"&lt;script&gt;alert(1)" in answer.content


def test_only_by_get(as_alice: Client) -> None:
    assert as_alice.post("/brokers/callback/zerodha").status_code == 405
