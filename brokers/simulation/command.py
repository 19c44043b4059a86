"""The `sandbox` command, with or without Django: `manage.py sandbox`, `python -m brokers.simulation`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from brokers.simulation.server import (
    DEFAULT_BASE_PORT,
    DEFAULT_REDIRECT_BASE,
    Simulation,
    SimulationError,
    available_slugs,
)

DESCRIPTION = "Run the simulated brokers, each on its own port, and their control API, until stopped."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-port", type=int, default=DEFAULT_BASE_PORT, help="the control API's port")
    parser.add_argument("--state-dir", type=Path, default=Path(".run/sandbox"), help="where state is kept")
    parser.add_argument("--redirect-base", default=DEFAULT_REDIRECT_BASE, help="where our web server listens")
    parser.add_argument("--only", nargs="+", metavar="SLUG", help="run these brokers only")
    parser.add_argument("--full-masters", action="store_true", help="masters of 200,000 rows instead of 5,000")
    parser.add_argument("--frozen", action="store_true", help="prices stand still")


def run(
    *,
    base_port: int,
    state_dir: Path,
    redirect_base: str,
    only: list[str] | None,
    frozen: bool,
    full_masters: bool,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    try:
        simulation = Simulation(
            only or available_slugs(),
            base_port=base_port,
            frozen=frozen,
            redirect_base=redirect_base.rstrip("/"),
            state_dir=state_dir,
            full_masters=full_masters,
        )
        asyncio.run(_serve(simulation))
    except SimulationError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    return 0


async def _serve(simulation: Simulation) -> None:
    stopping = asyncio.Event()
    for stop in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop, stopping.set)
    await simulation.start()
    _say(f"control API        {simulation.control_url}")
    for site in simulation.sites.values():
        _say(f"SIMULATED {site.sandbox.name:<18} {site.url}")
    _say("ready")
    await simulation.run_until(stopping)


def _say(line: str) -> None:
    """Print at once; a supervisor's pipe may have closed before us, which is no reason to fail."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m brokers.simulation", description=DESCRIPTION)
    add_arguments(parser)
    return run(**vars(parser.parse_args(arguments)))
