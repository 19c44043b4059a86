"""What a desk knows of its orders beyond what its order book shows, and keeps over a restart."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from brokers.simulation.book import ZERO
from brokers.simulation.dealing import DeskOrder
from brokers.simulation.gtts import Gtt


class Lost(Exception):
    """The request never came this far: the connection is to be reset, and nothing was done."""


class Kept(msgspec.Struct, kw_only=True):
    """An order with what only the desk knows of it.

    `blocked`: rupees held for what has not been filled. `limit`: the price at which it stands at the exchange.
    `unsent`: what slow fills have not yet let go there. `visible_at`: when its order book shows it.
    """

    order: DeskOrder
    blocked: Decimal = ZERO
    limit: Decimal | None = None
    unsent: int = 0
    changes: int = 0
    visible_at: datetime


class DeskState(msgspec.Struct):
    """What a desk remembers over a restart."""

    orders: list[Kept] = []
    gtts: list[Gtt] = []
    count: int = 0


class Fate(msgspec.Struct):
    """What becomes of the reply to the request that is being handled."""

    is_write: bool = False
    is_lost: bool = False
    late_milliseconds: int = 0
