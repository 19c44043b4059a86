"""What no order may do: each rule, what breaks it and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.dealing import OrderRequest
from brokers.domain import Exchange, InstrumentKind, OrderType, Product, Segment, Side, Validity
from brokers.wire import IST
from market.calendar import Day, Phase, state
from market.days import sessions_of
from orders.rates import square_offs
from orders.rules import RULES, OrderFacts, Resting, broken, protected_price

D = Decimal
NOW = datetime(2026, 11, 20, 11, 0, tzinfo=IST)
SQUARE_OFFS = square_offs()
SHARE = OrderFacts(
    broker="zerodha",
    broker_name="Zerodha",
    exchange=Exchange.NSE,
    kind=InstrumentKind.EQUITY,
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    product=Product.CNC,
    validity=Validity.DAY,
    quantity=D(10),
    price=D("1500.05"),
    tick_size=D("0.05"),
    lot_size=D(1),
    phase=Phase.CONTINUOUS,
    now=NOW,
)
OPTION = replace(
    SHARE,
    exchange=Exchange.NFO,
    kind=InstrumentKind.OPTION,
    product=Product.NRML,
    quantity=D(130),
    lot_size=D(65),
    price=D("85.50"),
)
FUTURE_OF_OIL = replace(
    OPTION, exchange=Exchange.MCX, kind=InstrumentKind.FUTURE, quantity=D(100), lot_size=D(100), price=D(8552)
)
INTRADAY = replace(SHARE, product=Product.MIS, squared_off_at=NOW + timedelta(hours=4))


def codes(facts: OrderFacts, **changes: Any) -> list[str]:
    return [rule.code for rule in broken(replace(facts, **changes))]


def resting(broker: str = "upstox", side: Side = Side.SELL, price: str | None = "1500", **changes: Any) -> Resting:
    usual = {"broker_name": broker.title(), "exchange": Exchange.NSE}
    return Resting(broker=broker, side=side, price=D(price) if price else None, **(usual | changes))


@pytest.mark.parametrize("facts", [SHARE, OPTION, FUTURE_OF_OIL, INTRADAY])
def test_a_plain_limit_order_breaks_nothing(facts: OrderFacts) -> None:
    assert broken(facts) == ()


CASES: list[tuple[str, OrderFacts, dict[str, Any]]] = [
    ("exchange_not_offered", SHARE, {"exchanges": frozenset({Exchange.BSE})}),
    ("product_not_offered", SHARE, {"product": Product.NRML}),
    ("product_not_offered", OPTION, {"product": Product.CNC}),
    ("product_not_offered", SHARE, {"product": Product.BO}),
    ("product_not_offered", SHARE, {"product": Product.MTF, "products": frozenset({Product.CNC})}),
    ("order_type_not_offered", SHARE, {"order_types": frozenset({OrderType.MARKET})}),
    ("validity_not_offered", SHARE, {"validity": Validity.GTC}),
    ("price_missing", SHARE, {"price": None}),
    ("price_missing", SHARE, {"price": D(0)}),
    ("price_missing", SHARE, {"order_type": OrderType.SL}),
    ("price_missing", SHARE, {"order_type": OrderType.SL, "trigger_price": D("1500.10")}),
    ("price_missing", SHARE, {"order_type": OrderType.SL, "side": Side.SELL, "trigger_price": D(1500)}),
    ("market_unprotected", SHARE, {"order_type": OrderType.MARKET, "price": None}),
    ("market_unprotected", SHARE, {"order_type": OrderType.MARKET, "price": None, "protection_pct": D(0)}),
    ("market_unprotected", SHARE, {"order_type": OrderType.MARKET, "price": None, "protection_pct": D(26)}),
    ("market_unprotected", SHARE, {"order_type": OrderType.SL_M, "price": None, "trigger_price": D(1600)}),
    ("ioc_on_commodities", FUTURE_OF_OIL, {"validity": Validity.IOC}),
    ("odd_quantity", SHARE, {"quantity": D("1.5")}),
    ("odd_quantity", SHARE, {"quantity": D(0)}),
    ("odd_quantity", OPTION, {"quantity": D(66)}),
    ("odd_quantity", OPTION, {"lot_size": None}),
    ("off_tick", SHARE, {"price": D("1500.01")}),
    ("off_tick", SHARE, {"order_type": OrderType.SL, "trigger_price": D("1499.99")}),
    ("above_freeze", OPTION, {"quantity": D(1885), "freeze_quantity": D(1800)}),
    ("phase_forbids", SHARE, {"phase": None}),
    ("fno_ban", OPTION, {"is_banned": True}),
    ("fno_ban", OPTION, {"is_banned": True, "position": D(65)}),
    ("fno_ban", OPTION, {"is_banned": True, "position": D(-65)}),
    ("intraday_too_late", INTRADAY, {"now": NOW + timedelta(hours=3, minutes=50)}),
    ("intraday_too_late", INTRADAY, {"squared_off_at": None}),
    ("trade_for_trade", INTRADAY, {"series": "BE"}),
    ("self_trade", SHARE, {"resting": (resting(),)}),
    ("self_trade", SHARE, {"resting": (resting(price="1500.05"),)}),
    ("self_trade", SHARE, {"resting": (resting(price=None),)}),
    ("self_trade", SHARE, {"side": Side.SELL, "resting": (resting(side=Side.BUY, price="1500.10"),)}),
    ("too_many_changes", SHARE, {"changes": 25, "most_changes": 25}),
]


@pytest.mark.parametrize(("code", "facts", "changes"), CASES, ids=[case[0] for case in CASES])
def test_what_breaks_a_rule_breaks_that_one_alone(code: str, facts: OrderFacts, changes: dict[str, Any]) -> None:
    assert codes(facts, **changes) == [code]


@pytest.mark.parametrize(
    ("facts", "changes"),
    [
        (SHARE, {"order_type": OrderType.SL, "trigger_price": D(1500)}),
        (SHARE, {"order_type": OrderType.MARKET, "price": None, "protection_pct": D(25)}),
        (SHARE, {"order_type": OrderType.MARKET, "price": None, "has_own_bounds": True}),
        (SHARE, {"validity": Validity.IOC}),
        (OPTION, {"quantity": D(1755), "freeze_quantity": D(1800)}),
        (OPTION, {"is_banned": None}),
        (OPTION, {"is_banned": True, "position": D(-130)}),
        (OPTION, {"is_banned": True, "side": Side.SELL, "position": D(195)}),
        (SHARE, {"series": "BE"}),
        (SHARE, {"is_banned": True}),
        (INTRADAY, {"now": NOW + timedelta(hours=3, minutes=49)}),
        (INTRADAY, {"now": NOW + timedelta(hours=4), "position": D(-10)}),
        (SHARE, {"resting": (resting(price="1500.10"),)}),
        (SHARE, {"resting": (resting(broker="zerodha"),)}),
        (SHARE, {"resting": (resting(side=Side.BUY),)}),
        (SHARE, {"resting": (resting(exchange=Exchange.BSE),)}),
        (SHARE, {"changes": 24, "most_changes": 25}),
        (SHARE, {"changes": 99, "most_changes": None}),
        (SHARE, {"tick_size": None, "price": D("1.01")}),
    ],
)
def test_what_is_allowed(facts: OrderFacts, changes: dict[str, Any]) -> None:
    assert codes(facts, **changes) == []


STOP = {"order_type": OrderType.SL, "trigger_price": D(1500)}
MARKET = {"order_type": OrderType.MARKET, "price": None, "protection_pct": D(1)}


@pytest.mark.parametrize(
    ("phase", "limit", "market", "stop", "ioc"),
    [
        (Phase.PRE_OPEN, [], [], ["phase_forbids"], ["auction_forbids"]),
        (Phase.PRE_OPEN_LIMIT, [], ["phase_forbids"], ["phase_forbids"], ["auction_forbids"]),
        (Phase.PRE_OPEN_MATCHING, *[["phase_forbids"]] * 4),
        (Phase.BUFFER, *[["phase_forbids"]] * 4),
        (Phase.CONTINUOUS, [], [], [], []),
        (Phase.CAS_REFERENCE, *[["phase_forbids"]] * 4),
        (Phase.CAS, [], [], ["phase_forbids"], ["auction_forbids"]),
        (Phase.CAS_LIMIT, [], ["phase_forbids"], ["phase_forbids"], ["auction_forbids"]),
        (Phase.CAS_MATCHING, *[["phase_forbids"]] * 4),
        (Phase.POST_CLOSE, *[["phase_forbids"]] * 4),
        (Phase.CLOSED, *[["phase_forbids"]] * 4),
    ],
)
def test_what_each_phase_of_the_day_takes(
    phase: Phase, limit: list[str], market: list[str], stop: list[str], ioc: list[str]
) -> None:
    assert codes(SHARE, phase=phase) == limit
    assert codes(SHARE, phase=phase, **MARKET) == market
    assert codes(SHARE, phase=phase, **STOP) == stop
    assert codes(SHARE, phase=phase, validity=Validity.IOC) == ioc


def test_every_phase_is_tried() -> None:
    tried = {"PRE_OPEN", "PRE_OPEN_LIMIT", "PRE_OPEN_MATCHING", "BUFFER", "CONTINUOUS", "CAS_REFERENCE", "CAS"}
    assert set(Phase) == tried | {"CAS_LIMIT", "CAS_MATCHING", "POST_CLOSE", "CLOSED"}


class TestClosingAuction:
    @pytest.mark.parametrize(
        ("clock", "found"),
        [
            ("15:14:59", []),
            ("15:15:00", ["phase_forbids"]),
            ("15:19:59", ["phase_forbids"]),
            ("15:20:00", []),
            ("15:29:59", []),
            ("15:30:00", ["phase_forbids"]),
        ],
    )
    def test_no_order_enters_while_the_reference_price_is_made(self, clock: str, found: list[str]) -> None:
        """By the calendar's own hours of a day after 2026-08-03."""
        days = {date(2026, 11, 20): _day_with_auction()}
        now = datetime.fromisoformat(f"2026-11-20T{clock}+05:30")
        phase = state(Exchange.NSE, now, days, cas_eligible=True).phase
        assert codes(SHARE, phase=phase, now=now) == found

    @pytest.mark.parametrize(
        ("price", "found"),
        [("970", []), ("969.95", ["outside_auction_band"]), ("1030", []), ("1030.05", ["outside_auction_band"])],
    )
    def test_prices_keep_within_three_percent(self, price: str, found: list[str]) -> None:
        assert codes(SHARE, phase=Phase.CAS, auction_price=D(1000), price=D(price)) == found
        assert codes(SHARE, phase=Phase.CONTINUOUS, auction_price=D(1000), price=D(price)) == []

    def test_no_quantity_is_hidden(self) -> None:
        assert codes(SHARE, phase=Phase.CAS, disclosed_quantity=D(2)) == ["auction_forbids"]
        assert codes(SHARE, disclosed_quantity=D(2)) == []


