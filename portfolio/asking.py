"""Asking the live host that holds a user's book for a snapshot: it is pushed to all the user's sockets."""

from __future__ import annotations

import asyncio
from functools import partial

from channels.db import database_sync_to_async
from redis.exceptions import RedisError

from brokers.shared import redis

WANTED = "live:wanted"
HOST = "live:host:{user_id}"
ANSWER_SECONDS = 1.0
# By default one thread serves all sockets of the process, and one slow answer would hold up every page.
in_a_thread_of_its_own = partial(database_sync_to_async, thread_sensitive=False)

# Asked and not answered yet: of many sockets of one user only the first asks.
_asked: dict[int, asyncio.Task[bool]] = {}


async def ask(user_id: int) -> bool:
    """Whether a host holds this user and will answer, to whoever is in the user's group by now."""
    task = _asked.get(user_id)
    if task is None:
        task = _asked[user_id] = asyncio.create_task(_ask(user_id))
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, _forget, user_id, task)
    return await asyncio.shield(task)


def answered(user_id: int) -> None:
    """The next question is a new one."""
    _asked.pop(user_id, None)


def _forget(user_id: int, task: asyncio.Task[bool]) -> None:
    if _asked.get(user_id) is task:
        del _asked[user_id]


@in_a_thread_of_its_own
def _ask(user_id: int) -> bool:
    try:
        if not redis().exists(HOST.format(user_id=user_id)):
            return False
        return bool(redis().publish(WANTED, str(user_id)))
    except RedisError:  # the snapshot that is made without a host says what is known
        return False


@in_a_thread_of_its_own
def is_hosted(user_id: int) -> bool:
    try:
        return bool(redis().exists(HOST.format(user_id=user_id)))
    except RedisError:
        return False
