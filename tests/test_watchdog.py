"""A worker that hangs ends itself; one that is busy, idle, or cut off from Redis does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from redis import Redis

from trademaster.local.house import free_port
from trademaster.watchdog import EXIT_CODE, Watchdog, messages_waiting

ROOT = Path(__file__).parents[1]
DATABASE = 9  # no other test's


class TestJudgement:
    def dog(self, waiting: int = 1) -> Watchdog:
        return Watchdog(lambda: waiting, patience=20, now=0)

    def test_messages_that_wait_too_long_for_an_idle_worker_mean_that_it_hangs(self) -> None:
        assert not self.dog().is_stuck(20)
        assert self.dog().is_stuck(20.1)

    def test_nothing_to_do_is_no_fault(self) -> None:
        assert not self.dog(waiting=0).is_stuck(1000)

    def test_a_long_task_is_no_fault(self) -> None:
        dog = self.dog()
        dog.began(5)
        assert not dog.is_stuck(1000)
        dog.ended(1000)
        assert not dog.is_stuck(1015)
        assert dog.is_stuck(1021)


def url(number: int) -> str:
    return urlsplit(settings.REDIS_URL)._replace(path=f"/{number}").geturl()


@pytest.fixture
def queue() -> Iterator[Redis]:
    redis: Redis = Redis.from_url(url(DATABASE))
    redis.flushdb()
    yield redis
    redis.flushdb()
    redis.close()


def test_messages_are_counted_over_the_queues(queue: Redis) -> None:
    queue.lpush("health", "a", "b")
    queue.lpush("portfolio", "c")
    assert messages_waiting(url(DATABASE), ["health", "portfolio", "celery"]) == 3


def test_while_redis_is_away_nothing_waits() -> None:
    assert messages_waiting(f"redis://127.0.0.1:{free_port()}/0", ["celery"]) == 0


HANGING = """
import sys, threading, time
from trademaster import watchdog
watchdog.LOOK_SECONDS = 0.1
dog = watchdog.Watchdog(lambda: watchdog.messages_waiting(sys.argv[1], ["celery"]), patience=0.5, now=time.monotonic())
threading.Thread(target=watchdog.look, args=(dog,), daemon=True).start()
time.sleep(30)
"""


def test_a_process_that_hangs_is_gone_and_says_why(queue: Redis) -> None:
    queue.lpush("celery", "a message that nobody takes")
    command = [sys.executable, "-c", HANGING, url(DATABASE)]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == EXIT_CODE
    assert "takes no tasks" in ended.stderr


def test_one_that_has_nothing_to_do_stays(queue: Redis) -> None:
    command = [sys.executable, "-c", HANGING, url(DATABASE)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
