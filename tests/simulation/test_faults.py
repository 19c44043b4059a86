"""Every fault, as a client meets it."""

from __future__ import annotations

import json
import time

import pytest
import requests

from brokers.simulation.server import SimulatedBrokers
from tests.simulation.conftest import Client, zerodha_login_url

HOLDINGS = "/portfolio/holdings"
UPSTOX_HOLDINGS = "/v2/portfolio/long-term-holdings"
UPSTOX_FUNDS = "/v3/user/get-funds-and-margin"


@pytest.mark.parametrize(
    ("kind", "status", "error_type"),
    [
        ("rate_limit", 429, "NetworkException"),
        ("server_error", 500, "GeneralException"),
        ("maintenance", 503, "NetworkException"),
        ("expired_token", 403, "TokenException"),
    ],
)
def test_kite_words_its_failures(
    simulated: SimulatedBrokers, zerodha: Client, kind: str, status: int, error_type: str
) -> None:
    simulated.control.set_fault("zerodha", kind)
    reply = zerodha.get(HOLDINGS)
    assert (reply.status_code, reply.json()["status"], reply.json()["error_type"]) == (status, "error", error_type)


@pytest.mark.parametrize(
    ("kind", "path", "status", "code"),
    [
        ("rate_limit", UPSTOX_HOLDINGS, 429, "UDAPI10005"),
        ("server_error", UPSTOX_HOLDINGS, 500, "UDAPI100500"),
        ("maintenance", UPSTOX_HOLDINGS, 423, "UDAPI100074"),
        ("maintenance", UPSTOX_FUNDS, 423, "UDAPI100072"),
        ("expired_token", UPSTOX_HOLDINGS, 401, "UDAPI100050"),
    ],
)
def test_upstox_words_its_failures(
    simulated: SimulatedBrokers, upstox: Client, kind: str, path: str, status: int, code: str
) -> None:
    simulated.control.set_fault("upstox", kind)
    reply = upstox.get(path)
    error = reply.json()["errors"][0]
    assert (reply.status_code, error["errorCode"], error["error_code"]) == (status, code, code)


def test_brokers_that_share_a_fault_share_its_count(
    simulated: SimulatedBrokers, zerodha: Client, upstox: Client
) -> None:
    """The first of them to meet it spends it for all."""
    told = simulated.control.set_fault_everywhere("server_error", count=1)["brokers"]
    assert all("server_error" in broker["faults"] for broker in told.values())
    assert [upstox.get(UPSTOX_HOLDINGS).status_code, zerodha.get(HOLDINGS).status_code] == [500, 200]
    assert all(broker["faults"] == {} for broker in simulated.control.overview()["brokers"].values())


def test_all_faults_of_all_brokers_are_switched_off_at_once(simulated: SimulatedBrokers, zerodha: Client) -> None:
    simulated.control.set_fault_everywhere("rate_limit")
    simulated.control.set_fault("zerodha", "down")
    simulated.control.clear_faults_everywhere("rate_limit")
    faults = {slug: list(broker["faults"]) for slug, broker in simulated.control.overview()["brokers"].items()}
    assert faults.pop("zerodha") == ["down"]
    assert not any(faults.values())
    simulated.control.clear_faults_everywhere()
    assert zerodha.get(HOLDINGS).status_code == 200


def test_pages_of_html(simulated: SimulatedBrokers, zerodha: Client) -> None:
    simulated.control.set_fault("zerodha", "maintenance", format="html")
    assert (zerodha.get(HOLDINGS).status_code, zerodha.get(HOLDINGS).text[:6]) == (503, "<html>")
    simulated.control.set_fault("zerodha", "html_gateway")
    assert zerodha.get(HOLDINGS).status_code == 502
    assert zerodha.get(HOLDINGS).headers["Content-Type"].startswith("text/html")


def test_a_fault_of_one_path_and_one_request(simulated: SimulatedBrokers, zerodha: Client) -> None:
    simulated.control.set_fault("zerodha", "rate_limit", path=HOLDINGS, count=1)
    assert zerodha.get("/user/profile").status_code == 200
    assert [zerodha.get(HOLDINGS).status_code for _ in range(2)] == [429, 200]
    assert simulated.control.overview()["brokers"]["zerodha"]["faults"] == {}


def test_a_fault_of_one_broker_leaves_the_other_alone(
    simulated: SimulatedBrokers, zerodha: Client, upstox: Client
) -> None:
    simulated.control.set_fault("zerodha", "server_error")
    assert upstox.get(UPSTOX_HOLDINGS).status_code == 200


def test_the_login_page_is_on_another_host_and_keeps_working(simulated: SimulatedBrokers) -> None:
    simulated.control.set_fault("zerodha", "maintenance")
    assert simulated.login("zerodha", zerodha_login_url(simulated.brokers["zerodha"]))["status"] == "success"


