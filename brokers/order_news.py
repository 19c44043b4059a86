"""Where news of orders are handed on to whoever follows orders: rooms above this one, which it does not know.

Two tell: the reading of a broker's book that follows a postback, and the process that holds the streams. `orders`
listens, from its `AppConfig.ready`. Whoever tells goes on whatever becomes of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from brokers.domain import BrokerOrder, Rows
from brokers.streaming import BookChanged, OrderUpdate

logger = logging.getLogger(__name__)

# Today's whole book; one order that changed; or that something did.
OrderNews = Rows[BrokerOrder] | OrderUpdate | BookChanged
Listener = Callable[[UUID, OrderNews, datetime], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Hear all news from now on, in the thread of whoever tells; reads rows, and may write them."""
    if listener not in _listeners:
        _listeners.append(listener)


def tell(connection_id: UUID, news: OrderNews, now: datetime) -> None:
    """Hand news of a connection on. Not within a transaction."""
    for listener in _listeners:
        try:
            listener(connection_id, news, now)
        except Exception:  # the portfolio must not stand still because of an order
            logger.exception("News of orders of connection %s were not taken", connection_id)
