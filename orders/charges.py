"""What a deal costs at a broker: every component, exactly, and rounded as an estimate or as a contract note. Pure.

Brokerage is per executed order: partial fills of one order pay one, ten slices pay ten. STT is paid on both sides of
delivery and by sellers elsewhere, stamp duty by buyers, the demat's debit charge on a delivery sale; GST lies on
brokerage, exchange charge, IPFT, SEBI fee, clearing and debit charge. All INR.
Source: the exchanges' and brokers' published charges, in orders/data/charges.json.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import lru_cache, reduce

from brokers.domain import (
    DELIVERY_PRODUCTS,
    SEGMENT_OF,
    ZERO,
    Exchange,
    InstrumentKind,
    Product,
    Segment,
    Side,
)
from orders.tariffs import Asked, Brokerage, ChargeError, DebitCharge, Rates
from portfolio.sums import EXACT

__all__ = [
    "Asked", "Brokerage", "ChargeError", "Costs", "Deal", "Mode", "Rates", "Tariff",
    "exact", "note", "rounded", "segment_of", "tariff",
]  # fmt: skip

PAISA, RUPEE = Decimal("0.01"), Decimal(1)

# Whose tariff a broker's customers pay, where it goes by another name than the broker.
TARIFF_OF = {"iifl_capital": "iifl"}
# Which house an order of each exchange segment is charged by.
HOUSE_OF = {
    Exchange.NSE: "NSE", Exchange.NFO: "NSE", Exchange.CDS: "NSE", Exchange.NCO: "NSE",
    Exchange.BSE: "BSE", Exchange.BFO: "BSE", Exchange.BCD: "BSE", Exchange.MCX: "MCX",
}  # fmt: skip
FAMILY_OF = {Segment.FNO: "equity", Segment.CURRENCY: "currency", Segment.COMMODITY: "commodity"}
DELIVERY = "equity_delivery"


class Mode(StrEnum):
    ESTIMATE = "estimate"  # each component to paise
    CONTRACT_NOTE = "contract_note"  # as estimate; STT, CTT and stamp duty of the whole note to rupees


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """One executed order at one broker. `segment` is a word of charges.json, see `segment_of`.

    `quantity` × `multiplier` are the units, so that who counts units leaves `multiplier` 1. `lots` is needed where the
    plan counts lots. `is_funded`: bought with the broker's money (MTF). `own_brokerage` and `own_debit` are what the
    account pays instead of its plan. `asset` is the class that the tax goes by (EQUITY, EQUITY_ETF, GOLD_ETF, …; of
    commodities NON_AGRI or AGRI).
    """

    broker: str
    segment: str
    exchange: Exchange
    side: Side
    quantity: Decimal
    price: Decimal
    on: date
    multiplier: Decimal = Decimal(1)
    lots: Decimal | None = None
    asset: str = "EQUITY"
    bse_group: str = "A"
    underlying: str | None = None
    plan_id: str | None = None
    dp_paid_today: bool = False
    is_funded: bool = False
    is_woman: bool = False
    own_brokerage: Brokerage | None = None
    own_debit: Decimal | None = None

    @property
    def turnover(self) -> Decimal:
        """What rates are taken of, INR: of an option its premium."""
        return EXACT.multiply(EXACT.multiply(self.quantity, self.multiplier), self.price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What deals cost, INR, by component. They add up; `turnover` is no cost and not in the total."""

    turnover: Decimal = ZERO
    brokerage: Decimal = ZERO
    stt: Decimal = ZERO
    ctt: Decimal = ZERO
    exchange_txn: Decimal = ZERO
    ipft: Decimal = ZERO
    sebi_fee: Decimal = ZERO
    stamp_duty: Decimal = ZERO
    clearing: Decimal = ZERO
    dp: Decimal = ZERO
    gst: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return reduce(EXACT.add, (getattr(self, name) for name in COMPONENTS), ZERO)

    def __add__(self, other: Costs) -> Costs:
        return Costs(**{name: EXACT.add(getattr(self, name), getattr(other, name)) for name in FIELDS})

    def plain(self) -> dict[str, str]:
        """Every component and the total, as text."""
        return {name: f"{getattr(self, name):f}" for name in (*FIELDS, "total")}


