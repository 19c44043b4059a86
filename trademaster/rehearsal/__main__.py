"""`make rehearse`: a bad day for simulated brokers, workers, Redis and the database. Ends with 1 on any loss.

`python -m trademaster.rehearsal streams` kills one of two stream processes, and nothing else; `… storm` (`make storm`)
sends two thousand orders through a storm, or as many as the next argument says.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from brokers import registry
from trademaster.local.failure import ServiceFailed
from trademaster.local.house import House
from trademaster.rehearsal.pace import PACE, UNHALTED
from trademaster.rehearsal.table import Outcome, drawn
from trademaster.rehearsal.weather import BROKERS, ORDERS

ROOT = Path(__file__).resolve().parents[2]
STREAMING = [broker.spec.slug for broker in registry.brokers() if broker.price_stream is not None]


def whole_day() -> list[Outcome]:
    with House(registry.slugs(), extra=PACE, with_workers=True, durable=True) as house:
        # They read Django's settings, which the house has just made.
        from accounts.models import User
        from trademaster.rehearsal import day, processes

        return processes.rehearse(house) + day.rehearse(User.objects.create_user("rehearsal"))


def streams_killed() -> list[Outcome]:
    """In a house of its own: twenty traders take from the brokers' budgets what the day needs."""
    with House(STREAMING) as house:
        from trademaster.rehearsal import streams

        return streams.rehearse(house)


def orders_in_a_storm(orders: int) -> int:

    with House(BROKERS, extra=PACE | UNHALTED, with_workers=True, streams=1, durable=True) as house:
        from trademaster.rehearsal import storm

        report = storm.rehearse(house, orders)
    sys.stdout.write(f"{report.drawn()}\n")
    sys.stdout.write("Our book is not the exchange's.\n" if report.wrong else "Our book is the exchange's.\n")
    return 1 if report.wrong else 0


def main() -> int:
    os.chdir(ROOT)
    try:
        if sys.argv[1:2] == ["storm"]:
            return orders_in_a_storm(int(sys.argv[2]) if sys.argv[2:] else ORDERS)
        outcomes = streams_killed() if sys.argv[1:] == ["streams"] else whole_day()
    except ServiceFailed as failure:
        sys.stderr.write(f"rehearse: {failure}\n")
        return 1
    sys.stdout.write(f"{drawn(outcomes)}\n")
    unwell = [outcome.fault for outcome in outcomes if not outcome.is_well]
    sys.stdout.write(f"Not well: {', '.join(unwell)}.\n" if unwell else "Nothing was lost.\n")
    return 1 if unwell else 0


if __name__ == "__main__":
    sys.exit(main())
