"""The picture of the house, held still: who may import whom, and where nobody asks which broker it is."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import grimp
import pytest

from brokers import registry

ROOT = Path(__file__).parents[1]
ROOMS = ("accounts", "brokers", "health", "market", "orders", "portfolio", "trademaster")
PURE = (
    *("consolidate", "day_series", "deltas", "domain", "live", "live_rows", "lots", "marks", "presentation"),
    *("sums", "totals", "trades"),
)
# What one broker does belongs into its package, as data or as a method; nobody else may ask which one it is.
WHICH = r"\b(broker|slug|broker_type|broker_id)"
WHICH_BROKER = re.compile(rf"{WHICH}\s*(==|!=|\bin\b)\s*[(\[{{]?\s*[\"']|[\"']\s*(==|!=)\s*(\w+\.)*{WHICH}\b")
CLOCK = re.compile(r"\b(now|today|utcnow|monotonic|perf_counter)\(\)")


def sources(*places: str) -> list[Path]:
    return [path for place in places for path in sorted((ROOT / place).rglob("*.py"))]


def test_imports_follow_the_contracts_of_pyproject() -> None:
    """In a process of its own: the checker's logging set-up switches every other logger off."""
    checker = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"]
    checked = subprocess.run(checker, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("brokers", cache_dir=None)


@pytest.mark.parametrize(("one", "other"), list(permutations(registry.slugs(), 2)))
def test_dialects_ignore_each_other(graph: grimp.ImportGraph, one: str, other: str) -> None:
    chains = graph.find_shortest_chains(f"brokers.{one}", f"brokers.{other}", as_packages=True)
    assert chains == set()


def test_dialects_are_loaded_by_the_registry_alone(graph: grimp.ImportGraph) -> None:
    """It does so by name, so that no room depends on any one broker."""
    packages = {f"brokers.{slug}" for slug in registry.slugs()}
    importers = {
        (importer, module)
        for module in graph.modules
        if module.rpartition(".")[0] in packages or module in packages
        for importer in graph.find_modules_that_directly_import(module)
        if not any(importer == package or importer.startswith(f"{package}.") for package in packages)
    }
    assert importers == set()


def test_nobody_asks_which_broker_it_is() -> None:
    asking = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources(*ROOMS)
        if not any(path.is_relative_to(ROOT / "brokers" / slug) for slug in registry.slugs())
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if WHICH_BROKER.search(line)
    ]
    assert asking == []


@pytest.mark.parametrize(
    "line",
    [
        'if broker == "zerodha":',
        "return slug=='upstox'",
        'x if row.broker_type in ("upstox",) else y',
        '"fyers" != self.slug',
    ],
)
def test_the_question_is_recognised(line: str) -> None:
    assert WHICH_BROKER.search(line)


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_are_given_the_time(module: str) -> None:
    assert not CLOCK.search((ROOT / "portfolio" / f"{module}.py").read_text())


@pytest.mark.parametrize("path", sources("portfolio/risk"), ids=lambda path: path.name)
def test_risk_is_given_the_time(path: Path) -> None:
    assert not CLOCK.search(path.read_text())


def test_every_broker_has_the_same_six_files() -> None:
    wanted = {"spec.py", "auth.py", "client.py", "mapping.py", "instruments.py", "sandbox.py"}
    missing = {
        f"{slug}/{name}"
        for slug in registry.slugs()
        for name in wanted - {path.name for path in (ROOT / "brokers" / slug).iterdir()}
    }
    assert missing == set()
