"""Prove that a published XTS SDK cannot tell the simulated IIFL from the real one.

Symphony's own Python SDK is not published; `xts-api-client` is a derivative that is, with the same calls on the wire.

Usage: python tests/sdk/check_xts.py .run/sandbox/brokers.json
(needs `pip install requests aiohttp==3.11.11 python-socketio==4.6.0 python-engineio==3.13.0` and `pip install --no-deps
xts-api-client==0.1.26`; it asks for Python 3.12 but its clients run on 3.11)
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import requests
from socketio.exceptions import ConnectionError as NotConnected
from xts_api_client.interactive_socket import OrderSocket_io
from xts_api_client.market_data_socket import MDSocket_io
from xts_api_client.xts_connect import XTSConnect

INFY, OPTION, NOBODY = (1, 1594), (2, 50978), (1, 1)


def check(broker: dict, control_url: str) -> None:
    """Walk the whole surface; raises AssertionError at the first difference."""
    root = broker["base_url"]
    wrong = XTSConnect(broker["api_key"], "wrong", "WEBAPI", root)
    assert wrong.interactive_login()["type"] == "error"
    account = XTSConnect(broker["api_key"], broker["api_secret"], "WEBAPI", root)
    user = account.interactive_login()["result"]
    assert user["token"].count(".") == 2
    assert user["clientCodes"] == [user["userID"]]
    assert account.interactive_login()["type"] == "success"  # a form under a JSON content type: the older session ends

    assert account.get_profile()["result"]["ClientId"] == user["userID"]
    whole, *others = account.get_balance()["result"]["BalanceList"]
    assert whole["limitHeader"] == "ALL|ALL|ALL"
    assert others
    holdings = account.get_holding()["result"]["RMSHoldings"]["Holdings"]
    assert {"INE009A01021", "INE062A01020"} <= set(holdings)
    assert not holdings["INE669E01016"]["IsBuyAvgPriceProvided"]
    net = account.get_position_netwise()["result"]["positionList"]
    day = account.get_position_daywise()["result"]["positionList"]
    assert {row["TradingSymbol"] for row in net} - {row["TradingSymbol"] for row in day} == {"NIFTY26DEC27000CE"}
    assert account.get_order_book()["description"] == account.get_trade()["description"] == "Data Not Available"

    market = XTSConnect(broker["market_api_key"], broker["market_api_secret"], "WEBAPI", root)
    assert market.marketdata_login()["type"] == "success"
    asked = [{"exchangeSegment": segment, "exchangeInstrumentID": number} for segment, number in (INFY, OPTION, NOBODY)]
    for code in (1501, 1502, 1512):
        quotes = [json.loads(item) for item in market.get_quote(asked, code, "JSON")["result"]["listQuotes"]]
        assert [quote["ExchangeInstrumentID"] for quote in quotes] == [INFY[1], OPTION[1]]
        assert all(quote.get("Touchline", quote)["Close"] > 0 for quote in quotes)
    lines = market.get_master(["NSECM", "NSEFO"])["result"].splitlines()
    columns = {fields[1]: fields for fields in (line.split("|") for line in lines)}
    assert (len(columns["1594"]), columns["1594"][15]) == (22, "INE009A01021")
    assert (len(columns["50978"]), columns["50978"][17:19]) == (23, ["27000", "3"])
    assert market.get_index_list(1)["result"]["indexList"][0] == "NIFTY 50_26000"
    asyncio.run(check_sockets(control_url, account, market))
    # A token of one application is refused by the other; the SDK's own handling of that fails on an unbound name.
    stranger = XTSConnect("", "", "WEBAPI", root)
    stranger._set_common_variables(market.token, market.userID, True)
    assert refused(stranger)
    assert market.marketdata_logout()["type"] == "success"

    assert account.interactive_logout()["description"] == "successfully logout from all API."
    assert refused(account)


class Heard(asyncio.Queue):
    """Whatever handler the SDK asks for: notes its name, and what it was told."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        async def note(*told: str) -> None:
            self.put_nowait((name, *(json.loads(each) for each in told)))

        return note

    async def next(self) -> tuple:
        return await asyncio.wait_for(self.get(), timeout=10)


@asynccontextmanager
async def connected(kind: type, client: XTSConnect) -> AsyncIterator[Heard]:
    heard = Heard()
    socket = kind(client.token, client.userID, client.root, heard, reconnection=False)
    await socket.connect()
    try:
        assert await heard.next() == ("on_connect",)
        yield heard
    finally:
        await socket.disconnect()


async def check_sockets(control_url: str, account: XTSConnect, market: XTSConnect) -> None:
    """Both sockets: prices of what was subscribed to, in three kinds of message, and a session that is replaced."""
    was_frozen = requests.get(f"{control_url}/market", timeout=10).json()["frozen"]
    set_market(control_url, {"frozen": True, **price("1573.70")})
    segment, number = INFY
    instruments = [{"exchangeSegment": segment, "exchangeInstrumentID": number}]
    async with connected(MDSocket_io, market) as heard:
        for code in (1501, 1502, 1512):
            told = market.send_subscription(instruments, code)["result"]
            [last] = [json.loads(item) for item in told["listQuotes"]]
            assert last.get("Touchline", last)["LastTradedPrice"] == 1573.7
        assert told["Remaining_Subscription_Count"] == 47
        assert market.send_subscription(instruments, 1501)["code"] == "e-session-0002"
        set_market(control_url, price("1573.80"))
        news = dict([await heard.next() for _ in range(3)])
        assert [news[f"on_event_{name}_full"].get("Touchline", news[f"on_event_{name}_full"])["LastTradedPrice"]
                for name in ("touchline", "market_data", "last_traded_price")] == [1573.8] * 3  # fmt: skip
        assert len(news["on_event_market_data_full"]["Bids"]) == 5
        assert market.send_unsubscription(instruments, 1502)["type"] == "success"
        set_market(control_url, price("1573.90"))
        assert {(await heard.next())[0] for _ in range(2)} == {
            "on_event_touchline_full",
            "on_event_last_traded_price_full",
        }
    async with connected(OrderSocket_io, account) as heard:
        account.interactive_login()
        set_market(control_url, price("1574.00"))
        assert (await heard.next())[0] == "on_messagelogout"
    stranger = XTSConnect("", "", "WEBAPI", market.root)
    stranger._set_common_variables(market.token, market.userID, True)
    try:
        async with connected(OrderSocket_io, stranger):
            raise AssertionError("a token of the other application was let in")
    except NotConnected:
        set_market(control_url, {"frozen": was_frozen})


def set_market(control_url: str, change: dict) -> None:
    requests.put(f"{control_url}/market", json=change, timeout=10).raise_for_status()


def price(last: str) -> dict:
    return {"prices": [{"exchange": "NSE", "symbol": "INFY", "last_price": last}]}


def refused(client: XTSConnect) -> bool:
    """Whether the SDK meets "Invalid Token": its handler then trips over a variable that was never set."""
    try:
        client.get_holding()
    except UnboundLocalError as tripped:
        return str(tripped.__context__) == "Invalid Token"
    return False


if __name__ == "__main__":
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the SDK's sockets complain when they are closed
    known = json.loads(Path(sys.argv[1]).read_text())
    check(known["brokers"]["iifl"], known["control_url"])
    sys.stdout.write("xts-api-client: every check passed\n")
