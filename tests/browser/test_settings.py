"""The settings in a real browser: a limit set and loosened without JavaScript, and every page on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from portfolio.risk.limits import Action, Metric
from portfolio.risk_models import RiskLimit
from tests.accounts.door import PASSWORD, person
from tests.portfolio.limit_samples import rows_of_limits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = (
    *("profile", "alerts", "alerts/new", "alerts/reminder", "limits", "limits/new", "limits/new?metric=DAY_LOSS"),
    *("orders", "family", "family/new", "log", "consents", "data", "data/delete"),
)


@pytest.fixture(scope="module", autouse=True)
def _rows_beside_the_browser() -> Iterator[None]:
    """The browser's own event loop runs in this thread, which Django would take for an asynchronous caller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield


@pytest.fixture
def carol(transactional_db: None) -> User:
    return person("carol")


def signed_in(browser: Browser, server: LiveServer, **kind: object) -> Page:
    page = browser.new_context(base_url=server.url, **kind).new_page()  # type: ignore[arg-type]
    page.goto("/login?next=/account/limits")
    page.get_by_label("Username or e-mail").fill("carol")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    return page


def test_a_limit_is_set_and_loosened_without_javascript(
    chromium: Browser, live_server: LiveServer, carol: User
) -> None:
    page = signed_in(chromium, live_server, java_script_enabled=False)
    page.get_by_role("link", name="Set a limit").click()
    page.get_by_role("link", name="Today’s loss, in rupees").click()
    page.get_by_role("textbox", name="Block level").fill("1,50,000")
    page.get_by_label("At the block level").select_option(Action.REDUCE_ONLY)
    page.get_by_role("button", name="Set it").click()
    expect(page.get_by_text("The limit is set: Today’s loss, in rupees")).to_be_visible()

    make_old(carol)
    page.get_by_role("link", name="Change Today’s loss, in rupees").click()
    page.get_by_role("textbox", name="Block level").fill("3,00,000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Show that it is you")).to_be_visible()
    assert RiskLimit.objects.get(user=carol, metric=Metric.DAY_LOSS).block == 150_000
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("Look at it once more, and save.")).to_be_visible()
    expect(page.get_by_role("textbox", name="Block level")).to_have_value("3,00,000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The limit is changed.")).to_be_visible()
    assert RiskLimit.objects.get(user=carol, metric=Metric.DAY_LOSS).block == 300_000
    page.context.close()


def test_every_page_fits_a_phone_and_the_dark(chromium: Browser, live_server: LiveServer, carol: User) -> None:
    rows_of_limits(carol)
    page = signed_in(chromium, live_server, viewport={"width": 390, "height": 844}, color_scheme="dark")
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    too_wide = {}
    for path in PAGES:
        answer = page.goto(f"/account/{path}")
        assert answer is not None
        assert answer.status == 200, path
        expect(page.get_by_role("navigation", name="Your account").locator("[aria-current=page]")).to_have_count(1)
        too_wide[path] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert {path: width for path, width in too_wide.items() if width > 0} == {}
    assert errors == []
    page.context.close()


def make_old(user: User) -> None:
    """The proof that every session of this user noted was shown long ago."""
    for row in Session.objects.all():
        store = SessionStore(row.session_key)
        if store.get("_auth_user_id") == str(user.pk):
            store["account_authentication_methods"] = [{"method": "password", "at": 1.0}]
            store.save()
