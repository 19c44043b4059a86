"""Masters of full size: how long a load takes, and how much memory it adds, each in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.table import Aim, Figure
from trademaster.local import child
from trademaster.local.environment import broker_environment
from trademaster.local.failure import ServiceFailed
from trademaster.local.house import House

START_SECONDS = 30.0
LOAD_SECONDS = 300.0
QUERIES = ("RELIANCE", "NIFTY", "n", "nifty 27000 ce", "sahyadri", "INE002A01018")


def measure(house: House) -> list[Figure]:
    with TemporaryDirectory(prefix="trademaster-masters-") as directory:
        state = Path(directory)
        command = [sys.executable, "-m", "brokers.simulation", "--frozen", "--full-masters", "--base-port", "0",
                   "--state-dir", str(state), "--only", *house.slugs]  # fmt: skip
        brokers = child.spawn(command, state / "log", signal.SIGTERM, environment=house.environment)
        try:
            _wait_for(state / "brokers.json")
            simulation = json.loads((state / "brokers.json").read_text())
            environment = house.environment | broker_environment(simulation["brokers"])
            return _figures(house, environment)
        finally:
            child.stop(brokers, signal.SIGTERM, START_SECONDS)


def _figures(house: House, environment: dict[str, str]) -> list[Figure]:
    figures = []
    for slug in house.slugs:
        for days, round_name in enumerate(("first load", "the next day")):
            load = _in_own_process(slug, str(days), environment)
            if load["outcome"] != "LOADED":
                break  # it is not public: nobody is logged in to the broker that this module started
            name = f"{slug} master, {round_name}: {load['rows']:,} rows"
            figures.append(
                Figure(name=name, value=load["load_s"], unit="s", aim=Aim(30), note=f"download {load['fetch_s']:.1f} s")
            )
            figures.append(Figure(name="  peak memory added", value=load["added_mb"], unit="MB", aim=Aim(200)))
    return [*figures, *_searches()]


def _searches() -> list[Figure]:
    from django.utils import timezone

    from market.search import Filters, search

    figures = []
    for query in QUERIES:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            search(query, Filters(), limit=20, today=timezone.localdate())
            took.append((time.perf_counter() - began) * 1000)
        figures.append(Figure(name=f"search “{query}”", value=sorted(took)[len(took) // 2], unit="ms", aim=Aim(50)))
    return figures


def _in_own_process(slug: str, days: str, environment: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.masters", slug, days]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LOAD_SECONDS, check=False)
    if ran.returncode:
        raise ServiceFailed(f"The master of {slug} cannot be loaded: {ran.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _wait_for(file: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not file.exists():
        if time.monotonic() > end:
            raise ServiceFailed("The brokers with full masters did not start.")
        time.sleep(0.05)


def load_here(slug: str, *, days: int) -> None:
    """Load one master so many days from now, and print what it took.

    The download is told apart: most of it is the other side making the file up.
    """
    import django

    django.setup()
    from django.utils import timezone

    from market import masters

    fetch_s = 0.0
    fetch = masters._fetch

    def timed(*args: object, **kwargs: object) -> object:
        nonlocal fetch_s
        began = time.perf_counter()
        try:
            return fetch(*args, **kwargs)  # type: ignore[arg-type]
        finally:
            fetch_s = time.perf_counter() - began

    masters._fetch = timed  # type: ignore[assignment]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    load = masters.load_master(broker_type=slug, now=timezone.now() + timedelta(days=days))
    took = time.perf_counter() - began
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert load is not None
    found = {
        "outcome": load.outcome,
        "rows": load.row_count,
        "load_s": took - fetch_s,
        "fetch_s": fetch_s,
        "added_mb": added,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trademaster.settings")
    load_here(sys.argv[1], days=int(sys.argv[2]))
