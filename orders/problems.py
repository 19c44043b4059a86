"""From facts to the router's problem: at what price it would go, who may take part, and what each could take. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.clearance import Answer as Light
from brokers.domain import DELIVERY_PRODUCTS, ZERO, Exchange, InstrumentKind, OrderType, Segment, Side
from brokers.wire import IST
from orders.charges import segment_of
from orders.facts import Account, Facts, Priced, Tradable, Wanted, Why
from orders.margins import bound_per_unit
from orders.routing import Bar, Broker, Circuit, Order, Policy, PossiblyLive, Problem, Tax
from orders.rules import protected_price
from portfolio.sums import ROUNDED

# A choice between two exchanges needs both prices this fresh.
FRESH = timedelta(seconds=2)
# Where no master tells it.
USUAL_TICK = Decimal("0.05")
# What an order to a broker that is being tried again may be worth, INR.
PROBE_VALUE = Decimal(10_000)
# Rates on gains since 2024-07-23; what is left of the year's exemption is not known here, and taken for nothing.
TAX = Tax(stcg=Decimal("0.20"), ltcg=Decimal("0.125"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How it would go to one exchange. `expected`: the price to reckon with; `price` is the worst it may get."""

    order_type: OrderType
    price: Decimal
    trigger_price: Decimal | None
    expected: Decimal


def terms_of(facts: Facts, wanted: Wanted) -> tuple[dict[Exchange, Terms], tuple[Why, ...]]:
    """By exchange; and why there are none, where there are none."""
    if any(each.kind is InstrumentKind.INDEX for each in facts.tradables.values()):
        return {}, (AN_INDEX,)
    found: dict[Exchange, Terms] = {}
    for tradable in facts.tradables.values():
        if (terms := _terms_at(tradable, facts.prices.get(tradable.exchange), wanted)) is not None:
            found[tradable.exchange] = terms
    if not facts.tradables:
        return {}, (_NOT_THERE,)
    if not found:
        return {}, (_NO_PRICE,)
    return _comparable(found, facts, wanted), ()


AN_INDEX = Why(
    code="not_tradable",
    words="This is an index: nobody deals in it.",
    remedy="Order a future or an option on it, or a fund that follows it.",
)
_NOT_THERE = Why(
    code="exchange_not_offered",
    words="This instrument is not listed at the exchanges that the order names.",
    remedy="Leave `exchanges` out, or name one where it is listed.",
)
_NO_PRICE = Why(
    code="price_unknown",
    words="Its last price is not known, and an order without a price is sent as one with a limit near it.",
    remedy="Give a price, or try again when it trades.",
)


def _terms_at(tradable: Tradable, priced: Priced | None, wanted: Wanted) -> Terms | None:
    """An order at any price becomes one with a limit: none may be sent to an exchange without protection."""
    last = priced.last_price if priced else None
    match wanted.order_type:
        case OrderType.LIMIT:
            assert wanted.price is not None  # noqa: S101 - the rules ask for it; see `intake.checked`
            better = min if wanted.side is Side.BUY else max
            expected = wanted.price if last is None else better(wanted.price, last)
            return Terms(order_type=OrderType.LIMIT, price=wanted.price, trigger_price=None, expected=expected)
        case OrderType.MARKET:
            if last is None:
                return None
            price = protected_price(wanted.side, last, tradable.kind, tradable.tick_size or USUAL_TICK)
            return Terms(order_type=OrderType.LIMIT, price=price, trigger_price=None, expected=last)
        case OrderType.SL:
            assert wanted.price is not None  # noqa: S101
            return Terms(
                order_type=OrderType.SL,
                price=wanted.price,
                trigger_price=wanted.trigger_price,
                expected=wanted.price,
            )
        case OrderType.SL_M:
            assert wanted.trigger_price is not None  # noqa: S101
            price = protected_price(wanted.side, wanted.trigger_price, tradable.kind, tradable.tick_size or USUAL_TICK)
            return Terms(
                order_type=OrderType.SL, price=price, trigger_price=wanted.trigger_price, expected=wanted.trigger_price
            )


