"""Orders that wait at a broker for their price (good till triggered): written down before the call, asked for once.

SENDING → ACTIVE | REJECTED | NOT_PLACED | UNKNOWN        UNKNOWN → ACTIVE | NOT_PLACED, by the broker's list alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import Q

from accounts import audit
from accounts.events import Event
from accounts.models import User
from brokers import registry
from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttRequest, GttStatus
from brokers.domain import Exchange, InstrumentKind, OrderType, Product, Side, Validity
from brokers.errors import BrokerError, NotSupported
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import calling, deciding, door, keys, listings, reducing, ruling
from orders.checks import clearing, table
from orders.checks.clearing import Cleared
from orders.checks.words import Finding
from orders.decisions import Planned
from orders.facts import Facts, Wanted, Why, plain
from orders.gtt_settling import as_at_broker, became, lapse, reader, settle
from orders.inputs import gather
from orders.lifecycle import State, after_call
from orders.models import GttOrder, IdempotencyKey
from orders.problems import AN_INDEX
from orders.refusals import (
    ApprovalNeeded,
    BreaksRule,
    KeyReused,
    NoGtt,
    NothingStands,
    OutcomeOpen,
    UnknownConnection,
    UnknownInstrument,
)
from orders.risk_words import Occasion
from orders.tags import new_tag
from portfolio import halting
from portfolio.latch import May

CALL_SECONDS = calling.CALL_SECONDS
FEATURE = "gtt"
BECAME = {
    State.PENDING: GttStatus.ACTIVE,
    State.REJECTED: GttStatus.REJECTED,
    State.NOT_PLACED: GttStatus.NOT_PLACED,
    State.UNKNOWN: GttStatus.UNKNOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedGtt:
    """`legs`: one, or for OCO two, the lower trigger first."""

    connection_id: UUID
    instrument_id: int
    kind: GttKind
    side: Side
    product: Product
    legs: tuple[GttLeg, ...]


def place(*, user: User, wanted: WantedGtt, key: str | None, now: datetime) -> tuple[GttOrder, bool]:
    """Leave an order at its broker, once per key; and whether this call did.

    Raises UnknownConnection, UnknownInstrument, NoGtt, BreaksRule, ApprovalNeeded, KeyReused, TradingHalted.
    """
    connection, instrument = _own(user, wanted)
    row, is_new = _claimed(user, connection, wanted, keys.checked_key(key), now)
    if not is_new:
        return row, False
    if not calling.takes_orders(connection):
        why = calling.TRADING_OFF
        became(row, GttStatus.NOT_PLACED, now, reason_code=why.code, reason=calling.why_not(why))
        return row, True
    try:
        request, may, cleared = _request(user, connection, instrument, wanted, row, now)
    except BaseException as error:
        code = getattr(error, "default_code", "not_decided")
        became(row, GttStatus.NOT_PLACED, now, reason_code=code, reason=str(error) or "Nothing was sent.")
        raise
    own = str(connection.pk)
    guard = _Guard(user.pk, row.tag, may)
    answer = _call(connection, now, lambda client: door.place_gtt(client, request, cleared, own), guard)
    rules = registry.load(connection.broker_type).spec.order_rules
    state = after_call(answer.error, throttled_before_entry=rules.throttled_before_entry)
    if not answer.is_sent:
        state = State.NOT_PLACED
    elif state is State.PENDING and not answer.value:
        state = State.UNKNOWN
    # While the answer was on its way the list may have told more; the broker's id in the answer outranks that.
    only = None if answer.value else Q(broker_gtt_id=None)
    became(
        row, BECAME[state], now, only=only, broker_gtt_id=answer.value, reason_code=answer.code, reason=answer.reason
    )
    return row, True


def cancel(row: GttOrder, *, user: User, now: datetime) -> GttOrder:
    """Take it back. Raises NothingStands, OutcomeOpen, NotSupported, and the broker's refusal."""
    if row.status in (GttStatus.UNKNOWN, GttStatus.SENDING) and row.broker_gtt_id is None:
        raise OutcomeOpen
    connection = row.broker_connection
    # Of a status that we cannot read it may still fire.
    stands = row.status in (GttStatus.ACTIVE, GttStatus.UNKNOWN)
    if not stands or connection is None or row.broker_gtt_id is None:
        raise NothingStands
    with transaction.atomic():
        audit.record(Event.GTT_CANCELLED, subject=user, thing=("gtt", row.pk), now=now)
    known = as_at_broker(row)
    answer = _call(connection, now, lambda client: _cancelled(client, known))
    if isinstance(answer.error, BrokerError):
        raise answer.error
    if answer.error is not None:
        raise OutcomeOpen
    became(row, GttStatus.CANCELLED, now)
    return row


