"""Ask for budget as hard as one process can, for some seconds; run by the governor's tests, several at a time, and by
`make bench`.

Says "ready", waits for a line, and at the end prints how many calls each class was granted, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from threading import Thread

from brokers import governor, registry
from brokers.errors import BudgetSpent
from brokers.transport import Deadline

ACCOUNT = "hammered"
CLASSES = (
    ("zerodha", "quotes", ""),
    ("zerodha", "orders", ""),
    ("zerodha", "order_changes", ""),
    ("fyers", "other", ""),
    ("fyers", "quotes", ""),
    ("groww", "quotes", ""),
    ("groww", "profile", ""),
    ("upstox", "other", "/v2/user/profile"),
)


def ask(slug: str, rate_class: str, path: str, until: float, granted: dict[str, int]) -> None:
    """Half of the calls wait for their turn, the other half come at once and go away when refused."""
    spec = registry.load(slug).spec
    wanted = governor.plan(spec, ACCOUNT, rate_class, path)
    while (left := until - time.time()) > 0:
        try:
            governor.acquire(spec, ACCOUNT, rate_class, path, Deadline(left))
            granted[f"{slug}/{rate_class}"] += 1
        except BudgetSpent:
            time.sleep(0.01)
        if time.time() < until and governor.take(wanted) == 0:
            granted[f"{slug}/{rate_class}"] += 1


def note_grants(commands: Iterator[dict[str, str]], seen: dict[str, list[int]]) -> None:
    """Note by log the milliseconds of every grant that Redis is seen to record, until it is asked for an echo."""
    for entry in commands:
        words = entry["command"].split(" ")
        if words[0] == "ECHO":
            return
        if words[0] == "LPUSH":
            seen[words[1]].append(int(words[2]))


def main() -> None:
    governor.budget("zerodha", "warm")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    until = time.time() + float(sys.argv[1])
    counts = [{f"{slug}/{rate_class}": 0} for slug, rate_class, _ in CLASSES]
    threads = [
        Thread(target=ask, args=(*wanted, until, counted)) for wanted, counted in zip(CLASSES, counts, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({name: count for counted in counts for name, count in counted.items()}))


if __name__ == "__main__":
    main()