def _comparable(found: dict[Exchange, Terms], facts: Facts, wanted: Wanted) -> dict[Exchange, Terms]:
    """Both exchanges where both prices are fresh; else the one that was asked for, or the first that has a price."""
    fresh = {
        exchange
        for exchange in found
        if (priced := facts.prices.get(exchange)) is not None and facts.now - priced.as_of <= FRESH
    }
    if len(found) == 1 or len(fresh) == len(found):
        return found
    own = next((each.exchange for each in facts.tradables.values() if each.instrument_id == wanted.instrument_id), None)
    chosen = own if own in found else next(iter(found))
    return {chosen: found[chosen]}


# --- who may take part ------------------------------------------------------------------------------------------------
def segment_in(facts: Facts) -> Segment | None:
    return next((each.segment for each in facts.tradables.values()), None)


def is_delivery_sale(facts: Facts, wanted: Wanted) -> bool:
    return wanted.side is Side.SELL and segment_in(facts) is Segment.EQUITY and wanted.product in DELIVERY_PRODUCTS


def reason_against(account: Account, facts: Facts, wanted: Wanted) -> Why | None:
    """Why an account takes no part, whatever the numbers: the first reason. The router has more of its own."""
    name, segment = account.name, segment_in(facts)
    if account.connection_id in wanted.avoids:
        return Why(
            code="tried_already",
            words=f"{name} had a part of this order already, which it did not execute or may still hold",
            remedy="Place a new order if it shall go there again.",
        )
    if not account.trading_enabled:
        return Why(
            code="trading_off",
            words=f"Trading is turned off for {name}",
            remedy="Turn it on for this connection, with a fresh second factor.",
        )
    if account.trade is Light.NO:
        return _first(account.trade_reasons, name)
    if not set(facts.tradables) & set(account.listed):
        return Why(
            code="not_listed", words=f"{name} does not list this instrument", remedy="Use another broker for it."
        )
    offered = [each for place, each in account.listed.items() if place in account.exchanges]
    if not offered:
        return Why(
            code="exchange_not_offered",
            words=f"{name} takes no orders at this exchange from here",
            remedy="Use another broker for it.",
        )
    if any(each.multiplier is None for each in offered):
        return Why(
            code="units_unknown",
            words=f"{name} counts it in lots, and it is not known of how many units",
            remedy="Use another broker for it, until an instrument list says so.",
        )
    if segment is not None and account.segments.get(segment) == Light.NO:
        return Why(
            code="segment_not_enabled",
            words=f"{name} has not enabled this segment for your account",
            remedy="Activate it with the broker, then log in again.",
        )
    if not account.answered:
        return Why(
            code="account_unread",
            words=f"{name} did not say just now what this account holds",
            remedy="Try again when it answers; see its connection.",
        )
    if is_delivery_sale(facts, wanted) and account.sell is Light.NO:
        return _first(account.sell_reasons, name)
    return None


def _first(reasons: Sequence[Why], name: str) -> Why:
    if reasons:
        return reasons[0]
    return Why(code="not_cleared", words=f"{name} would not take an order now", remedy="See its connection.")


# --- the router's problem ---------------------------------------------------------------------------------------------
def problem_of(
    facts: Facts,
    wanted: Wanted,
    terms: Mapping[Exchange, Terms],
    accounts: Sequence[Account],
    against: Mapping[str, Why | None],
) -> Problem:
    """Everything that the choice depends on, in the router's words; `against` bars accounts. Raises ChargeError."""
    places = [facts.tradables[exchange] for exchange in terms]
    first = places[0]
    segment = segment_of(first.exchange, first.kind, wanted.product)
    order = Order(
        side=wanted.side,
        segment=segment,
        quantity=wanted.quantity,
        exchanges=tuple(terms),
        prices={exchange: each.expected for exchange, each in terms.items()},
        on=facts.now.astimezone(IST).date(),
        lot_size=first.lot or Decimal(1),
        freeze_quantities=freezes(places, accounts),
        margin_rate=_margin_rate(places, wanted, terms),
        asset=first.asset,
        bse_group=next((place.bse_group for place in places if place.exchange is Exchange.BSE), "A"),
        underlying=first.underlying or None,
        product=wanted.product,
        is_exit=wanted.reduces,
    )
    return Problem(
        order=order,
        brokers=tuple(_broker(account, facts, wanted, segment, against[account.connection_id]) for account in accounts),
        policy=Policy(
            split_penalty=facts.choices.split_penalty,
            probe_value=PROBE_VALUE,
            sells_unsettled=facts.choices.sells_unsettled,
            tax=TAX if facts.choices.minimises_tax and order.is_delivery_sale else None,
        ),
        possibly_live=tuple(
            PossiblyLive(broker=account.connection_id, quantity=account.possibly_live)
            for account in accounts
            if account.possibly_live > 0
        ),
    )


