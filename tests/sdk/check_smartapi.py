"""Prove that Angel One's official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_smartapi.py .run/sandbox/brokers.json
(needs `pip install smartapi-python logzero websocket-client`: the SDK imports the last two without asking for them)

The SDK writes a `logs` folder into the working directory, and asks an outside site for its public address when it is
imported; without an answer it goes on.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import requests
from SmartApi import SmartConnect
from SmartApi.smartExceptions import DataException
from SmartApi.smartWebSocketOrderUpdate import SmartWebSocketOrderUpdate
from SmartApi.smartWebSocketV2 import SmartWebSocketV2

IST = ZoneInfo("Asia/Kolkata")


def callback(broker: dict, login_url: str, **typed: str) -> dict[str, list[str]]:
    """Log in on the simulated page, as a browser would, and read where it sends us."""
    page = broker["login_url"] + "?" + urlsplit(login_url).query + "&state=st-1"
    reply = requests.post(page, data={**broker["login"], **typed}, allow_redirects=False, timeout=10)
    return parse_qs(urlsplit(reply.headers["Location"]).query)


def refused_with(call: Callable[[], dict]) -> tuple[bool, str]:
    """Return what a call's envelope says, in whichever of its two spellings."""
    reply = call()
    return reply.get("status", reply.get("success")), reply.get("errorcode", reply.get("errorCode"))


def data(reply: dict) -> object:
    assert reply["status"] is True, reply
    assert (reply["message"], reply["errorcode"]) == ("SUCCESS", ""), reply
    return reply["data"]


def walk(smart: SmartConnect, broker: dict) -> None:
    """Every call that reads; raises AssertionError at the first difference."""
    assert data(smart.getProfile(smart.refresh_token))["clientcode"] == broker["login"]["clientcode"]
    assert float(data(smart.rmsLimit())["net"]) > 0
    every = data(smart.allholding())
    rows = every["holdings"]
    assert abs(every["totalholding"]["totalholdingvalue"] - sum(row["quantity"] * row["ltp"] for row in rows)) < 1
    assert [row["quantity"] for row in data(smart.holding())] == [row["quantity"] for row in rows]
    assert {"INFY-EQ", "SBIN"} <= {row["tradingsymbol"] for row in rows}
    positions = {row["tradingsymbol"]: row for row in data(smart.position())}
    option = positions["NIFTY29DEC2627000CE"]
    assert (option["netqty"], option["cfbuyqty"], option["strikeprice"]) == ("130", "130", "27000.00")
    assert positions["HINDALCO-EQ"]["netvalue"].startswith("- ")
    assert data(smart.orderBook()) is data(smart.tradeBook()) is None

    tokens = {"NSE": ["1594"], "BSE": ["500112"], "NFO": [option["symboltoken"]]}
    for mode in ("LTP", "OHLC", "FULL"):
        quoted = data(smart.getMarketData(mode, tokens))
        assert {row["tradingSymbol"] for row in quoted["fetched"]} == {"INFY-EQ", "SBIN", "NIFTY29DEC2627000CE"}
    partly = smart.getMarketData("OHLC", {"NSE": ["1594", "1"]})
    assert (partly["success"], [row["symbolToken"] for row in partly["data"]["unfetched"]]) == (True, ["1"])
    assert data(smart.ltpData("NSE", "INFY-EQ", "1594"))["ltp"] > 0
    assert {"exchange": "NSE", "tradingsymbol": "INFY-EQ", "symboltoken": "1594"} in data(
        smart.searchScrip("NSE", "INFY")
    )

    walk_candles(smart)

    master = requests.get(broker["base_url"] + "/OpenAPI_File/files/OpenAPIScripMaster.json", timeout=10).json()
    known = {(row["exch_seg"], row["token"]): row for row in master}
    assert known["NSE", "1594"]["symbol"] == "INFY-EQ"
    assert known["NFO", option["symboltoken"]]["strike"] == "2700000.000000"


