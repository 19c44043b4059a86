"""IIFL Capital's candles: what is asked, and what a list or a text of rows becomes."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import responses

from brokers.base import BrokerClient
from brokers.domain import Candle, Exchange, Listing, Rows
from brokers.errors import NotSupported, UnexpectedResponse
from brokers.iifl_capital import BROKER, mapping
from tests.brokers.placing import client, made, refused, replying
from tests.contract.recorded import payload

SLUG = "iifl_capital"
INFY = Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token="1594")
GOLD = Listing(exchange=Exchange.MCX, tradingsymbol="GOLD26DECFUT", broker_token="1")
NOWHERE = Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token="")
FIRST, LAST = date(2024, 9, 18), date(2024, 9, 20)
PATH = "/v1/marketdata/historicaldata"


def ask(capital: BrokerClient) -> Rows[Candle]:
    return capital.candles(INFY, FIRST, LAST)


def read(*candles: Any, of: Listing = INFY) -> Rows[Candle]:
    return mapping.candles([{"candles": list(candles)}], of, FIRST, LAST)


def row(day: int = 18, **changed: Any) -> list[Any]:
    values = {"open": 1952, "high": Decimal("1961.95"), "low": 1936, "close": Decimal("1950.4"), "volume": 5}
    return [f"2024-09-{day}T00:00:00", *(values | changed).values()]


def test_whole_days_are_asked_for_and_become_exact() -> None:
    """The list is a text here, and its numbers are as exact as any."""
    rows, request = made(BROKER, ask, "POST", PATH, "historicaldata_daily.json")
    assert request.said == {
        **{"exchange": "NSEEQ", "instrumentId": "1594", "interval": "1 day"},
        **{"fromDate": "18-Sep-2024", "toDate": "20-Sep-2024"},
    }
    assert request.said.keys() == json.loads(payload(SLUG, "historicaldata.request.json")).keys()
    assert rows.problems == ()
    assert rows.items[0] == Candle(
        day=date(2024, 9, 18),
        open_price=Decimal(1952),
        high_price=Decimal("1961.95"),
        low_price=Decimal("1936.1"),
        close_price=Decimal("1950.4"),
        volume=Decimal(5120904),
    )
    assert [candle.day.day for candle in rows.items] == [18, 19, 20]


def test_published_rows_are_read_and_parts_of_a_day_are_no_days() -> None:
    day = date(2024, 11, 11)
    rows, _ = made(BROKER, lambda it: it.candles(INFY, day, day), "POST", PATH, "historicaldata.json")
    [candle] = rows.items
    assert (candle.day, candle.close_price, candle.volume) == (day, Decimal("68.18"), Decimal(1494))
    assert [(problem.row, problem.field) for problem in rows.problems] == [(1, "time")]


@pytest.mark.parametrize("result", [b"[]", b'[{"candles":[]}]', b'[{"candles":"[]"}]'])
def test_an_empty_past_is_empty_and_no_error(result: bytes) -> None:
    with replying(BROKER, "POST", PATH, b'{"status":"Ok","message":"Success","result":' + result + b"}"):
        assert ask(client(BROKER)) == Rows(())


def test_a_code_that_says_none_was_found_is_no_error() -> None:
    with replying(BROKER, "POST", PATH, payload(SLUG, "error_no_orders.json")):
        assert ask(client(BROKER)) == Rows(())


def test_days_come_in_their_order_and_others_are_left_out() -> None:
    assert [candle.day.day for candle in read(row(20), row(21), row(17), row(18)).items] == [18, 20]


def test_one_bad_row_does_not_hide_the_others() -> None:
    rows = read(row(), row(19, low="x"), row(19, close=None), row(18), {}, None, [1726617600, 1, 1, 1, 1, 1], row(20))
    assert [candle.day.day for candle in rows.items] == [18, 20]
    assert [(problem.row, problem.field) for problem in rows.problems] == [
        *((1, "low"), (2, "close"), (3, "time"), (4, "time"), (5, "candles"), (6, "time"))
    ]


def test_a_volume_of_lots_is_unknown() -> None:
    [candle] = read(row(), of=GOLD).items
    assert (candle.close_price, candle.volume) == (Decimal("1950.4"), None)


@pytest.mark.parametrize(
    "series",
    [[{}], [{"candles": None}], [{"candles": "[["}], [{"candles": '{"a": 1}'}], [None], [{"candles": []}] * 2],
)
def test_an_answer_without_its_list_is_unreadable_and_not_empty(series: Any) -> None:
    with pytest.raises(UnexpectedResponse):
        mapping.candles(series, INFY, FIRST, LAST)


@pytest.mark.parametrize("file", ["error_token_invalid.json", "error_rate_limited.json", "error_try_later.json"])
def test_a_refusal_is_no_empty_past(file: str) -> None:
    of_quotes = refused(
        BROKER, lambda it: it.quotes([INFY]), "POST", "/v1/marketdata/marketquotes", payload(SLUG, file)
    )
    error = refused(BROKER, ask, "POST", PATH, payload(SLUG, file))
    assert (type(error), error.code, error.connection_status) == (
        *(type(of_quotes), of_quotes.code, of_quotes.connection_status),
    )


def test_what_has_no_number_is_asked_of_nobody() -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported):
        client(BROKER).candles(NOWHERE, FIRST, LAST)
