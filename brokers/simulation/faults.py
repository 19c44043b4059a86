"""Faults that can be switched on, per broker, through the control API."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Literal

import msgspec

from brokers.simulation.wire import JSON, Json, Reply


class FaultKind(StrEnum):
    LATENCY = "latency"  # waits `milliseconds` before answering
    RATE_LIMIT = "rate_limit"  # the broker's 429
    SERVER_ERROR = "server_error"  # the broker's 500
    MAINTENANCE = "maintenance"  # the broker's maintenance reply, or with format "html" a 503 page
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - every call that needs a token is told the token is dead
    MALFORMED_BODY = "malformed_body"  # the right status, half of the body
    HTML_GATEWAY = "html_gateway"  # a proxy's 502 page
    DROP_CONNECTION = "drop_connection"  # reset before the reply, or with mode "mid_body" in the middle of it
    DOWN = "down"  # nothing listens on the port
    SLOW_BODY = "slow_body"  # the body drips out over `milliseconds`
    EMPTY_ACCOUNT = "empty_account"  # the customer owns nothing
    UNKNOWN_FIELD = "unknown_field"  # every JSON object gets a new `field`
    MISSING_FIELD = "missing_field"  # every JSON object loses `field`
    STREAM_SILENT = "stream_silent"  # sockets stay open and say nothing more
    STREAM_DOWN = "stream_down"  # open sockets are closed, and new ones refused with a 503
    # Of the desk. What an order is asked for, changed or cancelled by meets the first five; nothing else counts.
    LOST_REPLY = "lost_reply"  # done, and the connection reset in place of a reply
    LOST_REQUEST = "lost_request"  # not done, and the connection reset
    LATE_REPLY = "late_reply"  # done, and told `milliseconds` later
    UNREGISTERED_ADDRESS = "unregistered_address"  # refused at once: not from this address
    MARKET_CLOSED = "market_closed"  # refused at once
    REJECT_ORDERS = "reject_orders"  # a new order is accepted, then rejected by the risk system
    LATE_ENTRY = "late_entry"  # a new order shows in the order book `milliseconds` later
    SLOW_FILLS = "slow_fills"  # a new order deals in `pieces`, each `milliseconds` after the one before
    NO_UPDATES = "no_updates"  # streams and postbacks do not tell of a change
    LATE_UPDATES = "late_updates"  # they tell of it `milliseconds` later
    DUPLICATE_UPDATES = "duplicate_updates"  # they tell of it twice


DESK_FAULTS = frozenset(
    {
        FaultKind.LOST_REPLY,
        FaultKind.LOST_REQUEST,
        FaultKind.LATE_REPLY,
        FaultKind.UNREGISTERED_ADDRESS,
        FaultKind.MARKET_CLOSED,
        FaultKind.REJECT_ORDERS,
        FaultKind.LATE_ENTRY,
        FaultKind.SLOW_FILLS,
        FaultKind.NO_UPDATES,
        FaultKind.LATE_UPDATES,
        FaultKind.DUPLICATE_UPDATES,
    }
)


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """How a fault shows itself.

    `path`: only requests whose path starts so. `count`: only the next so many requests, then it is gone; with the
    faults of the desk, the next so many orders, or updates (which have no path). Brokers may share one and its count.
    """

    path: str = ""
    count: int | None = None
    milliseconds: int = 2000
    mode: Literal["before_reply", "mid_body"] = "before_reply"
    format: Literal["json", "html"] = "json"
    field: str = "unannounced_field"
    pieces: int = 1


class Faults:
    """The faults of one broker, at most one of each kind."""

    def __init__(self) -> None:
        self.active: dict[FaultKind, Fault] = {}

    def hitting(self, path: str, *, is_page: bool) -> dict[FaultKind, Fault]:
        """Return the faults this request meets, and count it against them.

        A browser page is hit only by a fault whose `path` names it: brokers serve theirs from another host.
        """
        self.forget_spent()
        hits = {
            kind: fault
            for kind, fault in self.active.items()
            if kind not in DESK_FAULTS and path.startswith(fault.path) and (fault.path or not is_page)
        }
        for kind in hits:
            self._count(kind)
        return hits

    def spend(self, kind: FaultKind, path: str | None = None) -> Fault | None:
        """Return a fault of the desk if it hits what is done now, and count it. None for `path`: whatever its path."""
        self.forget_spent()
        fault = self.active.get(kind)
        if fault is None or (path is not None and not path.startswith(fault.path)):
            return None
        self._count(kind)
        return fault

    def forget_spent(self) -> None:
        """Drop what another broker, with which this one shares a count, has met as often as it was to be met."""
        spent = [kind for kind, fault in self.active.items() if fault.count is not None and fault.count <= 0]
        for kind in spent:
            del self.active[kind]

    def _count(self, kind: FaultKind) -> None:
        fault = self.active[kind]
        if fault.count is not None:
            fault.count -= 1
            if fault.count <= 0:
                del self.active[kind]


def half(reply: Reply) -> Reply:
    """Cut the body in the middle."""
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def with_field(reply: Reply, field: str) -> Reply:
    """Add `field` to every JSON object of the body."""
    return _rewritten(reply, lambda row: {**row, field: "new"})


def without_field(reply: Reply, field: str) -> Reply:
    """Remove `field` from every JSON object of the body."""
    return _rewritten(reply, lambda row: {name: value for name, value in row.items() if name != field})


def _rewritten(reply: Reply, change: Callable[[dict[str, Json]], dict[str, Json]]) -> Reply:
    if reply.content_type != JSON or not reply.body:
        return reply

    def walk(value: Json) -> Json:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, dict):
            return change({name: walk(item) for name, item in value.items()})
        return value

    return replace(reply, body=json.dumps(walk(json.loads(reply.body)), separators=(",", ":")).encode())
