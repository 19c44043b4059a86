"""Prove that Groww's official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_growwapi.py .run/sandbox/brokers.json   (needs `pip install growwapi`)
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import requests
from growwapi import GrowwAPI, GrowwFeed
from growwapi.groww.exceptions import GrowwAPIAuthorisationException, GrowwAPIException

HOSTS = ("api.groww.in", "growwapi-assets.groww.in")
SECONDS = 10
IST = ZoneInfo("Asia/Kolkata")


def point_at(base_url: str) -> None:
    """Send what the SDK sends to Groww's hosts, which are constants in it, to the simulated broker."""
    send = requests.Session.request

    def redirected(self: requests.Session, method: str, url: str, **options: object) -> requests.Response:
        parts = urlsplit(url)
        return send(self, method, base_url + parts.path if parts.hostname in HOSTS else url, **options)

    requests.Session.request = redirected


def refusal(call: Callable[[], object]) -> tuple[type[Exception], str] | None:
    """Return the class and the code of the error that a call meets."""
    try:
        call()
    except GrowwAPIException as error:
        return type(error), error.code
    return None


def check(broker: dict) -> None:
    """Walk the whole surface; raises AssertionError at the first difference."""
    point_at(broker["base_url"])
    key, secret, code = broker["api_key"], broker["api_secret"], broker["login"]["totp"]
    assert refusal(lambda: GrowwAPI.get_access_token(key, totp="000")) == (GrowwAPIException, "400")
    assert refusal(lambda: GrowwAPI.get_access_token(key, secret="wrong")) == (GrowwAPIException, "400")
    assert GrowwAPI.get_access_token(key, totp=code).count(".") == 2
    unapproved = refusal(lambda: GrowwAPI.get_access_token(key, secret=secret))
    assert unapproved in ((GrowwAPIAuthorisationException, "403"), None)  # None: approved by an earlier run of the day
    requests.post(broker["login_url"], data=broker["login"], timeout=10)
    groww = GrowwAPI(GrowwAPI.get_access_token(key, secret=secret))

    profile = groww.get_user_profile()
    assert profile["ucc"]
    assert "CASH" in profile["active_segments"]
    holdings = {row["trading_symbol"]: row for row in groww.get_holdings_for_user()["holdings"]}
    assert {"INFY", "SBIN", "NTPC"} <= holdings.keys()
    assert any(row["average_price"] == 0 for row in holdings.values())
    sbin = holdings["SBIN"]
    assert sbin["quantity"] == sbin["demat_free_quantity"] + sbin["t1_quantity"] + sbin["pledge_quantity"]
    positions = groww.get_positions_for_user()["positions"]
    for row in positions:
        net = row["net_carry_forward_quantity"] + row["credit_quantity"] - row["debit_quantity"]
        assert row["quantity"] == net
    [option] = groww.get_positions_for_user(segment=GrowwAPI.SEGMENT_FNO)["positions"]
    assert groww.get_position_for_trading_symbol(option["trading_symbol"], "FNO")["positions"] == [option]
    funds = groww.get_available_margin_details()
    assert funds["equity_margin_details"]["cnc_balance_available"] > 0
    assert groww.get_order_list()["order_list"] == groww.get_order_list(segment="CASH")["order_list"] == []
    assert refusal(lambda: groww.get_order_detail("CASH", "GMK1")) == (GrowwAPIException, "GA004")
    assert refusal(lambda: groww.get_trade_list_for_order("GMK1", "CASH")) == (GrowwAPIException, "GA004")

    named = {"NSE_INFY", "BSE_SBIN"}
    for asked in (("NSE_INFY", "BSE_SBIN", "NSE_NOSUCH"), "NSE_INFY,BSE_SBIN,NSE_NOSUCH"):
        assert set(groww.get_ltp(asked, segment="CASH")) == set(groww.get_ohlc(asked, segment="CASH")) == named
    quote = groww.get_quote("INFY", "NSE", "CASH")
    assert abs(quote["last_price"] - groww.get_ltp("NSE_INFY", segment="CASH")["NSE_INFY"]) < 5
    assert groww.get_quote("NIFTY26DEC27000CE", "NSE", "FNO")["last_price"] > 0
    assert refusal(lambda: groww.get_quote("NOSUCH", "NSE", "CASH")) == (GrowwAPIException, "GA001")
    assert refusal(lambda: groww.get_ltp(("NSE_INFY",) * 51, segment="CASH")) == (GrowwAPIException, "GA001")

    check_candles(groww)

    share = groww.get_instrument_by_exchange_and_trading_symbol("NSE", "INFY")
    assert (share["isin"], share["exchange_token"]) == ("INE009A01021", "1594")
    contract = groww.get_instrument_by_groww_symbol("NSE-NIFTY-29Dec26-27000-CE")
    assert (contract["exchange_token"], contract["lot_size"], contract["segment"]) == ("50978", "65", "FNO")

    check_feed(groww, broker["stream_url"])
    check_orders(groww)

    dead = GrowwAPI("a-token-of-yesterday")
    assert refusal(dead.get_holdings_for_user) == (GrowwAPIException, "GA005")
    assert refusal(lambda: GrowwFeed(dead)) == (GrowwAPIException, "GA005")


