"""Groww's rows as they are read: accounts, orders and instruments, without a wire."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import (
    AppCredentials,
    BrokerOrder,
    Contract,
    Exchange,
    Instrument,
    InstrumentKind,
    OptionType,
    OrderStatus,
    Session,
)
from brokers.errors import UnexpectedResponse
from brokers.groww import instruments, mapping
from brokers.groww.client import GrowwClient
from brokers.secret import Secret

FIXTURES = Path(__file__).parents[1] / "fixtures" / "groww"


def recorded(file: str) -> Any:
    return json.loads((FIXTURES / file).read_text(), parse_float=Decimal)


def holding_row(**changed: object) -> dict[str, Any]:
    return {**recorded("holdings_user.json")["payload"]["holdings"][0], **changed}


def position_row(**changed: object) -> dict[str, Any]:
    return {**recorded("positions_user_multi.json")["payload"]["positions"][0], **changed}


def order_row(**changed: object) -> dict[str, Any]:
    return {**recorded("order_list.json")["payload"]["order_list"][0], **changed}


# --- rows -------------------------------------------------------------------------------------------------------------
def test_an_empty_list_may_be_null_but_not_missing_among_others() -> None:
    assert mapping.listed({"status": "SUCCESS", "payload": {"holdings": None}}, "holdings") == []
    assert mapping.listed({"status": "SUCCESS", "payload": {}}, "holdings") == []
    for payload in ({"demat_holdings": []}, None, []):
        with pytest.raises(UnexpectedResponse):
            mapping.listed({"status": "SUCCESS", "payload": payload}, "holdings")
    with pytest.raises(UnexpectedResponse):
        mapping.listed({"status": "SUCCESS"}, "holdings")


def test_parts_larger_than_the_whole_cannot_be_read() -> None:
    with pytest.raises(UnexpectedResponse) as unreadable:
        mapping.holdings(holding_row(t1_quantity=9))
    assert unreadable.value.field == "quantity"


def test_parts_that_are_not_told_are_none() -> None:
    [line] = mapping.holdings(holding_row(t1_quantity=None, pledge_quantity=None, average_price=None))
    assert (line.settled_quantity, line.owned_quantity, line.average_price) == (10, 10, None)


def test_free_t1_and_pledged_shares_are_compared_with_the_whole() -> None:
    assert mapping.adds_up(holding_row())
    assert not mapping.adds_up(holding_row(demat_free_quantity=8))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"credit_quantity": 6}, "quantity"),
        ({"credit_price": 0}, "credit_price"),
        ({"segment": "CURRENCY"}, "segment"),
        ({"product": "ARB"}, "product"),
    ],
)
def test_a_position_that_does_not_hold_together_cannot_be_read(changed: dict[str, object], field: str) -> None:
    with pytest.raises(UnexpectedResponse) as unreadable:
        mapping.positions(position_row(**changed))
    assert unreadable.value.field == field


def test_a_long_carried_over_was_bought_and_a_short_was_sold() -> None:
    carried = {"credit_quantity": 0, "net_carry_forward_price": Decimal("100.5"), "net_price": Decimal("100.5")}
    [long] = mapping.positions(position_row(**carried, quantity=4, net_carry_forward_quantity=4))
    [short] = mapping.positions(position_row(**carried, quantity=-4, net_carry_forward_quantity=-4))
    assert (long.buy_value, long.sell_value, long.day_buy_value) == (402, 0, 0)
    assert (short.buy_value, short.sell_value, short.day_sell_value) == (0, 402, 0)


@pytest.mark.parametrize(
    ("symbol", "segment", "last", "expected"),
    [
        ("RELIANCE", "CASH", "14.02", True),
        ("NIFTY26DECFUT", "FNO", "13.50", True),
        ("NIFTY26DEC27000CE", "FNO", "14.02", False),
        ("RELIANCE", "CASH", "1398.00", False),
        ("RELIANCE", "CASH", None, False),
    ],
)
def test_a_price_a_hundred_times_too_high_is_noticed(
    symbol: str, segment: str, last: str | None, expected: bool
) -> None:
    [line] = mapping.positions(position_row(trading_symbol=symbol, segment=segment))
    assert mapping.is_perhaps_in_paise(replace(line, last_price=last and Decimal(last))) is expected


def test_available_cash_is_reckoned_where_no_balance_is_told() -> None:
    row = recorded("margins_detail_user_live_like.json")["payload"]
    assert mapping.funds({**row, "equity_margin_details": None}).available == Decimal("94.41")
    unknown = mapping.funds({**row, "equity_margin_details": None, "clear_cash": None})
    assert (unknown.available, unknown.cash) == (None, None)


def test_an_account_is_narrowed_to_what_it_may_trade() -> None:
    row = recorded("user_detail.json")["payload"]
    told = mapping.profile({**row, "bse_enabled": False, "active_segments": ["CASH", "FNO"]})
    assert told.exchanges == (Exchange.NSE, Exchange.NFO)
    assert mapping.profile({**row, "active_segments": None}).exchanges is None


# --- orders and trades ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("NEW", 0, OrderStatus.PENDING),
        ("ACKED", 0, OrderStatus.PENDING),
        ("APPROVED", 0, OrderStatus.OPEN),
        ("APPROVED", 40, OrderStatus.PARTIALLY_FILLED),
        ("OPEN", 100, OrderStatus.OPEN),
        ("TRIGGER_PENDING", 0, OrderStatus.TRIGGER_PENDING),
        ("MODIFICATION_REQUESTED", 0, OrderStatus.OPEN),
        ("CANCELLATION_REQUESTED", 0, OrderStatus.OPEN),
        ("EXECUTED", 100, OrderStatus.FILLED),
        ("DELIVERY_AWAITED", 100, OrderStatus.FILLED),
        ("COMPLETED", 100, OrderStatus.FILLED),
        ("CANCELLED", 40, OrderStatus.CANCELLED),
        ("REJECTED", 0, OrderStatus.REJECTED),
        ("FAILED", 0, OrderStatus.REJECTED),
    ],
)
def test_every_documented_status_is_known(word: str, filled: int, status: OrderStatus) -> None:
    assert order(order_status=word, filled_quantity=filled).status is status


def test_an_unknown_status_keeps_its_word() -> None:
    unknown = order(order_status="SETTLING")
    assert (unknown.status, unknown.status_message) == (OrderStatus.UNKNOWN, "SETTLING")


def order(**changed: object) -> BrokerOrder:
    [read] = mapping.orders(order_row(**changed))
    return read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-07-15T10:15:30", "2026-07-15T10:15:30+05:30"),
        ("2026-07-15T04:45:30Z", "2026-07-15T10:15:30+05:30"),
        ("2026-07-15T14:15:22Z", None),  # 19:45 IST
        (None, None),
    ],
)
def test_a_time_is_ist_unless_it_says_otherwise(written: str | None, read: str | None) -> None:
    assert order(created_at=written).placed_at == (read and datetime.fromisoformat(read))


def test_the_order_book_is_read_to_its_last_page() -> None:
    pages = [[order_row(groww_order_id=f"GMK{size}-{number}") for number in range(size)] for size in (25, 3)]
    client = answering(lambda path, query: {"order_list": pages[int(query["page"])]})
    assert len({read.broker_order_id for read in client.orders().items}) == 28


def test_a_page_that_repeats_is_the_last() -> None:
    page = [order_row(groww_order_id=f"GMK{number}") for number in range(25)]
    assert len(answering(lambda path, query: {"order_list": page}).orders().items) == 25


def test_only_filled_orders_are_asked_for_their_trades() -> None:
    book = recorded("order_list_multi.json")["payload"]["order_list"]
    trade = recorded("order_trades_sdk_sample.json")["payload"]["trade_list"][0]
    asked: list[tuple[str, str]] = []

    def answer(path: str, query: dict[str, str]) -> dict[str, Any]:
        if path == "/v1/order/list":
            return {"order_list": [*book, {"groww_order_id": "GMK-unreadable"}]}
        asked.append((path, query["segment"]))
        return {"trade_list": [{**trade, "groww_order_id": path.rpartition("/")[2]}]}

    client = answering(answer)
    rows = client.trades()
    ids = ["GMK39038RDT490CCVR1", "GMK39038RDT490CCVR2"]
    assert asked == [(f"/v1/order/trades/{each}", "CASH") for each in ids]
    assert [trade.broker_order_id for trade in rows.items] == ids
    assert [problem.row for problem in rows.problems] == [5]
    assert set(client.shapes) == {"GET /v1/order/list", "GET /v1/order/trades"}


def answering(answer: Any) -> GrowwClient:
    """A client whose transport answers from a function of path and query."""

    class Answers:
        def call(self, method: str, path: str, *, params: Any = None, **options: Any) -> Any:
            return {"status": "SUCCESS", "payload": answer(path, dict(params or {}))}

    app = AppCredentials(api_key=Secret("key"), api_secret=Secret(""))
    return GrowwClient(Answers(), app, Session(access_token=Secret("token")))  # type: ignore[arg-type]


# --- identity ---------------------------------------------------------------------------------------------------------
def master(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def by_symbol(rows: list[dict[str, str]]) -> dict[str, Instrument]:
    read = [instrument for row in rows for instrument in instruments.instrument(row)]
    return {instrument.broker_token: instrument for instrument in read}


def test_a_real_master_is_read_without_its_test_contracts() -> None:
    rows = master((FIXTURES / "instruments_fno_observed.csv").read_text())
    found = by_symbol(rows)
    assert set(found) == {f"NSE_{row['trading_symbol']}" for row in rows[:4]}
    option = found["NSE_360ONE26AUG1080PE"]
    assert option.contract == Contract(
        underlying="360ONE", expiry=date(2026, 8, 25), strike=Decimal(1080), option_type=OptionType.PE
    )
    assert (option.exchange, option.exchange_token) == (Exchange.NFO, "66825")
    assert (option.lot_size, option.tick_size) == (500, Decimal("0.05"))


def test_every_kind_of_row_is_read_with_its_units() -> None:
    found = by_symbol(master((FIXTURES / "instruments_constructed.csv").read_text()))
    assert len(found) == 10
    share, index = found["BSE_RELIANCE"], found["NSE_NIFTY"]
    assert (share.exchange, share.isin, share.tick_size) == (Exchange.BSE, "INE002A01018", Decimal("0.05"))
    assert (index.kind, index.exchange_token, index.tick_size) == (InstrumentKind.INDEX, "NIFTY", None)
    future = found["NSE_NIFTY26JULFUT"]
    assert (future.tick_size, future.contract) == (
        Decimal("0.1"),
        Contract(underlying="NIFTY", expiry=date(2026, 7, 28)),
    )
    crude = found["MCX_CRUDEOIL26AUGFUT"]
    assert (crude.exchange, crude.lot_size, crude.multiplier) == (Exchange.MCX, 100, 1)


@pytest.mark.parametrize("file", ["instruments_fno_observed.csv", "instruments_constructed.csv"])
def test_groww_symbols_are_written_as_the_master_does(file: str) -> None:
    for row in master((FIXTURES / file).read_text()):
        for instrument in instruments.instrument(row):
            written = instruments.master_row(instrument)
            assert written["groww_symbol"] == row["groww_symbol"]
            assert instruments.instrument(written) == [instrument]


SYMBOLS = st.from_regex(r"[A-Z0-9]{1,8}(&[A-Z])?(-[A-Z]{3,6})?", fullmatch=True)
PRICES = st.decimals(min_value="0.05", max_value=500_000, places=2)
TOKENS = st.integers(min_value=1, max_value=9_999_999).map(str)


@st.composite
def shares(draw: st.DrawFn) -> Instrument:
    exchange, symbol = draw(st.sampled_from([Exchange.NSE, Exchange.BSE])), draw(SYMBOLS)
    return Instrument(
        exchange=exchange,
        kind=draw(st.sampled_from([InstrumentKind.EQUITY, InstrumentKind.INDEX])),
        tradingsymbol=symbol,
        broker_token=instruments.quote_key(exchange, symbol),
        exchange_token=draw(TOKENS),
        isin=draw(st.none() | st.from_regex(r"INE[0-9]{3}A01[0-9]{3}", fullmatch=True)),
        name=draw(st.none() | SYMBOLS),
        lot_size=draw(st.none() | st.just(Decimal(1))),
        tick_size=draw(st.none() | PRICES),
    )


@st.composite
def derivatives(draw: st.DrawFn) -> Instrument:
    exchange = draw(st.sampled_from([Exchange.NFO, Exchange.BFO, Exchange.MCX]))
    option = draw(st.none() | st.sampled_from(OptionType))
    contract = Contract(
        underlying=draw(SYMBOLS),
        expiry=draw(st.dates(min_value=date(2020, 1, 1), max_value=date(2039, 12, 31))),
        strike=draw(PRICES) if option else None,
        option_type=option,
    )
    ending = f"{contract.strike}{option}" if option else "FUT"
    symbol = f"{contract.underlying}{contract.expiry:%y%b}{ending}".upper()
    return Instrument(
        exchange=exchange,
        kind=InstrumentKind.OPTION if option else InstrumentKind.FUTURE,
        tradingsymbol=symbol,
        broker_token=instruments.quote_key(exchange, symbol),
        exchange_token=draw(TOKENS),
        contract=contract,
        lot_size=Decimal(draw(st.integers(min_value=1, max_value=5000))),
        tick_size=draw(PRICES),
    )


@given(shares() | derivatives())
def test_an_instrument_survives_the_round_trip(instrument: Instrument) -> None:
    assert instruments.instrument(instruments.master_row(instrument)) == [instrument]