def refresh(user: User, now: datetime) -> dict[UUID, BrokerError | None]:
    """Bring our rows to what the brokers' lists say now; what went wrong at each that has such orders."""
    lapse(now)
    connections = [row for row in user.broker_connections.active() if _offers(row)]
    clients = calling.clients_for(connections, now)
    asked = {row.pk: calling.submit_reading(row.broker_type, reader(clients[row.pk])) for row in connections}
    outcomes: dict[UUID, BrokerError | None] = {}
    for row in connections:
        found = asked[row.pk].result()
        outcomes[row.pk] = found if isinstance(found, BrokerError) else None
        if not isinstance(found, BrokerError):
            settle(row, found, now)
    return outcomes


# --- steps ------------------------------------------------------------------------------------------------------------
def _own(user: User, wanted: WantedGtt) -> tuple[BrokerConnection, Instrument]:
    connection = user.broker_connections.filter(pk=wanted.connection_id).first()
    if connection is None:
        raise UnknownConnection
    instrument = Instrument.objects.filter(pk=wanted.instrument_id).first()
    if instrument is None:
        raise UnknownInstrument
    if not _offers(connection):
        raise NoGtt
    return connection, instrument


def _offers(connection: BrokerConnection) -> bool:
    return FEATURE in registry.load(connection.broker_type).spec.capabilities.features


@transaction.atomic
def _claimed(
    user: User, connection: BrokerConnection, wanted: WantedGtt, key: str, now: datetime
) -> tuple[GttOrder, bool]:
    """The row of this key, made SENDING where the key is new. Raises KeyReused, TradingHalted."""
    keys.take_turn(user)
    request_hash = sha256(msgspec.json.encode(wanted, order="sorted")).hexdigest()
    used = IdempotencyKey.objects.filter(user=user, key=key).select_related("gtt").first()
    if used is not None:
        if used.request_hash != request_hash or used.gtt is None:
            raise KeyReused
        return used.gtt, False
    standing = halting.standing(user.pk)
    if not standing.passes(May.REDUCE):  # whether it reduces is known only by its facts
        halting.check(user.pk)
    row = GttOrder.objects.create(
        user=user,
        broker_connection=connection,
        broker_type=connection.broker_type,
        instrument_id=wanted.instrument_id,
        kind=wanted.kind,
        side=wanted.side,
        product=wanted.product,
        legs=msgspec.to_builtins(wanted.legs),
        status=GttStatus.SENDING,
        status_since=now,
        tag=new_tag(),
        settle_due_at=now + calling.LAPSE,
        created_at=now,
    )
    IdempotencyKey.objects.create(user=user, key=key, request_hash=request_hash, gtt=row, created_at=now)
    audit.record(Event.GTT_PLACED, subject=user, thing=("gtt", row.pk), now=now)
    return row, True


def _request(
    user: User, connection: BrokerConnection, instrument: Instrument, wanted: WantedGtt, row: GttOrder, now: datetime
) -> tuple[GttRequest, May, Cleared]:
    """What is sent, whether it opens a position, and what was cleared of it; each leg is checked as an order is.

    Raises BreaksRule, ApprovalNeeded, NotSupported, TradingHalted.
    """
    if instrument.kind == InstrumentKind.INDEX:
        raise BreaksRule(AN_INDEX.words, remedy=AN_INDEX.remedy, where={"rule": AN_INDEX.code})
    as_order = ruling.as_orders(wanted.instrument_id, wanted.side, wanted.product, wanted.legs, str(connection.pk))
    facts = gather(user, as_order[0], now=now, occasion=Occasion.WAITING, besides=row.pk)
    for each in as_order:
        if broken := ruling.broken_waiting(facts, each, Exchange(instrument.exchange)):
            raise BreaksRule(broken[0].words, remedy=broken[0].remedy, where={"rule": broken[0].code})
    _check_approval(facts, wanted)
    exchange = Exchange(instrument.exchange)
    # Of two triggers one cancels the other: each by itself must reduce.
    part = (str(connection.pk), exchange.value)
    smaller = all(reducing.reduces(facts, each, {part: each.quantity}) for each in as_order)
    may = May.REDUCE if smaller else May.OPEN
    halting.check(user.pk, may)
    priced = facts.prices.get(exchange)
    if priced is None:
        raise BreaksRule(
            "Its last price is not known, and brokers want it with such an order.",
            remedy="Try again when it trades.",
            where={"rule": "price_unknown"},
        )
    traded = listings.traded(instrument, [(connection.broker_type, exchange)])[connection.broker_type, exchange]
    if isinstance(traded, NotSupported):
        raise traded
    request = GttRequest(
        traded=traded,
        kind=wanted.kind,
        side=wanted.side,
        product=wanted.product,
        legs=wanted.legs,
        last_price=priced.last_price,
        tag=row.tag,
    )
    return request, may, _cleared(connection, exchange, wanted, as_order, facts, row)