def walk_candles(smart: SmartConnect) -> None:
    """Whole days of a share and an index; an unknown token, and more days than a call may ask for."""
    today = datetime.now(IST).date()

    def candles(token: str, days: int) -> dict:
        first, last = f"{today - timedelta(days=days)} 00:00", f"{today - timedelta(days=1)} 23:59"
        asked = {"exchange": "NSE", "symboltoken": token, "interval": "ONE_DAY", "fromdate": first, "todate": last}
        return smart.getCandleData(asked)

    rows = data(candles("1594", 2000))
    days = [row[0] for row in rows]
    assert days == sorted(set(days))
    assert days[-1].endswith("T00:00:00+05:30")
    assert all(row[3] <= row[4] <= row[2] for row in rows)
    assert rows[-1][4] == data(smart.ltpData("NSE", "INFY-EQ", "1594"))["close"]
    assert {row[5] for row in data(candles("99926000", 9))} == {0}
    assert refused_with(lambda: candles("1", 9)) == (False, "AB1018")
    assert refused_with(lambda: candles("1594", 2001)) == (False, "AB4018")


def check(broker: dict) -> None:
    """Both logins and the whole surface."""
    login = broker["login"]

    def connect(**known: str) -> SmartConnect:
        return SmartConnect(api_key=broker["api_key"], root=broker["base_url"], **known)

    back = callback(broker, connect().login_url())
    assert set(back) == {"auth_token", "feed_token", "refresh_token"}
    assert callback(broker, connect().login_url(), keep_state="1")["state"] == ["st-1"]
    assert "auth_token" not in callback(broker, connect().login_url(), cancel="1")
    redirected = connect(access_token=back["auth_token"][0], refresh_token=back["refresh_token"][0])
    walk(redirected, broker)

    smart = connect()
    assert refused_with(lambda: smart.generateSession(login["clientcode"], "wrong", "1")) == ("false", "AB1007")
    assert refused_with(lambda: smart.generateSession(login["clientcode"], login["pin"], "1")) == (False, "AB1050")
    session = smart.generateSession(login["clientcode"], login["pin"], login["totp"])
    assert data(session)["jwtToken"] == "Bearer " + smart.access_token
    walk(smart, broker)

    old = smart.refresh_token
    renewed = data(smart.generateToken(old))
    assert renewed["refreshToken"] != old
    again = requests.post(
        broker["base_url"] + smart._routes["api.token"],
        json={"refreshToken": old},
        headers={**smart.requestHeaders(), "Authorization": f"Bearer {smart.access_token}"},
        timeout=10,
    )
    assert (again.status_code, again.json()["errorcode"]) == (200, "AB8050")  # generateToken reads on regardless
    walk(smart, broker)

    assert data(smart.terminateSession(login["clientcode"])) == ""
    assert refused_with(smart.holding) == (False, "AG8001")
    assert data(redirected.rmsLimit())
    stranger = SmartConnect(api_key="unknown", root=broker["base_url"], access_token=back["auth_token"][0])
    assert refused_with(stranger.holding) == (False, "AG8004")
    nobody = connect()
    assert refused_with(nobody.position) == (False, "AG8003")


