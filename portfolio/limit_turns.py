"""When limits are looked at: once a second at most for each person, and never before the last change was counted.

A live host looks by itself, in a thread, at the book that it holds. For who is held by none a worker does, a second
after the brokers answered, and by the clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kombu.exceptions import OperationalError

from brokers.shared import if_redis_is_there, redis

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
# Nobody looks at what was asked for so long ago: the clock has brought another look by then.
STALE_SECONDS = 30


def note_change(user_id: int) -> None:
    """The brokers have told of a book that nobody may hold: have a worker look, once for all that comes in a second."""
    from portfolio.tasks import look_at_limits  # tasks call services, and so are above this

    is_first = False
    with if_redis_is_there("a look at limits"):
        is_first = bool(redis().set(f"limits:{user_id}:noted", 1, nx=True, px=int(PAUSE_SECONDS * 1000)))
    if not is_first:
        return
    try:
        look_at_limits.apply_async((user_id,), countdown=PAUSE_SECONDS, expires=STALE_SECONDS, retry=False)
    except OperationalError as error:
        logger.warning("Redis is away (%s): limits wait for the clock", type(error).__name__)


class LimitTurns:
    """For one event loop. `look` is awaited for a person whose book has changed, one at a time for each of them."""

    def __init__(self, look: Callable[[int], Awaitable[None]], *, pause: float = PAUSE_SECONDS) -> None:
        self._look = look
        self._pause = pause
        self._changed: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def note(self, user_id: int) -> None:
        """It waits for nothing. What comes while they are looked at, or a moment after, is looked at next."""
        self._changed.add(user_id)
        if user_id not in self._tasks:
            task = asyncio.ensure_future(self._run(user_id))
            self._tasks[user_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(user_id, None))

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._tasks.values())

    async def _run(self, user_id: int) -> None:
        while user_id in self._changed:
            self._changed.discard(user_id)
            try:
                await self._look(user_id)
            except Exception:  # the outermost of this task
                logger.exception("The limits of user %s could not be looked at", user_id)
            await asyncio.sleep(self._pause)