def _day_with_auction() -> Any:
    return Day(
        sessions_of(
            [
                {"phase": "CONTINUOUS", "from": "09:15", "until": "15:15", "cas": True},
                {"phase": "CAS_REFERENCE", "from": "15:15", "until": "15:20", "cas": True},
                {"phase": "CAS", "from": "15:20", "until": "15:25", "cas": True},
                {"phase": "CAS_LIMIT", "from": "15:25", "until": "15:30", "cas": True},
                {"phase": "CAS_MATCHING", "from": "15:30", "until": "15:35", "cas": True},
            ]
        )
    )


class TestProtectedPrice:
    @pytest.mark.parametrize(
        ("kind", "last", "buy", "sell"),
        [
            ("EQUITY", "99.95", "101.90", "98.00"),
            ("EQUITY", "100", "101.00", "99.00"),
            ("FUTURE", "500", "505.00", "495.00"),
            ("EQUITY", "500.05", "502.55", "497.55"),
            ("OPTION", "9.95", "10.40", "9.50"),
            ("OPTION", "10", "10.30", "9.70"),
            ("OPTION", "100", "102.00", "98.00"),
            ("OPTION", "500", "510.00", "490.00"),
            ("OPTION", "500.05", "505.05", "495.05"),
            ("OPTION", "0.05", "0.05", "0.05"),
        ],
    )
    def test_the_published_slabs(self, kind: str, last: str, buy: str, sell: str) -> None:
        assert protected_price(Side.BUY, D(last), InstrumentKind(kind), D("0.05")) == D(buy)
        assert protected_price(Side.SELL, D(last), InstrumentKind(kind), D("0.05")) == D(sell)

    @given(
        st.integers(1, 2_000_000), st.sampled_from(["0.01", "0.05", "1"]), st.sampled_from(Side),
        st.sampled_from([InstrumentKind.EQUITY, InstrumentKind.FUTURE, InstrumentKind.OPTION]),
    )  # fmt: skip
    def test_it_is_marketable_on_the_tick_and_never_further_than_the_slab(
        self, ticks: int, tick: str, side: Side, kind: InstrumentKind
    ) -> None:
        last = ticks * D(tick)
        price = protected_price(side, last, kind, D(tick))
        assert price % D(tick) == 0
        assert price > 0
        assert price >= last if side is Side.BUY else price <= last
        assert abs(price - last) <= last * (D("0.05") if kind is InstrumentKind.OPTION else D("0.02"))


