"""The WebSocket's description for machines, AsyncAPI 3, made of the declarations that its messages are written from."""

from __future__ import annotations

from typing import Any

from portfolio.client_messages import LONGEST_MESSAGE, MOST_INSTRUMENTS, OPENED_WITH
from portfolio.deltas import LiveDelta, MovedPart, MovedPosition
from portfolio.domain import (
    AssetAllocation,
    BrokerBreakdown,
    BrokerDerivative,
    BrokerFunds,
    BrokerPosition,
    ConsolidatedDerivative,
    ConsolidatedPortfolio,
    ConsolidatedPosition,
    Coverage,
    FundsTotal,
    PnlParts,
    SourceReport,
    TradingPosition,
    TradingSummary,
    WorthParts,
)
from portfolio.presentation import schema
from portfolio.risk.evaluating import ACKNOWLEDGED, Step
from portfolio.risk.limits import Metric, Scope, State

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
INSTANT: Schema = {"type": "string", "format": "date-time"}
INSTANT_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
OPEN: Schema = {"type": "object"}
FEED_STATES = ["CONNECTING", "LIVE", "STALLED", "DOWN", "OVER"]
# Named once, wherever they stand.
ROWS: dict[str, Schema] = {
    kind.__name__: schema(kind)
    for kind in (
        AssetAllocation,
        BrokerBreakdown,
        BrokerDerivative,
        BrokerFunds,
        BrokerPosition,
        ConsolidatedDerivative,
        ConsolidatedPosition,
        Coverage,
        FundsTotal,
        MovedPart,
        MovedPosition,
        PnlParts,
        SourceReport,
        TradingPosition,
        TradingSummary,
        WorthParts,
    )
}
TOPICS = ["portfolio", "status", "orders", "prices"]
# Two doors to the same room: where each is, and what it asks to be shown.
COOKIE: Schema = {
    "type": "httpApiKey",
    "in": "cookie",
    "name": "sessionid",
    "description": "The browser's session; the Origin header must be ours.",
}
TICKET: Schema = {
    "type": "httpApiKey",
    "in": "header",
    "name": "Sec-WebSocket-Protocol",
    "description": "`tm.v1, ticket.<ticket>`, of POST /api/v1/auth/ticket: works once, for 30 seconds. The answer is "
    "`tm.v1`. No Origin is asked for, and no cookie is looked at.",
}
DOORS = {"portfolio": ("/ws/portfolio/", COOKIE, ""), "clients": ("/ws/api/portfolio/", TICKET, "Client")}


def document() -> Schema:
    sent, received = _sent(), _received()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "TradeMaster, live",
            "version": "3.0.0",
            "description": "A trader's portfolio as it moves. In words: docs/websocket.md.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "127.0.0.1:8000",
                "protocol": "ws",
                "description": "`make demo`. Elsewhere wss, and the host of PUBLIC_URL.",
            }
        },
        "channels": {
            channel: {
                "address": address,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*sent, *received)},
            }
            for channel, (address, _, _) in DOORS.items()
        },
        "operations": {
            f"{verb}{whom}": _operation(channel, action, names, security)
            for channel, (_, security, whom) in DOORS.items()
            for verb, action, names in (("tell", "send", sent), ("hear", "receive", received))
        },
        "components": {
            "messages": {
                **{name: _message(_envelope(name, data), summary) for name, (data, summary) in sent.items()},
                **{name: _message(payload, summary) for name, (payload, summary) in received.items()},
            },
            "schemas": {
                "Portfolio": _json_schema(schema(ConsolidatedPortfolio)),
                "Delta": _json_schema(schema(LiveDelta)),
                **{name: _plain(row) for name, row in ROWS.items()},
                "Series": _object(
                    opens_at=INSTANT,
                    closes_at=INSTANT,
                    points={"type": "array", "items": _object(at=INSTANT, value=TEXT_OR_NULL)},
                ),
                "PriceState": _object(
                    brokers={
                        "type": "array",
                        "items": _object(
                            broker_type=TEXT, state={"type": "string", "enum": FEED_STATES}, since=INSTANT
                        ),
                    },
                    stale={"type": "boolean"},
                    asked={"type": "boolean"},
                    as_of=INSTANT_OR_NULL,
                ),
                "OrderUpdate": _order_update(),
                "RiskEvent": _risk_event(),
                "AlertRouteMuted": _object(route_id=TEXT, name=TEXT, muted_until=INSTANT_OR_NULL, last_error=TEXT),
                "TradingHalt": _trading_halt(),
                "Price": _object(
                    instrument={"type": "string", "examples": ["NSE:2885"]},
                    last_price=TEXT,
                    close_price=TEXT_OR_NULL,
                    as_of=INSTANT,
                    source=TEXT,
                    stale={"type": "boolean"},
                    asked={"type": "boolean"},
                ),
                "Complaint": _object(code=TEXT, message=TEXT, remedy=TEXT),
            },
        },
    }


