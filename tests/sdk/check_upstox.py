"""Prove that Upstox's official SDK cannot tell the simulated broker from the real one.

Usage: python tests/sdk/check_upstox.py .run/sandbox/brokers.json   (needs `pip install upstox-python-sdk`)
"""

from __future__ import annotations

import gzip
import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import requests
import upstox_client
import websocket
from upstox_client.feeder.streamer import Streamer
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


def check_streams(broker: dict, control_url: str) -> None:
    """Both streamers, by the redirect that they follow, and by the address that the authorize calls give."""
    configuration = upstox_client.Configuration()
    configuration.host = broker["base_url"]
    client = upstox_client.ApiClient(configuration)
    code = callback(broker, "s")["code"][0]
    keys = {"client_id": broker["api_key"], "client_secret": broker["api_secret"]}
    session = upstox_client.LoginApi(client).token(
        "2.0", code=code, redirect_uri=broker["redirect_uri"], grant_type="authorization_code", **keys
    )
    configuration.access_token = session.access_token
    was_frozen = requests.get(f"{control_url}/market", timeout=10).json()["frozen"]
    set_market(control_url, "1573.70", frozen=True)

    infy, call = "NSE_EQ|INE009A01021", "NSE_FO|50978"
    with listening(upstox_client.MarketDataStreamerV3(client, [infy, call], "full"), broker) as heard:
        info, snapshot = heard.get(timeout=10), heard.get(timeout=10)
        assert info["type"] == "market_info"
        assert info["marketInfo"]["segmentStatus"]["NSE_EQ"] == "NORMAL_OPEN"
        assert "type" not in snapshot  # an initial_feed, which is zero, and so vanishes
        assert set(snapshot["feeds"]) == {infy, call}
        full = snapshot["feeds"][infy]
        assert (full["requestMode"], last(full)) == ("full_d5", (1573.7, 1567.8))
        depth = full["fullFeed"]["marketFF"]["marketLevel"]["bidAskQuote"]
        assert len(depth) == 5
        assert depth[4]["bidP"] < depth[0]["bidP"] == 1573.7 < depth[4]["askP"]
        set_market(control_url, "1573.80")
        tick = heard.get(timeout=10)
        assert (tick["type"], last(tick["feeds"][infy])) == ("live_feed", (1573.8, 1567.8))
        heard.streamer.change_mode([infy], "ltpc")
        assert heard.get(timeout=10)["feeds"][infy]["ltpc"]["ltp"] == 1573.8
        heard.streamer.unsubscribe([infy])
        heard.streamer.subscribe([call], "option_greeks")
        greeks = heard.get(timeout=10)["feeds"]
        assert set(greeks) == {call}
        assert greeks[call]["firstLevelWithGreeks"]["ltpc"]["ltp"] > 0
    with listening(upstox_client.PortfolioDataStreamer(client, position_update=True), broker) as silent:
        assert silent.empty()

    feeds = upstox_client.WebsocketApi(client)
    for authorized in (feeds.get_market_data_feed_authorize_v3(), feeds.get_portfolio_stream_feed_authorize("2.0")):
        url = authorized.data.authorized_redirect_uri
        websocket.create_connection(url, timeout=10).close()
        assert not opens(url)
    set_market(control_url, "1573.70", frozen=was_frozen)


