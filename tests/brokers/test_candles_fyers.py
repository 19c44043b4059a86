"""Fyers' history: what is asked, and what its rows become."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.base import BrokerClient
from brokers.domain import Candle, Exchange, Listing, Rows
from brokers.errors import BrokerUnavailable, RequestRefused, UnexpectedResponse
from brokers.fyers import BROKER, mapping
from tests.brokers.placing import made, refused
from tests.contract.recorded import payload

SBIN = Listing(exchange=Exchange.NSE, tradingsymbol="SBIN", broker_token="NSE:SBIN-EQ")
CRUDE = Listing(exchange=Exchange.MCX, tradingsymbol="CRUDEOIL26DECFUT", broker_token="MCX:CRUDEOIL26DECFUT")
FIRST, LAST = date(2021, 5, 24), date(2021, 5, 27)
PATH = "/data/history"


def ask(fyers: BrokerClient) -> Rows[Candle]:
    return fyers.candles(SBIN, FIRST, LAST)


def read(*candles: Any, of: Listing = SBIN) -> Rows[Candle]:
    return mapping.candles({"s": "ok", "candles": list(candles)}, of, FIRST, LAST)


def row(day: int = 24, **changed: Any) -> list[Any]:
    values = {"open": 417, "high": Decimal("419.2"), "low": Decimal("405.3"), "close": Decimal("412.05"), "volume": 5}
    return [int(datetime(2021, 5, day, tzinfo=UTC).timestamp()), *(values | changed).values()]


def test_the_published_answer_becomes_exact_days() -> None:
    rows, request = made(BROKER, ask, "GET", PATH, "history.json")
    assert request.said == {
        **{"symbol": "NSE:SBIN-EQ", "resolution": "D", "date_format": "1", "cont_flag": "0"},
        **{"range_from": "2021-05-24", "range_to": "2021-05-27"},
    }
    assert rows.problems == ()
    assert rows.items[0] == Candle(
        day=date(2021, 5, 24),
        open_price=Decimal(417),
        high_price=Decimal("419.2"),
        low_price=Decimal("405.3"),
        close_price=Decimal("412.05"),
        volume=Decimal(142964052),
    )
    assert [candle.day.day for candle in rows.items] == [24, 25, 26, 27]


def test_an_empty_history_is_empty_and_no_error() -> None:
    rows, _ = made(BROKER, ask, "GET", PATH, "history_no_data.json")
    assert (rows.items, rows.problems) == ((), ())
    assert mapping.candles({"s": "no_data"}, SBIN, FIRST, LAST) == Rows(())


def test_what_was_not_asked_for_is_left_out() -> None:
    assert [candle.day.day for candle in read(row(27), row(23), row(28), row(24)).items] == [24, 27]


def test_one_bad_row_does_not_hide_the_others() -> None:
    bad = [row(25, close=0), row(26, low="x"), row(25, high=400), row(24), [row()[0]], None]
    milliseconds = [row(25)[0] * 1000, *row()[1:]]
    rows = read(row(24), *bad, milliseconds, row(27))
    assert [candle.day.day for candle in rows.items] == [24, 27]
    assert [problem.row for problem in rows.problems] == list(range(1, 8))


def test_a_volume_of_lots_is_unknown() -> None:
    [candle] = read(row(), of=CRUDE).items
    assert (candle.close_price, candle.volume) == (Decimal("412.05"), None)


@pytest.mark.parametrize("body", [{"s": "ok"}, {"s": "ok", "candles": None}, {}, []])
def test_an_answer_without_its_list_is_unreadable_and_not_empty(body: Any) -> None:
    with pytest.raises(UnexpectedResponse):
        mapping.candles(body, SBIN, FIRST, LAST)


def test_no_data_beside_a_code_of_failure_is_a_failure() -> None:
    error = refused(BROKER, ask, "GET", PATH, b'{"s":"no_data","code":-300,"message":"invalid symbol"}', 400)
    assert (type(error), error.code) == (RequestRefused, "unknown_instrument")


def test_an_app_without_market_data_is_told_what_to_give_it_and_is_well_otherwise() -> None:
    error = refused(BROKER, ask, "GET", PATH, payload("fyers", "error_permission.json"), 403)
    assert (type(error), error.code) == (RequestRefused, "candles_not_permitted")
    assert (error.connection_status, error.vendor_code) == (None, "-373")
    assert "permission" in error.user_action


def test_another_failure_stays_what_it_is() -> None:
    error = refused(BROKER, ask, "GET", PATH, payload("fyers", "error_internal.json"), 500)
    assert (type(error), error.vendor_code) == (BrokerUnavailable, "-96")
