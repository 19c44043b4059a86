"""Prove that Fyers' official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_fyers.py .run/sandbox/brokers.json   (needs `pip install fyers-apiv3`)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from datetime import time as wall_time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from fyers_apiv3 import fyersModel
from fyers_apiv3.FyersWebsocket import data_ws, defines, order_ws

STATE = "st/ate&1"
PATIENCE = 10.0
IST = timezone(timedelta(hours=5, minutes=30))
MOST_DAYS = 366


def auth_code(broker: dict, login_url: str) -> str:
    """Log in on the simulated page, as a browser would, and read the callback."""
    page = requests.get(login_url, timeout=10)
    assert "SIMULATED" in page.text
    reply = requests.post(login_url, data=broker["login"], allow_redirects=False, timeout=10)
    callback = {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["Location"]).query).items()}
    assert (callback["s"], callback["code"], callback["state"]) == ("ok", "200", STATE), callback
    return callback["auth_code"]


def login(broker: dict, secret: str) -> fyersModel.SessionModel:
    return fyersModel.SessionModel(
        client_id=broker["api_key"],
        secret_key=secret,
        redirect_uri=broker["redirect_uri"],
        response_type="code",
        grant_type="authorization_code",
        state=STATE,
    )


def refused_with(reply: dict, code: int) -> bool:
    return (reply["s"], reply["code"]) == ("error", code)


def exchanged(session: fyersModel.SessionModel, code: str) -> dict:
    session.set_token(code)
    return session.generate_token()


class Heard:
    """What a socket's callbacks were given."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.errors: list[object] = []

    def message(self, **wanted: object) -> dict:
        """The first message that says so, once it has come."""
        return awaited(lambda: next((each for each in self.messages if wanted.items() <= each.items()), None))

    def error(self, words: str) -> str:
        return awaited(lambda: next((str(each) for each in self.errors if words in str(each)), None))


def awaited(look: Callable[[], object]) -> object:
    for _ in range(int(PATIENCE / 0.05)):
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def price_socket(broker: dict, token: str, directory: str, *, lite: bool) -> tuple[data_ws.FyersDataSocket, Heard]:
    """Connect the SDK's market socket. There can be only one in a process, unless it is made to forget the first.

    Told to write to a file, it leaves its threads to end with the process.
    """
    heard = Heard()
    data_ws.FyersDataSocket._instance = None
    socket = data_ws.FyersDataSocket(
        access_token=f"{broker['api_key']}:{token}",
        log_path=directory,
        litemode=lite,
        reconnect=False,
        write_to_file=True,
        on_message=heard.messages.append,
        on_error=heard.errors.append,
    )
    socket._FyersDataSocket__url = broker["stream_url"] + "/hsm/v1-5/prod"
    socket.connect()
    return socket, heard


def order_socket(broker: dict, token: str, directory: str) -> tuple[order_ws.FyersOrderSocket, Heard]:
    heard = Heard()
    order_ws.FyersOrderSocket._instance = None
    socket = order_ws.FyersOrderSocket(
        access_token=f"{broker['api_key']}:{token}",
        log_path=directory,
        reconnect=False,
        write_to_file=True,
        on_general=heard.messages.append,
        on_error=heard.errors.append,
    )
    socket._FyersOrderSocket__url = broker["stream_url"] + "/trade/v3"
    socket.connect()
    return socket, heard


def check_streams(broker: dict, control_url: str, fyers: fyersModel.FyersModel, token: str, directory: str) -> None:
    """The SDK's sockets tell the prices that its calls tell."""
    conversion = data_ws.SymbolConversion

    class Conversion(conversion):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self.symbols_token_api = broker["base_url"] + "/data/symbol-token"

    data_ws.SymbolConversion = Conversion
    defines.INDEX_HSM_MAPPING_API = broker["base_url"] + "/sym_details/index_hsm_mapping.json"

    full, heard = price_socket(broker, token, directory, lite=False)
    heard.message(type="cn", code=200)
    heard.message(type="ful", code=200)
    full.subscribe(["NSE:INFY-EQ", "BSE:SBIN-A", "NSE:NIFTY26DEC27000PE", "NSE:NOSUCH-EQ"])
    heard.message(type="sub", code=200)
    assert "NSE:NOSUCH-EQ" in heard.error("NSE:NOSUCH-EQ")
    for row in fyers.quotes({"symbols": "NSE:INFY-EQ,BSE:SBIN-A,NSE:NIFTY26DEC27000PE"})["d"]:
        told = heard.message(type="sf", symbol=row["n"])
        names = {"ltp": "lp", "prev_close_price": "prev_close_price", "open_price": "open_price", "ask_price": "ask"}
        assert {name: told[name] for name in names} == {name: row["v"][quoted] for name, quoted in names.items()}
    full.subscribe(["NSE:INFY-EQ"], "DepthUpdate")
    depth = fyers.depth({"symbol": "NSE:INFY-EQ", "ohlcv_flag": 1})["d"]["NSE:INFY-EQ"]
    told = heard.message(type="dp", symbol="NSE:INFY-EQ")
    assert [told[f"bid_price{step}"] for step in range(1, 6)] == [row["price"] for row in depth["bids"]]
    assert [told[f"ask_price{step}"] for step in range(1, 6)] == [row["price"] for row in depth["ask"]]

    lite, heard_lite = price_socket(broker, token, directory, lite=True)
    heard_lite.message(type="lit", code=200)
    lite.subscribe(["NSE:INFY-EQ"])
    before = heard_lite.message(type="sf", symbol="NSE:INFY-EQ")["ltp"]
    price = round(before + 5, 2)
    change = {"exchange": "NSE", "symbol": "INFY", "last_price": str(price)}
    requests.put(control_url + "/market", json={"prices": [change]}, timeout=10).raise_for_status()
    assert heard_lite.message(type="sf", ltp=price)["symbol"] == "NSE:INFY-EQ"
    update = heard.message(type="sf", symbol="NSE:INFY-EQ", ltp=price)
    assert update["prev_close_price"] == heard.message(type="sf", symbol="NSE:INFY-EQ")["prev_close_price"]
    full.unsubscribe(["NSE:INFY-EQ"], "DepthUpdate")
    heard.message(type="unsub", code=200)

    orders, heard_orders = order_socket(broker, token, directory)
    orders.subscribe("OnOrders,OnTrades,OnPositions,OnGeneral")
    heard_orders.message(code=1605, s="ok")


