"""Pages in a browser without a server: its windows, our files as they are, and our modules alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from playwright.sync_api import Browser, Page, Route

HOME = "http://trademaster.test"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
MODULES = Path("trademaster/static/trademaster")


@contextmanager
def window(
    browser: Browser,
    serve: Callable[[Route], object],
    *,
    size: tuple[int, int] = (1440, 900),
    complaints: bool = False,
    **options: Any,
) -> Iterator[Page]:
    """A page whose every question `serve` answers, and whose scripts must not fail.

    With `complaints` nothing that the browser writes as an error to its console is let pass either.
    """
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    if complaints:
        page.on("console", lambda message: failures.append(message.text) if message.type == "error" else None)
    page.route("**/*", serve)
    yield page
    context.close()
    assert failures == []


def send_file(route: Route, path: str) -> None:
    """One of our static files, by its path below `/`."""
    file = Path(str(finders.find(path.removeprefix("/static/"))))
    route.fulfill(content_type=TYPES[file.suffix], body=file.read_bytes())


@contextmanager
def page_of_modules(browser: Browser) -> Iterator[Page]:
    """An empty page beside which our modules lie, for `run`."""
    page = browser.new_page()
    page.route("**/*", _module)
    page.goto(HOME)
    yield page
    page.close()


def run(page: Page, module: str, function: str, *arguments: Any) -> Any:
    """What a function of a module answers."""
    script = "async ([module, name, given]) => (await import(`/${module}.js`))[name](...given)"
    return page.evaluate(script, [module, function, list(arguments)])


def _module(route: Route) -> None:
    name = route.request.url.rpartition("/")[2]
    if name.endswith(".js"):
        route.fulfill(content_type=TYPES[".js"], body=(MODULES / name).read_text())
    else:
        route.fulfill(content_type="text/html", body="<!doctype html><svg></svg>")
