"""Prove that Fyers' official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_fyers.py .run/sandbox/brokers.json   (needs `pip install fyers-apiv3`)
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from fyers_apiv3 import fyersModel

STATE = "st/ate&1"


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


def check(broker: dict, log_directory: str) -> None:
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

    # The SDK has no call for the symbol masters: they are files, open to everybody.
    address = broker["base_url"] + "/sym_details/{}_sym_master.json"
    shares, contracts = (requests.get(address.format(name), timeout=10).json() for name in ("NSE_CM", "NSE_FO"))
    assert {row["symbol"]: row["fyToken"] for row in holdings}.items() <= {
        ticker: row["fyToken"] for ticker, row in shares.items()
    }.items()
    assert contracts["NSE:NIFTY26DEC27000PE"]["strikePrice"] == 27000

    assert fyers.logout()["message"] == "you are successfully logged out"
    assert refused_with(fyers.holdings(), -16)
    assert refused_with(fyers.quotes({"symbols": "NSE:INFY-EQ"}), -15)


if __name__ == "__main__":
    brokers = json.loads(Path(sys.argv[1]).read_text())["brokers"]
    with tempfile.TemporaryDirectory() as directory:
        check(brokers["fyers"], directory)
    sys.stdout.write("fyers-apiv3: every check passed\n")