def check_streams(broker: dict, control_url: str) -> None:
    """Both tickers, on addresses of ours: prices in every mode, as the SDK reads them, and the greeting of orders."""
    smart, login = SmartConnect(api_key=broker["api_key"], root=broker["base_url"]), broker["login"]
    session = data(smart.generateSession(login["clientcode"], login["pin"], login["totp"]))
    known = (session["jwtToken"], broker["api_key"], login["clientcode"], session["feedToken"])
    was_frozen = requests.get(f"{control_url}/market", timeout=10).json()["frozen"]
    set_market(control_url, {"frozen": True, **price("1573.70")})
    heard: queue.SimpleQueue[dict] = queue.SimpleQueue()

    class Ticker(SmartWebSocketV2):
        ROOT_URI = f"{broker['stream_url']}/smart-stream"

        def on_open(self, wsapp) -> None:
            for mode in (self.LTP_MODE, self.QUOTE, self.SNAP_QUOTE, self.DEPTH):
                self.subscribe("check", mode, [{"exchangeType": self.NSE_CM, "tokens": ["1594"]}])

        def on_data(self, wsapp, data: dict) -> None:
            heard.put(data)

        def _on_close(self, wsapp, *closed) -> None:
            """The SDK's own takes no reason, with which its WebSocket client calls it."""

    class Orders(SmartWebSocketOrderUpdate):
        WEBSOCKET_URI = f"{broker['stream_url']}/smart-order-update"

        def on_message(self, wsapp, message: str) -> None:
            heard.put(json.loads(message))

        def retry_connect(self) -> None:
            """Closed is closed: the check is over."""

    ticker = Ticker(*known)
    with running(ticker):
        first = {tick["subscription_mode"]: tick for tick in (heard.get(timeout=10) for _ in range(4))}
        assert {tick["token"] for tick in first.values()} == {"1594"}
        assert [first[mode]["last_traded_price"] for mode in (1, 2, 3)] == [157370] * 3
        assert [first[mode]["closed_price"] for mode in (2, 3)] == [156780] * 2
        best, worst = first[3]["best_5_buy_data"][0], first[3]["best_5_sell_data"][-1]
        assert best["price"] == 157370 < worst["price"]
        assert first[4]["depth_20_buy_data"][0]["price"] == 157370 < first[4]["depth_20_sell_data"][1]["price"]
        set_market(control_url, price("1573.80"))
        assert [heard.get(timeout=10).get("last_traded_price", 157380) for _ in range(4)] == [157380] * 4
    with running(Orders(*known)):
        greeting = heard.get(timeout=10)
        assert (greeting["order-status"], greeting["orderData"]["orderid"]) == ("AB00", "")
    set_market(control_url, {"frozen": was_frozen})


def check_orders(broker: dict, control_url: str) -> None:
    """Place, modify, cancel; the books, one order, its margin, GTT; and what the order socket tells of it."""
    smart, login = SmartConnect(api_key=broker["api_key"], root=broker["base_url"]), broker["login"]
    session = data(smart.generateSession(login["clientcode"], login["pin"], login["totp"]))
    smart._rootUrl = broker["base_url"]  # one call does not go by the root it was given
    known = (session["jwtToken"], broker["api_key"], login["clientcode"], session["feedToken"])
    was_frozen = requests.get(f"{control_url}/market", timeout=10).json()["frozen"]
    set_market(control_url, {"frozen": True, **price("1573.70")})
    heard: queue.SimpleQueue[dict] = queue.SimpleQueue()

    class Orders(SmartWebSocketOrderUpdate):
        WEBSOCKET_URI = f"{broker['stream_url']}/smart-order-update"

        def on_message(self, wsapp, message: str) -> None:
            heard.put(json.loads(message))

        def retry_connect(self) -> None:
            """Closed is closed: the check is over."""

    share = {"variety": "NORMAL", "tradingsymbol": "INFY-EQ", "symboltoken": "1594", "exchange": "NSE",
             "ordertype": "LIMIT", "producttype": "DELIVERY", "duration": "DAY", "quantity": "2"}  # fmt: skip
    order = {**share, "transactiontype": "BUY", "price": "1550.00", "squareoff": "0", "stoploss": "0"}

    def row(order_id: str) -> dict:
        [found] = [row for row in data(smart.orderBook()) if row["orderid"] == order_id]
        return found

    with running(Orders(*known)):
        assert heard.get(timeout=10)["order-status"] == "AB00"
        order_id = smart.placeOrder({**order, "ordertag": "sdk-check-1"})
        told = heard.get(timeout=10)
        assert (told["order-status"], told["orderData"]["orderid"]) == ("AB01", order_id)
    placed = row(order_id)
    assert (placed["orderstatus"], placed["ordertag"], placed["price"]) == ("open", "sdk-check-1", 1550)
    assert data(smart.individual_order_details(placed["uniqueorderid"]))["orderid"] == order_id
    assert data(smart.modifyOrder({**share, "orderid": order_id, "price": "1551.00"}))["orderid"] == order_id
    assert row(order_id)["price"] == 1551
    assert data(smart.cancelOrder(order_id, "NORMAL"))["orderid"] == order_id
    assert (row(order_id)["orderstatus"], row(order_id)["cancelsize"]) == ("cancelled", "2")
    assert refused_with(lambda: smart.cancelOrder(order_id, "NORMAL")) == (False, "AB1013")

    bought = data(smart.placeOrderFullResponse({**order, "ordertype": "MARKET", "price": "0"}))["orderid"]
    assert row(bought)["orderstatus"] == "complete"
    fills = [fill for fill in data(smart.tradeBook()) if fill["orderid"] == bought]
    assert sum(int(fill["fillsize"]) for fill in fills) == 2
    [position] = [row for row in data(smart.position()) if row["tradingsymbol"] == "INFY-EQ"]
    assert position["buyqty"] == "2"
    assert row(smart.placeOrder({**order, "quantity": "99000"}))["orderstatus"] == "rejected"

    def bad(**changed: str) -> tuple[bool, str]:
        return refused_with(lambda: smart.placeOrderFullResponse({**order, **changed}))

    assert bad(symboltoken="1") == (False, "AB1009")
    assert bad(producttype="X") == (False, "AB1012")
    assert bad(variety="STOPLOSS") == (False, "AB1008")
    assert bad(ordertag="t" * 20) == (False, "AB4008")
    assert smart.placeOrder({**order, "price": "1550.01"}) is None

    leg = {"exchange": "NSE", "qty": 2, "price": 1550, "productType": "DELIVERY", "token": "1594", "tradeType": "BUY",
           "orderType": "LIMIT"}  # fmt: skip
    assert data(smart.getMarginApi({"positions": [leg]}))["totalMarginRequired"] == 3100
    rule = {"tradingsymbol": "INFY-EQ", "symboltoken": "1594", "exchange": "NSE", "transactiontype": "BUY",
            "producttype": "DELIVERY", "price": "1500", "qty": "1", "triggerprice": "1501",
            "disclosedqty": "1"}  # fmt: skip
    rule_id = smart.gttCreateRule(rule)
    assert smart.gttModifyRule({**rule, "id": rule_id, "price": "1499"}) == rule_id
    assert data(smart.gttDetails(rule_id))["price"] == "1499"
    assert rule_id in {each["id"] for each in data(smart.gttLists(["NEW"], 1, 10))}
    assert data(smart.gttCancelRule({"id": rule_id, "symboltoken": "1594", "exchange": "NSE"}))["id"] == rule_id
    assert data(smart.gttDetails(rule_id))["status"] == "CANCELLED"
    set_market(control_url, {"frozen": was_frozen})


