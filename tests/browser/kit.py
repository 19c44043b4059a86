"""The demo for a browser: started as a newcomer starts it, watched for what must not happen, mended after each test."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, WebSocket, expect

from brokers import registry
from brokers.simulation.control import Control
from trademaster.local import ports
from trademaster.local.code import code
from trademaster.local.connect import Trader
from trademaster.local.demo import BY_HAND, SANDBOX_PORTS
from trademaster.local.environment import application_environment
from trademaster.local.postgres import Postgres
from trademaster.local.run_directory import VARIABLE, RunDirectory

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
START_SECONDS = 120  # with a first installation; without one it takes some ten seconds
STOP_SECONDS = 20
PLACE_SECONDS = 15
POLL_SECONDS = 0.1
NOTICE_MILLISECONDS = 30_000
SOON_MILLISECONDS = 15_000  # what is there at once, on a machine that has much else to do
CONNECTED_BY_THE_DEMO = [slug for slug in registry.slugs() if slug not in BY_HAND]
UNDER_TEST = "DEMO_UNDER_TEST"
ENDED = ("TOKEN_EXPIRED", "DISCONNECTED")
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


# --- the demo ---------------------------------------------------------------------------------------------------------
@dataclass
class Demo:
    url: str
    username: str
    password: str
    support: dict[str, str]
    control: Control
    brokers: dict[str, dict[str, Any]]
    run_dir: Path
    _trader: Trader | None = field(default=None, init=False)

    @property
    def trader(self) -> Trader:
        """The trader's own client of the API, beside the browser; signed in once."""
        if self._trader is None:
            self._trader = Trader(self.url)
            self._trader.log_in({"username": self.username, "password": self.password})
        return self._trader

    def prove(self) -> None:
        """The next call is one of a trader who has just signed in."""
        self._trader = None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call of our API, as the trader. Raises ConnectFailed."""
        return self.trader._call(method, f"/api/v1/{path}", body)

    def order(self, wanted: dict[str, Any]) -> Any:
        """Place one order by the API; what it answers. Raises HTTPError."""
        answer = self.trader.http.post(
            f"{self.url}/api/v1/orders",
            json=wanted,
            headers={
                "X-CSRFToken": self.trader._csrf(),
                "Referer": self.url,
                "Idempotency-Key": secrets.token_hex(16),
            },
            timeout=PLACE_SECONDS,
        )
        answer.raise_for_status()
        return answer.json()

    def manage(self, *command: str) -> str:
        """What `manage.py` writes, run by the operator beside the running demo: it sees its rows, and no Redis."""
        run = RunDirectory(self.run_dir)
        environment = application_environment(
            database_url=Postgres(self.run_dir / "postgres").url,
            redis_url="redis://127.0.0.1:1",
            secret_key=run.secret_key(),
            field_encryption_key=run.field_encryption_key(),
            public_url=self.url,
        ) | {"LOG_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
        program = [sys.executable, "manage.py", *command]
        ran = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def open_market(self) -> None:
        """Orders are taken in market hours alone, and tests run at any hour."""
        if any(each["phase"] != "CONTINUOUS" for each in self.ask("GET", "market/status")["markets"]):
            answer = self.trader.http.post(
                f"{self.url}/demo/market",
                data={"hours": "all_day", "csrfmiddlewaretoken": self.trader._csrf()},
                headers={"Referer": self.url},
                timeout=PLACE_SECONDS,
            )
            answer.raise_for_status()

    def turn_trading_on(self, slug: str) -> None:
        """As its owner does at the card, who has just signed in."""
        self.prove()
        text = self.ask("GET", "brokers/consent?scope=trade")
        for row in self.ask("GET", "brokers/connections"):
            if row["broker_type"] == slug and not row["trading_enabled_at"]:
                self.ask("POST", f"brokers/connections/{row['id']}/trading", {"consent": text["version"]})

    def mend(self) -> None:
        """What a test broke works again: faults are off, prices move, and who was logged out is logged in."""
        for slug, broker in self.control.overview()["brokers"].items():
            if broker["faults"]:
                self.control.clear_faults(slug)
        self.control.freeze(False)
        statuses = self.trader.statuses()
        for slug in CONNECTED_BY_THE_DEMO:
            if statuses.get(slug, ENDED[0]) in ENDED:
                self.trader.connect(slug, self.brokers[slug])  # type: ignore[arg-type]


def browser_program() -> str:
    """The installed Chromium. Without one a developer's machine skips these tests; CI must have it."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail("CI has no Chromium: install it, these tests are never skipped here.")
    pytest.skip("no Chromium on PATH")


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row."""
    while True:
        first = random.randrange(20_000, 30_000)  # noqa: S311 - not a secret; below what the system hands out
        if ports.first_taken(range(first, first + count)) is None:
            return first


def newcomers_environment(run_dir: Path) -> dict[str, str]:
    """What a newcomer's shell has: nothing of the servers that this test run started for itself."""
    ours = application_environment(database_url="", redis_url="", secret_key="", field_encryption_key="", public_url="")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in ("CI", "HOME", "LANG", "PATH", "TMPDIR") or (name not in ours and name.startswith("UV_"))
    }
    first = free_ports(SANDBOX_PORTS + 1)
    return inherited | {
        VARIABLE: str(run_dir),
        "SANDBOX_BASE_PORT": str(first),
        "DEMO_PORT": str(first + SANDBOX_PORTS),
    }


