"""Prove that Zerodha's official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_kiteconnect.py .run/sandbox/brokers.json   (needs `pip install kiteconnect`)
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from kiteconnect import KiteConnect, KiteTicker
from kiteconnect import exceptions as kite_exceptions
from twisted.internet import reactor

PATIENCE = 10.0
IST = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
MOST_DAYS = 2000
TOKEN_REFUSED = ("TokenException", 403)


def request_token(broker: dict, login_url: str) -> str:
    """Log in on the simulated page, as a browser would, and read the callback."""
    page = broker["login_url"] + "?" + urlsplit(login_url).query
    reply = requests.post(page, data=broker["login"], allow_redirects=False, timeout=10)
    callback = parse_qs(urlsplit(reply.headers["Location"]).query)
    assert callback["status"] == ["success"], callback
    return callback["request_token"][0]


def refusal(call: Callable[[], object]) -> tuple[str, int] | None:
    """Return the class and the HTTP status of the error that a call meets."""
    try:
        call()
    except kite_exceptions.KiteException as error:
        return type(error).__name__, error.code
    return None


def awaited(look: Callable[[], object]) -> object:
    for _ in range(int(PATIENCE / 0.05)):
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def check_candles(kite: KiteConnect) -> None:
    """The SDK reads whole days, the last of which closes where a quote says, and is refused what Kite refuses."""
    quote = kite.quote("NSE:INFY")["NSE:INFY"]
    today = datetime.datetime.now(IST)
    month_ago, too_long_ago = (today - datetime.timedelta(days=days) for days in (30, MOST_DAYS))
    candles = kite.historical_data(quote["instrument_token"], month_ago, today, "day")
    days = [row["date"].date() for row in candles]
    assert days == sorted(set(days))
    assert month_ago.date() <= days[0] < days[-1] < today.date()
    assert candles[-1]["close"] == quote["ohlc"]["close"]
    assert all(row["low"] <= row["close"] <= row["high"] for row in candles)
    assert all(row["volume"] > 0 for row in candles)
    refused = ("InputException", 400)
    assert refusal(lambda: kite.historical_data(quote["instrument_token"], too_long_ago, today, "day")) == refused
    assert refusal(lambda: kite.historical_data(1, month_ago, today, "day")) == refused


def check_ticker(broker: dict, control_url: str, kite: KiteConnect) -> KiteTicker:
    """The SDK's ticker tells the prices that its calls tell, in all of its modes."""
    quotes = kite.quote("NSE:INFY", "BSE:SBIN", "NSE:TCS")
    tokens = [quotes[name]["instrument_token"] for name in ("NSE:INFY", "BSE:SBIN", "NSE:TCS")]
    infy, sbin, tcs = tokens
    ticks: list[dict] = []
    ticker = KiteTicker(broker["api_key"], kite.access_token, root=broker["stream_url"], reconnect=False)
    ticker.on_ticks = lambda _, told: ticks.extend(told)

    def wish(socket: KiteTicker, _: object) -> None:
        socket.subscribe(tokens)
        socket.set_mode(socket.MODE_FULL, [infy])
        socket.set_mode(socket.MODE_LTP, [tcs])

    ticker.on_connect = wish
    ticker.connect(threaded=True)

    def tick(token: int, mode: str, price: float) -> dict:
        wanted = {"instrument_token": token, "mode": mode, "last_price": price}
        return awaited(lambda: next((each for each in ticks if wanted.items() <= each.items()), None))

    full = tick(infy, "full", quotes["NSE:INFY"]["last_price"])
    assert full["ohlc"] == quotes["NSE:INFY"]["ohlc"]
    assert len(full["depth"]["buy"]) == len(full["depth"]["sell"]) == 5
    assert isinstance(full["exchange_timestamp"], datetime.datetime)
    assert tick(sbin, "quote", quotes["BSE:SBIN"]["last_price"])["volume_traded"] == quotes["BSE:SBIN"]["volume"]
    tick(tcs, "ltp", quotes["NSE:TCS"]["last_price"])

    price = round(quotes["NSE:INFY"]["last_price"] + 5, 2)
    change = {"exchange": "NSE", "symbol": "INFY", "last_price": str(price)}
    requests.put(control_url + "/market", json={"prices": [change]}, timeout=10).raise_for_status()
    assert tick(infy, "full", price)["ohlc"]["close"] == full["ohlc"]["close"]
    assert kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"] == price
    return ticker


