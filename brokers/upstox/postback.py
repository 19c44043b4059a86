"""A webhook of Upstox: which order it tells of. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from brokers.domain import AppCredentials, Postback
from brokers.streaming import decoded
from brokers.wire import Row, as_record, identifier

ORDER = "order"


def read_postback(body: bytes, headers: Mapping[str, str], app: AppCredentials) -> Postback:
    """Map the body that Upstox posts; `order` is also what its older form is, which does not say. Nothing is signed.

    A GTT is no order yet, and may not say whose it is; nor is a new token, which Upstox posts to an address of its own
    (`message_type`) and nobody here reads.

    Raises UnexpectedResponse.
    Source: Upstox API, "Webhook"; fixtures/upstox/webhook_*.json.
    """
    row = as_record(decoded(body), "webhook")
    is_order = row.get("update_type", ORDER) == ORDER and "message_type" not in row
    return Postback(
        broker_order_id=identifier(row, "order_id") if is_order else None,
        account_id=_account(row),
    )


def _account(row: Row) -> str | None:
    return identifier(row, "user_id", "userId") if row.get("user_id") or row.get("userId") else None
