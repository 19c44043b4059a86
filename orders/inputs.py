"""Gather, once, everything that a decision about an order is made from. Rows, Redis, and what is stale of a broker.

No transaction is open while a broker is asked. What could not be learnt is None, and stays None.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db.models import Q

from accounts.models import User
from brokers import breaker, governor, reach, registry
from brokers.base import BrokerClient
from brokers.breaker import Circuit, Kind
from brokers.clearance import Answer, Light
from brokers.domain import (
    DELIVERY_PRODUCTS,
    ZERO,
    ConnectionStatus,
    Exchange,
    InstrumentKind,
    Listing,
    OptionType,
    OrderType,
    Product,
    Side,
)
from brokers.errors import BrokerError
from brokers.lights import clearance_of
from brokers.models import BrokerConnection
from brokers.shared import if_redis_is_there, redis
from brokers.transport import Deadline
from brokers.wire import IST
from market import calendar
from market.days import days_of
from market.models import Instrument, InstrumentListing
from market.publishing import latest
from orders import closers, costing, units
from orders.charge_models import AccountTerms
from orders.closers import SEEN_STANDING
from orders.examples import DATA
from orders.facts import (
    SHARES_AT,
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
)
from orders.lifecycle import LIVE, POSSIBLY_LIVE, STANDING, State
from orders.margins import bound_per_unit
from orders.models import ChildOrder, OrderIntent, OrderSettings, SeenOrder
from orders.square_off import SquareOffs
from orders.tariffs import ChargeError
from portfolio import services as portfolio
from portfolio.domain import Source, SourceState
from portfolio.lots import Lot, directory_of, split
from portfolio.services import NoBrokerConnections

# Whom to ask for a price that no stream tells: so many brokers, within so many seconds together.
PRICE_TRIES = 2
PRICE_SECONDS = 1.5
NEVER_THERE = frozenset({State.REJECTED, State.NOT_PLACED})


class InstrumentUnknown(Exception):
    """There is no such instrument any more, or there never was."""


def gather(user: User, wanted: Wanted, *, now: datetime, intent: OrderIntent | None = None) -> Facts:
    """Everything about one order. `intent`: the order that it is about already, whose children may stand somewhere.

    Raises InstrumentUnknown, NoBrokerConnections.
    """
    return gather_all(user, [wanted], now=now, intent=intent)[0]


def gather_all(
    user: User, wanted: Sequence[Wanted], *, now: datetime, intent: OrderIntent | None = None
) -> list[Facts]:
    """The same for several at once: each broker is asked once."""
    house = _House(user, now)
    instruments = Instrument.objects.in_bulk({each.instrument_id for each in wanted})
    missing = {each.instrument_id for each in wanted} - instruments.keys()
    if missing:
        raise InstrumentUnknown
    house.read_sources(wanted)
    return [house.facts(each, instruments[each.instrument_id], intent) for each in wanted]


class _House:
    """What is the same for all orders of one asking."""

    def __init__(self, user: User, now: datetime) -> None:
        self.user, self.now = user, now
        self.connections = list(
            BrokerConnection.objects.active()
            .filter(user=user)
            .select_related("user")
            .prefetch_related("user__broker_apps")
        )
        if not self.connections:
            raise NoBrokerConnections
        self.choices = choices_of(user)
        self.circuits: dict[str, Circuit] = {
            circuit.broker_type: circuit for circuit in breaker.states(now=now) if circuit.kind is Kind.ORDERS
        }
        self.children = _todays_children(user, now)
        seen = _seen_elsewhere(user, now)
        types = {row.pk: row.broker_type for row in self.connections}
        self.seen, self.unclear = units.of_seen(seen, types)
        self.terms = AccountTerms.objects.in_bulk([row.pk for row in self.connections])
        self.sources: dict[str, Source] = {}

    def read_sources(self, wanted: Sequence[Wanted]) -> None:
        """The brokers' last answers; where one that counts is older than ORDER_FACTS_LIFETIME, all are asked."""
        # An exit by a figure of some seconds ago may turn the position round.
        exits = any(each.reduces for each in wanted)
        recent = timedelta(0) if exits else settings.ORDER_FACTS_LIFETIME
        sources = portfolio.known_sources(self.user, now=self.now, recent=recent)
        live = {source.connection_id for source in sources if source.state is SourceState.LIVE}
        needed = {str(row.pk) for row in self.connections if _may_deal(row) and _is_asked(row, wanted)}
        if needed - live:
            sources = portfolio.fetched_sources(self.user, now=self.now)[0]
        self.sources = {source.connection_id: source for source in sources}

    def facts(self, wanted: Wanted, instrument: Instrument, intent: OrderIntent | None) -> Facts:
        rows = _listings_of(instrument, wanted)
        tradables = {row.exchange: _tradable(row, wanted) for row in rows}
        chosen = [row for row in self.connections if _is_asked(row, [wanted])]
        listed = _listed(rows, {row.broker_type for row in chosen})
        markets = _markets(tradables.values(), self.now)
        accounts = tuple(
            replace(
                self._account(row, wanted, instrument, listed.get(row.broker_type, {}), intent),
                squared_off_at=_squared_off_at(row, tradables.values(), markets, self.now),
            )
            for row in chosen
        )
        return Facts(
            now=self.now,
            tradables=tradables,
            prices=self.prices(rows, chosen, listed),
            markets=markets,
            accounts=accounts,
            choices=self.choices,
            resting=tuple(self._resting(instrument, rows, listed)),
            held_quantity=sum((account.possibly_live for account in accounts), ZERO),
        )

    def standing(self, wanted: Wanted, intent: OrderIntent, rows: Sequence[Instrument]) -> dict[str, Any]:
        """The accounts and the resting orders, for what stands already. No price is asked for."""
        listed = _listed(rows, {row.broker_type for row in self.connections})
        accounts = tuple(
            self._account(row, wanted, intent.instrument, listed.get(row.broker_type, {}), intent)
            for row in self.connections
        )
        return {"accounts": accounts, "resting": tuple(self._resting(intent.instrument, rows, listed))}

    # --- one account --------------------------------------------------------------------------------------------------
    def _account(
        self,
        row: BrokerConnection,
        wanted: Wanted,
        instrument: Instrument,
        listed: Mapping[str, Listed],
        intent: OrderIntent | None,
    ) -> Account:
        lights, source = clearance_of(row, now=self.now), self.sources.get(str(row.pk))
        answered = source is not None and source.state is SourceState.LIVE and source.portfolio is not None
        capabilities = registry.load(row.broker_type).spec.capabilities
        circuit, terms = self.circuits.get(row.broker_type), self.terms.get(row.pk)
        account = Account(
            connection_id=str(row.pk),
            broker_type=row.broker_type,
            name=row.display_name or row.broker_name,
            rank=registry.order_of(row.broker_type),
            trading_enabled=row.trading_enabled_at is not None,
            trade=lights.trade.state,
            trade_reasons=_whys(lights.trade),
            sell=lights.sell_holdings.state,
            sell_reasons=_whys(lights.sell_holdings),
            segments={segment.value: answer.value for segment, answer in lights.segments.items()},
            products=tuple(capabilities.products),
            order_types=tuple(capabilities.order_types),
            exchanges=tuple(capabilities.exchanges),
            validities=tuple(capabilities.validities),
            answered=answered,
            listed=listed,
            circuit=circuit.state.value if circuit else "closed",
            circuit_since=circuit.opened_at if circuit else None,
            reject_rate=_exact(circuit.reject_ratio) if circuit else None,
            latency_ms=circuit.p50_ms if circuit else None,
            rate_tokens=self._tokens_left(row),
            max_order_value=capabilities.max_order_value,
            max_order_quantity=_units(capabilities.max_order_quantity),
            possibly_live=self._possibly_live(row, intent),
            plan_id=(terms.plan_id or None) if terms else None,
            is_woman=terms.is_woman if terms else False,
            plan_overrides=terms.overrides if terms else {},
        )
        if source is None or not answered:
            return account
        return self._with_answer(account, source, row, wanted, instrument, listed, intent)

    def _with_answer(
        self,
        account: Account,
        source: Source,
        row: BrokerConnection,
        wanted: Wanted,
        instrument: Instrument,
        listed: Mapping[str, Listed],
        intent: OrderIntent | None,
    ) -> Account:
        """With what the broker said, and what our own orders have taken since."""
        book = source.portfolio
        assert book is not None  # noqa: S101 - it answered
        funds_as_of = source.funds_as_of or book.as_of
        mine = [child for child in self.children if child.broker_connection_id == row.pk]
        same_share = [child for child in mine if _is_same(child.intent.instrument, instrument)]
        lots = [lot for lot in _lots(source) if lot.product is Product.CNC and _owns(lot, instrument, listed)]
        tokens = {each.broker_token for each in listed.values()}
        positions = [
            each
            for each in book.positions
            if (each.isin and each.isin == instrument.isin) or each.broker_token in tokens
        ]
        sells = [child for child in same_share if child.side == Side.SELL and child.product == Product.CNC]
        outside = [
            order
            for order in self.seen
            if order.broker_connection_id == row.pk and order.broker_token in tokens and order.side == Side.SELL
        ]
        reserved = self._reserved(row, mine, funds_as_of)
        dp_paid = any(each.is_delivery and each.day_sell_quantity > 0 for each in positions)
        return replace(
            account,
            as_of=funds_as_of,
            available=book.funds.available if book.funds and reserved is not None else None,
            reserved=reserved or ZERO,
            owned=sum((lot.settled for lot in lots), ZERO),
            t1=sum((lot.t1 for lot in lots), ZERO),
            sold=_sold(lots, sells, outside, book.as_of, source),
            positions={f"{each.exchange}:{each.product}": each.quantity for each in positions if each.quantity},
            closing=self._closing(row, wanted, instrument, tokens, book.as_of, intent) if wanted.reduces else ZERO,
            dp_paid_today=dp_paid or any(child.filled_quantity > 0 for child in sells),
        )

    def _closing(
        self,
        row: BrokerConnection,
        wanted: Wanted,
        instrument: Instrument,
        tokens: Collection[str],
        as_of: datetime,
        intent: OrderIntent | None,
    ) -> Decimal:
        return closers.closing(
            row, instrument, wanted.product, wanted.side, tokens=tokens, as_of=as_of, now=self.now, besides=intent
        )

    def _reserved(self, row: BrokerConnection, mine: Iterable[ChildOrder], as_of: datetime) -> Decimal | None:
        """INR that orders have taken and the answer of `as_of` may not know of.

        What left before it is in the broker's own figure, unless nobody knows whether it is there at all. None: nobody
        knows the price of an order from outside.
        """
        if self._binds_unknown(row, as_of):
            return None
        total = ZERO
        for child in mine:
            taken = child.quantity if child.state in LIVE else child.filled_quantity
            if taken and (child.sent_at >= as_of or child.state in POSSIBLY_LIVE):
                price = child.price or child.trigger_price or child.intent.market_price or ZERO
                side, product = Side(child.side), Product(child.product)
                total += taken * bound_per_unit(child.intent.instrument, side, product, price)
        for order in self.seen:
            if order.broker_connection_id != row.pk or not closers.is_newer(order, as_of):
                continue
            if order.side == Side.SELL and order.product in DELIVERY_PRODUCTS and order.exchange in SHARES_AT:
                continue  # shares that are sold for keeps bind nothing: they are there
            price = order.price or order.average_price or order.trigger_price or _last_price(order, row.broker_type)
            if price is None:
                return None
            taken = order.quantity if order.status in SEEN_STANDING else order.filled_quantity
            total += taken * price
        return total

    def _binds_unknown(self, row: BrokerConnection, as_of: datetime) -> bool:
        """Whether an order from outside takes money since then, and nobody knows how much."""
        return any(
            order.broker_connection_id == row.pk and order.placed_at is not None and order.placed_at >= as_of
            for order in self.unclear
        )

    def _possibly_live(self, row: BrokerConnection, intent: OrderIntent | None) -> Decimal:
        return sum(
            (
                child.quantity - child.filled_quantity
                for child in self.children
                if intent is not None
                and child.intent_id == intent.pk
                and child.broker_connection_id == row.pk
                and child.state in POSSIBLY_LIVE
            ),
            ZERO,
        )

    def _tokens_left(self, row: BrokerConnection) -> int | None:
        """How many orders may still leave now, by the tightest of the broker's windows and our own."""
        windows = governor.budget(row.broker_type, str(row.pk), "orders", now=self.now).windows
        if any(window.paused_until is not None and window.paused_until > self.now for window in windows):
            return 0
        return min((window.left for window in windows), default=None)

    # --- the market ---------------------------------------------------------------------------------------------------
    def _resting(
        self, instrument: Instrument, rows: Sequence[Instrument], listed: Mapping[str, Mapping[str, Listed]]
    ) -> Iterable[Resting]:
        """The owner's own orders in the same thing, at whatever broker."""
        for child in self.children:
            if child.state in LIVE and _is_same(child.intent.instrument, instrument) and child.broker_connection_id:
                yield Resting(
                    connection_id=str(child.broker_connection_id),
                    exchange=Exchange(child.exchange),
                    side=Side(child.side),
                    price=child.price,
                    quantity=child.quantity - child.filled_quantity,
                )
        names = {
            (broker_type, exchange, each.broker_token)
            for broker_type, places in _listed(rows, {row.broker_type for row in self.connections}).items()
            for exchange, each in places.items()
        }
        types = {row.pk: row.broker_type for row in self.connections}
        # (Of lots of unknown units it counts alone that they stand.)
        for order in (*self.seen, *self.unclear):
            broker_type = types.get(order.broker_connection_id)
            if order.status in SEEN_STANDING and (broker_type, order.exchange, order.broker_token) in names:
                yield Resting(
                    connection_id=str(order.broker_connection_id),
                    exchange=Exchange(order.exchange),
                    side=Side(order.side),
                    price=None if order.order_type in (OrderType.MARKET, OrderType.SL_M) else order.price,
                    quantity=order.quantity - order.filled_quantity,
                )

    def prices(
        self,
        rows: Sequence[Instrument],
        chosen: Sequence[BrokerConnection],
        listed: Mapping[str, Mapping[str, Listed]],
    ) -> dict[str, Priced]:
        """Last prices that a stream stands for; else as a broker says now; else none."""
        keys = {(Exchange(row.exchange), row.exchange_token): row for row in rows if row.exchange_token}
        found: dict[str, Priced] = {}
        with if_redis_is_there("streamed prices of an order"):
            told = latest(redis(), sorted(keys))
            for key, price in told.prices.items():
                if told.is_fed and not price.stale:
                    found[key[0]] = Priced(last_price=price.last_price, as_of=price.as_of, by=price.source)
        if all(row.exchange in found for row in rows):
            return found
        return {**self._asked_prices(chosen, listed), **found}

    def _asked_prices(
        self, chosen: Sequence[BrokerConnection], listed: Mapping[str, Mapping[str, Listed]]
    ) -> dict[str, Priced]:
        deadline, tried = Deadline(PRICE_SECONDS), 0
        ready = [row for row in chosen if row.status == ConnectionStatus.CONNECTED and listed.get(row.broker_type)]
        clients = reach.clients_for(ready, deadline=deadline, now=self.now)
        if not database.in_atomic_block:
            database.close()
        for row in ready:
            client = clients[row.pk]
            if not isinstance(client, BrokerClient) or tried == PRICE_TRIES:
                continue
            tried += 1
            if found := _quoted(client, row.broker_type, listed[row.broker_type], self.now):
                return found
        return {}


