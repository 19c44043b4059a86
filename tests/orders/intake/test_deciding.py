"""Deciding is a pure function: the same facts make the same decision, stored or not, and it keeps to its promises."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.clearance import Answer as Light
from brokers.domain import Exchange, InstrumentKind, OrderType, Product, Side
from orders import deciding
from orders.decisions import Decision
from orders.examples import DATA, READER
from orders.facts import (
    Account,
    Choices,
    Facts,
    Listed,
    Market,
    Priced,
    Resting,
    Tradable,
    Wanted,
    Why,
    facts_from,
    plain,
    wanted_from,
)
from orders.tariffs import Rates
from tests.orders.conftest import NOW

BROKERS = ("zerodha", "groww", "angel_one", "upstox", "fyers", "iifl", "iifl_capital")


@cache
def rates() -> Rates:
    return Rates(READER.decode(DATA.read_bytes()))


def amounts(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(Decimal)


def share(exchange: Exchange) -> Tradable:
    return Tradable(
        instrument_id=1 if exchange is Exchange.NSE else 2,
        exchange=exchange,
        exchange_token="1594",
        tradingsymbol="INFY",
        kind=InstrumentKind.EQUITY,
        isin="INE009A01021",
        tick_size=Decimal("0.05"),
        freeze_quantity=Decimal(100_000),
    )


@st.composite
def accounts(draw: st.DrawFn, broker: str) -> Account:
    listed = draw(st.sampled_from((("NSE", "BSE"), ("NSE",), ("BSE",), ())))
    light = draw(st.sampled_from((Light.YES, Light.YES, Light.YES, Light.UNKNOWN, Light.NO)))
    reason = Why(code="session_ended", words="The session has ended.", remedy="Log in.")
    return Account(
        connection_id=f"c-{broker}",
        broker_type=broker,
        name=broker.title(),
        rank=BROKERS.index(broker),
        trading_enabled=draw(st.sampled_from((True, True, True, False))),
        trade=light,
        trade_reasons=(reason,) if light is not Light.YES else (),
        sell=draw(st.sampled_from((Light.YES, Light.UNKNOWN, Light.NO))),
        sell_reasons=(reason,),
        segments={"EQUITY": "YES"},
        products=(Product.CNC, Product.MIS),
        order_types=tuple(OrderType),
        answered=draw(st.sampled_from((True, True, True, False))),
        as_of=NOW - timedelta(seconds=draw(st.integers(0, 20))),
        available=draw(st.none() | amounts(0, 400_000)),
        reserved=draw(amounts(0, 50_000)),
        owned=draw(st.none() | amounts(0, 300)),
        t1=draw(amounts(0, 30)),
        sold=draw(amounts(0, 30)),
        listed={name: Listed(broker_token=name, tradingsymbol="INFY") for name in listed},
        circuit=draw(st.sampled_from(("closed", "closed", "closed", "half_open", "open"))),
        reject_rate=draw(st.none() | st.sampled_from((Decimal(0), Decimal("0.125")))),
        latency_ms=draw(st.none() | st.integers(0, 3000)),
        rate_tokens=draw(st.none() | st.integers(0, 8)),
        squared_off_at=draw(st.none() | st.just(NOW + timedelta(hours=5))),
        dp_paid_today=draw(st.booleans()),
    )


@st.composite
def states(draw: st.DrawFn) -> tuple[Facts, Wanted]:
    exchanges = draw(st.sampled_from(((Exchange.NSE,), (Exchange.NSE, Exchange.BSE))))
    prices = {
        exchange.value: Priced(
            last_price=Decimal(draw(st.integers(1980, 2020))) / 20,
            as_of=NOW - timedelta(seconds=draw(st.integers(0, 4))),
            by="zerodha",
        )
        for exchange in exchanges
        if draw(st.integers(0, 9))
    }
    chosen = draw(st.lists(st.sampled_from(BROKERS), min_size=1, max_size=4, unique=True))
    known = tuple(draw(accounts(broker)) for broker in chosen)
    kind = draw(st.sampled_from((OrderType.LIMIT, OrderType.MARKET, OrderType.SL)))
    side = draw(st.sampled_from(tuple(Side)))
    price = Decimal(draw(st.integers(1980, 2020))) / 20 if kind is not OrderType.MARKET else None
    resting = Resting(
        connection_id=f"c-{draw(st.sampled_from(BROKERS))}",
        exchange=Exchange.NSE,
        side=Side.SELL if side is Side.BUY else Side.BUY,
        price=Decimal(100),
        quantity=Decimal(5),
    )
    facts = Facts(
        now=NOW,
        tradables={exchange.value: share(exchange) for exchange in exchanges},
        prices=prices,
        markets={
            exchange.value: Market(phase=draw(st.sampled_from(("CONTINUOUS", "CONTINUOUS", None))))
            for exchange in exchanges
        },
        accounts=known,
        choices=Choices(
            split_penalty=draw(amounts(0, 20)),
            sells_unsettled=draw(st.booleans()),
            approval_above=draw(st.none() | amounts(0, 50_000)),
            broker_order=draw(st.sampled_from(((), ("c-upstox", "c-zerodha")))),
        ),
        resting=(resting,) if draw(st.integers(0, 4)) == 0 else (),
    )
    wanted = Wanted(
        instrument_id=1,
        side=side,
        order_type=kind,
        product=draw(st.sampled_from((Product.CNC, Product.MIS))),
        quantity=draw(amounts(1, 400)),
        price=price,
        trigger_price=price if kind is OrderType.SL else None,
    )
    return facts, wanted


def decide(facts: Facts, wanted: Wanted) -> Decision:
    return deciding.decide(facts, wanted, rates())


def stored(decision: Decision) -> tuple[dict, dict]:  # type: ignore[type-arg]
    """As a JSON column gives it back."""
    return json.loads(json.dumps(decision.stored_problem())), json.loads(json.dumps(decision.stored_answer()))


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(states())
def test_what_is_previewed_is_what_is_done_and_what_is_replayed(state: tuple[Facts, Wanted]) -> None:
    """On 500 states: the answer is the same from the facts, from a copy of them, and from what was stored with it."""
    facts, wanted = state
    shown, done = decide(facts, wanted), decide(facts_from(plain(facts)), wanted_from(plain(wanted)))
    assert plain(shown.answer) == plain(done.answer)
    problem, answer = stored(done)
    assert plain(deciding.replayed(problem).answer) == answer


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(states())
def test_it_keeps_to_what_an_account_can_take(state: tuple[Facts, Wanted]) -> None:
    facts, wanted = state
    answer = decide(facts, wanted).answer
    known = {account.connection_id: account for account in facts.accounts}
    sent = sum((child.quantity for child in answer.children), Decimal(0))
    assert sent + answer.unrouted + answer.held_for_reconciliation == wanted.quantity
    assert {each.connection_id for each in answer.excluded}.isdisjoint(c.connection_id for c in answer.children)
    for child in answer.children:
        account = known[child.connection_id]
        assert account.trading_enabled
        assert account.trade is not Light.NO
        assert account.answered
        assert account.circuit != "open"
        assert child.exchange in account.listed
        assert child.order_type in (OrderType.LIMIT, OrderType.SL)
        assert child.price is not None
        assert child.price % Decimal("0.05") == 0
    for key, account in known.items():
        mine = sum((child.quantity for child in answer.children if child.connection_id == key), Decimal(0))
        if wanted.side is Side.SELL and wanted.product is Product.CNC and mine:
            assert account.owned is not None
            extra = account.t1 if facts.choices.sells_unsettled else 0
            assert mine <= account.owned + extra - account.sold
        if wanted.side is Side.BUY and wanted.product is Product.CNC and mine:
            assert account.available is not None
            price = max(child.price or 0 for child in answer.children if child.connection_id == key)
            assert mine * price <= account.available - account.reserved


def test_states_are_not_all_refused() -> None:
    """Else the two above would show little."""
    sent, split, refused = 0, 0, 0

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(states())
    def count(state: tuple[Facts, Wanted]) -> None:
        nonlocal sent, split, refused
        answer = decide(*state).answer
        sent += answer.is_sent
        refused += bool(answer.refusals)
        split += len({child.connection_id for child in answer.children}) > 1

    count()
    assert sent > 80
    assert split > 10
    assert refused > 50


class TestApproval:
    def wanted(self) -> Wanted:
        return Wanted(
            instrument_id=1,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            product=Product.CNC,
            quantity=Decimal(10),
            price=Decimal(100),
        )

    @pytest.mark.parametrize(
        ("choices", "value", "code"),
        [
            (Choices(), Decimal(10**9), None),
            (Choices(approval_above=Decimal(1000)), Decimal(1000), None),
            (Choices(approval_above=Decimal(1000)), Decimal("1000.01"), "approval_value"),
            (Choices(approval_above=Decimal(1000)), None, "approval_value_unknown"),
            (Choices(approval_products=(Product.CNC,)), Decimal(1), "approval_product"),
            (Choices(approval_known=False), Decimal(1), "approval_unreadable"),
        ],
    )
    def test_what_needs_it(self, choices: Choices, value: Decimal | None, code: str | None) -> None:
        why = deciding.needs_approval(choices, self.wanted(), value)
        assert (why.code if why else None) == code


def test_a_later_order_of_a_basket_finds_what_is_left() -> None:
    account = Account(
        connection_id="c-zerodha",
        broker_type="zerodha",
        name="Zerodha",
        rank=0,
        trading_enabled=True,
        trade=Light.YES,
        products=(Product.CNC,),
        order_types=tuple(OrderType),
        answered=True,
        available=Decimal(1500),
        listed={"NSE": Listed(broker_token="1", tradingsymbol="INFY")},
    )
    facts = Facts(
        now=NOW,
        tradables={"NSE": share(Exchange.NSE)},
        prices={},
        markets={"NSE": Market(phase="CONTINUOUS")},
        accounts=(account,),
    )
    wanted = TestApproval().wanted()
    first = decide(facts, wanted)
    assert first.answer.is_whole
    second = decide(deciding.after(first, facts), wanted)
    assert second.answer.unrouted == 6
    refused = decide(replace(facts, accounts=()), wanted)
    assert refused.answer.refusals[0].code == "nowhere_to_go"
    assert deciding.after(refused, facts) == facts
