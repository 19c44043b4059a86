"""Roles: who a trader is, what support may do, and that neither can be had by accident."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.password_validation import validate_password
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client, RequestFactory
from rest_framework.request import Request

from accounts.events import Event
from accounts.management.commands.demo_users import OUR_APPS, support_group
from accounts.models import AuditEntry, Role, User
from accounts.permissions import IsTrader
from tests.conftest import signed_in


def asked_by(user: Any) -> Request:
    request = Request(RequestFactory().get("/"))
    request.user = user
    return request


def test_who_signs_up_is_a_trader_without_rights(bob: User) -> None:
    assert bob.role == Role.TRADER
    assert bob.is_trader
    assert not bob.is_staff
    assert bob.get_all_permissions() == set()


def test_only_traders_may_call_the_api(bob: User, sam: User, root: User) -> None:
    people = {"nobody": AnonymousUser(), "bob": bob, "sam": sam}
    allowed = {name for name, person in people.items() if IsTrader().has_permission(asked_by(person), None)}
    assert allowed == {"bob"}


def test_support_may_look_at_everything_of_ours_and_change_nothing(db: None) -> None:
    codes = set(support_group().permissions.values_list("content_type__app_label", "codename"))
    ours = {
        (app.label, f"view_{model._meta.model_name}")
        for app in apps.get_app_configs()
        if app.label in OUR_APPS
        for model in app.get_models()
    }
    assert codes == ours
    assert {app for app, _ in ours} >= {"accounts", "brokers", "health", "portfolio"}


@pytest.mark.parametrize("page", ["/", "/connect"])
def test_support_is_shown_its_desk_and_traders_their_pages(page: str, sam: User, bob: User) -> None:
    answer = signed_in(sam).get(page)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert signed_in(bob).get(page).status_code == 200


@pytest.mark.parametrize("page", ["/", "/connect"])
def test_strangers_are_asked_to_sign_in(page: str, client: Client, db: None) -> None:
    answer = client.get(page)
    assert (answer.status_code, answer["Location"]) == (302, f"/login?next={page}")


def test_an_address_changed_by_the_desk_takes_the_place_of_all_that_were_known(bob: User, root: User) -> None:
    """Whoever has the old mailbox must not get a letter for a new password."""
    EmailAddress.objects.create(user=bob, email=bob.email, primary=True, verified=True)
    form = {"username": "bob", "role": Role.TRADER, "is_active": "on", "email": "New@Example.com"}
    form |= {"date_joined_0": "2026-11-26", "date_joined_1": "10:00"}
    assert signed_in(root).post(f"/admin/accounts/user/{bob.pk}/change/", form).status_code == 302
    assert User.objects.get(pk=bob.pk).email == "new@example.com"
    assert not EmailAddress.objects.filter(user=bob).exists()
    newest = AuditEntry.objects.filter(subject_id=bob.pk).first()
    assert newest is not None
    assert newest.event == Event.EMAIL_CHANGED
    Client().post("/password/reset", {"email": "bob@example.com"})
    Client().post("/password/reset", {"email": "new@example.com"})
    [old, new] = mail.outbox
    assert old.to == ["bob@example.com"]
    assert "/password/reset/" not in old.body
    assert new.to == ["new@example.com"]
    assert "/password/reset/" in new.body


class TestSigningIn:
    PASSWORD = "a-long-enough-pass-phrase"

    @pytest.fixture
    def carol(self, db: None) -> User:
        return User.objects.create_user("carol", password=self.PASSWORD)

    def sign_in(self, client: Client, password: str, **more: str) -> Any:
        return client.post("/login", {"login": "carol", "password": password, **more})

    def test_it_works_and_renews_the_session(self, carol: User, client: Client) -> None:
        client.get("/login")
        assert self.sign_in(client, self.PASSWORD)["Location"] == "/"
        first = client.cookies["sessionid"]
        assert first["httponly"]
        assert first["samesite"] == "Lax"
        client.post("/logout")
        assert client.get("/").status_code == 302

    def test_a_wrong_password_does_not(self, carol: User, client: Client) -> None:
        answer = self.sign_in(client, "wrong")
        assert answer.status_code == 200
        assert "sessionid" not in client.cookies
        assert b"wrong" not in answer.content

    @pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "javascript:alert(1)"])
    def test_it_never_leads_to_another_site(self, target: str, carol: User, client: Client) -> None:
        assert self.sign_in(client, self.PASSWORD, next=target)["Location"] == "/"

    def test_passwords_are_kept_by_argon2(self, carol: User) -> None:
        assert carol.password.startswith("argon2$")
        assert self.PASSWORD not in carol.password

    @pytest.mark.parametrize("weak", ["short", "password1234", "carolcarolcarol"])
    def test_weak_passwords_are_refused(self, weak: str, carol: User) -> None:
        with pytest.raises(ValidationError):
            validate_password(weak, User(username="carolcarol", email="carol@example.com"))

    def test_signing_out_is_no_link(self, carol: User, client: Client) -> None:
        client.force_login(carol)
        assert client.get("/logout").status_code == 405
        assert client.get("/").status_code == 200
