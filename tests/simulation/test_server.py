"""Start, stop, memory over a restart, and the command."""

from __future__ import annotations

import importlib
import json
import random
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from brokers import registry
from brokers.simulation.server import (
    DEFAULT_BASE_PORT,
    SimulatedBrokers,
    SimulationError,
    available_slugs,
    mqtt_port_of,
    port_of,
)
from tests.simulation.conftest import upstox_client, upstox_exchange, upstox_login_url, zerodha_client


def test_a_port_is_the_place_in_the_registry_after_the_base_port() -> None:
    assert {slug: port_of(slug, DEFAULT_BASE_PORT) for slug in available_slugs()}.items() >= {
        "zerodha": 9101,
        "groww": 9102,
        "angel_one": 9103,
        "upstox": 9104,
        "fyers": 9105,
        "iifl": 9106,
        "iifl_capital": 9107,
    }.items()


def test_ports_of_mqtt_come_after_all_others() -> None:
    ports = [port_of(slug, DEFAULT_BASE_PORT) for slug in available_slugs()]
    assert mqtt_port_of("iifl_capital", DEFAULT_BASE_PORT) == 9114
    assert min(mqtt_port_of(slug, DEFAULT_BASE_PORT) for slug in available_slugs()) == max(ports) + 1


@pytest.fixture
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a registered broker that somebody has begun to write."""
    package = tmp_path / "unfinished"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.PACKAGES, "unfinished", "unfinished")
    yield package
    for module in [name for name in sys.modules if name.partition(".")[0] == "unfinished"]:
        del sys.modules[module]


SILENT = """
from brokers.simulation.dialect import Sandbox
class Silent(Sandbox):
    slug = {slug!r}
    routes = token = problem = accepted = {cancelled}
