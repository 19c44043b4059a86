"""Brokers that count lots: orders leave in lots, and everything that comes back is units here."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from accounts.models import User
from brokers import order_news, registry
from brokers.dealing import OrderChange, Traded
from brokers.domain import Exchange, InstrumentKind, OrderStatus, OrderType, Product, Segment, Side, Validity
from brokers.errors import NotSupported
from brokers.models import BrokerConnection
from brokers.streaming import OrderUpdate
from market.models import Instrument, InstrumentListing
from orders import daybook, listings, reconciling, sending, units
from orders.changing import Asked
from orders.lifecycle import State
from orders.models import Fill, IntentStatus, OrderIntent, RoutingDecision, SeenOrder
from tests.orders.cleared import change_it, stored_run
from tests.orders.conftest import NOW, child_of, later
from tests.orders.fakes import Desk, Desks

pytestmark = pytest.mark.django_db

# As each master says it: Kite's dump and Upstox's NSE commodities know a lot of 1; IIFL's, the lot or the multiplier.
SAID = {
    "zerodha": (Exchange.MCX, 1, None),
    "fyers": (Exchange.MCX, 100, 100),
    "upstox": (Exchange.NCO, 1, None),
    "iifl": (Exchange.MCX, 1, 100),
    "iifl_capital": (Exchange.MCX, 100, 100),
}


def contract_at(exchange: Exchange, lot_size: int | None = 100) -> Instrument:
    return Instrument.objects.create(
        exchange=exchange,
        segment=Segment.COMMODITY,
        kind=InstrumentKind.FUTURE,
        identity=f"{exchange}|CRUDEOIL|2026-12-18|FUT",
        tradingsymbol="CRUDEOIL26DECFUT",
        exchange_token="570001",
        underlying="CRUDEOIL",
        expiry=date(2026, 12, 18),
        lot_size=lot_size,
        tick_size=Decimal(1),
        first_seen_on=date(2026, 1, 1),
        last_seen_on=NOW.date(),
        rank=2,
        words="CRUDEOIL",
    )


def listed(instrument: Instrument, broker: str, multiplier: int = 1, lot_size: int | None = None) -> InstrumentListing:
    return InstrumentListing.objects.create(
        instrument=instrument,
        broker_type=broker,
        broker_token=f"{broker}|570001",
        tradingsymbol="CRUDEOIL26DECFUT",
        multiplier=multiplier,
        lot_size=lot_size,
    )


def at(instrument: Instrument, broker: str) -> Traded | NotSupported:
    place = (broker, Exchange(instrument.exchange))
    return listings.traded(instrument, [place])[place]


@pytest.fixture(params=SAID)
def standing(request: pytest.FixtureRequest, alice: User, desks: Desks) -> tuple[OrderIntent, Desk]:
    """Two lots, sent to one broker that counts them."""
    broker: str = request.param
    exchange, multiplier, lot_size = SAID[broker]
    contract = contract_at(exchange)
    listed(contract, broker, multiplier, lot_size)
    connection = BrokerConnection.objects.create(
        user=alice, broker_type=broker, account_id="A-1", trading_enabled_at=NOW
    )
    intent = OrderIntent.objects.create(
        user=alice,
        instrument=contract,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        product=Product.NRML,
        validity=Validity.DAY,
        quantity=Decimal(200),
        price=Decimal(5500),
        exchanges=[exchange],
        created_at=NOW,
        status=IntentStatus.WORKING,
        status_since=NOW,
    )
    children = [{"connection_id": str(connection.pk), "exchange": exchange, "quantity": "200"}]
    decision = RoutingDecision.objects.create(
        intent=intent,
        made_at=NOW,
        problem={},
        answer={"children": children, "checks": stored_run()},
        solver="test",
        microseconds=0,
    )
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    reconciling.run(later(1.5), desks)
    return intent, desks[connection]


def test_it_leaves_in_lots_and_stands_in_units(standing: tuple[OrderIntent, Desk]) -> None:
    intent, desk = standing
    assert [(request.quantity, request.count) for request in desk.placed] == [(200, 2)]
    child = child_of(intent)
    assert (child.state, child.quantity, child.filled_quantity) == (State.OPEN, 200, 0)
    with pytest.raises(NotSupported):
        listings.of_row(child.traded).counted(Decimal(150))


def test_its_fills_are_units_and_it_is_not_taken_for_whole(standing: tuple[OrderIntent, Desk], desks: Desks) -> None:
    intent, desk = standing
    [order_id] = desk.orders
    desk.tell(order_id, OrderStatus.PARTIALLY_FILLED, filled=1)
    reconciling.run(later(10), desks)
    child = child_of(intent)
    assert (child.state, child.quantity, child.filled_quantity) == (State.PARTIALLY_FILLED, 200, 100)
    desk.tell(order_id, OrderStatus.FILLED, filled=2)
    reconciling.run(later(20), desks)
    intent.refresh_from_db()
    assert (child_of(intent).state, intent.status, intent.quantity) == (State.FILLED, IntentStatus.FILLED, 200)
    assert sorted(Fill.objects.values_list("quantity", flat=True)) == [100, 100]


def test_nor_do_news_of_it_count_otherwise(standing: tuple[OrderIntent, Desk]) -> None:
    intent, desk = standing
    [order_id] = desk.orders
    desk.tell(order_id, OrderStatus.PARTIALLY_FILLED, filled=1)
    connection_id = child_of(intent).broker_connection_id
    assert connection_id is not None
    order_news.tell(connection_id, OrderUpdate(order_id, OrderStatus.PARTIALLY_FILLED, desk.orders[order_id]), later(2))
    child = child_of(intent)
    assert (child.state, child.filled_quantity) == (State.PARTIALLY_FILLED, 100)


def test_a_change_is_asked_for_in_lots(standing: tuple[OrderIntent, Desk], desks: Desks) -> None:
    intent, desk = standing
    change = OrderChange(order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal(300), price=Decimal(5490))
    assert change_it(child_of(intent), change, now=later(3), clients=desks) is Asked.DONE
    [order] = desk.orders.values()
    assert order.quantity == 3
    reconciling.run(later(4), desks)
    intent.refresh_from_db()
    assert (child_of(intent).quantity, intent.quantity) == (300, 300)


def test_the_book_of_the_day_tells_units(standing: tuple[OrderIntent, Desk], alice: User) -> None:
    intent, _ = standing
    [row] = daybook.orders(alice, later(5))["orders"]
    assert (row["order"], row["quantity"], row["filled_quantity"]) == (str(intent.pk), "200", "0")


# --- where it is not known --------------------------------------------------------------------------------------------
def test_nothing_is_dealt_in_lots_of_nobody_knows_how_many_units() -> None:
    contract = contract_at(Exchange.MCX, lot_size=None)
    listed(contract, "zerodha")
    found = at(contract, "zerodha")
    assert isinstance(found, NotSupported)
    assert found.code == "units_unknown"


def test_nor_where_two_say_different_things() -> None:
    contract = contract_at(Exchange.MCX, lot_size=100)
    listed(contract, "fyers", 10, 10)
    assert isinstance(at(contract, "fyers"), NotSupported)


def test_nor_where_units_are_counted_and_the_master_knows_lots_alone() -> None:
    contract = contract_at(Exchange.CDS, lot_size=1000)
    listed(contract, "upstox")
    assert isinstance(at(contract, "upstox"), NotSupported)


def test_units_are_units_whatever_a_master_says_beside_them() -> None:
    contract = contract_at(Exchange.NFO, lot_size=75)
    listed(contract, "iifl", 75, 75)
    found = at(contract, "iifl")
    assert isinstance(found, Traded)
    assert (found.multiplier, found.lot_size, found.counted(Decimal(150))) == (1, 75, 150)


def test_orders_from_outside_are_units_too_or_are_kept_apart(accounts: dict[str, BrokerConnection]) -> None:
    listed(contract_at(Exchange.MCX), "zerodha")
    connection = accounts["zerodha"]
    known, unknown, share = (
        SeenOrder(
            broker_connection=connection,
            exchange=exchange,
            broker_token=token,
            quantity=Decimal(2),
            filled_quantity=Decimal(1),
        )
        for exchange, token in (("MCX", "zerodha|570001"), ("MCX", "nobody's"), ("NSE", "zerodha|1594"))
    )
    clear, unclear = units.of_seen([known, unknown, share], {connection.pk: "zerodha"})
    assert [(order.quantity, order.filled_quantity) for order in clear] == [(200, 100), (2, 1)]
    assert unclear == [unknown]


def test_every_broker_says_where_it_counts_lots() -> None:
    assert {
        broker.spec.slug: set(broker.spec.counts_lots_at) for broker in registry.brokers()
    } == {
        "zerodha": {"CDS", "BCD", "MCX"},
        "groww": set(),
        "angel_one": set(),
        "upstox": {"MCX", "NCO"},
        "fyers": {"CDS", "MCX", "NCO"},
        "iifl": {"CDS", "BCD", "MCX"},
        "iifl_capital": {"MCX", "NCO"},
    }  # fmt: skip


@pytest.mark.parametrize("slug", ["groww", "angel_one"])
def test_where_it_is_not_known_whether_lots_are_counted_no_commodity_is_dealt_in(slug: str) -> None:
    offered = registry.load(slug).spec.capabilities
    assert not {Exchange.MCX, Exchange.NCO} & set(offered.exchanges)
    assert not offered.supports_commodity_trading


@pytest.mark.parametrize("slug", registry.slugs())
def test_nobody_is_said_to_offer_what_is_never_sent(slug: str) -> None:
    """Cover and bracket orders are read, and not placed."""
    offered = registry.load(slug).spec.capabilities
    assert not {Product.CO, Product.BO} & set(offered.products)


def test_what_has_no_name_is_not_offered() -> None:
    assert Exchange.BCD not in registry.load("fyers").spec.capabilities.exchanges
