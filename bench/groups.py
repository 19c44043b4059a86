"""The groups of measurements, and the house that each is made in.

A process knows one set of settings, so each house has a process of its own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from bench.table import Figure
from trademaster.local.house import House

LATENCY_MS = 100
SETTINGS = {
    "cold": "bench.settings",
    "large": "bench.settings",
    "serving": "bench.settings",
    "merging": "bench.settings",
    "live": "bench.settings",
    "streams": "bench.settings",
    "sockets": "bench.settings",
    "masters": "bench.settings",
    "routing": "bench.settings",
    "orders": "bench.settings",
    "risk": "bench.settings",
    "screen": "bench.settings",
    "latency": "bench.live_settings",
    "budgets": "bench.governed_settings",
    "isolation": "bench.governed_settings",
    "checks": "bench.governed_settings",
    "claims": "bench.governed_settings",
}


def measured(wanted: Iterable[str], slugs: Sequence[str]) -> list[Figure]:
    """Raises ServiceFailed."""
    names = [name for name in SETTINGS if name in wanted]
    figures = []
    for settings in dict.fromkeys(SETTINGS[name] for name in names):
        of_house = [name for name in names if SETTINGS[name] == settings]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            figures += process.submit(_in_one_house, of_house, settings, slugs).result()
    return figures


def _in_one_house(names: Sequence[str], settings: str, slugs: Sequence[str]) -> list[Figure]:
    with House(slugs, latency_ms=LATENCY_MS, settings=settings, extra={"PGAPPNAME": "web"}) as house:
        # They read Django's settings, which the house has just made.
        return [figure for name in names for figure in import_module(f"bench.{name}").measure(house)]
