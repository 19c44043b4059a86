"""`make rehearse`: a bad day for simulated brokers, workers, Redis and the database. Ends with 1 on any loss.

`python -m trademaster.rehearsal streams` kills one of two stream processes, and nothing else.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from brokers import registry
from trademaster.local.failure import ServiceFailed
from trademaster.local.house import House
from trademaster.rehearsal.pace import PACE
from trademaster.rehearsal.table import Outcome, drawn

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


def main() -> int:
    os.chdir(ROOT)
    try:
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
