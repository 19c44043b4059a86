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
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import requests
from socketio.exceptions import ConnectionError as NotConnected
from xts_api_client.interactive_socket import OrderSocket_io
from xts_api_client.market_data_socket import MDSocket_io
from xts_api_client.xts_connect import XTSConnect

INFY, OPTION, NOBODY = (1, 1594), (2, 50978), (1, 1)
IST = ZoneInfo("Asia/Kolkata")


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

    check_orders(control_url, account)

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
    check_candles(market)
    assert market.get_index_list(1)["result"]["indexList"][0] == "NIFTY 50_26000"
    asyncio.run(check_sockets(control_url, account, market))
    # A token of one application is refused by the other; the SDK's own handling of that fails on an unbound name.
    stranger = XTSConnect("", "", "WEBAPI", root)
    stranger._set_common_variables(market.token, market.userID, True)
    assert refused(stranger)
    assert market.marketdata_logout()["type"] == "success"

    assert account.interactive_logout()["description"] == "successfully logout from all API."
    assert refused(account)


def check_candles(market: XTSConnect) -> None:
    """Whole days of a share and an index; an unknown number."""
    today = datetime.now(IST).date()

    def candles(number: int, days: int) -> dict:
        first, last = today - timedelta(days=days), today - timedelta(days=1)
        times = (f"{first:%b %d %Y} 000000", f"{last:%b %d %Y} 235959")
        return market.get_ohlc(market.EXCHANGE_NSECM, number, *times, "D")

    told = candles(INFY[1], 7)
    assert (told["type"], told["result"]["exchangeSegment"]) == ("success", "NSECM")
    rows = [row.split("|") for row in told["result"]["dataReponse"].split(",")]
    days = [int(row[0]) for row in rows]
    assert days == sorted(set(days))
    assert len(days) == 5
    assert {(len(row), row[6], row[7]) for row in rows} == {(8, "0", "")}
    assert all(float(row[3]) <= float(row[4]) <= float(row[2]) for row in rows)
    assert {row.split("|")[5] for row in candles(26000, 7)["result"]["dataReponse"].split(",")} == {"0"}
    assert candles(NOBODY[1], 7)["code"] == "e-instrument-0001"


def check_orders(control_url: str, account: XTSConnect) -> None:
    """Place, change, read and cancel; what the gateway refuses, and what the risk system does."""
    was_frozen = requests.get(f"{control_url}/market", timeout=10).json()["frozen"]
    set_market(control_url, {"frozen": True, **price("1573.70")})
    taken = place(account, "1560.00", "sdk-1")
    assert (taken["description"], taken["result"]["OrderUniqueIdentifier"]) == ("Request sent", "sdk-1")
    order_id = taken["result"]["AppOrderID"]
    changed = account.modify_order(
        order_id, account.PRODUCT_MIS, account.ORDER_TYPE_LIMIT, 2, 0, 1559.5, 0, account.VALIDITY_DAY, "sdk-1"
    )
    assert changed["type"] == "success"
    [row] = account.get_order_book()["result"]
    shown = {name: row[name] for name in ("OrderStatus", "OrderQuantity", "OrderPrice", "OrderUniqueIdentifier")}
    assert shown == dict(zip(shown, ("New", 2, 1559.5, "sdk-1"), strict=True))
    assert account.cancel_order(order_id, "sdk-1")["result"]["AppOrderID"] == order_id
    assert account.cancel_order(order_id, "sdk-1")["code"] == "e-orders-0001"
    states = [state["OrderStatus"] for state in account.get_order_history(order_id)["result"]]
    assert states == ["New", "New", "Cancelled"]
    dealt = place(account, "1574.00", "sdk-2")["result"]["AppOrderID"]
    [deal] = account.get_trade()["result"]
    assert (deal["AppOrderID"], deal["LastTradedQuantity"], deal["OrderStatus"]) == (dealt, 1, "Filled")
    assert place(account, "1560.03", "sdk-3")["code"] == "e-orders-0001"  # off the tick
    assert place(account, "1560.00", "sdk-4", quantity=90_000)["type"] == "success"
    rejected = account.get_order_book()["result"][-1]
    assert (rejected["OrderStatus"], rejected["CancelRejectReason"][:10]) == ("Rejected", "RMS:Margin")
    set_market(control_url, {"frozen": was_frozen})


def place(account: XTSConnect, limit: str, identifier: str, *, quantity: int = 1) -> dict:
    """Ask to buy Infosys at a limit, for today alone."""
    return account.place_order(
        exchangeSegment=account.EXCHANGE_NSECM,
        exchangeInstrumentID=INFY[1],
        productType=account.PRODUCT_MIS,
        orderType=account.ORDER_TYPE_LIMIT,
        orderSide=account.TRANSACTION_TYPE_BUY,
        timeInForce=account.VALIDITY_DAY,
        disclosedQuantity=0,
        orderQuantity=quantity,
        limitPrice=float(limit),
        stopPrice=0,
        orderUniqueIdentifier=identifier,
    )


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
        placed = place(account, "1574.00", "sdk-socket")
        assert placed["type"] == "success"
        told = [await heard.next() for _ in range(3)]
        assert [name for name, _ in told] == ["on_order", "on_order", "on_trade"]
        assert {row["AppOrderID"] for _, row in told} == {placed["result"]["AppOrderID"]}
        assert [row["OrderStatus"] for _, row in told] == ["New", "Filled", "Filled"]
        assert (told[-1][1]["OrderSideAPI"], told[-1][1]["LastTradedQuantity"]) == ("BUY", 1)
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