SANDBOX = Silent
"""


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "ModuleNotFoundError: No module named 'unfinished.sandbox'"),
        ({"__init__.py": "from unfinished.spec import SPEC"}, "ModuleNotFoundError: No module named 'unfinished.spec'"),
        ({"sandbox.py": "def routes(self:"}, "SyntaxError: "),
        ({"sandbox.py": "from brokers.base import nothing"}, "ImportError: cannot import name 'nothing'"),
        ({"sandbox.py": ""}, "AttributeError: module 'unfinished.sandbox' has no attribute 'SANDBOX'"),
        ({"sandbox.py": "SANDBOX = Unwritten"}, "NameError: name 'Unwritten' is not defined"),
        ({"sandbox.py": SILENT.format(slug="unfinished", cancelled="1")}, "its sandbox has no cancelled"),
        (
            {"sandbox.py": SILENT.format(slug="zerodha", cancelled="cancelled = 1")},
            "its sandbox calls itself 'zerodha'",
        ),
        ({"sandbox.py": SILENT.format(slug="unfinished", cancelled="cancelled = 1")}, "FileNotFoundError: "),
        (
            {"sandbox.py": SILENT.format(slug="unfinished", cancelled="cancelled = 1"), "book.json": "{}"},
            "ValidationError: Object missing required field `account`",
        ),
    ],
)
def test_an_unfinished_broker_is_named_and_the_others_start(
    unfinished: Path, files: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in files.items():
        (unfinished / name).write_text(text)
    importlib.invalidate_caches()
    assert available_slugs() == [slug for slug in registry.slugs() if slug != "unfinished"]
    [line] = caplog.messages
    assert line.startswith(f"sandbox: unfinished is left out: {reason}")
    assert "\n" not in line


def test_credentials_sessions_codes_books_and_prices_survive_a_restart(tmp_path: Path) -> None:
    with SimulatedBrokers(["zerodha", "upstox"], state_dir=tmp_path) as first:
        zerodha, upstox = zerodha_client(first), upstox_client(first)
        code = first.login("upstox", upstox_login_url(first.brokers["upstox"]))["code"]
        first.control.set_price("NSE", "1573.7", isin="INE009A01021")
        book = first.control.book("zerodha")
        book["holdings"] = book["holdings"][:1]
        first.control.set_book("zerodha", book)
        first.control.set_fault("zerodha", "server_error")
    with SimulatedBrokers(["zerodha", "upstox"], state_dir=tmp_path) as second:
        for slug in ("zerodha", "upstox"):
            for name in ("api_key", "api_secret", "login"):
                assert first.brokers[slug][name] == second.brokers[slug][name]
        zerodha.base_url = second.brokers["zerodha"]["base_url"]
        upstox.base_url = second.brokers["upstox"]["base_url"]
        (row,) = zerodha.data("/portfolio/holdings")  # the fault is gone, the session and the book are not
        assert (row["tradingsymbol"], row["last_price"]) == ("INFY", 1573.7)
        assert upstox.get("/v2/user/profile").status_code == 200
        assert upstox_exchange(second.brokers["upstox"], code).status_code == 200


def test_a_broker_left_out_keeps_its_memory(tmp_path: Path) -> None:
    with SimulatedBrokers(["zerodha", "upstox"], state_dir=tmp_path) as both:
        secret = both.brokers["upstox"]["api_secret"]
    with SimulatedBrokers(["zerodha"], state_dir=tmp_path):
        pass
    with SimulatedBrokers(["upstox"], state_dir=tmp_path) as alone:
        assert alone.brokers["upstox"]["api_secret"] == secret


def test_files_with_secrets_are_the_owners_only(tmp_path: Path) -> None:
    with SimulatedBrokers(["zerodha"], state_dir=tmp_path) as simulated:
        published = json.loads((tmp_path / "brokers.json").read_text())
        assert published == {"control_url": simulated.control_url, "brokers": simulated.brokers}
        assert set(published["brokers"]["zerodha"]) == {
            "base_url", "login_url", "master_url", "stream_url", "api_key", "api_secret", "redirect_uri", "login",
        }  # fmt: skip
        for name in ("brokers.json", "state.json"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_damaged_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"brokers": ')
    with pytest.raises(SimulationError, match=re.escape(f"{tmp_path}/state.json is damaged")):
        SimulatedBrokers(["zerodha"], state_dir=tmp_path)


def test_an_unknown_broker_is_named() -> None:
    with pytest.raises(SimulationError, match="no simulated broker 'nobody'"):
        SimulatedBrokers(["nobody"])


def test_the_market_can_be_frozen_while_it_runs() -> None:
    with SimulatedBrokers(["zerodha"], frozen=False) as simulated:
        assert simulated.control.market()["frozen"] is False
        simulated.control.freeze()
        assert simulated.control.market()["frozen"] is True


def free_base_port() -> int:
    """A base below the range that the system hands out by itself, whose own port and zerodha's are free."""
    for base in random.sample(range(20000, 30000, 10), 50):
        with socket.socket() as control, socket.socket() as zerodha, suppress(OSError):
            control.bind(("127.0.0.1", base))
            zerodha.bind(("127.0.0.1", base + 1))
            return base
    raise AssertionError("no free pair of ports")


@contextmanager
def command(tmp_path: Path, base_port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the command; whatever the test does, nothing is left running."""
    arguments = ["--base-port", str(base_port), "--state-dir", str(tmp_path), "--only", "zerodha", "--frozen"]
    with subprocess.Popen(
        [sys.executable, "-m", "brokers.simulation", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_ready_and_stops_cleanly(tmp_path: Path, stop: signal.Signals) -> None:
    with command(tmp_path, free_base_port()) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[2] == "ready\n"
        url = json.loads((tmp_path / "brokers.json").read_text())["brokers"]["zerodha"]["base_url"]
        assert url in lines[1]
        assert requests.get(url + "/user/profile", headers={"X-Kite-Version": "3"}, timeout=20).status_code == 403
        process.send_signal(stop)
        assert process.wait(timeout=20) == 0


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    base = free_base_port()
    port = base + 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with command(tmp_path, base) as process:
            _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors == f"sandbox: port {port} (zerodha) is in use\n"