@contextmanager
def running(run_dir: Path) -> Iterator[Demo]:
    """`make demo` with a run directory and ports of its own; ended by Ctrl-C, which must suffice.

    DEMO_UNDER_TEST names the run directory of a demo that runs already, for whoever writes tests; it is left running.
    """
    under_test = os.environ.get(UNDER_TEST)
    if under_test:
        demo = demo_of(Path(under_test))
        demo.mend()
        yield demo
        demo.mend()
        return
    log = run_dir.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "demo"],
            cwd=ROOT,
            env=newcomers_environment(run_dir),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(process, log)
        yield demo_of(run_dir)
        cleanly = stopped(process, signal.SIGINT)
        assert cleanly, log.read_text()
    finally:
        stopped(process, signal.SIGKILL)
        process.wait(STOP_SECONDS)
        shutil.rmtree(run_dir, ignore_errors=True)
        log.unlink()


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it writes the line READY."""
    deadline = time.monotonic() + START_SECONDS
    while "READY" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"make demo did not start:\n{log.read_text()}")
        time.sleep(POLL_SECONDS)


def demo_of(run_dir: Path) -> Demo:
    """What demo.json says of a demo that is ready."""
    document = json.loads((run_dir / "demo.json").read_text())
    web = document["web"]
    return Demo(
        url=web["url"],
        username=web["trader"]["username"],
        password=web["trader"]["password"],
        support=web["support"],
        control=Control(document["control_url"]),
        brokers=document["brokers"],
        run_dir=run_dir,
    )


def stopped(process: subprocess.Popen[bytes], how: signal.Signals) -> bool:
    """Press Ctrl-C, as a terminal does: the whole group hears it."""
    try:
        os.killpg(process.pid, how)
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    except ProcessLookupError:
        return True
    return True


# --- the browser ------------------------------------------------------------------------------------------------------
class Watched:
    """A page, and what must not happen on it: errors of ours in its console, requests that leave this machine."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.home = home
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.sockets: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", self._opened)

    def _said(self, message: ConsoleMessage) -> None:
        """A broker's own page may complain, e.g. that it has no icon."""
        if message.type == "error" and message.location["url"].startswith(self.home):
            self.errors.append(message.text)

    def _asked(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            self.strangers.append(url)

    def _opened(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)
        self._asked(socket.url)


def new_context(browser: Browser, demo: Demo, **more: Any) -> BrowserContext:
    return browser.new_context(**{"base_url": demo.url, "viewport": DESKTOP, "locale": "en-IN", **more})


def state_of_trader(browser: Browser, demo: Demo) -> Any:
    """The cookies of a browser in which the trader has just signed in."""
    return state_of(browser, demo, demo.username, demo.password)


def state_of(browser: Browser, demo: Demo, username: str, password: str) -> Any:
    """The same of another trader."""
    context = new_context(browser, demo)
    page = context.new_page()
    sign_in(page, username, password)
    expect(page).to_have_url(f"{demo.url}/")
    state = context.storage_state()
    context.close()
    return state


def state_of_support(browser: Browser, demo: Demo) -> Any:
    """The same of support, with its second factor."""
    context = new_context(browser, demo)
    page = context.new_page()
    sign_in(page, demo.support["username"], demo.support["password"])
    show_code(page, demo.support["totp"], label="Code", button="Sign in")
    expect(page).to_have_url(f"{demo.url}/admin/")
    state = context.storage_state()
    context.close()
    return state


def sign_in(page: Page, username: str, password: str) -> None:
    page.goto("/login")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def prove(page: Page, password: str) -> None:
    """Show the password afresh, where the page that was asked for wants it."""
    if "/step-up/" in page.url:
        page.get_by_label("Password").fill(password)
        with page.expect_navigation():
            page.get_by_role("button", name="Confirm").click()


def show_code(page: Page, secret: str, *, label: str, button: str) -> None:
    """Type what an authenticator shows; once more where the half minute ended between typing and reading."""
    asked_at = page.url
    for _ in range(2):
        page.get_by_label(label).fill(code(secret, at=time.time()))
        with page.expect_navigation():
            page.get_by_role("button", name=button, exact=True).click()
        if page.url != asked_at:
            return
    pytest.fail(f"{asked_at} takes no code.")


def sign_out(page: Page, username: str) -> None:
    page.get_by_text(username, exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()


def card(page: Page, slug: str, status: str | None = None) -> Locator:
    wanted = f"[data-testid=broker-card][data-broker={slug}]" + (f"[data-status={status}]" if status else "")
    return page.locator(wanted)