def _sent() -> dict[str, tuple[Schema, str]]:
    """What the server says: the schema of `data`, and when."""
    snapshot = _object(
        portfolio=_or_null(_ref("Portfolio")),
        error=_or_null(_ref("Complaint")),
        connections={"type": "array", "items": OPEN},
        book=TEXT_OR_NULL,
        number={"type": ["integer", "null"]},
        series=_or_null(_ref("Series")),
        price_state=_or_null(_ref("PriceState")),
    )
    delta = _object(book=TEXT, number=NUMBER, delta=_ref("Delta"))
    subscribed = _object(topics=_list(TOPICS), instruments={"type": "array", "items": TEXT})
    return {
        "SNAPSHOT": (snapshot, "First on every socket, after a gap, and when asked for."),
        "PORTFOLIO_DELTA": (delta, "What changed, where a live host serves the user."),
        "PORTFOLIO_UPDATE": (_ref("Portfolio"), "The whole portfolio, where none does."),
        "PRICE_STATE": (_ref("PriceState"), "When the price feeds behind the book change their state."),
        "BROKER_STATUS_UPDATE": (OPEN, "When the status of a connection changes, or what it is cleared for."),
        "PRICES": (
            _object(prices={"type": "array", "items": _ref("Price")}),
            "The latest prices of instruments subscribed to.",
        ),
        "ORDER_UPDATE": (_ref("OrderUpdate"), "An order changed, or a person must see something of it."),
        "RISK_EVENT": (
            _ref("RiskEvent"),
            "A limit was reached, got worse, eased or is kept again, or was taken note of.",
        ),
        "ALERT_ROUTE_MUTED": (_ref("AlertRouteMuted"), "An alert route failed again and again, and is left alone."),
        "TRADING_HALT": (
            _ref("TradingHalt"),
            "When trading is stopped, more or less of it, and how far cancelling has come.",
        ),
        "SUBSCRIBED": (subscribed, "What is subscribed to now: the answer to subscribe and unsubscribe."),
        "HEARTBEAT": (OPEN, "Every 15 seconds, and the answer to ping."),
        "ERROR": (_ref("Complaint"), "A message from the client could not be followed."),
    }


def _order_update() -> Schema:
    """An order with its parts at brokers. The room of orders stands above this one: its words are repeated here, and
    tests/orders holds what it sends to them.
    """
    child = _object(
        child_id=TEXT,
        connection_id=TEXT_OR_NULL,
        broker_type=TEXT,
        exchange=TEXT,
        state=TEXT,
        state_since=INSTANT,
        quantity=TEXT,
        filled_quantity=TEXT,
        average_price=TEXT_OR_NULL,
        price=TEXT_OR_NULL,
        broker_order_id=TEXT_OR_NULL,
        reason_code=TEXT_OR_NULL,
        reason=TEXT_OR_NULL,
        is_explained={"type": "boolean"},
    )
    return _object(
        order_id=TEXT,
        version=NUMBER,
        status=TEXT,
        status_since=INSTANT,
        side=TEXT,
        exchange=TEXT,
        tradingsymbol=TEXT,
        quantity=TEXT,
        filled_quantity=TEXT,
        unsent_quantity=TEXT,
        reason_code=TEXT_OR_NULL,
        reason=TEXT_OR_NULL,
        children={"type": "array", "items": child},
        alert=TEXT_OR_NULL,
    )


