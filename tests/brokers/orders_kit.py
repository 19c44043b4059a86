"""What the tests of two dialects' orders share: a client, orders to place, and one call against one canned answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from brokers import registry
from brokers.base import BrokerClient
from brokers.dealing import OrderRequest, StandingOrder, Traded
from brokers.domain import (
    AppCredentials,
    Exchange,
    InstrumentKind,
    Listing,
    OrderType,
    Product,
    Session,
    Side,
    Validity,
)
from brokers.errors import BrokerError
from brokers.secret import Secret
from tests.contract.recorded import ACCESS_TOKEN, API_KEY, API_SECRET, payload

Act = Callable[[BrokerClient], Any]


def client_of(slug: str, facts: dict[str, str] | None = None) -> BrokerClient:
    broker = registry.load(slug)
    app = AppCredentials(api_key=Secret(API_KEY), api_secret=Secret(API_SECRET))
    return broker.client(broker.transport(), app, Session(access_token=Secret(ACCESS_TOKEN), facts=facts or {}))


def traded(
    number: str = "2885", exchange: Exchange = Exchange.NSE, *, multiplier: int = 1, symbol: str = "RELIANCE"
) -> Traded:
    listing = Listing(exchange=exchange, tradingsymbol=symbol, broker_token=number)
    return Traded(listing=listing, kind=InstrumentKind.EQUITY, multiplier=Decimal(multiplier))


def asked(**changed: Any) -> OrderRequest:
    """An order to buy ten shares at 1400.50 at most, with what is `changed`."""
    order: dict[str, Any] = {
        "traded": traded(),
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "product": Product.MIS,
        "validity": Validity.DAY,
        "quantity": Decimal("10.0000"),
        "price": Decimal("1400.5000"),
        "tag": "t2k3m4n5p6q7r8s9tau",
    }
    return OrderRequest(**(order | changed))


def standing(order_id: str, *, filled: int = 0, **changed: Any) -> StandingOrder:
    return StandingOrder(broker_order_id=order_id, request=asked(**changed), filled_quantity=Decimal(filled))


def answered(client: BrokerClient, act: Act, request: str, body: bytes, *, status: int = 200) -> tuple[Any, Any]:
    """What the call returned, and the one request that it sent."""
    method, _, path = request.partition(" ")
    with responses.RequestsMock() as mock:
        mock.add(method, client.spec.endpoints.base_url + path, body=body, status=status)
        returned = act(client)
        assert len(mock.calls) == 1
        return returned, mock.calls[0].request


def refused(client: BrokerClient, act: Act, request: str, body: Any, *, status: int = 200) -> BrokerError:
    """How the call failed: after it was sent, once. `body` may be an exception: then there was no answer."""
    method, _, path = request.partition(" ")
    with responses.RequestsMock() as mock:
        mock.add(method, client.spec.endpoints.base_url + path, body=body, status=status)
        with pytest.raises(BrokerError) as caught:
            act(client)
        assert len(mock.calls) == 1
    return caught.value


def never_sent(client: BrokerClient, act: Act) -> BrokerError:
    """How the call failed: nothing was sent, or the mock would have said so."""
    with responses.RequestsMock(), pytest.raises(BrokerError) as caught:
        act(client)
    return caught.value


def exact(body: Any) -> Any:
    """Decoded JSON, without a float in it."""
    return json.loads(body, parse_float=Decimal)


def body_of(request: PreparedRequest) -> Any:
    return exact(request.body or b"null")


def recorded(slug: str, file: str) -> Any:
    return exact(payload(slug, file))
