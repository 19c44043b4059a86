"""What our own orders cost: the deal that an order would be, its estimate, and the contract note once it is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.events import Event
from accounts.models import User
from brokers.domain import DELIVERY_PRODUCTS, SEGMENT_OF, ZERO, Exchange, InstrumentKind, Product, Segment, Side
from brokers.models import BrokerConnection
from brokers.wire import IST
from market.models import Instrument
from orders.charge_models import AccountTerms, ContractNote, own_terms, plain_terms
from orders.charges import COMPONENTS, TARIFF_OF, Costs, Deal, exact, segment_of
from orders.models import ChildOrder
from orders.rates import current_rates
from orders.tariffs import Brokerage, ChargeError, Plan, Rates

# What grows: no tax is taken on futures of these at MCX. Everything else there is taxed.
AGRICULTURAL = frozenset({"CARDAMOM", "COTTON", "COTTONCNDY", "COTTONOIL", "KAPAS", "MENTHAOIL", "CPO", "RUBBER"})
# The groups of BSE that its charge goes by; a share of an unknown group is charged as one of group A.
_GROUPS = ("A B", "E F FC G GC I T W M MT MS TS IF IT", "X XC XD XT Z ZP", "P R SS ST")
GROUPS = frozenset(group for line in _GROUPS for group in line.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one account pays: its plan (None: the broker's usual one) and what it pays instead."""

    plan_id: str | None = None
    is_woman: bool = False
    brokerage: Mapping[str, Brokerage] = field(default_factory=dict)
    debit: Decimal | None = None


USUAL = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCosts:
    """`estimate`: of what is filled, unrounded; None: the rates cannot say, for the reason in `problem`.

    `note`: what the contract note says, None until it is there; `note_total` is the note's own total, which may hold
    more than its components tell.
    """

    estimate: Costs | None
    problem: str
    note: Costs | None
    note_total: Decimal | None

    @property
    def total(self) -> Decimal | None:
        """The note's where there is one, else the estimate's."""
        if self.note_total is not None:
            return self.note_total
        return self.estimate.total if self.estimate is not None else None


def plans_of(broker: str, on: date) -> tuple[Plan, ...]:
    """The plans that accounts at a broker may have on that day, the usual one first."""
    return current_rates().plans(TARIFF_OF.get(broker, broker), on)


def terms_of(connection_ids: Collection[UUID]) -> dict[UUID, Terms]:
    """What these accounts pay. Who told nothing has the usual terms of their broker. Raises ChargeError."""
    found = {row.pk: _terms(row) for row in AccountTerms.objects.filter(pk__in=connection_ids)}
    return {pk: found.get(pk, USUAL) for pk in connection_ids}


def agree_terms(
    connection: BrokerConnection,
    *,
    plan_id: str,
    is_woman: bool,
    overrides: Mapping[str, object],
    actor: User,
    now: datetime,
) -> AccountTerms:
    """Write down what an account pays, in the words of its owner or of support; nothing told: the usual plan.

    Raises ChargeError for a plan that the broker does not have today, and for an override that cannot be read.
    """
    told = _terms(AccountTerms(plan_id=plan_id, is_woman=is_woman, overrides=dict(overrides)))
    if plan_id:
        today = now.astimezone(IST).date()
        current_rates().plan(TARIFF_OF.get(connection.broker_type, connection.broker_type), plan_id, today)
    with transaction.atomic():
        row, _ = AccountTerms.objects.update_or_create(
            broker_connection=connection,
            defaults={
                "plan_id": plan_id,
                "is_woman": is_woman,
                "overrides": plain_terms(told.brokerage, told.debit),
            },
        )
        note_terms(row, actor=actor, now=now)
    return row


def note_terms(row: AccountTerms, *, actor: User, now: datetime) -> None:
    """Tell the audit log; last in the transaction of the change."""
    audit.record(
        Event.CHARGE_TERMS_CHANGED,
        subject=row.broker_connection.user_id,
        actor=actor,
        thing=("connection", row.pk),
        now=now,
        plan=row.plan_id,
        overridden=sorted(row.overrides),
    )


def deal_for(
    *,
    broker: str,
    terms: Terms,
    instrument: Instrument,
    exchange: Exchange,
    product: Product,
    side: Side,
    quantity: Decimal,
    price: Decimal,
    on: date,
    dp_paid_today: bool,
) -> Deal:
    """The deal that an order is, filled at `price`. Quantity in units, of commodities too. Raises ChargeError."""
    segment = segment_of(exchange, InstrumentKind(instrument.kind), product)
    is_counted_in_lots = instrument.kind != InstrumentKind.EQUITY and instrument.lot_size
    return Deal(
        broker=broker,
        segment=segment,
        exchange=exchange,
        side=side,
        quantity=quantity,
        price=price,
        on=on,
        lots=quantity / instrument.lot_size if is_counted_in_lots and instrument.lot_size else None,
        asset=_asset(exchange, instrument),
        bse_group=instrument.series if exchange is Exchange.BSE and instrument.series in GROUPS else "A",
        underlying=instrument.underlying or None,
        plan_id=terms.plan_id,
        dp_paid_today=dp_paid_today,
        is_funded=product is Product.MTF,
        is_woman=terms.is_woman,
        own_brokerage=terms.brokerage.get(segment),
        own_debit=terms.debit,
    )