def _cleared(
    connection: BrokerConnection,
    exchange: Exchange,
    wanted: WantedGtt,
    as_order: Sequence[Wanted],
    facts: Facts,
    row: GttOrder,
) -> Cleared:
    """Of two legs one is filled, and the other cancelled: each is checked by itself, and all that was found is kept.

    Raises BreaksRule, ApprovalNeeded.
    """
    runs, parts = [], []
    for leg, each in zip(wanted.legs, as_order, strict=True):
        planned = Planned(
            connection_id=str(connection.pk),
            broker_type=connection.broker_type,
            exchange=exchange,
            side=wanted.side,
            order_type=OrderType.LIMIT,
            product=wanted.product,
            validity=Validity.DAY,
            quantity=leg.quantity,
            price=leg.price,
            trigger_price=leg.trigger_price,
        )
        runs.append(table.run(facts, each, [planned]))
        parts.append(planned)
    GttOrder.objects.filter(pk=row.pk).update(checks=plain(runs))
    for checked in runs:
        if stops := table.stopping(checked):
            raise BreaksRule(stops[0].words, remedy=stops[0].remedy, where={"rule": stops[0].code})
        if confirms := table.confirming(checked):
            raise _needs_person(confirms[0])
    return clearing.of_runs(runs, parts)


def _check_approval(facts: Facts, wanted: WantedGtt) -> None:
    """What waits at a broker cannot wait for a person too: none is left there that needs a yes. By leg.

    Raises ApprovalNeeded.
    """
    for leg in wanted.legs:
        price = max(leg.price, leg.trigger_price)
        value = deciding.worth(wanted.side, leg.quantity, price, facts.prices)
        if (needed := deciding.needs_approval(facts.choices, wanted.product, value)) is not None:
            raise _needs_person(needed)


def _needs_person(needed: Why | Finding) -> ApprovalNeeded:
    return ApprovalNeeded(
        f"{needed.words} An order that waits for its price at a broker cannot.",
        remedy="Make it smaller, or place an order when the price is there, which waits for your approval.",
        where={"rule": needed.code},
    )


@dataclass(frozen=True, slots=True)
class _Guard:
    """What is on the way to a broker by this tag, and not while trading is stopped."""

    user_id: int
    tag: str
    may: May


def _call(
    connection: BrokerConnection,
    now: datetime,
    call: Callable[[BrokerClient], str | None],
    guard: _Guard | None = None,
) -> calling.Answer:
    """Make the call. Without a `guard` it takes something back: neither a switch nor a pause holds that up."""
    if guard is not None and not calling.open_now([connection.pk]):  # closed, it may be, while it was checked
        return calling.Answer(error=calling.TRADING_OFF, is_sent=False)
    clients = calling.clients_to_end if guard is None else calling.clients_for
    client = clients([connection], now)[connection.pk]
    if not isinstance(client, BrokerClient):
        return calling.Answer(error=client, is_sent=False)
    hurried = client.within(CALL_SECONDS)
    if guard is None:
        return calling.answered(lambda: call(hurried), connection.broker_type)
    return calling.guarded(call, hurried, user_id=guard.user_id, tag=guard.tag, may=guard.may)


def _cancelled(client: BrokerClient, known: BrokerGtt) -> str | None:
    client.cancel_gtt(known)
    return known.broker_gtt_id
