"""A broker is a folder, fixtures and one registry line: tried with one that docs/adding-a-broker.md alone describes.

Its folder is `kuber/` here instead of brokers/, its fixtures are in fixtures/kuber/, its line is in registered.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import registry
from brokers.simulation.server import DEFAULT_BASE_PORT, available_slugs, port_of

ROOT = Path(__file__).parents[2]
SLUG, PACKAGE = "kuber", "tests.eighth.kuber"
SUITES = ("tests/contract", "tests/brokers/test_registry.py", "tests/brokers/test_spec.py")
ITS_OWN = (ROOT / "tests" / "eighth", ROOT / "tests" / "fixtures" / SLUG)
ROOMS = ("accounts", "bench", "brokers", "health", "portfolio", "templates", "tests", "trademaster")
FILES = {"auth.py", "client.py", "instruments.py", "mapping.py", "sandbox.py", "spec.py", "__init__.py", "book.json"}


def test_the_whole_contract_holds() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "tests.eighth.registered", "-p", "no:cacheprovider", "-q"]
    run = subprocess.run([*command, "-k", SLUG, *SUITES], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-1000:]
    counted = dict(re.findall(r"(\d+) (\w+)", run.stdout.splitlines()[-1]))
    assert set(counted.values()) == {"passed", "deselected"}  # nothing is skipped
    assert int(next(number for number, word in counted.items() if word == "passed")) >= 100


def test_the_next_port_and_the_last_rank_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    others = available_slugs()
    monkeypatch.setitem(registry.PACKAGES, SLUG, PACKAGE)
    assert available_slugs() == [*others, SLUG]
    assert port_of(SLUG, DEFAULT_BASE_PORT) == max(port_of(slug, DEFAULT_BASE_PORT) for slug in others) + 1


def test_it_is_no_more_than_the_guide_says() -> None:
    assert {path.name for path in (ITS_OWN[0] / SLUG).iterdir() if path.is_file()} == FILES


def test_no_other_file_of_the_product_knows_it() -> None:
    assert [str(path.relative_to(ROOT)) for path in product_files() if SLUG.encode() in path.read_bytes()] == []


def product_files() -> Iterator[Path]:
    """All files of ours but documents, and but the broker's own."""
    yield from (path for path in ROOT.iterdir() if path.suffix in {".py", ".toml", ".yml"} or path.name == "Makefile")
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and path.suffix != ".pyc" and not any(path.is_relative_to(own) for own in ITS_OWN):
                yield path
