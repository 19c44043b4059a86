"""SECURITY.md names the tests of each attack: they exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = re.sub(r"<!--.*?-->", "", (ROOT / "SECURITY.md").read_text(), flags=re.DOTALL)
ROWS = [line for line in PAGE.partition("## Attacks and their tests")[2].splitlines() if line.startswith("| ")][1:]
NAMED = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)+)`")


@cache
def names_in(file: str) -> frozenset[str]:
    """`::Class`, `::Class::test` and `::test` of a file; a class without tests is none."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.ClassDef):
            tests = {f"::{node.name}::{inner}" for inner in map(test_name, node.body) if inner}
            found |= tests | ({f"::{node.name}"} if tests else set())
        elif name := test_name(node):
            found.add(f"::{name}")
    return frozenset(found)


def test_name(node: ast.AST) -> str:
    is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    return node.name if is_test else ""


test_name.__test__ = False


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_attack_has_tests_and_they_exist(row: str) -> None:
    named = NAMED.findall(row)
    assert named
    for file, name in named:
        assert name in names_in(file), f"{file}{name}"


def test_there_is_an_index() -> None:
    assert len(ROWS) >= 30


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([\w/.-]+\.md)#?([\w-]*)\)", PAGE))))
def test_what_the_page_points_to_exists(target: tuple[str, str]) -> None:
    file, anchor = target
    text = (ROOT / file).read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert not anchor or anchor in {heading.lower().replace(" ", "-").replace("'", "") for heading in headings}
