"""Prove that Groww's official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_growwapi.py .run/sandbox/brokers.json   (needs `pip install growwapi`)
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from growwapi import GrowwAPI, GrowwFeed
from growwapi.groww.exceptions import GrowwAPIAuthorisationException, GrowwAPIException

HOSTS = ("api.groww.in", "growwapi-assets.groww.in")
SECONDS = 10


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

    share = groww.get_instrument_by_exchange_and_trading_symbol("NSE", "INFY")
    assert (share["isin"], share["exchange_token"]) == ("INE009A01021", "1594")
    contract = groww.get_instrument_by_groww_symbol("NSE-NIFTY-29Dec26-27000-CE")
    assert (contract["exchange_token"], contract["lot_size"], contract["segment"]) == ("50978", "65", "FNO")

    check_feed(groww, broker["stream_url"])

    dead = GrowwAPI("a-token-of-yesterday")
    assert refusal(dead.get_holdings_for_user) == (GrowwAPIException, "GA005")
    assert refusal(lambda: GrowwFeed(dead)) == (GrowwAPIException, "GA005")


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