def check_orders(broker: dict, client: upstox_client.ApiClient) -> None:
    """The SDK places, changes, cancels, and finds all of it in the books and on the portfolio stream."""
    infy = "NSE_EQ|INE009A01021"
    [quoted] = upstox_client.MarketQuoteV3Api(client).get_ltp(instrument_key=infy).data.values()
    low = float(round(quoted.last_price * 0.95))
    orders, orders_v3 = upstox_client.OrderApi(client), upstox_client.OrderApiV3(client)

    def asked(**changed: object) -> upstox_client.PlaceOrderV3Request:
        wanted = {
            "instrument_token": infy,
            "quantity": 2,
            "transaction_type": "BUY",
            "product": "D",
            "order_type": "LIMIT",
            "validity": "DAY",
            "price": low,
            "trigger_price": 0.0,
            "disclosed_quantity": 0,
            "is_amo": False,
            "slice": False,
            "tag": "fromthesdk",
        }
        return upstox_client.PlaceOrderV3Request(**wanted | changed)

    with listening(upstox_client.PortfolioDataStreamer(client), broker) as heard:
        [order_id] = orders_v3.place_order(asked()).data.order_ids
        told = json.loads(heard.get(timeout=10))
        assert (told["update_type"], told["order_id"], told["status"]) == ("order", order_id, "open")
        row = orders.get_order_status(order_id=order_id).data
        assert (row.status, row.price, row.tag) == ("open", low, "fromthesdk")
        change = upstox_client.ModifyOrderRequest(
            order_id=order_id, order_type="LIMIT", validity="DAY", price=low - 1, trigger_price=0.0, quantity=3
        )
        assert orders_v3.modify_order(change).data.order_id == order_id
        assert json.loads(heard.get(timeout=10))["quantity"] == 3
        assert orders_v3.cancel_order(order_id).data.order_id == order_id
        assert json.loads(heard.get(timeout=10))["status"] == "cancelled"
    again = refusal(lambda: orders_v3.cancel_order(order_id))
    assert again == refused_with(400, "UDAPI100040")
    states = orders.get_order_details("2.0", order_id=order_id).data
    assert [state.status for state in states] == ["put order req received", "cancelled"]
    wide = refusal(lambda: orders_v3.place_order(asked(order_type="MARKET", price=0.0, market_protection=26)))
    assert wide == refused_with(400, "UDAPI1159")

    [bought] = orders_v3.place_order(asked(order_type="MARKET", price=0.0, market_protection=-1)).data.order_ids
    assert orders.get_order_status(order_id=bought).data.status == "complete"
    fills = orders.get_trades_by_order(bought, "2.0").data
    assert sum(fill.quantity for fill in fills) == 2
    assert {fill.trade_id for fill in fills} <= {fill.trade_id for fill in orders.get_trade_history("2.0").data}
    positions = upstox_client.PortfolioApi(client).get_positions("2.0").data
    assert (infy, "D") in {(each.instrument_token, each.product) for each in positions}
    needed = upstox_client.MarginRequest(
        instruments=[
            upstox_client.Instrument(instrument_key=infy, quantity=2, transaction_type="BUY", product="D", price=low)
        ]
    )
    assert upstox_client.ChargeApi(client).post_margin(needed).data.required_margin == 2 * low


def last(feed: dict) -> tuple[float, float]:
    ltpc = feed["fullFeed"]["marketFF"]["ltpc"]
    return ltpc["ltp"], ltpc["cp"]


def opens(url: str) -> bool:
    try:
        websocket.create_connection(url, timeout=10).close()
    except websocket.WebSocketBadStatusException:
        return False
    return True


def set_market(control_url: str, last_price: str, **market: bool) -> None:
    listed = {"exchange": "NSE", "isin": "INE009A01021", "last_price": last_price, "close_price": "1567.80"}
    requests.put(f"{control_url}/market", json={"prices": [listed], **market}, timeout=10).raise_for_status()


class Heard(queue.SimpleQueue):
    """What a streamer hands to its listener."""

    streamer: Streamer


@contextmanager
def listening(streamer: Streamer, broker: dict) -> Iterator[Heard]:
    """A streamer that has opened. The SDK names the real host in two places; here it is led to the simulated one."""
    heard, opened = Heard(), threading.Event()
    heard.streamer = streamer
    streamer.auto_reconnect(False)
    streamer.on("open", opened.set)
    streamer.on("message", heard.put)
    real = websocket.WebSocketApp

    def led_astray(url: str, **known: object) -> websocket.WebSocketApp:
        return real(url.replace("wss://api.upstox.com", broker["stream_url"]), **known)

    with mock.patch.object(websocket, "WebSocketApp", led_astray):
        streamer.connect()
        assert opened.wait(timeout=10)
    try:
        yield heard
    finally:
        streamer.disconnect()


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

    check_orders(broker, client)
    assert login.logout("2.0").data is True
    assert refusal(lambda: portfolio.get_holdings("2.0")) == refused_with(401, "UDAPI100050")


if __name__ == "__main__":
    document = json.loads(Path(sys.argv[1]).read_text())
    check(document["brokers"]["upstox"])
    check_streams(document["brokers"]["upstox"], document["control_url"])
    sys.stdout.write("upstox-python-sdk: every check passed\n")