def check_orders(broker: dict, kite: KiteConnect) -> None:
    """The SDK places, changes, cancels, and finds all of it in the books and on the ticker."""
    low = round(kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"] * 0.95)
    told: list[dict] = []
    ticker = KiteTicker(kite.api_key, kite.access_token, root=broker["stream_url"], reconnect=False)
    ticker.on_order_update = lambda _, update: told.append(update)
    opened: list[object] = []
    ticker.on_connect = lambda socket, _: opened.append(socket)
    reactor.callFromThread(ticker.connect)
    awaited(lambda: opened)

    share = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "product": "CNC"}
    asked = {"variety": "regular", **share, "quantity": 2}
    order_id = kite.place_order(**asked, order_type="LIMIT", price=low, validity="DAY", tag="fromthesdk")
    [row] = [each for each in kite.orders() if each["order_id"] == order_id]
    assert (row["status"], row["price"], row["tag"]) == ("OPEN", low, "fromthesdk")
    assert isinstance(row["order_timestamp"], datetime.datetime)
    assert kite.modify_order("regular", order_id, quantity=3, price=low - 1) == order_id
    assert [state["status"] for state in kite.order_history(order_id)] == ["PUT ORDER REQ RECEIVED", "OPEN"]
    assert kite.cancel_order("regular", order_id) == order_id
    assert awaited(lambda: [each for each in told if (each["order_id"], each["status"]) == (order_id, "CANCELLED")])
    assert refusal(lambda: kite.cancel_order("regular", order_id)) == ("OrderException", 400)

    bare = refusal(lambda: kite.place_order(**asked, order_type="MARKET"))
    assert bare == ("InputException", 400)
    bought = kite.place_order(**asked, order_type="MARKET", market_protection=-1)
    [row] = [each for each in kite.orders() if each["order_id"] == bought]
    assert (row["order_type"], row["status"], row["tags"][0]) == ("LIMIT", "COMPLETE", "mktp")
    fills = kite.order_trades(bought)
    assert sum(fill["quantity"] for fill in fills) == 2
    assert {fill["trade_id"] for fill in fills} <= {fill["trade_id"] for fill in kite.trades()}
    assert ("INFY", "CNC") in {(each["tradingsymbol"], each["product"]) for each in kite.positions()["net"]}

    [margin] = kite.order_margins([{**asked, "order_type": "LIMIT", "price": low}])
    assert margin["total"] == 2 * low
    leg = {**share, "quantity": 1, "order_type": "LIMIT", "price": low}
    trigger_id = kite.place_gtt("single", "INFY", "NSE", [low], low * 1.05, [leg])["trigger_id"]
    [waiting] = kite.get_gtts()
    assert (waiting["id"], waiting["status"], waiting["condition"]["trigger_values"]) == (trigger_id, "active", [low])
    assert kite.delete_gtt(trigger_id) == {"trigger_id": trigger_id}
    assert kite.get_gtt(trigger_id)["status"] == "cancelled"
    reactor.callFromThread(ticker.close)


def check_dead_ticker(broker: dict, access_token: str) -> None:
    reasons: list[str] = []
    ticker = KiteTicker(broker["api_key"], access_token, root=broker["stream_url"], reconnect=False)
    ticker.on_error = lambda _, code, reason: reasons.append(reason)
    reactor.callFromThread(ticker.connect)
    assert awaited(lambda: any("403" in str(reason) for reason in reasons))


def check(broker: dict, control_url: str) -> None:
    """Walk the whole surface; raises AssertionError at the first difference."""
    kite = KiteConnect(api_key=broker["api_key"], root=broker["base_url"])
    code = request_token(broker, kite.login_url())
    assert refusal(lambda: kite.generate_session(code, "wrong secret")) == TOKEN_REFUSED
    assert refusal(lambda: kite.generate_session(code, broker["api_secret"])) == TOKEN_REFUSED  # burnt
    session = kite.generate_session(request_token(broker, kite.login_url()), broker["api_secret"])
    assert isinstance(session["login_time"], datetime.datetime)
    assert session["user_id"] == broker["login"]["user_id"] == kite.profile()["user_id"]

    margins = kite.margins()
    assert margins["equity"] == kite.margins("equity")
    assert margins["commodity"]["net"] == 0
    holdings = kite.holdings()
    assert {"INFY", "SBIN"} <= {row["tradingsymbol"] for row in holdings}
    positions = kite.positions()
    assert len(positions["net"]) > len(positions["day"]) > 0
    for row in positions["net"]:
        pnl = row["sell_value"] - row["buy_value"] + row["quantity"] * row["last_price"] * row["multiplier"]
        assert abs(row["pnl"] - pnl) < 0.01, row
    assert kite.orders() == kite.trades() == []

    quote = kite.quote("NSE:INFY", "NSE:NOSUCH")
    assert list(quote) == ["NSE:INFY"]
    assert isinstance(quote["NSE:INFY"]["timestamp"], datetime.datetime)
    assert kite.ltp(["NSE:M&M"])["NSE:M&M"]["last_price"] > 0
    assert kite.ohlc("BSE:SBIN")["BSE:SBIN"]["ohlc"]["close"] > 0
    master = {(row["exchange"], row["tradingsymbol"]): row for row in kite.instruments()}
    assert master["NSE", "INFY"]["instrument_token"] == holdings[0]["instrument_token"]
    assert isinstance(master["NFO", "NIFTY26DEC27000CE"]["expiry"], datetime.date)
    assert {row["exchange"] for row in kite.instruments("BSE")} == {"BSE"}

    check_candles(kite)
    ticker = check_ticker(broker, control_url, kite)
    check_orders(broker, kite)
    access_token = kite.access_token
    assert kite.invalidate_access_token() is True
    assert refusal(kite.holdings) == TOKEN_REFUSED
    check_dead_ticker(broker, access_token)
    reactor.callFromThread(ticker.close)


if __name__ == "__main__":
    simulation = json.loads(Path(sys.argv[1]).read_text())
    check(simulation["brokers"]["zerodha"], simulation["control_url"])
    sys.stdout.write("kiteconnect: every check passed\n")
