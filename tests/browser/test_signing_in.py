"""From a link in a letter to an account behind two factors, all in the browser of somebody new."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.browser.kit import Demo, prove, show_code, sign_in, sign_out

pytestmark = pytest.mark.browser

NAME, PASSWORD = f"asha{secrets.token_hex(4)}", "a-long-enough-pass-phrase"


def test_an_invited_trader_sets_up_an_authenticator_and_signs_in_with_its_code(visitor: Page, demo: Demo) -> None:
    page = visitor
    page.goto(demo.manage("invite", f"{NAME}@example.com"))
    expect(page).to_have_url(f"{demo.url}/signup")
    page.get_by_label("Username").fill(NAME)
    for number in (1, 2):
        page.locator(f"input[name=password{number}]").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    expect(page).to_have_url(f"{demo.url}/")
    expect(page.get_by_role("heading", name="Connect a broker to see your portfolio")).to_be_visible()

    page.goto("/account/factors/app")
    prove(page, PASSWORD)
    secret = page.get_by_test_id("totp-secret").inner_text()
    show_code(page, secret, label="Authenticator code", button="Set up")
    page.goto("/account/factors")
    expect(page.get_by_text("set up", exact=True)).to_be_visible()
    sign_out(page, NAME)

    sign_in(page, NAME, PASSWORD)
    expect(page).to_have_url(f"{demo.url}/login/factor")
    page.goto("/")
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()  # the password alone opens nothing
    show_code(page, secret, label="Code", button="Sign in")
    expect(page).to_have_url(f"{demo.url}/")
