"""Second factors: set up, asked for, spent once, kept under the house's keys, and demanded of staff."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from cryptography.fernet import Fernet
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Role, TrustedDevice, User
from brokers import rotation, vault
from tests.accounts.door import (
    SECRET,
    code_now,
    is_in,
    person,
    show_code,
    sign_in,
    with_app,
    with_recovery_codes,
    wrong_code,
)
from tests.conftest import signed_in
from trademaster.local.code import code


@pytest.fixture
def carol(db: None) -> User:
    return person("carol")


class TestTheApp:
    def set_up(self, client: Client) -> str:
        """Returns the secret that the page showed."""
        page = client.get("/account/factors/app").content.decode()
        secret = page.split('data-testid="totp-secret">')[1].split("<")[0]
        assert "data:image/svg+xml;base64," in page
        answer = client.post("/account/factors/app", {"code": code(secret, at=timezone.now().timestamp())})
        assert answer["Location"] == "/account/factors/recovery-codes"
        return secret

    def test_once_set_up_the_password_alone_opens_nothing(self, carol: User, client: Client) -> None:
        sign_in(client, "carol")
        secret = self.set_up(client)
        browser = Client()
        assert sign_in(browser, "carol")["Location"] == "/login/factor"
        assert not is_in(browser)
        answer = browser.post("/login/factor", {"code": code(secret, at=timezone.now().timestamp())})
        assert answer["Location"] == "/"
        assert is_in(browser)

    def test_a_wrong_first_code_sets_nothing_up(self, carol: User, client: Client) -> None:
        sign_in(client, "carol")
        client.get("/account/factors/app")
        assert client.post("/account/factors/app", {"code": "000000"}).status_code == 200
        assert not Authenticator.objects.exists()

    def test_recovery_codes_are_shown_once(self, carol: User, client: Client) -> None:
        sign_in(client, "carol")
        self.set_up(client)
        # Setting it up was shown by password; from here on the app is what counts.
        client.post("/step-up/code", {"code": with_codes(carol)[0]})
        page = client.get("/account/factors/recovery-codes").content.decode()
        codes = with_codes(carol)
        assert all(shown in page for shown in codes[1:])
        again = client.get("/account/factors/recovery-codes").content.decode()
        assert not any(shown in again for shown in codes)

    def test_a_code_is_good_once(self, carol: User) -> None:
        with_app(carol)
        with time_machine.travel(timezone.now(), tick=False):
            first, second = Client(), Client()
            sign_in(first, "carol")
            sign_in(second, "carol")
            assert show_code(first)["Location"] == "/"
            assert show_code(second).status_code == 200
            assert not is_in(second)

    @pytest.mark.parametrize(("seconds", "opens"), [(30, True), (60, False), (-30, True), (-60, False)])
    def test_a_code_of_the_step_before_or_after_is_good_and_of_no_other(
        self, seconds: int, opens: bool, carol: User, client: Client
    ) -> None:
        """It may have been typed in its last second, and clocks differ."""
        with_app(carol)
        with time_machine.travel(timezone.now(), tick=False) as clock:
            code = code_now()
            clock.shift(timedelta(seconds=seconds))
            sign_in(client, "carol")
            client.post("/login/factor", {"code": code})
            assert is_in(client) is opens

    def test_the_door_of_the_page_and_that_of_a_fresh_proof_share_what_was_used(
        self, carol: User, client: Client
    ) -> None:
        with_app(carol)
        with time_machine.travel(timezone.now(), tick=False) as clock:
            code = code_now()
            sign_in(client, "carol")
            client.post("/login/factor", {"code": code})
            assert is_in(client)
            clock.shift(timedelta(seconds=30))
            assert client.post("/step-up/code", {"code": code}).status_code == 200
            assert client.post("/step-up/code", {"code": code_now()}).status_code == 302

    def test_a_wrong_code_opens_nothing(self, carol: User, client: Client) -> None:
        with_app(carol)
        sign_in(client, "carol")
        assert client.post("/login/factor", {"code": wrong_code()}).status_code == 200
        assert not is_in(client)


class TestRecoveryCodes:
    def test_each_is_good_once(self, carol: User) -> None:
        with_app(carol)
        first, second, *_ = with_recovery_codes(carol)
        for used, answer in ((first, 302), (first, 200), (second, 302)):
            browser = Client()
            sign_in(browser, "carol")
            assert browser.post("/login/factor", {"code": used}).status_code == answer

    def test_without_another_factor_they_are_none(self, carol: User, client: Client) -> None:
        with_recovery_codes(carol)
        assert sign_in(client, "carol")["Location"] == "/"


class TestAtRest:
    def stored(self) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT string_agg(data::text, ' ') FROM mfa_authenticator")
            return str(cursor.fetchone()[0])

    def test_nothing_that_makes_a_code_stands_in_clear(self, carol: User) -> None:
        with_app(carol)
        codes = with_recovery_codes(carol)
        assert SECRET not in self.stored()
        assert not any(text in self.stored() for text in codes)
        assert [f["data"].keys() for f in Authenticator.objects.order_by("type").values("data")] == [
            {"seed", "used_mask"},
            {"secret"},
        ]

    def test_a_rotation_takes_them_along_and_loses_no_code(
        self, carol: User, client: Client, settings: Settings
    ) -> None:
        vault.prove_keys()
        with_app(carol)
        used, unused, *_ = with_recovery_codes(carol)
        sign_in(client, "carol")
        client.post("/login/factor", {"code": used})
        [old] = settings.FIELD_ENCRYPTION_KEY
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode(), old]
        vault.prove_keys()
        *_, last = rotation.rotate(batch=1)
        assert (last.tally.old, last.tally.unreadable) == (0, [])
        settings.FIELD_ENCRYPTION_KEY = settings.FIELD_ENCRYPTION_KEY[:1]
        vault.prove_keys()
        browser, other = Client(), Client()
        sign_in(browser, "carol")
        assert browser.post("/login/factor", {"code": used}).status_code == 200
        assert show_code(browser)["Location"] == "/"
        sign_in(other, "carol")
        assert other.post("/login/factor", {"code": unused})["Location"] == "/"

    def test_one_that_no_key_reads_is_named_and_keeps_the_old_keys_proof(self, carol: User, settings: Settings) -> None:
        vault.prove_keys()
        factor = with_app(carol)
        Authenticator.objects.update(data={"secret": "nonsense"})
        [old] = settings.FIELD_ENCRYPTION_KEY
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode(), old]
        vault.prove_keys()
        *_, last = rotation.rotate(batch=10)
        assert [str(place) for place in last.tally.unreadable] == [
            f"No key reads: mfa_authenticator, row {factor.pk}, data"
        ]


class TestTheAdmin:
    @pytest.fixture
    def sue(self, db: None) -> User:
        return person("sue", role=Role.SUPPORT, is_staff=True)

    def test_djangos_own_page_lets_nobody_in(self, sue: User, client: Client) -> None:
        """It would ask for a password alone."""
        answer = client.post("/admin/login/", {"username": "sue", "password": "a-long-enough-pass-phrase"})
        assert answer["Location"].startswith("/login?next=")
        assert "_auth_user_id" not in client.session

    def test_staff_without_a_factor_are_led_to_set_one_up(self, sue: User, client: Client) -> None:
        sign_in(client, "sue")
        answer = client.get("/admin/", follow=True)
        assert answer.redirect_chain == [("/account/factors", 302)]
        assert "asks for a second factor" in answer.content.decode()

    def test_with_one_they_come_in(self, sue: User, client: Client) -> None:
        with_app(sue)
        sign_in(client, "sue", next="/admin/")
        assert show_code(client)["Location"] == "/admin/"
        assert client.get("/admin/").status_code == 200

    def test_a_trusted_device_spares_them_nothing(self, sue: User, client: Client) -> None:
        with_app(sue)
        with time_machine.travel(timezone.now(), tick=False) as clock:
            sign_in(client, "sue")
            show_code(client, trust="on")
            client.post("/logout")
            clock.shift(timedelta(minutes=1))
            sign_in(client, "sue")
            assert client.get("/account/factors").status_code == 200
            answer = client.get("/admin/brokers/", follow=True)
            assert [where for where, _ in answer.redirect_chain] == [
                "/step-up?next=%2Fadmin%2Fbrokers%2F",
                "/step-up/code?next=%2Fadmin%2Fbrokers%2F",
            ]
            client.post("/step-up/code", {"code": code_now(), "next": "/admin/"})
            assert client.get("/admin/").status_code == 200

    @pytest.mark.parametrize("address", ["/admin/", "/admin/accounts/user/", "/admin/jsi18n/", "/admin/no-such-page"])
    def test_no_address_of_it_is_forgotten(self, address: str, sue: User, client: Client) -> None:
        sue.is_superuser = True
        sue.save()
        sign_in(client, "sue")
        assert client.get(address)["Location"] == "/account/factors"
        assert client.post(address)["Location"] == "/account/factors"

    def test_nothing_of_a_factor_is_shown_there(self, root: User, carol: User) -> None:
        factor = with_app(carol)
        page = signed_in(root).get(f"/admin/mfa/authenticator/{factor.pk}/change/").content.decode()
        assert factor.data["secret"] not in page
        assert not admin.site._registry[Authenticator].has_change_permission(None)  # type: ignore[arg-type]


class TestLost:
    def test_an_operator_takes_them_away_and_ends_what_is_open(self, carol: User, client: Client) -> None:
        with_app(carol)
        with_recovery_codes(carol)
        sign_in(client, "carol")
        show_code(client, trust="on")
        output = StringIO()
        call_command("reset_factors", "carol", stdout=output)
        assert output.getvalue().startswith("2 factors removed.")
        assert not is_in(client)
        assert not UserSession.objects.exists()
        assert not TrustedDevice.objects.exists()
        assert sign_in(Client(), "carol")["Location"] == "/"

    def test_it_tells_who_listens(self, carol: User) -> None:
        from allauth.mfa.signals import authenticator_removed

        with_app(carol)
        heard: list[tuple[Any, Any]] = []

        def listener(request: Any, user: Any, **kwargs: Any) -> None:
            heard.append((request, user))

        authenticator_removed.connect(listener)
        try:
            call_command("reset_factors", "carol", stdout=StringIO())
        finally:
            authenticator_removed.disconnect(listener)
        assert heard == [(None, carol)]

    def test_of_nobody_it_says_so(self, db: None) -> None:
        with pytest.raises(CommandError, match="no user carol"):
            call_command("reset_factors", "carol")


def with_codes(user: User) -> list[str]:
    found: list[str] = Authenticator.objects.get(user=user, type="recovery_codes").wrap().generate_codes()
    return found
