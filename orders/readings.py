"""Rows and brokers' answers, read one by one into the words of a decision. What is not known stays None."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache

from django.db.models import Q

from accounts.models import User
from brokers.base import BrokerClient
from brokers.clearance import Answer, Light
from brokers.domain import (
    ZERO,
    ConnectionStatus,
    Exchange,
    InstrumentKind,
    Listing,
    OptionType,
    Product,
)
from brokers.errors import BrokerError
from brokers.models import BrokerConnection
from brokers.shared import if_redis_is_there, redis
from brokers.wire import IST
from market import calendar
from market.days import days_of
from market.models import Instrument, InstrumentListing
from market.publishing import latest
from orders import closers, costing, units
from orders.closers import SEEN_STANDING
from orders.examples import DATA
from orders.facts import (
    SHARES_AT,
    Choices,
    Listed,
    Market,
    Priced,
    Tradable,
    Wanted,
    Why,
)
from orders.lifecycle import LIVE, POSSIBLY_LIVE, STANDING, State
from orders.models import ChildOrder, OrderSettings, SeenOrder
from orders.square_off import SquareOffs
from orders.tariffs import ChargeError
from portfolio.domain import Source
from portfolio.lots import Lot, directory_of, split

NEVER_THERE = frozenset({State.REJECTED, State.NOT_PLACED})


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


def todays_children(user: User, now: datetime) -> list[ChildOrder]:
    """Of today, and those of before that have not ended."""
    today = now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = ChildOrder.objects.filter(Q(sent_at__gte=today) | Q(state__in=LIVE), intent__user=user)
    return list(rows.exclude(state__in=NEVER_THERE).select_related("intent__instrument"))


def seen_elsewhere(user: User, now: datetime) -> list[SeenOrder]:
    """What was placed outside and stands at the brokers, or was filled today."""
    rows = SeenOrder.objects.filter(broker_connection__user=user, day=now.astimezone(IST).date(), child=None)
    return list(rows.filter(Q(status__in=SEEN_STANDING) | Q(filled_quantity__gt=0)))


def listings_of(instrument: Instrument, wanted: Wanted) -> list[Instrument]:
    """The instrument and, for a share, its twin at the other exchange; only where it may go."""
    rows = [instrument]
    if instrument.isin and instrument.exchange in SHARES_AT and not wanted.reduces:
        twins = Instrument.objects.filter(
            isin=instrument.isin, exchange__in=SHARES_AT, ended_on=None, kind=InstrumentKind.EQUITY
        ).exclude(exchange=instrument.exchange)
        rows += twins.order_by("rank", "id")[:1]
    return [row for row in rows if not wanted.exchanges or row.exchange in wanted.exchanges]


def charged_as(row: Instrument, wanted: Wanted) -> tuple[str, str]:
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


def tradable(row: Instrument, wanted: Wanted) -> Tradable:
    asset, bse_group = charged_as(row, wanted)
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
        last_seen_on=row.last_seen_on,
    )


def names_at(rows: Sequence[Instrument], brokers: Iterable[str]) -> dict[str, dict[str, Listed]]:
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


def markets_of(tradables: Iterable[Tradable], now: datetime) -> dict[str, Market]:
    each = list(tradables)
    days = days_of([one.exchange for one in each], now)
    found = {}
    for one in each:
        state = calendar.state(one.exchange, now, days[one.exchange], cas_eligible=bool(one.cas_eligible))
        found[one.exchange.value] = Market(phase=state.phase.value if state.phase else None, until=state.until)
    return found


@cache
def square_offs() -> SquareOffs:
    return SquareOffs(json.loads((DATA.parent / "square_off.json").read_bytes()))


def squared_off_at(
    row: BrokerConnection, tradables: Iterable[Tradable], markets: Mapping[str, Market], now: datetime
) -> datetime | None:
    """When this broker closes intraday positions in it today; of two exchanges the earlier. None: not known."""
    found = []
    for place in tradables:
        market = markets[place.exchange]
        found.append(
            square_offs().of(
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
def may_deal(row: BrokerConnection) -> bool:
    return row.trading_enabled_at is not None and row.status == ConnectionStatus.CONNECTED


def is_asked(row: BrokerConnection, wanted: Iterable[Wanted]) -> bool:
    return any(not each.connection_ids or str(row.pk) in each.connection_ids for each in wanted)


def whys(light: Light) -> tuple[Why, ...]:
    if light.state is Answer.YES:
        return ()
    return tuple(Why(code=each.code, words=each.words, remedy=each.remedy) for each in light.reasons)


def lots_of(source: Source) -> list[Lot]:
    return split(source, directory_of([source]))[0]


def owns(lot: Lot, instrument: Instrument, listed: Mapping[str, Listed]) -> bool:
    if lot.isin is not None:
        return lot.isin == instrument.isin
    place = listed.get(lot.exchange)
    return place is not None and place.tradingsymbol == lot.symbol


def is_same(one: Instrument, other: Instrument) -> bool:
    return one.pk == other.pk or (one.isin is not None and one.isin == other.isin)


def sold_beyond(
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


def last_price(order: SeenOrder, broker_type: str) -> Decimal | None:
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


def quoted(client: BrokerClient, slug: str, places: Mapping[str, Listed], now: datetime) -> dict[str, Priced]:
    listings = [
        Listing(exchange=Exchange(exchange), tradingsymbol=each.tradingsymbol, broker_token=each.broker_token)
        for exchange, each in places.items()
    ]
    try:
        quotes = client.quotes(listings)
    except BrokerError:
        return {}  # another broker is asked; nothing but this price hangs on it
    return {
        quote.exchange.value: Priced(last_price=quote.last_price, as_of=now, by=slug, close_price=quote.close_price)
        for quote in quotes
        if quote.last_price is not None
    }


def exact(ratio: float | None) -> Decimal | None:
    return None if ratio is None else Decimal(repr(round(ratio, 6)))


def whole_units(number: int | None) -> Decimal | None:
    return None if number is None else Decimal(number)