FIELDS = tuple(field.name for field in fields(Costs))
COMPONENTS = tuple(name for name in FIELDS if name != "turnover")
# Fractions of the turnover: they add up over slices. Which of them there are is the statutory table's word.
STATUTORY = ("stt", "ctt", "exchange_txn", "ipft", "sebi_fee", "stamp_duty")
WHOLE_RUPEES = frozenset({"stt", "ctt", "stamp_duty"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """All that one kind of deal is charged by, looked up once: for whoever reckons many quantities.

    `rates` are fractions of the turnover by component, clearing included; `gst_on`: the components that GST is of.
    A turnover of 0 is an order that was not executed, and costs nothing.
    """

    terms: Brokerage
    underlying: str | None
    ceiling: Decimal | None
    rates: tuple[tuple[str, Decimal], ...]
    gst: Decimal
    gst_on: frozenset[str]
    debit: DebitCharge | None
    is_woman: bool

    @property
    def fraction(self) -> Decimal:
        """What every rupee of turnover costs beside brokerage and debit charge, GST included."""
        taxed = EXACT.add(Decimal(1), self.gst)
        parts = (EXACT.multiply(rate, taxed) if name in self.gst_on else rate for name, rate in self.rates)
        return reduce(EXACT.add, parts, ZERO)

    def brokerage(self, turnover: Decimal, lots: Decimal | None = None) -> Decimal:
        """Of one executed order, without GST, within the law's ceiling."""
        if not turnover:
            return ZERO
        taken = self.terms.of(turnover, lots, self.underlying)
        return taken if self.ceiling is None else min(taken, EXACT.multiply(self.ceiling, turnover))

    def statutory(self, turnover: Decimal) -> Decimal:
        """All that is proportional to the turnover, clearing and the GST on it included: additive over slices."""
        return EXACT.multiply(self.fraction, turnover)

    def with_gst(self, brokerage: Decimal) -> Decimal:
        """Brokerage and the GST on it."""
        return EXACT.add(brokerage, EXACT.multiply(self.gst, brokerage)) if "brokerage" in self.gst_on else brokerage

    def order(self, turnover: Decimal, lots: Decimal | None = None) -> Decimal:
        """The cost of one executed order, debit charge apart."""
        return EXACT.add(self.with_gst(self.brokerage(turnover, lots)), self.statutory(turnover))

    def debit_charge(self, value: Decimal) -> Decimal:
        """The debit of one ISIN on one day with its GST; 0 where nothing is debited."""
        dp = self._dp(value)
        return EXACT.add(dp, self._gst_of_dp(dp))

    def costs(self, turnover: Decimal, lots: Decimal | None = None, *, debits: bool = True) -> Costs:
        """One executed order by component. `debits`: it is the day's first that takes this ISIN out of the demat."""
        parts = {name: EXACT.multiply(rate, turnover) for name, rate in self.rates}
        parts["brokerage"] = self.brokerage(turnover, lots)
        dp = self._dp(turnover) if debits else ZERO
        taxed = reduce(EXACT.add, (parts[name] for name in parts if name in self.gst_on), ZERO)
        gst = EXACT.add(EXACT.multiply(self.gst, taxed), self._gst_of_dp(dp))
        return Costs(turnover=turnover, dp=dp, gst=gst, **parts)

    def _dp(self, value: Decimal) -> Decimal:
        return ZERO if self.debit is None or not value else self.debit.of(value, is_woman=self.is_woman)

    def _gst_of_dp(self, dp: Decimal) -> Decimal:
        taxed = self.debit is not None and self.debit.has_gst and "dp" in self.gst_on
        return EXACT.multiply(self.gst, dp) if taxed else ZERO


def tariff(deal: Deal, rates: Rates) -> Tariff:
    """What deals of this kind are charged by; quantity, price and lots of `deal` do not matter. Raises ChargeError."""
    return _tariff(
        rates, deal.broker, deal.segment, HOUSE_OF[deal.exchange], deal.side, deal.on, deal.asset, deal.bse_group,
        deal.underlying, deal.plan_id, deal.is_funded, deal.is_woman, deal.own_brokerage, deal.own_debit,
    )  # fmt: skip


def exact(deal: Deal, rates: Rates) -> Costs:
    """What it costs, unrounded. Raises ChargeError where the rates cannot say."""
    return tariff(deal, rates).costs(deal.turnover, deal.lots, debits=not deal.dp_paid_today)


def rounded(costs: Costs, mode: Mode = Mode.ESTIMATE) -> Costs:
    """One deal's costs as they are shown, or as a note of this deal alone. The total is that of the rounded parts."""
    return note((costs,)) if mode is Mode.CONTRACT_NOTE else _to_paise(costs)


def note(deals: Iterable[Costs]) -> Costs:
    """Several deals of one contract note: each to paise, STT, CTT and stamp duty together to whole rupees."""
    deals = tuple(deals)
    whole = reduce(Costs.__add__, deals, Costs())
    paise = reduce(Costs.__add__, map(_to_paise, deals), Costs())
    return Costs(
        turnover=paise.turnover,
        **{
            name: _half_up(getattr(whole, name), RUPEE).quantize(PAISA)
            if name in WHOLE_RUPEES
            else getattr(paise, name)
            for name in COMPONENTS
        },
    )


def segment_of(exchange: Exchange, kind: InstrumentKind, product: Product) -> str:
    """The word of charges.json for what is dealt in. Raises ChargeError for what cannot be dealt in."""
    segment = SEGMENT_OF[exchange]
    if segment is Segment.EQUITY and kind is InstrumentKind.EQUITY:
        return DELIVERY if product in DELIVERY_PRODUCTS else "equity_intraday"
    if segment in FAMILY_OF and kind in (InstrumentKind.FUTURE, InstrumentKind.OPTION):
        return f"{FAMILY_OF[segment]}_{kind.lower()}s"
    raise ChargeError(f"Nothing of kind {kind} is dealt in at {exchange}.", code="segment_unknown")


@lru_cache(maxsize=4096)
def _tariff(
    rates: Rates, broker: str, segment: str, house: str, side: Side, on: date, asset: str, bse_group: str,
    underlying: str | None, plan_id: str | None, is_funded: bool, is_woman: bool, own: Brokerage | None,
    own_debit: Decimal | None,
) -> Tariff:  # fmt: skip
    plan = rates.plan(TARIFF_OF.get(broker, broker), plan_id, on)
    terms = own or (plan.funded if is_funded else plan.brokerage.get(segment))
    if terms is None:
        what = "deals on margin funding" if is_funded else segment
        raise ChargeError(f"The plan {plan.plan_id} of {broker} names no brokerage for {what}.", code="not_offered")
    asked = Asked(
        segment=segment, exchange=house, side=side.lower(), on=on, asset=asset, bse_group=bse_group,
        underlying=underlying,
    )  # fmt: skip
    found = {name: rates.row(name, asked) for name in STATUTORY}
    gst = rates.row("gst", asked)
    assert gst is not None  # noqa: S101 - NEVER_ABSENT
    return Tariff(
        terms=terms,
        underlying=underlying,
        ceiling=plan.ceiling.get(segment),
        rates=(
            *((name, row.rate) for name, row in found.items() if row is not None),
            ("clearing", plan.clearing.get(segment, ZERO)),
        ),
        gst=gst.rate,
        gst_on=gst.of,
        debit=_debit(plan.debit, own_debit) if segment == DELIVERY and side is Side.SELL else None,
        is_woman=is_woman,
    )


def _debit(of_plan: DebitCharge | None, own: Decimal | None) -> DebitCharge | None:
    return of_plan if own is None else DebitCharge(amount=own, has_gst=True)


def _to_paise(costs: Costs) -> Costs:
    return Costs(**{name: _half_up(getattr(costs, name), PAISA) for name in FIELDS})


def _half_up(amount: Decimal, step: Decimal) -> Decimal:
    return amount.quantize(step, rounding=ROUND_HALF_UP, context=EXACT)