def test_latency_delays_the_reply(simulated: SimulatedBrokers, zerodha: Client) -> None:
    simulated.control.set_fault("zerodha", "latency", milliseconds=120)
    start = time.monotonic()
    assert zerodha.get(HOLDINGS).status_code == 200
    assert time.monotonic() - start >= 0.12


def test_a_slow_body_arrives_whole(simulated: SimulatedBrokers, upstox: Client) -> None:
    expected = upstox.data(UPSTOX_HOLDINGS)
    simulated.control.set_fault("upstox", "slow_body", milliseconds=100)
    start = time.monotonic()
    assert upstox.data(UPSTOX_HOLDINGS) == expected
    assert time.monotonic() - start >= 0.1


def test_a_malformed_body_is_no_json(simulated: SimulatedBrokers, zerodha: Client) -> None:
    simulated.control.set_fault("zerodha", "malformed_body")
    reply = zerodha.get(HOLDINGS)
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(reply.content)


def test_a_dropped_connection(simulated: SimulatedBrokers, zerodha: Client) -> None:
    simulated.control.set_fault("zerodha", "drop_connection")
    with pytest.raises(requests.ConnectionError):
        zerodha.get(HOLDINGS)
    simulated.control.set_fault("zerodha", "drop_connection", mode="mid_body")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        zerodha.get(HOLDINGS)


def test_down_closes_the_port_and_recovery_opens_it(simulated: SimulatedBrokers, zerodha: Client) -> None:
    pooled = requests.Session()
    assert pooled.get(zerodha.base_url + HOLDINGS, headers=zerodha.headers, timeout=20).status_code == 200
    simulated.control.set_fault("zerodha", "down")
    with pytest.raises(requests.ConnectionError):
        pooled.get(zerodha.base_url + HOLDINGS, headers=zerodha.headers, timeout=20)
    simulated.control.clear_faults("zerodha", "down")
    assert zerodha.get(HOLDINGS).status_code == 200


def test_an_empty_account_is_no_error(simulated: SimulatedBrokers, zerodha: Client, upstox: Client) -> None:
    for slug in ("zerodha", "upstox"):
        simulated.control.set_fault(slug, "empty_account")
    assert zerodha.data(HOLDINGS) == upstox.data(UPSTOX_HOLDINGS) == []
    assert zerodha.data("/portfolio/positions") == {"net": [], "day": []}
    simulated.control.clear_faults("zerodha")
    assert zerodha.data(HOLDINGS) != []


def test_drift_adds_and_removes_fields(simulated: SimulatedBrokers, zerodha: Client) -> None:
    simulated.control.set_fault("zerodha", "unknown_field", field="sector")
    simulated.control.set_fault("zerodha", "missing_field", field="isin")
    row = zerodha.data(HOLDINGS)[0]
    assert "sector" in row
    assert "isin" not in row


def test_revoking_kills_tokens(simulated: SimulatedBrokers, zerodha: Client) -> None:
    assert simulated.control.revoke("zerodha") == 1
    assert zerodha.get(HOLDINGS).status_code == 403
    assert simulated.control.overview()["brokers"]["zerodha"]["live_sessions"] == 0


def test_calls_are_counted(simulated: SimulatedBrokers, zerodha: Client) -> None:
    zerodha.get("/quote/ltp", i=["NSE:INFY"])
    assert simulated.control.counters("zerodha")["GET /quote/ltp"] == 1
    simulated.control.reset_counters()
    assert simulated.control.counters("zerodha") == {}


def test_a_recorded_payload_is_served_verbatim_but_only_to_a_live_token(
    simulated: SimulatedBrokers, zerodha: Client
) -> None:
    recorded = '{"status": "success",\n "data": [{"average_price": 801.78125}]}'
    simulated.control.serve("zerodha", f"GET {HOLDINGS}", recorded)
    assert zerodha.get(HOLDINGS).text == recorded
    simulated.control.revoke("zerodha")
    assert zerodha.get(HOLDINGS).status_code == 403


def test_the_control_api_explains_what_it_refuses(simulated: SimulatedBrokers) -> None:
    with pytest.raises(requests.HTTPError, match="no fault 'rain'"):
        simulated.control.set_fault("zerodha", "rain")
    with pytest.raises(requests.HTTPError, match="colour"):
        simulated.control.set_fault("zerodha", "latency", colour="red")
    with pytest.raises(requests.HTTPError, match="no simulated broker"):
        simulated.control.revoke("nobody")
    ghost = {"symbol": "GHOST", "isin": "INE000000000", "exchange": "NSE"}
    haunted = {**simulated.control.book("zerodha"), "holdings": [ghost]}
    with pytest.raises(requests.HTTPError, match="NSE:GHOST"):
        simulated.control.set_book("zerodha", haunted)
