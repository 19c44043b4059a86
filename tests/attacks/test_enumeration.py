"""Who has an account here, as a stranger or another trader could find out. Beside tests/accounts/test_sign_in.py."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.models import User
from tests.accounts.door import PASSWORD, person, sign_in


@pytest.fixture
def carol(db: None) -> User:
    user = person("carol")
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def neutral(answer: Any, name: str) -> tuple[int, str, str]:
    """An answer without what differs by chance and without what was asked."""
    text = re.sub(r'(csrfmiddlewaretoken" value|nonce)="[^"]+"', "", answer.content.decode())
    return answer.status_code, answer.get("Location", ""), text.replace(name, "X")


@pytest.mark.parametrize("page", ["/login", "/password/reset"])
def test_a_strangers_answer_is_the_same_for_who_is_here_and_who_is_not(page: str, carol: User) -> None:
    told = []
    for name in ("carol", "nobody"):
        form = {"login": name, "password": "wrong", "email": f"{name}@example.com"}
        told.append(neutral(Client().post(page, form), name))
    assert told[0] == told[1]


def test_nobody_learns_by_entering_an_address_whose_it_is(carol: User, mallory: User, client: Client) -> None:
    """Whether an address is taken is told to its owner, by a letter."""
    mallory.set_password(PASSWORD)
    mallory.save()
    told = []
    for name in ("carol", "nobody"):
        sign_in(client, "mallory")
        answer = client.post("/account/email", {"email": f"{name}@example.com", "action_add": ""})
        told.append(neutral(answer, name)[:2])
        assert "already" not in client.get("/account/email").content.decode().lower()
        EmailAddress.objects.filter(user=mallory).delete()
        client.post("/logout")
    assert told[0] == told[1]
    assert not EmailAddress.objects.filter(email="carol@example.com").exclude(user=carol).exists()
    assert {"carol@example.com", "nobody@example.com"} <= {address for letter in mail.outbox for address in letter.to}


def test_the_page_of_states_names_nobody(carol: User, client: Client) -> None:
    assert "carol" not in client.get("/status").content.decode()


def test_a_signed_key_of_a_letter_tells_nothing_of_the_account(carol: User, client: Client) -> None:
    """A made-up link for an account that exists, and for one that does not."""
    from allauth.account.utils import user_pk_to_url_str

    pages = [f"/password/reset/{user_pk_to_url_str(carol)}-made-up", "/password/reset/zzzz-made-up"]
    known, unknown = (client.get(page, follow=True) for page in pages)
    assert known.status_code == unknown.status_code == 200
    assert neutral(known, pages[0]) == neutral(unknown, pages[1])
