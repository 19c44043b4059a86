"""The documents' sample clients against the real web server: they print every total, and survive a gap."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.test import Client
from websockets import Origin
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from accounts import personal_tokens, sockets
from accounts.models import ApiSession, PersonalToken, User
from tests.accounts.api_door import personal
from tests.accounts.door import PASSWORD, person
from tests.portfolio.live_host import FakeHost
from tests.portfolio.sources import account, holding, source
from trademaster.local.redis_server import free_port

pytestmark = pytest.mark.django_db(transaction=True)

NODE = shutil.which("node")
CLIENTS = {
    "python": [sys.executable, "docs/clients/live.py"],
    "node": [NODE or "node", "--experimental-websocket", "docs/clients/live.mjs"],
}


@pytest.fixture
def server(transactional_db: None) -> Iterator[subprocess.Popen[bytes]]:
    """The web process over the test's own database and Redis; its `args` end with its port."""
    port = free_port()
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + str(settings.DATABASES["default"]["NAME"]))
    environment = os.environ | {"DATABASE_URL": database.geturl(), "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-m", "trademaster.local.web", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_up(f"http://127.0.0.1:{port}/login")
            yield process
        finally:
            process.terminate()


def wait_until_up(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(url, timeout=5).raise_for_status()
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("The web server did not start.")


def port_of(server: subprocess.Popen[bytes]) -> str:
    return str(list(server.args)[-1])  # type: ignore[arg-type]


@contextmanager
def running(name: str, server: subprocess.Popen[bytes], token: str) -> Iterator[Iterator[str]]:
    command = [*CLIENTS[name], f"http://127.0.0.1:{port_of(server)}"]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": os.environ | {"TRADEMASTER_TOKEN": token}}
    with subprocess.Popen(command, text=True, **quiet) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        try:
            yield iter(line.strip() for line in process.stdout)
        finally:
            process.kill()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_sample_client_prints_every_total_and_survives_a_gap(
    name: str, server: subprocess.Popen[bytes], alice: User
) -> None:
    if name == "node" and NODE is None:
        pytest.skip("There is no Node on this machine.")
    with FakeHost(alice.pk) as host, running(name, server, personal(alice)) as lines:
        assert next(lines) == f"SNAPSHOT {host.portfolio['total_value']}"
        host.tick(120)
        assert next(lines) == f"PORTFOLIO_DELTA {host.portfolio['total_value']}"
        host.tick(121, is_lost=True)
        host.tick(122)
        assert next(lines) == f"SNAPSHOT {host.portfolio['total_value']}"
        host.tick(123)
        assert next(lines) == f"PORTFOLIO_DELTA {host.portfolio['total_value']}"


@pytest.mark.parametrize("name", CLIENTS)
def test_a_sample_client_comes_back_with_another_ticket(
    name: str, server: subprocess.Popen[bytes], alice: User
) -> None:
    if name == "node" and NODE is None:
        pytest.skip("There is no Node on this machine.")
    with FakeHost(alice.pk) as host, running(name, server, personal(alice)) as lines:
        snapshot = f"SNAPSHOT {host.portfolio['total_value']}"
        assert next(lines) == snapshot
        sockets.close_user(alice.pk)
        assert next(lines) == snapshot


@pytest.mark.parametrize("name", CLIENTS)
def test_a_sample_client_gives_up_when_its_token_is_refused(
    name: str, server: subprocess.Popen[bytes], alice: User
) -> None:
    if name == "node" and NODE is None:
        pytest.skip("There is no Node on this machine.")
    token = personal(alice)
    with FakeHost(alice.pk), running(name, server, token) as lines:
        next(lines)
        personal_tokens.revoke(PersonalToken.objects.select_related("user").get())
        assert list(lines) == []  # it ends by itself


def test_the_walk_through_of_the_api_runs(server: subprocess.Popen[bytes], db: None, tmp_path: Path) -> None:
    """As docs/api.md has it, word for word."""
    person("carol")
    login = {"login": "carol", "password": PASSWORD, "scope": "read", "name": "my script"}
    (tmp_path / "login.json").write_text(json.dumps(login))
    script = re.search(r"### API clients.*?```sh\n(.*?)```", Path("docs/api.md").read_text(), re.DOTALL)
    assert script
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script[1]],
        cwd=tmp_path,
        env=os.environ | {"HOST": f"http://127.0.0.1:{port_of(server)}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    connections, told = ran.stdout.split("\n", 1)[0], ran.stdout
    assert connections.startswith("[]")
    assert "my script" in told
    assert not ApiSession.objects.exists()


def line_to(server: subprocess.Popen[bytes], client: Client, **more: Any) -> ClientConnection:
    port = port_of(server)
    return connect(
        f"ws://127.0.0.1:{port}/ws/portfolio/",
        origin=Origin(f"http://127.0.0.1:{port}"),
        additional_headers={"Cookie": f"sessionid={client.cookies['sessionid'].value}"},
        proxy=None,
        max_size=None,
        **more,
    )


def test_a_client_that_does_not_read_costs_little_and_gets_the_final_state(
    server: subprocess.Popen[bytes], alice: User, as_alice: Client
) -> None:
    """Deltas of 120 kB each: what is not read of them would fill the memory of the web process by and by."""
    shares = [holding(f"INE{number:03d}A01021", symbol=f"S{number}") for number in range(100)]
    with FakeHost(alice.pk, [source("zerodha", account(shares))]) as host:
        with line_to(server, as_alice, max_queue=1, ping_interval=None) as slow:
            assert "SNAPSHOT" in str(slow.recv(timeout=10))
            told = 0
            before = resident(server)
            for quantity in range(200):
                more = [replace(each, settled_quantity=Decimal(20 + quantity)) for each in shares]
                told += host.replace([source("zerodha", account(more))])
            grown = resident(server) - before
            kinds = Counter[str]()
            message: dict[str, Any] = {"data": {}}
            while message["data"].get("number") != host.number:
                message = json.loads(slow.recv(timeout=10))
                kinds[message["type"]] += 1
        total = message["data"].get("portfolio", message["data"].get("delta"))["total_value"]
    assert total == host.portfolio["total_value"]
    assert kinds["SNAPSHOT"] >= 1
    assert kinds["PORTFOLIO_DELTA"] < 200
    assert told > 20_000_000
    assert grown < told / 2


def say(line: ClientConnection, messages: list[str]) -> None:
    """Say them all, and read to the end. Raises ConnectionClosed."""
    for message in messages:
        line.send(message)
    while True:
        line.recv(timeout=10)


def test_a_flood_is_told_by_its_own_code(server: subprocess.Popen[bytes], as_bob: Client) -> None:
    with line_to(server, as_bob) as line:
        with pytest.raises(ConnectionClosed) as caught:
            say(line, ["?"] * 200)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008


def test_a_huge_message_ends_the_connection(server: subprocess.Popen[bytes], as_bob: Client) -> None:
    with line_to(server, as_bob) as line, pytest.raises(ConnectionClosed):
        say(line, ["x" * 100_000])


def resident(process: subprocess.Popen[bytes]) -> int:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
