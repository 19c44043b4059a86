"""Each of the brokers is connected in a real browser, by the way that it wants: its own page, or a form of ours."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from brokers import registry
from tests.browser.kit import NOTICE_MILLISECONDS, Demo, Watched, card

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("slug", registry.slugs())
def test_its_keys_are_stored_and_its_login_leads_back(slug: str, watched: Watched, demo: Demo) -> None:
    page = watched.page
    simulated = demo.brokers[slug]
    page.goto(f"/connect/{slug}")
    choice = page.locator(f"#{slug}")
    expect(choice).to_be_visible()
    inputs = choice.locator("[data-keys] input")
    for name in inputs.evaluate_all("all => all.map((each) => each.name)"):
        if simulated.get(name):
            inputs.and_(page.locator(f"[name={name}]")).fill(simulated[name])
    choice.locator("[data-field=save]").click()
    expect(page.locator("#announcer")).to_contain_text("stored")
    choice.locator("[data-field=ways] button:enabled").first.click()
    page.wait_for_url(lambda url: not url.startswith(f"{demo.url}/connect"))
    if page.url.startswith(demo.url):
        by_our_form(page, simulated["login"])
    else:
        page.get_by_role("button", name="Log in", exact=True).click()
    expect(page).to_have_url(f"{demo.url}/", timeout=NOTICE_MILLISECONDS)
    expect(page.get_by_text("is connected.")).to_be_visible()
    expect(card(page, slug, "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)


def by_our_form(page: Page, known: dict[str, str]) -> None:
    """Take the first way whose every required field the simulation knows."""
    methods = page.get_by_test_id("login-method")
    for number in range(methods.count()):
        names = methods.nth(number).locator("label input[required]").evaluate_all("all => all.map((each) => each.name)")
        if set(names) <= known.keys():
            for name in names:
                methods.nth(number).locator(f"[name={name}]").fill(known[name])
            methods.nth(number).get_by_role("button", name="Log in").click()
            return
    pytest.fail("No way of this broker can be filled in with what the simulation knows.")