def check_history(fyers: fyersModel.FyersModel) -> None:
    """The SDK reads whole days, the last of which closes where a quote says, and is refused what Fyers refuses."""
    today = datetime.now(IST).date()

    def history(first: date, last: date, **changed: str) -> dict:
        asked = {"symbol": "NSE:INFY-EQ", "resolution": "D", "date_format": "1", "cont_flag": "1"}
        return fyers.history({**asked, "range_from": first.isoformat(), "range_to": last.isoformat(), **changed})

    def epoch(day: date) -> str:
        return str(int(datetime.combine(day, wall_time(), IST).timestamp()))

    month_ago, yesterday = today - timedelta(days=30), today - timedelta(days=1)
    candles = history(month_ago, yesterday)["candles"]
    days = [datetime.fromtimestamp(row[0], IST).date() for row in candles]
    assert days == sorted(set(days))
    assert month_ago <= days[0] < days[-1] <= yesterday
    assert candles[-1][4] == fyers.quotes({"symbols": "NSE:INFY-EQ"})["d"][0]["v"]["prev_close_price"]
    seconds = {"date_format": "0", "range_from": epoch(month_ago), "range_to": epoch(yesterday)}
    assert history(month_ago, yesterday, **seconds)["candles"] == candles
    saturday = today - timedelta(days=(today.weekday() - 5) % 7)
    assert history(saturday, saturday)["s"] == "no_data"
    assert refused_with(history(today - timedelta(days=MOST_DAYS), today), -50)
    assert refused_with(history(month_ago, yesterday, symbol="NSE:NOSUCH-EQ"), -300)


def check_orders(broker: dict, fyers: fyersModel.FyersModel, token: str, directory: str) -> None:
    """The SDK places, changes, cancels, and finds all of it in the books and on its socket."""
    last = fyers.quotes({"symbols": "NSE:INFY-EQ"})["d"][0]["v"]["lp"]
    low = round(last * 0.95)
    socket, heard = order_socket(broker, token, directory)
    socket.onorder = heard.messages.append
    socket.subscribe("OnOrders")
    heard.message(code=1605, s="ok")

    asked = {
        "symbol": "NSE:INFY-EQ",
        "qty": 2,
        "type": 1,
        "side": 1,
        "productType": "CNC",
        "limitPrice": low,
        "stopPrice": 0,
        "validity": "DAY",
        "disclosedQty": 0,
        "offlineOrder": False,
        "stopLoss": 0,
        "takeProfit": 0,
        "orderTag": "fromthesdk",
    }
    placed = fyers.place_order(asked)
    assert placed["code"] == 1101, placed
    [row] = fyers.orderbook({"id": placed["id"]})["orderBook"]
    assert (row["status"], row["limitPrice"], row["orderTag"]) == (6, low, "1:fromthesdk")
    assert fyers.orderbook({"order_tag": "1:fromthesdk"})["orderBook"][0]["id"] == placed["id"]
    assert fyers.modify_order({"id": placed["id"], "type": 1, "limitPrice": low - 1, "qty": 3})["code"] == 1102
    assert fyers.cancel_order({"id": placed["id"]})["code"] == 1103
    assert refused_with(fyers.cancel_order({"id": placed["id"]}), -161)
    assert refused_with(fyers.cancel_order({"id": "1"}), -51)
    cancelled = awaited(lambda: [each for each in heard.messages if each.get("orders", {}).get("status") == 1])
    assert cancelled[0]["orders"]["id"] == placed["id"]

    bought = fyers.place_order({**asked, "type": 2, "limitPrice": 0, "orderTag": "atthemarket"})["id"]
    assert fyers.orderbook({"id": bought})["orderBook"][0]["status"] == 2
    fills = [row for row in fyers.tradebook()["tradeBook"] if row["orderNumber"] == bought]
    assert sum(row["tradedQty"] for row in fills) == 2
    assert "NSE:INFY-EQ-CNC" in {row["id"] for row in fyers.positions()["netPositions"]}

    leg = {"price": low, "triggerPrice": low, "qty": 1}
    waiting = {"side": 1, "symbol": "NSE:INFY-EQ", "productType": "CNC", "orderInfo": {"leg1": leg}}
    gtt = fyers.place_gtt_order(waiting)
    assert gtt["code"] == 1101, gtt
    assert [row["ord_status"] for row in fyers.gtt_orderbook()["orderBook"]] == [6]
    assert fyers.cancel_gtt_order({"id": gtt["id"]})["code"] == 1103


