"""What is done at a broker and what is not, in plain words, from what its spec and its package say. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brokers.base import Broker
from brokers.domain import Exchange, OrderType, Product
from brokers.spec import Renewal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """`can` and `cannot` are whole sentences; the second says what happens instead."""

    name: str
    has: Callable[[Broker], bool]
    can: str
    cannot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """What is not done, and why, where the broker's guide knows."""

    words: str
    reason: str


def _feature(name: str) -> Callable[[Broker], bool]:
    return lambda broker: name in broker.spec.capabilities.features


def _order_type(*wanted: OrderType) -> Callable[[Broker], bool]:
    return lambda broker: bool(set(wanted) & set(broker.spec.capabilities.order_types))


def _exchange(*wanted: Exchange) -> Callable[[Broker], bool]:
    return lambda broker: bool(set(wanted) & set(broker.spec.capabilities.exchanges))


ABILITIES = (
    Ability(
        name="holdings",
        has=_feature("holdings"),
        can="Reads your shares: delivered, on their way (T1) and pledged, each apart.",
        cannot="Cannot read your shares: what you own here is in no total.",
    ),
    Ability(
        name="positions",
        has=_feature("positions"),
        can="Reads your open positions, futures and options included.",
        cannot="Cannot read positions: what you trade here is in no total.",
    ),
    Ability(
        name="funds",
        has=_feature("funds"),
        can="Reads your money: cash, blocked margin and collateral.",
        cannot="Cannot read your money: it stays unknown, and is in no total.",
    ),
    Ability(
        name="orders",
        has=_feature("orders"),
        can="Reads today’s orders and trades, those placed elsewhere included, and hears of changes as they happen.",
        cannot="Cannot read orders, and so places none.",
    ),
    Ability(
        name="live_prices",
        has=lambda broker: broker.price_stream is not None,
        can="Streams live prices to every open page.",
        cannot="Streams no prices: they come from your other brokers, or are asked for.",
    ),
    Ability(
        name="candles",
        has=_feature("candles"),
        can="Reads the daily prices of the past, for the figures of risk.",
        cannot="Reads no daily prices of the past.",
    ),
    Ability(
        name="place",
        has=_feature("place"),
        can="Places, changes and cancels orders, once you turn trading on for the account.",
        cannot="Places no orders.",
    ),
    Ability(
        name="market_orders",
        has=_order_type(OrderType.MARKET),
        can="Sends market orders, never without a bound on their price.",
        cannot="Sends no market orders.",
    ),
    Ability(
        name="stops",
        has=_order_type(OrderType.SL),
        can="Sends stop orders with a limit.",
        cannot="Sends no stop orders with a limit.",
    ),
    Ability(
        name="protected_stops",
        has=_order_type(OrderType.SL_M),
        can="Sends stop orders at the market (SL-M).",
        cannot="Sends no stop orders at the market (SL-M).",
    ),
    Ability(
        name="gtt",
        has=_feature("gtt"),
        can="Leaves orders at the broker that wait for their price (GTT).",
        cannot="Leaves no orders that wait for their price (GTT).",
    ),
    Ability(
        name="derivatives",
        has=lambda broker: broker.spec.capabilities.supports_options_trading,
        can="Deals in futures and options on NSE and BSE.",
        cannot="Does not deal in futures and options.",
    ),
    Ability(
        name="currencies",
        has=_exchange(Exchange.CDS, Exchange.BCD),
        can="Deals in currency contracts.",
        cannot="Does not deal in currency contracts.",
    ),
    Ability(
        name="commodities",
        has=_exchange(Exchange.MCX, Exchange.NCO),
        can="Deals in commodity contracts.",
        cannot="Does not deal in commodity contracts.",
    ),
    Ability(
        name="mtf",
        has=lambda broker: Product.MTF in broker.spec.capabilities.products,
        can="Buys shares with the broker’s money (MTF), and counts the loan.",
        cannot="Buys no shares with the broker’s money (MTF).",
    ),
    Ability(
        name="postbacks",
        has=lambda broker: broker.spec.postback is not None,
        can="Takes news of orders at an address of its own, if you enter it at the broker.",
        cannot="Has no address for the broker’s news of orders: its order book is asked instead.",
    ),
    Ability(
        name="renewal",
        has=lambda broker: broker.spec.session.renewal is not Renewal.NONE,
        can="Renews the session by itself, as far as the broker lets it.",
        cannot="Cannot renew the session: you log in again yourself.",
    ),
    Ability(
        name="revoke",
        has=_feature("revoke"),
        can="Ends the session at the broker when you disconnect.",
        cannot="Cannot end the session at the broker: on disconnecting its token is wiped here, and dies by its hour.",
    ),
)


def of(broker: Broker) -> tuple[list[str], list[Lacking]]:
    """What is done at this broker, and what is not."""
    can = [ability.can for ability in ABILITIES if ability.has(broker)]
    reasons = broker.spec.guide.without
    cannot = [
        Lacking(words=ability.cannot, reason=reasons.get(ability.name, ""))
        for ability in ABILITIES
        if not ability.has(broker)
    ]
    return can, cannot