class TestSquareOff:
    @pytest.mark.parametrize(
        ("broker", "segment", "on", "is_auction_share", "at"),
        [
            ("zerodha", Segment.EQUITY, "2026-08-02", False, "15:20"),
            ("zerodha", Segment.EQUITY, "2026-11-20", False, "15:10"),
            ("upstox", Segment.EQUITY, "2026-11-20", False, "15:15"),
            ("upstox", Segment.EQUITY, "2026-11-20", True, "15:10"),
            ("upstox", Segment.EQUITY, "2026-11-20", None, "15:10"),
            ("upstox", Segment.FNO, "2026-11-20", True, "15:25"),
            ("fyers", Segment.FNO, "2026-11-20", None, "15:15"),
            ("iifl", Segment.CURRENCY, "2026-11-20", None, "16:45"),
            ("iifl", Segment.COMMODITY, "2026-11-20", None, "23:30"),
        ],
    )
    def test_by_broker_segment_and_day(
        self, broker: str, segment: Segment, on: str, is_auction_share: bool | None, at: str
    ) -> None:
        day = date.fromisoformat(on)
        closes = datetime(2026, 11, 20, 23, 55, tzinfo=IST)
        found = SQUARE_OFFS.of(broker, segment, day, is_auction_share=is_auction_share, closes_at=closes)
        assert found is not None
        assert (found.date(), found.strftime("%H:%M")) == (day, at)

    def test_without_the_hour_of_the_close_it_is_not_known(self) -> None:
        found = SQUARE_OFFS.of("iifl", Segment.COMMODITY, NOW.date(), is_auction_share=None, closes_at=None)
        assert found is None

    def test_before_the_first_row_it_is_not_known(self) -> None:
        assert SQUARE_OFFS.of("iifl", Segment.FNO, date(2020, 1, 1), is_auction_share=None, closes_at=None) is None


def test_codes_are_unique_and_every_refusal_is_whole_sentences() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    for _, facts, changes in CASES:
        for refusal in broken(replace(facts, **changes)):
            assert refusal.words[0].isupper()
            assert refusal.words.endswith(".")
            assert refusal.remedy.endswith(".")


def test_every_rule_can_be_broken() -> None:
    elsewhere = {"auction_forbids", "outside_auction_band"}
    assert {case[0] for case in CASES} | elsewhere == {rule.code for rule in RULES}


def test_several_rules_are_told_in_the_order_of_the_table() -> None:
    found = codes(FUTURE_OF_OIL, validity=Validity.IOC, order_type=OrderType.MARKET, price=None, phase=Phase.CLOSED)
    assert found == ["market_unprotected", "ioc_on_commodities", "phase_forbids"]


def test_no_order_claims_to_be_a_registered_strategy() -> None:
    assert OrderRequest.__dataclass_fields__["algo_id"].default is None
