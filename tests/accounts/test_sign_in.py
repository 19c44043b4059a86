"""The front door itself: in and out, sessions, a forgotten password, and what it tells nobody."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import devices, sockets
from accounts.models import SignInPlace, User
from accounts.tasks import prune
from tests.accounts.door import FIREFOX, PASSWORD, is_in, person, sign_in

NEW_PASSWORD = "another-long-pass-phrase"


@pytest.fixture
def carol(db: None) -> User:
    return person("carol")


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time that argon2 is computed, by whatever way."""
    done: list[str] = []
    encode, verify = Argon2PasswordHasher.encode, Argon2PasswordHasher.verify

    def encoding(self: Any, *args: Any, **kwargs: Any) -> Any:
        done.append("encode")
        return encode(self, *args, **kwargs)

    def verifying(self: Any, *args: Any, **kwargs: Any) -> Any:
        done.append("verify")
        return verify(self, *args, **kwargs)

    monkeypatch.setattr(Argon2PasswordHasher, "encode", encoding)
    monkeypatch.setattr(Argon2PasswordHasher, "verify", verifying)
    return done


@pytest.mark.parametrize("name", ["carol", "carol@example.com", "CAROL@example.com"])
def test_by_name_or_by_address(name: str, carol: User, client: Client) -> None:
    assert sign_in(client, name)["Location"] == "/"
    assert is_in(client)


def test_a_session_of_before_is_not_the_session_of_after(carol: User, client: Client) -> None:
    client.get("/signup")
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    client.cookies["sessionid"] = before = session.session_key
    sign_in(client, "carol")
    assert client.cookies["sessionid"].value != before
    assert not UserSession.objects.filter(session_key=before).exists()
    thief = Client()
    thief.cookies["sessionid"] = before
    assert not is_in(thief)


def test_a_session_lasts_twelve_hours_at_most(carol: User, client: Client) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        sign_in(client, "carol")
        clock.shift(timedelta(hours=11, minutes=59))
        client.post("/step-up/password", {"password": PASSWORD})  # what is noted in it later moves its end no further
        assert is_in(client)
        clock.shift(timedelta(minutes=2))
        assert not is_in(client)


def test_whether_a_name_exists_is_told_neither_by_words_nor_by_work(
    carol: User, client: Client, hashes: list[str]
) -> None:
    known = sign_in(client, "carol", "wrong").content
    work_for_known, hashes[:] = len(hashes), []
    unknown = sign_in(client, "nobody", "wrong").content
    assert work_for_known == len(hashes) == 1
    assert neutral(known, "carol") == neutral(unknown, "nobody")


def test_nor_is_it_when_a_new_password_is_asked_for(carol: User, client: Client, hashes: list[str]) -> None:
    answers = [client.post("/password/reset", {"email": f"{name}@example.com"}) for name in ("carol", "nobody")]
    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, "/password/reset/sent")}
    assert hashes == []
    # One letter each: it is the sending that takes time.
    assert [letter.to for letter in mail.outbox] == [["carol@example.com"], ["nobody@example.com"]]
    assert "/password/reset/" in mail.outbox[0].body
    assert "no account with this address" in mail.outbox[1].body
    assert "http" not in mail.outbox[1].body


class TestForgottenPassword:
    @pytest.fixture
    def thief(self, carol: User) -> Client:
        browser = Client()
        sign_in(browser, "carol")
        return browser

    @pytest.fixture
    def link(self, carol: User, thief: Client, client: Client) -> str:
        """A sign-in between would make it void."""
        client.post("/password/reset", {"email": carol.email})
        return address_in(mail.outbox[-1].body)

    def set_new(self, client: Client, link: str) -> Any:
        form = client.get(link, follow=True)
        page = form.redirect_chain[-1][0] if form.redirect_chain else link
        return client.post(page, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})

    def test_a_new_one_is_set_by_the_letter_and_ends_every_session(self, link: str, thief: Client) -> None:
        owner = Client()
        assert self.set_new(owner, link)["Location"] == "/password/reset/done"
        assert not is_in(owner)
        assert not is_in(thief)
        assert sign_in(owner, "carol", NEW_PASSWORD)["Location"] == "/"

    def test_the_letter_is_good_once(self, carol: User, link: str) -> None:
        self.set_new(Client(), link)
        spent = Client().get(link, follow=True)
        assert 'name="password1"' not in spent.content.decode()

    def test_a_weak_one_is_refused(self, carol: User, link: str) -> None:
        browser = Client()
        page = browser.get(link, follow=True).redirect_chain[-1][0]
        assert browser.post(page, {"password1": "carol1234", "password2": "carol1234"}).status_code == 200
        carol.refresh_from_db()
        assert carol.check_password(PASSWORD)


class TestChangingThePassword:
    def change(self, client: Client, old: str = PASSWORD) -> Any:
        return client.post(
            "/account/password", {"oldpassword": old, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        )

    def test_it_ends_every_other_session_and_tells_by_mail(self, carol: User, client: Client) -> None:
        other = Client()
        sign_in(other, "carol")
        sign_in(client, "carol")
        before = client.cookies["sessionid"].value
        assert self.change(client).status_code == 302
        assert is_in(client)
        assert client.cookies["sessionid"].value != before
        assert not is_in(other)
        assert sign_in(other, "carol", NEW_PASSWORD)["Location"] == "/"

    def test_not_without_the_old_one(self, carol: User, client: Client) -> None:
        sign_in(client, "carol")
        assert self.change(client, old="wrong").status_code == 200
        carol.refresh_from_db()
        assert carol.check_password(PASSWORD)

    def test_a_hash_made_anew_closes_no_socket(self, carol: User, monkeypatch: pytest.MonkeyPatch) -> None:
        """Django renews a hash at sign-in when its parameters changed: the password is the same."""
        closed: list[int] = []
        monkeypatch.setattr(sockets, "close_user", closed.append)
        carol.password = carol.password.replace("m=", "m=1")
        monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *args: True)
        assert carol.check_password(PASSWORD)
        assert closed == []


