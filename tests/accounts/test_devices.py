"""Trusted devices: what one spares, how it is listed, named and taken back, and what ends all of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import devices
from accounts.models import TrustedDevice, User
from accounts.tasks import prune
from tests.accounts.door import FIREFOX, PASSWORD, code_now, is_in, person, show_code, sign_in, with_app


@pytest.fixture
def carol(db: None) -> User:
    carol = person("carol")
    with_app(carol)
    return carol


@pytest.fixture
def trusted(carol: User) -> Client:
    """Carol's browser, in which she ticked the box, and signed out again."""
    browser = Client(headers={"User-Agent": FIREFOX})
    with time_machine.travel(timezone.now() - timedelta(minutes=5), tick=False):
        sign_in(browser, "carol")
        show_code(browser, trust="on")
        browser.post("/logout")
    return browser


def spares(browser: Client) -> bool:
    browser.post("/logout")
    return bool(sign_in(browser, "carol")["Location"] == "/")


def test_it_is_asked_once_per_browser(trusted: Client) -> None:
    assert spares(trusted)
    assert is_in(trusted)
    assert not spares(Client())


def test_nothing_is_trusted_that_was_not_ticked(carol: User, client: Client) -> None:
    sign_in(client, "carol")
    show_code(client)
    assert not TrustedDevice.objects.exists()


def test_the_cookie_is_shut_away_and_stands_nowhere(trusted: Client, carol: User) -> None:
    cookie = trusted.cookies[devices.cookie_of(carol)]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    [row] = TrustedDevice.objects.values()
    assert cookie.value not in str(row)


def test_with_https_it_is_secure(carol: User, client: Client, settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = True
    client.post("/login", {"login": "carol", "password": PASSWORD}, secure=True)
    client.post("/login/factor", {"code": code_now(), "trust": "on"}, secure=True)
    assert client.cookies[devices.cookie_of(carol)]["secure"]


def test_another_users_cookie_is_worth_nothing(trusted: Client, carol: User) -> None:
    mallory = person("mallory")
    with_app(mallory)
    token = trusted.cookies[devices.cookie_of(carol)].value
    browser = Client()
    browser.cookies[devices.cookie_of(mallory)] = token
    assert sign_in(browser, "mallory")["Location"] == "/login/factor"


def test_it_lapses(trusted: Client) -> None:
    with time_machine.travel(timezone.now() + timedelta(days=14)):
        assert not spares(trusted)
        prune()
    assert not TrustedDevice.objects.exists()


def test_it_is_listed_named_and_taken_back(trusted: Client) -> None:
    spares(trusted)
    [device] = TrustedDevice.objects.all()
    html = trusted.get("/account/devices").content.decode()
    assert "Firefox on Linux" in html
    assert "this one" in html
    trusted.post(f"/account/devices/{device.pk}", {"action": "rename", "name": "The desk"})
    assert "The desk" in trusted.get("/account/devices").content.decode()
    trusted.post(f"/account/devices/{device.pk}", {"action": "rename", "name": ""})
    device.refresh_from_db()
    assert device.name == "The desk"
    trusted.post(f"/account/devices/{device.pk}", {"action": "forget"})
    assert not spares(trusted)


def test_all_can_be_forgotten_at_once(trusted: Client) -> None:
    spares(trusted)
    trusted.post("/account/devices/forget")
    assert not spares(trusted)


def test_nobody_touches_anothers(trusted: Client, mallory: User) -> None:
    [device] = TrustedDevice.objects.all()
    stranger = Client()
    stranger.force_login(mallory)
    for action in ("rename", "forget"):
        answer = stranger.post(f"/account/devices/{device.pk}", {"action": action, "name": "mine"})
        assert answer.status_code == 404
    stranger.post("/account/devices/forget")
    assert spares(trusted)


def test_another_password_ends_all_of_them(trusted: Client, carol: User) -> None:
    carol.set_password("another-long-pass-phrase")
    carol.save()
    assert sign_in(trusted, "carol", "another-long-pass-phrase")["Location"] == "/login/factor"
    assert devices.trusted_by(carol, now=timezone.now()) == []


def test_another_factor_ends_all_of_them(trusted: Client, carol: User) -> None:
    browser = Client()
    sign_in(browser, "carol")
    show_code(browser)
    assert browser.post("/account/factors/app/remove").status_code == 302
    assert not Authenticator.objects.exists()
    assert not TrustedDevice.objects.exists()
    with_app(carol)
    assert not spares(trusted)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5.0", "A browser"),
        ("", "A browser"),
    ],
)
def test_a_browsers_long_name_is_made_short(agent: str, name: str) -> None:
    assert devices.named(agent) == name
