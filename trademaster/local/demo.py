"""`make demo`: the whole house on one machine, over simulated brokers, with the demo trader's accounts connected."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brokers.registry import PACKAGES
from trademaster.local import ports
from trademaster.local.connect import connect_all
from trademaster.local.environment import Simulation, application_environment, broker_environment
from trademaster.local.failure import ServiceFailed
from trademaster.local.run_directory import Login, RunDirectory, Web
from trademaster.local.services import LocalServices
from trademaster.local.supervisor import OURS, Console, Program, Supervisor, supervise

# Left for the visitor to connect, with the keys stored: IIFL is in the book already, by its other API.
BY_HAND = frozenset({"iifl_capital"})

ROOT = Path(__file__).resolve().parents[2]
SANDBOX_PORTS = 1 + 2 * len(PACKAGES)  # the control API, one for each broker, and one for its MQTT if it has any
WATCH_INTERVAL = 1.0
MANAGE = (sys.executable, "manage.py")
# WhiteNoise takes static files from the apps here, and need not complain that nobody collected them.
QUIET = {"PYTHONWARNINGS": "ignore:No directory at:UserWarning"}


@dataclass(frozen=True)
class Ports:
    web: int
    sandbox: int

    @classmethod
    def of_this_machine(cls, environment: Mapping[str, str]) -> "Ports":
        """Raises ServiceFailed."""
        at = cls(
            web=port_from(environment, "DEMO_PORT", 8000), sandbox=port_from(environment, "SANDBOX_BASE_PORT", 9100)
        )
        wanted = at.of_sandbox()
        if at.web in wanted:
            raise ServiceFailed(
                f"DEMO_PORT={at.web} is among the simulated brokers' ports, {wanted[0]} to {wanted[-1]}: move one."
            )
        return at

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    def of_sandbox(self) -> range:
        return range(self.sandbox, self.sandbox + SANDBOX_PORTS)


def port_from(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65535 - SANDBOX_PORTS:
        raise ServiceFailed(f"{variable}={text} is not a port number.")
    return int(text)


def require_free(wanted: range, variable: str) -> None:
    """Raises ServiceFailed, naming the port and the variable which moves it."""
    taken = ports.first_taken(wanted)
    if taken is not None:
        raise ServiceFailed(f"Port {taken} is in use: free it, or set {variable} to move ours.")


def sandbox_program(run: RunDirectory, at: Ports, environment: Mapping[str, str]) -> Program:
    started = time.time()

    async def ready() -> bool:
        written = run.written_at(run.sandbox_file)
        return written is not None and written >= started and await ports.answers(at.sandbox)

    command = [*MANAGE, "sandbox", "--base-port", str(at.sandbox),
               "--state-dir", str(run.sandbox), "--redirect-base", at.url]  # fmt: skip
    return Program("sandbox", command, environment, ready)


def application_programs(run: RunDirectory, at: Ports, environment: Mapping[str, str]) -> list[Program]:
    """The processes of a production deployment, in the order in which they start."""

    async def ready() -> bool:
        return await ports.answers(at.web)

    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "trademaster"]
    web = [sys.executable, "-m", "trademaster.local.web", "--port", str(at.web)]
    worker = [*celery, "worker", "-P", "threads", "-c", "8", "-Q", "celery,health,portfolio,market",
              "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]  # fmt: skip
    beat = [*celery, "beat", "-s", str(run.path / "beat"), "--pidfile=", "--loglevel", "WARNING"]
    return [
        Program("web", web, environment, ready),
        Program("worker", worker, environment),
        Program("beat", beat, environment),
        Program("stream", [*MANAGE, "stream"], environment),
    ]


async def make_users(
    supervisor: Supervisor, run: RunDirectory, environment: Mapping[str, str]
) -> tuple[dict[str, Login], bool]:
    """Bring tables and calendar up to date; return the users' logins, and whether they are new. Raises ServiceFailed.

    Passwords are known to nobody but demo.json: where that is lost, new ones are set.
    """
    known = run.logins()
    command = [*MANAGE, "prepare_demo", "--migrate", *([] if known else ["--new-passwords"])]
    made: dict[str, str | None] = json.loads(await supervisor.run(Program("database", command, environment)))
    secret = made.pop("support_totp")
    fresh = {role: Login(username=role, password=password) for role, password in made.items() if password}
    logins = {**known, **fresh}
    if secret:
        logins["support"] = Login(**{**logins["support"], "totp": secret})
    elif "totp" in known.get("support", {}):
        logins["support"]["totp"] = known["support"]["totp"]
    return logins, bool(fresh)


async def run_demo(supervisor: Supervisor, run: RunDirectory, at: Ports, services: LocalServices) -> None:
    """Start everything in order and say where it is. Raises ServiceFailed."""
    environment = QUIET | application_environment(
        database_url=services.database_url,
        redis_url=services.redis_url,
        secret_key=run.secret_key(),
        field_encryption_key=run.field_encryption_key(),
        public_url=at.url,
    )
    # The tables and the brokers need not wait for each other.
    (logins, are_new), _ = await asyncio.gather(
        make_users(supervisor, run, environment),
        supervisor.start(sandbox_program(run, at, environment)),
    )
    simulation = run.simulation()
    web = Web(url=at.url, trader=logins["trader"], support=logins["support"])
    # At once: were the rest interrupted, the passwords would be lost.
    run.write_demo(simulation, web)
    environment |= broker_environment(simulation["brokers"])
    environment["SANDBOX_CONTROL_URL"] = simulation["control_url"]
    await supervisor.start(*application_programs(run, at, environment))
    await asyncio.to_thread(connect, supervisor.console, simulation, web)
    announce(supervisor.console, run, web, are_new)


def connect(console: Console, simulation: Simulation, web: Web) -> None:
    connect_all(
        web["url"], web["trader"], simulation["brokers"], lambda line: console.line(OURS, line), by_hand=BY_HAND
    )


def announce(console: Console, run: RunDirectory, web: Web, show_passwords: bool) -> None:
    for role, login in (("trader", web["trader"]), ("support", web["support"])):
        password = login["password"] if show_passwords else f"as printed at first start; see {run.demo_file}"
        console.line(OURS, f"{role:<8} user {login['username']}, password {password}")
    console.line(
        OURS, f"support's second factor: `make code` prints a code, good once; its secret is in {run.demo_file}"
    )
    console.line(OURS, f"READY with SIMULATED brokers: {web['url']}  (Ctrl-C stops everything)")


async def watch(supervisor: Supervisor, services: LocalServices) -> None:
    """PostgreSQL and Redis are never restarted under a running application: end the whole, clearly."""
    while True:
        await asyncio.sleep(WATCH_INTERVAL)
        log = services.dead()
        if log is not None:
            supervisor.fail(f"A database server ended by itself: see {log}.")


async def supervised(run: RunDirectory, at: Ports, services: LocalServices) -> int:
    async def work(supervisor: Supervisor) -> None:
        supervisor.accompany(watch(supervisor, services))
        await run_demo(supervisor, run, at, services)

    return await supervise(work)


def main() -> int:
    console = Console()
    try:
        os.chdir(ROOT)
        os.umask(0o077)  # whatever is written below the run directory is its owner's business
        at = Ports.of_this_machine(os.environ)
        run = RunDirectory.of_this_machine()
        run.take()
        require_free(range(at.web, at.web + 1), "DEMO_PORT")
        require_free(at.of_sandbox(), "SANDBOX_BASE_PORT")
        console.line(OURS, "starting PostgreSQL and Redis")
        services = LocalServices(
            run.path, database_url=os.environ.get("DATABASE_URL", ""), redis_url=os.environ.get("REDIS_URL", "")
        )
        # In this thread, not in the loop's: they live exactly as long as the thread that started them.
        with services:
            code = asyncio.run(supervised(run, at, services))
        console.line(OURS, "everything stopped")
    except ServiceFailed as failure:
        console.line(OURS, str(failure))
        return 1
    except KeyboardInterrupt:
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
