"""Groww's candles: what is asked, what its rows become, and what a refusal means."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import responses

from brokers.base import BrokerClient
from brokers.domain import Candle, ConnectionStatus, Exchange, Listing, Rows
from brokers.errors import BrokerError, NotSupported, RequestRefused, SessionEnded, UnexpectedResponse
from brokers.groww import BROKER, instruments, mapping
from tests.brokers.placing import client, made
from tests.contract.recorded import payload

SLUG = "groww"
WIPRO = Listing(exchange=Exchange.NSE, tradingsymbol="WIPRO", broker_token="NSE_WIPRO")
FIRST, LAST = date(2025, 9, 22), date(2025, 9, 24)
HOST, PATH, PROFILE = "https://api.groww.in", "/v1/historical/candles", "/v1/user/detail"


def ask(groww: BrokerClient) -> Rows[Candle]:
    return groww.candles(WIPRO, FIRST, LAST)


def read(*candles: Any) -> Rows[Candle]:
    return mapping.candles({"status": "SUCCESS", "payload": {"candles": list(candles)}}, FIRST, LAST)


def row(day: int = 22, **changed: Any) -> list[Any]:
    values = {"open": 254, "high": Decimal("256.5"), "low": 252, "close": Decimal("253.1"), "volume": 5}
    return [f"2025-09-{day}T00:00:00", *(values | changed).values(), None]


def test_whole_days_are_asked_for_and_become_exact() -> None:
    rows, request = made(BROKER, ask, "GET", PATH, "historical_candles_daily.json")
    assert request.said == {
        **{"exchange": "NSE", "segment": "CASH", "groww_symbol": "NSE-WIPRO", "candle_interval": "1day"},
        **{"start_time": "2025-09-22 00:00:00", "end_time": "2025-09-24 23:59:59"},
    }
    assert request.headers["X-API-VERSION"] == "1.0"
    assert rows.problems == ()
    assert rows.items[1] == Candle(
        day=date(2025, 9, 23),
        open_price=Decimal("253.05"),
        high_price=Decimal("253.6"),
        low_price=Decimal("247.2"),
        close_price=Decimal("248.95"),
        volume=Decimal(12004311),
    )
    assert [candle.day.day for candle in rows.items] == [22, 23, 24]


def test_published_rows_are_read_and_parts_of_a_day_are_no_days() -> None:
    rows, _ = made(BROKER, ask, "GET", PATH, "historical_candles.json")
    [candle] = rows.items
    assert (candle.day, candle.open_price, candle.volume) == (LAST, Decimal("245.95"), Decimal(735060))
    assert [problem.field for problem in rows.problems] == ["time"] * 6


def test_an_empty_past_is_empty_and_no_error() -> None:
    rows, _ = made(BROKER, ask, "GET", PATH, "historical_candles_empty.json")
    assert (rows.items, rows.problems) == ((), ())


@pytest.mark.parametrize(
    ("listing", "asked"),
    [
        (Listing(exchange=Exchange.BSE, tradingsymbol="SBIN", broker_token="BSE_SBIN"), ("BSE", "CASH", "BSE-SBIN")),
        (Listing(exchange=Exchange.NSE, tradingsymbol="NIFTY", broker_token="NSE_NIFTY"), ("NSE", "CASH", "NSE-NIFTY")),
    ],
)
def test_shares_and_indices_go_by_exchange_and_symbol(listing: Listing, asked: tuple[str, str, str]) -> None:
    params = instruments.candle_params(listing, FIRST, LAST)
    assert (params["exchange"], params["segment"], params["groww_symbol"]) == asked


@pytest.mark.parametrize("exchange", [Exchange.NFO, Exchange.BFO, Exchange.MCX, Exchange.CDS])
def test_a_contract_is_asked_of_nobody(exchange: Exchange) -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported) as caught:
        client(BROKER).candles(Listing(exchange=exchange, tradingsymbol="X26DECFUT", broker_token="X"), FIRST, LAST)
    assert caught.value.message.endswith(".")


def test_days_come_in_their_order_and_others_are_left_out() -> None:
    assert [candle.day.day for candle in read(row(24), row(21), row(25), row(22)).items] == [22, 24]


def test_one_bad_row_does_not_hide_the_others() -> None:
    rows = read(row(), row(23, close=0), row(23, low=Decimal(-1)), row(24, volume=None), ["soon"], 7)
    assert [(candle.day.day, candle.volume) for candle in rows.items] == [(22, Decimal(5)), (24, None)]
    assert [(problem.row, problem.field) for problem in rows.problems] == [
        *((1, "close"), (2, "low"), (4, "time"), (5, "candles"))
    ]


@pytest.mark.parametrize("body", [{"payload": {"closing_price": 1}}, {"payload": []}, {}, None])
def test_an_answer_without_its_list_is_unreadable_and_not_empty(body: Any) -> None:
    with pytest.raises(UnexpectedResponse):
        mapping.candles(body, FIRST, LAST)


@pytest.mark.parametrize(
    ("profile", "kind", "code", "connection_status"),
    [
        (("user_detail.json", 200), RequestRefused, "candles_not_permitted", None),
        (("error_not_authorised.json", 403), SessionEnded, "session_ended", ConnectionStatus.TOKEN_EXPIRED),
    ],
)
def test_an_account_without_market_data_is_well_but_for_that(
    profile: tuple[str, int], kind: type, code: str, connection_status: ConnectionStatus | None
) -> None:
    """The subscription has lapsed, or the token is dead: the profile tells which."""
    file, status = profile
    with responses.RequestsMock() as mock:
        mock.get(HOST + PATH, body=payload(SLUG, "error_not_authorised.json"), status=403)
        mock.get(HOST + PROFILE, body=payload(SLUG, file), status=status)
        with pytest.raises(BrokerError) as caught:
            ask(client(BROKER))
    error = caught.value
    assert (type(error), error.code, error.connection_status) == (kind, code, connection_status)
