"""Prove that Zerodha's official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_kiteconnect.py .run/sandbox/brokers.json   (needs `pip install kiteconnect`)
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_exceptions

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


def check(broker: dict) -> None:
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

    assert kite.invalidate_access_token() is True
    assert refusal(kite.holdings) == TOKEN_REFUSED


if __name__ == "__main__":
    brokers = json.loads(Path(sys.argv[1]).read_text())["brokers"]
    check(brokers["zerodha"])
    sys.stdout.write("kiteconnect: every check passed\n")
