"""The whole house as a newcomer meets it: `make demo`, a real browser, and a broker that fails and comes back."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, WebSocket, expect, sync_playwright

from brokers import registry
from brokers.simulation.control import Control
from trademaster.local import ports
from trademaster.local.code import code
from trademaster.local.demo import BY_HAND, SANDBOX_PORTS
from trademaster.local.environment import application_environment
from trademaster.local.run_directory import VARIABLE

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 120  # with a first installation; without one it takes some ten seconds
STOP_SECONDS = 20
POLL_SECONDS = 0.1
SIX = [slug for slug in registry.slugs() if slug not in BY_HAND]
TWICE_WITHIN_MILLISECONDS = 10_000
NOTICE_MILLISECONDS = 30_000
ANOTHER_WITHIN_MILLISECONDS = 5_000
SAID_WITHIN_MILLISECONDS = 10_000


@dataclass(frozen=True)
class Demo:
    url: str
    username: str
    password: str
    support: dict[str, str]
    control: Control
    brokers: dict[str, dict[str, Any]]


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


def started(process: subprocess.Popen[bytes], run_dir: Path, log: Path) -> dict[str, Any]:
    """Wait for the line READY; what demo.json then holds."""
    deadline = time.monotonic() + START_SECONDS
    while "READY" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"make demo did not start:\n{log.read_text()}")
        time.sleep(POLL_SECONDS)
    document: dict[str, Any] = json.loads((run_dir / "demo.json").read_text())
    return document


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = browser_program()
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo(chromium: Browser) -> Iterator[Demo]:
    """`make demo` with a run directory and ports of its own. `chromium` comes first: without it nothing is started."""
    run_dir = Path(tempfile.mkdtemp(prefix="trademaster-demo-"))
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
        document = started(process, run_dir, log)
        web = document["web"]
        yield Demo(
            url=web["url"],
            username=web["trader"]["username"],
            password=web["trader"]["password"],
            support=web["support"],
            control=Control(document["control_url"]),
            brokers=document["brokers"],
        )
        cleanly = stopped(process, signal.SIGINT)
        assert cleanly, log.read_text()
    finally:
        stopped(process, signal.SIGKILL)
        process.wait(STOP_SECONDS)
        shutil.rmtree(run_dir, ignore_errors=True)
        log.unlink()


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


@pytest.fixture
def watched(chromium: Browser, demo: Demo, tmp_path: Path) -> Iterator[Watched]:
    """The trader's page, signed in; a screenshot of how it ended lies in `tmp_path`."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-IN")
    page = context.new_page()
    watched = Watched(page, demo.url)
    page.goto(demo.url)
    page.get_by_label("Username").fill(demo.username)
    page.get_by_label("Password").fill(demo.password)
    page.get_by_role("button", name="Sign in").click()
    yield watched
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    context.close()
    assert watched.errors == []
    assert watched.strangers == []


def card(page: Page, slug: str, status: str | None = None) -> Any:
    wanted = f"[data-testid=broker-card][data-broker={slug}]" + (f"[data-status={status}]" if status else "")
    return page.locator(wanted)


