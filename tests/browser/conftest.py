"""One browser and one demo for all modules of this directory; each test finds the demo mended."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import kit
from tests.browser.kit import Demo, Watched


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Not for the whole run: its event loop stands in the thread in which later tests run theirs."""
    program = kit.browser_program()
    expect.set_options(timeout=kit.SOON_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=kit.FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def running_demo(chromium: Browser) -> Iterator[Demo]:
    """`chromium` comes first: without it nothing is started."""
    with kit.running(Path(tempfile.mkdtemp(prefix="trademaster-demo-"))) as demo:
        yield demo


@pytest.fixture(scope="package")
def signed_in(chromium: Browser, running_demo: Demo) -> Any:
    """The trader's cookies: signing in for every test would be guessing, by the front door's count."""
    return kit.state_of_trader(chromium, running_demo)


@pytest.fixture
def demo(running_demo: Demo) -> Iterator[Demo]:
    yield running_demo
    running_demo.mend()


@pytest.fixture
def watched(chromium: Browser, demo: Demo, signed_in: Any, tmp_path: Path) -> Iterator[Watched]:
    """The trader's page, signed in; a screenshot of how it ended lies in `tmp_path`."""
    context = kit.new_context(chromium, demo, storage_state=signed_in)
    page = context.new_page()
    watched = Watched(page, demo.url)
    page.goto("/")
    yield watched
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    context.close()
    assert watched.errors == []
    assert watched.strangers == []


@pytest.fixture
def visitor(chromium: Browser, demo: Demo) -> Iterator[Page]:
    """A browser that nobody has signed in with."""
    context = kit.new_context(chromium, demo)
    page = context.new_page()
    watched = Watched(page, demo.url)
    yield page
    context.close()
    assert watched.errors == []
    assert watched.strangers == []
