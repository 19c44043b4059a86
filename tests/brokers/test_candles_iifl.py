"""XTS's candles: what is asked under which token, and what the long text becomes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import responses

from brokers.base import BrokerClient
from brokers.domain import AppCredentials, Candle, Exchange, Listing, Rows, Session
from brokers.errors import NotSupported, UnexpectedResponse
from brokers.iifl import BROKER, mapping
from brokers.iifl.spec import MARKET_API_KEY, MARKET_API_SECRET
from brokers.secret import Secret
from tests.brokers.placing import client, replying
from tests.contract.recorded import API_KEY, API_SECRET, payload

SLUG = "iifl"
RELIANCE = Listing(exchange=Exchange.NSE, tradingsymbol="RELIANCE", broker_token="2885")
GOLD = Listing(exchange=Exchange.MCX, tradingsymbol="GOLD26DECFUT", broker_token="1")
NOWHERE = Listing(exchange=Exchange.NSE, tradingsymbol="RELIANCE", broker_token="INE002A01018")
FIRST, LAST = date(2026, 7, 13), date(2026, 7, 15)
PATH = "/apimarketdata/instruments/ohlc"
WALL = 1783956599  # 13 July, 15:29:59 by a clock in India
DAY = 86_400


def with_prices() -> BrokerClient:
    """A session that the market data application opened, too."""
    keys = {MARKET_API_KEY.name: Secret("market-key"), MARKET_API_SECRET.name: Secret("market-secret")}
    app = AppCredentials(api_key=Secret(API_KEY), api_secret=Secret(API_SECRET), extra=keys)
    session = Session(access_token=Secret("interactive"), feed_token=Secret("market-data"))
    return BROKER.client(BROKER.transport(), app, session)


def read(written: Any, of: Listing = RELIANCE) -> Rows[Candle]:
    return mapping.candles({"dataReponse": written}, of, FIRST, LAST)


def row(time: object = WALL, prices: str = "1392|1404.55|1388.2|1399.9", volume: str = "5") -> str:
    return f"{time}|{prices}|{volume}|0|"


def test_whole_days_are_asked_for_and_become_exact() -> None:
    with replying(BROKER, "GET", PATH, payload(SLUG, "md_ohlc_daily.json")) as asked:
        rows = with_prices().candles(RELIANCE, FIRST, LAST)
    [request] = asked
    assert request.said == {
        **{"exchangeSegment": "NSECM", "exchangeInstrumentID": "2885", "compressionValue": "D"},
        **{"startTime": "Jul 13 2026 000000", "endTime": "Jul 15 2026 235959"},
    }
    assert request.headers["Authorization"] == "market-data"
    assert rows.problems == ()
    assert rows.items[0] == Candle(
        day=date(2026, 7, 13),
        open_price=Decimal(1392),
        high_price=Decimal("1404.55"),
        low_price=Decimal("1388.2"),
        close_price=Decimal("1399.9"),
        volume=Decimal(9120480),
    )
    assert [candle.day.day for candle in rows.items] == [13, 14, 15]


def test_parts_of_a_day_are_no_days() -> None:
    with replying(BROKER, "GET", PATH, payload(SLUG, "md_ohlc.json")):
        rows = with_prices().candles(RELIANCE, FIRST, LAST)
    [candle] = rows.items
    assert (candle.day, candle.close_price) == (LAST, Decimal("1400.8"))
    assert [(problem.row, problem.field) for problem in rows.problems] == [(1, "time")]


def test_an_empty_text_is_an_empty_past() -> None:
    assert read("") == Rows(())


@pytest.mark.parametrize("at", ["00:00:00", "23:59:59"])
def test_the_day_is_that_of_the_wall_whatever_the_hour(at: str) -> None:
    hours, minutes, seconds = map(int, at.split(":"))
    midnight = WALL - WALL % DAY
    [candle] = read(row(midnight + hours * 3600 + minutes * 60 + seconds)).items
    assert candle.day == FIRST


def test_days_come_in_their_order_and_others_are_left_out() -> None:
    rows = read(",".join(row(WALL + days * DAY) for days in (2, 3, -1, 0)))
    assert [candle.day.day for candle in rows.items] == [13, 15]
    assert rows.problems == ()


def test_one_bad_row_does_not_hide_the_others() -> None:
    bad = [
        row("soon"),
        row(WALL * 1000),
        row(WALL + DAY, "1|0|1|1"),
        row(WALL + DAY, volume="-1"),
        "",
        "|",
        "1783956599|1",
    ]
    rows = read(",".join([row(), *bad, row(WALL + 2 * DAY, volume="NaN")]))
    assert [(candle.day.day, candle.volume) for candle in rows.items] == [(13, Decimal(5)), (15, None)]
    assert [problem.field for problem in rows.problems] == ["time", "time", "high", "volume", "time", "time"]


def test_a_volume_of_lots_is_unknown() -> None:
    [candle] = read(row(), of=GOLD).items
    assert (candle.close_price, candle.volume) == (Decimal("1399.9"), None)


@pytest.mark.parametrize("result", [{}, {"dataReponse": None}, {"dataReponse": []}, "", None])
def test_an_answer_without_its_text_is_unreadable_and_not_empty(result: Any) -> None:
    with pytest.raises(UnexpectedResponse):
        mapping.candles(result, RELIANCE, FIRST, LAST)


def test_what_has_no_number_is_asked_of_nobody() -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported):
        with_prices().candles(NOWHERE, FIRST, LAST)


def test_without_market_data_keys_nothing_is_asked() -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported) as caught:
        client(BROKER).candles(RELIANCE, FIRST, LAST)
    assert "market data" in caught.value.user_action
