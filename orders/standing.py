"""Gather what is asked of an order that stands already, and is to be changed. See `orders.inputs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from brokers import registry
from brokers.dealing import OrderChange
from brokers.domain import ZERO, Exchange, OrderType, Product, Side
from orders.facts import Facts, Priced, Resting, Wanted
from orders.inputs import House
from orders.models import ChildOrder, OrderIntent
from orders.readings import listings_of, markets_of, names_at, tradable
from orders.risk_words import Occasion
from portfolio import halting
from portfolio.services import NoBrokerConnections


def prices_of(intent: OrderIntent, now: datetime) -> Mapping[str, Priced]:
    """Last prices of an order's instrument, by exchange; empty where nobody tells one. Raises NoBrokerConnections."""
    house, rows = House(intent.user, now), [intent.instrument]
    return house.prices(rows, house.connections, names_at(rows, {row.broker_type for row in house.connections}))


def change_facts(
    intent: OrderIntent, changes: Mapping[UUID, OrderChange], now: datetime
) -> dict[UUID, tuple[Wanted, Facts]]:
    """What is asked of each order that stands already, as it shall stand: its instrument, its market, and what else is
    the owner's; by child.

    A broker is asked for its book only where it decides: in the ban of an underlying, where more is to be paid, and
    while only what reduces a position goes out.
    """
    children = list(intent.children.filter(pk__in=changes).select_related("intent__instrument"))
    wanted = Wanted(
        instrument_id=intent.instrument_id,
        side=Side(intent.side),
        order_type=OrderType(intent.order_type),
        product=Product(intent.product),
        quantity=intent.quantity,
        exchanges=tuple(Exchange(each) for each in intent.exchanges),
        connection_ids=tuple(str(child.broker_connection_id) for child in children if child.broker_connection_id),
    )
    rows = listings_of(intent.instrument, wanted)
    tradables = {row.exchange: tradable(row, wanted) for row in rows}
    facts = Facts(now=now, tradables=tradables, prices={}, markets=markets_of(tradables.values(), now), accounts=())
    try:
        house = House(intent.user, now)
    except NoBrokerConnections:  # the account was taken away: its order cannot be reached, as the answer says
        return {child.pk: (wanted, facts) for child in children}
    is_asked = any(place.banned for place in tradables.values()) or bool(halting.standing(intent.user_id).halts)
    if is_asked or any(binds_more(child, changes[child.pk]) for child in children):
        house.read_sources([wanted])
    chosen = [row for row in house.connections if str(row.pk) in wanted.connection_ids]
    listed = names_at(rows, {row.broker_type for row in chosen})
    facts = replace(
        facts, **house.standing(wanted, intent, rows), prices=house.prices(rows, chosen, listed), choices=house.choices
    )
    return {child.pk: _of_change(house, intent, child, changes[child.pk], wanted, facts) for child in children}


def binds_more(child: ChildOrder, change: OrderChange) -> bool:
    """Whether an order may bind more than it does: by its size, or by its price."""
    before, after = (each.price or each.trigger_price or ZERO for each in (child, change))
    return change.quantity > child.quantity or after > before


def _of_change(
    house: House, intent: OrderIntent, child: ChildOrder, change: OrderChange, wanted: Wanted, facts: Facts
) -> tuple[Wanted, Facts]:
    """Of one: all but itself stands beside it, and its account is as it was before anything of it was filled."""
    most = registry.load(child.broker_type).spec.order_rules.most_changes
    risk = house.risk.of(
        wanted, intent.instrument, intent, occasion=Occasion.CHANGE, changed=child, change=change, most_changes=most
    )
    own, key = str(child.broker_connection_id), f"{child.exchange}:{child.product}"
    filled = child.filled_quantity if child.side == Side.SELL else -child.filled_quantity
    accounts = tuple(
        replace(account, positions={**account.positions, key: account.positions[key] + filled})
        if account.connection_id == own and key in account.positions
        else account
        for account in facts.accounts
    )
    left = child.quantity - child.filled_quantity
    resting = list(facts.resting)
    mine = Resting(
        connection_id=own, exchange=Exchange(child.exchange), side=Side(child.side), price=child.price, quantity=left
    )
    if mine in resting:
        resting.remove(mine)
    return (
        replace(wanted, quantity=change.quantity, price=change.price, trigger_price=change.trigger_price),
        replace(facts, accounts=accounts, resting=tuple(resting), risk=risk),
    )