def _broker(account: Account, facts: Facts, wanted: Wanted, segment: str, why: Why | None) -> Broker:
    own = account.plan_overrides.get("brokerage", {}).get(segment)
    debit = account.plan_overrides.get("dp_sell")
    return Broker(
        id=account.connection_id,
        slug=account.broker_type,
        name=account.name,
        segments=(segment,),
        circuit=Circuit(account.circuit),
        circuit_since=_clock(account.circuit_since),
        barred=Bar(code=why.code, words=why.words.rstrip("."), remedy=why.remedy) if why else None,
        exchanges=tuple(Exchange(each) for each in account.listed if each in account.exchanges),
        products=account.products,
        available=account.available,
        reserved=account.reserved,
        sellable=_sellable(account, facts, wanted),
        unsettled=account.t1,
        debit_authorised=None if account.sell is Light.UNKNOWN else account.sell is Light.YES,
        lots=account.lots,
        rate_tokens=account.rate_tokens,
        max_order_value=account.max_order_value,
        reject_rate=account.reject_rate,
        latency_ms=None if account.latency_ms is None else Decimal(account.latency_ms),
        dp_paid_today=account.dp_paid_today,
        plan_id=account.plan_id,
        is_woman=account.is_woman,
        own_brokerage=own,
        own_debit=None if debit is None else Decimal(str(debit)),
    )


def sellable_of(account: Account, facts: Facts, wanted: Wanted) -> Decimal | None:
    """The same with what is not settled, where its owner sells that."""
    found = _sellable(account, facts, wanted)
    if found is None or wanted.reduces or not facts.choices.sells_unsettled:
        return found
    return max(found, (account.owned or ZERO) + account.t1 - account.sold)


def _sellable(account: Account, facts: Facts, wanted: Wanted) -> Decimal | None:
    """Units that may be sold there; of an exit, those of the position. None: not known, or not bound by it."""
    if wanted.reduces:
        here = sum((account.positions.get(f"{name}:{wanted.product}", ZERO) for name in facts.tradables), ZERO)
        held = here if wanted.side is Side.SELL else -here
        return max(ZERO, held - account.closing) if account.answered else None
    if not is_delivery_sale(facts, wanted) or account.owned is None:
        return None
    return max(ZERO, account.owned - account.sold)


def freezes(places: Sequence[Tradable], accounts: Sequence[Account]) -> dict[Exchange, Decimal]:
    """The smallest that anybody names: brokers' masters are not equally fresh."""
    found = {}
    for place in places:
        listed = [account.listed[place.exchange] for account in accounts if place.exchange in account.listed]
        known = [each for each in (place.freeze_quantity, *(one.freeze_quantity for one in listed)) if each]
        if known:
            found[place.exchange] = min(known)
    return found


def _margin_rate(places: Sequence[Tradable], wanted: Wanted, terms: Mapping[Exchange, Terms]) -> Decimal:
    """The part of the expected value that is bound: reckoned at the worst price that it may get, as brokers do."""
    rates = [
        ROUNDED.divide(
            bound_per_unit(place, wanted.side, wanted.product, terms[place.exchange].price),
            terms[place.exchange].expected,
        )
        for place in places
    ]
    return max(rates)


def _clock(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(IST):%H:%M}"
