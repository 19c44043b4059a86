"""Profile, log, consents, export and the end of the account, as pages."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone

from accounts import audit
from accounts.events import Event
from accounts.models import AccountDeletion, AuditEntry, User
from brokers import consents, trading
from brokers.models import BrokerConnection
from tests.accounts.test_audit import write
from tests.conftest import signed_in
from tests.settings_pages.conftest import beside, prove, text_of

Alices = dict[str, BrokerConnection]


class TestProfile:
    PAGE = "/account/profile"

    def test_it_is_where_your_account_leads(self, as_alice: Client) -> None:
        assert as_alice.get("/account").url == self.PAGE

    def test_it_says_how_things_stand(self, as_alice: Client, alice: User) -> None:
        text = text_of(as_alice.get(self.PAGE))
        assert "alice@example.com not confirmed" in text
        assert "Second factor not set up a stolen password alone opens the account" in text
        assert "₹12,34,567.50 is ₹12.35 lakh" in text
        EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
        assert "alice@example.com confirmed" in text_of(as_alice.get(self.PAGE))

    def test_the_name_is_kept_and_the_log_says_so_without_it(self, as_alice: Client, alice: User) -> None:
        assert "Saved." in text_of(as_alice.post(self.PAGE, {"name": " Asha "}, follow=True))
        alice.refresh_from_db()
        assert alice.first_name == "Asha"
        entry = AuditEntry.objects.get(event=Event.PROFILE_CHANGED)
        assert (entry.subject_id, entry.actor_id, entry.details) == (alice.pk, alice.pk, {})
        as_alice.post(self.PAGE, {"name": "Asha"})
        assert AuditEntry.objects.filter(event=Event.PROFILE_CHANGED).count() == 1

    def test_a_name_that_is_too_long_is_refused_beside_its_field(self, as_alice: Client, alice: User) -> None:
        assert "at most 150 characters" in beside(as_alice.post(self.PAGE, {"name": "x" * 151}), "name")
        alice.refresh_from_db()
        assert alice.first_name == ""

    def test_support_has_a_profile_and_no_links_to_trading(self, as_sam: Client) -> None:
        page = as_sam.get(self.PAGE)
        assert page.status_code == 200
        assert "/account/limits" not in page.content.decode()


class TestLog:
    def test_figures_are_marked_for_privacy(self, as_alice: Client, alice: User) -> None:
        audit.record(Event.REMINDER_CHANGED, subject=alice, new={"warn": "98765432"}, by_email=True)
        html = as_alice.get("/account/log").content.decode()
        assert "<span data-money>new warn: 98765432</span>" in html
        assert "<span>by email: yes</span>" in html

    def test_it_tells_newest_first_a_page_at_a_time(self, as_alice: Client, alice: User) -> None:
        write(120, subject=alice)
        page = as_alice.get("/account/log")
        assert page.content.decode().count("number: ") == 50
        assert "number: 119" in text_of(page)
        seen = 0
        while (following := page.context["next"]) is not None:
            page = as_alice.get("/account/log", {"before": following})
            seen += 1
        assert seen == 2
        assert "number: 0" in text_of(page)
        assert "That is all." in text_of(page)

    def test_nothing_of_others_is_in_it(self, as_alice: Client, alice: User, bob: User) -> None:
        write(1, subject=bob)
        assert "number: 0" not in text_of(as_alice.get("/account/log"))

    def test_nonsense_leads_to_the_newest(self, as_alice: Client) -> None:
        assert as_alice.get("/account/log?before=x").url == "/account/log"


class TestConsents:
    def test_none_yet(self, as_alice: Client) -> None:
        assert "Nothing yet. Connecting a broker asks for the first consent" in text_of(
            as_alice.get("/account/consents")
        )

    def test_what_was_given_and_withdrawn_with_its_text(self, as_alice: Client, alices: Alices) -> None:
        now, zerodha = timezone.now(), alices["zerodha"]
        trading.enable_trading(zerodha, consent=consents.current(consents.TRADE).version, now=now)
        trading.disable_trading(zerodha, now=now)
        text = text_of(as_alice.get("/account/consents"))
        assert text.count("stands") == 2
        assert text.count("withdrawn") == 1
        assert "To trade at the account Zerodha" in text
        assert consents.current(consents.TRADE).text in text

    def test_nothing_of_others_is_in_it(self, as_mallory: Client, alices: Alices) -> None:
        assert "Nothing yet." in text_of(as_mallory.get("/account/consents"))


class TestExport:
    def test_it_is_the_archive_of_the_api(self, as_alice: Client, alice: User) -> None:
        answer: Any = as_alice.post("/account/data/export")
        assert answer["Content-Type"] == "application/zip"
        names = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))).namelist()
        assert {"README.txt", "profile.jsonl", "audit.csv"} <= set(names)
        assert AuditEntry.objects.filter(event=Event.ACCOUNT_EXPORTED, subject_id=alice.pk).count() == 1

    def test_it_asks_for_a_proof_and_for_a_post(self, unproven: Client, alice: User) -> None:
        assert unproven.post("/account/data/export").url == "/step-up?next=%2Faccount%2Fdata"
        assert unproven.get("/account/data/export").status_code == 405
        assert not AuditEntry.objects.filter(event=Event.ACCOUNT_EXPORTED).exists()

    def test_the_page_says_what_is_in_it(self, as_alice: Client) -> None:
        assert "Your limits" in text_of(as_alice.get("/account/data"))


class TestTheEnd:
    PAGE = "/account/data/delete"

    def test_it_is_said_before_it_is_done(self, as_alice: Client, alices: Alices) -> None:
        text = text_of(as_alice.get(self.PAGE))
        assert "This cannot be undone." in text
        assert re.search(r"Disconnected Zerodha \w+; Upstox|Disconnected Upstox \w+; Zerodha", text)
        assert "Record keeping: orders" in text

    def test_it_asks_for_a_proof(self, unproven: Client, alice: User) -> None:
        assert unproven.post(self.PAGE, {"name": "alice"}).url.startswith("/step-up?next=")
        alice.refresh_from_db()
        assert alice.is_active
        prove(unproven, alice)
        unproven.head(self.PAGE)
        assert not AccountDeletion.objects.exists()

    @pytest.mark.parametrize("name", ["", "Alice", "bob"])
    def test_the_name_must_be_typed(self, name: str, as_alice: Client, alice: User) -> None:
        assert "Nothing was deleted: that is not your user name." in beside(
            as_alice.post(self.PAGE, {"name": name}), "name"
        )
        alice.refresh_from_db()
        assert alice.is_active

    def test_it_is_done_and_told(self, as_alice: Client, alice: User, alices: Alices) -> None:
        text = text_of(as_alice.post(self.PAGE, {"name": "alice"}))
        assert "Your account is deleted" in text
        assert "Zerodha: disconnected, and its session ended there too." in text
        alice.refresh_from_db()
        assert (alice.is_active, alice.username) == (False, f"deleted-{alice.pk}")
        assert as_alice.get("/account/profile").status_code == 302

    def test_the_last_administrator_is_refused_in_words(self, root: User) -> None:
        root.role = "TRADER"
        root.save()
        text = text_of(signed_in(root).post(self.PAGE, {"name": root.username}))
        assert "This is the only administrator of this installation. Make another user an administrator first." in text
        root.refresh_from_db()
        assert root.is_active
