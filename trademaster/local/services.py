"""PostgreSQL and Redis for one machine: the ones named in the environment, else private ones in a run directory."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from trademaster.local.failure import ServiceFailed
from trademaster.local.postgres import Postgres
from trademaster.local.redis_server import RedisServer

# A fresh cluster takes about 40 MB; the rest is room for its log of changes.
LEAST_FREE_BYTES = 100 * 1024 * 1024


@dataclass
class LocalServices:
    """Start what has no URL yet; stop exactly what was started.

    `ephemeral` trades durability for speed and removes `run_dir` on stop. The children die with this process,
    however it ends.
    """

    run_dir: Path
    database_url: str = ""
    redis_url: str = ""
    ephemeral: bool = False
    _started: list[Postgres | RedisServer] = field(default_factory=list, init=False)

    @property
    def redis(self) -> RedisServer:
        """The Redis that was started here. Raises LookupError where it was given."""
        return next(service for service in self._own() if isinstance(service, RedisServer))

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL that was started here. Raises LookupError where it was given."""
        return next(service for service in self._own() if isinstance(service, Postgres))

    def _own(self) -> list[Postgres | RedisServer]:
        if len(self._started) < 2:
            raise LookupError("PostgreSQL or Redis is not ours.")
        return self._started

    def start(self) -> None:
        """Raises ServiceFailed with one line; whatever had started is stopped again."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self.run_dir = self.run_dir.resolve()
        try:
            self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(self.run_dir).free
        except OSError as error:
            raise ServiceFailed(f"Cannot use {self.run_dir}: {error.strerror}.") from error
        if free < LEAST_FREE_BYTES and not (self.database_url and self.redis_url):
            raise ServiceFailed(f"The disk of {self.run_dir} is full: {free // 1024**2} MB are left, 100 are needed.")
        if not self.redis_url:
            server = RedisServer(self.run_dir / "redis", ephemeral=self.ephemeral)
            server.start()
            self._started.append(server)
            self.redis_url = server.url
        if not self.database_url:
            database = Postgres(self.run_dir / "postgres", ephemeral=self.ephemeral)
            database.start()
            self._started.append(database)
            self.database_url = database.url

    def dead(self) -> str | None:
        """The log of a service that ended by itself, or None."""
        return next((str(service.log) for service in self._started if not service.is_alive()), None)

    def stop(self) -> None:
        """Stop in reverse order; safe to call twice."""
        while self._started:
            self._started.pop().stop()
        if self.ephemeral:
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
