"""Addresses that lead elsewhere: where a request says it was sent, where a letter leads to, where a webhook goes."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from pytest_django import Settings

from brokers import webhook
from brokers.secret import Secret
from tests.accounts.door import person, sign_in
from tests.conftest import signed_in

NOW = datetime(2026, 11, 26, 3, 15, tzinfo=UTC)


class TestHost:
    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "evil.example:80"]
    )
    @pytest.mark.parametrize("path", ["/login", "/password/reset", "/api/v1/brokers", "/status"])
    def test_a_name_that_is_not_ours_is_refused(self, host: str, path: str, client: Client, settings: Settings) -> None:
        settings.ALLOWED_HOSTS = ["127.0.0.1"]
        assert client.get(path, headers={"Host": host}).status_code == 400

    @pytest.mark.parametrize(
        "told", [{"Host": "127.0.0.1:6666"}, {"Host": "alias.example"}, {"X-Forwarded-Host": "evil.example"}]
    )
    def test_a_letter_leads_to_our_public_address_alone(
        self, told: dict[str, str], db: None, client: Client, settings: Settings
    ) -> None:
        """Whatever name, or port, the request was sent to: the letter goes to the owner of the account."""
        settings.ALLOWED_HOSTS = ["127.0.0.1", "alias.example", "testserver"]
        carol = person("carol")
        client.post("/password/reset", {"email": carol.email}, headers=told)
        client.post("/password/reset", {"email": "nobody@example.com"}, headers=told)
        sign_in(client, "carol")
        client.post("/account/email", {"email": "new@example.com", "action_add": ""}, headers=told)
        letters = [letter.body for letter in mail.outbox]
        assert len(letters) >= 3
        links = [link for body in letters for link in re.findall(r"https?://\S+", body)]
        assert len(links) >= 2
        assert {link.split("/")[2] for link in links} == {"127.0.0.1:8000"}
        assert not [body for body in letters if any(name.split(":")[-1] in body for name in told.values())]

    @pytest.mark.parametrize(
        "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
    )
    @pytest.mark.parametrize("page", ["/login", "/step-up/password", "/step-up", "/logout"])
    def test_no_page_leads_to_another_site(self, page: str, target: str, db: None, client: Client) -> None:
        person("carol")
        if page != "/login":
            sign_in(client, "carol")
        form = {"login": "carol", "password": "a-long-enough-pass-phrase", "next": target}
        answer = client.get(page, form) if page == "/step-up" else client.post(page, form)
        while answer.status_code == 302 and answer["Location"].startswith("/step-up"):
            answer = client.post(answer["Location"], form)
        if answer.status_code == 302:
            assert answer["Location"].startswith("/")
            assert not answer["Location"].startswith(("//", "/\\"))


class TestWebhook:
    """Beside tests/brokers/test_webhook.py: hosts in disguise, and a name that leads elsewhere a moment later."""

    @pytest.mark.parametrize(
        "host",
        ["0177.0.0.1", "0x7f000001", "127.1", "017700000001", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
         "[::127.0.0.1]", "[fe80::1%25lo]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[64:ff9b::7f00:1]", "192.0.0.1",
         "198.18.0.1", "240.0.0.1", "metadata.google.internal", "localhost.", "LOCALHOST"],
    )  # fmt: skip
    def test_no_disguise_leads_home(self, host: str) -> None:
        with pytest.raises(webhook.WebhookRefused) as refusal:
            webhook.resolved(f"https://{host}/", allow_loopback=False)
        assert refusal.value.code in ("webhook_address_private", "webhook_host_unknown", "webhook_url_invalid")

    @pytest.mark.parametrize("later", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
    def test_a_name_that_leads_home_a_moment_later_is_not_asked_twice(
        self, later: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: public when it is judged, private when it would be connected to."""
        answers, connected = iter(["93.184.216.34", *[later] * 9]), []

        def resolve(host: str, port: int, **how: Any) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

        def connect(address: tuple[str, int], **how: Any) -> Any:
            connected.append(address[0])
            raise OSError

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket, "create_connection", connect)
        with pytest.raises(webhook.WebhookFailed):
            webhook.post("https://rebinding.example/", b"{}", secret=Secret("s"), now=NOW, allow_loopback=False)
        assert connected == ["93.184.216.34"]
        assert next(answers) == later  # the name was resolved once

    def test_the_api_takes_none_of_them(self, alice: Any, settings: Settings) -> None:
        settings.SIMULATED_BROKERS = False
        for url in ("https://169.254.169.254/latest/meta-data/", "https://0177.0.0.1/", "http://example.com/"):
            body = {"webhook_url": url, "by_email": False}
            answer = signed_in(alice).put("/api/v1/brokers/logins/reminder", body, content_type="application/json")
            assert (answer.status_code, answer.json()["error"]["code"][:8]) == (400, "webhook_")
