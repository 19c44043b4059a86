"""Guessing: counted per account and per address, by all processes together, whatever becomes of Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core.cache import cache, caches
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from tests.accounts.door import PASSWORD, code_now, is_in, person, show_code, sign_in, with_app, wrong_code
from tests.test_away import redis_away, redis_silent

__all__ = ("redis_away", "redis_silent")

LOCKED = "Too many tries"


@pytest.fixture
def carol(db: None) -> User:
    return person("carol")


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def guess(name: str, times: int, *, first: int = 1) -> list[str]:
    """Wrong passwords, each from an address of its own; what the page said."""
    pages = [sign_in(Client(REMOTE_ADDR=f"198.51.100.{first + n}"), name, "wrong") for n in range(times)]
    return [page.content.decode() for page in pages]


def comes_in(name: str = "carol", address: str = "203.0.113.1") -> bool:
    browser = Client(REMOTE_ADDR=address)
    sign_in(browser, name)
    return is_in(browser)


def test_after_five_wrong_passwords_the_right_one_waits(carol: User, clock: Any) -> None:
    assert not any(LOCKED in page for page in guess("carol", 5))
    assert not comes_in()
    clock.shift(timedelta(minutes=5, seconds=1))
    assert comes_in()


def test_it_waits_longer_and_longer(carol: User, clock: Any) -> None:
    for _ in range(3):
        assert not any(LOCKED in page for page in guess("carol", 5))
        assert not comes_in()
        clock.shift(timedelta(minutes=5, seconds=1))
    # Fifteen within the hour: five minutes do not help any more.
    assert not comes_in()
    clock.shift(timedelta(hours=1))
    assert comes_in()


def test_two_names_of_one_account_are_one_count(carol: User) -> None:
    guess("carol", 3)
    guess("carol@example.com", 1, first=10)
    guess("CAROL", 1, first=20)
    assert not comes_in()
    assert not comes_in("carol@example.com", "203.0.113.2")


def test_nor_is_it_counted_apart_under_another_name_of_the_host(carol: User) -> None:
    for number, host in enumerate(("127.0.0.1", "localhost", "127.0.0.1", "localhost", "localhost")):
        browser = Client(REMOTE_ADDR=f"198.51.100.{number}", headers={"Host": host})
        sign_in(browser, "carol", "wrong")
    assert not comes_in()


def test_a_name_that_is_nobodys_is_locked_alike(carol: User) -> None:
    assert LOCKED in guess("nobody", 6)[-1]
    assert comes_in()


def test_one_address_that_tries_many_names_is_slowed(carol: User, clock: Any) -> None:
    for number in range(10):
        sign_in(Client(), f"name{number}", "wrong")
    assert LOCKED in sign_in(Client(), "carol").content.decode()
    assert comes_in(address="203.0.113.1")
    clock.shift(timedelta(minutes=1, seconds=1))
    assert comes_in(address="127.0.0.1")


def test_what_a_client_says_of_its_own_address_is_not_believed(carol: User) -> None:
    for number in range(10):
        browser = Client(headers={"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"})
        sign_in(browser, f"name{number}", "wrong")
    assert LOCKED in sign_in(Client(), "carol").content.decode()


def test_an_own_success_between_resets_nothing(carol: User) -> None:
    """Whoever has an account of their own cannot clear another's count with it."""
    person("mallory")
    guess("carol", 4)
    assert comes_in("mallory", "198.51.100.1")
    guess("carol", 1, first=5)
    assert not comes_in()


def test_codes_are_counted_too(carol: User, clock: Any) -> None:
    with_app(carol)
    for number in range(5):
        browser = Client(REMOTE_ADDR=f"198.51.100.{number}")
        sign_in(browser, "carol")
        browser.post("/login/factor", {"code": wrong_code()})
    browser = Client(REMOTE_ADDR="203.0.113.1")
    sign_in(browser, "carol")
    assert show_code(browser).status_code == 200
    assert not is_in(browser)
    clock.shift(timedelta(minutes=5, seconds=1))
    assert browser.post("/login/factor", {"code": code_now()}).status_code == 302


