"""`make bench`: measure the house over simulated brokers and print one table.

Nothing here fails because a machine is slow. Figures that are compared are ratios of two things measured in turn within
this one run; an aim that is missed says so in the table and changes no exit code.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

from bench import table
from brokers import registry
from trademaster.local.failure import ServiceFailed
from trademaster.local.house import House

ROOT = Path(__file__).resolve().parents[1]
LATENCY_MS = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", metavar="SLUG", choices=registry.slugs(), default=registry.slugs())
    slugs = parser.parse_args().only
    os.chdir(ROOT)
    try:
        with House(slugs, latency_ms=LATENCY_MS, settings="bench.settings") as running:
            # They read Django's settings, which the house has just made.
            from bench import cold, large, live, masters, merging, serving

            groups = (cold, large, serving, merging, live, masters)
            figures = [figure for group in groups for figure in group.measure(running)]
    except ServiceFailed as failure:
        sys.stderr.write(f"bench: {failure}\n")
        return 1
    print(machine())
    print(f"Brokers, simulated, each call after {LATENCY_MS} ms: {', '.join(running.slugs)}.")
    print("Ratios are medians of paired rounds.\n")
    print(table.drawn(figures))
    return 0


def machine() -> str:
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load}, {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
