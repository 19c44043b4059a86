"""Angel One's candles: what is asked, and what its rows become."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from brokers.angel_one import BROKER, mapping
from brokers.base import BrokerClient
from brokers.domain import Candle, Exchange, Listing, RowProblem, Rows
from brokers.errors import RateLimited, RequestRefused, SessionEnded, UnexpectedResponse
from tests.brokers.placing import made, refused
from tests.contract.recorded import payload

SLUG = "angel_one"
SBIN = Listing(exchange=Exchange.NSE, tradingsymbol="SBIN", broker_token="3045")
NIFTY = Listing(exchange=Exchange.NSE, tradingsymbol="Nifty 50", broker_token="99926000")
CRUDE = Listing(exchange=Exchange.MCX, tradingsymbol="CRUDEOILM21SEP26FUT", broker_token="570001")
FIRST, LAST = date(2023, 9, 6), date(2023, 9, 8)
PATH = "/rest/secure/angelbroking/historical/v1/getCandleData"


def ask(angel: BrokerClient) -> Rows[Candle]:
    return angel.candles(SBIN, FIRST, LAST)


def read(*candles: Any, of: Listing = SBIN) -> Rows[Candle]:
    return mapping.candles({"status": True, "errorcode": "", "data": list(candles)}, of, FIRST, LAST)


def row(day: int = 6, **changed: Any) -> list[Any]:
    values = {"open": 580, "high": Decimal("583.95"), "low": 576, "close": Decimal("577.25"), "volume": 5}
    return [f"2023-09-{day:02}T00:00:00+05:30", *(values | changed).values()]


def test_whole_days_are_asked_for_and_become_exact() -> None:
    rows, request = made(BROKER, ask, "POST", PATH, "candles_daily.json")
    assert request.said == {
        **{"exchange": "NSE", "symboltoken": "3045", "interval": "ONE_DAY"},
        **{"fromdate": "2023-09-06 00:00", "todate": "2023-09-08 23:59"},
    }
    assert request.said.keys() == json.loads(payload(SLUG, "candles_request.json")).keys()
    assert rows.problems == ()
    assert rows.items[0] == Candle(
        day=date(2023, 9, 6),
        open_price=Decimal("580.1"),
        high_price=Decimal("583.95"),
        low_price=Decimal(576),
        close_price=Decimal("577.25"),
        volume=Decimal(11874520),
    )
    assert [candle.close_price for candle in rows.items] == [Decimal("577.25"), Decimal("585.05"), Decimal("590.6")]


def test_the_published_row_is_of_an_index_without_volume() -> None:
    def ask_index(angel: BrokerClient) -> Rows[Candle]:
        return angel.candles(NIFTY, FIRST, LAST)

    rows, request = made(BROKER, ask_index, "POST", PATH, "candles.json")
    assert request.said["symboltoken"] == json.loads(payload(SLUG, "candles_request.json"))["symboltoken"]
    [candle] = rows.items
    assert (candle.day, candle.close_price, candle.volume) == (FIRST, Decimal("19552.05"), Decimal(0))


@pytest.mark.parametrize("nothing", [None, []])
def test_null_is_an_empty_list(nothing: Any) -> None:
    assert mapping.candles({"status": True, "errorcode": "", "data": nothing}, SBIN, FIRST, LAST) == Rows(())


def test_days_come_in_their_order_and_others_are_left_out() -> None:
    assert [candle.day.day for candle in read(row(8), row(9, close=None), row(5), row(6)).items] == [6, 8]


def test_a_time_counts_in_india() -> None:
    late = ["2023-09-06T20:00:00+00:00", *row()[1:]]
    assert [candle.day.day for candle in read(late).items] == [7]


def test_one_bad_row_does_not_hide_the_others() -> None:
    bad = [row(7, close=None), row(7, open="x"), row(7, volume=-1), row(7, high=1), row(6), row(7)[:5], None, {}]
    rows = read(row(), *bad, ["today", *row()[1:]], row(8))
    assert [candle.day.day for candle in rows.items] == [6, 8]
    fields = ["close", "open", "volume", "high", "time", "volume", "candles", "time", "time"]
    assert list(rows.problems) == [
        RowProblem(part="candles", row=index, field=field) for index, field in enumerate(fields, start=1)
    ]


def test_what_was_dealt_on_mcx_is_unknown() -> None:
    [candle] = read(row(), of=CRUDE).items
    assert (candle.close_price, candle.volume) == (Decimal("577.25"), None)


@pytest.mark.parametrize("body", [{"status": True}, {"status": True, "data": "null"}, []])
def test_an_answer_without_its_list_is_unreadable_and_not_empty(body: Any) -> None:
    with pytest.raises(UnexpectedResponse):
        mapping.candles(body, SBIN, FIRST, LAST)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (payload(SLUG, "error_rate_limited_json.json"), 200, RateLimited),
        (b"Access denied because of exceeding access rate", 403, RateLimited),
        (payload(SLUG, "error_invalid_token_gateway.json"), 200, SessionEnded),
        (b'{"status":false,"message":"Failed to get symbol details","errorcode":"AB1018","data":null}', 200, None),
    ],
)
def test_a_refusal_is_no_empty_past(body: bytes, status: int, kind: type | None) -> None:
    assert type(refused(BROKER, ask, "POST", PATH, body, status)) is (kind or RequestRefused)
