"""Routing problems by chance, small enough to try everything, and mean where the solver could go wrong."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from typing import Any

from brokers.domain import Exchange, Side
from orders.routing import Broker, Circuit, Order, Policy, PossiblyLive, Problem, Tax, TaxLot

SLUGS = ("zerodha", "groww", "angel_one", "upstox", "fyers", "iifl", "iifl_capital")
SEGMENTS = ("equity_delivery", "equity_delivery", "equity_intraday", "equity_futures", "equity_options")
DAY = date(2026, 11, 23)
# Near every bend of the tariffs: the ceiling of 2.5 %, floors, caps, the waived debit charge.
LOT_VALUES = (
    "9",
    "33",
    "49.95",
    "75",
    "150",
    "199",
    "200",
    "201",
    "1000",
    "2499.5",
    "4999",
    "5000.05",
    "19999",
    "66667",
)
OWN = (
    None, None, None, None,
    {"type": "flat", "amount": "7"},
    {"type": "percent", "rate": "0.0004"},
    {"type": "per_lot", "amount": "3"},
    {"type": "percent_capped", "rate": "0.001", "cap": "20", "floor": "5"},
    {"type": "percent_capped", "rate": "0.01", "cap": "12", "floor": "11"},
    {"type": "percent_capped", "rate": "0.03", "cap": "40", "floor": "1"},
    {"type": "percent_capped", "rate": "0.0005", "cap": "2", "floor": "3"},
)  # fmt: skip


def chance_of(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - no secret


def problem(chance: random.Random, *, brokers: int, lots: int, taxed: bool = False) -> Problem:
    segment = "equity_delivery" if taxed else chance.choice(SEGMENTS)
    side = Side.SELL if taxed else chance.choice((Side.BUY, Side.SELL))
    lot_size = Decimal(chance.choice((1, 1, 10, 65)))
    value = Decimal(chance.choice(LOT_VALUES))
    price = max(Decimal("0.05"), (value / lot_size).quantize(Decimal("0.05")))
    exchanges = chance.choice(((Exchange.NSE,), (Exchange.NSE, Exchange.BSE), (Exchange.BSE, Exchange.NSE)))
    if segment in ("equity_futures", "equity_options"):
        exchanges = exchanges[:1]
    prices = {
        exchange: max(Decimal("0.05"), price + chance.choice((-1, 0, 0, 1)) * Decimal("0.05")) for exchange in exchanges
    }
    quantity = lots * lot_size
    freeze = chance.choice((None, None, lot_size * chance.randint(1, 4) + chance.choice((0, lot_size // 2))))
    order = Order(
        side=side,
        segment=segment,
        quantity=quantity,
        exchanges=exchanges,
        prices=prices,
        on=DAY,
        lot_size=lot_size,
        freeze_quantities={} if freeze is None else dict.fromkeys(exchanges, freeze),
        margin_rate=chance.choice((Decimal(1), Decimal("0.2"), Decimal("0.117"))),
        underlying="NIFTY",
        is_exit=not taxed and chance.random() < 0.05,
    )
    slugs = chance.sample(SLUGS, brokers)
    taking = [one_broker(chance, slug, order, lots, taxed) for slug in slugs]
    live = chance.random() < 0.1
    return Problem(
        order=order,
        brokers=tuple(taking),
        policy=Policy(
            split_penalty=Decimal(chance.choice(("0", "0.5", "5", "5"))),
            max_children=chance.choice((1, 2, 3, 5, 10, 10)),
            probe_value=chance.choice((None, value * 2)),
            sells_unsettled=chance.random() < 0.3,
            tax=Tax(
                stcg=Decimal("0.20"),
                ltcg=Decimal("0.125"),
                ltcg_exemption_left=chance.choice((Decimal(0), value, value * lots / 3)),
            )
            if taxed
            else None,
        ),
        possibly_live=(PossiblyLive(broker=chance.choice(slugs), quantity=lot_size),) if live and not taxed else (),
    )


def one_broker(chance: random.Random, slug: str, order: Order, lots: int, taxed: bool) -> Broker:
    price = order.prices[order.exchanges[0]]
    value = price * order.lot_size
    odd = value * chance.randint(0, lots) + chance.choice((Decimal(0), Decimal("0.01"), Decimal("24.6"), value / 2))
    some: dict[str, Any] = {}
    if chance.random() < 0.3:
        some["exposure_left"] = odd
    if chance.random() < 0.2:
        some["max_order_value"] = value * chance.randint(1, lots) + chance.choice((Decimal(0), Decimal("0.5")))
    if chance.random() < 0.15:
        some["rate_tokens"] = chance.randint(0, 2)
    if chance.random() < 0.3:
        some |= {
            "reject_rate": Decimal(chance.choice(("0", "0.013", "0.2"))),
            "latency_ms": Decimal(chance.randint(0, 900)),
        }
    if chance.random() < 0.15:
        some["circuit"] = chance.choice((Circuit.OPEN, Circuit.HALF_OPEN))
    if chance.random() < 0.05:
        some["debit_authorised"] = chance.choice((False, None))
    own = chance.choice(OWN)
    held = Decimal(chance.randint(0, lots)) * order.lot_size + chance.choice((0, 0, order.lot_size // 2))
    return Broker(
        id=slug,
        segments=(order.segment,),
        available=chance.choice((Decimal("1e9"), Decimal("1e9"), odd, odd * (order.margin_rate or 1))),
        reserved=chance.choice((Decimal(0), Decimal(0), Decimal("3.3"))),
        sellable=held if not taxed else held + order.lot_size,
        unsettled=order.lot_size * chance.randint(0, 1),
        lots=tuple(one_lot(chance, price, order.lot_size) for _ in range(chance.randint(0, 3))),
        dp_paid_today=chance.random() < 0.2,
        is_woman=chance.random() < 0.1,
        own_brokerage=own,
        **some,
    )


def one_lot(chance: random.Random, price: Decimal, lot_size: Decimal) -> TaxLot:
    gain = price * Decimal(chance.choice(("-0.6", "-0.2", "-0.01", "0", "0.03", "0.25", "0.6")))
    return TaxLot(
        quantity=Decimal(chance.randint(1, 4)) * chance.choice((lot_size, Decimal(1))),
        cost=chance.choice((price - gain, price - gain, price - gain, None)),
        term=chance.choice(("short", "long")),
    )
