"""A signed message to an address that somebody typed: what it says, and where it must never go."""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

import pytest

from brokers import webhook
from brokers.secret import Secret
from tests.brokers.receiver import Receiver, receiving

NOW = datetime(2026, 11, 26, 3, 15, tzinfo=UTC)
SECRET = Secret("a secret that nobody else has")
BODY = b'{"type":"LOGIN_REMINDER"}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def post(url: str, *, allow_loopback: bool = True) -> None:
    webhook.post(url, BODY, secret=SECRET, now=NOW, allow_loopback=allow_loopback)


def refused(url: str, *, allow_loopback: bool = False) -> str:
    with pytest.raises(webhook.WebhookRefused) as refusal:
        webhook.resolved(url, allow_loopback=allow_loopback)
    assert refusal.value.message
    assert refusal.value.remedy
    return refusal.value.code


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name leads to these addresses."""

    def resolve(host: str, port: int, **how: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


class TestWhatIsSent:
    def test_its_receiver_can_tell_that_it_is_from_here(self, receiver: Receiver) -> None:
        post(receiver.url)
        ((headers, body),) = receiver.got
        assert body == BODY
        stamped = headers["X-TradeMaster-Timestamp"]
        assert int(stamped) == int(NOW.timestamp())
        expected = hmac.new(b"a secret that nobody else has", f"{stamped}.".encode() + body, sha256).hexdigest()
        assert headers["X-TradeMaster-Signature"] == f"v1={expected}"
        assert headers["Content-Type"] == "application/json"
        assert receiver.url.startswith(f"http://{headers['Host']}/")

    def test_another_body_moment_or_secret_is_signed_otherwise(self) -> None:
        whole = webhook.signature(BODY, "1", SECRET)
        for other in (
            webhook.signature(BODY + b" ", "1", SECRET),
            webhook.signature(BODY, "2", SECRET),
            webhook.signature(BODY, "1", Secret("another")),
        ):
            assert other != whole

    def test_no_secret_is_logged(self, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            post(receiver.url)
        assert SECRET.reveal() not in caplog.text


class TestWhatFails:
    @pytest.mark.parametrize("status", [400, 404, 500, 302, 307])
    def test_an_answer_that_is_no_success_and_no_redirect_is_followed(self, status: int, receiver: Receiver) -> None:
        receiver.statuses = [status]
        with pytest.raises(webhook.WebhookFailed, match=f"HTTP {status}"):
            post(receiver.url)
        assert len(receiver.got) == 1

    def test_nobody_there(self, receiver: Receiver) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with pytest.raises(webhook.WebhookFailed, match="cannot be reached"):
                post(f"http://127.0.0.1:{unused.getsockname()[1]}/")

    def test_an_answer_in_drops_is_cut_off(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "SECONDS", 0.2)
        receiver.hangs = True
        with pytest.raises(webhook.WebhookFailed, match="in time"):
            post(receiver.url)

    def test_a_server_without_a_certificate(self, receiver: Receiver) -> None:
        with pytest.raises(webhook.WebhookFailed):
            post(receiver.url.replace("http:", "https:"))
        assert receiver.got == []

    def test_a_message_that_is_too_large(self, receiver: Receiver) -> None:
        with pytest.raises(webhook.WebhookFailed):
            webhook.post(receiver.url, b"x" * 70_000, secret=SECRET, now=NOW, allow_loopback=True)
        assert receiver.got == []


class TestWhereItMustNotGo:
    @pytest.mark.parametrize(
        "url",
        ["", "example.com/hook", "ftp://example.com", "https://", "https://a:b@example.com/", "https://exa mple.com",
         "https://example.com/\r\nX: y", "https://example.com:99999/", "file:///etc/passwd", "https://[::1"],
    )  # fmt: skip
    def test_what_is_no_address(self, url: str) -> None:
        assert refused(url) == "webhook_url_invalid"

    def test_in_clear(self) -> None:
        assert refused("http://example.com/hook") == "webhook_not_https"
        assert refused("http://example.com/hook", allow_loopback=True) == "webhook_not_https"
        assert refused("http://127.0.0.1/hook") == "webhook_not_https"

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "localhost", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104 - nothing is bound
         "2130706433", "0x7f.1", "[::1]", "[fe80::1]", "[fc00::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]",
         "[2002:a00:1::]", "224.0.0.1", "255.255.255.255"],
    )  # fmt: skip
    def test_into_private_networks(self, host: str) -> None:
        assert refused(f"https://{host}/hook") == "webhook_address_private"

    def test_a_simulation_may_reach_this_machine_and_no_other(self) -> None:
        assert webhook.resolved("http://127.0.0.1:8/hook?a=b", allow_loopback=True).path == "/hook?a=b"
        assert refused("https://192.168.1.1/hook", allow_loopback=True) == "webhook_address_private"

    def test_a_name_with_one_private_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        leads_to(monkeypatch, "93.184.216.34", "10.0.0.1")
        assert refused("https://hook.example/") == "webhook_address_private"

    def test_a_name_that_leads_home_in_a_simulation_is_no_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        leads_to(monkeypatch, "127.0.0.1")
        assert refused("https://hook.example/", allow_loopback=True) == "webhook_address_private"

    def test_a_name_that_leads_nowhere(self) -> None:
        assert refused("https://nowhere.invalid/hook") == "webhook_host_unknown"

    def test_the_address_that_was_judged_is_the_one_that_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        leads_to(monkeypatch, "93.184.216.34")
        used: list[tuple[str, int]] = []

        def connect(address: tuple[str, int], **how: Any) -> Any:
            used.append(address)
            raise OSError

        monkeypatch.setattr(socket, "create_connection", connect)
        with pytest.raises(webhook.WebhookFailed):
            post("https://hook.example/", allow_loopback=False)
        assert used == [("93.184.216.34", 443)]

    @pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
    def test_the_internet_is_allowed(self, address: str) -> None:
        assert webhook.is_public(ip_address(address))
