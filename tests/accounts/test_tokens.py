"""Personal tokens: made in the browser with a fresh proof, shown once, and good for what they say and no more."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import personal_tokens, tasks, throttles
from accounts.credentials import Scope
from accounts.models import AuditEntry, PersonalToken, User
from tests.accounts.api_door import AUTH, PORTFOLIO, REMINDER, ask, begun, code_of, lets_in, personal
from tests.conftest import signed_in
from tests.test_away import redis_away, redis_silent

__all__ = ("redis_away", "redis_silent")

TOKENS = f"{AUTH}/tokens"
WANTED = {"name": "backup", "scope": "read", "days": 30}


@pytest.fixture(autouse=True)
def _nothing_counted(db: None) -> None:
    cache.clear()


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def make(browser: Client, **changed: object) -> Any:
    return browser.post(TOKENS, {**WANTED, **changed}, content_type="application/json")


class TestMaking:
    def test_it_is_shown_once_and_kept_as_a_hash(self, alice: User, as_alice: Client) -> None:
        answer = make(as_alice)
        token = answer.json()["token"]
        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"
        assert re.fullmatch(r"tm_[0-9a-f]{56}", token)
        assert lets_in(token)
        row = PersonalToken.objects.values().get()
        assert row["token_hash"] == personal_tokens.hashed(token)
        assert token not in repr(row)
        listed = as_alice.get(TOKENS)
        assert listed.json()[0]["ending"] == token[-4:]
        assert token not in listed.content.decode()
        assert row["token_hash"] not in listed.content.decode()

    def test_it_needs_a_fresh_proof(self, as_alice: Client, clock: Any) -> None:
        clock.shift(timedelta(minutes=11))
        assert code_of(make(as_alice)) == (403, "step_up_required")
        assert not PersonalToken.objects.exists()

    @pytest.mark.parametrize("kind", ["personal", "access"])
    def test_no_token_makes_tokens(self, kind: str, alice: User, as_alice: Client) -> None:
        """Not even beside the cookie of a browser that may."""
        token = personal(alice, Scope.TRADE) if kind == "personal" else begun(alice, Scope.TRADE)["access_token"]
        assert code_of(ask("post", TOKENS, token, WANTED)) == (403, "browser_needed")
        answer = as_alice.post(
            TOKENS, WANTED, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
        )
        assert code_of(answer) == (403, "browser_needed")

    def test_another_site_makes_none(self, alice: User) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.cookies = signed_in(alice).cookies
        assert code_of(make(browser)) == (403, "csrf_failed")

    @pytest.mark.parametrize(
        "changed",
        [
            {"days": 0},
            {"days": 366},
            {"days": None},
            {"scope": "all"},
            {"scope": ""},
            {"name": ""},
            {"name": "n" * 101},
        ],
    )
    def test_what_is_asked_for_is_checked(self, changed: dict[str, object], as_alice: Client) -> None:
        error = make(as_alice, **changed)
        assert code_of(error) == (400, "invalid_input")
        assert set(error.json()["error"]["details"]) == set(changed)

    def test_a_field_too_many_sets_nothing(self, alice: User, bob: User, as_alice: Client) -> None:
        make(as_alice, user=bob.pk, user_id=bob.pk, token_hash="0" * 64, expires_at="2099-01-01T00:00:00Z")
        made = PersonalToken.objects.get()
        assert made.user == alice
        assert made.token_hash != "0" * 64
        assert made.expires_at < timezone.now() + timedelta(days=31)

    def test_there_is_a_most(self, alice: User, as_alice: Client) -> None:
        for _ in range(personal_tokens.MOST_TOKENS):
            personal(alice)
        assert code_of(make(as_alice)) == (409, "too_many_tokens")

    def test_support_makes_none(self, as_sam: Client) -> None:
        assert code_of(make(as_sam)) == (403, "permission_denied")
        assert as_sam.post("/account/api/new", {**WANTED}).status_code == 302
        assert not PersonalToken.objects.exists()


class TestUsing:
    def test_it_ends_at_its_hour(self, alice: User, clock: Any) -> None:
        token = personal(alice, days=2)
        clock.shift(timedelta(days=2) - timedelta(seconds=1))
        assert lets_in(token)
        clock.shift(timedelta(seconds=1))
        assert code_of(ask("get", PORTFOLIO, token)) == (401, "token_refused")
        tasks.prune()
        clock.shift(timedelta(seconds=1))
        tasks.prune()
        assert not PersonalToken.objects.exists()

    def test_nobody_gets_one_that_lives_longer_than_a_year(self, alice: User) -> None:
        personal(alice, days=4000)
        assert PersonalToken.objects.get().expires_at < timezone.now() + timedelta(days=366)

    def test_revoked(self, alice: User, as_alice: Client) -> None:
        token, other = personal(alice), personal(alice)
        pk = PersonalToken.objects.get(token_hash=personal_tokens.hashed(token)).pk
        assert as_alice.delete(f"{TOKENS}/{pk}").status_code == 204
        assert code_of(ask("get", PORTFOLIO, token)) == (401, "token_refused")
        assert lets_in(other)
        assert code_of(as_alice.delete(f"{TOKENS}/{pk}")) == (404, "not_found")

    def test_of_another_it_is_none(self, alice: User, as_mallory: Client) -> None:
        token = personal(alice)
        pk = PersonalToken.objects.get().pk
        assert as_mallory.get(TOKENS).json() == []
        assert code_of(as_mallory.delete(f"{TOKENS}/{pk}")) == (404, "not_found")
        assert as_mallory.delete(f"{TOKENS}/{pk}").json() == as_mallory.delete(f"{TOKENS}/{pk + 1000}").json()
        assert as_mallory.post(f"/account/api/tokens/{pk}/revoke").status_code == 404
        assert lets_in(token)

    @pytest.mark.parametrize("how", ["is_active", "password", "role"])
    def test_of_somebody_who_is_no_longer_let_in(self, how: str, alice: User) -> None:
        token = personal(alice)
        changed = {"is_active": False, "password": "!", "role": "SUPPORT"}[how]
        User.objects.filter(pk=alice.pk).update(**{how: changed})
        expected = (403, "permission_denied") if how == "role" else (401, "token_refused")
        assert code_of(ask("get", PORTFOLIO, token)) == expected

    def test_its_use_is_noted_once_a_minute(
        self, alice: User, clock: Any, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        token = personal(alice)
        first = timezone.now()
        personal_tokens.let_in(token, now=first)
        with django_assert_num_queries(1):
            personal_tokens.let_in(token, now=first + timedelta(seconds=59))
        assert PersonalToken.objects.get().last_used_at == first
        personal_tokens.let_in(token, now=first + timedelta(seconds=60))
        assert PersonalToken.objects.get().last_used_at == first + timedelta(seconds=60)

    def test_a_personal_token_proves_nothing(self, alice: User) -> None:
        token = personal(alice, Scope.TRADE)
        answer = ask("delete", "/api/v1/brokers/apps/zerodha", token)
        assert code_of(answer) == (403, "step_up_required")
        assert "browser" in answer.json()["error"]["remedy"]
        assert code_of(ask("post", f"{AUTH}/step-up", token, {"password": "x"})) == (403, "api_session_needed")

    def test_it_opens_no_page(self, alice: User) -> None:
        token = personal(alice, Scope.TRADE)
        for page in ("/", "/account/api", "/admin/"):
            assert ask("get", page, token).status_code == 302

    def test_read_reads_and_trade_changes(self, alice: User) -> None:
        reads, changes = personal(alice, Scope.READ), personal(alice, Scope.TRADE)
        body = {"by_email": True}
        assert code_of(ask("put", REMINDER, reads, body)) == (403, "scope_missing")
        assert ask("get", REMINDER, reads).json()["by_email"] is False
        assert ask("put", REMINDER, changes, body).status_code == 200
        assert ask("get", REMINDER, reads).json()["by_email"] is True


def wrong(address: str = "127.0.0.1") -> tuple[int, str]:
    return code_of(ask("get", PORTFOLIO, personal_tokens._random(), REMOTE_ADDR=address))


class TestGuessing:
    @pytest.mark.parametrize("what", ["too short", "wrong checksum", "unknown", "another alphabet"])
    def test_what_is_no_token(self, what: str, alice: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        token = personal(alice)
        digits = secrets.token_hex(24)
        tried = {
            "too short": token[:-1],
            "wrong checksum": f"tm_{digits}{'0' * 8}",
            "unknown": personal_tokens._random(),
            "another alphabet": token.upper().replace("TM_", "tm_"),
        }[what]
        with django_assert_num_queries(1 if what == "unknown" else 0):
            assert code_of(ask("get", PORTFOLIO, tried)) == (401, "token_refused")

    def test_wrong_ones_are_counted_per_address(self, alice: User) -> None:
        assert {wrong() for _ in range(20)} == {(401, "token_refused")}
        answer = ask("get", PORTFOLIO, personal_tokens._random())
        assert code_of(answer) == (429, "throttled")
        assert 1 <= int(answer["Retry-After"]) <= 61
        assert wrong("198.51.100.9") == (401, "token_refused")

    def test_forged_access_and_refresh_tokens_count_too(self, db: None) -> None:
        for _ in range(10):
            ask("get", PORTFOLIO, "a.b.c")
            ask("post", f"{AUTH}/refresh", body={"refresh_token": "a.b.c"})
        assert wrong() == (429, "throttled")

    def test_a_right_one_is_let_in_all_the_same(self, alice: User) -> None:
        """Guessing one cannot succeed; whoever shares an address with somebody who tries shall not suffer."""
        token = personal(alice)
        for _ in range(25):
            wrong()
        assert lets_in(token)

    def test_other_processes_count_the_same(self, db: None, settings: Settings) -> None:
        for _ in range(20):
            assert throttles.count("wrong_token", "127.0.0.1") is None
        throttles.counter_at.cache_clear()  # as another process would
        assert wrong() == (429, "throttled")

    def test_while_redis_is_away_each_process_counts(self, redis_away: None, db: None) -> None:
        assert {wrong("203.0.113.77") for _ in range(20)} == {(401, "token_refused")}
        assert wrong("203.0.113.77") == (429, "throttled")


class TestThePage:
    def test_a_token_is_made_shown_once_and_revoked(self, alice: User, as_alice: Client) -> None:
        made = as_alice.post("/account/api/new", {"name": "<b>backup</b>", "scope": "trade", "days": 7})
        found = re.search(r"tm_[0-9a-f]{56}", made.content.decode())
        assert found
        assert "no-store" in made["Cache-Control"]
        assert "<b>backup" not in made.content.decode()
        assert lets_in(found[0])
        page = as_alice.get("/account/api").content.decode()
        assert found[0] not in page
        assert f"tm_…{found[0][-4:]}" in page
        as_alice.post(f"/account/api/tokens/{PersonalToken.objects.get().pk}/revoke")
        assert not lets_in(found[0])

    def test_a_client_that_is_logged_in_is_listed_and_ended(self, alice: User, as_alice: Client) -> None:
        token = begun(alice)["access_token"]
        assert 'data-testid="client"' in as_alice.get("/account/api").content.decode()
        as_alice.post(f"/account/api/sessions/{alice.api_sessions.get().pk}/end")
        assert not lets_in(token)

    def test_another_users_client_is_none(self, alice: User, as_mallory: Client) -> None:
        token = begun(alice)["access_token"]
        assert as_mallory.post(f"/account/api/sessions/{alice.api_sessions.get().pk}/end").status_code == 404
        assert lets_in(token)

    def test_making_one_leads_to_the_proof_first(self, as_alice: Client, clock: Any) -> None:
        clock.shift(timedelta(minutes=11))
        answer = as_alice.post("/account/api/new", {"name": "x", "scope": "read", "days": 7})
        assert answer["Location"].startswith("/step-up?next=")
        assert not PersonalToken.objects.exists()

    def test_mistakes_are_shown(self, alice: User, as_alice: Client) -> None:
        assert "365" in as_alice.post("/account/api/new", {"name": "x", "scope": "read", "days": 999}).content.decode()
        for _ in range(personal_tokens.MOST_TOKENS):
            personal(alice)
        page = as_alice.post("/account/api/new", {"name": "x", "scope": "read", "days": 9}).content.decode()
        assert "Revoke one first" in page

    def test_strangers_are_asked_to_sign_in(self, client: Client, db: None) -> None:
        assert client.get("/account/api")["Location"].startswith("/login")
        assert client.post("/account/api/new")["Location"].startswith("/login")


def test_support_sees_that_there_are_tokens_and_no_hash(alice: User, root: User) -> None:
    personal(alice)
    begun(alice)
    desk = signed_in(root)
    row = PersonalToken.objects.get()
    for model, pk in (("personaltoken", row.pk), ("apisession", alice.api_sessions.get().pk)):
        for page in (f"/admin/accounts/{model}/", f"/admin/accounts/{model}/{pk}/change/"):
            answer = desk.get(page)
            assert answer.status_code == 200
            assert row.token_hash not in answer.content.decode()
            assert row.password_mark not in answer.content.decode()


def test_the_audit_log_is_told(alice: User, as_alice: Client, clock: Any) -> None:
    """Whose, which row, and what it might do; nothing of the token itself."""
    token = make(as_alice).json()["token"]
    personal_tokens.revoke(PersonalToken.objects.select_related("user").get())
    first = begun(alice, Scope.TRADE)["refresh_token"]
    session = str(alice.api_sessions.get().pk)
    ask("post", f"{AUTH}/refresh", body={"refresh_token": first})
    clock.shift(timedelta(minutes=1))
    ask("post", f"{AUTH}/refresh", body={"refresh_token": first})
    told = AuditEntry.objects.filter(subject_id=alice.pk, event__startswith="api_token").order_by("sequence")
    assert [(row.event.partition(".")[2], row.object_kind, row.details["scope"]) for row in told] == [
        ("issued", "personaltoken", "read"),
        ("revoked", "personaltoken", "read"),
        ("issued", "apisession", "trade"),
        ("revoked", "apisession", "trade"),
        ("reused", "apisession", "trade"),
    ]
    assert {row.object_id for row in told if row.object_kind == "apisession"} == {session}
    assert told[2].actor_id == alice.pk
    assert not any(piece in repr(list(told.values())) for piece in (token, *first.split(".")))
