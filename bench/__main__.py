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

from bench import groups, table
from brokers import registry
from trademaster.local.failure import ServiceFailed

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", metavar="SLUG", choices=registry.slugs(), default=registry.slugs())
    parser.add_argument("--groups", nargs="+", metavar="GROUP", choices=groups.SETTINGS, default=list(groups.SETTINGS))
    parser.add_argument(
        "--whole", action="store_true", help="read the screen's heap at minute 2 and 10, not after 20 and 100 seconds"
    )
    options = parser.parse_args()
    if options.whole:
        os.environ["BENCH_WHOLE"] = "1"
    os.chdir(ROOT)
    try:
        figures = groups.measured(options.groups, options.only)
    except ServiceFailed as failure:
        sys.stderr.write(f"bench: {failure}\n")
        return 1
    print(machine())
    print(f"Brokers, simulated, each call after {groups.LATENCY_MS} ms: {', '.join(options.only)}.")
    print("Ratios are medians of paired rounds.\n")
    print(table.drawn(figures))
    return 0


def machine() -> str:
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load}, {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
