"""5: is its price near what was paid last? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from brokers.domain import InstrumentKind, OrderType
from orders.checks.words import Finding, denied, passed, warned
from orders.decisions import Planned
from orders.facts import Facts, Priced, Tradable, Wanted
from orders.risk_words import Occasion
from portfolio.sums import HUNDRED

# A last trade that was told so long ago says nothing of now. (What a broker answers when it is asked is of now.)
OLDEST = timedelta(seconds=10)
STOPS = frozenset({OrderType.SL, OrderType.SL_M})


@dataclass(frozen=True, slots=True, kw_only=True)
class Collar:
    """`pct` of the reference, or `rupees` where that is more; `day_pct`: of the previous close, None: not asked.

    `trigger_pct`, or `trigger_rupees` where that is more: how far from the last price the trigger may be of a stop, and
    of what waits at its broker.
    """

    pct: Decimal
    rupees: Decimal = Decimal(0)
    day_pct: Decimal | None = None
    trigger_pct: Decimal
    trigger_rupees: Decimal = Decimal(0)

    def width(self, reference: Decimal) -> Decimal:
        return max(reference * self.pct / HUNDRED, self.rupees)

    def reach(self, last: Decimal) -> Decimal:
        return max(last * self.trigger_pct / HUNDRED, self.trigger_rupees)


# The exchanges' widest circuit for a share is 20%; futures on shares have dynamic bands, which begin narrower.
COLLARS: Mapping[InstrumentKind, Collar] = {
    InstrumentKind.EQUITY: Collar(pct=Decimal(3), day_pct=Decimal(20), trigger_pct=Decimal(30)),
    InstrumentKind.FUTURE: Collar(pct=Decimal(3), day_pct=Decimal(20), trigger_pct=Decimal(30)),
    # An option may be worth several times as much within a day.
    InstrumentKind.OPTION: Collar(
        pct=Decimal(40), rupees=Decimal(20), trigger_pct=Decimal(300), trigger_rupees=Decimal(50)
    ),
}


def collar(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    if facts.risk is not None and facts.risk.shrinks:
        return (passed(5, "It keeps its price."),)
    found: dict[tuple[str, str], Finding] = {}
    for child in planned:
        place, priced = facts.tradables[child.exchange], facts.prices.get(child.exchange)
        terms = COLLARS.get(place.kind)
        if terms is None:
            one = denied(5, "no_collar", "How far its price may be off is not known.", "It is not dealt in from here.")
            found[one.code, ""] = one
            continue
        for one in (
            *_of_trigger(facts, child, priced, terms),
            *_of_reference(facts, child, priced, terms),
            *_of_close(place, child, priced, terms),
        ):
            found[one.code, one.words] = one
    return tuple(found.values())


def _of_trigger(facts: Facts, child: Planned, priced: Priced | None, terms: Collar) -> tuple[Finding, ...]:
    """A stop's own trigger says nothing of the market: it is held against the last price that is known, however old."""
    trigger = child.trigger_price
    if not _is_triggered(facts, child) or trigger is None:
        return ()
    told = () if priced is None else (priced.last_price, priced.close_price)
    last = next((each for each in told if each is not None and each > 0), None)
    if last is None:
        return (
            denied(
                5, "no_reference", "No price is known to hold its trigger against.",
                "Try again when it trades, or when a broker answers with its price.",
            ),
        )  # fmt: skip
    off, most = abs(trigger - last), terms.reach(last)
    away = f"Its trigger of {trigger.normalize():f} is {off * HUNDRED / last:.2f}% from {last.normalize():f}"
    if off <= most:
        return (passed(5, f"{away}, the last price that is known."),)
    return (
        denied(
            5, "trigger_too_far", f"{away}, the last price that is known: {most.normalize():.2f} is the most.",
            "Choose a trigger nearer to the market.",
        ),
    )  # fmt: skip


def _of_reference(facts: Facts, child: Planned, priced: Priced | None, terms: Collar) -> tuple[Finding, ...]:
    limit, at_trigger = child.price, _is_triggered(facts, child)
    if limit is None:
        return (denied(5, "price_missing", "It has no limit, and would run to any price.", "Give it one."),)
    if at_trigger:
        reference = child.trigger_price
    else:
        reference = priced.last_price if priced is not None and _is_of_now(facts, priced) else None
    if reference is None or reference <= 0:
        return (
            denied(
                5, "no_reference", "No price of the last ten seconds is known to hold its limit against.",
                "Try again when it trades, or when a broker answers with its price.",
            ),
        )  # fmt: skip
    off, width = abs(limit - reference), terms.width(reference)
    what = "its trigger" if at_trigger else f"the last price at {child.exchange}"
    away = f"{off * HUNDRED / reference:.2f}% from {what}, {reference.normalize():f}"
    if off <= width:
        told = "" if at_trigger or priced is None else f", told by {priced.by} {_age(facts, priced)} s ago"
        return (passed(5, f"A limit of {limit.normalize():f} is {away}{told}."),)
    return (
        denied(
            5, "outside_collar",
            f"A limit of {limit.normalize():f} is {away}: {width.normalize():.2f} is the most.",
            "Choose a price nearer to the market.",
        ),
    )  # fmt: skip


def _of_close(place: Tradable, child: Planned, priced: Priced | None, terms: Collar) -> tuple[Finding, ...]:
    if terms.day_pct is None or child.price is None:
        return ()
    close = priced.close_price if priced is not None else None
    if close is None or close <= 0:
        return (warned(5, "close_unknown", "The previous close is not known.", "See the exchange's bands."),)
    off = abs(child.price - close) * HUNDRED / close
    if off <= terms.day_pct:
        return (passed(5, f"It is {off:.2f}% from the previous close, {close.normalize():f}."),)
    return (
        denied(
            5, "outside_day_band",
            f"A limit of {child.price.normalize():f} is {off:.2f}% from the previous close of {close.normalize():f}.",
            f"{place.tradingsymbol} trades within {terms.day_pct:f}% of it: choose such a price.",
        ),
    )  # fmt: skip


def _is_triggered(facts: Facts, child: Planned) -> bool:
    """A stop, and what waits at its broker, goes to the exchange when its trigger is there, and not before."""
    waits = facts.risk is not None and facts.risk.occasion is Occasion.WAITING
    return child.order_type in STOPS or waits


def _is_of_now(facts: Facts, priced: Priced) -> bool:
    return facts.now - priced.as_of <= OLDEST


def _age(facts: Facts, priced: Priced) -> int:
    return max(0, round((facts.now - priced.as_of).total_seconds()))
