"""docs/compliance.md has every rule of the table, and names code and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from orders.rules import RULES
from tests.attacks.test_index import names_in

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compliance.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| rule")
]
CODE = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")
TEST = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)+)`")


@cache
def defined_in(file: str) -> frozenset[str]:
    """What a module defines at its outermost level."""
    names: set[str] = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return frozenset(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_every_row_names_code_and_tests_that_exist(row: list[str]) -> None:
    _, code, tests = row
    assert CODE.findall(code)
    for file, name in CODE.findall(code):
        assert (ROOT / file).is_file(), file
        assert not name or name in defined_in(file), f"{file}::{name}"
    assert TEST.findall(tests)
    for file, name in TEST.findall(tests):
        assert name in names_in(file), f"{file}{name}"


def test_every_rule_of_the_table_has_its_row_and_no_row_names_another() -> None:
    named = [code for row in ROWS for code in re.findall(r"`([a-z_]+)`", row[0])]
    assert sorted(named) == sorted(rule.code for rule in RULES)


def test_every_rule_says_whose_it_is() -> None:
    assert all(rule.source for rule in RULES)
