"""A postback of SmartAPI: which order it tells of. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from brokers.domain import AppCredentials, Postback
from brokers.streaming import decoded
from brokers.wire import as_record, identifier


def read_postback(body: bytes, headers: Mapping[str, str], app: AppCredentials) -> Postback:
    """Map the body that SmartAPI posts: an order row, and whose it is. Nothing in it is signed.

    Raises UnexpectedResponse.
    Source: SmartAPI, "Postback/Webhook"; fixtures/angel_one/postback_order.json.
    """
    row = as_record(decoded(body), "postback")
    return Postback(broker_order_id=identifier(row, "orderid"), account_id=identifier(row, "clientcode"))