# --- rows -------------------------------------------------------------------------------------------------------------
def choices_of(user: User) -> Choices:
    """What the owner chose. A row that cannot be understood says nothing of approval: every order then waits for it."""
    row = OrderSettings.objects.filter(user=user).first()
    if row is None:
        return Choices()
    try:
        return Choices(
            split_penalty=row.split_penalty,
            sells_unsettled=row.sells_unsettled,
            minimises_tax=row.minimises_tax,
            broker_order=tuple(map(str, row.broker_order)),
            approval_above=row.approval_above,
            approval_products=tuple(map(Product, row.approval_products)),
            approval_minutes=row.approval_minutes,
            approval_known=row.approval_above is None or row.approval_above >= 0,
        )
    except (TypeError, ValueError):
        return Choices(approval_known=False)


def _todays_children(user: User, now: datetime) -> list[ChildOrder]:
    """Of today, and those of before that have not ended."""
    today = now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = ChildOrder.objects.filter(Q(sent_at__gte=today) | Q(state__in=LIVE), intent__user=user)
    return list(rows.exclude(state__in=NEVER_THERE).select_related("intent__instrument"))


def _seen_elsewhere(user: User, now: datetime) -> list[SeenOrder]:
    """What was placed outside and stands at the brokers, or was filled today."""
    rows = SeenOrder.objects.filter(broker_connection__user=user, day=now.astimezone(IST).date(), child=None)
    return list(rows.filter(Q(status__in=SEEN_STANDING) | Q(filled_quantity__gt=0)))


