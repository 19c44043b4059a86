"""Orders go to brokers by one door: shown on the syntax trees of the whole house, and on its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[3]
ROOMS = ("accounts", "health", "market", "orders", "portfolio", "trademaster")
DOOR = "orders/door.py"
CALLS = {"place", "modify", "place_gtt"}
# What bears such a name and is no client: (file, what it is called on).
OTHERS = {
    ("portfolio/live_host.py", "watched"),  # what a user sees first, by its place
    ("trademaster/rehearsal/storm.py", "storm"),  # gives out the storm's own orders, which `sending` sends
}
# Where a request says what stands already: for its cancellation, or to be held against a change.
OF_WHAT_STANDS = {"orders/calling.py", "orders/halt_lanes.py"}
MAY_CLEAR = {"orders.amending", "orders.changing", "orders.door", "orders.gtt", "orders.sending"}


def files() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def modules_named_in(tree: ast.Module) -> set[str]:
    """Names that stand for modules: what is called on them is a function of ours."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.asname or each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and "." not in node.module:
            names |= {each.asname or each.name for each in node.names if each.name.islower()}
    return names


def calls_of_clients(tree: ast.Module) -> list[tuple[str, str]]:
    """(on what, which): such a method called, handed on, kept, or fetched by its name."""
    modules, found = modules_named_in(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "methodcaller"):
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            found += [("getattr", name) for name in names if name in CALLS]
        for touched in [node.func, *node.args] if isinstance(node, ast.Call) else []:
            if isinstance(touched, ast.Attribute) and touched.attr in CALLS:
                on = ast.unparse(touched.value)
                if on not in modules:
                    found.append((on, touched.attr))
        kept = node.value if isinstance(node, ast.Assign) else None
        if isinstance(kept, ast.Attribute) and kept.attr in CALLS - {"place"}:  # (others have a place, too)
            found.append((ast.unparse(kept.value), kept.attr))
    return found


def made(tree: ast.Module, name: str) -> bool:
    """Whether something of this name, as `brokers.dealing` or `orders.checks` have it, is made here."""
    own = {
        each.asname or each.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("brokers.dealing", "orders.checks.clearing")
        for each in node.names
        if each.name == name
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in own:
                return True
            if isinstance(node.func, ast.Attribute) and node.func.attr == name:
                return True
    return False


def test_no_other_module_places_or_changes_an_order() -> None:
    found = {(path, on) for path, tree in files() if path != DOOR for on, _ in calls_of_clients(tree)}
    assert found == OTHERS


def test_the_door_does() -> None:
    tree = ast.parse((ROOT / DOOR).read_text())
    assert {which for on, which in calls_of_clients(tree) if on == "client"} == CALLS


def test_no_other_module_makes_an_order() -> None:
    makers = {path for path, tree in files() if made(tree, "OrderRequest")}
    assert makers == {DOOR} | OF_WHAT_STANDS


def test_only_the_checks_clear_one() -> None:
    """(Within its own module it bears its name without an import.)"""
    assert {path for path, tree in files() if made(tree, "Cleared")} == set()
    own = ast.parse((ROOT / "orders/checks/clearing.py").read_text())
    assert any(isinstance(node, ast.Call) and ast.unparse(node.func) == "Cleared" for node in ast.walk(own))


def test_only_who_sends_asks_for_it() -> None:
    graph = grimp.build_graph("orders", cache_dir=None)
    assert graph.find_modules_that_directly_import("orders.checks.clearing") == MAY_CLEAR
    assert graph.find_modules_that_directly_import("orders.door") == {"orders.changing", "orders.gtt", "orders.sending"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("client.place(request)", True),
        ("self.client.modify(standing, change)", True),
        ("call = client.place_gtt", True),
        ("getattr(client, 'place')(request)", True),
        ("from orders import gtt\ngtt.place(user=user)", False),
        ("client.cancel(standing)", False),
    ],
)
def test_a_call_is_recognised(line: str, found: bool) -> None:
    assert bool(calls_of_clients(ast.parse(line))) is found
