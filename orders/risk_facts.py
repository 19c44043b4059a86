"""Gather, once, what the checks before an order need beside its own facts: the book, limits, and what is stopped.

Rows, and the brokers' last answers, which whoever decides has read already. Nobody is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from uuid import UUID

from accounts.models import User
from brokers import clocks
from brokers.dealing import OrderChange
from brokers.domain import SEGMENT_OF, ZERO, Exchange, InstrumentKind, Product, Side
from market.histories import ADV_DAYS, histories
from market.models import Instrument, InstrumentListing
from market.sectors import sector_of
from orders import closers, keys
from orders.changing import is_smaller
from orders.checks.exposure import adds
from orders.closers import SEEN_STANDING
from orders.facts import Wanted
from orders.lifecycle import LIVE
from orders.margins import bound_per_unit
from orders.models import ChildOrder, GttOrder, OrderEvent, OrderIntent, SeenOrder
from orders.readings import is_same, last_price
from orders.risk_book import Valued, valued
from orders.risk_words import Halt, Occasion, OpenOrder, RiskFacts, SetLimit
from orders.waiting import price_of, units_of
from portfolio import halting, limits
from portfolio.domain import Source
from portfolio.risk.directory import share_class, underlying_class
from portfolio.risk.limits import Metric, State
from portfolio.risk.words import RiskClass

# The window in which an order's moves to other brokers are counted.
MOVES_WITHIN = timedelta(minutes=1)
MOVING = "moving"


@dataclass(frozen=True, slots=True)
class Named:
    """What an instrument is in the risk book."""

    instrument: str
    issuer: str
    sector: str


class RiskReader:
    """What is the same for all orders of one asking; nothing is read before it is needed."""

    def __init__(
        self,
        user: User,
        sources: Iterable[Source],
        children: Sequence[ChildOrder],
        seen: Sequence[SeenOrder],
        unclear: Sequence[SeenOrder],
        types: Mapping[UUID, str],
        now: datetime,
        waiting: Sequence[GttOrder] = (),
    ) -> None:
        self.user, self.now = user, now
        self.sources, self.children = list(sources), children
        self.seen, self.unclear, self.types, self.waiting = seen, unclear, types, waiting

    def of(
        self,
        wanted: Wanted,
        instrument: Instrument,
        intent: OrderIntent | None = None,
        *,
        occasion: Occasion = Occasion.ORDER,
        changed: ChildOrder | None = None,
        change: OrderChange | None = None,
        most_changes: int | None = None,
    ) -> RiskFacts:
        """`intent`: the order that it is about already; `changed`: one at a broker that shall be as `change` says."""
        name = self.names[instrument.pk] if instrument.pk in self.names else self._named([instrument])[instrument.pk]
        adv = self._adv(instrument, name)
        return RiskFacts(
            occasion=occasion,
            halts=self._halts[0],
            halts_known=self._halts[1],
            limits=self._limits,
            book=self._book.around(name.instrument, name.issuer, name.sector),
            instrument=name.instrument,
            issuer=name.issuer,
            sector=name.sector,
            accounts=self._book.accounts(),
            orders=tuple(self._open(changed)),
            adv=adv,
            adv_days=ADV_DAYS if adv is not None else 0,
            dealt_today=self._dealt(instrument, changed),
            repeats=tuple(self._repeats(wanted, intent)) if occasion is Occasion.ORDER else (),
            moves=self._moves(intent),
            replaces=None if changed is None else next(iter(self._of_child(changed)), None),
            shrinks=changed is not None and change is not None and is_smaller(changed, change),
            changes=None if changed is None else changed.changes,
            most_changes=most_changes,
            filled=ZERO if changed is None else changed.filled_quantity,
            takes=ZERO if changed is None else changed.quantity,
            binds=ZERO if changed is None else _bound_of(changed),
            skews=clocks.skews(self.now),
        )

    # --- the book -----------------------------------------------------------------------------------------------------
    @cached_property
    def _book(self) -> Valued:
        return valued(self.user, self.sources, self.now)

    @cached_property
    def _halts(self) -> tuple[tuple[Halt, ...], bool]:
        standing = halting.standing(self.user.pk)
        found = (Halt(kind=each.kind, level=each.level, words=halting.words_of(each)) for each in standing.halts)
        return tuple(found), standing.readable

    @cached_property
    def _limits(self) -> tuple[SetLimit, ...]:
        rows = limits.limits_of(self.user, now=self.now).filter(is_enabled=True)
        return tuple(
            SetLimit(
                limit=limits.limit_of(row),
                state=State(row.state),
                states={key: State(each["state"]) for key, each in row.states.items()},
                evaluated=row.evaluated_at is not None,
            )
            for row in rows
        )

    # --- names --------------------------------------------------------------------------------------------------------
    @cached_property
    def names(self) -> dict[int, Named]:
        """Of whatever stands."""
        rows = {child.intent.instrument_id: child.intent.instrument for child in self.children}
        rows |= {gtt.instrument_id: gtt.instrument for gtt in self.waiting}
        return self._named([*rows.values(), *self._of_seen.values()])

    def _named(self, rows: Sequence[Instrument]) -> dict[int, Named]:
        """As `portfolio.risk.directory` would, of instruments that may not be held."""
        hung = {row.underlying for row in rows if row.underlying and SEGMENT_OF[Exchange(row.exchange)] == "FNO"}
        shares = Instrument.objects.filter(
            exchange=Exchange.NSE, kind=InstrumentKind.EQUITY, ended_on=None, tradingsymbol__in=hung
        )
        found = shares.exclude(isin=None).values_list("tradingsymbol", "isin") if hung else ()
        isins = {symbol: isin for symbol, isin in found if isin}
        own = {row.isin for row in rows if row.isin} | set(isins.values())
        sectors = sector_of([each for each in own if each])
        return {row.pk: _name(row, isins, sectors) for row in rows}

    @cached_property
    def _of_seen(self) -> dict[tuple[str, str, str], Instrument]:
        """Of orders from outside, by (broker, exchange, the broker's own token)."""
        every = [*self.seen, *self.unclear]
        if not every:
            return {}
        listings = InstrumentListing.objects.filter(
            broker_type__in=set(self.types.values()), broker_token__in={order.broker_token for order in every}
        ).select_related("instrument")
        return {(each.broker_type, each.instrument.exchange, each.broker_token): each.instrument for each in listings}

    # --- what stands --------------------------------------------------------------------------------------------------
    def _open(self, changed: ChildOrder | None) -> Iterable[OpenOrder]:
        """What may still be filled, and what was since its account's book was told."""
        for child in self.children:
            if changed is None or child.pk != changed.pk:
                yield from self._of_child(child)
            if (since := self._since.get(child.pk, ZERO)) > 0:
                yield self.opened(child, since)
        for gtt in self.waiting:
            yield self.opened(gtt, units_of(gtt))
        known = {order.pk for order in self.seen}
        for order in (*self.seen, *self.unclear):
            left = order.quantity - order.filled_quantity if order.status in SEEN_STANDING else ZERO
            as_of = self._as_of.get(str(order.broker_connection_id))
            if as_of is not None:
                left = closers.open_or_new(order, as_of)
            if left > 0:
                yield self._outside(order, left, counts_units=order.pk in known)

    @cached_property
    def _as_of(self) -> dict[str, datetime]:
        """Of which moment each account's book is."""
        return {each.connection_id: each.portfolio.as_of for each in self.sources if each.portfolio is not None}

    @cached_property
    def _since(self) -> dict[UUID, Decimal]:
        """Units of each order that were filled since its account's book was told."""
        found: dict[UUID, Decimal] = {}
        filled = [child for child in self.children if child.filled_quantity > 0]
        for key, as_of in self._as_of.items():
            if mine := [child for child in filled if str(child.broker_connection_id) == key]:
                found |= closers.filled_since(mine, as_of)
        return found

    def _of_child(self, child: ChildOrder) -> Iterable[OpenOrder]:
        left = child.quantity - child.filled_quantity
        if child.state in LIVE and left > 0:
            yield self.opened(child, left)

    def opened(self, order: ChildOrder | GttOrder, units: Decimal) -> OpenOrder:
        """So many units of it, as an order that stands."""
        price: Decimal | None
        if isinstance(order, GttOrder):
            row, exchange, price = order.instrument, order.instrument.exchange, price_of(order)
        else:
            row, exchange, price = order.intent.instrument, order.exchange, _price_of(order)
        side = Side(order.side)
        name = self.names[row.pk] if row.pk in self.names else self._named([row])[row.pk]
        return OpenOrder(
            connection_id=str(order.broker_connection_id or ""),
            broker_type=order.broker_type,
            instrument=name.instrument,
            issuer=name.issuer,
            sector=name.sector,
            segment=SEGMENT_OF[Exchange(exchange)].value,
            product=Product(order.product),
            side=side,
            units=units,
            adds=adds(row, side, units, price),
        )

    def _outside(self, order: SeenOrder, left: Decimal, *, counts_units: bool) -> OpenOrder:
        broker, side = self.types.get(order.broker_connection_id, ""), Side(order.side)
        row = self._of_seen.get((broker, order.exchange, order.broker_token))
        alone = f"{order.broker_connection_id}|{order.exchange}|{order.tradingsymbol}"
        name = self.names[row.pk] if row is not None else Named(alone, alone, "")
        price = order.price or order.trigger_price or last_price(order, broker)
        is_known = row is not None and counts_units
        return OpenOrder(
            connection_id=str(order.broker_connection_id),
            broker_type=broker,
            instrument=name.instrument,
            issuer=name.issuer,
            sector=name.sector,
            segment=SEGMENT_OF[Exchange(order.exchange)].value,
            product=Product(order.product),
            side=side,
            units=left,
            adds=adds(row, side, left, price) if is_known and row is not None else None,
        )

    def _dealt(self, instrument: Instrument, changed: ChildOrder | None) -> Decimal | None:
        """INR. None: of an order in this very thing nobody knows the price, or the units."""
        total = ZERO
        for child in self.children:
            if not is_same(child.intent.instrument, instrument) or (changed is not None and child.pk == changed.pk):
                continue
            taken = child.quantity if child.state in LIVE else child.filled_quantity
            price = child.average_price if child.state not in LIVE else _price_of(child)
            price = price or _price_of(child)
            if taken and price is None:
                return None
            total += taken * (price or ZERO)
        known = {order.pk for order in self.seen}
        for order in (*self.seen, *self.unclear):
            broker = self.types.get(order.broker_connection_id, "")
            row = self._of_seen.get((broker, order.exchange, order.broker_token))
            if row is None or not is_same(row, instrument):
                continue
            price = order.price or order.average_price or order.trigger_price or last_price(order, broker)
            if price is None or order.pk not in known:
                return None
            total += (order.quantity if order.status in SEEN_STANDING else order.filled_quantity) * price
        return total

    def _adv(self, instrument: Instrument, name: Named) -> Decimal | None:
        """Units, by the past that the store holds; read where a limit asks for it alone."""
        if not any(each.limit.metric is Metric.ORDER_ADV_PCT for each in self._limits):
            return None
        key = instrument.isin or name.instrument
        found = histories([key], days=ADV_DAYS, now=self.now).get(key)
        return None if found is None else found.adv

    # --- what was asked for before ------------------------------------------------------------------------------------
    def _repeats(self, wanted: Wanted, intent: OrderIntent | None) -> Iterable[str]:
        """A part of an order that goes elsewhere repeats nothing; nor does an order repeat itself."""
        if wanted.avoids:
            return
        for row in keys.same_as(self.user, wanted, self.now):
            if intent is None or row.pk != intent.pk:
                yield str(row.pk)

    def _moves(self, intent: OrderIntent | None) -> int:
        if intent is None:
            return 0
        before = OrderEvent.objects.filter(intent=intent, code=MOVING, at__gte=self.now - MOVES_WITHIN, at__lt=self.now)
        return before.order_by().values("at").distinct().count()


def _name(row: Instrument, isins: Mapping[str, str], sectors: Mapping[str, str | None]) -> Named:
    exchange = Exchange(row.exchange)
    if row.kind == InstrumentKind.EQUITY:
        key = row.isin or row.identity
        of_class = share_class(row.isin, None)
        return Named(key, key, _sector(sectors.get(row.isin or ""), of_class))
    isin = isins.get(row.underlying) if SEGMENT_OF[exchange] == "FNO" else None
    of_class = underlying_class(exchange, row.underlying)
    return Named(row.identity, isin or row.underlying or row.identity, _sector(sectors.get(isin or ""), of_class))


def _sector(known: str | None, of_class: RiskClass) -> str:
    """As `portfolio.risk.exposure.sector`."""
    if known:
        return known
    return "" if of_class in (RiskClass.EQUITY, RiskClass.OTHER) else of_class.value


def _price_of(child: ChildOrder) -> Decimal | None:
    price: Decimal | None = child.price or child.trigger_price or child.intent.market_price
    return price


def _bound_of(child: ChildOrder) -> Decimal:
    per_unit = bound_per_unit(
        child.intent.instrument, Side(child.side), Product(child.product), _price_of(child) or ZERO
    )
    return per_unit * Decimal(child.quantity)