def _listings_of(instrument: Instrument, wanted: Wanted) -> list[Instrument]:
    """The instrument and, for a share, its twin at the other exchange; only where it may go."""
    rows = [instrument]
    if instrument.isin and instrument.exchange in SHARES_AT and not wanted.reduces:
        twins = Instrument.objects.filter(
            isin=instrument.isin, exchange__in=SHARES_AT, ended_on=None, kind=InstrumentKind.EQUITY
        ).exclude(exchange=instrument.exchange)
        rows += twins.order_by("rank", "id")[:1]
    return [row for row in rows if not wanted.exchanges or row.exchange in wanted.exchanges]


def prices_of(intent: OrderIntent, now: datetime) -> Mapping[str, Priced]:
    """Last prices of an order's instrument, by exchange; empty where nobody tells one. Raises NoBrokerConnections."""
    house, rows = _House(intent.user, now), [intent.instrument]
    return house.prices(rows, house.connections, _listed(rows, {row.broker_type for row in house.connections}))


def facts_of(intent: OrderIntent, now: datetime) -> Facts:
    """What the rules ask of an order that stands already: the instrument, its market, and what else is the owner's.

    A broker is asked for its positions only where they decide: in the ban of an underlying.
    """
    standing = intent.children.filter(state__in=STANDING)
    wanted = Wanted(
        instrument_id=intent.instrument_id,
        side=Side(intent.side),
        order_type=OrderType(intent.order_type),
        product=Product(intent.product),
        quantity=intent.quantity,
        exchanges=tuple(Exchange(each) for each in intent.exchanges),
        connection_ids=tuple(str(key) for key in standing.values_list("broker_connection_id", flat=True) if key),
    )
    rows = _listings_of(intent.instrument, wanted)
    tradables = {row.exchange: _tradable(row, wanted) for row in rows}
    facts = Facts(now=now, tradables=tradables, prices={}, markets=_markets(tradables.values(), now), accounts=())
    try:
        house = _House(intent.user, now)
    except NoBrokerConnections:  # the account was taken away: its order cannot be reached, as the answer says
        return facts
    if any(place.banned for place in tradables.values()):
        house.read_sources([wanted])
    return replace(facts, **house.standing(wanted, intent, rows))


