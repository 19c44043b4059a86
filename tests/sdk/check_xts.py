"""Prove that a published XTS SDK cannot tell the simulated IIFL from the real one.

Symphony's own Python SDK is not published; `xts-api-client` is a derivative that is, with the same calls on the wire.

Usage: python tests/sdk/check_xts.py .run/sandbox/brokers.json
(needs `pip install --no-deps xts-api-client==0.1.26 requests`; it asks for Python 3.12 but its client runs on 3.11)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from xts_api_client.xts_connect import XTSConnect

INFY, OPTION, NOBODY = (1, 1594), (2, 50978), (1, 1)


def check(broker: dict) -> None:
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
    # A token of one application is refused by the other; the SDK's own handling of that fails on an unbound name.
    stranger = XTSConnect("", "", "WEBAPI", root)
    stranger._set_common_variables(market.token, market.userID, True)
    assert refused(stranger)
    assert market.marketdata_logout()["type"] == "success"

    assert account.interactive_logout()["description"] == "successfully logout from all API."
    assert refused(account)


def refused(client: XTSConnect) -> bool:
    """Whether the SDK meets "Invalid Token": its handler then trips over a variable that was never set."""
    try:
        client.get_holding()
    except UnboundLocalError as tripped:
        return str(tripped.__context__) == "Invalid Token"
    return False


if __name__ == "__main__":
    brokers = json.loads(Path(sys.argv[1]).read_text())["brokers"]
    check(brokers["iifl"])
    sys.stdout.write("xts-api-client: every check passed\n")
