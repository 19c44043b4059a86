"""What the start-up checks find, and the words with which they say how to mend it."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from cryptography.fernet import Fernet
from django.core.checks import Error, Warning, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from brokers import vault
from brokers.simulation.server import SimulatedBrokers
from trademaster import celery
from trademaster.environment import env_keys


def warned(check: str) -> list[str]:
    return [message.msg for message in run_checks() if isinstance(message, Warning) and message.id == check]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("django-insecure-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2, "made for development"),
        ("0123456789abcdefghijklmnopqrstuvwxyz", "has 36 characters; it needs 50"),
        ("abcdefghijklmno" * 4, "only 15 different characters"),
    ],
)
def test_a_weak_secret_key(key: str, problem: str, settings: Settings) -> None:
    assert warned("brokers.W002") == []
    settings.SECRET_KEY_FALLBACKS = [key]
    [words] = warned("brokers.W002")
    assert problem in words
    assert key not in words
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = key, []
    assert len(warned("brokers.W002")) == 1


def test_an_encryption_key_that_is_a_word(settings: Settings) -> None:
    assert warned("brokers.W003") == []
    word = urlsafe_b64encode(b"correct-horse-battery-staple".ljust(32, b"!")).decode()
    settings.FIELD_ENCRYPTION_KEY = [*settings.FIELD_ENCRYPTION_KEY, word]
    [words] = warned("brokers.W003")
    assert vault.key_ids()[1] in words
    assert word not in words


def errors(*, databases: list[str] | None = None) -> dict[str, Error]:
    found = run_checks(databases=databases)
    return {message.id: message for message in found if isinstance(message, Error) and message.id}


def test_the_house_as_it_stands_has_nothing_to_complain_of(db: None, brokers: SimulatedBrokers) -> None:
    assert errors(databases=["default"]) == {}


@pytest.mark.parametrize("name", ["base_url", "login_url", "master_url"])
@pytest.mark.parametrize("address", ["https://api.kite.trade", "http://10.0.0.7:9101", "http://localhost.evil.example"])
def test_a_simulation_that_would_leave_the_machine(
    name: str, address: str, brokers: SimulatedBrokers, settings: Settings
) -> None:
    settings.BROKERS = {slug: dict(broker) for slug, broker in settings.BROKERS.items()}
    settings.BROKERS["zerodha"][name] = address
    error = errors()["brokers.E001"]
    assert address in error.msg
    assert "BROKER_ZERODHA_BASE_URL" in str(error.hint)
    settings.SIMULATED_BROKERS = False
    assert "brokers.E001" not in errors()


@pytest.mark.parametrize(
    ("address", "simulated", "complaint"),
    [
        (None, False, "EGRESS_IP is not set."),
        ("10.0.0.7", False, "EGRESS_IP is 10.0.0.7, which is not a public address."),
        ("127.0.0.1", False, "EGRESS_IP is 127.0.0.1, which is not a public address."),
        ("8.8.8.8", False, None),
        (None, True, None),
        ("10.0.0.7", True, None),
    ],
)
def test_orders_want_one_public_address(
    address: str | None, simulated: bool, complaint: str | None, settings: Settings
) -> None:
    settings.EGRESS_IP, settings.SIMULATED_BROKERS = address, simulated
    found = [message for message in run_checks() if message.id == "brokers.W001"]
    assert [message.msg for message in found] == ([] if complaint is None else [complaint])
    assert all(isinstance(message, Warning) and "manage.py egress" in str(message.hint) for message in found)


def test_keys_that_do_not_fit_the_database(db: None, settings: Settings) -> None:
    vault.prove_keys()
    old = settings.FIELD_ENCRYPTION_KEY
    settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
    error = errors(databases=["default"])["brokers.E002"]
    assert "Put back the key" in error.msg
    assert "brokers.E002" not in errors()  # a check without a database asks none
    with pytest.raises(SystemCheckError, match=r"brokers\.E002"):
        call_command("check", databases=["default"])
    settings.FIELD_ENCRYPTION_KEY = [*settings.FIELD_ENCRYPTION_KEY, *old]
    assert errors(databases=["default"]) == {}


@pytest.mark.django_db(transaction=True)  # a start ends with the database's connection given back
def test_a_worker_does_not_start_with_keys_that_do_not_fit(settings: Settings) -> None:
    """Nothing less than SystemExit ends a worker: Celery swallows every Exception of a signal."""
    celery.prove_keys()
    settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
    with pytest.raises(SystemExit, match="Put back the key"):
        celery.prove_keys()


def test_the_migrations_are_complete(db: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("keys", ["junk", "a" * 43, f"{'b' * 44},junk"])
def test_keys_that_are_none_are_refused_in_words(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", keys)
    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS must be Fernet keys"):
        env_keys("FIELD_ENCRYPTION_KEYS")
