"""Kite's ticker: the published packets decode to the published values."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Session, Streamed, Tick
from brokers.secret import Secret
from brokers.streaming import Alive, OrderUpdate, Refused, Unreadable
from brokers.zerodha.stream import ZerodhaStream

NOT_ON_THE_WIRE = {"mode", "tradable", "change", "oi_day_high", "oi_day_low"}  # the last two are, and nobody needs them
PLACE = Path(__file__).parents[1] / "fixtures" / "zerodha" / "stream"


def stream() -> ZerodhaStream:
    app = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"))
    return ZerodhaStream(app, Session(access_token=Secret("token")))


def packet(name: str) -> bytes:
    return bytes.fromhex((PLACE / f"{name}.hex").read_text())


def framed(*packets: bytes) -> bytes:
    return len(packets).to_bytes(2, "big") + b"".join(len(each).to_bytes(2, "big") + each for each in packets)


def expected(name: str) -> Any:
    return json.loads((PLACE / f"{name}.expected.json").read_text(), parse_float=Decimal)


def said(tick: Tick, wire: dict[str, Any]) -> dict[str, Any]:
    """The tick in the words of the published value, as far as that goes."""
    words = {
        "instrument_token": token_of(tick),
        "last_price": tick.last_price,
        "last_quantity": tick.last_quantity,
        "last_traded_quantity": tick.last_quantity,
        "average_price": tick.average_price,
        "average_traded_price": tick.average_price,
        "volume": tick.volume,
        "volume_traded": tick.volume,
        "buy_quantity": tick.buy_quantity,
        "total_buy_quantity": tick.buy_quantity,
        "sell_quantity": tick.sell_quantity,
        "total_sell_quantity": tick.sell_quantity,
        "ohlc": {
            "open": tick.open_price,
            "high": tick.high_price,
            "low": tick.low_price,
            "close": tick.close_price,
        },
        "oi": tick.open_interest,
        "last_trade_time": tick.traded_at,
        "timestamp": tick.at,
        "exchange_timestamp": tick.at,
        "depth": {"buy": levels(tick.bids), "sell": levels(tick.asks)},
    }
    return {name: value for name, value in words.items() if name in wire}


def levels(steps: tuple[Level, ...]) -> list[dict[str, Any]]:
    return [{"price": step.price, "quantity": step.quantity, "orders": step.orders} for step in steps]


def token_of(tick: Tick) -> int:
    """Kite's number: the indices' segment is 9, which the exchange does not tell."""
    segment = 9 if tick.exchange_token == "1001" else {Exchange.NSE: 1, Exchange.CDS: 3}[tick.exchange]
    return int(tick.exchange_token) << 8 | segment


def told(wire: dict[str, Any]) -> dict[str, Any]:
    """The published value without what is not on the wire: the mode's name, and `change`, which each SDK reckons."""
    left = {
        name: value
        for name, value in wire.items()
        if name not in ("mode", "tradable", "change", "oi_day_high", "oi_day_low")
    }
    times = ("timestamp", "last_trade_time", "exchange_timestamp")
    return {name: datetime.fromisoformat(value) if name in times else value for name, value in left.items()}


@pytest.mark.parametrize("name", ["ticker_ltp_body", "ticker_quote_body", "ticker_full_body"])
def test_published_packets_decode_to_the_published_values(name: str) -> None:
    [tick] = stream().received(framed(packet(name)))
    assert isinstance(tick, Tick)
    wire = told(expected(name))
    assert said(tick, wire) == wire


def test_a_message_of_four_packets_decodes_to_what_the_official_client_reads() -> None:
    found = stream().received(packet("ticker_message_4packets"))
    wires = [told(wire) for wire in expected("ticker_message_4packets")]
    assert [said(tick, wire) for tick, wire in zip(found, wires, strict=True) if isinstance(tick, Tick)] == wires


@pytest.mark.parametrize(
    ("name", "exchange", "token", "price"),
    [
        ("ticker_cds_ltp_body", Exchange.CDS, "1612", "72.755"),
        ("ticker_index_quote_body", Exchange.NSE, "1001", "25012.35"),
        ("ticker_index_full_body", Exchange.NSE, "1001", "25012.35"),
    ],
)
def test_each_segment_has_its_divisor(name: str, exchange: Exchange, token: str, price: str) -> None:
    [tick] = stream().received(framed(packet(name)))
    assert isinstance(tick, Tick)
    assert (tick.exchange, tick.exchange_token, tick.last_price) == (exchange, token, Decimal(price))


def test_a_byte_alone_is_a_heartbeat() -> None:
    assert stream().received(packet("ticker_heartbeat")) == [Alive()]


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("ticker_text_order", OrderUpdate("220303000308932", OrderStatus.OPEN)),
        ("ticker_text_error", Refused("The broker refused a wish.")),
        ("ticker_text_message", Alive()),
    ],
)
def test_texts(name: str, event: object) -> None:
    assert stream().received((PLACE / f"{name}.json").read_text()) == [event]


@pytest.mark.parametrize("frame", ["", "{", "[]", "null", '{"type":1}', '{"type":"order","data":[]}', "[" * 20_000])
def test_a_text_that_is_none_of_these_is_named(frame: str) -> None:
    assert stream().received(frame) == [Unreadable("a text")]


@given(st.binary(max_size=400))
def test_no_frame_crashes_the_decoder(frame: bytes) -> None:
    found = stream().received(frame)
    assert len(found) <= max(1, len(frame) // 10 + 1)


@given(st.integers(0, 190))
def test_a_frame_that_is_cut_off_yields_its_whole_packets(kept: int) -> None:
    whole = framed(packet("ticker_ltp_body"), packet("ticker_full_body"))
    found = stream().received(whole[: 2 + kept])
    assert [type(event) for event in found] in ([Unreadable], [Tick, Unreadable], [Alive])


def test_wishes_say_the_mode_and_keep_to_the_batch() -> None:
    wanted = [Streamed(Exchange.NSE, str(number)) for number in range(1, 1502)]
    frames = [json.loads(frame) for frame in stream().subscribe(wanted)]
    assert [(frame["a"], len(frame["v"])) for frame in frames] == [
        ("subscribe", 1000),
        ("mode", 2),
        ("subscribe", 501),
        ("mode", 2),
    ]
    assert frames[0]["v"][0] == 1 << 8 | 1
    assert stream().subscribe([Streamed(Exchange.NSE, "1001", index_name="Nifty 50")])[0] == (
        '{"a":"subscribe","v":[256265]}'
    )
