"""What the server does around the desks: faults on the wire, news by socket and post, the control API, a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import requests
from websockets.sync.client import connect

from brokers import registry
from brokers.simulation.server import SimulatedBrokers

PATIENCE = 20
FAR_BELOW = "1450.00"


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setitem(registry.PACKAGES, "bazaar", "tests.simulation.bazaar")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def running(registered: None) -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers(["bazaar", "zerodha"]) as simulated:
        simulated.control.set_price("NSE", "1500.00", symbol="INFY", close_price="1500.00")
        yield simulated


@pytest.fixture
def simulated(running: SimulatedBrokers) -> Iterator[SimulatedBrokers]:
    book = running.control.book("bazaar")
    yield running
    running.control.clear_faults("bazaar")
    running.control.reset_exchange()
    running.control.set_book("bazaar", book)
    running.control.set_depth(100)


def infy(**changed: Any) -> dict[str, Any]:
    plain = {"key": "NSE:INFY", "side": "BUY", "order_type": "LIMIT", "product": "CNC", "validity": "DAY"}
    return {**plain, "quantity": 10, "price": "1500.00", "tag": "t1234567", **changed}


def place(simulated: SimulatedBrokers, **changed: Any) -> requests.Response:
    url = simulated.brokers["bazaar"]["base_url"] + "/orders"
    return requests.post(url, json=infy(**changed), timeout=PATIENCE)


def order_book(simulated: SimulatedBrokers) -> list[dict[str, Any]]:
    orders: list[dict[str, Any]] = requests.get(
        simulated.brokers["bazaar"]["base_url"] + "/orders", timeout=PATIENCE
    ).json()
    return orders


def test_a_lost_reply_leaves_an_order_and_a_lost_request_none(simulated: SimulatedBrokers) -> None:
    for kind, orders in (("lost_request", 0), ("lost_reply", 1)):
        simulated.control.set_fault("bazaar", kind, count=1)
        with pytest.raises(requests.ConnectionError):
            place(simulated)
        assert len(order_book(simulated)) == orders
    assert place(simulated).status_code == 200


def test_reading_meets_no_fault_of_the_desk_and_spends_none(simulated: SimulatedBrokers) -> None:
    simulated.control.set_fault("bazaar", "lost_reply", count=1)
    assert order_book(simulated) == []
    assert list(simulated.control.overview()["brokers"]["bazaar"]["faults"]) == ["lost_reply"]


def test_a_late_reply_comes_after_the_order_is_taken(simulated: SimulatedBrokers) -> None:
    simulated.control.set_fault("bazaar", "late_reply", count=1, milliseconds=3000)
    started = time.monotonic()
    waiting = Thread(target=place, args=(simulated,))
    waiting.start()
    while not simulated.control.exchange()["trades"]:
        assert time.monotonic() - started < PATIENCE
    assert waiting.is_alive()
    waiting.join()


def test_an_order_from_the_brokers_own_app_meets_no_fault_of_requests(simulated: SimulatedBrokers) -> None:
    simulated.control.set_fault("bazaar", "lost_request")
    placed = simulated.control.place("bazaar", infy(price=FAR_BELOW))
    assert [order["status"] for order in order_book(simulated)] == ["OPEN"]
    simulated.control.cancel("bazaar", placed["order_id"])
    assert [order["status"] for order in order_book(simulated)] == ["CANCELLED"]
    with pytest.raises(requests.HTTPError, match="cancelled"):
        simulated.control.cancel("bazaar", placed["order_id"])


def test_a_refusal_is_the_dialects_to_word(simulated: SimulatedBrokers) -> None:
    reply = place(simulated, price="1500.03")
    assert (reply.status_code, reply.json()["why"]) == (400, "bad_price")


def test_the_control_api_tells_all_orders_by_desk_and_tag_and_all_trades(simulated: SimulatedBrokers) -> None:
    filled = place(simulated).json()
    resting = place(simulated, price=FAR_BELOW).json()
    other = place(simulated, tag="t7654321", price=FAR_BELOW).json()
    told = simulated.control.exchange()
    desk = told["desks"]["bazaar"]
    assert [order["status"] for order in desk["orders"]] == ["FILLED", "OPEN", "OPEN"]
    ids = [each["order_id"] for each in (filled, resting, other)]
    assert desk["by_tag"] == {"t1234567": ids[:2], "t7654321": ids[2:]}
    assert told["desks"]["zerodha"] == {"orders": [], "by_tag": {}, "gtts": []}
    assert [(trade["buyer"], trade["seller"], trade["quantity"]) for trade in told["trades"]] == [
        ("bazaar", "maker", 10)
    ]
    simulated.control.reset_exchange()
    assert simulated.control.exchange()["trades"] == order_book(simulated) == []


def test_the_book_that_is_read_has_moved_with_the_orders(simulated: SimulatedBrokers) -> None:
    place(simulated, side="SELL", quantity=20)
    place(simulated, price=FAR_BELOW)
    book = simulated.control.book("bazaar")
    assert (book["holdings"][0]["settled"], book["holdings"][0]["used_today"]) == (480, 20)
    assert book["positions"][0]["day_sell_quantity"] == 20
    assert (book["funds"]["received_today"], book["funds"]["used_orders"]) == ("30000.00", "14500.00")


def test_a_price_that_is_set_fills_what_waits_for_it(simulated: SimulatedBrokers) -> None:
    place(simulated, price=FAR_BELOW)
    simulated.control.set_price("NSE", FAR_BELOW, symbol="INFY")
    filled = order_book(simulated)
    simulated.control.set_price("NSE", "1500.00", symbol="INFY")
    assert (filled[0]["status"], filled[0]["average_price"]) == ("FILLED", FAR_BELOW)


def test_without_a_maker_an_order_waits(simulated: SimulatedBrokers) -> None:
    simulated.control.set_depth(0)
    assert place(simulated).json()["status"] == "OPEN"
    simulated.control.set_depth(4)
    assert order_book(simulated)[0]["filled"] == 4


def test_a_depth_below_nothing_is_refused(simulated: SimulatedBrokers) -> None:
    with pytest.raises(requests.HTTPError, match=">= 0"):
        simulated.control.set_depth(-1)


def test_a_socket_hears_of_every_change(simulated: SimulatedBrokers) -> None:
    place(simulated)
    with connect(simulated.brokers["bazaar"]["stream_url"] + "/news") as socket:
        assert socket.recv(timeout=PATIENCE) == "here"
        resting = place(simulated, price=FAR_BELOW).json()
        url = f"{simulated.brokers['bazaar']['base_url']}/orders/{resting['order_id']}"
        requests.delete(url, timeout=PATIENCE)
        heard = [json.loads(socket.recv(timeout=PATIENCE)) for _ in range(2)]
    assert [(news["order_id"], news["status"]) for news in heard] == [
        (resting["order_id"], "OPEN"),
        (resting["order_id"], "CANCELLED"),
    ]


@pytest.fixture
def listener() -> Iterator[tuple[str, Queue[dict[str, Any]]]]:
    """An address that is posted to, and what came there."""
    came: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", came
        server.shutdown()
        thread.join()


def test_changes_are_posted_where_the_control_api_says(
    simulated: SimulatedBrokers, listener: tuple[str, Queue[dict[str, Any]]]
) -> None:
    address, came = listener
    place(simulated)
    simulated.control.post_updates("bazaar", address)
    simulated.control.set_fault("bazaar", "duplicate_updates", count=1)
    placed = place(simulated).json()
    posted = [came.get(timeout=PATIENCE) for _ in range(3)]
    assert {(each["order_id"], each["account"]) for each in posted} == {(placed["order_id"], "BZ1")}
    assert [each["status"] for each in posted] == ["OPEN", "OPEN", "FILLED"]
    simulated.control.post_updates("bazaar", "")
    place(simulated)
    assert came.empty()


def test_nothing_is_posted_off_this_machine(simulated: SimulatedBrokers) -> None:
    with pytest.raises(requests.HTTPError, match="this machine alone"):
        simulated.control.post_updates("bazaar", "http://example.com/hook")


def test_orders_outlive_a_restart(tmp_path: Path, registered: None) -> None:
    with SimulatedBrokers(["bazaar"], state_dir=tmp_path) as simulated:
        simulated.control.set_price("NSE", "1500.00", symbol="INFY", close_price="1500.00")
        place(simulated)
        place(simulated, price=FAR_BELOW)
        before = simulated.control.exchange()
    with SimulatedBrokers(["bazaar"], state_dir=tmp_path) as simulated:
        assert simulated.control.exchange() == before
        simulated.control.set_price("NSE", FAR_BELOW, symbol="INFY")
        assert [order["status"] for order in order_book(simulated)] == ["FILLED", "FILLED"]
        trades = simulated.control.exchange()["trades"]
        assert len({trade["trade_id"] for trade in trades}) == 2