def _charged_as(row: Instrument, wanted: Wanted) -> tuple[str, str]:
    """The classes that its charges go by. What cannot be dealt in is refused by its rule, not here."""
    try:
        deal = costing.deal_for(
            broker="",
            terms=costing.USUAL,
            instrument=row,
            exchange=Exchange(row.exchange),
            product=wanted.product,
            side=wanted.side,
            quantity=wanted.quantity,
            price=Decimal(1),
            on=row.last_seen_on,
            dp_paid_today=False,
        )
    except ChargeError:
        return "EQUITY", "A"
    return deal.asset, deal.bse_group


def _tradable(row: Instrument, wanted: Wanted) -> Tradable:
    asset, bse_group = _charged_as(row, wanted)
    return Tradable(
        instrument_id=row.pk,
        exchange=Exchange(row.exchange),
        exchange_token=row.exchange_token,
        tradingsymbol=row.tradingsymbol,
        kind=InstrumentKind(row.kind),
        isin=row.isin,
        underlying=row.underlying,
        expiry=row.expiry,
        strike=row.strike,
        option_type=OptionType(row.option_type) if row.option_type else None,
        lot_size=row.lot_size,
        tick_size=row.tick_size,
        freeze_quantity=row.freeze_quantity,
        series=row.series,
        cas_eligible=row.cas_eligible,
        banned=row.banned,
        ended=row.ended_on is not None,
        asset=asset,
        bse_group=bse_group,
    )


