"""News of orders that `brokers` hands on (`brokers.order_news`): they are written down, or the book is read at once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from brokers import postbacks
from brokers.domain import Rows
from brokers.order_news import OrderNews
from brokers.streaming import OrderUpdate
from orders import books, story
from orders.models import Teller


def hear(connection_id: UUID, news: OrderNews, now: datetime) -> None:
    """Take in news of one connection, in the thread of whoever tells. No broker is asked here."""
    if isinstance(news, Rows):
        books.take(connection_id, news.items, teller=Teller.POSTBACK, now=now)
    elif isinstance(news, OrderUpdate) and news.order is not None:
        books.take(connection_id, [news.order], teller=Teller.STREAM, now=now)
    elif not story.wake(connection_id, now=now):
        # Nothing of ours is there: whoever placed it, it shall be seen.
        postbacks.want_reading(connection_id, now)