def test_a_new_password_by_letter_opens_a_locked_account(carol: User) -> None:
    from django.core import mail

    from tests.accounts.test_sign_in import NEW_PASSWORD, TestForgottenPassword, address_in

    guess("carol", 5)
    Client().post("/password/reset", {"email": carol.email})
    TestForgottenPassword().set_new(Client(), address_in(mail.outbox[-1].body))
    browser = Client(REMOTE_ADDR="203.0.113.1")
    assert sign_in(browser, "carol", NEW_PASSWORD)["Location"] == "/"


def test_letters_are_not_sent_without_end(carol: User) -> None:
    from django.core import mail

    answers = [
        Client(REMOTE_ADDR=f"198.51.100.{number}").post("/password/reset", {"email": carol.email}).status_code
        for number in range(5)
    ]
    assert len(mail.outbox) == 3
    assert answers[:3] == [302, 302, 302]


class TestWhereTheCountsStand:
    def test_in_postgresql_and_not_in_redis(self, carol: User) -> None:
        guess("carol", 1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sign_in_counts")
            assert cursor.fetchone()[0] > 0

    def test_emptying_the_cache_lifts_nothing(self, carol: User) -> None:
        guess("carol", 5)
        cache.clear()
        assert not comes_in()

    @pytest.mark.parametrize("outage", ["redis_away", "redis_silent"])
    def test_without_redis_it_is_the_same(self, outage: str, carol: User, request: pytest.FixtureRequest) -> None:
        request.getfixturevalue(outage)
        with_app(carol)
        with time_machine.travel(timezone.now(), tick=False):
            first, second = Client(), Client()
            for browser in (first, second):
                sign_in(browser, "carol")
            assert show_code(first)["Location"] == "/"
            assert show_code(second).status_code == 200  # spent is spent
        guess("carol", 5)
        assert not comes_in()

    def test_lapsed_counts_make_way_and_live_ones_never(self, db: None, clock: Any, settings: Settings) -> None:
        counts = caches["sign_in"]
        counts._max_entries = 3  # type: ignore[attr-defined]
        counts.set("allauth:old", 1, timeout=10)
        clock.shift(timedelta(seconds=20))
        for number in range(6):
            counts.set(f"allauth:{number}", number, timeout=1000)
        assert [counts.get(f"allauth:{number}") for number in range(6)] == list(range(6))
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sign_in_counts")
            assert cursor.fetchone()[0] == 6


GUESSES = """
import django
django.setup()
from django.test import Client
for number in range(3):
    browser = Client(REMOTE_ADDR=f"198.51.100.{number}", SERVER_NAME="127.0.0.1")
    print(browser.post("/login", {"login": "carol", "password": "wrong"}).status_code)
"""


@pytest.fixture
def emptied(transactional_db: None) -> Iterator[None]:
    """Its table belongs to no model, so that nobody else empties it."""
    yield
    caches["sign_in"].clear()


@pytest.mark.usefixtures("emptied")
def test_all_processes_share_one_count() -> None:
    """Two guesses here and three in another process are five."""
    person("carol")
    guess("carol", 2, first=100)
    ours = urlsplit(os.environ["DATABASE_URL"])
    environment = {**os.environ, "DATABASE_URL": ours._replace(path=f"/{connection.settings_dict['NAME']}").geturl()}
    other = subprocess.run(
        [sys.executable, "-c", GUESSES], env=environment, capture_output=True, text=True, check=False
    )
    assert (other.returncode, other.stdout) == (0, "200\n" * 3), other.stderr
    browser = Client(REMOTE_ADDR="203.0.113.1")
    assert LOCKED in sign_in(browser, "carol", PASSWORD).content.decode()
    assert not is_in(browser)