def check_candles(groww: GrowwAPI) -> None:
    """Whole days of a share, an index and a contract; an unknown symbol, and more days than a call may ask for."""
    today = datetime.now(IST).date()

    def candles(symbol: str, days: int, segment: str = "CASH") -> dict:
        first, last = f"{today - timedelta(days=days)} 00:00:00", f"{today - timedelta(days=1)} 23:59:59"
        return groww.get_historical_candles("NSE", segment, symbol, first, last, GrowwAPI.CANDLE_INTERVAL_DAY)

    told = candles("NSE-INFY", 180)
    days = [row[0] for row in told["candles"]]
    assert days == sorted(set(days))
    assert len(days) > 120
    assert all(len(row) == 7 and row[3] <= row[4] <= row[2] for row in told["candles"])
    quote = groww.get_quote("INFY", "NSE", "CASH")
    assert told["closing_price"] == told["candles"][-1][4] == round(quote["last_price"] - quote["day_change"], 2)
    assert {row[5] for row in candles("NSE-NIFTY", 9)["candles"]} == {0}
    assert candles("NSE-NIFTY-29Dec26-27000-CE", 9, "FNO")["candles"]
    for symbol, days in (("NSE-NOSUCH", 9), ("NSE-INFY", 181)):
        assert refusal(lambda symbol=symbol, days=days: candles(symbol, days)) == (GrowwAPIException, "GA001")


def check_orders(groww: GrowwAPI) -> None:
    """Place, modify, cancel, told by the feed; the list, one order, its trades and margin; GTT."""
    last = groww.get_ltp("NSE_INFY", segment="CASH")["NSE_INFY"]
    low = round(last * 0.98)
    share = {"exchange": "NSE", "segment": "CASH", "product": "CNC", "trading_symbol": "INFY", "validity": "DAY"}
    order = {**share, "quantity": 2, "order_type": "LIMIT", "transaction_type": "BUY", "price": low}
    reference = f"sdk-{int(time.time() * 1000)}"
    placed = groww.place_order(**order, order_reference_id=reference)
    order_id = placed["groww_order_id"]
    assert (placed["order_status"], placed["order_reference_id"]) == ("OPEN", reference)
    again = refusal(lambda: groww.place_order(**order, order_reference_id=reference))
    assert again == (GrowwAPIException, "GA007")
    assert groww.get_order_status_by_reference("CASH", reference)["groww_order_id"] == order_id
    assert groww.get_order_detail("CASH", order_id)["price"] == low
    assert order_id in {row["groww_order_id"] for row in groww.get_order_list()["order_list"]}
    changed = groww.modify_order("LIMIT", "CASH", order_id, 3, price=low - 1)
    assert changed["groww_order_id"] == order_id
    detail = groww.get_order_detail("CASH", order_id)
    assert (detail["quantity"], detail["price"], detail["order_status"]) == (3, low - 1, "OPEN")
    assert groww.cancel_order(order_id, "CASH")["order_status"] == "CANCELLED"
    assert refusal(lambda: groww.cancel_order(order_id, "CASH")) == (GrowwAPIException, "GA006")
    assert refusal(lambda: groww.cancel_order(order_id, "FNO")) == (GrowwAPIException, "GA004")

    bought = groww.place_order(**{**order, "price": round(last * 1.01)})["groww_order_id"]
    assert groww.get_order_status("CASH", bought)["filled_quantity"] == 2
    fills = groww.get_trade_list_for_order(bought, "CASH")["trade_list"]
    assert sum(fill["quantity"] for fill in fills) == 2
    poor = groww.place_order(**{**order, "quantity": 99000})["groww_order_id"]
    assert groww.get_order_status("CASH", poor)["order_status"] == "REJECTED"
    for bad in ({"trading_symbol": "NOSUCH"}, {"order_type": "MARKET"}, {"price": low + 0.01}, {"quantity": 0}):
        assert refusal(lambda bad=bad: groww.place_order(**{**order, **bad})) == (GrowwAPIException, "GA001")
    assert groww.get_order_margin_details("CASH", [order])["total_requirement"] == 2 * low

    smart = groww.create_smart_order(
        **{"trading_symbol": "INFY", "exchange": "NSE", "segment": "CASH", "quantity": 1, "duration": "DAY"},
        smart_order_type="GTT",
        product_type="CNC",
        trigger_price=f"{low}.00",
        trigger_direction="DOWN",
        order={"order_type": "LIMIT", "price": f"{low}.00", "transaction_type": "BUY"},
    )
    smart_id = smart["smart_order_id"]
    assert (smart["status"], smart["order"]["price"]) == ("ACTIVE", f"{low}.00")
    assert groww.modify_smart_order(smart_id, "GTT", "CASH", quantity=2)["quantity"] == 2
    listed = groww.get_smart_order_list(smart_order_type="GTT", segment="CASH", status="ACTIVE")["orders"]
    assert smart_id in {row["smart_order_id"] for row in listed}
    assert groww.cancel_smart_order("CASH", "GTT", smart_id)["status"] == "CANCELLED"
    assert groww.get_smart_order("CASH", "GTT", smart_id)["status"] == "CANCELLED"


