"""Text that would be something else where it arrives: SQL, a template, a header, a line of a log, a formula."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts.desk import WatchedAdmin
from accounts.models import TrustedDevice, User
from brokers import morning
from brokers.domain import InstrumentKind
from brokers.models import BrokerConnection
from market.models import Instrument
from tests.accounts.door import person, sign_in
from tests.conftest import signed_in

Alices = dict[str, BrokerConnection]

SQL = [
    "' OR '1'='1",
    "'; DROP TABLE accounts_user; --",
    "\\'; SELECT pg_sleep(5); --",
    "%' OR 1=1 --",
    "1) UNION SELECT 1",
]
# Lists of whatever may be somebody's; the calendar and the groups are nobody's.
WATCHED = sorted((model for model, page in admin.site._registry.items() if isinstance(page, WatchedAdmin)), key=str)
# Each would be seen by what it leaves: 49 for what is computed, a tag for what is markup.
TEMPLATE = "{{ 7|add:42 }}{% debug %}${7*7}<script>alert(1)</script><img src=x onerror=alert(1)>"
MARKUP = ("<script>alert(1)", "<img src=x")


class TestSql:
    @pytest.mark.parametrize("text", SQL)
    def test_a_search_takes_it_for_text(self, text: str, as_bob: Client) -> None:
        """There is a row to be found, which a condition that is always true would find."""
        today = timezone.localdate()
        known = {"identity": "NSE|2885", "tradingsymbol": "RELIANCE", "words": "reliance", "rank": 0}
        kind = {"exchange": "NSE", "segment": "EQUITY", "kind": InstrumentKind.EQUITY}
        Instrument.objects.create(**known, **kind, first_seen_on=today, last_seen_on=today)
        assert len(as_bob.get("/api/v1/market/instruments", {"q": "reliance"}).json()["instruments"]) == 1
        answer = as_bob.get("/api/v1/market/instruments", {"q": text})
        assert answer.status_code in (200, 400)
        assert answer.json().get("instruments", []) == []

    @pytest.mark.parametrize("text", SQL)
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/api/v1/market/instruments", "exchange"),
            ("/api/v1/market/instruments", "kind"),
            ("/api/v1/market/instruments", "expiry"),
            ("/api/v1/market/instruments", "limit"),
            ("/api/v1/market/quotes", "instruments"),
            ("/api/v1/market/candles", "instrument"),
            ("/api/v1/market/candles", "from"),
            ("/api/v1/market/candles", "to"),
            ("/api/v1/audit", "before"),
            ("/api/v1/audit", "limit"),
            ("/api/v1/health/brokers/zerodha/report", "days"),
            ("/api/v1/brokers/portfolio/consolidated", "stale"),
        ],
    )
    def test_a_filter_refuses_it(self, path: str, name: str, text: str, as_bob: Client) -> None:
        query = {"q": "reliance", name: text} if "instruments" in path else {name: text}
        answer = as_bob.get(path, query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")

    @pytest.mark.parametrize("model", sorted(admin.site._registry, key=str), ids=lambda model: model._meta.label)
    def test_no_list_of_the_admin_is_searched_sorted_or_filtered_by_it(self, model: Any, root: User) -> None:
        page, as_root = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), signed_in(root)
        for query in ({"q": SQL[1]}, {"o": "1;DROP TABLE accounts_user"}, {"p": SQL[0]}):
            assert as_root.get(page, query, follow=True).status_code == 200, query
        assert User.objects.filter(pk=root.pk).exists()

    @pytest.mark.parametrize("model", WATCHED, ids=lambda model: model._meta.label)
    def test_no_column_is_guessed_sign_by_sign_through_a_filter(self, model: Any, root: User) -> None:
        """Not even by who may look at everything: from whether a row fits, a key is learnt sign by sign."""
        page, as_root = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), signed_in(root)
        shown = set(admin.site._registry[model].get_list_display(RequestFactory().get("/")))
        hidden = [field.name for field in model._meta.fields if not field.is_relation and field.name not in shown]
        offered = [name for name in hidden if admin.site._registry[model].lookup_allowed(f"{name}__gt", "0")]
        assert not [name for name in offered if "hash" in name or "key" in name or "token" in name]
        for name in set(hidden) - set(offered):
            for comparison in ("startswith", "regex", "gt"):
                assert as_root.get(page, {f"{name}__{comparison}": "0"}).status_code == 400, name

    def test_the_watched_lists_are_those_with_people_in_them(self) -> None:
        assert {"usersessions.UserSession", "mfa.Authenticator", "accounts.User", "brokers.OAuthState"} <= {
            model._meta.label for model in WATCHED
        }

    def test_nor_one_of_another_table(self, root: User) -> None:
        page = reverse("admin:brokers_brokerconnection_changelist")
        for lookup in ("user__password__startswith", "user__usersession__session_key__startswith"):
            assert signed_in(root).get(page, {lookup: "a"}).status_code in (302, 400)


class TestTemplates:
    @pytest.fixture
    def named(self, alice: User, alices: Alices) -> BrokerConnection:
        """Alice calls everything by it that she can name."""
        connection = alices["zerodha"]
        path = f"/api/v1/brokers/connections/{connection.pk}"
        told = signed_in(alice).patch(path, json.dumps({"display_name": TEMPLATE}), content_type="application/json")
        assert told.status_code == 200
        TrustedDevice.objects.create(
            user=alice,
            name=TEMPLATE,
            token_hash="a" * 64,
            password_mark=alice.get_session_auth_hash(),
            address="192.0.2.7",
            expires_at=timezone.now() + timedelta(days=1),
        )
        return connection

    def shows_text(self, page: str) -> bool:
        return "&lt;script&gt;alert(1)" in page and not any(markup in page for markup in MARKUP) and "49$" not in page

    @pytest.mark.parametrize("kind", ["changelist", "change"])
    def test_support_is_shown_a_name_as_text(self, kind: str, named: BrokerConnection, root: User) -> None:
        page = reverse(f"admin:brokers_brokerconnection_{kind}", args=[named.pk] if kind == "change" else [])
        assert self.shows_text(signed_in(root).get(page).content.decode())

    def test_a_device_is_shown_by_its_name_as_text(self, named: BrokerConnection, as_alice: Client) -> None:
        assert self.shows_text(as_alice.get("/account/devices").content.decode())

    @pytest.mark.parametrize("page", ["/", "/orders/", "/connect", "/logins", "/status", "/account/sessions"])
    def test_no_page_has_it_as_markup(self, page: str, named: BrokerConnection, alice: User) -> None:
        client = Client(HTTP_USER_AGENT=TEMPLATE)
        client.force_login(alice)
        shown = client.get(page).content.decode()
        assert not any(markup in shown for markup in MARKUP)
        assert "49$" not in shown

    def test_a_letter_has_it_as_text(self, named: BrokerConnection) -> None:
        BrokerConnection.objects.filter(pk=named.pk).update(status="TOKEN_EXPIRED")
        waiting = morning.queue(named.user, timezone.now())
        assert "{{ 7|add:42 }}" in morning._letter(waiting)


class TestHeaders:
    SPLIT = "/\r\nSet-Cookie: planted=1"

    @pytest.mark.parametrize(
        "target", [SPLIT, "//evil.example\r\n", "/%0d%0aSet-Cookie:%20planted=1", "\\\\evil.example"]
    )
    @pytest.mark.parametrize("page", ["/login", "/step-up/password"])
    def test_no_redirect_carries_another_header(self, page: str, target: str, db: None, client: Client) -> None:
        person("carol")
        if page != "/login":
            sign_in(client, "carol")
        answer = client.post(page, {"login": "carol", "password": "a-long-enough-pass-phrase", "next": target})
        assert "planted" not in answer.cookies
        assert answer.status_code == 302
        assert answer["Location"].startswith("/")
        assert not answer["Location"].startswith(("//", "/\\"))
        assert "\n" not in answer["Location"]

    @pytest.mark.parametrize("page", ["/brokers/callback/{}", "/brokers/login/{}"])
    def test_no_brokers_name_does(self, page: str, as_bob: Client) -> None:
        answer = as_bob.get(page.format(quote("zer\r\nSet-Cookie: planted=1", safe="")))
        assert "planted" not in answer.cookies
        assert "\n" not in answer.get("Location", "")

    def test_where_a_login_returns_to_is_chosen_from_a_list(self, as_bob: Client) -> None:
        body = {"broker_type": "zerodha", "return_to": self.SPLIT}
        answer = as_bob.post("/api/v1/brokers/connect/initiate", body, content_type="application/json")
        assert "return_to" in answer.json()["error"]["details"]

    @pytest.mark.parametrize("address", ["carol@example.com\nBcc: x@evil.example", "carol@example.com\r\n\r\nhello"])
    def test_no_letter_goes_to_an_address_with_lines(self, address: str, db: None, client: Client) -> None:
        person("carol")
        client.post("/password/reset", {"email": address})
        assert [letter for letter in mail.outbox if "evil" in str(letter.message()) or "\n" in letter.to[0]] == []

    @pytest.mark.parametrize("name", ["carol\nBcc: x@evil.example", "carol\r\nX: y", "carol\x00"])
    def test_no_name_has_lines(self, name: str, db: None) -> None:
        with pytest.raises(ValidationError):
            User(username=name, email="c@example.com", password="x").full_clean()


class TestLogs:
    FORGED = "x\nINFO accounts: root signed in\r\x1b[31m"

    def test_nothing_that_is_sent_begins_a_line(
        self, as_bob: Client, alices: Alices, as_alice: Client, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        quoted = quote(self.FORGED, safe="")
        sent = {"login": self.FORGED, "password": self.FORGED, "email": self.FORGED}
        with caplog.at_level(logging.DEBUG):
            for path in (f"/{quoted}", f"/api/{quoted}", f"/brokers/callback/{quoted}", f"/invitation/{quoted}"):
                client.get(path)
                as_bob.get(path)
                client.post(path, sent)
            client.get("/", headers={"User-Agent": self.FORGED, "Referer": self.FORGED})
            client.post("/login", sent)
            client.post("/password/reset", sent)
            client.get("/api/v1/brokers", headers={"Host": self.FORGED})
            as_bob.get(f"/brokers/callback/zerodha?state={quoted}&status={quoted}&{quoted}={quoted}")
            as_bob.put(f"/api/v1/brokers/apps/{quoted}", sent, content_type="application/json")
            as_bob.post(
                "/api/v1/brokers/connect/initiate", {"broker_type": self.FORGED}, content_type="application/json"
            )
            as_alice.patch(
                f"/api/v1/brokers/connections/{alices['zerodha'].pk}",
                {"display_name": self.FORGED},
                content_type="application/json",
            )
        said = [record.getMessage() for record in caplog.records]
        assert said
        assert [
            words for words in said if "root signed in" in words and any(sign in words for sign in "\n\r\x1b")
        ] == []
