"""Deciding is a pure function: the same facts make the same decision, stored or not, and it keeps to its promises."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

import pytest

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
from orders.risk_words import AccountRisk, SetLimit
from orders.tariffs import Rates
from portfolio.risk.limits import DEFAULTS
from tests.orders.checks.samples import risk
from tests.orders.conftest import NOW

BROKERS = ("zerodha", "groww", "angel_one", "upstox", "fyers", "iifl", "iifl_capital")


@cache
def rates() -> Rates:
    return Rates(READER.decode(DATA.read_bytes()))


def mostly(random: Random, usual: Any, *rare: Any) -> Any:
    """One of the rare ones now and then."""
    return random.choice(rare) if random.random() < 0.08 else usual


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
        last_seen_on=NOW.date(),
    )


def account(random: Random, broker: str) -> Account:
    light = mostly(random, Light.YES, Light.UNKNOWN, Light.NO)
    reason = Why(code="session_ended", words="The session has ended.", remedy="Log in.")
    return Account(
        connection_id=f"c-{broker}",
        broker_type=broker,
        name=broker.title(),
        rank=BROKERS.index(broker),
        trading_enabled=mostly(random, True, False),
        trade=light,
        trade_reasons=(reason,) if light is not Light.YES else (),
        sell=mostly(random, Light.YES, Light.UNKNOWN, Light.NO),
        sell_reasons=(reason,),
        segments={"EQUITY": "YES"},
        products=(Product.CNC, Product.MIS),
        order_types=tuple(OrderType),
        answered=mostly(random, True, False),
        as_of=NOW - timedelta(seconds=random.randint(0, 20)),
        available=mostly(random, Decimal(random.randint(0, 60_000)), None),
        reserved=mostly(random, Decimal(0), Decimal(random.randint(0, 20_000))),
        owned=mostly(random, Decimal(random.randint(0, 300)), None),
        t1=Decimal(random.choice((0, 0, 20))),
        sold=Decimal(random.choice((0, 0, 15))),
        listed={
            name: Listed(broker_token=name, tradingsymbol="INFY")
            for name in mostly(random, ("NSE", "BSE"), ("NSE",), ("BSE",), ())
        },
        circuit=mostly(random, "closed", "half_open", "open"),
        reject_rate=random.choice((None, Decimal(0), Decimal("0.125"))),
        latency_ms=random.choice((None, random.randint(0, 3000))),
        rate_tokens=mostly(random, 8, None, 0, 1),
        squared_off_at=mostly(random, NOW + timedelta(hours=5), None),
        dp_paid_today=random.random() < 0.5,
    )


def state(seed: int) -> tuple[Facts, Wanted]:
    random = Random(seed)  # noqa: S311 - the same states each time
    exchanges = random.choice(((Exchange.NSE,), (Exchange.NSE, Exchange.BSE)))
    prices = {
        exchange.value: Priced(
            last_price=Decimal(random.randint(1980, 2020)) / 20,
            as_of=NOW - timedelta(seconds=random.randint(0, 4)),
            by="zerodha",
        )
        for exchange in exchanges
        if mostly(random, True, False)
    }
    kind = random.choice((OrderType.LIMIT, OrderType.MARKET, OrderType.SL))
    side = random.choice(tuple(Side))
    price = Decimal(random.randint(1980, 2020)) / 20 if kind is not OrderType.MARKET else None
    resting = Resting(
        connection_id=f"c-{random.choice(BROKERS)}",
        exchange=Exchange.NSE,
        side=Side.SELL if side is Side.BUY else Side.BUY,
        price=Decimal(100),
        quantity=Decimal(5),
    )
    phases = {exchange.value: mostly(random, "CONTINUOUS", None, "CAS_REFERENCE") for exchange in exchanges}
    facts = Facts(
        now=NOW,
        tradables={exchange.value: share(exchange) for exchange in exchanges},
        prices=prices,
        markets={name: Market(phase=phase) for name, phase in phases.items()},
        accounts=tuple(account(random, broker) for broker in random.sample(BROKERS, random.randint(1, 5))),
        choices=Choices(
            split_penalty=Decimal(random.randint(0, 20)),
            sells_unsettled=random.random() < 0.5,
            approval_above=random.choice((None, Decimal(20_000))),
            broker_order=random.choice(((), ("c-upstox", "c-zerodha"))),
        ),
        resting=mostly(random, (), (resting,)),
        risk=risk(
            limits=tuple(SetLimit(limit=each, evaluated=True) for each in DEFAULTS),
            accounts={f"c-{name}": AccountRisk(used=Decimal(0), available=Decimal(60_000)) for name in BROKERS},
        ),
    )
    wanted = Wanted(
        instrument_id=1,
        side=side,
        order_type=kind,
        product=random.choice((Product.CNC, Product.MIS)),
        quantity=Decimal(random.randint(1, 400)),
        price=price,
        trigger_price=price if kind is OrderType.SL else None,
    )
    return facts, wanted


def decide(facts: Facts, wanted: Wanted) -> Decision:
    return deciding.decide(facts, wanted, rates())


def stored(decision: Decision) -> tuple[dict[str, Any], dict[str, Any]]:
    """As a JSON column gives it back."""
    return json.loads(json.dumps(decision.stored_problem())), json.loads(json.dumps(decision.stored_answer()))


@pytest.mark.parametrize("hundred", range(5))
def test_what_is_previewed_is_what_is_done_and_what_is_replayed(hundred: int) -> None:
    """On 500 states: the answer is the same from the facts, from a copy of them, and from what was stored with it."""
    for seed in range(100 * hundred, 100 * (hundred + 1)):
        facts, wanted = state(seed)
        shown, done = decide(facts, wanted), decide(facts_from(plain(facts)), wanted_from(plain(wanted)))
        assert plain(shown.answer) == plain(done.answer), seed
        problem, answer = stored(done)
        assert plain(deciding.replayed(problem).answer) == answer, seed


@pytest.mark.parametrize("seed", range(200))
def test_it_keeps_to_what_an_account_can_take(seed: int) -> None:
    facts, wanted = state(seed)
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
    answers = [decide(*state(seed)).answer for seed in range(200)]
    assert sum(answer.is_sent for answer in answers) > 100
    assert sum(len({child.connection_id for child in answer.children}) > 1 for answer in answers) > 10
    assert sum(bool(answer.refusals) for answer in answers) > 10
    assert sum(answer.needs_approval is not None for answer in answers) > 5


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
        why = deciding.needs_approval(choices, Product.CNC, value)
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
        prices={"NSE": Priced(last_price=Decimal(100), as_of=NOW, by="zerodha")},
        markets={"NSE": Market(phase="CONTINUOUS")},
        accounts=(account,),
        risk=risk(),
    )
    wanted = TestApproval().wanted()
    first = decide(facts, wanted)
    assert first.answer.is_whole
    second = decide(deciding.after(first, facts), wanted)
    assert second.answer.unrouted == 6
    refused = decide(replace(facts, accounts=()), wanted)
    assert refused.answer.refusals[0].code == "nowhere_to_go"
    assert deciding.after(refused, facts) == facts