def _risk_event() -> Schema:
    """What `portfolio.breaches` tells of. Figures are text, in the unit of the metric."""
    return _object(
        event={"type": "string", "enum": [*(step.value for step in Step), ACKNOWLEDGED]},
        breach_id=NUMBER,
        limit_id={"type": ["integer", "null"]},
        metric={"type": "string", "enum": [metric.value for metric in Metric]},
        scope={"type": "string", "enum": [scope.value for scope in Scope]},
        scope_key=TEXT,
        state={"type": "string", "enum": [state.value for state in State]},
        level={"type": "string", "enum": [State.WARN.value, State.BLOCK.value]},
        value=TEXT,
        worst_value=TEXT,
        threshold=TEXT,
        opened_at=INSTANT,
        cleared_at=INSTANT_OR_NULL,
        acknowledged_at=INSTANT_OR_NULL,
    )


def _trading_halt() -> Schema:
    """A halt as it stands. `progress`, which the room of orders adds while it cancels: as in the API."""
    halt = _object(
        halt_id=NUMBER,
        kind=TEXT,
        level=TEXT,
        words=TEXT,
        cause=TEXT,
        reason=TEXT_OR_NULL,
        set_at=INSTANT,
        set_by=TEXT_OR_NULL,
        locked_until=INSTANT_OR_NULL,
        ended_at=INSTANT_OR_NULL,
        ended_by=TEXT_OR_NULL,
        end_reason=TEXT_OR_NULL,
    )
    halt["properties"]["progress"] = {"type": "array", "items": OPEN}
    return halt


def _received() -> dict[str, tuple[Schema, str]]:
    """What a client may say: the whole message, and what for."""
    instruments: Schema = {"type": "array", "items": TEXT, "maxItems": MOST_INSTRUMENTS}
    wanted = {"topics": _list(TOPICS), "topic": {"type": "string", "enum": TOPICS}, "instruments": instruments}
    opened = " and ".join(OPENED_WITH)
    return {
        "subscribe": (_said("subscribe", wanted), f"Without it a socket has {opened}."),
        "unsubscribe": (_said("unsubscribe", wanted), "Of prices: those of `instruments`, or all."),
        "snapshot": (_said("snapshot", {}), "Asks for a whole snapshot: a delta is missing."),
        "ping": (
            _said("ping", {}),
            f"Asks for a sign of life. No message is longer than {LONGEST_MESSAGE} characters.",
        ),
    }


def _operation(channel: str, action: str, names: dict[str, Any], security: Schema) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "security": [security],
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _message(payload: Schema, summary: str) -> Schema:
    return {"summary": summary, "payload": payload}


def _envelope(kind: str, data: Schema) -> Schema:
    return _object(type={"const": kind}, data=data, timestamp=INSTANT, sequence={"type": "integer", "minimum": 1})


def _said(kind: str, fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, **fields},
        "required": ["type"],
        "additionalProperties": False,
    }


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(members: list[str]) -> Schema:
    return {"type": "array", "items": {"type": "string", "enum": members}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(found: Schema) -> Schema:
    return {"oneOf": [found, {"type": "null"}]}


def _json_schema(found: Any) -> Any:
    """JSON Schema of OpenAPI 3.0's dialect, which says `nullable` and `example`."""
    if isinstance(found, list):
        return [_json_schema(each) for each in found]
    if not isinstance(found, dict):
        return found
    whole = {name: value for name, value in found.items() if name != "nullable"}
    named = next((name for name, known in ROWS.items() if known == whole), None)
    if named is not None:
        return _or_null(_ref(named)) if found.get("nullable") else _ref(named)
    return _plain(found)


def _plain(found: Schema) -> Schema:
    plain = {name: _json_schema(value) for name, value in found.items() if name not in ("nullable", "example")}
    if "example" in found and isinstance(found["example"], str):
        plain["examples"] = [found["example"]]
    if found.get("nullable") is True:
        plain["type"] = [plain["type"], "null"]
        if "enum" in plain:
            plain["enum"] = [*plain["enum"], None]
    return plain