def _listed(rows: Sequence[Instrument], brokers: Iterable[str]) -> dict[str, dict[str, Listed]]:
    """By broker, then by exchange."""
    exchange_of = {row.pk: row.exchange for row in rows}
    found: dict[str, dict[str, Listed]] = defaultdict(dict)
    listings = InstrumentListing.objects.filter(
        instrument__in=exchange_of, broker_type__in=set(brokers), withdrawn_on=None
    ).select_related("instrument")
    for each in listings:
        found[each.broker_type][exchange_of[each.instrument_id]] = Listed(
            broker_token=each.broker_token,
            tradingsymbol=each.tradingsymbol,
            multiplier=units.in_one(each, each.instrument),
            lot_size=each.lot_size,
            tick_size=each.tick_size,
            freeze_quantity=each.freeze_quantity,
        )
    return found


def _markets(tradables: Iterable[Tradable], now: datetime) -> dict[str, Market]:
    each = list(tradables)
    days = days_of([one.exchange for one in each], now)
    found = {}
    for one in each:
        state = calendar.state(one.exchange, now, days[one.exchange], cas_eligible=bool(one.cas_eligible))
        found[one.exchange.value] = Market(phase=state.phase.value if state.phase else None, until=state.until)
    return found


@cache
def _square_offs() -> SquareOffs:
    return SquareOffs(json.loads((DATA.parent / "square_off.json").read_bytes()))