def check_dead_streams(broker: dict, token: str, directory: str) -> None:
    _, heard = price_socket(broker, token, directory, lite=False)
    assert "Authentication failed" in heard.error("11001")
    _, heard = order_socket(broker, token, directory)
    assert "Please provide valid token" in heard.error("403")


def check(broker: dict, control_url: str, log_directory: str) -> None:
    """Walk the whole surface; raises AssertionError at the first difference."""
    fyersModel.Config.API = broker["base_url"] + "/api/v3"
    fyersModel.Config.DATA_API = broker["base_url"] + "/data"
    session = login(broker, broker["api_secret"])
    code = auth_code(broker, session.generate_authcode())
    assert refused_with(exchanged(login(broker, "wrong"), code), -371)
    assert refused_with(exchanged(session, code), -437)  # burnt
    tokens = exchanged(session, auth_code(broker, session.generate_authcode()))
    assert tokens["s"] == "ok"

    fyers = fyersModel.FyersModel(client_id=broker["api_key"], token=tokens["access_token"], log_path=log_directory)
    assert fyers.get_profile()["data"]["fy_id"] == broker["login"]["client_id"]
    limits = {row["id"]: row["equityAmount"] for row in fyers.funds()["fund_limit"]}
    assert abs(limits[3] + limits[5] - limits[2] - limits[10]) < 0.01

    holdings = fyers.holdings()["holdings"]
    assert {("NSE:SBIN-EQ", "HLD"), ("NSE:SBIN-EQ", "T1")} <= {(row["symbol"], row["holdingType"]) for row in holdings}
    assert any(row["costPrice"] == 0 for row in holdings)
    assert any(row["remainingQuantity"] < row["quantity"] for row in holdings)
    positions = fyers.positions()["netPositions"]
    assert any(row["netQty"] < 0 for row in positions)
    for row in positions:
        profit = (row["sellVal"] - row["buyVal"] + row["netQty"] * row["ltp"]) * row["qtyMulti_com"]
        assert abs(row["pl"] - profit) < 0.01, row
    assert fyers.orderbook()["orderBook"] == fyers.tradebook()["tradeBook"] == []

    asked = ["NSE:INFY-EQ", "BSE:SBIN-A", "NSE:M&M-EQ", "NSE:NIFTY26DEC27000PE", "NSE:NOSUCH-EQ"]
    rows = {row["n"]: row for row in fyers.quotes({"symbols": ",".join(asked)})["d"]}
    assert [rows[symbol]["s"] for symbol in asked] == ["ok", "ok", "ok", "ok", "error"]
    assert rows["NSE:INFY-EQ"]["v"]["prev_close_price"] > 0
    assert [row["n"] for row in fyers.quotes_v2({"symbols": asked})["d"]] == asked
    assert refused_with(fyers.quotes({"symbols": ",".join(["NSE:INFY-EQ"] * 51)}), -50)
    depth = fyers.depth({"symbol": "NSE:INFY-EQ", "ohlcv_flag": 1})["d"]["NSE:INFY-EQ"]
    assert len(depth["bids"]) == len(depth["ask"]) == 5
    assert {row["status"] for row in fyers.market_status()["marketStatus"]} == {"OPEN"}

    check_history(fyers)

    # The SDK has no call for the symbol masters: they are files, open to everybody.
    address = broker["base_url"] + "/sym_details/{}_sym_master.json"
    shares, contracts = (requests.get(address.format(name), timeout=10).json() for name in ("NSE_CM", "NSE_FO"))
    assert {row["symbol"]: row["fyToken"] for row in holdings}.items() <= {
        ticker: row["fyToken"] for ticker, row in shares.items()
    }.items()
    assert contracts["NSE:NIFTY26DEC27000PE"]["strikePrice"] == 27000

    check_orders(broker, fyers, tokens["access_token"], log_directory)
    check_streams(broker, control_url, fyers, tokens["access_token"], log_directory)
    assert fyers.logout()["message"] == "you are successfully logged out"
    assert refused_with(fyers.holdings(), -16)
    assert refused_with(fyers.quotes({"symbols": "NSE:INFY-EQ"}), -15)
    check_dead_streams(broker, tokens["access_token"], log_directory)


if __name__ == "__main__":
    simulation = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as directory:
        check(simulation["brokers"]["fyers"], simulation["control_url"], directory)
    sys.stdout.write("fyers-apiv3: every check passed\n")
