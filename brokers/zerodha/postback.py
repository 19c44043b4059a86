"""A postback of Kite Connect: what it tells of, and whether Zerodha sent it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest

from brokers.domain import AppCredentials, Postback
from brokers.streaming import decoded
from brokers.wire import as_record, identifier, text


def read_postback(body: bytes, headers: Mapping[str, str], app: AppCredentials) -> Postback:
    """Map the body that Kite posts when an order of this app has changed.

    Wire: an order row, and `checksum`: the SHA-256, in hex, of `order_id`, `order_timestamp` as it is written there,
    and the app's secret. It covers neither status nor quantities, and is the same for each change of one second.

    Raises UnexpectedResponse.
    Source: Kite Connect v3, "Postbacks (WebHooks)"; fixtures/zerodha/postback_update_checksum.json.
    """
    row = as_record(decoded(body), "postback")
    order_id, secret = identifier(row, "order_id"), app.api_secret.reveal()
    right = sha256(f"{order_id}{text(row, 'order_timestamp')}{secret}".encode()).hexdigest()
    return Postback(
        broker_order_id=order_id,
        account_id=identifier(row, "user_id"),
        # Without a secret anybody could make the checksum.
        is_genuine=compare_digest(right.encode(), text(row, "checksum").encode()) and secret != "",
    )
