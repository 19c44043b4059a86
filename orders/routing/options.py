"""One account on one exchange as the solver sees it: how many lots it may take, and what every number of them costs.

Costs are whole numbers, so that nothing is ever rounded and comparing is exact: INR × 10^PLACES.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal

from brokers.domain import ZERO, Exchange, Side
from orders.charges import Costs, Deal, tariff
from orders.routing.problem import BadProblem, Broker, Circuit, Order, Policy, Tax
from orders.tariffs import Brokerage, Rates
from portfolio.sums import EXACT

PLACES = 60
SHORT = "short"


def scaled(amount: Decimal) -> int:
    """As a whole number. Raises BadProblem for more digits than any product of prices and rates has."""
    shifted = EXACT.scaleb(amount, PLACES)
    whole = int(shifted)
    if whole != shifted:
        raise BadProblem("A number of the routing problem has too many digits.")
    return whole


def unscaled(amount: int) -> Decimal:
    return tidy(EXACT.scaleb(Decimal(amount), -PLACES))


def tidy(number: Decimal) -> Decimal:
    """Without trailing zeros, and never as 1E+2."""
    short = number.normalize(EXACT)
    exponent = short.as_tuple().exponent
    return short.quantize(Decimal(1), context=EXACT) if isinstance(exponent, int) and exponent > 0 else short


def product(*factors: Decimal) -> Decimal:
    result = Decimal(1)
    for factor in factors:
        result = EXACT.multiply(result, factor)
    return result


def lots_within(amount: Decimal, per_lot: Decimal) -> int:
    """How many whole lots an amount holds; none where it is below zero."""
    return max(0, int(EXACT.divide_int(amount, per_lot)))


class Option:
    """One account on one exchange. Raises ChargeError where its charges are not known, BadProblem for broken numbers.

    `most` is the largest number of lots, `limit` the code of what holds it there; "" where nothing does. What may be
    taken is always downward closed: with x lots, every smaller number is possible too.
    """

    def __init__(
        self, order: Order, broker: Broker, exchange: Exchange, policy: Policy, rates: Rates, wanted: int
    ) -> None:
        self.broker, self.exchange = broker, exchange
        self.lot_size = order.lot_size
        self.price = order.prices[exchange]
        self.lot_value = product(order.lot_size, order.multiplier, self.price)
        self.tariff = tariff(_deal(order, broker, exchange), rates)
        self.pays_debit = not broker.dp_paid_today
        self.slice_lots = slice_lots(order, broker, exchange)
        self._brokerages: dict[int, int] = {}
        self._statutory = scaled(self.tariff.statutory(self.lot_value))
        self.health = scaled(product(self.lot_value, _health_rate(broker, policy)))
        self._price = scaled(self.lot_value) * (1 if order.side is Side.BUY else -1)
        self._usage = scaled(policy.split_penalty)
        self.gains = _Gains(order, broker, self.price, policy.tax) if policy.tax and order.is_delivery_sale else None
        self.limit, self.most = self._tightest(order, policy, wanted)

    def charges(self, lots: int) -> int:
        """All that it costs to deal, of every slice, the debit charge once."""
        size = self.slice_lots or max(lots, 1)
        full, rest = divmod(lots, size)
        slices = (full * self._brokerage(size) if full else 0) + (self._brokerage(rest) if rest else 0)
        return lots * self._statutory + slices + self._debit(lots)

    def cost(self, lots: int) -> int:
        """Its part of what is made least, the split penalty included, tax excluded."""
        return lots * (self._price + self.health) + self.charges(lots) + self._usage if lots else 0

    def children(self, lots: int) -> int:
        """How many orders so many lots take."""
        return -(-lots // self.slice_lots) if self.slice_lots else int(lots > 0)

    def taxed(self, lots: int) -> tuple[int, int]:
        """What its short- and its long-term gains are taxed by themselves; below zero for a loss."""
        return self.gains.taxed(lots * self.lot_size) if self.gains else (0, 0)

    def bends(self) -> list[int]:
        """Every number of lots, in order, beside which the cost may change its slope or jump.

        Between two neighbours that are more than one lot apart, cost, tax and number of orders go in a straight line.
        """
        found = {0, 1, self.most}
        step = self.slice_lots or self.most
        kinks = sorted({lots + beside for lots in self._kinks() for beside in (-1, 0, 1, 2)})
        for start in range(0, self.most + 1, max(step, 1)):
            found.update((start, start + 1))
            found.update(start + kink for kink in kinks if kink <= step)
        found.update(range(self._debit_edge() - 2, self._debit_edge() + 2))
        if self.gains:
            found.update(edge + beside for edge in self.gains.edges(self.lot_size) for beside in (0, 1))
        return sorted(lots for lots in found if 0 <= lots <= self.most)

    def roams(self, lots: int) -> bool:
        """Whether a whole slice could go, or come, at the one price that every whole slice has here."""
        step = self.slice_lots or self.most
        return step + self._debit_edge() < lots <= self.most - step

    def lines(self, lots: int) -> Costs:
        """What it costs by component, unrounded."""
        value = product(Decimal(lots), self.lot_value)
        total = Costs()
        for size in self.slices(lots):
            total += self.tariff.costs(product(Decimal(size), self.lot_value), Decimal(size), debits=False)
        if self.pays_debit and self.tariff.debit is not None:
            dp = self.tariff.debit.of(value, is_woman=self.tariff.is_woman)
            total += Costs(dp=dp, gst=EXACT.subtract(self.tariff.debit_charge(value), dp))
        return total

    def slices(self, lots: int) -> Iterator[int]:
        """The orders that so many lots become, in the order of sending."""
        while lots > 0:
            size = min(lots, self.slice_lots or lots)
            yield size
            lots -= size

    def _brokerage(self, lots: int) -> int:
        """Of one order, with GST. Kept: the same sizes come again and again."""
        known = self._brokerages.get(lots)
        if known is None:
            turnover = product(Decimal(lots), self.lot_value)
            known = scaled(self.tariff.with_gst(self.tariff.brokerage(turnover, Decimal(lots))))
            self._brokerages[lots] = known
        return known

    def _debit(self, lots: int) -> int:
        if not lots or not self.pays_debit or self.tariff.debit is None:
            return 0
        return scaled(self.tariff.debit_charge(product(Decimal(lots), self.lot_value)))

    def _debit_edge(self) -> int:
        """Up to about this many lots the debit charge is less; 0 where it is the same for all."""
        debit = self.tariff.debit
        return 0 if debit is None or debit.waived_below is None else lots_within(debit.waived_below, self.lot_value) + 1

    def _kinks(self) -> Iterator[int]:
        """Where the brokerage of one order changes its slope, rounded down to lots: where two of its terms meet."""
        terms = self.tariff.terms
        fixed = {amount for amount in (terms.cap, terms.floor, terms.amount) if amount}
        for rate in filter(None, (terms.rate, self.tariff.ceiling)):
            for amount in fixed:
                yield lots_within(amount, product(rate, self.lot_value))

    def _tightest(self, order: Order, policy: Policy, wanted: int) -> tuple[str, int]:
        limits = [("", wanted), *self._limits(order, policy)]
        # Funds last: they are sought below what all the others leave.
        code, most = min(limits, key=lambda limit: limit[1])
        if order.is_exit or order.is_delivery_sale:
            return code, most
        funded = self._funded(order, most)
        return (code, most) if funded == most else ("funds", funded)

    def _limits(self, order: Order, policy: Policy) -> Iterator[tuple[str, int]]:
        broker, per_order = self.broker, self.slice_lots
        if order.is_delivery_sale or order.is_exit:
            free = broker.sellable or ZERO
            if order.is_delivery_sale and policy.sells_unsettled:
                free = EXACT.add(free, broker.unsettled)
            yield ("position" if order.is_exit else "shares"), lots_within(free, order.lot_size)
        if broker.exposure_left is not None:
            yield "exposure", lots_within(broker.exposure_left, self.lot_value)
        if broker.circuit is Circuit.HALF_OPEN:
            probe = lots_within(policy.probe_value or ZERO, self.lot_value)
            yield "probe", min(probe, per_order) if per_order else probe
        if per_order and broker.rate_tokens is not None:
            yield "rate_tokens", broker.rate_tokens * per_order
        if per_order:
            yield "max_children", policy.max_children * per_order

    def _funded(self, order: Order, most: int) -> int:
        """The most lots up to `most` whose margin and charges the funds cover: both only grow with the number."""
        free = scaled(EXACT.subtract(self.broker.available or ZERO, self.broker.reserved))
        margin = scaled(product(self.lot_value, Decimal(1) if order.margin_rate is None else order.margin_rate))

        def covered(lots: int) -> bool:
            return lots * margin + self.charges(lots) <= free

        if most == 0 or covered(most):
            return most
        low, high = 0, most  # `low` is covered (none costs nothing), `high` is not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if covered(middle) else (low, middle)
        return low


class _Gains:
    """What is gained by selling the first so many units of a demat, oldest first. What no lot tells is at its worst."""

    def __init__(self, order: Order, broker: Broker, price: Decimal, tax: Tax) -> None:
        self.ends: list[Decimal] = []  # where each lot ends, in units
        self.sums: list[tuple[Decimal, Decimal]] = [(ZERO, ZERO)]  # gains up to each lot's beginning
        self.gain: list[tuple[Decimal, bool]] = []  # per unit of each lot, and whether it is short-term
        self.rates = (tax.stcg, tax.ltcg)
        self.unknown_from: Decimal | None = None
        for lot in broker.lots or ():
            if lot.cost is None and self.unknown_from is None:
                self.unknown_from = self.ends[-1] if self.ends else ZERO
            gain = price if lot.cost is None else EXACT.subtract(price, lot.cost)
            is_short = lot.cost is None or lot.term == SHORT
            start = self.ends[-1] if self.ends else ZERO
            self.ends.append(EXACT.add(start, lot.quantity))
            self.gain.append((gain, is_short))
            self.sums.append(self._after(len(self.ends) - 1, lot.quantity))
        if self.unknown_from is None:
            self.unknown_from = self.ends[-1] if self.ends else ZERO
        self.gain.append((price, True))

    def taxed(self, units: Decimal) -> tuple[int, int]:
        number = bisect_right(self.ends, units)
        start = self.ends[number - 1] if number else ZERO
        short, long = self._after(number, EXACT.subtract(units, start))
        return scaled(EXACT.multiply(short, self.rates[0])), scaled(EXACT.multiply(long, self.rates[1]))

    def is_guess(self, units: Decimal) -> bool:
        """Whether a unit without a known cost is among them."""
        return self.unknown_from is None or units > self.unknown_from

    def edges(self, lot_size: Decimal) -> Iterator[int]:
        for end in self.ends:
            yield lots_within(end, lot_size)

    def _after(self, number: int, units: Decimal) -> tuple[Decimal, Decimal]:
        short, long = self.sums[number]
        gain, is_short = self.gain[number]
        made = EXACT.multiply(gain, units)
        return (EXACT.add(short, made), long) if is_short else (short, EXACT.add(long, made))


def slice_lots(order: Order, broker: Broker, exchange: Exchange) -> int | None:
    """The lots of the largest single order; None: any number. 0: not even one lot."""
    caps = []
    if exchange in order.freeze_quantities:
        caps.append(lots_within(order.freeze_quantities[exchange], order.lot_size))
    if broker.max_order_value is not None:
        lot_value = product(order.lot_size, order.multiplier, order.prices[exchange])
        caps.append(lots_within(broker.max_order_value, lot_value))
    return min(caps) if caps else None


def _health_rate(broker: Broker, policy: Policy) -> Decimal:
    """What rejects and delays are expected to cost, as a fraction of the value."""
    failing = product(broker.reject_rate or ZERO, policy.fail_cost_bps)
    waiting = product(broker.latency_ms or ZERO, policy.latency_cost_bps_per_second, Decimal("0.001"))
    return product(EXACT.add(failing, waiting), Decimal("0.0001"))


def _deal(order: Order, broker: Broker, exchange: Exchange) -> Deal:
    """One lot. Of it only the kind matters."""
    return Deal(
        broker=broker.slug or broker.id,
        segment=order.segment,
        exchange=exchange,
        side=order.side,
        quantity=order.lot_size,
        price=order.prices[exchange],
        on=order.on,
        multiplier=order.multiplier,
        lots=Decimal(1),
        asset=order.asset,
        bse_group=order.bse_group,
        underlying=order.underlying,
        plan_id=broker.plan_id,
        dp_paid_today=broker.dp_paid_today,
        is_funded=order.product == "MTF",
        is_woman=broker.is_woman,
        own_brokerage=None if broker.own_brokerage is None else Brokerage.from_plain(broker.own_brokerage),
        own_debit=broker.own_debit,
    )
