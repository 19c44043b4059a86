"""What is Upstox's alone in dealing: its fields, its codes, and that MCX is barred."""

from __future__ import annotations

import json
from typing import Any

import pytest

from brokers.domain import AppCredentials
from brokers.secret import Secret
from brokers.simulation.faults import FaultKind
from brokers.upstox.postback import read_postback
from brokers.upstox.sandbox import UpstoxSandbox
from tests.simulation.orders import Offline, names, recorded

PLACE, MODIFY, CANCEL = "/v3/order/place", "/v3/order/modify", "/v3/order/cancel"
INFY = "NSE_EQ|INE009A01021"


@pytest.fixture
def upstox() -> Offline[UpstoxSandbox]:
    return Offline(UpstoxSandbox)


def body(upstox: Offline[UpstoxSandbox], **changed: Any) -> dict[str, Any]:
    """Two shares, far below the last price."""
    asked = {
        "instrument_token": INFY,
        "quantity": 2,
        "transaction_type": "BUY",
        "product": "D",
        "order_type": "LIMIT",
        "validity": "DAY",
        "price": float(upstox.last - 20 * upstox.tick),
        "trigger_price": 0,
        "disclosed_quantity": 0,
        "is_amo": False,
        "tag": "ours1234",
    }
    return asked | changed


def placed(upstox: Offline[UpstoxSandbox], **changed: Any) -> str:
    reply = upstox.said("POST", PLACE, document=body(upstox, **changed))
    [order_id] = reply["data"]["order_ids"]
    return str(order_id)


def code(reply: Any) -> str:
    return str(json.loads(reply.body)["errors"][0]["error_code"])


def test_rows_have_the_published_fields(upstox: Offline[UpstoxSandbox]) -> None:
    order_id = placed(upstox, price=float(upstox.last))
    [row] = upstox.said("GET", "/v2/order/retrieve-all")["data"]
    assert names(row) == names(recorded("upstox", "order_retrieve_all.json")["data"][0])
    details = upstox.said("GET", "/v2/order/details", order_id=order_id)["data"]
    assert names(details) == names(recorded("upstox", "order_details.json")["data"])
    states = upstox.said("GET", "/v2/order/history", order_id=order_id)["data"]
    assert names(states[0]) == names(states[1]) == names(recorded("upstox", "order_history.json")["data"][0])
    assert upstox.said("GET", "/v2/order/history", tag="ours1234")["data"] == states
    [trade] = upstox.said("GET", "/v2/order/trades/get-trades-for-day")["data"]
    assert names(trade) == names(recorded("upstox", "order_trades_for_day.json")["data"][0])
    assert upstox.said("GET", "/v2/order/trades", order_id=order_id)["data"] == [trade]
    needed = {"instrument_key": INFY, "quantity": 2, "product": "D", "transaction_type": "BUY"}
    margin = upstox.said("POST", "/v2/charges/margin", document={"instruments": [needed]})["data"]
    published = recorded("upstox", "charges_margin.json")["data"]
    assert names(margin) == names(published)
    assert names(margin["margins"][0]) == names(published["margins"][0])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"instrument_token": "NSE_EQ|INE000000000"}, "UDAPI1056"),
        ({"quantity": 0}, "UDAPI1052"),
        ({"quantity": 1.5}, "UDAPI1052"),
        ({"price": 1.234}, "UDAPI1054"),
        ({"product": "CO"}, "UDAPI1056"),
        ({"order_type": "MARKET", "price": 0, "market_protection": 0}, "UDAPI1158"),
        ({"order_type": "MARKET", "price": 0, "market_protection": 26}, "UDAPI1159"),
    ],
)
def test_what_is_wrong_by_itself_is_refused_at_once(
    upstox: Offline[UpstoxSandbox], changed: dict[str, Any], expected: str
) -> None:
    reply = upstox.ask("POST", PLACE, document=body(upstox, **changed))
    assert (reply.status, code(reply)) == (400, expected)
    assert upstox.said("GET", "/v2/order/retrieve-all")["data"] == []


def test_mcx_is_barred(upstox: Offline[UpstoxSandbox]) -> None:
    barred = next(key for key, listing in upstox.sandbox.by_key.items() if listing.exchange == "MCX")
    assert code(upstox.ask("POST", PLACE, document=body(upstox, instrument_token=barred))) == "UDAPI1161"


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [(FaultKind.UNREGISTERED_ADDRESS, 403, "UDAPI1154"), (FaultKind.MARKET_CLOSED, 400, "UDAPI1096")],
)
def test_refusals_that_are_switched_on(
    upstox: Offline[UpstoxSandbox], kind: FaultKind, status: int, expected: str
) -> None:
    upstox.fault(kind)
    reply = upstox.ask("POST", PLACE, document=body(upstox))
    assert (reply.status, code(reply)) == (status, expected)


def test_a_market_order_is_bounded_unless_it_says_otherwise(upstox: Offline[UpstoxSandbox]) -> None:
    order_id = placed(upstox, order_type="MARKET", price=0)
    row = upstox.said("GET", "/v2/order/details", order_id=order_id)["data"]
    assert (row["order_type"], row["status"], row["price"]) == ("MARKET", "complete", 0)


def test_an_order_that_has_ended_is_neither_changed_nor_cancelled(upstox: Offline[UpstoxSandbox]) -> None:
    order_id = placed(upstox)
    change = {"order_id": order_id, "order_type": "LIMIT", "validity": "DAY", "quantity": 3}
    change |= {"price": float(upstox.last - 21 * upstox.tick), "trigger_price": 0}
    assert upstox.said("PUT", MODIFY, document=change)["data"] == {"order_id": order_id}
    assert upstox.said("DELETE", CANCEL, order_id=order_id)["data"] == {"order_id": order_id}
    assert code(upstox.ask("DELETE", CANCEL, order_id=order_id)) == "UDAPI100040"
    assert code(upstox.ask("PUT", MODIFY, document=change)) == "UDAPI100040"
    assert code(upstox.ask("DELETE", CANCEL, order_id="1")) == "UDAPI100010"
    assert code(upstox.ask("GET", "/v2/order/details", order_id="1")) == "UDAPI100010"
    assert code(upstox.ask("POST", PLACE, document=[])) == "UDAPI100036"


def test_want_of_money_says_how_much_is_missing(upstox: Offline[UpstoxSandbox]) -> None:
    order_id = placed(upstox, quantity=90_000)
    row = upstox.said("GET", "/v2/order/details", order_id=order_id)["data"]
    assert row["status"] == "rejected"
    assert row["status_message"].startswith("You need to add Rs. ")


def test_news_have_the_published_fields(upstox: Offline[UpstoxSandbox]) -> None:
    order_id = placed(upstox)
    order = upstox.sandbox.desk.order(order_id)
    assert order is not None
    posted = upstox.sandbox.postback(upstox.told(order))
    assert isinstance(posted, dict)
    assert names(posted) == names(recorded("upstox", "stream/webhook_order.json"))
    app = AppCredentials(api_key=Secret(upstox.sandbox.app.api_key), api_secret=Secret(upstox.sandbox.app.api_secret))
    read = read_postback(json.dumps(posted).encode(), {}, app)
    assert (read.broker_order_id, read.account_id) == (order_id, upstox.sandbox.book.account.user_id)
