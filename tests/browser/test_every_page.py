"""The table of every page against the addresses of the house: none is forgotten, or left out without a reason."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.urls import Resolver404, resolve

from tests.browser.every_page import PLACES, Place
from tests.permissions import routes

# What stands in the addresses of the table once a demo runs.
FACTS = {
    "order": UUID(int=1),
    "route": UUID(int=1),
    "grant": UUID(int=1),
    "limit": 1,
    "invitation": "/invitation/token",
    "reset": "/password/reset/1-key",
    "form": "/brokers/login/groww",
}
# The API answers no pages; the admin's are Django's own, and the table has the first of them.
ELSEWHERE = ("api/v1/", "admin/")
LEFT_OUT = {
    "where a form leads, which answers with another page": (
        "logout",
        "account/alerts/<uuid:id>/test",
        "account/api/sessions/<uuid:pk>/end",
        "account/api/tokens/<int:pk>/revoke",
        "account/data/export",
        "account/devices/<int:pk>",
        "account/devices/forget",
        "account/family/<uuid:id>/withdraw",
        "account/limits/breaches/<int:id>/acknowledge",
        "account/sessions/<int:pk>/end",
        "account/sessions/end",
        "demo/checklist",
        "demo/do",
        "demo/market",
    ),
    "leads on to another page": ("account", "brokers/callback/<str:broker_type>", "step-up"),
    "a part of other pages": ("demo/first-run", "demo/panel", "strip"),
    "a file": ("orders/export.csv", "portfolio/export.csv", "portfolio/export.xlsx"),
    "for programs": (
        "^api/.*$",
        "api/schema",
        "brokers/postback/<path:secret>",
        "health/live",
        "health/ready",
        "login/passkey",
        "manifest.webmanifest",
        "sw.js",
    ),
    "a sentence in the frame of password-reset-sent": (
        "account/email/sent",
        "account/inactive",
        "password/reset/done",
    ),
    "one button in the frame of email": ("account/email/confirm/<str:key>",),
    "there once a second factor is set up; test_front_door.py goes there": (
        "account/factors/app/remove",
        "account/factors/passkeys/<int:pk>",
        "account/factors/passkeys/<int:pk>/remove",
        "account/factors/recovery-codes",
        "account/factors/recovery-codes/new",
        "step-up/code",
        "step-up/passkey",
    ),
    "for whoever has no password, whom only support makes": ("account/password/set",),
}


def shown() -> set[str]:
    """The routes that the table has a row of."""
    found = set()
    for place in PLACES:
        path = urlsplit(place.address.format(**FACTS)).path
        try:
            found.add(resolve(path).route)
        except Resolver404:
            assert place.template or place.status == 404, f"{place}: nothing answers {path}"
    return found


def test_every_page_is_in_the_table_or_left_out_for_a_reason() -> None:
    pages = {route.path for route in routes.every() if not route.path.startswith(ELSEWHERE)}
    left_out = {path for paths in LEFT_OUT.values() for path in paths}
    assert pages - shown() == left_out


def test_names_are_given_once() -> None:
    names = [place.name for place in PLACES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("place", [place for place in PLACES if not place.is_a_page], ids=str)
def test_a_state_is_one_of_a_page_in_the_table(place: Place) -> None:
    addresses = {each.address for each in PLACES if each.is_a_page}
    assert place.address.partition("#")[0] in addresses