def record_note(
    child: ChildOrder,
    components: Mapping[str, Decimal],
    *,
    total: Decimal,
    dated: date,
    number: str = "",
    source: str,
    now: datetime,
) -> ContractNote:
    """Keep what the contract note says of a child order; a later note replaces an earlier one.

    Raises ChargeError for a component that does not exist, and for a total below what its components add up to.
    """
    unknown = set(components) - set(COMPONENTS)
    if unknown:
        raise ChargeError(f"There is no component {', '.join(sorted(unknown))}.", code="component_unknown")
    if sum(components.values(), ZERO) > total:
        raise ChargeError("The components are more than the total of the note.", code="note_does_not_add_up")
    note, _ = ContractNote.objects.update_or_create(
        child=child,
        defaults={
            "number": number,
            "dated": dated,
            "components": {name: f"{amount:f}" for name, amount in components.items()},
            "total": total,
            "source": source,
            "noted_at": now,
        },
    )
    return note


def costs_of(child: ChildOrder, rates: Rates | None = None) -> ChildCosts:
    """What a child order cost so far: as estimated from its fills, and as its contract note says."""
    note = ContractNote.objects.filter(child=child).first()
    estimate, problem = None, ""
    try:
        estimate = _estimate(child, rates or current_rates())
    except ChargeError as error:
        problem = str(error)
    return ChildCosts(
        estimate=estimate,
        problem=problem,
        note=Costs(**{name: Decimal(text) for name, text in note.components.items()}) if note else None,
        note_total=note.total if note else None,
    )


def debits_paid(connection_ids: Collection[UUID], isin: str, on: date) -> frozenset[UUID]:
    """The connections at which an order of ours has already sold this ISIN from the demat on that day."""
    return frozenset(
        row.broker_connection_id
        for row in _sales(isin, on).filter(broker_connection_id__in=connection_ids)
        if row.broker_connection_id is not None
    )


def _terms(row: AccountTerms) -> Terms:
    try:
        brokerage, debit = own_terms(row.overrides)
    except ChargeError:
        raise
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        words = f"What this account pays cannot be read: {type(error).__name__} {error}."
        raise ChargeError(words, code="overrides_broken") from None
    return Terms(plan_id=row.plan_id or None, is_woman=row.is_woman, brokerage=brokerage, debit=debit)


def _asset(exchange: Exchange, instrument: Instrument) -> str:
    """No master tells a fund from a share: what has an ISIN is charged as a share, which is never too little."""
    if SEGMENT_OF[exchange] is not Segment.COMMODITY:
        return "EQUITY"
    return "AGRI" if instrument.underlying in AGRICULTURAL else "NON_AGRI"


def _estimate(child: ChildOrder, rates: Rates) -> Costs:
    """Of what is filled; nothing is filled: nothing is paid."""
    if not child.filled_quantity:
        return Costs()
    if child.average_price is None:
        raise ChargeError("The broker has not told the price of what it filled.", code="fact_missing")
    on = child.sent_at.astimezone(IST).date()
    connection_id = child.broker_connection_id
    deal = deal_for(
        broker=child.broker_type,
        terms=terms_of([connection_id])[connection_id] if connection_id else USUAL,
        instrument=child.intent.instrument,
        exchange=Exchange(child.exchange),
        product=Product(child.product),
        side=Side(child.side),
        quantity=child.filled_quantity,
        price=child.average_price,
        on=on,
        dp_paid_today=_is_later_sale(child, on),
    )
    return exact(deal, rates)


def _is_later_sale(child: ChildOrder, on: date) -> bool:
    isin = child.intent.instrument.isin
    if not isin or child.side != Side.SELL or child.broker_connection_id is None:
        return False
    earlier = _sales(isin, on).filter(broker_connection_id=child.broker_connection_id, sent_at__lt=child.sent_at)
    return earlier.exists()


def _sales(isin: str, on: date) -> QuerySet[ChildOrder]:
    """Children that sold this ISIN from a demat on that Indian day, as far as they were filled."""
    start = datetime.combine(on, time(), IST)
    return ChildOrder.objects.filter(
        side=Side.SELL,
        product__in=DELIVERY_PRODUCTS,
        intent__instrument__isin=isin,
        sent_at__gte=start,
        sent_at__lt=start + timedelta(days=1),
        filled_quantity__gt=0,
    )
