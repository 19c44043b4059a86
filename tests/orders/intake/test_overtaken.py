"""Orders that are decided at once: each is held against what went before it, whenever that was."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from brokers.domain import Product, Side
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import intake
from orders.facts import Wanted
from orders.models import IntentStatus, OrderIntent, Origin
from tests.orders.conftest import NOW
from tests.orders.fakes import Desk
from tests.orders.intake.conftest import Place, Told, buy, holding, only

pytestmark = pytest.mark.django_db

Race = Callable[[Wanted, Wanted], OrderIntent]


@pytest.fixture
def race(alice: User, place: Place, send: intake.Send) -> Race:
    """The first is decided, the second decided and sent, the first sent: what came of it."""

    def run(first: Wanted, second: Wanted) -> OrderIntent:
        def overtaken(**facts: Any) -> bool:
            assert only(place(second, key="key-r-002")).status == IntentStatus.WORKING
            return send(**facts)

        return only(intake.create(user=alice, wanted=[first], key="key-r-001", now=NOW, send=overtaken))

    return run


@pytest.fixture
def here(accounts: dict[str, BrokerConnection]) -> tuple[str, ...]:
    return (str(accounts["zerodha"].pk),)


@pytest.fixture
def there(accounts: dict[str, BrokerConnection]) -> tuple[str, ...]:
    return (str(accounts["upstox"].pk),)


def test_money_is_spent_once(race: Race, infy: Instrument, told: Told, here: tuple[str, ...], desk: Desk) -> None:
    told("zerodha", cash=20_000)
    late = race(buy(infy, 10, connection_ids=here), buy(infy, 9, connection_ids=here))
    assert (late.status, late.reason_code) == (IntentStatus.NOT_PLACED, "too_little_money")
    assert [each.quantity for each in desk.placed] == [9]


def test_where_there_is_enough_both_go(race: Race, infy: Instrument, here: tuple[str, ...], desk: Desk) -> None:
    late = race(buy(infy, 10, connection_ids=here), buy(infy, 9, connection_ids=here))
    assert (late.status, len(desk.placed)) == (IntentStatus.WORKING, 2)


def test_shares_are_sold_once(race: Race, infy: Instrument, told: Told, here: tuple[str, ...], desk: Desk) -> None:
    told("zerodha", holdings=(holding("zerodha", 15),))
    sale = {"side": Side.SELL, "price": Decimal(1499), "connection_ids": here}
    late = race(buy(infy, 10, **sale), buy(infy, 9, **sale))
    assert (late.reason_code, len(desk.placed)) == ("too_few_shares", 1)


def test_they_do_not_meet(race: Race, infy: Instrument, here: tuple[str, ...], there: tuple[str, ...]) -> None:
    intraday = {"product": Product.MIS, "price": Decimal(1500)}
    late = race(
        buy(infy, 10, connection_ids=here, **intraday), buy(infy, 10, side=Side.SELL, connection_ids=there, **intraday)
    )
    assert (late.status, late.reason_code) == (IntentStatus.NOT_PLACED, "self_trade")


def test_nor_do_those_of_a_basket(
    alice: User, infy: Instrument, told: Told, here: tuple[str, ...], there: tuple[str, ...]
) -> None:
    intraday = {"product": Product.MIS, "price": Decimal(1500)}
    one = buy(infy, 10, connection_ids=here, **intraday)
    other = buy(infy, 10, side=Side.SELL, connection_ids=there, **intraday)
    first, second = intake.preview(user=alice, wanted=[one, other], now=NOW)
    assert first.answer.is_sent
    assert not second.answer.is_sent
    told_why = {each.code for each in (*second.answer.refusals, *second.answer.excluded)}
    assert "self_trade" in told_why


def test_a_basket_counts_its_own_orders_once(
    place: Place, infy: Instrument, told: Told, here: tuple[str, ...], desk: Desk
) -> None:
    told("zerodha", cash=40_000)
    taken = place(
        buy(infy, 10, connection_ids=here), buy(infy, 11, connection_ids=here), origin=Origin.BASKET
    )  # fmt: skip
    assert {each.status for each in taken.intents} == {IntentStatus.WORKING}
    assert [each.quantity for each in desk.placed] == [10, 11]
