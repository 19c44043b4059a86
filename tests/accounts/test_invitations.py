"""An account is had by invitation: for that address, once, for some days."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts import invitations
from accounts.models import Invitation, Role, User
from tests.accounts.door import PASSWORD, is_in, person, sign_in
from tests.accounts.test_sign_in import address_in
from tests.conftest import signed_in

FORM = {"username": "dora", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def link(db: None) -> str:
    """As it was mailed to Dora."""
    _, link = invitations.invite(email="Dora@example.com", invited_by=None, now=timezone.now(), was_mailed=True)
    return link.removeprefix("http://127.0.0.1:8000")


def sign_up(client: Client, link: str, **changed: str) -> Any:
    client.get(link)
    return client.post("/signup", {**FORM, **changed})


def test_nobody_makes_an_account_uninvited(client: Client, db: None) -> None:
    assert 'name="password1"' not in client.get("/signup").content.decode()
    client.post("/signup", {**FORM, "email": "dora@example.com"})
    assert not User.objects.exists()


def test_an_invitation_makes_a_trader_whose_address_is_proven(client: Client, link: str) -> None:
    assert client.get(link)["Location"] == "/signup"
    assert 'name="password1"' in client.get("/signup").content.decode()
    assert sign_up(client, link)["Location"] == "/"
    dora = User.objects.get()
    assert (dora.username, dora.email, dora.role, dora.is_staff) == ("dora", "dora@example.com", Role.TRADER, False)
    assert EmailAddress.objects.get().verified
    assert is_in(client)
    assert Invitation.objects.get().accepted_by == dora


def test_the_address_and_the_role_cannot_be_changed_on_the_way(client: Client, link: str) -> None:
    sign_up(client, link, email="mallory@example.com", role="SUPPORT", is_staff="on", is_superuser="on")
    dora = User.objects.get()
    assert (dora.email, dora.role, dora.is_staff, dora.is_superuser) == ("dora@example.com", "TRADER", False, False)


def test_it_works_once(link: str) -> None:
    sign_up(Client(), link)
    second = Client()
    sign_up(second, link, username="mallory")
    assert User.objects.count() == 1
    assert not is_in(second)


def test_of_two_at_once_one_gets_it(link: str, client: Client) -> None:
    """Both have read it as open; the second is told when it spends it, and leaves nothing behind."""
    [invitation] = Invitation.objects.all()
    invitations.accept(invitation, user=person("first"), now=timezone.now())
    with pytest.raises(invitations.InvitationSpent):
        invitations.accept(invitation, user=person("second"), now=timezone.now())


def test_it_lapses(link: str, client: Client) -> None:
    with time_machine.travel(timezone.now() + invitations.LIFETIME + timedelta(seconds=1)):
        sign_up(client, link)
    assert not User.objects.exists()


def test_a_guessed_one_is_none(client: Client, link: str) -> None:
    sign_up(client, "/invitation/" + "x" * 43)
    assert not User.objects.exists()


def test_following_the_link_spends_nothing(link: str, client: Client) -> None:
    """Mail scanners follow it first."""
    Client().get(link)
    assert sign_up(client, link)["Location"] == "/"


def test_a_second_one_takes_the_place_of_the_first(link: str, client: Client) -> None:
    invitations.invite(email="dora@example.com", invited_by=None, now=timezone.now(), was_mailed=True)
    sign_up(client, link)
    assert not User.objects.exists()


def test_the_token_is_kept_as_a_hash(link: str) -> None:
    token = link.rpartition("/")[2]
    [row] = Invitation.objects.values()
    assert token not in str(row)


class TestByTheAdmin:
    def add(self, root: User, email: str) -> Any:
        return signed_in(root).post("/admin/accounts/invitation/add/", {"email": email})

    def test_the_letter_goes_to_the_address_and_nobody_else_sees_the_link(
        self, root: User, client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        """After the commit: until then nobody else could write to the audit log."""
        with django_capture_on_commit_callbacks() as afterwards:
            assert self.add(root, "dora@example.com").status_code == 302
        assert mail.outbox == []
        for each in afterwards:
            each()
        [letter] = mail.outbox
        assert letter.to == ["dora@example.com"]
        link = address_in(letter.body)
        listed = signed_in(root).get("/admin/accounts/invitation/").content.decode()
        assert link.rpartition("/")[2] not in listed
        assert sign_up(client, link)["Location"] == "/"
        assert Invitation.objects.get().invited_by == root

    def test_not_for_who_has_an_account(self, root: User) -> None:
        person("dora")
        assert b"has an account" in self.add(root, "DORA@example.com").content
        assert mail.outbox == []

    def test_support_may_not(self, sam: User) -> None:
        assert signed_in(sam).post("/admin/accounts/invitation/add/", {"email": "x@example.com"}).status_code == 403
        assert not Invitation.objects.exists()


class TestByCommand:
    def test_it_prints_a_link_that_proves_no_address(self, db: None, client: Client) -> None:
        output = StringIO()
        call_command("invite", "dora@example.com", stdout=output, stderr=StringIO())
        assert sign_up(client, address_in(output.getvalue()))["Location"] == "/"
        assert not EmailAddress.objects.get().verified
        # So the address is asked, beside.
        confirm = address_in(mail.outbox[0].body)
        client.post(confirm)
        assert EmailAddress.objects.get().verified

    def test_who_is_here_is_not_invited(self, db: None) -> None:
        person("dora")
        with pytest.raises(CommandError, match="has an account"):
            call_command("invite", "dora@example.com")


def test_who_is_signed_in_makes_no_second_account_by_accident(link: str, client: Client) -> None:
    person("carol")
    sign_in(client, "carol")
    assert client.get(link)["Location"] == "/"
    assert "invitation" not in client.session