def _squared_off_at(
    row: BrokerConnection, tradables: Iterable[Tradable], markets: Mapping[str, Market], now: datetime
) -> datetime | None:
    """When this broker closes intraday positions in it today; of two exchanges the earlier. None: not known."""
    found = []
    for place in tradables:
        market = markets[place.exchange]
        found.append(
            _square_offs().of(
                row.broker_type,
                place.segment,
                now.astimezone(IST).date(),
                is_auction_share=place.cas_eligible,
                closes_at=market.until if market.phase == calendar.Phase.CONTINUOUS else None,
            )
        )
    known = [each for each in found if each is not None]
    return min(known) if known and len(known) == len(found) else None


# --- readings ---------------------------------------------------------------------------------------------------------
def _may_deal(row: BrokerConnection) -> bool:
    return row.trading_enabled_at is not None and row.status == ConnectionStatus.CONNECTED


def _is_asked(row: BrokerConnection, wanted: Iterable[Wanted]) -> bool:
    return any(not each.connection_ids or str(row.pk) in each.connection_ids for each in wanted)


def _whys(light: Light) -> tuple[Why, ...]:
    if light.state is Answer.YES:
        return ()
    return tuple(Why(code=each.code, words=each.words, remedy=each.remedy) for each in light.reasons)


def _lots(source: Source) -> list[Lot]:
    return split(source, directory_of([source]))[0]


