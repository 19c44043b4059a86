"""Alice's browser at the settings, with a proof that is fresh (`as_alice`) or too old (`unproven`)."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from accounts.models import User
from tests.conftest import signed_in

AGES_AGO = 1.0


@pytest.fixture
def unproven(alice: User) -> Client:
    client = signed_in(alice)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": AGES_AGO}]
    session.save()
    return client


def text_of(answer: object) -> str:
    """What a reader sees of a page: no tags, one space."""
    html = answer.content.decode()  # type: ignore[attr-defined]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def beside(answer: object, field: str) -> str:
    """What stands as an error beside a field; empty: nothing."""
    html = answer.content.decode()  # type: ignore[attr-defined]
    found = re.search(rf'id="id_{field}_error">(.*?)</p>', html, re.DOTALL)
    return unescape(found[1]).strip() if found else ""


def prove(client: Client, user: User) -> None:
    """What the page of proofs leaves in a session: it is they, a moment ago."""
    fresh = signed_in(user).session["account_authentication_methods"]
    session = client.session
    session["account_authentication_methods"] = fresh
    session.save()
