"""What a stream has told and nobody has taken yet. It does not grow, however slow the reader is."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from brokers.domain import Tick
from brokers.streaming import BookChanged, OrderUpdate, SessionOver
from market.pricing import InstrumentKey

MOST_NEWS = 500

News = OrderUpdate | BookChanged | SessionOver


class Mailbox:
    """Events that wait for a slow reader: the latest tick of each instrument, the latest of each order.

    With too many orders, one word that the book has changed stands for all of them.
    """

    def __init__(self) -> None:
        self.overwritten = 0
        self._ticks: dict[InstrumentKey, Tick] = {}
        self._orders: OrderedDict[str, OrderUpdate] = OrderedDict()
        self._is_changed = False
        self._over: SessionOver | None = None
        self._filled = asyncio.Event()

    def put(self, event: Tick | News) -> None:
        if isinstance(event, Tick):
            key = event.exchange, event.exchange_token
            before = self._ticks.get(key)
            if before is not None:
                self.overwritten += 1
                if event.close_price is None:
                    event = event._replace(close_price=before.close_price)
            self._ticks[key] = event
        elif isinstance(event, BookChanged):
            self._is_changed = True
        elif isinstance(event, SessionOver):
            self._over = event
        else:
            self._orders[event.broker_order_id] = event
            self._orders.move_to_end(event.broker_order_id)
            if len(self._orders) > MOST_NEWS:
                self._orders.clear()
                self._is_changed = True
        self._filled.set()

    async def take(self) -> list[Tick | News]:
        """Everything that waits; waits until there is something."""
        await self._filled.wait()
        self._filled.clear()
        taken: list[Tick | News] = [*self._ticks.values(), *self._orders.values()]
        if self._is_changed:
            taken.append(BookChanged())
        if self._over is not None:
            taken.append(self._over)
        self._ticks, self._is_changed, self._over = {}, False, None
        self._orders.clear()
        return taken
