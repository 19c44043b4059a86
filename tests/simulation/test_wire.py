"""The rows of both dialects: published fields in the published order, and figures worked out by hand."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from brokers.simulation.server import SimulatedBrokers
from tests.simulation.conftest import Client

# Field names of the samples that the brokers publish, nested ones with dots; of a list, its first row's.
PUBLISHED: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_name("published_fields.json").read_text())


def field_names(value: Any, prefix: str = "") -> list[str]:
    if isinstance(value, list):
        return field_names(value[0], prefix) if value else []
    names: list[str] = []
    for name, inner in value.items() if isinstance(value, dict) else ():
        names += [prefix + name, *field_names(inner, f"{prefix}{name}.")]
    return names


@pytest.mark.parametrize("path", PUBLISHED["zerodha"])
def test_kite_replies_have_the_published_fields_in_order(zerodha: Client, path: str) -> None:
    data = zerodha.data(path)
    assert field_names(data.get("NSE:INFY", data) if "quote" in path else data) == PUBLISHED["zerodha"][path]


@pytest.mark.parametrize("path", PUBLISHED["upstox"])
def test_upstox_replies_have_the_published_fields_in_order(upstox: Client, path: str) -> None:
    data = upstox.data(path)
    assert field_names(data["NSE_EQ:INFY"] if "quote" in path else data) == PUBLISHED["upstox"][path]


@pytest.fixture
def priced(simulated: SimulatedBrokers) -> SimulatedBrokers:
    """Known prices: every figure below is worked out from them by hand."""
    for exchange, symbol, last, close in (
        ("NSE", "INFY", "1573.70", "1567.80"),
        ("NSE", "SBIN", "762.45", "766.40"),
        ("NSE", "TATASTEEL", "176.05", "175.00"),
        ("NSE", "HDFCBANK", "980.00", "985.00"),
        ("NFO", "NIFTY26DEC27000CE", "180.00", "175.00"),
        ("NSE", "AXISBANK", "1250.00", "1240.00"),
    ):
        simulated.control.set_price(exchange, last, symbol=symbol, close_price=close)
    return simulated


def by_symbol(rows: list[dict[str, Any]], name: str = "tradingsymbol") -> dict[str, dict[str, Any]]:
    return {row[name]: row for row in rows}


def test_kite_keeps_t1_pledged_and_financed_shares_beside_quantity(priced: SimulatedBrokers, zerodha: Client) -> None:
    rows = by_symbol(zerodha.data("/portfolio/holdings"))
    infy = rows["INFY"]
    assert (infy["quantity"], infy["t1_quantity"], infy["opening_quantity"]) == (110, 10, 120)
    assert infy["day_change"] == 1573.7 - 1567.8  # with the noise of binary floats: 5.900000000000091
    assert str(infy["day_change"]) != "5.9"
    pledged = rows["ITC"]
    assert (pledged["quantity"], pledged["collateral_quantity"], pledged["collateral_type"]) == (0, 300, "margin")
    assert rows["HDFCBANK"]["mtf"] == {
        "quantity": 50, "used_quantity": 0, "average_price": 958.2, "value": 47910, "initial_margin": 11977.5,
    }  # fmt: skip


def test_kite_says_discrepancy_and_zero_where_the_average_is_unknown(priced: SimulatedBrokers, zerodha: Client) -> None:
    row = by_symbol(zerodha.data("/portfolio/holdings"))["TATASTEEL"]
    assert (row["discrepancy"], row["average_price"]) == (True, 0)


def test_kite_shows_a_sale_twice_as_used_quantity_and_as_negative_position(
    priced: SimulatedBrokers, zerodha: Client
) -> None:
    holding = by_symbol(zerodha.data("/portfolio/holdings"))["SBIN"]
    assert (holding["quantity"], holding["used_quantity"], holding["opening_quantity"]) == (200, 50, 250)
    sale = by_symbol(zerodha.data("/portfolio/positions")["net"])["SBIN"]
    assert (sale["quantity"], sale["product"], sale["sell_value"]) == (-50, "CNC", 46905)
    assert sale["pnl"] == pytest.approx(46905 - 50 * 762.45)
    assert sale["close_price"] == 0


def test_kite_prices_the_carried_part_at_yesterdays_close_in_m2m(priced: SimulatedBrokers, zerodha: Client) -> None:
    positions = zerodha.data("/portfolio/positions")
    option = by_symbol(positions["net"])["NIFTY26DEC27000CE"]
    assert option["pnl"] == pytest.approx(65 * (180 - 171.2))
    assert option["m2m"] == 65 * (180 - 175)
    assert "NIFTY26DEC27000CE" not in by_symbol(positions["day"])
    flat = by_symbol(positions["net"])["BEL"]
    assert (flat["quantity"], flat["average_price"]) == (0, 0)
    assert flat["pnl"] == pytest.approx(245)


def test_kite_funds_add_up(zerodha: Client) -> None:
    equity = zerodha.data("/user/margins/equity")
    # 145250.40 + 10000.00 + 128400.00 collateral - 38058.00 delivery - 24150.75 of the collateral
    assert equity["net"] == pytest.approx(221441.65)
    assert equity["available"]["cash"] == 155250.4
    assert equity == zerodha.data("/user/margins")["equity"]
    assert zerodha.get("/user/margins/other").json()["error_type"] == "InputException"


def test_kite_quotes_drop_what_they_do_not_know(zerodha: Client) -> None:
    assert list(zerodha.data("/quote/ltp", i=["NSE:INFY", "NSE:NOSUCH", "BSE:JIOFIN"])) == ["NSE:INFY"]
    assert zerodha.get("/quote/ltp").status_code == 400
    assert zerodha.get("/quote", i=["NSE:INFY"] * 501).status_code == 400


def test_kite_compresses_for_those_who_accept_it(zerodha: Client) -> None:
    master = zerodha.get("/instruments/NFO")
    assert (master.headers["Content-Type"], master.headers["Content-Encoding"]) == ("text/csv", "gzip")
    rows = list(csv.DictReader(io.StringIO(master.text)))
    assert {row["exchange"] for row in rows} == {"NFO"}
    option = next(row for row in rows if row["tradingsymbol"] == "NIFTY26DEC27000CE")
    assert (option["instrument_token"], option["lot_size"], option["segment"]) == ("13050370", "65", "NFO-OPT")
    plain = Client(zerodha.base_url, {**zerodha.headers, "Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.get("/instruments/NFO").headers


def test_upstox_counts_t1_and_pledged_shares_inside_quantity(simulated: SimulatedBrokers, upstox: Client) -> None:
    rows = by_symbol(upstox.data("/v2/portfolio/long-term-holdings"), "trading_symbol")
    assert (rows["ICICIBANK"]["quantity"], rows["ICICIBANK"]["t1_quantity"]) == (125, 15)
    sbin = rows["SBIN"]
    assert (sbin["quantity"], sbin["collateral_quantity"], sbin["exchange"]) == (150, 100, "BSE")
    assert sbin["instrument_token"] == "BSE_EQ|INE062A01020"
    assert rows["WIPRO"]["average_price"] is None
    assert {row["day_change"] for row in rows.values()} == {0}


def test_upstox_carried_money_sits_in_overnight_amounts(priced: SimulatedBrokers, upstox: Client) -> None:
    rows = by_symbol(upstox.data("/v2/portfolio/short-term-positions"), "instrument_token")
    short = rows["NSE_FO|50978"]
    assert (short["quantity"], short["overnight_sell_amount"], short["sell_value"]) == (-65, 12769.25, 0.0)
    assert short["pnl"] == -65 * 180.0  # what was received is forgotten, as in the published row
    sale = rows["NSE_EQ|INE238A01034"]
    assert (sale["quantity"], sale["average_price"], sale["trading_symbol"]) == (-20, None, "AXISBANK-EQ")
    assert sale["pnl"] == pytest.approx(20 * 1251.3 - 20 * 1250)


def test_upstox_lists_financed_shares_apart(simulated: SimulatedBrokers, upstox: Client) -> None:
    (row,) = upstox.data("/v3/portfolio/mtf-positions")
    assert (row["product"], row["quantity"], row["overnight_buy_amount"]) == ("MTF", 20, 77403.0)


def test_upstox_funds_agree_in_both_versions(upstox: Client) -> None:
    v3 = upstox.data("/v3/user/get-funds-and-margin")["available_to_trade"]
    # 86312.55 + 5000 - 1500 - 31250 - 9420.50 - 54661 = -5518.95; 74180.20 - 1800 = 72380.20
    assert v3["cash_available_to_trade"]["total"] == -5518.95
    assert v3["total"] == 66861.25
    v2 = upstox.data("/v2/user/get-funds-and-margin")
    assert v2["equity"]["available_margin"] == 66861.25
    assert v2["commodity"]["available_margin"] == 0
    assert list(upstox.data("/v2/user/get-funds-and-margin", segment="SEC")) == ["equity"]


def test_upstox_quotes_are_keyed_by_symbol_and_fail_whole_for_a_malformed_key(upstox: Client) -> None:
    keys = "NSE_EQ|INE009A01021,BSE_EQ|INE009A01021,NSE_EQ|INE000000000"
    for path in ("/v2/market-quote/ltp", "/v3/market-quote/ltp", "/v3/market-quote/ohlc", "/v2/market-quote/quotes"):
        assert set(upstox.data(path, instrument_key=keys)) == {"NSE_EQ:INFY", "BSE_EQ:INFY"}
    refused = upstox.get("/v3/market-quote/ltp", instrument_key="NSE_EQ|INE009A01021,INFY")
    assert refused.json()["errors"][0]["invalid_value"] == "INFY"
    assert upstox.get("/v3/market-quote/ltp").json()["errors"][0]["error_code"] == "UDAPI1009"


def test_an_upstox_full_quote_went_through_a_32_bit_float(priced: SimulatedBrokers, upstox: Client) -> None:
    quote = upstox.data("/v2/market-quote/quotes", instrument_key="NSE_EQ|INE009A01021")["NSE_EQ:INFY"]
    assert quote["last_price"] == 1573.699951171875
    assert quote["ohlc"]["close"] == 1573.7
    assert quote["net_change"] == 1573.7 - 1567.8


def test_the_upstox_master_is_a_gzip_file(upstox: Client) -> None:
    reply = upstox.get("/market-quote/instruments/exchange/BSE.json.gz")
    assert "Content-Encoding" not in reply.headers
    rows = {row["instrument_key"]: row for row in json.loads(gzip.decompress(reply.content))}
    assert {row["exchange"] for row in rows.values()} == {"BSE"}
    assert rows["BSE_EQ|INE062A01020"]["exchange_token"] == "500112"
    assert upstox.get("/market-quote/instruments/exchange/ghost.json.gz").status_code == 404
    whole = json.loads(gzip.decompress(upstox.get("/market-quote/instruments/exchange/complete.json.gz").content))
    option = next(row for row in whole if row["instrument_key"] == "NSE_FO|50978")
    assert option["expiry"] == 1798568999000  # 29 December 2026, 23:59:59 IST
    assert (option["tick_size"], option["lot_size"], option["underlying_key"]) == (5.0, 65, "NSE_INDEX|Nifty 50")


def test_wrong_paths_and_methods_are_worded_by_the_broker(zerodha: Client, upstox: Client) -> None:
    assert zerodha.get("/nowhere").json()["error_type"] == "GeneralException"
    assert zerodha.get("/nowhere").status_code == 404
    assert requests.put(zerodha.base_url + "/user/profile", timeout=20).status_code == 405
    assert upstox.get("/v2/nowhere").json()["errors"][0]["error_code"] == "UDAPI100060"
    assert requests.put(upstox.base_url + "/v2/user/profile", timeout=20).status_code == 405


def test_orders_and_trades_are_empty_lists(zerodha: Client, upstox: Client) -> None:
    assert zerodha.data("/orders") == zerodha.data("/trades") == []
    assert upstox.data("/v2/order/retrieve-all") == upstox.data("/v2/order/trades/get-trades-for-day") == []
