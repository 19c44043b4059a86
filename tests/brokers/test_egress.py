"""`manage.py egress`: what is configured, what others see, and an exit code that says whether the two agree."""

from __future__ import annotations

from io import StringIO

import pytest
import requests
import responses
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from brokers.egress import NotObserved, addresses, observed_address
from trademaster.environment import env_address

URL = "https://mirror.test/ip"
OURS = "203.0.113.7"


def egress(*arguments: str) -> str:
    output = StringIO()
    call_command("egress", *arguments, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize(("configured", "said"), [(OURS, OURS), (None, "EGRESS_IP is not set")])
def test_nobody_is_asked_unless_named(configured: str | None, said: str, settings: Settings) -> None:
    settings.EGRESS_IP = configured
    with responses.RequestsMock():  # any request would fail
        assert egress() == f"configured: {said}\n"


@responses.activate
@pytest.mark.parametrize("body", [OURS, f"{OURS}\n", f'{{"origin": "{OURS}", "port": 1.5}}', f"<p>You are {OURS}.</p>"])
def test_what_is_seen_agrees(body: str, settings: Settings) -> None:
    settings.EGRESS_IP = OURS
    responses.get(URL, body=body)
    assert OURS in egress("--observe", URL).splitlines()[1]


@responses.activate
@pytest.mark.parametrize("configured", [None, "198.51.100.9"])
def test_what_is_seen_differs(configured: str | None, settings: Settings) -> None:
    settings.EGRESS_IP = configured
    responses.get(URL, body=OURS)
    with pytest.raises(CommandError, match=f"EGRESS_IP={OURS}") as caught:
        egress("--observe", URL)
    assert caught.value.returncode != 0


@responses.activate
@pytest.mark.parametrize("body", ["2001:db8::7", "", "999.1.1.1", f"{OURS} or 198.51.100.9", "1.2.3.4.5"])
def test_an_answer_that_names_no_one_address(body: str, settings: Settings) -> None:
    settings.EGRESS_IP = OURS
    responses.get(URL, body=body)
    with pytest.raises(CommandError, match="not one"):
        egress("--observe", URL)


@responses.activate
def test_a_mirror_that_fails_or_sends_elsewhere() -> None:
    responses.get(URL, status=302, headers={"Location": "https://elsewhere.test/"})
    with pytest.raises(NotObserved, match="HTTP 302"):
        observed_address(URL)
    responses.replace("GET", URL, body=requests.ConnectionError("secret detail"))
    with pytest.raises(NotObserved, match=r"does not answer: ConnectionError\.$"):
        observed_address(URL)


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "ip={};", "[{}]", "{}, port 80"]))
def test_an_address_is_found_in_any_wrapping(address: object, wrapping: str) -> None:
    assert addresses(wrapping.format(address)) == {str(address)}


@pytest.mark.parametrize("value", ["300.1.1.1", "1.2.3", "2001:db8::7", "host.example", "203.0.113.7/32"])
def test_a_setting_that_is_no_address_is_refused_in_words(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGRESS_IP", value)
    with pytest.raises(ImproperlyConfigured, match="EGRESS_IP must be an IPv4 address"):
        env_address("EGRESS_IP")


@pytest.mark.parametrize(("value", "read"), [("", None), (f" {OURS} ", OURS)])
def test_a_setting_that_is_one(value: str, read: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGRESS_IP", value)
    assert env_address("EGRESS_IP") == read
