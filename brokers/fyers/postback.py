"""A postback of Fyers: which order it tells of. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from brokers.domain import AppCredentials, Postback
from brokers.streaming import decoded
from brokers.wire import as_record, identifier


def read_postback(body: bytes, headers: Mapping[str, str], app: AppCredentials) -> Postback:
    """Map the body that Fyers posts: an order row with the names of its REST API.

    UNCONFIRMED: whether, and how, it is signed with the "webhook secret" of the dashboard; so no header is believed,
    and whatever comes is a hint. `clientId` is masked in the published sample: it is read as the profile's `fy_id`.

    Raises UnexpectedResponse.
    Source: Fyers API v3, "Postback (webhook)"; fixtures/fyers/postback_order.json.
    """
    row = as_record(decoded(body), "postback")
    return Postback(broker_order_id=identifier(row, "id"), account_id=identifier(row, "clientId"))
