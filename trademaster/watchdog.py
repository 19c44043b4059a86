"""A worker that is there and takes no task: Celery's consumer can fall silent after Redis was away, and says nothing.

It ends itself then, so that whoever keeps it starts another. Claims and leases of what it held lapse by themselves.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_ready
from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
EXIT_CODE = 75  # "temporary failure": try again


class Watchdog:
    """Knows when the last task began or ended, and how many run. `waiting` counts messages that nobody has taken."""

    def __init__(self, waiting: Callable[[], int], *, patience: float, now: float) -> None:
        self._waiting = waiting
        self._patience = patience
        self._running = 0
        self._moved_at = now
        self._lock = threading.Lock()

    def began(self, now: float) -> None:
        with self._lock:
            self._running += 1
            self._moved_at = now

    def ended(self, now: float) -> None:
        with self._lock:
            self._running -= 1
            self._moved_at = now

    def is_stuck(self, now: float) -> bool:
        """Whether messages wait while this worker has nothing to do and has taken none for too long."""
        with self._lock:
            idle = self._running == 0 and now - self._moved_at > self._patience
        return idle and self._waiting() > 0


def messages_waiting(url: str, queues: list[str]) -> int:
    """Messages in the queues that no worker has taken; 0 while Redis is away, which is no worker's fault."""
    client = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        return sum(int(client.llen(queue)) for queue in queues)
    except RedisError:
        return 0
    finally:
        client.close()


def watch(app: Celery, *, patience: float) -> None:
    """Watch the worker of this process from when it is ready."""

    def begin(sender: Any = None, **_: Any) -> None:
        queues = list(app.amqp.queues.consume_from)
        dog = Watchdog(lambda: messages_waiting(app.conf.broker_url, queues), patience=patience, now=time.monotonic())
        task_prerun.connect(lambda **_: dog.began(time.monotonic()), weak=False)
        task_postrun.connect(lambda **_: dog.ended(time.monotonic()), weak=False)
        threading.Thread(target=look, args=(dog,), name="watchdog", daemon=True).start()

    worker_ready.connect(begin, weak=False)


def look(dog: Watchdog) -> None:
    while not dog.is_stuck(time.monotonic()):
        time.sleep(LOOK_SECONDS)
    logger.error("This worker takes no tasks though some wait: it ends, to be started again")
    logging.shutdown()
    os._exit(EXIT_CODE)  # an orderly end would wait for the consumer that hangs
