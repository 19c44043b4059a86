"""Prove that Upstox's official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_upstox.py .run/sandbox/brokers.json   (needs `pip install upstox-python-sdk`)
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
import upstox_client
from upstox_client.rest import ApiException


def callback(broker: dict, state: str) -> dict[str, list[str]]:
    """Follow the dialog to the login page, log in, and read the callback."""
    dialog = {
        "response_type": "code",
        "client_id": broker["api_key"],
        "redirect_uri": broker["redirect_uri"],
        "state": state,
    }
    page = requests.get(broker["login_url"], params=dialog, timeout=10)
    assert page.history[0].status_code == 302
    assert "SIMULATED" in page.text
    reply = requests.post(page.url, data=broker["login"], allow_redirects=False, timeout=10)
    return parse_qs(urlsplit(reply.headers["Location"]).query)


def refusal(call: Callable[[], object]) -> tuple[int, str, str] | None:
    """Return the HTTP status and both spellings of the code of the error that a call meets."""
    try:
        call()
    except ApiException as error:
        entry = json.loads(error.body)["errors"][0]
        return error.status, entry["errorCode"], entry["error_code"]
    return None


def refused_with(status: int, code: str) -> tuple[int, str, str]:
    return status, code, code


def check(broker: dict) -> None:
    """Walk the whole surface; raises AssertionError at the first difference."""
    configuration = upstox_client.Configuration()
    configuration.host = configuration.order_host = broker["base_url"]
    client = upstox_client.ApiClient(configuration)
    login = upstox_client.LoginApi(client)

    def exchange(code: str, secret: str):
        return login.token(
            "2.0",
            code=code,
            client_id=broker["api_key"],
            client_secret=secret,
            redirect_uri=broker["redirect_uri"],
            grant_type="authorization_code",
        )

    back = callback(broker, "st/ate&1")
    assert back["state"] == ["st/ate&1"]
    assert refusal(lambda: exchange(back["code"][0], "wrong")) == refused_with(401, "UDAPI100069")
    assert refusal(lambda: exchange(back["code"][0], broker["api_secret"])) == refused_with(401, "UDAPI100057")
    session = exchange(callback(broker, "s")["code"][0], broker["api_secret"])
    assert session.access_token.count(".") == 2
    configuration.access_token = session.access_token

    user = upstox_client.UserApi(client)
    assert user.get_profile("2.0").data.user_id == session.user_id
    v2, v3 = user.get_user_fund_margin("2.0"), user.get_user_fund_margin_v3()
    assert abs(v2.data["equity"].available_margin - v3.data.available_to_trade.total) < 0.01

    portfolio = upstox_client.PortfolioApi(client)
    holdings = portfolio.get_holdings("2.0").data
    assert {"INFY", "SBIN"} <= {row.trading_symbol for row in holdings}
    assert any(row.average_price is None for row in holdings)
    assert any(row.quantity < 0 for row in portfolio.get_positions("2.0").data)
    assert [row.product for row in portfolio.get_mtf_positions().data] == ["MTF"]
    orders = upstox_client.OrderApi(client)
    assert orders.get_order_book("2.0").data == orders.get_trade_history("2.0").data == []

    keys = "NSE_EQ|INE009A01021,BSE_EQ|INE062A01020,NSE_FO|50978,NSE_EQ|INE000000000"
    named = {"NSE_EQ:INFY", "BSE_EQ:SBIN", "NSE_FO:NIFTY26DEC27000CE"}
    quotes, quotes_v3 = upstox_client.MarketQuoteApi(client), upstox_client.MarketQuoteV3Api(client)
    ltp = quotes_v3.get_ltp(instrument_key=keys).data
    assert set(ltp) == named
    assert all(row.cp > 0 for row in ltp.values())
    assert set(quotes.ltp(keys, "2.0").data) == named
    full = quotes.get_full_market_quote(keys, "2.0").data
    assert set(full) == named
    infy = full["NSE_EQ:INFY"]
    assert abs(infy.last_price - infy.net_change - ltp["NSE_EQ:INFY"].cp) < 5
    assert quotes_v3.get_market_quote_ohlc("1d", instrument_key=keys).data["NSE_EQ:INFY"].prev_ohlc.close > 0
    assert refusal(lambda: quotes_v3.get_ltp(instrument_key="INFY")) == refused_with(400, "UDAPI1011")

    url = broker["base_url"] + "/market-quote/instruments/exchange/complete.json.gz"
    master = {row["instrument_key"]: row for row in json.loads(gzip.decompress(requests.get(url, timeout=10).content))}
    assert master["NSE_EQ|INE009A01021"]["isin"] == "INE009A01021"
    assert master["NSE_FO|50978"]["strike_price"] == 27000

    assert login.logout("2.0").data is True
    assert refusal(lambda: portfolio.get_holdings("2.0")) == refused_with(401, "UDAPI100050")


if __name__ == "__main__":
    brokers = json.loads(Path(sys.argv[1]).read_text())["brokers"]
    check(brokers["upstox"])
    sys.stdout.write("upstox-python-sdk: every check passed\n")
