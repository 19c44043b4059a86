"""Where a login at a broker is told to rooms above this one, which it does not know, once it is kept.

They listen from their `AppConfig.ready`. The login stands whatever becomes of what they do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

# Is told the broker.
Listener = Callable[[str], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Hear of all logins from now on, in the thread of whoever logs in: no broker may be asked there."""
    if listener not in _listeners:
        _listeners.append(listener)


def tell(broker_type: str) -> None:
    """Not within a transaction."""
    for listener in _listeners:
        try:
            listener(broker_type)
        except Exception:
            logger.exception("A login at %s was not taken note of", broker_type)
