"""Logins of API clients, attacked: stolen tokens, spent ones, and people who are no longer let in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import api_sessions, credentials, tasks
from accounts.access_tokens import Claims
from accounts.credentials import Scope
from accounts.models import ApiSession, User
from tests.accounts.api_door import AUTH, PORTFOLIO, ask, begun, code_of, lets_in, log_in, pair, refresh
from tests.accounts.door import PASSWORD, code_now, person, with_app, with_recovery_codes, wrong_code
from tests.conftest import signed_in

pytestmark = pytest.mark.usefixtures("nothing_counted")


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


class TestLoggingIn:
    @pytest.fixture
    def carol(self, db: None) -> User:
        return person("carol")

    def test_a_password_opens_a_session_that_may_look(self, carol: User) -> None:
        answer = log_in()
        given = answer.json()
        assert answer["Cache-Control"] == "no-store"
        assert "sessionid" not in answer.cookies
        assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", 300, "read")
        assert lets_in(given["access_token"])
        assert ApiSession.objects.get().user.get_username() == "carol"

    def test_the_address_of_the_account_will_do(self, carol: User) -> None:
        assert lets_in(pair("carol@example.com")["access_token"])

    def test_wrong_unknown_and_switched_off_are_one_answer(self, carol: User) -> None:
        wrong = log_in(password="wrong").json()
        person("dave", is_active=False)
        assert log_in("nobody").json() == wrong == log_in("dave").json()
        assert code_of(log_in("nobody")) == (401, "login_failed")

    def test_support_has_no_api(self, db: None) -> None:
        person("sam", role="SUPPORT")
        assert code_of(log_in("sam")) == (401, "login_failed")

    def test_who_has_a_second_factor_shows_it(self, carol: User) -> None:
        with_app(carol)
        codes = with_recovery_codes(carol)
        asked = log_in()
        assert code_of(asked) == (401, "factor_required")
        assert asked.json()["error"]["details"] == {"methods": ["recovery_codes", "totp"]}
        assert code_of(log_in(code=wrong_code())) == (401, "wrong_code")
        assert not ApiSession.objects.exists()
        assert lets_in(pair(code=code_now())["access_token"])
        assert lets_in(pair(code=codes[0])["access_token"])

    def test_a_code_works_once(self, carol: User) -> None:
        with_app(carol)
        code = code_now()
        pair(code=code)
        assert code_of(log_in(code=code)) == (401, "wrong_code")

    def test_a_code_works_once_as_long_as_it_lives(self, carol: User, clock: Any) -> None:
        with_app(carol)
        code = code_now()
        pair(code=code)
        clock.shift(timedelta(seconds=29))
        assert code_of(log_in(code=code)) == (401, "wrong_code")
        assert code_of(log_in(code=f"{code[:3]} {code[3:]}")) == (401, "wrong_code")

    def test_a_code_opens_nothing_without_the_password(self, carol: User) -> None:
        with_app(carol)
        assert code_of(log_in(password="wrong", code=code_now())) == (401, "login_failed")

    def test_guessing_passwords_is_counted_as_at_the_browsers_door(self, carol: User, client: Client) -> None:
        answers = [code_of(log_in(password="wrong")) for _ in range(6)]
        assert answers == [(401, "login_failed")] * 5 + [(429, "throttled")]
        assert code_of(log_in()) == (429, "throttled")
        client.post("/login", {"login": "carol", "password": PASSWORD})
        assert client.get("/").status_code == 302

    def test_guessing_codes_is_counted(self, carol: User) -> None:
        with_app(carol)
        answers = [code_of(log_in(code=wrong_code())) for _ in range(6)]
        assert answers[-1] == (429, "throttled")
        assert code_of(log_in(code=code_now())) == (429, "throttled")

    @pytest.mark.parametrize(
        "body",
        [{}, {"login": "carol"}, {"login": [], "password": 1}, {"login": "a", "password": "b", "scope": "all"}, []],
    )
    def test_a_body_that_is_none_is_refused(self, body: Any, carol: User) -> None:
        assert code_of(ask("post", f"{AUTH}/login", body=body)) == (400, "invalid_input")

    def test_a_login_from_somewhere_new_is_told(self, carol: User) -> None:
        pair()
        assert mail.outbox == []
        ask("post", f"{AUTH}/login", body={"login": "carol", "password": PASSWORD}, REMOTE_ADDR="198.51.100.7")
        assert "198.51.100.7" in mail.outbox[0].body


class TestRefreshing:
    def test_it_gives_another_pair_of_the_same_scope(self, carol: User, clock: Any) -> None:
        given = begun(carol, Scope.TRADE)
        clock.shift(timedelta(minutes=6))
        assert code_of(ask("get", PORTFOLIO, given["access_token"])) == (401, "token_expired")
        again = refresh(given["refresh_token"]).json()
        assert again["scope"] == "trade"
        assert lets_in(again["access_token"])
        assert ApiSession.objects.count() == 1

    def test_a_reused_token_ends_the_session_of_both(
        self, carol: User, clock: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        stolen = begun(carol)["refresh_token"]
        thief = refresh(stolen).json()
        heard: list[Any] = []
        credentials.reused.connect(hear := lambda **sent: heard.append(sent["user"]))
        clock.shift(timedelta(seconds=11))
        assert code_of(refresh(stolen)) == (401, "token_reused")
        assert not lets_in(thief["access_token"])
        assert code_of(refresh(thief["refresh_token"])) == (401, "token_refused")
        assert not ApiSession.objects.exists()
        assert heard == [carol]
        assert hear
        assert "was shown again" in caplog.text
        assert mail.outbox[-1].to == ["carol@example.com"]

    def test_a_much_older_token_ends_it_at_once(self, carol: User) -> None:
        first = begun(carol)["refresh_token"]
        refresh(refresh(first).json()["refresh_token"])
        assert code_of(refresh(first)) == (401, "token_reused")

    def test_requests_that_cross_end_nothing(self, carol: User) -> None:
        first = begun(carol)["refresh_token"]
        winner = refresh(first).json()
        assert code_of(refresh(first)) == (409, "refresh_under_way")
        assert lets_in(winner["access_token"])

    def test_another_session_is_left_alone(self, carol: User, clock: Any) -> None:
        stolen, other = begun(carol)["refresh_token"], begun(carol)
        refresh(stolen)
        clock.shift(timedelta(minutes=1))
        assert code_of(refresh(stolen)) == (401, "token_reused")
        assert lets_in(other["access_token"])

    def test_it_ends_after_a_week_of_silence_and_after_thirty_days_anyway(self, carol: User, clock: Any) -> None:
        given = begun(carol)
        for _ in range(4):
            clock.shift(timedelta(days=6, hours=23))
            given = refresh(given["refresh_token"]).json()
        clock.shift(timedelta(days=2, hours=5))
        assert code_of(refresh(given["refresh_token"])) == (401, "token_expired")
        quiet = begun(carol)
        clock.shift(timedelta(days=7, seconds=1))
        assert code_of(refresh(quiet["refresh_token"])) == (401, "token_expired")

    def test_what_has_lapsed_is_deleted(self, carol: User, clock: Any) -> None:
        begun(carol)
        tasks.prune()
        assert ApiSession.objects.count() == 1
        clock.shift(timedelta(days=31))
        tasks.prune()
        assert not ApiSession.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_refresh_at_once_exactly_one_wins(carol: User) -> None:
    token, start = begun(carol)["refresh_token"], Barrier(8)

    def race(_: int) -> int:
        try:
            start.wait()
            return int(refresh(token).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(race, range(8)))
    assert statuses == [200] + [409] * 7
    assert ApiSession.objects.get().generation == 2


class TestRevocation:
    def test_logging_out_ends_the_access_token_too(self, carol: User) -> None:
        given, other = begun(carol), begun(carol)
        assert ask("post", f"{AUTH}/logout", given["access_token"]).status_code == 204
        assert code_of(ask("get", PORTFOLIO, given["access_token"])) == (401, "token_refused")
        assert code_of(refresh(given["refresh_token"])) == (401, "token_refused")
        assert lets_in(other["access_token"])

    def test_a_browser_has_no_such_session(self, carol: User) -> None:
        answer = signed_in(carol).post(f"{AUTH}/logout")
        assert code_of(answer) == (403, "api_session_needed")

    def test_a_new_password(self, carol: User) -> None:
        given = begun(carol)
        carol.set_password("another-long-pass-phrase")
        carol.save()
        assert code_of(ask("get", PORTFOLIO, given["access_token"])) == (401, "token_refused")
        assert code_of(refresh(given["refresh_token"])) == (401, "token_refused")

    def test_being_switched_off(self, carol: User) -> None:
        given = begun(carol)
        User.objects.filter(pk=carol.pk).update(is_active=False)
        assert code_of(ask("get", PORTFOLIO, given["access_token"])) == (401, "token_refused")
        assert code_of(refresh(given["refresh_token"])) == (401, "token_refused")

    def test_another_role(self, carol: User) -> None:
        given = begun(carol)
        User.objects.filter(pk=carol.pk).update(role="SUPPORT")
        assert code_of(ask("get", PORTFOLIO, given["access_token"])) == (403, "permission_denied")

    def test_a_user_who_is_no_more(self, carol: User) -> None:
        given = begun(carol)
        carol.delete()
        assert code_of(ask("get", PORTFOLIO, given["access_token"])) == (401, "token_refused")

    def test_the_list_and_one_of_it(self, carol: User) -> None:
        mine, other = begun(carol, Scope.TRADE), begun(carol)
        listed = ask("get", f"{AUTH}/sessions", mine["access_token"]).json()
        assert [row["scope"] for row in listed] == ["read", "trade"]
        assert not {"generation", "password_mark"} & listed[0].keys()
        assert ask("delete", f"{AUTH}/sessions/{listed[0]['id']}", mine["access_token"]).status_code == 204
        assert not lets_in(other["access_token"])

    def test_of_another_it_is_none(self, carol: User, mallory: User) -> None:
        theirs, mine = begun(mallory, Scope.TRADE)["access_token"], begun(carol)["access_token"]
        session = ApiSession.objects.get(user=carol)
        answer = ask("delete", f"{AUTH}/sessions/{session.pk}", theirs)
        assert code_of(answer) == (404, "not_found")
        assert answer.json() == ask("delete", f"{AUTH}/sessions/{UUID(int=7)}", theirs).json()
        assert str(session.pk) not in ask("get", f"{AUTH}/sessions", theirs).content.decode()
        assert lets_in(mine)

    @pytest.mark.parametrize("door", ["the API", "the browser"])
    def test_everywhere_is_browsers_and_clients(self, door: str, carol: User) -> None:
        carol.set_password(PASSWORD)
        carol.save()
        given, browser, other = begun(carol, Scope.TRADE), signed_in_by_page(), signed_in_by_page()
        if door == "the API":
            assert ask("delete", f"{AUTH}/sessions", given["access_token"]).status_code == 204
        else:
            browser.post("/account/sessions/end")
        assert not lets_in(given["access_token"])
        assert {each.get("/").status_code for each in (browser, other)} == {302}


def test_factors_that_are_reset_end_clients_too(carol: User) -> None:
    given = begun(carol)
    call_command("reset_factors", "carol")
    assert not lets_in(given["access_token"])


def signed_in_by_page() -> Client:
    browser = Client()
    browser.post("/login", {"login": "carol", "password": PASSWORD})
    assert browser.get("/").status_code == 200
    return browser


class TestStepUp:
    """DELETE of stored keys needs a fresh proof."""

    @pytest.fixture
    def carol(self, db: None) -> User:
        return person("carol")

    KEYS = "/api/v1/brokers/apps/zerodha"

    def test_a_login_is_fresh_for_some_minutes_and_then_proves_again(self, carol: User, clock: Any) -> None:
        given = pair(scope="trade")
        assert ask("delete", self.KEYS, given["access_token"]).status_code == 204
        clock.shift(timedelta(minutes=11))
        token = refresh(given["refresh_token"]).json()["access_token"]
        answer = ask("delete", self.KEYS, token)
        assert code_of(answer) == (403, "step_up_required")
        where = answer.json()["error"]["details"]["url"]
        assert code_of(ask("post", where, token, {"password": "wrong"})) == (401, "login_failed")
        assert code_of(ask("delete", self.KEYS, token)) == (403, "step_up_required")
        assert ask("post", where, token, {"password": PASSWORD}).status_code == 204
        assert ask("delete", self.KEYS, token).status_code == 204

    def test_a_factor_that_was_set_up_since_is_asked_for(self, carol: User) -> None:
        token = pair(scope="trade")["access_token"]
        with_app(carol)
        api_sessions.prove(ApiSession.objects.get().pk.hex, now=timezone.now() - timedelta(hours=1))
        assert code_of(ask("post", f"{AUTH}/step-up", token, {"password": PASSWORD})) == (401, "factor_required")
        assert code_of(ask("post", f"{AUTH}/step-up", token, {"code": wrong_code()})) == (401, "wrong_code")
        assert ask("post", f"{AUTH}/step-up", token, {"code": code_now()}).status_code == 204
        assert ask("delete", self.KEYS, token).status_code == 204

    def test_a_browsers_proof_does_nothing_for_a_token(self, carol: User, clock: Any) -> None:
        given = pair(scope="trade")
        clock.shift(timedelta(minutes=11))
        token = refresh(given["refresh_token"]).json()["access_token"]
        browser = signed_in(carol)
        assert browser.delete(self.KEYS).status_code == 204
        answer = browser.delete(self.KEYS, headers={"Authorization": f"Bearer {token}"})
        assert code_of(answer) == (403, "step_up_required")


def test_no_token_is_in_a_log_a_row_or_a_key_of_redis(carol: User, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("django", "accounts", "redis", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    given = begun(carol, Scope.TRADE)
    again = refresh(given["refresh_token"]).json()
    ask("get", PORTFOLIO, again["access_token"])
    ask("get", PORTFOLIO, given["access_token"] + "x")
    refresh(given["refresh_token"])
    shown = {given["access_token"], given["refresh_token"], again["access_token"], again["refresh_token"]}
    claims = Claims(user_id=carol.pk, session_id=ApiSession.objects.get().pk, generation=1)
    assert not any(token in repr(claims) for token in shown)
    rows = repr(list(ApiSession.objects.values()))
    for token in shown:
        for piece in token.split(".")[1:]:
            assert piece not in caplog.text
            assert piece not in rows
    assert caplog.records