def check_feed(groww: GrowwAPI, stream_url: str) -> None:
    """Prices of a share and a contract, an index, depth; and the subjects of orders, where nothing is simulated."""
    GrowwFeed._GROWW_SOCKET_URL = stream_url
    feed = GrowwFeed(groww)
    share = {"exchange": "NSE", "segment": "CASH", "exchange_token": "1594"}
    contract = {"exchange": "NSE", "segment": "FNO", "exchange_token": "50978"}
    index = {"exchange": "NSE", "segment": "CASH", "exchange_token": "NIFTY"}
    heard = []
    assert feed.subscribe_ltp([share, contract], heard.append)["NSE"]["CASH"]["1594"]
    assert feed.subscribe_index_value([index], heard.append)["NSE"]["CASH"]["NIFTY"]
    assert feed.subscribe_market_depth([share], heard.append)["NSE"]["CASH"]["1594"]
    assert feed.subscribe_equity_order_updates()
    assert feed.subscribe_fno_order_updates()
    assert feed.subscribe_fno_position_updates()
    until(lambda: {meta["feed_type"] for meta in heard} == {"ltp", "index_value", "market_depth"} and len(heard) >= 4)
    prices = feed.get_ltp()["NSE"]
    assert prices["CASH"]["1594"]["ltp"] == groww.get_ltp("NSE_INFY", segment="CASH")["NSE_INFY"]
    assert prices["FNO"]["50978"]["ltp"] > 0
    assert prices["CASH"]["1594"]["tsInMillis"] > 1e12
    assert feed.get_index_value()["NSE"]["CASH"]["NIFTY"]["value"] > 20000
    depth = feed.get_market_depth()["NSE"]["CASH"]["1594"]
    assert depth["buyBook"]["5"]["price"] < depth["buyBook"]["1"]["price"] < depth["sellBook"]["1"]["price"]
    assert feed.get_equity_order_update() is feed.get_fno_order_update() is feed.get_fno_position_update() is None
    until(lambda: len(feed._nats_client._subscriptions) == 7)
    placed = groww.place_order(
        *("DAY", "NSE", "LIMIT", "CNC", 1, "CASH", "INFY", "BUY"), price=round(prices["CASH"]["1594"]["ltp"] * 0.97)
    )
    until(lambda: (feed.get_equity_order_update() or {}).get("growwOrderId") == placed["groww_order_id"])
    assert feed.get_equity_order_update()["orderStatus"] == "APPROVED"
    groww.cancel_order(placed["groww_order_id"], "CASH")
    until(lambda: feed.get_equity_order_update()["orderStatus"] == "CANCELLED")
    assert feed.unsubscribe_ltp([share])["NSE"]["CASH"]["1594"]


def until(is_so: Callable[[], bool]) -> None:
    """The SDK talks in a thread of its own."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "the feed told nothing"
        time.sleep(0.01)


if __name__ == "__main__":
    brokers = json.loads(Path(sys.argv[1]).read_text())["brokers"]
    check(brokers["groww"])
    sys.stdout.write("growwapi: every check passed\n")
