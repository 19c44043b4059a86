"""Every address × every method × everybody, with the exact answer. The URL table says what there is to try."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache

from accounts.alert_models import AlertRoute
from accounts.models import ApiSession, PersonalToken, TrustedDevice, User
from market.models import Instrument
from portfolio.flow_models import CashFlow
from portfolio.risk_models import RiskBreach, RiskLimit, UserScenario
from tests.permissions import routes
from tests.permissions.asking import ask
from tests.permissions.cells import Address
from tests.permissions.rows import HERS
from tests.permissions.table import SECTIONS, TABLE
from tests.permissions.world import PEOPLE, World

BY_ALL = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Alice herself, and the two who work for everybody, in the admin.
MAY_SEE = {"owner", "stale"}
APPS = re.compile(r"\(\?P<app_label>[a-z|]+\)")

MODELS = {f"{model._meta.app_label}/{model._meta.model_name}" for model in admin.site._registry}
ROUTES = [route for route in routes.every() if not routes.of_admin_models(route.path, MODELS)]


def spelt(path: str) -> str:
    """As the table writes it: the admin names every app that it knows in one of its routes."""
    return APPS.sub("(?P<app_label>*)", path)


by_section = pytest.mark.parametrize("section", SECTIONS)


def test_every_route_has_its_rows_and_every_row_its_route() -> None:
    there = {spelt(route.path) for route in ROUTES}
    assert there - set(TABLE) == set(), "routes without a row in tests/permissions/table.py"
    assert set(TABLE) - there == set(), "rows of routes that are gone"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.path or '/'} {route.name}")
def test_every_method_of_a_view_has_a_row(route: routes.Route) -> None:
    address = TABLE[spelt(route.path)]
    assert address.rows
    if route.methods is not None:  # of a function only asking tells, which is done below
        assert set(address.rows) <= route.methods
        assert set(address.rows) == route.methods or address.rest == "405", "what has no row must be refused"


@by_section
def test_everybody_gets_what_the_table_says(section: str, world: World) -> None:
    for path, address in SECTIONS[section].items():
        cache.clear()  # what was asked before does not count against anybody's limits
        for method, row in address.rows.items():
            got = {person: tried(world, address, method, person) for person in PEOPLE}
            assert got == row.cells, f"{method} {path}"


@by_section
def test_every_other_method_is_refused(section: str, world: World) -> None:
    for path, address in SECTIONS[section].items():
        cache.clear()
        at = filled(address, world)
        others = [method for method in BY_ALL if method not in address.rows]
        got = {method: ask(world, "owner", method, at, as_json=address.is_json)[0] for method in others}
        assert got == dict.fromkeys(others, address.rest), path
        told = tuple(ask(world, person, "OPTIONS", at)[0] for person in ("anonymous", "owner"))
        assert told == address.options, f"OPTIONS {path}"


@by_section
def test_head_is_get_without_a_body(section: str, world: World) -> None:
    for path, address in SECTIONS[section].items():
        if row := address.rows.get("GET"):
            cache.clear()
            cells = address.head or row.cells
            at = f"{filled(address, world)}?{row.query}"
            asked = {person: ask(world, person, "HEAD", at) for person in ("anonymous", "owner", "support")}
            assert {body for _, body in asked.values()} == {b""}, path
            got = {person: outcome for person, (outcome, _) in asked.items()}
            assert got == {person: without_code(cells[person]) for person in asked}, path


def test_what_was_tried(tell: Callable[[str], None]) -> None:
    rows = sum(len(address.rows) for address in TABLE.values())
    assert rows >= len({spelt(route.path) for route in ROUTES}) == len(TABLE)
    tell(f"{len(TABLE)} routes, {rows} rows × {len(PEOPLE)} people = {rows * len(PEOPLE)} cells")


def tried(world: World, address: Address, method: str, person: str) -> str:
    """The outcome; and nothing of Alice's is in what somebody else is shown."""
    row = address.rows[method]
    at = filled(address, world)
    at = f"{at}?{row.query}" if row.query else at
    outcome, content = ask(world, person, method, at, row.body, as_json=address.is_json)
    if person not in MAY_SEE and not address.at.startswith("/admin/"):
        text = content.decode(errors="replace").lower()
        shown = [word for word in HERS if word.lower() in text]
        assert not shown, f"{person} is shown {shown} by {method} {at}"
    return outcome


def without_code(outcome: str) -> str:
    """What is left of an outcome where there is no body to read an error's code in."""
    return outcome if outcome.startswith("3") else outcome[:3]


def filled(address: Address, world: World) -> str:
    return address.at.format(
        passkey=world.key(Authenticator),
        device=world.key(TrustedDevice),
        session=world.key(UserSession),
        client=world.key(ApiSession),
        token=world.key(PersonalToken),
        instrument=world.key(Instrument),
        limit=world.key(RiskLimit),
        breach=world.key(RiskBreach),
        route=world.key(AlertRoute),
        flow=world.key(CashFlow),
        scenario=world.key(UserScenario),
        user=world.key(User),
        user_type=ContentType.objects.get_for_model(User).pk,
    )
