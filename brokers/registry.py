"""The only list of brokers. Choices, settings and the contract suite derive from it."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from brokers.base import Broker

PACKAGES = {
    "zerodha": "brokers.zerodha",
    "groww": "brokers.groww",
    "angel_one": "brokers.angel_one",
    "upstox": "brokers.upstox",
    "fyers": "brokers.fyers",
    "iifl": "brokers.iifl",
    "iifl_capital": "brokers.iifl_capital",
}


class UnsupportedBroker(LookupError):
    """No package speaks this broker's dialect."""

    def __init__(self, slug: str) -> None:
        super().__init__("There is no such broker here.")
        self.slug = slug


def slugs() -> tuple[str, ...]:
    return tuple(PACKAGES)


@cache
def load(slug: str) -> Broker:
    """The broker behind a slug. Raises UnsupportedBroker."""
    if slug not in PACKAGES:
        raise UnsupportedBroker(slug)
    broker = import_module(PACKAGES[slug]).BROKER
    assert isinstance(broker, Broker)  # noqa: S101 - a package without one is a programming error
    return broker


def brokers() -> tuple[Broker, ...]:
    return tuple(load(slug) for slug in PACKAGES)


def order_of(slug: str) -> int:
    """The broker's rank where two are otherwise equal, e.g. as the source of a price."""
    return list(PACKAGES).index(slug)
