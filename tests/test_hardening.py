"""What browsers are told about our pages, and what strangers may cost us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from accounts import throttles
from accounts.models import User
from tests.conftest import signed_in

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *("/", "/orders/", "/connect", "/connect/groww", "/brokers/health/", "/logins", "/login", "/status"),
    *("/admin/login/", "/api/docs", "/api/v1/brokers", "/no-such"),
]
# Set to what nobody answers at: only the settings are read.
PRODUCTION = {
    "SECRET_KEY": "kXr7_0zJq2uM5vPz1bYt8wNc4eGh6sLd9aQf3xTi-oBnEjRkUgH5pW_y",
    "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PUBLIC_URL": "https://portfolio.example.in",
    "BEHIND_PROXY": "1",
    "EGRESS_IP": "8.8.8.8",
}


def policy(client: Client, page: str) -> dict[str, list[str]]:
    header = client.get(page)["Content-Security-Policy"]
    return {name: sources for name, *sources in (part.split() for part in header.split(";") if part.strip())}


@pytest.mark.parametrize("page", PAGES)
def test_every_answer_says_what_a_page_may_load(page: str, alice: User) -> None:
    told = policy(signed_in(alice), page)
    assert told["default-src"] == ["'none'"]
    assert told["script-src"] == told["style-src"] == told["connect-src"] == told["form-action"] == ["'self'"]
    assert told["frame-ancestors"] == told["base-uri"] == ["'none'"]
    assert not any("unsafe" in source or "*" in source for sources in told.values() for source in sources)


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_framed_sniffed_or_told_of_to_others(page: str, alice: User) -> None:
    answer = signed_in(alice).get(page)
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == answer["Cross-Origin-Opener-Policy"] == "same-origin"


def deployed(**changed: str) -> subprocess.CompletedProcess[str]:
    """`check --deploy` as production would start, in a process of its own: settings are read once."""
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changed}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_production_installation_is_found_clean() -> None:
    found = deployed()
    assert (found.returncode, found.stdout) == (0, "System check identified no issues (1 silenced).\n"), found.stderr


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"BEHIND_PROXY": "0"}, "trademaster.W001"),
        ({"ALLOWED_HOSTS": "*"}, "trademaster.E001"),
        ({"ALLOWED_HOSTS": ".example.in"}, "trademaster.E001"),
        ({"EGRESS_IP": "10.0.0.1"}, "brokers.W001"),
        ({"SECRET_KEY": "short"}, "security.W009"),
        ({"DEBUG": "1"}, "security.W018"),
    ],
)
def test_a_weak_one_is_not(changed: dict[str, str], complaint: str) -> None:
    found = deployed(**changed)
    assert found.returncode == 1
    assert complaint in found.stderr


def test_tests_and_demo_name_their_hosts() -> None:
    assert [message for message in run_checks() if message.id == "trademaster.E001"] == []


def test_a_body_that_is_too_long_is_refused_in_our_words(bob: User) -> None:
    body = json.dumps({"display_name": "x" * 300_000})
    answer = signed_in(bob).post("/api/v1/brokers/connect/initiate", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_json_nested_deeply_is_refused(depth: int, bob: User) -> None:
    answer = signed_in(bob).post(
        "/api/v1/brokers/connect/initiate", "[" * depth + "]" * depth, content_type="application/json"
    )
    assert answer.status_code == 400


def test_no_page_takes_a_file(client: Client, db: None) -> None:
    answer = client.post("/login", {"username": "a", "password": "b", "file": SimpleUploadedFile("a.txt", b"a")})
    assert answer.status_code == 400


class TestThrottle:
    @pytest.fixture
    def thrice(self, settings: Settings) -> None:
        rates = {**settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "user": "3/min"}
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
        throttles.alone.storage.reset()

    def asked(self, user: User) -> int:
        return signed_in(user).get("/api/v1/brokers").status_code

    def test_another_process_counts_on(self, bob: User, mallory: User, thrice: None) -> None:
        """Another process is a counter of its own that knows nothing but Redis."""
        assert self.asked(bob) == 200
        throttles.counter_at.cache_clear()
        assert [self.asked(bob) for _ in range(3)] == [200, 200, 429]
        assert self.asked(mallory) == 200

    def test_while_redis_is_away_each_process_counts_alone(self, bob: User, thrice: None, settings: Settings) -> None:
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/1"}}
        assert [self.asked(bob) for _ in range(4)] == [200, 200, 200, 429]

    def test_a_refusal_says_when_to_come_back(self, bob: User, thrice: None) -> None:
        answers = [signed_in(bob).get("/api/v1/brokers") for _ in range(4)]
        assert answers[-1].json()["error"]["code"] == "throttled"
        assert 1 <= int(answers[-1]["Retry-After"]) <= 61
