"""Kite's candles: what is asked, and what its rows become."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from brokers.base import BrokerClient
from brokers.domain import Candle, ConnectionStatus, Exchange, Listing, RowProblem, Rows
from brokers.errors import NotSupported, RequestRefused, UnexpectedResponse
from brokers.zerodha import BROKER, mapping
from tests.brokers.placing import client, made, refused
from tests.contract.recorded import payload

INFY = Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token="408065")
GOLD = Listing(exchange=Exchange.MCX, tradingsymbol="GOLDM26DECFUT", broker_token="110593031")
FIRST, LAST = date(2017, 12, 14), date(2017, 12, 18)
PATH = "/instruments/historical/408065/day"


def ask(kite: BrokerClient) -> Rows[Candle]:
    return kite.candles(INFY, FIRST, LAST)


def read(*candles: Any, of: Listing = INFY) -> Rows[Candle]:
    return mapping.candles({"status": "success", "data": {"candles": list(candles)}}, of, FIRST, LAST)


def row(day: int = 14, **changed: Any) -> list[Any]:
    values = {"open": Decimal("1688.2"), "high": 1709, "low": 1681, "close": Decimal("1704.5"), "volume": 5}
    return [f"2017-12-{day}T00:00:00+0530", *(values | changed).values()]


def test_a_published_shape_becomes_exact_days() -> None:
    rows, request = made(BROKER, ask, "GET", PATH, "instruments_historical_day.json")
    assert request.said == {"from": "2017-12-14 00:00:00", "to": "2017-12-18 23:59:59"}
    assert request.headers["X-Kite-Version"] == "3"
    assert rows.problems == ()
    assert rows.items[0] == Candle(
        day=date(2017, 12, 14),
        open_price=Decimal("1688.2"),
        high_price=Decimal("1709.9"),
        low_price=Decimal("1681.15"),
        close_price=Decimal("1704.5"),
        volume=Decimal(5120904),
    )
    assert [candle.day.day for candle in rows.items] == [14, 15, 18]
    assert rows.items[2].volume == 6099518  # and not the open interest behind it


def test_what_was_not_asked_for_is_left_out() -> None:
    assert [candle.day.day for candle in read(row(18), row(13), row(19), row(14)).items] == [14, 18]


def test_minutes_are_no_days() -> None:
    body = json.loads(payload("zerodha", "instruments_historical_minute.json"), parse_float=Decimal)
    rows = mapping.candles(body, INFY, FIRST, LAST)
    assert len(rows.items) == 1
    assert [problem.field for problem in rows.problems] == ["time"] * 5


def test_one_bad_row_does_not_hide_the_others() -> None:
    bad = [row(15, close=0), row(16, low=None), row(17, high=1600), row(17, volume=-1), ["2017-12-17", 1], {}]
    timeless = [[None, *row()[1:]], ["yesterday", *row()[1:]]]
    rows = read(row(14), *bad, *timeless, row(18))
    assert [candle.day.day for candle in rows.items] == [14, 18]
    assert [(problem.row, problem.part) for problem in rows.problems] == [(number, "candles") for number in range(1, 9)]
    assert rows.problems[0] == RowProblem(part="candles", row=1, field="close")


def test_a_row_without_a_volume_does_not_know_it() -> None:
    assert read(row(volume=None)).items[0].volume is None


def test_a_volume_of_lots_is_unknown() -> None:
    [candle] = read(row(), of=GOLD).items
    assert (candle.close_price, candle.volume) == (Decimal("1704.5"), None)


@pytest.mark.parametrize("body", [{"status": "success", "data": {}}, {"status": "success", "data": None}, {}, []])
def test_an_answer_without_its_list_is_unreadable_and_not_empty(body: Any) -> None:
    with pytest.raises(UnexpectedResponse):
        mapping.candles(body, INFY, FIRST, LAST)


def test_an_app_without_a_data_plan_is_told_so_and_is_well_otherwise() -> None:
    error = refused(BROKER, ask, "GET", PATH, payload("zerodha", "error_permission_403.json"), 403)
    assert isinstance(error, RequestRefused)
    assert (error.code, error.connection_status) == ("candles_not_permitted", None)
    assert "Connect plan" in error.user_action
    assert error.vendor_code == "PermissionException"
    assert error.reason


def test_a_blocked_account_is_suspended_and_a_wrong_parameter_is_not() -> None:
    blocked = b'{"status":"error","error_type":"UserException","message":"Blocked"}'
    assert refused(BROKER, ask, "GET", PATH, blocked, 403).connection_status is ConnectionStatus.SUSPENDED
    error = refused(BROKER, ask, "GET", PATH, payload("zerodha", "error_input_400.json"), 400)
    assert (type(error), error.connection_status) == (RequestRefused, None)


@pytest.mark.parametrize("token", ["NSE:INFY", "", "408065/minute", "٤٠٨"])
def test_what_is_no_number_of_kites_is_not_asked(token: str) -> None:
    listing = Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token=token)
    with pytest.raises(NotSupported):
        client(BROKER).candles(listing, FIRST, LAST)
