"""`make rehearse`: a bad day for brokers, streams, workers, Redis and the database. Ends with 1 on any loss."""

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


def main() -> int:
    os.chdir(ROOT)
    outcomes: list[Outcome] = []
    try:
        with House(registry.slugs(), extra=PACE, with_workers=True, durable=True) as house:
            # They read Django's settings, which the house has just made.
            from accounts.models import User
            from trademaster.rehearsal import day, processes, streams

            outcomes += streams.rehearse(house)
            outcomes += processes.rehearse(house)
            outcomes += day.rehearse(User.objects.create_user("rehearsal"))
    except ServiceFailed as failure:
        sys.stderr.write(f"rehearse: {failure}\n")
        return 1
    sys.stdout.write(f"{drawn(outcomes)}\n")
    unwell = [outcome.fault for outcome in outcomes if not outcome.is_well]
    sys.stdout.write(f"Not well: {', '.join(unwell)}.\n" if unwell else "Nothing was lost.\n")
    return 1 if unwell else 0


if __name__ == "__main__":
    sys.exit(main())
