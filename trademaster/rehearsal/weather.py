"""What the storm of `make storm` is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# How many orders go to each, within what it allows in a minute or two.
PARTS = {"zerodha": 420, "upstox": 420, "angel_one": 380, "iifl": 400, "groww": 220, "fyers": 160}
BROKERS = tuple(PARTS)
ORDERS = sum(PARTS.values())
SHARES = ("INFY", "SBIN", "ITC", "TATASTEEL", "RELIANCE")
# One in so many intents is split over two brokers, rests away from the market, or is cancelled if it stands.
SPLIT, RESTS, CANCELLED = 8, 4, 2
CANCEL_SECONDS = 5.0
# One in so many is kept until the kill switch was pulled.
KEPT = 10
# Intents that wait for a placing worker at a time.
WAITING = 100
# So often each broker gets another fault.
FAULT_SECONDS = 6.0
PATIENCE_SECONDS = 420.0
# The broker does what an order asks, or not, or says so too late, or never; and tells of it late, twice, or not.
FAULTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("lost_reply", {"count": 2}),
    ("lost_request", {"count": 1}),
    ("late_reply", {"count": 1, "milliseconds": 9500}),
    ("late_entry", {"count": 3, "milliseconds": 6000}),
    ("slow_fills", {"count": 8, "milliseconds": 700, "pieces": 3}),
    ("reject_orders", {"count": 1}),
    ("duplicate_updates", {"count": 20}),
    ("late_updates", {"count": 10, "milliseconds": 3000}),
    ("no_updates", {"count": 10}),
)