def set_market(control_url: str, change: dict) -> None:
    requests.put(f"{control_url}/market", json=change, timeout=10).raise_for_status()


def price(last: str) -> dict:
    return {"prices": [{"exchange": "NSE", "isin": "INE009A01021", "last_price": last, "close_price": "1567.80"}]}


@contextmanager
def running(ticker: SmartWebSocketV2 | SmartWebSocketOrderUpdate) -> Iterator[None]:
    """A ticker in a thread of its own, closed at the end; the SDK's loop may notice that ten seconds later."""
    threading.Thread(target=ticker.connect, daemon=True).start()
    try:
        yield
    finally:
        ticker.close_connection()


def unread(call: Callable[[], dict]) -> str:
    """What the SDK says of a reply that is no JSON."""
    try:
        call()
    except DataException as error:
        return str(error)
    return ""


def check_rate_limit(broker: dict, control_url: str) -> None:
    """The limit is a plain text, which the SDK cannot read."""
    fault = f"{control_url}/brokers/angel_one/faults/rate_limit"
    requests.put(fault, json={"count": 1}, timeout=10).raise_for_status()
    smart = SmartConnect(api_key=broker["api_key"], root=broker["base_url"], access_token="any")
    assert "exceeding access rate" in unread(smart.holding)


if __name__ == "__main__":
    document = json.loads(Path(sys.argv[1]).read_text())
    check(document["brokers"]["angel_one"])
    check_streams(document["brokers"]["angel_one"], document["control_url"])
    check_orders(document["brokers"]["angel_one"], document["control_url"])
    check_rate_limit(document["brokers"]["angel_one"], document["control_url"])
    sys.stdout.write("smartapi-python: every check passed\n")
