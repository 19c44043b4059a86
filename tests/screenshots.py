"""`make screenshots`: every page of the demo, in light, in dark and on a phone.

Starts a demo of its own, lets its prices stand still, and writes `docs/screenshots/<page>-<look>.png` and the index
`docs/screenshots.md`. `python -m tests.screenshots portfolio orders` draws only those pages anew.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from trademaster.local.environment import application_environment

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "screenshots"
INDEX = ROOT / "docs" / "screenshots.md"
LOOKS = ("light", "dark", "phone")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__.split("\n", 1)[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="names of the table in tests/browser/every_page.py")
    options = parser.parse_args()
    read_templates()
    from tests.browser import every_page, kit

    try:
        wanted = every_page.of(options.pages)
    except KeyError as error:
        parser.error(f"no page is called {error}")
    PICTURES.mkdir(exist_ok=True)
    run_dir = Path(tempfile.mkdtemp(prefix="trademaster-screenshots-"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=kit.browser_program(), args=kit.FLAGS)
        with kit.running(run_dir) as demo:
            draw(browser, demo, wanted)
        browser.close()
    INDEX.write_text(index(every_page.PLACES))
    return 0


def read_templates() -> None:
    """The error pages are rendered here, without rows or Redis."""
    import django

    nowhere = {"database_url": "postgres://nowhere/nowhere", "redis_url": "redis://nowhere/0"}
    keys = {"secret_key": "pictures", "field_encryption_key": "A" * 43 + "="}
    os.environ.update(application_environment(**nowhere, **keys, public_url="http://127.0.0.1:8000"))
    django.setup()


def draw(browser: Browser, demo: Any, wanted: list[Any]) -> None:
    from tests.browser import every_page, kit

    facts = every_page.found(demo)
    states = every_page.cookies(browser, demo, facts)
    demo.control.freeze()
    for place in wanted:
        for look in LOOKS:
            context = kit.new_context(
                browser,
                demo,
                storage_state=states[place.who],
                viewport=kit.PHONE if look == "phone" else kit.DESKTOP,
                color_scheme="dark" if look == "dark" else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            every_page.visit(page, place, demo, facts)
            page.wait_for_load_state("networkidle")
            if place.rough:
                expect(page.locator(place.rough)).to_have_count(0, timeout=kit.NOTICE_MILLISECONDS)
            page.evaluate("() => document.fonts.ready")
            page.screenshot(path=picture(place.name, look), animations="disabled", caret="hide")
            context.close()
        sys.stdout.write(f"{place.name}: {place.title}\n")


def picture(name: str, look: str) -> Path:
    return PICTURES / f"{name}-{look}.png"


def index(places: Any) -> str:
    """The page of all pictures that there are."""
    rows = []
    for place in places:
        cells = [
            f"[![{place.title}, {look}](screenshots/{place.name}-{look}.png)](screenshots/{place.name}-{look}.png)"
            if picture(place.name, look).exists()
            else ""
            for look in LOOKS
        ]
        if any(cells):
            rows.append(f"| {place.title} | {' | '.join(cells)} |\n")
    return (
        "# Every page, as the demo shows it\n\n"
        "At 1440×900 in light and dark, and on a phone of 390×844. `make screenshots` draws them, and this page.\n\n"
        "| page | light | dark | phone |\n|---|---|---|---|\n" + "".join(rows)
    )


if __name__ == "__main__":
    sys.exit(main())
