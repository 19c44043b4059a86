"""The rules of `orders.rules`, asked about an order, about each account that it may go to, and about a change. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from brokers.clearance import Answer as Light
from brokers.dealing import GttLeg, OrderChange
from brokers.domain import (
    DELIVERY_PRODUCTS,
    ZERO,
    Exchange,
    InstrumentKind,
    OrderType,
    Product,
    Segment,
    Side,
    Validity,
)
from market.calendar import Phase
from orders import rules
from orders.decisions import Planned
from orders.facts import Account, Facts, Market, Tradable, Wanted, Why
from orders.margins import is_estimated
from orders.problems import Terms, freezes
from orders.risk_words import Occasion, RiskFacts
from orders.rules import Broken, OrderFacts

if TYPE_CHECKING:
    from orders.models import ChildOrder

NO_MARKET = Market(phase=None)
# What an order keeps to whoever takes it is asked of a broker that refuses nothing.
ANYBODY = "the broker"


def at_exchanges(
    facts: Facts, wanted: Wanted, terms: Mapping[Exchange, Terms]
) -> tuple[dict[Exchange, Terms], tuple[Why, ...]]:
    """Where it breaks no rule, whoever takes it; and, where that is nowhere, why."""
    broken = {exchange: rules.broken(_of_anybody(facts, wanted, exchange, terms[exchange])) for exchange in terms}
    left = {exchange: each for exchange, each in terms.items() if not broken[exchange]}
    if left or not broken:
        return left, ()
    return {}, tuple(why(each) for each in next(iter(broken.values())))


def against(account: Account, facts: Facts, wanted: Wanted, terms: Mapping[Exchange, Terms]) -> Why | None:
    """Why this broker may not be asked, by a rule; None where it may at one exchange at least."""
    first: Why | None = None
    for exchange, each in terms.items():
        if exchange not in account.listed:
            continue
        broken = rules.broken(_at(account, facts, wanted, exchange, each))
        if not broken:
            return None
        first = first or why(broken[0])
    return first


def warnings(facts: Facts, wanted: Wanted) -> tuple[Why, ...]:
    """What a person should know before it goes."""
    found: list[Why] = []
    places = list(facts.tradables.values())
    if places and is_estimated(places[0], wanted.side, wanted.product):
        found.append(
            Why(
                code="margin_estimated",
                words="What it binds at the broker is reckoned by a cautious table of ours.",
                remedy="The broker's own figure decides; it may reject the order, or ask for less.",
            )
        )
    if any(place.banned is None and place.segment is Segment.FNO for place in places):
        found.append(
            Why(
                code="ban_unknown",
                words="It is not known whether the underlying is in the F&O ban.",
                remedy="See the exchange's list of today.",
            )
        )
    if facts.choices.minimises_tax and wanted.side is Side.SELL and wanted.product in DELIVERY_PRODUCTS:
        found.append(
            Why(
                code="tax_terms_unknown",
                words="When shares were bought is not known here: each gain is taken for a short-term one.",
                remedy="Ask your tax adviser where the difference matters.",
            )
        )
    for account in facts.accounts:
        if _stands_against(account, facts, wanted):
            found.append(
                Why(
                    code="position_elsewhere",
                    words=f"{account.name} holds an opposite position, which no order at another broker closes.",
                    remedy="Close it by square-off, at the broker that holds it.",
                )
            )
    return tuple(found)


def unsure(facts: Facts, chosen: Set[str]) -> tuple[Why, ...]:
    """What is not known of the accounts that the order goes to; of the others nobody needs to know."""
    reasons = [
        each
        for account in facts.accounts
        if account.connection_id in chosen and account.trade is Light.UNKNOWN
        for each in account.trade_reasons
    ]
    return tuple(dict.fromkeys(reasons))


def broken_by_change(facts: Facts, child: ChildOrder, change: OrderChange, most_changes: int | None) -> tuple[Why, ...]:
    """What an order that stands would break as it shall stand. `most_changes`: of one order at its broker."""
    exchange = Exchange(child.exchange)
    place = facts.tradables.get(exchange)
    if place is None:
        return ()
    asked = replace(
        _neutral(facts, place, Side(child.side), Product(child.product), change.validity),
        order_type=change.order_type,
        quantity=change.quantity,
        price=change.price,
        trigger_price=change.trigger_price,
        broker=str(child.broker_connection_id),
        broker_name=_names(facts).get(str(child.broker_connection_id), ANYBODY),
        freeze_quantity=freezes([place], facts.accounts).get(exchange),
        position=_position_before(facts, child),
        resting=_resting(facts),
        changes=child.changes,
        most_changes=most_changes,
    )
    return tuple(why(each) for each in rules.broken(asked))


def _position_before(facts: Facts, child: ChildOrder) -> Decimal | None:
    """What its account held before the order: a change asks for all of it, and what is filled was taken off since."""
    for account in facts.accounts:
        if account.connection_id == str(child.broker_connection_id):
            held = account.positions.get(f"{child.exchange}:{child.product}")
            filled = child.filled_quantity
            return None if held is None else held + (filled if child.side == Side.SELL else -filled)
    return None


def as_orders(
    instrument_id: int, side: Side, product: Product, legs: Sequence[GttLeg], connection_id: str
) -> list[Wanted]:
    """The legs of a GTT as the limit orders that the broker makes of them."""
    return [
        Wanted(
            instrument_id=instrument_id,
            side=side,
            order_type=OrderType.LIMIT,
            product=product,
            quantity=leg.quantity,
            price=leg.price,
            connection_ids=(connection_id,),
        )
        for leg in legs
    ]


def broken_waiting(facts: Facts, wanted: Wanted, exchange: Exchange) -> tuple[Why, ...]:
    """What an order that waits for its price breaks now already. It is no order yet: the hour does not matter."""
    terms = Terms(order_type=OrderType.LIMIT, price=wanted.price or ZERO, trigger_price=None, expected=ZERO)
    asked = replace(_of_anybody(facts, wanted, exchange, terms), phase=Phase.CONTINUOUS)
    return tuple(why(each) for each in rules.broken(asked))


def of_planned(facts: Facts, wanted: Wanted, child: Planned) -> OrderFacts:
    """An order as it will be sent, for the rules; of one that stands, as it shall stand."""
    risk = facts.risk or RiskFacts()
    account = next(each for each in facts.accounts if each.connection_id == child.connection_id)
    terms = Terms(
        order_type=child.order_type, price=child.price or ZERO, trigger_price=child.trigger_price, expected=ZERO
    )
    asked = _at(account, facts, wanted, child.exchange, terms)
    if risk.occasion is Occasion.WAITING:
        asked = replace(asked, phase=Phase.CONTINUOUS, resting=())
    freeze = freezes([facts.tradables[child.exchange]], facts.accounts).get(child.exchange)
    return replace(
        asked,
        quantity=child.quantity,
        price=child.price,
        validity=child.validity,
        freeze_quantity=freeze,
        changes=risk.changes,
        most_changes=risk.most_changes,
    )


def why(broken: Broken) -> Why:
    return Why(code=broken.code, words=broken.words, remedy=broken.remedy)


# --- facts for the rules ----------------------------------------------------------------------------------------------
def _neutral(facts: Facts, place: Tradable, side: Side, product: Product, validity: Validity) -> OrderFacts:
    phase = facts.markets.get(place.exchange, NO_MARKET).phase
    return OrderFacts(
        broker="",
        broker_name=ANYBODY,
        exchange=place.exchange,
        kind=place.kind,
        side=side,
        order_type=OrderType.LIMIT,
        product=product,
        validity=validity,
        quantity=ZERO,
        phase=None if phase is None else Phase(phase),
        now=facts.now,
        lot_size=place.lot_size if place.kind is not InstrumentKind.EQUITY else None,
        tick_size=place.tick_size,
        series=place.series,
        is_banned=place.banned,
        squared_off_at=datetime.max.replace(tzinfo=facts.now.tzinfo),
    )


def _of_anybody(facts: Facts, wanted: Wanted, exchange: Exchange, terms: Terms) -> OrderFacts:
    """Of the order alone. A ban and the hour of squaring-off hang on the account, too: they are asked there."""
    place = facts.tradables[exchange]
    asked = _neutral(facts, place, wanted.side, wanted.product, wanted.validity)
    return replace(
        asked,
        order_type=terms.order_type,
        quantity=wanted.quantity,
        price=terms.price,
        trigger_price=terms.trigger_price,
        is_banned=None,
    )


def _at(account: Account, facts: Facts, wanted: Wanted, exchange: Exchange, terms: Terms) -> OrderFacts:
    place = facts.tradables[exchange]
    return replace(
        _of_anybody(facts, wanted, exchange, terms),
        broker=account.connection_id,
        broker_name=account.name,
        order_types=frozenset(account.order_types),
        products=frozenset(account.products),
        exchanges=frozenset(account.exchanges),
        validities=frozenset(account.validities),
        is_banned=place.banned,
        position=account.positions.get(f"{exchange}:{wanted.product}"),
        squared_off_at=account.squared_off_at,
        resting=_resting(facts),
    )


def _names(facts: Facts) -> dict[str, str]:
    return {each.connection_id: each.name for each in facts.accounts}


def _resting(facts: Facts) -> tuple[rules.Resting, ...]:
    names = _names(facts)
    return tuple(
        rules.Resting(
            broker=each.connection_id,
            broker_name=names.get(each.connection_id, "another broker"),
            exchange=each.exchange,
            side=each.side,
            price=each.price,
        )
        for each in facts.resting
    )


def _stands_against(account: Account, facts: Facts, wanted: Wanted) -> bool:
    if wanted.reduces or wanted.product in DELIVERY_PRODUCTS:
        return False
    here = sum((account.positions.get(f"{name}:{wanted.product}", Decimal(0)) for name in facts.tradables), ZERO)
    return here > 0 if wanted.side is Side.SELL else here < 0
