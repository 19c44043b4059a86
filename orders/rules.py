"""What the law, the exchanges and the brokers' regulated terms forbid, as one table. Pure: facts in, refusals out.

`broken` is asked before an order is routed and again for every child; a cancellation breaks no rule and is never asked
about. docs/compliance.md maps each rule to where it comes from and to its test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from operator import le, lt

from brokers.domain import SEGMENT_OF, Exchange, InstrumentKind, OrderType, Product, Segment, Side, Validity
from brokers.wire import IST
from market.calendar import Phase

# How far a market order may be let run, percent: brokers refuse more.
WIDEST_PROTECTION = Decimal(25)
AUCTION_BAND = Decimal("0.03")
# A new intraday order is taken until so long before the broker closes positions by itself.
BEFORE_SQUARE_OFF = timedelta(minutes=10)

BARE = frozenset({OrderType.MARKET, OrderType.SL_M})
STOPS = frozenset({OrderType.SL, OrderType.SL_M})
PRICED = frozenset({OrderType.LIMIT, OrderType.SL})
# Which types of order a phase takes; the others take every type, or none.
TAKES: dict[Phase, frozenset[OrderType]] = {
    Phase.PRE_OPEN: frozenset({OrderType.LIMIT, OrderType.MARKET}),
    Phase.PRE_OPEN_LIMIT: frozenset({OrderType.LIMIT}),
    Phase.CONTINUOUS: frozenset(OrderType),
    Phase.CAS: frozenset({OrderType.LIMIT, OrderType.MARKET}),
    Phase.CAS_LIMIT: frozenset({OrderType.LIMIT}),
}
AUCTIONS = frozenset({Phase.PRE_OPEN, Phase.PRE_OPEN_LIMIT, Phase.CAS, Phase.CAS_LIMIT})
CLOSING_AUCTION = frozenset({Phase.CAS, Phase.CAS_LIMIT})
PRODUCTS_OF: dict[Segment, frozenset[Product]] = {
    Segment.EQUITY: frozenset({Product.CNC, Product.MIS, Product.MTF}),
    Segment.FNO: frozenset({Product.NRML, Product.MIS}),
    Segment.CURRENCY: frozenset({Product.NRML, Product.MIS}),
    Segment.COMMODITY: frozenset({Product.NRML, Product.MIS}),
}
VALIDITIES = frozenset({Validity.DAY, Validity.IOC})
# Every trade in shares of these series is delivered: nothing of them is bought and sold within the day.
TRADE_FOR_TRADE = frozenset({"BE", "BZ", "T", "TS", "Z", "ZP", "XT"})

# How far from the last price a market order's limit is set: (how a price compares, with what, fraction), else the last.
OPTION_SLABS = (
    (lt, Decimal(10), Decimal("0.05")),
    (lt, Decimal(100), Decimal("0.03")),
    (le, Decimal(500), Decimal("0.02")),
)
OTHER_SLABS = ((lt, Decimal(100), Decimal("0.02")), (le, Decimal(500), Decimal("0.01")))
DEAR_OPTION, DEAR_OTHER = Decimal("0.01"), Decimal("0.005")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """An order of the same owner that stands, or may stand, at a broker. `price` None: it takes any price."""

    broker: str
    broker_name: str
    exchange: Exchange
    side: Side
    price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """One order at one broker, and what must be known to judge it. Units and INR; what is not known is None.

    `phase` is that of the exchange now, for this very share; None: its hours are not known. `freeze_quantity` is told
    of single children, not of what is still to be sliced. `position` is what the account holds of this very contract,
    or of the share intraday, signed. `resting` are the owner's orders in the same instrument at all brokers. `changes`:
    how often the standing order was modified already, for a modification alone. `has_own_bounds`: the broker bounds
    market orders by itself. `auction_price`: the reference price of the closing auction.
    """

    broker: str
    broker_name: str
    exchange: Exchange
    kind: InstrumentKind
    side: Side
    order_type: OrderType
    product: Product
    validity: Validity
    quantity: Decimal
    phase: Phase | None
    now: datetime
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    disclosed_quantity: Decimal | None = None
    protection_pct: Decimal | None = None
    has_own_bounds: bool = False
    order_types: frozenset[OrderType] = frozenset(OrderType)
    products: frozenset[Product] = frozenset(Product)
    exchanges: frozenset[Exchange] = frozenset(Exchange)
    validities: frozenset[Validity] = frozenset(Validity)
    lot_size: Decimal | None = None
    tick_size: Decimal | None = None
    freeze_quantity: Decimal | None = None
    series: str = ""
    auction_price: Decimal | None = None
    is_banned: bool | None = None
    position: Decimal | None = None
    squared_off_at: datetime | None = None
    resting: tuple[Resting, ...] = field(default=())
    changes: int | None = None
    most_changes: int | None = None

    @property
    def segment(self) -> Segment:
        return SEGMENT_OF[self.exchange]

    @property
    def is_reducing(self) -> bool:
        """Whether it closes a position, in whole or in part, and opens none. Not known is no."""
        if not self.position:
            return False
        closes = self.position > 0 if self.side is Side.SELL else self.position < 0
        return closes and self.quantity <= abs(self.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`finds` answers, in a whole sentence, how an order breaks it; None: it does not. `source`: whose rule it is."""

    code: str
    remedy: str
    source: str
    finds: Callable[[OrderFacts], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """`code` is stable; `words` and `remedy` are whole sentences, for people."""

    code: str
    words: str
    remedy: str


def broken(facts: OrderFacts) -> tuple[Broken, ...]:
    """Every rule that the order breaks, in the order of the table; none: it may go."""
    found = ((rule, rule.finds(facts)) for rule in RULES)
    return tuple(Broken(code=rule.code, words=words, remedy=rule.remedy) for rule, words in found if words is not None)


def protected_price(side: Side, last_price: Decimal, kind: InstrumentKind, tick: Decimal) -> Decimal:
    """The limit that makes a marketable order of a market order: a little beyond the last price, on the tick.

    Rounded towards the last price, so that the order never runs further than the slab allows; never below one tick.
    """
    is_option = kind is InstrumentKind.OPTION
    slabs, dear = (OPTION_SLABS, DEAR_OPTION) if is_option else (OTHER_SLABS, DEAR_OTHER)
    fraction = next((fraction for holds, limit, fraction in slabs if holds(last_price, limit)), dear)
    if side is Side.BUY:
        return _on_tick(last_price * (1 + fraction), tick, ROUND_FLOOR)
    return max(tick, _on_tick(last_price * (1 - fraction), tick, ROUND_CEILING))


def _on_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return (price / tick).to_integral_value(rounding=rounding) * tick


def _is_multiple(number: Decimal, step: Decimal) -> bool:
    return number % step == 0


# --- what each rule looks at ------------------------------------------------------------------------------------------


def _exchange(facts: OrderFacts) -> str | None:
    return None if facts.exchange in facts.exchanges else f"{facts.broker_name} deals in nothing at {facts.exchange}."


def _order_type(facts: OrderFacts) -> str | None:
    if facts.order_type in facts.order_types:
        return None
    return f"{facts.broker_name} takes no orders of type {facts.order_type}."


def _product(facts: OrderFacts) -> str | None:
    if facts.product not in PRODUCTS_OF[facts.segment]:
        return f"{facts.product} is no product of the segment {facts.segment}."
    return None if facts.product in facts.products else f"{facts.broker_name} does not offer {facts.product}."


def _validity(facts: OrderFacts) -> str | None:
    if facts.validity not in VALIDITIES:
        return f"Orders are placed for the day or IOC, not {facts.validity}."
    if facts.validity in facts.validities:
        return None
    return f"{facts.broker_name} takes no orders with the validity {facts.validity}."


def _prices(facts: OrderFacts) -> str | None:
    if facts.order_type in PRICED and not _is_positive(facts.price):
        return f"An order of type {facts.order_type} needs a price above 0."
    if facts.order_type in STOPS and not _is_positive(facts.trigger_price):
        return f"An order of type {facts.order_type} needs a trigger price above 0."
    if facts.order_type is OrderType.SL and facts.price is not None and facts.trigger_price is not None:
        beyond = facts.trigger_price > facts.price if facts.side is Side.BUY else facts.trigger_price < facts.price
        words = f"A {facts.side} stop at {_plain(facts.trigger_price)} cannot fill at {_plain(facts.price)}."
        return words if beyond else None
    return None


def _plain(number: Decimal) -> str:
    """Without the zeros behind, as it was typed."""
    return f"{number.normalize():f}"


def _is_positive(price: Decimal | None) -> bool:
    return price is not None and price > 0


def _bare(facts: OrderFacts) -> str | None:
    if facts.order_type not in BARE:
        return None
    if facts.protection_pct is None:
        return None if facts.has_own_bounds else f"An order of type {facts.order_type} would run to any price."
    if 0 < facts.protection_pct <= WIDEST_PROTECTION:
        return None
    return f"A protection of {facts.protection_pct}% is none: above 0 and at most {WIDEST_PROTECTION}% is."


def _ioc(facts: OrderFacts) -> str | None:
    is_mcx = facts.segment is Segment.COMMODITY
    return "No IOC order goes to a commodity exchange by API." if is_mcx and facts.validity is Validity.IOC else None


def _quantity(facts: OrderFacts) -> str | None:
    if facts.quantity <= 0 or not _is_multiple(facts.quantity, Decimal(1)):
        return "The quantity is no whole number above 0."
    if facts.kind is InstrumentKind.EQUITY and facts.lot_size is None:
        return None
    if facts.lot_size is None:
        return "It is not known how many units are a lot of this contract."
    if _is_multiple(facts.quantity, facts.lot_size):
        return None
    return f"A quantity of {_plain(facts.quantity)} is no whole number of lots of {_plain(facts.lot_size)}."


def _tick(facts: OrderFacts) -> str | None:
    if facts.tick_size is None:
        return None
    for price in (facts.price, facts.trigger_price):
        if price is not None and not _is_multiple(price, facts.tick_size):
            return f"A price of {_plain(price)} is no multiple of the tick of {_plain(facts.tick_size)}."
    return None


def _freeze(facts: OrderFacts) -> str | None:
    if facts.freeze_quantity is None or facts.quantity <= facts.freeze_quantity:
        return None
    return f"The exchange freezes single orders above {_plain(facts.freeze_quantity)} units."


def _phase(facts: OrderFacts) -> str | None:
    if facts.phase is None:
        return f"It is not known whether {facts.exchange} is open."
    takes = TAKES.get(facts.phase)
    if takes is None:
        return f"{facts.exchange} takes no orders in this phase of the day ({facts.phase})."
    if facts.order_type in takes:
        return None
    words = " and ".join(sorted(takes))
    return f"{facts.exchange} takes only {words} orders in this phase of the day ({facts.phase})."


def _auction(facts: OrderFacts) -> str | None:
    if facts.phase not in AUCTIONS:
        return None
    if facts.validity is not Validity.DAY:
        return f"In an auction every order is for the day: none is {facts.validity}."
    if facts.disclosed_quantity:
        return "In an auction no quantity is hidden."
    return None


def _auction_band(facts: OrderFacts) -> str | None:
    if facts.phase not in CLOSING_AUCTION or facts.auction_price is None or facts.price is None:
        return None
    if abs(facts.price - facts.auction_price) <= facts.auction_price * AUCTION_BAND:
        return None
    reference = _plain(facts.auction_price)
    return f"A price of {_plain(facts.price)} is more than 3% away from the reference price of {reference}."


def _ban(facts: OrderFacts) -> str | None:
    if facts.segment is not Segment.FNO or facts.is_banned is not True or facts.is_reducing:
        return None
    return "The underlying is in the F&O ban: orders may only reduce a position."


def _late(facts: OrderFacts) -> str | None:
    if facts.product is not Product.MIS or facts.is_reducing:
        return None
    if facts.squared_off_at is None:
        return f"It is not known when {facts.broker_name} closes intraday positions."
    if facts.now < facts.squared_off_at - BEFORE_SQUARE_OFF:
        return None
    return f"{facts.broker_name} closes intraday positions at {facts.squared_off_at.astimezone(IST):%H:%M} IST."


def _trade_for_trade(facts: OrderFacts) -> str | None:
    if facts.product is not Product.MIS or facts.series not in TRADE_FOR_TRADE:
        return None
    return f"Shares of the series {facts.series} are delivered, trade for trade."


def _self_trade(facts: OrderFacts) -> str | None:
    for resting in facts.resting:
        if resting.broker != facts.broker and resting.side is not facts.side and _could_meet(facts, resting):
            return f"It could trade with your own order at {resting.broker_name}."
    return None


def _could_meet(facts: OrderFacts, resting: Resting) -> bool:
    """At one exchange, and at prices that cross or touch; an order without a limit meets any."""
    if resting.exchange is not facts.exchange:
        return False
    price = facts.price if facts.order_type in PRICED else None
    if price is None or resting.price is None:
        return True
    return price >= resting.price if facts.side is Side.BUY else price <= resting.price


def _changes(facts: OrderFacts) -> str | None:
    if facts.changes is None or facts.most_changes is None or facts.changes < facts.most_changes:
        return None
    return f"{facts.broker_name} lets one order be modified {facts.most_changes} times, and it was."


SEBI_ALGO = "SEBI circular of 2025-02-04 on retail algorithmic trading, in force since 2026-04-01"
AUCTION_RULES = "SEBI circular of 2026-01-16 and NSE CMTR74466 on the closing auction"
EXCHANGE_TERMS = "the exchanges' contract specifications"
RULES: tuple[Rule, ...] = (
    Rule(code="exchange_not_offered", finds=_exchange, source="broker's terms", remedy="Choose another broker."),
    Rule(code="product_not_offered", finds=_product, source="broker's terms", remedy="Choose one that it offers."),
    Rule(
        code="order_type_not_offered", finds=_order_type, source="broker's terms",
        remedy="Choose a limit order, or another broker.",
    ),
    Rule(code="validity_not_offered", finds=_validity, source="broker's terms", remedy="Choose DAY or IOC."),
    Rule(code="price_missing", finds=_prices, source=EXCHANGE_TERMS, remedy="Correct the price or the trigger price."),
    Rule(
        code="market_unprotected", finds=_bare, source=SEBI_ALGO,
        remedy="Place a limit order, or leave it to TradeMaster to make a limit order near the last price of it.",
    ),
    Rule(
        code="ioc_on_commodities", finds=_ioc, source="Kite notice and Angel One documentation for MCX",
        remedy="Place the order for the day.",
    ),
    Rule(code="odd_quantity", finds=_quantity, source=EXCHANGE_TERMS, remedy="Choose whole lots."),
    Rule(code="off_tick", finds=_tick, source=EXCHANGE_TERMS, remedy="Choose a price on the tick."),
    Rule(
        code="above_freeze", finds=_freeze, source="the exchanges' freeze quantities",
        remedy="Split it: TradeMaster does so by itself where an order is routed.",
    ),
    Rule(
        code="phase_forbids", finds=_phase, source=AUCTION_RULES + "; NSE pre-open FAQ of 2026-07-01",
        remedy="Wait for a phase that takes it: GET /api/v1/market/status tells the hours.",
    ),
    Rule(
        code="auction_forbids", finds=_auction, source=AUCTION_RULES,
        remedy="Place a plain limit order for the day, or wait for continuous trading.",
    ),
    Rule(
        code="outside_auction_band", finds=_auction_band, source=AUCTION_RULES,
        remedy="Choose a price within 3% of the reference price.",
    ),
    Rule(
        code="fno_ban", finds=_ban, source="SEBI circular of 2025-05-29 on position limits in derivatives",
        remedy="Only close what you hold, or wait until the ban is over.",
    ),
    Rule(
        code="intraday_too_late", finds=_late, source="brokers' square-off times",
        remedy="Choose delivery, or deal intraday tomorrow.",
    ),
    Rule(
        code="trade_for_trade", finds=_trade_for_trade, source="the exchanges' surveillance measures",
        remedy="Choose delivery (CNC).",
    ),
    Rule(
        code="self_trade", finds=_self_trade, source="the exchanges' ban of self-trades; PFUTP regulations",
        remedy="Cancel the other order first, or choose a price that cannot meet it.",
    ),
    Rule(
        code="too_many_changes", finds=_changes, source="broker's terms: 25 modifications of one order at Kite",
        remedy="Cancel the order and place another.",
    ),
)  # fmt: skip
