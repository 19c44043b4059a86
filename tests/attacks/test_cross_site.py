"""What a page of another site can make a signed-in browser do here: nothing that writes."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from tests.accounts.door import person, sign_in
from tests.attacks.routes import routes
from tests.conftest import let_in, signed_in

# Routes that take no session's word for it, and why each may be called without a token.
WITHOUT_A_TOKEN = {
    "broker-postback": "a broker calls it; the end of its address is what lets it in, and a session counts for nothing",
    "api-login": "takes a name, a password and a code from the body; a session counts for nothing",
    "api-refresh": "takes a refresh token from the body; a session counts for nothing",
}


def test_what_needs_no_token_exists_and_says_why() -> None:
    assert set(WITHOUT_A_TOKEN) <= {route.name for route in routes()}
    assert all(WITHOUT_A_TOKEN.values())


@pytest.fixture
def victim(root: User) -> Client:
    """Whoever may do everything: what she cannot be made to do, nobody can."""
    root.role = "TRADER"
    root.save()
    client = Client(enforce_csrf_checks=True)
    let_in(client, root)
    return client


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_route_is_written_to_without_a_csrf_token(method: str, victim: Client) -> None:
    """She may do everything and has just proven who she is: nothing else can be why she is refused."""
    asked = [route for route in routes() if route.name not in WITHOUT_A_TOKEN]
    answers = {
        route.name: getattr(victim, method)(route.path(), data={}, content_type="application/json").status_code
        for route in asked
    }
    assert len(answers) > 100
    # The page of the API's reference takes no such method at all.
    assert {name: status for name, status in answers.items() if status != 403} == {"api-docs": 405}


@pytest.mark.parametrize("path", ["/api/v1/nowhere", "/api/v2/brokers"])
def test_nor_are_addresses_that_do_not_exist(path: str, victim: Client) -> None:
    assert victim.post(path).status_code == 403


def test_a_token_of_another_browser_is_none(bob: User, victim: Client) -> None:
    other = Client(enforce_csrf_checks=True)
    let_in(other, bob)
    other.get("/connect")
    token = other.cookies["csrftoken"].value
    assert victim.post("/logout", headers={"X-CSRFToken": token}).status_code == 403


def test_the_sessions_cookie_does_not_travel_with_another_sites_form(bob: User, client: Client) -> None:
    person("carol")
    client.get("/login")
    sign_in(client, "carol")
    assert client.cookies["sessionid"]["samesite"] == client.cookies["csrftoken"]["samesite"] == "Lax"
    assert client.cookies["sessionid"]["httponly"]


def test_no_other_site_may_read_an_answer(bob: User) -> None:
    answer = signed_in(bob).get("/api/v1/brokers", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["/api/v1/brokers", "/api/v1/brokers/connections"])
def test_options_describes_nothing(path: str, bob: User) -> None:
    answer = signed_in(bob).options(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
