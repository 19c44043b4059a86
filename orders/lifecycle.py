"""What can become of an order, whoever tells it, in whatever order it is told. Pure."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Of one order at one broker. The words are those of `OrderStatus`, and NOT_PLACED.

    SENDING is committed before the call; UNKNOWN: it left, or may have, and nobody knows what became of it. NOT_PLACED:
    the broker never had it, because it provably never left, or because reconciliation proved that it is not there.
    """

    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    NOT_PLACED = "NOT_PLACED"


ENDED = frozenset({State.FILLED, State.CANCELLED, State.REJECTED, State.EXPIRED, State.NOT_PLACED})
# Nobody knows whether these are at the broker: nothing of them is sent again, anywhere, and their quantity is reserved.
POSSIBLY_LIVE = frozenset({State.SENDING, State.UNKNOWN})
# At the broker, and not at their end.
STANDING = frozenset({State.PENDING, State.OPEN, State.TRIGGER_PENDING, State.PARTIALLY_FILLED})
# What takes margin, shares and quantity: whatever has not ended.
LIVE = POSSIBLY_LIVE | STANDING
