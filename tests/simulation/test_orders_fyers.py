"""What is Fyers' alone in dealing: its fields, its numbers for words, tags with a prefix, codes of what has ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from brokers.fyers.sandbox import FyersSandbox
from brokers.simulation.faults import FaultKind
from tests.simulation.orders import Offline, names, recorded

ORDERS, BOOK = "/api/v3/orders/sync", "/api/v3/orders"
TRIGGERS, WAITING = "/api/v3/gtt/orders/sync", "/api/v3/gtt/orders"
TICKER = "NSE:INFY-EQ"


@pytest.fixture
def fyers() -> Offline[FyersSandbox]:
    return Offline(FyersSandbox)


def body(fyers: Offline[FyersSandbox], **changed: Any) -> dict[str, Any]:
    """The published request, for two shares far below the last price."""
    asked = json.loads(json.dumps(recorded("fyers", "place_order_request.json"), default=float))
    price = float(fyers.last - 20 * fyers.tick)
    ours = {"symbol": TICKER, "qty": 2, "type": 1, "productType": "CNC", "limitPrice": price}
    return dict(asked | ours | changed)


def placed(fyers: Offline[FyersSandbox], **changed: Any) -> str:
    reply = fyers.said("POST", ORDERS, document=body(fyers, **changed))
    assert names(reply) == names(recorded("fyers", "place_order_success.json"))
    assert reply["code"] == 1101
    return str(reply["id"])


def test_rows_have_the_published_fields(fyers: Offline[FyersSandbox]) -> None:
    order_id = placed(fyers, limitPrice=float(fyers.last))
    [row] = fyers.said("GET", BOOK, id=order_id)["orderBook"]
    assert names(row) == names(recorded("fyers", "orderbook.json")["orderBook"][0])
    assert (row["status"], row["orderNumStatus"], row["orderTag"]) == (2, f"{order_id}:2", "1:tag1")
    [trade] = fyers.said("GET", "/api/v3/tradebook")["tradeBook"]
    assert names(trade) == names(recorded("fyers", "tradebook.json")["tradeBook"][0])
    margin = fyers.said("POST", "/api/v3/multiorder/margin", document={"data": [body(fyers)]})
    assert names(margin["data"]) == names(recorded("fyers", "multiorder_margin.json")["data"])


def test_the_book_is_asked_by_number_or_by_tag(fyers: Offline[FyersSandbox]) -> None:
    tagged, bare = placed(fyers), placed(fyers, orderTag="")
    assert [row["id"] for row in fyers.said("GET", BOOK, order_tag="1:tag1")["orderBook"]] == [tagged]
    assert [row["id"] for row in fyers.said("GET", BOOK, order_tag="2:Untagged")["orderBook"]] == [bare]
    assert [row["id"] for row in fyers.said("GET", BOOK)["orderBook"]] == [tagged, bare]
    assert fyers.said("GET", BOOK, id="1")["orderBook"] == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": "NSE:NOSUCH-EQ"}, -300),
        ({"qty": 0}, -50),
        ({"limitPrice": 1.234}, -50),
        ({"type": 9}, -50),
        ({"productType": "BO"}, -50),
        ({"side": 0}, -50),
    ],
)
def test_what_is_wrong_by_itself_is_refused_at_once(
    fyers: Offline[FyersSandbox], changed: dict[str, Any], code: int
) -> None:
    reply = fyers.ask("POST", ORDERS, document=body(fyers, **changed))
    assert (reply.status, json.loads(reply.body)["code"]) == (400, code)
    assert fyers.said("GET", BOOK)["orderBook"] == []


@pytest.mark.parametrize("kind", [FaultKind.UNREGISTERED_ADDRESS, FaultKind.MARKET_CLOSED])
def test_refusals_that_are_switched_on(fyers: Offline[FyersSandbox], kind: FaultKind) -> None:
    fyers.fault(kind)
    assert fyers.said("POST", ORDERS, document=body(fyers))["code"] == -99


def test_of_an_order_that_has_ended_the_code_says_how(fyers: Offline[FyersSandbox]) -> None:
    cancelled, filled = placed(fyers), placed(fyers, limitPrice=float(fyers.last))
    rejected = placed(fyers, qty=90_000)
    change = {"id": cancelled, "type": 1, "limitPrice": float(fyers.last - 21 * fyers.tick), "qty": 3}
    assert fyers.said("PATCH", ORDERS, document=change)["code"] == 1102
    assert fyers.said("DELETE", ORDERS, document={"id": cancelled})["code"] == 1103
    ended = {order_id: fyers.said("DELETE", ORDERS, document={"id": order_id})["code"] for order_id in
             (cancelled, filled, rejected, "1")}  # fmt: skip
    assert ended == {cancelled: -161, filled: -162, rejected: -164, "1": -51}
    assert fyers.said("PATCH", ORDERS, document=change)["code"] == -161
    assert fyers.said("POST", ORDERS, document=[])["code"] == -50


def test_news_have_the_published_fields(fyers: Offline[FyersSandbox]) -> None:
    order = fyers.sandbox.desk.order(placed(fyers))
    assert order is not None
    posted = fyers.sandbox.postback(fyers.told(order))
    assert isinstance(posted, dict)
    assert names(posted) == names(recorded("fyers", "postback/postback_order.json"))
    told = fyers.sandbox.order_news(order)
    raw = recorded("fyers", "stream/ws_order_raw.json")["orders"]
    assert names(told) - {"id_exchange", "price_limit"} == names(raw)
    filled = fyers.sandbox.desk.order(placed(fyers, limitPrice=float(fyers.last)))
    assert filled is not None
    after = recorded("fyers", "stream/ws_order_raw_filled.json")["orders"]
    assert names(fyers.sandbox.order_news(filled)) == names(after) - {"oms_msg"}


def test_gtt_rows_have_the_published_fields(fyers: Offline[FyersSandbox]) -> None:
    low, high = float(fyers.last - 20 * fyers.tick), float(fyers.last + 20 * fyers.tick)
    legs = {
        "leg1": {"price": high, "triggerPrice": high, "qty": 1},
        "leg2": {"price": low, "triggerPrice": low, "qty": 1},
    }
    asked = {"side": -1, "symbol": TICKER, "productType": "CNC", "orderInfo": legs}
    gtt_id = fyers.said("POST", TRIGGERS, document=asked)["id"]
    [row] = fyers.said("GET", WAITING)["orderBook"]
    assert names(row) == names(recorded("fyers", "gtt_orderbook.json")["orderBook"][0])
    assert (row["gtt_oco_ind"], float(row["price_trigger"]), float(row["price2_trigger"])) == (2, high, low)
    moved = {"id": gtt_id, "orderInfo": {**legs, "leg2": {**legs["leg2"], "triggerPrice": low - 1}}}
    assert fyers.said("PATCH", TRIGGERS, document=moved)["code"] == 1102
    [row] = fyers.said("GET", WAITING)["orderBook"]
    assert float(row["price2_trigger"]) == low - 1
    assert fyers.said("DELETE", TRIGGERS, document={"id": gtt_id})["code"] == 1103
    assert fyers.said("GET", WAITING)["orderBook"][0]["ord_status"] == 1
    assert fyers.said("DELETE", TRIGGERS, document={"id": "1"})["code"] == -51
    assert fyers.said("POST", TRIGGERS, document={**asked, "orderInfo": {"leg1": {"qty": 1}}})["code"] == -50
