"""`make sandbox`: the simulated brokers alone, for a client under development. Writes demo.json with `web` null."""

import asyncio
import os
import sys

from trademaster.local.demo import ROOT, Ports, require_free, sandbox_program
from trademaster.local.environment import application_environment
from trademaster.local.failure import ServiceFailed
from trademaster.local.run_directory import RunDirectory
from trademaster.local.supervisor import OURS, Console, Supervisor, supervise


async def supervised(run: RunDirectory, at: Ports) -> int:
    async def work(supervisor: Supervisor) -> None:
        environment = application_environment(
            # The settings ask for both; a simulated broker opens neither.
            database_url=os.environ.get("DATABASE_URL", "postgres://127.0.0.1/unused"),
            redis_url=os.environ.get("REDIS_URL", "redis://127.0.0.1/0"),
            secret_key=run.secret_key(),
            field_encryption_key=run.field_encryption_key(),
            public_url=at.url,
        )
        await supervisor.start(sandbox_program(run, at, environment))
        simulation = run.simulation()
        run.write_demo(simulation, web=None)
        for slug, broker in simulation["brokers"].items():
            supervisor.console.line(OURS, f"{slug:<12} {broker['base_url']}")
        supervisor.console.line(OURS, f"READY: control API at {simulation['control_url']}, keys in {run.demo_file}")

    return await supervise(work)


def main() -> int:
    console = Console()
    try:
        os.chdir(ROOT)
        os.umask(0o077)  # whatever is written below the run directory is its owner's business
        at = Ports.of_this_machine(os.environ)
        run = RunDirectory.of_this_machine()
        run.take()
        require_free(at.of_sandbox(), "SANDBOX_BASE_PORT")
        return asyncio.run(supervised(run, at))
    except ServiceFailed as failure:
        console.line(OURS, str(failure))
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
