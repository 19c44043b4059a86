"""One broker's dealing against recorded replies: what went out, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import requests
import responses

from brokers.base import Broker, BrokerClient
from brokers.dealing import GttKind, GttLeg, GttRequest, OrderChange, OrderRequest, StandingOrder, Traded
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
from brokers.errors import BrokerError, OutcomeUnknown
from brokers.secret import Secret
from tests.contract.recorded import ACCESS_TOKEN, API_KEY, API_SECRET, JSON, payload

TAG = "t5kq2m7wx3c9pd8hj4"
HTML_PAGE = b"<html><body>Sorry</body></html>"


def traded(exchange: Exchange, tradingsymbol: str, broker_token: str, *, multiplier: int = 1) -> Traded:
    kind = InstrumentKind.EQUITY if exchange in (Exchange.NSE, Exchange.BSE) else InstrumentKind.FUTURE
    listing = Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=broker_token)
    return Traded(listing=listing, kind=kind, multiplier=Decimal(multiplier))


def order(of: Traded, **changed: Any) -> OrderRequest:
    """Buy ten at 1500.50, for the day and for keeps, unless it is said otherwise."""
    asked: dict[str, Any] = {
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "product": Product.CNC,
        "validity": Validity.DAY,
        "quantity": Decimal(10),
        "price": Decimal("1500.5000"),
        "tag": TAG,
    }
    return OrderRequest(traded=of, **asked | changed)


def change(**changed: Any) -> OrderChange:
    asked: dict[str, Any] = {
        "order_type": OrderType.LIMIT,
        "validity": Validity.DAY,
        "quantity": Decimal(10),
        "price": Decimal("1501.0000"),
    }
    return OrderChange(**asked | changed)


def standing(request: OrderRequest, broker_order_id: str = "151220000000000", filled: int = 0) -> StandingOrder:
    return StandingOrder(broker_order_id=broker_order_id, request=request, filled_quantity=Decimal(filled))


def gtt(of: Traded, *triggers: str, side: Side = Side.SELL) -> GttRequest:
    """Of two triggers one cancels the other; each lets out an order over one share, half a rupee below it."""
    legs = tuple(
        GttLeg(trigger_price=Decimal(trigger), price=Decimal(trigger) - Decimal("0.5"), quantity=Decimal(1))
        for trigger in triggers
    )
    kind = GttKind.OCO if len(legs) == 2 else GttKind.SINGLE
    return GttRequest(traded=of, kind=kind, side=side, product=Product.CNC, legs=legs, last_price=Decimal(800), tag=TAG)


def client(broker: Broker) -> BrokerClient:
    app = AppCredentials(api_key=Secret(API_KEY), api_secret=Secret(API_SECRET))
    return broker.client(broker.transport(), app, Session(access_token=Secret(ACCESS_TOKEN)))


class Sent(msgspec.Struct):
    """One request as the broker got it: `said` is its query, its form or its JSON, exactly."""

    method: str
    url: str
    said: Any
    headers: Mapping[str, str]


@contextmanager
def replying(
    broker: Broker, method: str, path: str, body: bytes | Exception, status: int = 200, content_type: str = JSON
) -> Iterator[list[Sent]]:
    """Answer one path, at whichever host serves it, and gather what is asked; anything else fails."""
    asked: list[Sent] = []
    with responses.RequestsMock() as mock:

        def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
            asked.append(heard(request))
            if isinstance(body, Exception):
                raise body
            return status, {}, body

        mock.add_callback(method, broker.spec.endpoints.address(path), callback=answer, content_type=content_type)
        yield asked


def heard(request: requests.PreparedRequest) -> Sent:
    url = urlsplit(str(request.url))
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body or "")
    is_json = request.headers.get("Content-Type") == JSON
    said = msgspec.json.decode(body) if is_json else dict(parse_qsl(url.query)) | dict(parse_qsl(body))
    address = url._replace(query="").geturl()
    return Sent(str(request.method), address, said, request.headers)


def made(broker: Broker, act: Callable[[BrokerClient], Any], method: str, path: str, reply: str) -> tuple[Any, Sent]:
    """What a call returns for a recorded reply, and the one request that it made."""
    with replying(broker, method, path, payload(broker.spec.slug, reply)) as asked:
        result = act(client(broker))
    [request] = asked
    return result, request


def refused(
    broker: Broker,
    act: Callable[[BrokerClient], Any],
    method: str,
    path: str,
    body: bytes | Exception,
    status: int = 200,
    content_type: str = JSON,
) -> BrokerError:
    """The error that one answer becomes. Whatever it is, the call went out once."""
    with replying(broker, method, path, body, status, content_type) as asked, pytest.raises(BrokerError) as caught:
        act(client(broker))
    assert len(asked) == 1
    return caught.value


# What leaves open what became of a write, at every broker. Each is (answer, HTTP status, type of content).
OPEN_ENDS = {
    "silence": (requests.ReadTimeout(), 0, JSON),
    "cut": (requests.ConnectionError("reset"), 0, JSON),
    "no JSON": (b"{", 200, JSON),
    "a page": (HTML_PAGE, 200, "text/html"),
    "an empty answer": (b"{}", 200, JSON),
    "somebody else's no": (HTML_PAGE, 400, "text/html"),
    "internal error": (b"{}", 500, JSON),
    "gateway": (HTML_PAGE, 502, "text/html"),
    "maintenance": (HTML_PAGE, 503, "text/html"),
    "slow gateway": (HTML_PAGE, 504, "text/html"),
    "a status we do not know": (b"{}", 418, JSON),
}


def assert_stays_open(broker: Broker, act: Callable[[BrokerClient], Any], method: str, path: str, end: str) -> None:
    body, status, content_type = OPEN_ENDS[end]
    error = refused(broker, act, method, path, body, status, content_type)
    assert type(error) is OutcomeUnknown
    assert error.code == "outcome_unknown"
