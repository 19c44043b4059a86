"""The front door with a real browser: an authenticator app, a passkey, and no script or style that stands in a page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from tests.accounts.door import PASSWORD, person
from trademaster.local.code import code

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Stricter than anything that a page of ours needs: nothing inline but the QR code, nothing from elsewhere.
POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'"
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module", autouse=True)
def _rows_beside_the_browser() -> Iterator[None]:
    """The browser's own event loop runs in this thread, which Django would take for an asynchronous caller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield


def under_policy(route: Route) -> None:
    if route.request.resource_type != "document":
        route.continue_()
        return
    answer = route.fetch(max_redirects=0)
    route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": POLICY})


@pytest.fixture
def page(chromium: Browser, live_server: LiveServer, transactional_db: None) -> Iterator[Page]:
    """Carol's browser at http://localhost, where passkeys work as they do with https."""
    person("carol")
    home = live_server.url.replace("127.0.0.1", "localhost")
    # A service worker would ask past the route that adds the policy.
    context = chromium.new_context(base_url=home, locale="en-IN", service_workers="block")
    page = context.new_page()
    page.route("**/*", under_policy)
    errors: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and "websocket" not in message.text.lower() and "404" not in message.text:
            errors.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def sign_in(page: Page, onward: str = "/account/factors") -> None:
    page.goto(f"/login?next={onward}")
    page.get_by_label("Username or e-mail").fill("carol")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page: Page) -> None:
    page.get_by_text("carol", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login$"))


def passkeys(page: Page) -> Any:
    """Put an authenticator into the browser; the devtools session that holds it, and its id."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    made = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return devtools, made["authenticatorId"]


def test_an_authenticator_app(page: Page) -> None:
    sign_in(page)
    page.get_by_role("link", name="Set up").click()
    expect(page.get_by_alt_text("QR code of the secret below")).to_have_js_property("complete", True)
    secret = page.get_by_test_id("totp-secret").inner_text()
    page.get_by_label("Authenticator code").fill(code(secret, at=time.time()))
    page.get_by_role("button", name="Set up").click()
    # What is shown now needs the new factor: it is asked for at once.
    expect(page).to_have_url(re.compile("/step-up/code"))
    page.get_by_label("Code").fill(code(secret, at=time.time()))
    page.get_by_role("button", name="Confirm").click()
    shown = page.get_by_test_id("recovery-codes").get_by_role("listitem")
    expect(shown).to_have_count(10)
    codes = shown.all_inner_texts()
    assert len(set(codes)) == 10
    sign_out(page)

    sign_in(page)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_label("Code").fill(codes[0])  # the app's would be spent in this half minute
    page.get_by_label("Do not ask for it again in this browser").check()
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("set up", exact=True)).to_be_visible()
    expect(page.get_by_text("9 left")).to_be_visible()
    sign_out(page)

    sign_in(page, "/account/devices")
    expect(page.get_by_test_id("device").get_by_text("this one")).to_be_visible()


def test_a_passkey_signs_in_alone_and_proves_again(page: Page) -> None:
    devtools, authenticator = passkeys(page)
    sign_in(page)
    page.get_by_role("link", name="Add one").click()
    page.get_by_label("Name").fill("The laptop")
    page.get_by_role("button", name="Add").click()
    expect(page).to_have_url(re.compile("/step-up/"))
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_test_id("recovery-codes")).to_be_visible()
    kept = devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert [key["isResidentCredential"] for key in kept] == [True]
    assert kept[0]["rpId"] == "localhost"
    sign_out(page)

    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(re.compile(r":\d+/$"))
    page.goto("/account/factors/passkeys")
    expect(page.get_by_test_id("passkey").get_by_text("The laptop")).to_be_visible()
    page.goto("/account/password")
    expect(page.get_by_label("Current Password")).to_be_visible()  # a sign-in by passkey is a fresh proof
    sign_out(page)

    # With the password it is the second factor.
    sign_in(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page).to_have_url(re.compile("/account/factors$"))


def test_a_passkey_that_nobody_knows_lets_nobody_in(page: Page) -> None:
    """The key is known to the browser, and to nobody here any more."""
    passkeys(page)
    sign_in(page, "/account/factors/passkeys/add")
    page.get_by_role("button", name="Add").click()
    expect(page).to_have_url(re.compile("/step-up/"))
    from allauth.mfa.models import Authenticator

    sign_out(page)
    Authenticator.objects.all().delete()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("listitem").first).to_be_visible()
    expect(page).to_have_url(re.compile("/login"))
