"""The house as it runs in production, for the length of a measurement or a rehearsal.

Real PostgreSQL and Redis, brokers simulated in a process of their own, a web process, workers where they are wanted,
and a trader who is connected to every broker through its login.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import django
import requests
from cryptography.fernet import Fernet

from brokers.simulation.control import Control
from trademaster.local import child
from trademaster.local.connect import Trader, connect_all
from trademaster.local.environment import SETTINGS, Simulation, application_environment, broker_environment
from trademaster.local.failure import ServiceFailed, explain
from trademaster.local.run_directory import Login
from trademaster.local.services import LocalServices

START_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.05
CELERY = ("-m", "celery", "--quiet", "-A", "trademaster")
QUIET = ("--loglevel", "WARNING")


class House:
    """A context manager. Inside it Django is set up in this process too, on the same rows. Raises ServiceFailed.

    `slugs` are the brokers that the trader is connected to; one that refuses its login is named and left out.
    `settings` is the settings module, `extra` goes into every process's environment. `with_workers` starts a worker and
    beat as well, `streams` so many stream processes; `durable` keeps what PostgreSQL and Redis hold over a restart of
    theirs.
    """

    simulation: Simulation
    control: Control
    login: Login
    url: str
    services: LocalServices

    def __init__(
        self,
        slugs: Sequence[str],
        *,
        latency_ms: int = 0,
        settings: str = SETTINGS,
        extra: Mapping[str, str] | None = None,
        with_workers: bool = False,
        streams: int = 0,
        durable: bool = False,
    ) -> None:
        self.slugs = list(slugs)
        self.latency_ms = latency_ms
        self.settings = settings
        self.extra = dict(extra or {})
        self.with_workers = with_workers
        self.streams = streams
        self.durable = durable
        self.run_dir = Path(tempfile.mkdtemp(prefix="trademaster-house-"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment: dict[str, str] = {}
        self._open = ExitStack()
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.callback(shutil.rmtree, self.run_dir, ignore_errors=True)
            self._start(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def _start(self, opening: ExitStack) -> None:
        self.services = opening.enter_context(LocalServices(self.run_dir / "services", ephemeral=not self.durable))
        opening.callback(self._stop_processes)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment = application_environment(
            database_url=self.services.database_url,
            redis_url=self.services.redis_url,
            secret_key=secrets.token_urlsafe(48),
            field_encryption_key=Fernet.generate_key().decode(),
            public_url=self.url,
        ) | {"DJANGO_SETTINGS_MODULE": self.settings, "LOG_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore", **self.extra}
        self._start_brokers()
        self.environment |= broker_environment(self.simulation["brokers"])
        self._make_trader()
        web = ["-m", "trademaster.local.web", "--port", str(port)]
        self.spawn("web", web, lambda: _answers(f"{self.url}/health/ready"))
        self._enter_django(opening)
        failed = connect_all(
            self.url,
            self.login,
            self.simulation["brokers"],
            lambda line: print(line, file=sys.stderr),  # noqa: T201
        )
        self.slugs = [slug for slug in self.simulation["brokers"] if slug not in failed]
        if not self.slugs:
            raise ServiceFailed("No broker could be connected.")
        for slug in self.slugs if self.latency_ms else ():
            self.control.set_fault(slug, "latency", milliseconds=self.latency_ms)
        if self.with_workers:
            self.start_worker()
            keeper = threading.Thread(target=self._keep_worker, name="keeper", daemon=True)
            keeper.start()
            opening.callback(keeper.join)
            opening.callback(self._ending.set)
            self.spawn("beat", [*CELERY, "beat", "-s", str(self.run_dir / "beat"), "--pidfile=", *QUIET], _at_once)
        for number in range(1, self.streams + 1):
            self.start_stream(f"stream-{number}")

    def start_stream(self, name: str) -> None:
        """Start a stream process, or another one after it was killed."""
        self.spawn(name, ["manage.py", "stream"], _at_once)

    def start_worker(self) -> None:
        """Start the worker, or another one after it was killed."""
        worker = [*CELERY, "worker", "-P", "threads", "-c", "8", "-Q", "celery,health,portfolio,market",
                  "--without-gossip", "--without-mingle", *QUIET]  # fmt: skip
        self.spawn("worker", worker, _at_once)

    def _keep_worker(self) -> None:
        """Start another worker where one ended by itself. Its children die with this thread, which stays to the end."""
        while not self._ending.wait(POLL_SECONDS * 10):
            worker = self.processes.get("worker")
            if worker is not None and worker.poll() is not None:
                self.start_worker()

    def kill(self, name: str) -> None:
        """End a process without a word, as a machine does."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def _start_brokers(self) -> None:
        state = self.run_dir / "brokers"
        command = ["-m", "brokers.simulation", "--frozen", "--base-port", "0", "--redirect-base", self.url,
                   "--state-dir", str(state), "--only", *self.slugs]  # fmt: skip
        self.spawn("brokers", command, (state / "brokers.json").exists)
        self.simulation = json.loads((state / "brokers.json").read_text())
        self.control = Control(self.simulation["control_url"])

    def _make_trader(self) -> None:
        command = [sys.executable, "manage.py", "demo_users", "--migrate"]
        made = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if made.returncode:
            raise ServiceFailed(f"The tables cannot be made: {made.stderr.strip().splitlines()[-1]}")
        self.login = Login(username="trader", password=json.loads(made.stdout)["trader"])

    def spawn(
        self, name: str, arguments: Sequence[str], ready: Callable[[], bool], extra: Mapping[str, str] | None = None
    ) -> None:
        """Start a Python process of the house and wait until it is `ready`. Raises ServiceFailed."""
        log = self.run_dir / f"{name}.log"
        command = [sys.executable, *arguments]
        environment = self.environment | dict(extra or {})
        process = child.spawn(command, log, signal.SIGTERM, environment=environment)
        self.processes[name] = process
        end = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise ServiceFailed(f"The {name} process did not start: {explain(log.read_text())}.")
            time.sleep(POLL_SECONDS)

    def _stop_processes(self) -> None:
        """In the reverse order of their start."""
        while self.processes:
            child.stop(self.processes.popitem()[1], signal.SIGTERM, STOP_SECONDS)

    def _enter_django(self, opening: ExitStack) -> None:
        os.environ.update(self.environment)
        django.setup()
        from django.db import connection

        opening.callback(lambda: connection.close_pool())  # type: ignore[attr-defined]

    def cookies(self) -> dict[str, str]:
        """A signed-in browser session's cookies."""
        trader = Trader(self.url)
        trader.log_in(self.login)
        return trader.http.cookies.get_dict()

    def empty_cache(self) -> None:
        """As after a restart of Redis: answers, sessions, throttles and remembered closes are gone."""
        from django.core.cache import cache

        cache.clear()

    def outdate_answer(self) -> None:
        """As a few seconds later: the kept answer no longer counts, the rest of the cache does."""
        from accounts.models import User
        from brokers.changes import connections_changed

        connections_changed(User.objects.get(username=self.login["username"]).pk)


def _at_once() -> bool:
    return True


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