def _owns(lot: Lot, instrument: Instrument, listed: Mapping[str, Listed]) -> bool:
    if lot.isin is not None:
        return lot.isin == instrument.isin
    place = listed.get(lot.exchange)
    return place is not None and place.tradingsymbol == lot.symbol


def _is_same(one: Instrument, other: Instrument) -> bool:
    return one.pk == other.pk or (one.isin is not None and one.isin == other.isin)


def _sold(
    lots: Sequence[Lot], mine: Iterable[ChildOrder], outside: Iterable[SeenOrder], as_of: datetime, source: Source
) -> Decimal:
    """Shares that sales take beyond what the broker's own figure has taken out.

    Sales that left before the answer, and stood when it came, may be blocked in it already (`used_quantity`); what left
    later, and what may be there, is not.
    """
    isins = {lot.isin for lot in lots if lot.isin}
    assert source.portfolio is not None  # noqa: S101 - it answered
    blocked = sum(
        (
            each.used_quantity
            for each in source.portfolio.holdings
            if each.isin in isins and each.sales_deducted is not None
        ),
        ZERO,
    )
    mine = list(mine)
    since = closers.filled_since(mine, as_of)
    before = later = ZERO
    for child in mine:
        taken = child.quantity if child.state in LIVE else child.filled_quantity
        if child.sent_at >= as_of or child.state in POSSIBLY_LIVE:
            later += taken
        else:
            standing = child.quantity - child.filled_quantity if child.state in STANDING else ZERO
            before += standing + since[child.pk]
    for order in outside:
        taken = closers.open_or_new(order, as_of)
        if closers.is_newer(order, as_of):
            later += taken
        else:
            before += taken
    return later + max(ZERO, before - blocked)


def _last_price(order: SeenOrder, broker_type: str) -> Decimal | None:
    """What a stream says of an order's instrument, which is any."""
    named = InstrumentListing.objects.filter(
        broker_type=broker_type, broker_token=order.broker_token, instrument__exchange=order.exchange
    )
    token = named.values_list("instrument__exchange_token", flat=True).first()
    if not token:
        return None
    with if_redis_is_there("the price of an order from outside"):
        told = latest(redis(), [(Exchange(order.exchange), token)])
        price = next(iter(told.prices.values()), None)
        if told.is_fed and price is not None and not price.stale:
            return price.last_price
    return None


def _quoted(client: BrokerClient, slug: str, places: Mapping[str, Listed], now: datetime) -> dict[str, Priced]:
    listings = [
        Listing(exchange=Exchange(exchange), tradingsymbol=each.tradingsymbol, broker_token=each.broker_token)
        for exchange, each in places.items()
    ]
    try:
        quotes = client.quotes(listings)
    except BrokerError:
        return {}  # another broker is asked; nothing but this price hangs on it
    return {
        quote.exchange.value: Priced(last_price=quote.last_price, as_of=now, by=slug)
        for quote in quotes
        if quote.last_price is not None
    }


def _exact(ratio: float | None) -> Decimal | None:
    return None if ratio is None else Decimal(repr(round(ratio, 6)))


def _units(number: int | None) -> Decimal | None:
    return None if number is None else Decimal(number)
