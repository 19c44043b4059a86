"""The admin: every model × each of its pages and actions × everybody. The registry says which models there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.test import RequestFactory
from django.urls import reverse

from tests.permissions import routes
from tests.permissions.asking import ask
from tests.permissions.cells import STEP_UP, Cells, staff
from tests.permissions.desk_table import DESK, NEVER_DELETED, OTHERWISE, REMOVE, REQUESTS
from tests.permissions.world import PEOPLE, World, undone

MODELS: dict[str, type[Model]] = {
    f"{model._meta.app_label}/{model._meta.model_name}": model for model in admin.site._registry
}
APPS = sorted({label.partition("/")[0] for label in MODELS})
PATHS = [route.path for route in routes.every()]
USUAL = {path for _, path in REQUESTS}
by_app = pytest.mark.parametrize("app", APPS)


def of_app(app: str) -> list[str]:
    return [label for label in MODELS if label.startswith(f"{app}/")]


def test_every_model_has_its_line_and_every_line_its_model() -> None:
    assert set(MODELS) - set(DESK) == set(), "models without a line in tests/permissions/desk_table.py"
    assert set(DESK) - set(MODELS) == set(), "lines of models that are gone"


@pytest.mark.parametrize("label", DESK)
def test_every_address_of_a_model_is_tried(label: str) -> None:
    start = f"admin/{label}/"
    there = {path.removeprefix(start) for path in PATHS if path.startswith(start)}
    assert there == USUAL | set(DESK[label].extra)


@by_app
def test_everybody_gets_what_the_table_says(app: str, world: World) -> None:
    for label in of_app(app):
        for (method, path), (right, outcome) in REQUESTS.items():
            at = f"/admin/{label}/{path}".replace("<path:object_id>", key_of(world, label))
            sent = {"post": "yes"} if path == REMOVE else None
            got = {person: ask(world, person, method, at, sent)[0] for person in PEOPLE}
            assert got == expected(world, label, method, path, right, outcome), f"{method} {at}"


def test_nor_at_the_addresses_that_only_one_of_them_has(world: World) -> None:
    for label, may in DESK.items():
        for path, (helper, admin_gets) in may.extra.items():
            at = f"/admin/{label}/{path}".replace("<id>", key_of(world, label))
            for method in ("GET", "POST"):
                cells = staff(helper, admin=admin_gets, changes=method == "POST")
                assert {person: ask(world, person, method, at)[0] for person in PEOPLE} == cells, f"{method} {at}"


def test_the_actions_of_a_list_are_those_of_the_table(world: World, rf: RequestFactory) -> None:
    for label, may in DESK.items():
        for person, offered in (("support", may.support_actions), ("admin", may.admin_actions)):
            request = rf.get("/admin/")
            request.user = world.people[person]
            assert set(admin.site._registry[MODELS[label]].get_actions(request)) == offered, f"{label}, {person}"


def test_an_action_that_is_not_offered_does_nothing(world: World) -> None:
    """As every list could delete what is chosen in it: for whoever may, the row is gone; for nobody else."""
    for label, may in DESK.items():
        gone = {person for person in PEOPLE if not is_there_after_deleting(world, person, label)}
        deletes = "delete_selected" in may.admin_actions and label not in NEVER_DELETED
        assert gone == ({"admin", "first admin"} if deletes else set()), label


def test_an_action_asks_for_a_fresh_proof(world: World) -> None:
    for label in DESK:
        chosen = {"action": "delete_selected", "_selected_action": key_of(world, label), "post": "yes"}
        assert ask(world, "stale admin", "POST", f"/admin/{label}/", chosen)[0] == STEP_UP, label


def test_what_was_tried(tell: Callable[[str], None]) -> None:
    rows = len(DESK) * (len(REQUESTS) + 1) + sum(2 * len(may.extra) for may in DESK.values())
    assert len(DESK) == len(admin.site._registry)
    tell(f"{len(DESK)} models, {rows} rows × {len(PEOPLE)} people = {rows * len(PEOPLE)} cells")


def key_of(world: World, label: str) -> str:
    return str(quote(str(world.key(MODELS[label]))))


def is_there_after_deleting(world: World, person: str, label: str) -> bool:
    key = world.key(MODELS[label])
    with undone():
        sent = {"action": "delete_selected", "_selected_action": str(key), "post": "yes"}
        world.browser(person).post(f"/admin/{label}/", sent)
        return bool(MODELS[label]._default_manager.filter(pk=key).exists())


def expected(world: World, label: str, method: str, path: str, right: str, outcome: str) -> Cells:
    may, name = DESK[label], label.replace("/", "_")
    places = {"list": reverse(f"admin:{name}_changelist"), "row": f"/admin/{label}/{key_of(world, label)}/change/"}
    told = OTHERWISE.get((label, method, path), outcome).format(**places)
    support = told if not right or right in may.support else "403"
    admin_gets = told if not right or right in may.admin else "403"
    return staff(support, admin=admin_gets, changes=method == "POST")