class TestSessions:
    def test_they_are_listed_and_one_can_be_ended(self, carol: User, client: Client) -> None:
        phone = Client(headers={"User-Agent": FIREFOX})
        sign_in(phone, "carol")
        sign_in(client, "carol")
        html = client.get("/account/sessions").content.decode()
        assert html.count('data-testid="session"') == 2
        assert html.count("this one") == 1
        assert "Firefox on Linux" in html
        of_phone = UserSession.objects.get(session_key=phone.cookies["sessionid"].value)
        client.post(f"/account/sessions/{of_phone.pk}/end")
        assert not is_in(phone)
        assert is_in(client)

    def test_signing_out_everywhere(self, carol: User, client: Client) -> None:
        phone = Client()
        sign_in(phone, "carol")
        sign_in(client, "carol")
        assert client.post("/account/sessions/end")["Location"] == "/login"
        assert not is_in(phone)
        assert not is_in(client)
        assert not UserSession.objects.filter(user=carol).exists()

    def test_nobody_ends_anothers(self, carol: User, client: Client, mallory: User) -> None:
        sign_in(client, "carol")
        [session] = UserSession.objects.filter(user=carol)
        stranger = Client()
        stranger.force_login(mallory)
        assert stranger.post(f"/account/sessions/{session.pk}/end").status_code == 404
        assert is_in(client)

    def test_no_key_of_a_session_is_shown(self, carol: User, client: Client) -> None:
        sign_in(client, "carol")
        assert client.cookies["sessionid"].value not in client.get("/account/sessions").content.decode()

    def test_what_has_lapsed_is_deleted(self, carol: User, client: Client) -> None:
        sign_in(client, "carol")
        with time_machine.travel(timezone.now() + timedelta(hours=13)):
            prune()
        assert not UserSession.objects.exists()
        assert SignInPlace.objects.count() == 1


class TestAlerts:
    def test_the_first_sign_in_is_no_news_and_a_new_browser_is(self, carol: User) -> None:
        sign_in(Client(), "carol")
        sign_in(Client(), "carol")
        assert mail.outbox == []
        sign_in(Client(headers={"User-Agent": FIREFOX}), "carol")
        [letter] = mail.outbox
        assert letter.to == ["carol@example.com"]
        assert letter.subject == "TradeMaster: sign-in from somewhere new"
        assert "Firefox on Linux, 127.0.0.1" in letter.body

    def test_a_new_address_is(self, carol: User) -> None:
        sign_in(Client(), "carol")
        sign_in(Client(REMOTE_ADDR="203.0.113.9"), "carol")
        assert "203.0.113.9" in mail.outbox[0].body

    def test_what_the_browser_says_of_itself_cannot_write_lines(self, carol: User) -> None:
        sign_in(Client(), "carol")
        sign_in(Client(headers={"User-Agent": "Fire\x1bfox/1\u2028" + "x" * 500}), "carol")
        place = SignInPlace.objects.order_by("-pk")[0]
        assert place.user_agent.isprintable()
        assert len(place.user_agent) == devices.AGENT_LENGTH

    def test_a_mail_server_that_is_away_stops_no_sign_in(self, carol: User, client: Client, settings: Any) -> None:
        sign_in(Client(), "carol")
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
        browser = Client(headers={"User-Agent": FIREFOX})
        assert sign_in(browser, "carol")["Location"] == "/"
        assert is_in(browser)


def test_who_was_switched_off_does_not_come_in(carol: User, client: Client) -> None:
    carol.is_active = False
    carol.save()
    assert sign_in(client, "carol")["Location"] == "/account/inactive"
    assert not is_in(client)


@pytest.mark.parametrize(
    "page",
    [
        "/account/email",
        "/account/password",
        "/account/factors",
        "/account/factors/app",
        "/account/factors/passkeys",
        "/account/factors/passkeys/add",
        "/account/sessions",
        "/account/devices",
        "/step-up/password",
    ],
)
def test_every_page_of_an_account_looks_like_the_house(page: str, carol: User, client: Client) -> None:
    sign_in(client, "carol")
    html = client.get(page).content.decode()
    assert 'class="brand"' in html
    assert not re.search(r"<style|style=|<script(?![^>]*(src=|application/json))|\son\w+=", html)


def test_the_address_changes_once_the_new_one_is_confirmed(carol: User, client: Client) -> None:
    EmailAddress.objects.create(user=carol, email=carol.email, verified=True, primary=True)
    sign_in(client, "carol")
    client.post("/account/email", {"email": "carol@example.org", "action_add": ""})
    carol.refresh_from_db()
    assert carol.email == "carol@example.com"
    [link] = [address_in(letter.body) for letter in mail.outbox if letter.to == ["carol@example.org"]]
    assert "carol@example.org" in client.get(link).content.decode()
    client.post(link)
    carol.refresh_from_db()
    assert carol.email == "carol@example.org"


@pytest.mark.parametrize("page", ["/account/factors", "/account/sessions", "/account/devices", "/account/password"])
def test_strangers_see_no_page_of_an_account(page: str, client: Client, db: None) -> None:
    assert client.get(page)["Location"] == f"/login?next={page}"


def address_in(letter: str) -> str:
    """The path of the one address in it."""
    found = re.search(r"http://[^/]+(/\S+)", letter)
    assert found, letter
    return found[1]


def neutral(page: bytes, name: str) -> str:
    """The page without what differs between any two: the token, and the name that was typed."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page.decode()).replace(name, "")
