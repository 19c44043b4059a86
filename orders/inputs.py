"""Gather, once, everything that a decision about an order is made from. Rows, Redis, and what is stale of a broker.

No transaction is open while a broker is asked. What could not be learnt is None, and stays None.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection as database

from accounts.models import User
from brokers import breaker, governor, reach, registry
from brokers.base import BrokerClient
from brokers.breaker import Circuit, Kind
from brokers.domain import (
    DELIVERY_PRODUCTS,
    ZERO,
    ConnectionStatus,
    Exchange,
    OrderType,
    Product,
    Side,
)
from brokers.lights import clearance_of
from brokers.models import BrokerConnection
from brokers.shared import if_redis_is_there, redis
from brokers.transport import Deadline
from market.models import Instrument
from market.publishing import latest
from orders import closers, units, waiting
from orders.charge_models import AccountTerms
from orders.checks.pricing import OLDEST
from orders.closers import SEEN_STANDING
from orders.facts import (
    RECENT,
    SHARES_AT,
    Account,
    Facts,
    Listed,
    Priced,
    Resting,
    Wanted,
)
from orders.lifecycle import LIVE, POSSIBLY_LIVE
from orders.margins import bound_per_unit
from orders.models import ChildOrder, OrderIntent
from orders.readings import (
    choices_of,
    exact,
    is_asked,
    is_same,
    last_price,
    listings_of,
    lots_of,
    markets_of,
    may_deal,
    names_at,
    owns,
    quoted,
    seen_elsewhere,
    sold_beyond,
    squared_off_at,
    todays_children,
    tradable,
    whole_units,
    whys,
)
from orders.risk_facts import RiskReader
from orders.risk_words import Occasion
from portfolio import services as portfolio
from portfolio.domain import Source, SourceState
from portfolio.services import NoBrokerConnections

# More than anybody holds: what may be any number of units.
NO_END = Decimal(10**12)
# Whom to ask for a price that no stream tells: so many brokers, within so many seconds together.
PRICE_TRIES = 2
PRICE_SECONDS = 1.5


class InstrumentUnknown(Exception):
    """There is no such instrument any more, or there never was."""


def gather(
    user: User,
    wanted: Wanted,
    *,
    now: datetime,
    intent: OrderIntent | None = None,
    occasion: Occasion = Occasion.ORDER,
    besides: UUID | None = None,
) -> Facts:
    """Everything about one order. `intent`: the order that it is about already, whose children may stand somewhere.

    `besides`: the GTT that it is about. Raises InstrumentUnknown, NoBrokerConnections.
    """
    return gather_all(user, [wanted], now=now, intent=intent, occasion=occasion, besides=besides)[0]


def gather_all(
    user: User,
    wanted: Sequence[Wanted],
    *,
    now: datetime,
    intent: OrderIntent | None = None,
    occasion: Occasion = Occasion.ORDER,
    besides: UUID | None = None,
) -> list[Facts]:
    """The same for several at once: each broker is asked once."""
    house = House(user, now, besides)
    instruments = Instrument.objects.in_bulk({each.instrument_id for each in wanted})
    missing = {each.instrument_id for each in wanted} - instruments.keys()
    if missing:
        raise InstrumentUnknown
    house.read_sources(wanted)
    return [house.facts(each, instruments[each.instrument_id], intent, occasion) for each in wanted]


class House:
    """What is the same for all orders of one asking."""

    def __init__(self, user: User, now: datetime, besides: UUID | None = None) -> None:
        self.user, self.now = user, now
        self.waiting = list(waiting.waiting(user, besides))
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
        self.children = todays_children(user, now)
        seen = seen_elsewhere(user, now)
        self.types = {row.pk: row.broker_type for row in self.connections}
        self.seen, self.unclear = units.of_seen(seen, self.types)
        self.terms = AccountTerms.objects.in_bulk([row.pk for row in self.connections])
        self.sources: dict[str, Source] = {}

    def read_sources(self, wanted: Sequence[Wanted]) -> None:
        """The brokers' last answers; where one that counts is older than ORDER_FACTS_LIFETIME, all are asked."""
        # An exit by a figure of some seconds ago may turn the position round.
        exits = any(each.reduces for each in wanted)
        recent = timedelta(0) if exits else settings.ORDER_FACTS_LIFETIME
        sources = portfolio.known_sources(self.user, now=self.now, recent=recent)
        live = {source.connection_id for source in sources if source.state is SourceState.LIVE}
        needed = {str(row.pk) for row in self.connections if may_deal(row) and is_asked(row, wanted)}
        if needed - live:
            sources = portfolio.fetched_sources(self.user, now=self.now)[0]
        self.sources = {source.connection_id: source for source in sources}

    @cached_property
    def risk(self) -> RiskReader:
        """Of the brokers' last answers: those of this asking, where it read them."""
        sources = list(self.sources.values())
        if not sources:
            sources = list(portfolio.known_sources(self.user, now=self.now, recent=settings.ORDER_FACTS_LIFETIME))
        return RiskReader(
            self.user, sources, self.children, self.seen, self.unclear, self.types, self.now, self.waiting
        )

    @cached_property
    def recent(self) -> tuple[str, ...]:
        """See `Facts.recent`."""
        since = self.now - RECENT
        children = [child.pk for child in self.children if child.sent_at >= since]
        return tuple(map(str, children + [row.pk for row in self.waiting if row.created_at >= since]))

    def facts(
        self,
        wanted: Wanted,
        instrument: Instrument,
        intent: OrderIntent | None,
        occasion: Occasion = Occasion.ORDER,
    ) -> Facts:
        rows = listings_of(instrument, wanted)
        tradables = {row.exchange: tradable(row, wanted) for row in rows}
        chosen = [row for row in self.connections if is_asked(row, [wanted])]
        listed = names_at(rows, {row.broker_type for row in chosen})
        markets = markets_of(tradables.values(), self.now)
        accounts = tuple(
            replace(
                self._account(row, wanted, instrument, listed.get(row.broker_type, {}), intent),
                squared_off_at=squared_off_at(row, tradables.values(), markets, self.now),
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
            risk=self.risk.of(wanted, instrument, intent, occasion=occasion),
            recent=self.recent,
        )

    def standing(self, wanted: Wanted, intent: OrderIntent, rows: Sequence[Instrument]) -> dict[str, Any]:
        """The accounts and the resting orders, for what stands already. No price is asked for."""
        listed = names_at(rows, {row.broker_type for row in self.connections})
        accounts = tuple(
            self._account(row, wanted, intent.instrument, listed.get(row.broker_type, {}), intent)
            for row in self.connections
        )
        resting = tuple(self._resting(intent.instrument, rows, listed))
        return {"accounts": accounts, "resting": resting, "recent": self.recent}

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
            trade_reasons=whys(lights.trade),
            sell=lights.sell_holdings.state,
            sell_reasons=whys(lights.sell_holdings),
            segments={segment.value: answer.value for segment, answer in lights.segments.items()},
            products=tuple(capabilities.products),
            order_types=tuple(capabilities.order_types),
            exchanges=tuple(capabilities.exchanges),
            validities=tuple(capabilities.validities),
            answered=answered,
            listed=listed,
            circuit=circuit.state.value if circuit else "closed",
            circuit_since=circuit.opened_at if circuit else None,
            reject_rate=exact(circuit.reject_ratio) if circuit else None,
            latency_ms=circuit.p50_ms if circuit else None,
            rate_tokens=self._tokens_left(row),
            max_order_value=capabilities.max_order_value,
            max_order_quantity=whole_units(capabilities.max_order_quantity),
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
        same_share = [child for child in mine if is_same(child.intent.instrument, instrument)]
        lots = [lot for lot in lots_of(source) if lot.product is Product.CNC and owns(lot, instrument, listed)]
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
            sold=sold_beyond(lots, sells, outside, book.as_of, source),
            positions={f"{each.exchange}:{each.product}": each.quantity for each in positions if each.quantity},
            closing=self._closing(row, wanted, instrument, tokens, book.as_of, intent) if wanted.reduces else ZERO,
            dp_paid_today=dp_paid or any(child.filled_quantity > 0 for child in sells),
            spent=self._spent(row, wanted, instrument, same_share, tokens, book.as_of),
        )

    def _spent(
        self,
        row: BrokerConnection,
        wanted: Wanted,
        instrument: Instrument,
        mine: Sequence[ChildOrder],
        tokens: Collection[str],
        as_of: datetime,
    ) -> Mapping[str, Decimal]:
        """See `Account.spent`. (Of shares that are owned `sold` knows what was filled.)"""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for gtt in self.waiting:
            is_here = gtt.broker_connection_id == row.pk and is_same(gtt.instrument, instrument)
            if is_here and (gtt.side, gtt.product) == (wanted.side, wanted.product):
                found[gtt.instrument.exchange] += waiting.units_of(gtt)
        if wanted.product in DELIVERY_PRODUCTS:
            return found
        children = [child for child in mine if (child.side, child.product) == (wanted.side, wanted.product)]
        since = closers.filled_since(children, as_of)
        for child in children:
            found[child.exchange] += since[child.pk]
        unclear = {order.pk for order in self.unclear}
        for order in (*self.seen, *self.unclear):
            is_here = order.broker_connection_id == row.pk and order.broker_token in tokens
            if not is_here or (order.side, order.product) != (wanted.side, wanted.product):
                continue
            is_new = closers.is_newer(order, as_of) or order.seen_at >= as_of
            if order.pk in unclear and (is_new or order.status in SEEN_STANDING):
                found[order.exchange] += NO_END  # lots of nobody knows how many units
            elif is_new:
                found[order.exchange] += order.filled_quantity
        return {exchange: units for exchange, units in found.items() if units}

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
            price = order.price or order.average_price or order.trigger_price or last_price(order, row.broker_type)
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
            if child.state in LIVE and is_same(child.intent.instrument, instrument) and child.broker_connection_id:
                yield Resting(
                    connection_id=str(child.broker_connection_id),
                    exchange=Exchange(child.exchange),
                    side=Side(child.side),
                    price=child.price,
                    quantity=child.quantity - child.filled_quantity,
                )
        names = {
            (broker_type, exchange, each.broker_token)
            for broker_type, places in names_at(rows, {row.broker_type for row in self.connections}).items()
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
        """Last prices of the last seconds that a stream stands for; else as a broker says now; else older ones."""
        keys = {(Exchange(row.exchange), row.exchange_token): row for row in rows if row.exchange_token}
        found: dict[str, Priced] = {}
        with if_redis_is_there("streamed prices of an order"):
            told = latest(redis(), sorted(keys))
            for key, price in told.prices.items():
                if told.is_fed and not price.stale:
                    found[key[0]] = Priced(
                        last_price=price.last_price,
                        as_of=price.as_of,
                        by=price.source,
                        close_price=price.close_price,
                    )
        fresh = {exchange for exchange, price in found.items() if self.now - price.as_of <= OLDEST}
        if all(row.exchange in fresh for row in rows):
            return found
        # What was dealt in last some time ago is asked for: a broker's answer is of now.
        asked = self._asked_prices(chosen, listed)
        return {**found, **{exchange: price for exchange, price in asked.items() if exchange not in fresh}}

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
            if found := quoted(client, row.broker_type, listed[row.broker_type], self.now):
                return found
        return {}
