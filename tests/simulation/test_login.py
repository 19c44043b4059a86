"""Login pages, codes and the life of tokens."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
import requests

from brokers.simulation.server import SimulatedBrokers
from tests.simulation.conftest import (
    TIMEOUT,
    Client,
    MovableClock,
    upstox_client,
    upstox_exchange,
    upstox_login_url,
    zerodha_client,
    zerodha_exchange,
    zerodha_login_url,
)


def test_the_login_page_says_that_it_is_simulated(simulated: SimulatedBrokers) -> None:
    for slug, url in (("zerodha", zerodha_login_url), ("upstox", upstox_login_url)):
        page = requests.get(url(simulated.brokers[slug]), timeout=TIMEOUT)
        assert page.status_code == 200
        assert f"<title>SIMULATED {slug.title()} login</title>" in page.text
        for field in simulated.brokers[slug]["login"]:
            assert f'name="{field}"' in page.text


def test_kite_adds_the_decoded_redirect_params_to_the_callback(simulated: SimulatedBrokers) -> None:
    broker = simulated.brokers["zerodha"]
    callback = simulated.login("zerodha", zerodha_login_url(broker, redirect_params="state=a%26b&conn=42"))
    assert callback.location.startswith("http://127.0.0.1:8000/brokers/callback/zerodha?")
    assert len(callback.pop("request_token")) == 32
    assert callback == {"status": "success", "action": "login", "type": "login", "state": "a&b", "conn": "42"}


def test_upstox_returns_the_state_unchanged_and_only_if_there_was_one(simulated: SimulatedBrokers) -> None:
    broker = simulated.brokers["upstox"]
    assert simulated.login("upstox", upstox_login_url(broker, state="x/y z"))["state"] == "x/y z"
    assert set(simulated.login("upstox", upstox_login_url(broker))) == {"code"}


def test_a_refusal_carries_no_code(simulated: SimulatedBrokers) -> None:
    kite = zerodha_login_url(simulated.brokers["zerodha"], redirect_params="state=s")
    assert simulated.login("zerodha", kite, cancel="1") == {"status": "error", "state": "s"}
    upstox = upstox_login_url(simulated.brokers["upstox"], state="s")
    assert simulated.login("upstox", upstox, cancel="1") == {"error": "access_denied", "state": "s"}


def test_a_wrong_password_shows_the_page_again(simulated: SimulatedBrokers) -> None:
    broker = simulated.brokers["zerodha"]
    form = {**broker["login"], "password": "wrong"}
    page = requests.post(zerodha_login_url(broker), data=form, allow_redirects=False, timeout=TIMEOUT)
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    with pytest.raises(LookupError):
        simulated.login("upstox", upstox_login_url(simulated.brokers["upstox"]), pin="000")


def test_a_foreign_app_is_refused_before_the_page(simulated: SimulatedBrokers) -> None:
    kite = requests.get(simulated.brokers["zerodha"]["login_url"], params={"api_key": "x"}, timeout=TIMEOUT)
    assert (kite.status_code, kite.json()["error_type"]) == (400, "InputException")
    elsewhere = upstox_login_url(simulated.brokers["upstox"], redirect_uri="http://127.0.0.1:1/elsewhere")
    upstox = requests.get(elsewhere, timeout=TIMEOUT)
    assert (upstox.status_code, upstox.json()["errors"][0]["error_code"]) == (401, "UDAPI100068")


def test_a_kite_code_is_burnt_by_a_failed_exchange(simulated: SimulatedBrokers) -> None:
    broker = simulated.brokers["zerodha"]
    code = simulated.login("zerodha", zerodha_login_url(broker))["request_token"]
    wrong, late = zerodha_exchange(broker, code, "wrong secret"), zerodha_exchange(broker, code)
    assert (wrong.status_code, wrong.json()["message"]) == (403, "Invalid `checksum`.")
    assert (late.status_code, late.json()["message"]) == (403, "Token is invalid or has expired.")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"client_secret": "wrong"}, "UDAPI100069"),
        ({"client_id": "wrong"}, "UDAPI100069"),
        ({"redirect_uri": "http://127.0.0.1:1/"}, "UDAPI100070"),
        ({"grant_type": "password"}, "UDAPI100057"),
    ],
)
def test_an_upstox_code_is_burnt_by_a_failed_exchange(
    simulated: SimulatedBrokers, changed: dict[str, str], code: str
) -> None:
    broker = simulated.brokers["upstox"]
    granted = simulated.login("upstox", upstox_login_url(broker))["code"]
    wrong, late = upstox_exchange(broker, granted, **changed), upstox_exchange(broker, granted)
    assert (wrong.status_code, wrong.json()["errors"][0]["error_code"]) == (401, code)
    assert (late.status_code, late.json()["errors"][0]["errorCode"]) == (401, "UDAPI100057")


def test_a_code_dies_of_age(simulated: SimulatedBrokers, clock: MovableClock) -> None:
    broker = simulated.brokers["zerodha"]
    code = simulated.login("zerodha", zerodha_login_url(broker))["request_token"]
    clock.moment += timedelta(minutes=6)
    assert zerodha_exchange(broker, code).status_code == 403


def test_the_upstox_token_is_a_jwt_that_knows_its_end(simulated: SimulatedBrokers) -> None:
    token = upstox_client(simulated).headers["Authorization"].removeprefix("Bearer ")
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["sub"] == simulated.control.book("upstox")["account"]["user_id"]
    # 10:30 IST on the 23rd: dead at 03:30 IST on the 24th, which is 22:00 UTC on the 23rd
    assert datetime.fromtimestamp(claims["exp"], UTC) == datetime(2026, 11, 23, 22, 0, tzinfo=UTC)


def test_tokens_die_at_their_hour(
    simulated: SimulatedBrokers, zerodha: Client, upstox: Client, clock: MovableClock
) -> None:
    clock.moment = datetime(2026, 11, 23, 21, 59, 59, tzinfo=UTC)  # 03:29:59 IST
    assert upstox.get("/v2/user/profile").status_code == 200
    clock.moment = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)  # 03:30 IST
    assert upstox.get("/v2/user/profile").json()["errors"][0]["error_code"] == "UDAPI100050"
    clock.moment = datetime(2026, 11, 24, 0, 29, 59, tzinfo=UTC)  # 05:59:59 IST
    assert zerodha.get("/user/profile").status_code == 200
    clock.moment = datetime(2026, 11, 24, 0, 30, tzinfo=UTC)  # 06:00 IST
    dead = zerodha.get("/user/profile")
    assert (dead.status_code, dead.json()["error_type"]) == (403, "TokenException")


def test_an_upstox_token_of_the_small_hours_dies_the_same_night(
    simulated: SimulatedBrokers, clock: MovableClock
) -> None:
    clock.moment = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)  # 02:30 IST
    upstox = upstox_client(simulated)
    clock.moment = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
    assert upstox.get("/v2/user/profile").status_code == 401


def test_a_newer_kite_login_ends_the_older_session(simulated: SimulatedBrokers, zerodha: Client) -> None:
    newer = zerodha_client(simulated)
    assert zerodha.get("/user/profile").status_code == 403
    assert newer.get("/user/profile").status_code == 200


def test_logout_ends_the_session(simulated: SimulatedBrokers, zerodha: Client, upstox: Client) -> None:
    api_key, token = zerodha.headers["Authorization"].removeprefix("token ").split(":")
    done = requests.delete(
        zerodha.base_url + "/session/token",
        params={"api_key": api_key, "access_token": token},
        headers={"X-Kite-Version": "3"},
        timeout=TIMEOUT,
    )
    assert done.json() == {"status": "success", "data": True}
    assert zerodha.get("/user/profile").status_code == 403
    done = requests.delete(upstox.base_url + "/v2/logout", json={}, headers=upstox.headers, timeout=TIMEOUT)
    assert done.json() == {"status": "success", "data": True}
    assert upstox.get("/v2/user/profile").status_code == 401


def test_kite_wants_its_version_header_and_its_own_scheme(zerodha: Client) -> None:
    without = {name: value for name, value in zerodha.headers.items() if name != "X-Kite-Version"}
    assert Client(zerodha.base_url, without).get("/user/profile").json()["error_type"] == "InputException"
    bearer = {**zerodha.headers, "Authorization": zerodha.headers["Authorization"].replace("token ", "Bearer ")}
    assert Client(zerodha.base_url, bearer).get("/user/profile").json()["error_type"] == "TokenException"