def test_six_brokers_are_there_and_the_total_moves(watched: Watched, demo: Demo) -> None:
    page = watched.page
    for slug in SIX:
        expect(card(page, slug, "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    expect(page.get_by_text("SIMULATED").first).to_be_visible()
    expect(page.get_by_test_id("position-row").first).to_be_visible()
    expect(page.get_by_test_id("socket-light")).to_be_visible()
    total = page.get_by_test_id("total-value")
    until = time.monotonic() + TWICE_WITHIN_MILLISECONDS / 1000
    for _ in range(2):
        shown = total.inner_text()
        left = max(1, (until - time.monotonic()) * 1000)
        expect(total).not_to_have_text(shown, timeout=left)
    assert any(character.isdigit() for character in total.inner_text())
    assert len(watched.sockets) == 1


def test_a_broker_fails_is_marked_and_recovers(watched: Watched, demo: Demo) -> None:
    page = watched.page
    expect(card(page, "zerodha", "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    demo.control.set_fault("zerodha", "down")
    try:
        expect(card(page, "zerodha", "ERROR")).to_be_visible(timeout=NOTICE_MILLISECONDS)
        expect(card(page, "upstox", "CONNECTED")).to_be_visible()
        assert any(character.isdigit() for character in page.get_by_test_id("total-value").inner_text())
    finally:
        demo.control.clear_faults("zerodha")
    # Its circuit is open by now: it is asked again after half a minute at first, after a minute at most here.
    expect(card(page, "zerodha", "CONNECTED")).to_be_visible(timeout=3 * NOTICE_MILLISECONDS)


def test_all_six_stream_and_prices_go_on_from_another_when_one_falls(watched: Watched, demo: Demo) -> None:
    """Each over its broker's own protocol. Without any stream the page says so."""
    page = watched.page
    for slug in SIX:
        expect(card(page, slug).get_by_text("streaming")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    source = page.get_by_test_id("position-row").first.locator("[data-field=source]")
    expect(source).to_have_text(re.compile("^live from "), timeout=NOTICE_MILLISECONDS)
    name = source.inner_text().removeprefix("live from ")
    fallen = next(slug for slug in SIX if registry.load(slug).spec.name == name)
    demo.control.set_fault(fallen, "stream_down")
    try:
        others = re.compile(f"^live from (?!{re.escape(name)})")
        expect(source).to_have_text(others, timeout=ANOTHER_WITHIN_MILLISECONDS)
        for slug in SIX:
            demo.control.set_fault(slug, "stream_down")
        light = page.get_by_test_id("price-light")
        expect(light).to_have_text(re.compile("Prices (stale|not streaming)"), timeout=SAID_WITHIN_MILLISECONDS)
    finally:
        for slug in SIX:
            demo.control.clear_faults(slug)


def test_a_broker_without_a_page_of_its_own_is_connected_by_our_form(watched: Watched, demo: Demo) -> None:
    page = watched.page
    page.goto(f"{demo.url}/connect")
    page.get_by_role("link", name="Groww", exact=True).click()
    page.locator("#groww [data-field=ways] button").first.click()
    form = page.locator("[data-testid=login-method][data-method=totp]")
    form.locator("input[name=totp]").fill(demo.brokers["groww"]["login"]["totp"])
    form.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{demo.url}/", timeout=NOTICE_MILLISECONDS)
    expect(page.get_by_text("is connected.")).to_be_visible()
    expect(card(page, "groww", "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)


@pytest.mark.parametrize("slug", sorted(BY_HAND))
def test_a_broker_left_out_is_connected_by_hand(slug: str, watched: Watched, demo: Demo) -> None:
    """Store the keys, go to the broker's page, and come back with a login whose state it has lost."""
    page = watched.page
    page.goto(f"{demo.url}/connect/{slug}")
    choice = page.locator(f"#{slug}")
    for name in ("api_key", "api_secret"):
        choice.locator(f"input[name={name}]").fill(demo.brokers[slug][name])
    choice.locator("[data-field=save]").click()
    choice.locator("[data-field=ways] button:enabled").first.click()
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page).to_have_url(f"{demo.url}/", timeout=NOTICE_MILLISECONDS)
    expect(card(page, slug, "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)


def test_the_mornings_logins_one_after_the_other(watched: Watched, demo: Demo) -> None:
    """Two sessions die overnight: one press and one login each, every time back on the queue, until all are ticked."""
    page = watched.page
    dead = ("zerodha", "upstox")
    for slug in dead:
        expect(card(page, slug, "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)
        demo.control.revoke(slug)
    expect(page.get_by_text("2 brokers need a login.")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    page.get_by_role("link", name="Log in, one after the other").click()
    waiting = page.locator("[data-testid=login][data-need=now]")
    for place, slug in enumerate(dead):
        expect(waiting).to_have_count(len(dead) - place)
        expect(page.locator(f"[data-testid=login].next[data-broker={slug}] button")).to_be_focused()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page).to_have_url(f"{demo.url}/logins", timeout=NOTICE_MILLISECONDS)
        expect(page.get_by_text("is connected.")).to_be_visible()
        expect(page.locator(f"[data-testid=login][data-broker={slug}]")).to_have_attribute("data-status", "CONNECTED")
    expect(waiting).to_have_count(0)  # at night others may need one later in the day: that is another test's


def test_the_page_comes_back_after_a_reload(watched: Watched, demo: Demo) -> None:
    """A snapshot fills it at once: nothing waits for the next push."""
    page = watched.page
    expect(page.get_by_test_id("position-row").first).to_be_visible(timeout=NOTICE_MILLISECONDS)
    page.reload()
    expect(page.get_by_test_id("position-row").first).to_be_visible()
    expect(card(page, "upstox", "CONNECTED")).to_be_visible()


def test_the_reference_of_the_api_keeps_to_the_content_policy(watched: Watched, demo: Demo) -> None:
    """Its scripts and styles are somebody else's; a violation would stand in the console."""
    page = watched.page
    page.goto(f"{demo.url}/api/docs")
    expect(page.get_by_text("One portfolio over all connected brokers").first).to_be_visible(
        timeout=NOTICE_MILLISECONDS
    )
    page.goto(f"{demo.url}/status")
    expect(page.get_by_role("heading").first).to_be_visible()


def test_support_opens_the_admin_with_a_code(chromium: Browser, demo: Demo) -> None:
    """As the demo's last lines say: user and password, then what `make code` prints."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{demo.url}/admin/")
    page.get_by_label("Username").fill(demo.support["username"])
    page.get_by_label("Password").fill(demo.support["password"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(code(demo.support["totp"], at=time.time()))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{demo.url}/admin/")
    expect(page.get_by_role("link", name="TradeMaster support")).to_be_visible()
    context.close()


def test_disconnecting_asks_for_a_fresh_proof_and_comes_back(watched: Watched, demo: Demo) -> None:
    """The answer of an API that finds the proof too old: tests/accounts/test_step_up.py has the real one."""
    page = watched.page
    card(page, "zerodha").get_by_test_id("broker-menu").locator("summary").click()
    card(page, "zerodha").get_by_role("button", name="Disconnect").click()
    page.route("**/api/v1/brokers/connections/*", refuse_once)
    page.locator("#disconnect button[value=disconnect]").click()
    expect(page).to_have_url(f"{demo.url}/step-up/password?next=%2F")
    page.get_by_label("Password").fill(demo.password)
    page.get_by_role("button", name="Confirm").click()
    expect(page).to_have_url(f"{demo.url}/")
    [refusal] = watched.errors  # the console names every 403
    assert "403" in refusal
    watched.errors.clear()


def refuse_once(route: Route) -> None:
    error = {"code": "step_up_required", "message": "", "remedy": "", "details": {"url": "/step-up"}}
    route.fulfill(status=403, json={"error": error})


def test_signing_out_ends_it(watched: Watched, demo: Demo) -> None:
    page = watched.page
    page.get_by_text(demo.username, exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{demo.url}/login")
    page.goto(demo.url)
    expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.parametrize(("ci", "ending"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_a_browser_only_a_developer_may_skip(
    ci: str, ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(ending, match="Chromium"):
        browser_program()
