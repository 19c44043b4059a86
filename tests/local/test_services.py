import os
from pathlib import Path

import psycopg
import pytest
import redis

from trademaster.local import child, postgres, redis_server
from trademaster.local.failure import ServiceFailed, explain
from trademaster.local.services import LocalServices


def script(path: Path, output: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An otherwise empty PATH, with room for scripts."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/bin")
    return directory


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "wheel" / "redis-server"
    monkeypatch.setattr(redis_server, "WHEEL_BINARY", path)
    return path


class TestRedisLadder:
    def test_the_machines_own_server_comes_first(self, on_path: Path, wheel: Path):
        script(wheel, "Redis server v=6.2.14 sha=0")
        own = script(on_path / "redis-server", "Redis server v=7.0.15 sha=0")
        assert redis_server.find_binary() == own

    @pytest.mark.parametrize("words", ["Redis server v=6.0.16 sha=0", "a wrapper without a version"])
    def test_one_that_is_too_old_is_passed_over(self, on_path: Path, wheel: Path, words: str):
        script(wheel, "Redis server v=6.2.14 sha=0")
        script(on_path / "redis-server", words)
        assert redis_server.find_binary() == wheel

    def test_without_any_the_remedy_is_named(self, on_path: Path, wheel: Path):
        with pytest.raises(ServiceFailed, match=r"install the package redis-server, or set REDIS_URL\.$"):
            redis_server.find_binary()


class TestPostgresLadder:
    @pytest.fixture
    def candidates(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        found = [tmp_path / name for name in ("wheel", "path")]
        monkeypatch.setattr(postgres, "_candidate_directories", lambda: iter(found))
        return found

    def test_the_first_complete_pair_that_runs_is_taken(self, candidates: list[Path], monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(child, "identity_for", lambda binary: child.OURSELVES)
        script(candidates[0] / "postgres", "without initdb")
        for name in ("postgres", "initdb"):
            script(candidates[1] / name, "complete")
        assert postgres.find_binaries() == (candidates[1], child.OURSELVES)

    def test_without_any_the_remedy_is_named(self, candidates: list[Path]):
        with pytest.raises(ServiceFailed, match=r"install the package postgresql, or set DATABASE_URL\.$"):
            postgres.find_binaries()

    def test_root_without_a_way_down_is_told_so(self, candidates: list[Path], monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(child, "identity_for", lambda binary: None)
        for name in ("postgres", "initdb"):
            script(candidates[0] / name, "complete")
        with pytest.raises(ServiceFailed, match="run as an ordinary user, or set DATABASE_URL"):
            postgres.find_binaries()

    def test_newer_versions_come_first(self):
        names = ["/x/pginstall/bin", "/x/pginstall18/bin", "/usr/lib/postgresql/9/bin"]
        assert [postgres._version(Path(name)) for name in names] == [0, 18, 9]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_runs_postgres_as_somebody_else():
    _, identity = postgres.find_binaries()
    assert identity in (child.NAMESPACE, child.NOBODY_USER)


def test_services_start_keep_their_data_and_stop(tmp_path: Path):
    deep = tmp_path / ("a-directory-name-too-long-for-a-unix-socket-" * 3)
    with LocalServices(deep) as services:
        socket_directory = services._started[-1].socket_directory  # type: ignore[union-attr]
        assert not socket_directory.is_relative_to(deep)
        with psycopg.connect(services.database_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (amount numeric(20,4))")
            connection.execute("INSERT INTO kept VALUES (123456789012.1234)")
        queue = redis.Redis.from_url(services.redis_url)
        queue.set("kept", "yes")
        queue.close()
    assert services.dead() is None
    assert not socket_directory.exists()
    with LocalServices(deep) as services:
        with psycopg.connect(services.database_url) as connection:
            assert str(connection.execute("SELECT amount FROM kept").fetchone()[0]) == "123456789012.1234"  # type: ignore[index]
        queue = redis.Redis.from_url(services.redis_url)
        assert queue.get("kept") == b"yes"
        queue.close()
        assert (deep / "redis" / "redis.conf").stat().st_mode & 0o777 == 0o600
        wrong = redis.Redis.from_url(services.redis_url.replace("redis://:", "redis://:x"))
        with pytest.raises(redis.AuthenticationError):
            wrong.ping()
        wrong.close()


def test_after_a_crash_they_come_back_where_they_were(tmp_path: Path):
    """With what they had: Redis may lose its last second, so it is given one."""
    with LocalServices(tmp_path) as services:
        before = (services.database_url, services.redis_url)
        with psycopg.connect(services.database_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        queue = redis.Redis.from_url(services.redis_url)
        queue.set("kept", "yes")
        queue.execute_command("CONFIG", "SET", "appendfsync", "always")
        queue.set("fsynced", "yes")
        services.redis.restart()
        services.postgres.restart()
        assert (services.database_url, services.redis_url) == before
        assert queue.get("kept") == b"yes"
        queue.close()
        with psycopg.connect(services.database_url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert services.dead() is None


def test_what_was_given_is_not_ours_to_restart(tmp_path: Path):
    with (
        LocalServices(tmp_path, database_url="postgres://given", redis_url="redis://given") as services,
        pytest.raises(LookupError),
    ):
        services.redis.restart()


def test_what_is_given_is_used_and_nothing_is_started(tmp_path: Path):
    with LocalServices(tmp_path, database_url="postgres://given", redis_url="redis://given") as services:
        assert (services.database_url, services.redis_url) == ("postgres://given", "redis://given")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("FATAL:  could not write: No space left on device\nHINT: x", "the disk is full"),
        ("LOG: hello\nFATAL:  lock file exists\nHINT:  is another running?", "FATAL:  lock file exists"),
        ("just this.", "just this"),
        ("", "no message"),
    ],
)
def test_a_servers_last_words_become_half_a_sentence(output: str, reason: str):
    assert explain(output) == reason
