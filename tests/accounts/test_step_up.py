"""Step-up: what needs a fresh proof, what counts as one, and where the way leads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import step_up
from accounts.models import User
from brokers.models import BrokerApp, BrokerConnection
from brokers.simulation.server import SimulatedBrokers
from tests.accounts.door import PASSWORD, code_now, person, show_code, sign_in, with_app, with_recovery_codes
from tests.brokers.test_api import send
from tests.people import connect

APP = "/brokers/apps/zerodha"
KEYS = {"api_key": "key", "api_secret": "secret"}


@pytest.fixture
def carol(db: None) -> User:
    return person("carol")


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def refused(answer: Any) -> bool:
    """With a code that programs can read, and where to go."""
    if answer.status_code != 403:
        return False
    error = answer.json()["error"]
    assert error["code"] == "step_up_required"
    assert error["details"] == {"url": "/step-up"}
    assert error["remedy"]
    return True


class TestWhoHasAPasswordAlone:
    def test_a_fresh_sign_in_is_proof_for_ten_minutes(self, carol: User, client: Client, clock: Any) -> None:
        sign_in(client, "carol")
        clock.shift(timedelta(minutes=9, seconds=59))
        assert send(client, "put", APP, KEYS).status_code == 200
        clock.shift(timedelta(seconds=2))
        assert refused(send(client, "put", APP, KEYS))

    def test_the_page_asks_before_keys_are_typed_and_not_after(self, carol: User, client: Client, clock: Any) -> None:
        sign_in(client, "carol")
        assert 'name="api_secret"' in client.get("/connect/zerodha").content.decode()
        clock.shift(timedelta(minutes=10))
        page = client.get("/connect/zerodha").content.decode()
        assert 'name="api_secret"' not in page
        assert 'href="/step-up?next=%2Fconnect%2Fzerodha"' in page

    def test_the_password_is_proof_again(self, carol: User, client: Client, clock: Any) -> None:
        sign_in(client, "carol")
        clock.shift(timedelta(hours=1))
        assert client.get("/step-up?next=/connect")["Location"] == "/step-up/password?next=%2Fconnect"
        assert client.post("/step-up/password", {"password": "wrong"}).status_code == 200
        assert refused(send(client, "put", APP, KEYS))
        back = client.post("/step-up/password", {"password": PASSWORD, "next": "/connect"})
        assert back["Location"] == "/connect"
        assert send(client, "put", APP, KEYS).status_code == 200

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
    def test_it_never_leads_to_another_site(self, target: str, carol: User, client: Client) -> None:
        sign_in(client, "carol")
        assert client.post("/step-up/password", {"password": PASSWORD, "next": target})["Location"] == "/"


class TestWhoHasAFactor:
    @pytest.fixture
    def late(self, carol: User, client: Client, clock: Any) -> Client:
        """An hour after a sign-in with password and code."""
        with_app(carol)
        sign_in(client, "carol")
        show_code(client)
        assert send(client, "put", APP, KEYS).status_code == 200
        clock.shift(timedelta(hours=1))
        return client

    def test_the_password_is_no_proof_for_them(self, late: Client) -> None:
        answer = late.post("/step-up/password", {"password": PASSWORD})
        assert answer["Location"] == "/step-up/code"
        assert refused(send(late, "delete", APP))
        assert BrokerApp.objects.count() == 1

    def test_the_code_is(self, late: Client) -> None:
        assert late.get("/step-up?next=/")["Location"] == "/step-up/code?next=%2F"
        assert late.post("/step-up/code", {"code": code_now(), "next": "/"})["Location"] == "/"
        assert send(late, "delete", APP).status_code == 204

    def test_a_recovery_code_is(self, late: Client, carol: User) -> None:
        late.post("/step-up/code", {"code": with_recovery_codes(carol)[0]})
        assert send(late, "delete", APP).status_code == 204

    def test_a_trusted_device_is_not(self, carol: User, client: Client, clock: Any) -> None:
        with_app(carol)
        sign_in(client, "carol")
        show_code(client, trust="on")
        client.post("/logout")
        assert sign_in(client, "carol")["Location"] == "/"
        assert refused(send(client, "put", APP, KEYS))

    @pytest.mark.parametrize(
        "page",
        [
            "/account/password",
            "/account/email",
            "/account/factors/app/remove",
            "/account/factors/passkeys/add",
            "/account/factors/recovery-codes",
            "/account/factors/recovery-codes/new",
        ],
    )
    def test_nor_is_how_one_signs_in_changed_without_it(self, page: str, late: Client) -> None:
        assert late.get(page)["Location"] == f"/step-up?next={page.replace('/', '%2F')}"
        assert late.post(page)["Location"].startswith("/step-up?next=")

    def test_what_was_typed_meanwhile_is_kept_nowhere(self, late: Client) -> None:
        late.post("/account/password", {"oldpassword": PASSWORD, "password1": "x", "password2": "x"})
        assert PASSWORD not in str(dict(late.session))


class TestWhatNeedsIt:
    @pytest.fixture
    def late(self, brokers: SimulatedBrokers, carol: User, client: Client) -> Client:
        connect(carol, "zerodha", brokers)
        with time_machine.travel(timezone.now() - timedelta(hours=1)):
            sign_in(client, "carol")
        return client

    def test_disconnecting_and_keys(self, late: Client) -> None:
        [connection] = BrokerConnection.objects.all()
        assert refused(send(late, "delete", f"/brokers/connections/{connection.pk}"))
        assert refused(send(late, "put", APP, KEYS))
        assert refused(send(late, "delete", APP))
        connection.refresh_from_db()
        assert connection.status == "CONNECTED"
        late.post("/step-up/password", {"password": PASSWORD})
        assert send(late, "delete", f"/brokers/connections/{connection.pk}").status_code == 204

    def test_reading_and_renaming_do_not(self, late: Client) -> None:
        [connection] = BrokerConnection.objects.all()
        assert send(late, "get", "/brokers/connections").status_code == 200
        named = {"display_name": "Mine"}
        assert send(late, "patch", f"/brokers/connections/{connection.pk}", named).status_code == 200


def test_who_is_not_a_trader_is_told_that_first(client: Client, sam: User) -> None:
    client.force_login(sam)
    answer = send(client, "put", APP, KEYS)
    assert answer.json()["error"]["code"] == "permission_denied"


def test_strangers_are_asked_to_sign_in(client: Client, db: None) -> None:
    assert client.get("/step-up?next=/")["Location"].startswith("/login?next=")


def test_who_has_nothing_to_show_is_refused_and_nothing_fails(bob: User, client: Client) -> None:
    """Neither a password nor a factor: such an account was made by hand."""
    bob.set_unusable_password()
    bob.save()
    client.force_login(bob)
    assert client.get("/step-up").status_code == 403


def test_a_proof_of_one_user_is_none_of_the_next(carol: User, rf: RequestFactory, client: Client, bob: User) -> None:
    sign_in(client, "carol")
    request = rf.get("/")
    request.session = client.session
    request.user = bob
    assert not step_up.is_fresh(request)
    page = step_up.required(lambda request: HttpResponse("secret"))
    assert page(request).status_code == 302
    request.user = carol
    assert page(request).status_code == 200
