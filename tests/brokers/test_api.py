"""The broker API at its edge: who may call what, and how each refusal reads."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection as database
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from brokers import logins, reach, registry
from brokers.domain import ConnectionStatus
from brokers.models import BrokerApp, BrokerConnection, OAuthState
from brokers.shared import redis
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from health.models import BrokerHealthLog
from health.services import check
from tests.conftest import let_in, signed_in
from tests.people import SLUGS, begin, connect, log_in, own_app

API = "/api/v1"
SOME_ID = "6f1f3a1e-0000-4000-8000-000000000000"
ROUTES = [
    ("get", "/brokers"),
    ("put", "/brokers/apps/zerodha"),
    ("delete", "/brokers/apps/zerodha"),
    ("post", "/brokers/connect/initiate"),
    ("post", "/brokers/connect/complete"),
    ("get", "/brokers/connections"),
    ("get", f"/brokers/connections/{SOME_ID}"),
    ("patch", f"/brokers/connections/{SOME_ID}"),
    ("delete", f"/brokers/connections/{SOME_ID}"),
    ("post", f"/brokers/connections/{SOME_ID}/refresh"),
    ("get", f"/brokers/connections/{SOME_ID}/postback"),
    ("post", f"/brokers/connections/{SOME_ID}/postback"),
    ("delete", f"/brokers/connections/{SOME_ID}/postback"),
    ("get", "/brokers/logins"),
    ("get", "/brokers/logins/reminder"),
    ("put", "/brokers/logins/reminder"),
    ("get", "/brokers/portfolio/consolidated"),
]
WRONG_METHODS = [
    ("post", "/brokers"),
    ("get", "/brokers/apps/zerodha"),
    ("get", "/brokers/connect/initiate"),
    ("put", "/brokers/connect/complete"),
    ("post", "/brokers/connections"),
    ("put", f"/brokers/connections/{SOME_ID}"),
    ("get", f"/brokers/connections/{SOME_ID}/refresh"),
    ("put", f"/brokers/connections/{SOME_ID}/postback"),
    ("post", "/brokers/logins"),
    ("delete", "/brokers/logins/reminder"),
    ("post", "/brokers/portfolio/consolidated"),
]


def send(client: Client, method: str, path: str, body: object = None, **headers: str) -> Any:
    """One call with a JSON body; `path` is below /api/v1."""
    sent = {} if body is None else {"data": body, "content_type": "application/json"}
    return getattr(client, method)(API + path, headers=headers, **sent)


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The error, which has the one shape that every error has."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    document = json.loads(answer.content)
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"code", "message", "remedy", "details"}
    assert error["code"] == code
    assert error["message"]
    assert error["remedy"]
    return error


class TestWhoMayCall:
    @pytest.mark.parametrize(("method", "path"), ROUTES)
    def test_nobody_unknown(self, method: str, path: str, client: Client, db: None) -> None:
        answer = send(client, method, path)
        refused(answer, 401, "not_authenticated")
        assert answer["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    def test_not_support(self, method: str, path: str, as_sam: Client) -> None:
        refused(send(as_sam, method, path), 403, "permission_denied")

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    def test_not_somebody_who_was_switched_off(self, method: str, path: str, alice: User, as_alice: Client) -> None:
        alice.is_active = False
        alice.save()
        refused(send(as_alice, method, path), 401, "not_authenticated")

    @pytest.mark.parametrize(("method", "path"), WRONG_METHODS)
    def test_not_in_another_way(self, method: str, path: str, as_bob: Client) -> None:
        answer = send(as_bob, method, path)
        refused(answer, 405, "method_not_allowed")
        assert answer["Allow"]

    @pytest.mark.parametrize("path", ["/nowhere", "/brokers/", "/brokers/connections/7", "/brokers/connections/"])
    def test_not_where_nothing_is(self, path: str, as_bob: Client) -> None:
        refused(send(as_bob, "get", path), 404, "not_found")

    @pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != "get"])
    def test_not_from_another_site(self, method: str, path: str, bob: User) -> None:
        client = Client(enforce_csrf_checks=True)
        let_in(client, bob)
        error = refused(send(client, method, path, {}), 403, "csrf_failed")
        assert "X-CSRFToken" in error["remedy"]

    def test_the_page_of_our_own_site_may(self, bob: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.get("/login")
        let_in(client, bob)
        client.get("/connect")
        token = client.cookies["csrftoken"].value
        body = {"api_key": "k", "api_secret": "s"}
        answer = send(client, "put", "/brokers/apps/zerodha", body, **{"X-CSRFToken": token})
        assert answer.status_code == 200, answer.content


class TestMallory:
    """Alice's ids are worth nothing to her: each reads as if it did not exist."""

    @pytest.mark.parametrize(
        ("method", "suffix", "body"),
        [
            ("get", "", None),
            ("patch", "", {"display_name": "Mine"}),
            ("patch", "", {"registered_ip": "203.0.113.7"}),
            ("delete", "", None),
            ("post", "/refresh", None),
        ],
    )
    def test_alices_connections_do_not_exist(
        self, method: str, suffix: str, body: object, alices: dict[str, BrokerConnection], as_mallory: Client
    ) -> None:
        hers, made_up = alices["zerodha"].pk, uuid4()
        answers = [
            send(as_mallory, method, f"/brokers/connections/{connection_id}{suffix}", body)
            for connection_id in (hers, made_up)
        ]
        for answer in answers:
            refused(answer, 404, "not_found")
        assert answers[0].content == answers[1].content
        row = BrokerConnection.objects.get(pk=hers)
        assert (row.status, row.display_name) == (ConnectionStatus.CONNECTED, alices["zerodha"].display_name)
        assert row.registered_ip is None
        assert row.session is not None

    def test_lists_hold_nothing_of_alices(self, alices: dict[str, BrokerConnection], as_mallory: Client) -> None:
        assert send(as_mallory, "get", "/brokers/connections").json() == []
        brokers = send(as_mallory, "get", "/brokers").json()
        assert not any(broker["app_configured"] for broker in brokers)
        refused(send(as_mallory, "get", "/brokers/portfolio/consolidated"), 404, "no_broker_connections")

    def test_she_cannot_forget_alices_app(self, alices: dict[str, BrokerConnection], as_mallory: Client) -> None:
        assert send(as_mallory, "delete", "/brokers/apps/zerodha").status_code == 204
        assert BrokerApp.objects.filter(broker_type="zerodha").count() == 1

    def test_she_cannot_complete_alices_login(
        self, alice: User, as_alice: Client, as_mallory: Client, brokers: SimulatedBrokers
    ) -> None:
        own_app(alice, "upstox", brokers)
        back = log_in(alice, "upstox", brokers)
        body = {"broker_type": "upstox", "state": back.state, "callback": back.parameters}
        refused(send(as_mallory, "post", "/brokers/connect/complete", body), 403, "state_of_another_user")
        assert send(as_alice, "post", "/brokers/connect/complete", body).status_code == 200


class TestBodies:
    @pytest.mark.parametrize("path", ["/brokers/connect/initiate", "/brokers/connect/complete"])
    @pytest.mark.parametrize("text", ["{", "not json", '{"state": }', b"\xff\xfe"])
    def test_no_json(self, path: str, text: str | bytes, as_bob: Client) -> None:
        answer = as_bob.post(API + path, data=text, content_type="application/json")
        refused(answer, 400, "invalid_json")

    @pytest.mark.parametrize("text", ["[]", '"text"', "7", "null"])
    def test_json_that_is_no_object(self, text: str, as_bob: Client) -> None:
        answer = as_bob.post(f"{API}/brokers/connect/initiate", data=text, content_type="application/json")
        refused(answer, 400, "invalid_input")

    def test_a_form(self, as_bob: Client) -> None:
        refused(as_bob.post(f"{API}/brokers/connect/initiate", data={"a": "b"}), 415, "unsupported_media_type")

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/brokers/connect/initiate", {}, "broker_type"),
            ("/brokers/connect/initiate", {"broker_type": ""}, "broker_type"),
            ("/brokers/connect/initiate", {"broker_type": None}, "broker_type"),
            ("/brokers/connect/initiate", {"broker_type": ["zerodha"]}, "broker_type"),
            ("/brokers/connect/initiate", {"broker_type": "zerodha", "redirect_uri": ""}, "redirect_uri"),
            ("/brokers/connect/complete", {"code": "c", "broker_type": "upstox"}, "state"),
            ("/brokers/connect/complete", {"state": "s"}, "callback"),
            ("/brokers/connect/complete", {"state": "s", "code": "c"}, "broker_type"),
            ("/brokers/connect/complete", {"state": "s", "callback": "text"}, "callback"),
            ("/brokers/connect/complete", {"state": "s", "callback": {}, "code": "c"}, "callback"),
            ("/brokers/connect/complete", {"state": "s" * 201, "callback": {}}, "state"),
        ],
    )
    def test_the_wrong_field_is_named(self, path: str, body: object, field: str, as_bob: Client) -> None:
        assert field in refused(send(as_bob, "post", path, body), 400, "invalid_input")["details"]

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("post", "/brokers/connect/initiate", {"broker_type": "barings"}),
            ("post", "/brokers/connect/complete", {"broker_type": "barings", "state": "s", "code": "c"}),
            ("put", "/brokers/apps/barings", {"api_key": "k", "api_secret": "s"}),
        ],
    )
    def test_a_broker_we_do_not_know(self, method: str, path: str, body: object, as_bob: Client) -> None:
        refused(send(as_bob, method, path, body), 400, "unsupported_broker")

    def test_nul_bytes_are_refused_and_not_stored(self, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
        path = f"/brokers/connections/{alices['upstox'].pk}"
        refused(send(as_alice, "patch", path, {"display_name": "a\0b"}), 400, "invalid_input")

    def test_fields_we_do_not_know_change_nothing(self, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
        body = {"display_name": "Mine", "status": "SUSPENDED", "account_id": "X", "user": 1, "capabilities": {}}
        answer = send(as_alice, "patch", f"/brokers/connections/{alices['upstox'].pk}", body)
        assert answer.status_code == 200
        row = BrokerConnection.objects.get(pk=alices["upstox"].pk)
        assert row.display_name == "Mine"
        assert (row.status, row.account_id) == (ConnectionStatus.CONNECTED, alices["upstox"].account_id)


class TestThrottle:
    def test_logins_are_limited_per_user(
        self, as_bob: Client, as_mallory: Client, brokers: SimulatedBrokers, settings: Settings
    ) -> None:
        rates = {**settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "connect": "2/min"}
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
        body = {"broker_type": "zerodha"}
        for _ in range(2):
            refused(send(as_bob, "post", "/brokers/connect/initiate", body), 409, "broker_app_missing")
        answer = send(as_bob, "post", "/brokers/connect/initiate", body)
        refused(answer, 429, "throttled")
        assert 1 <= int(answer["Retry-After"]) <= 61
        refused(send(as_mallory, "post", "/brokers/connect/initiate", body), 409, "broker_app_missing")
        assert send(as_bob, "get", "/brokers").status_code == 200


class TestLogin:
    @pytest.mark.parametrize("slug", SLUGS)
    def test_the_seeds_body(self, slug: str, as_bob: Client, brokers: SimulatedBrokers) -> None:
        broker = brokers.brokers[slug]
        credentials = {name: broker[name] for name in ("api_key", "api_secret")}
        stored = send(as_bob, "put", f"/brokers/apps/{slug}", credentials)
        assert stored.status_code == 200
        assert set(stored.json()) == {"broker_type", "configured", "updated_at"}

        start = send(as_bob, "post", "/brokers/connect/initiate", {"broker_type": slug.upper()}).json()
        assert set(start) == {"broker_type", "authorization_url", "state", "expires_at", "consent"}
        back = brokers.login(slug, start["authorization_url"])
        parameter = next(row for row in send(as_bob, "get", "/brokers").json() if row["broker_type"] == slug)
        code = back[parameter["code_parameter"]]

        body = {"broker_type": slug, "code": code, "state": back["state"]}
        answer = send(as_bob, "post", "/brokers/connect/complete", body)
        assert answer.status_code == 200, answer.content
        connection = answer.json()
        assert (connection["broker_type"], connection["status"]) == (slug, "CONNECTED")
        assert connection["account_id"] == brokers.control.book(slug)["account"]["user_id"]
        assert not any("token" in name and name != "token_expires_at" for name in connection)
        again = send(as_bob, "post", "/brokers/connect/complete", body)
        refused(again, 400, "invalid_state")

    def test_an_expired_state(self, as_alice: Client, alice: User, brokers: SimulatedBrokers) -> None:
        own_app(alice, "zerodha", brokers)
        back = log_in(alice, "zerodha", brokers)
        OAuthState.objects.update(expires_at="2020-01-01T00:00:00Z")
        body = {"state": back.state, "callback": back.parameters}
        refused(send(as_alice, "post", "/brokers/connect/complete", body), 400, "state_expired")

    def test_the_brokers_own_words_reach_the_trader(
        self, as_alice: Client, alice: User, brokers: SimulatedBrokers
    ) -> None:
        own_app(alice, "zerodha", brokers, api_secret="wrong")
        back = log_in(alice, "zerodha", brokers)
        body = {"state": back.state, "callback": back.parameters}
        error = refused(send(as_alice, "post", "/brokers/connect/complete", body), 422, "exchange_refused")
        assert error["details"] == {"broker_code": "TokenException", "broker_reason": "Invalid `checksum`."}

    def test_a_foreign_address(self, as_alice: Client, alice: User, brokers: SimulatedBrokers) -> None:
        own_app(alice, "zerodha", brokers)
        body = {"broker_type": "zerodha", "redirect_uri": "https://evil.example"}
        refused(send(as_alice, "post", "/brokers/connect/initiate", body), 400, "redirect_uri_not_allowed")

    def test_forgetting_the_app(self, as_alice: Client, alice: User, brokers: SimulatedBrokers) -> None:
        own_app(alice, "zerodha", brokers)
        assert send(as_alice, "delete", "/brokers/apps/zerodha").status_code == 204
        assert not BrokerApp.objects.exists()
        refused(
            send(as_alice, "post", "/brokers/connect/initiate", {"broker_type": "zerodha"}), 409, "broker_app_missing"
        )


class TestConnections:
    def test_the_list_and_the_one(self, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
        rows = send(as_alice, "get", "/brokers/connections").json()
        assert [row["broker_type"] for row in rows] == ["zerodha", "upstox"]
        one = send(as_alice, "get", f"/brokers/connections/{rows[0]['id']}").json()
        assert one == rows[0]
        assert one["error_code"] is None
        assert one["broker_name"] == "Zerodha"
        assert one["capabilities"]["supports_options_trading"] is True

    def test_renaming(self, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
        path = f"/brokers/connections/{alices['zerodha'].pk}"
        answer = send(as_alice, "patch", path, {"display_name": "  Papa’s ₹ account "})
        assert answer.json()["display_name"] == "Papa’s ₹ account"
        for wrong in ({}, {"display_name": ""}, {"display_name": "x" * 101}, {"display_name": None}):
            assert "display_name" in refused(send(as_alice, "patch", path, wrong), 400, "invalid_input")["details"]
        assert send(as_alice, "get", path).json()["display_name"] == "Papa’s ₹ account"

    def test_entering_the_registered_address(
        self, as_alice: Client, alices: dict[str, BrokerConnection], settings: Settings
    ) -> None:
        settings.EGRESS_IP = "203.0.113.7"
        alices["zerodha"].start_trading(timezone.now())
        path = f"/brokers/connections/{alices['zerodha'].pk}"

        def trade(registered_ip: str | None) -> tuple[str, list[str]]:
            answer = send(as_alice, "patch", path, {"registered_ip": registered_ip})
            assert answer.status_code == 200, answer.content
            assert answer.json()["registered_ip"] == registered_ip
            light = answer.json()["clearance"]["trade"]
            return light["state"], [reason["code"] for reason in light["reasons"]]

        assert trade("203.0.113.7") == ("YES", [])
        assert trade("198.51.100.9") == ("NO", ["ip_not_registered"])
        for wrong in ("", "300.1.1.1", "2001:db8::7", "01.2.3.4", "me.example", 7, ["203.0.113.7"]):
            answer = send(as_alice, "patch", path, {"registered_ip": wrong})
            assert "registered_ip" in refused(answer, 400, "invalid_input")["details"]
        assert send(as_alice, "get", path).json()["registered_ip"] == "198.51.100.9"
        assert trade(None) == ("UNKNOWN", ["registered_ip_unknown"])
        assert send(as_alice, "get", path).json()["display_name"] == alices["zerodha"].display_name

    def test_name_and_address_together(self, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
        path = f"/brokers/connections/{alices['zerodha'].pk}"
        both = {"display_name": "Papa", "registered_ip": "203.0.113.7"}
        answer = send(as_alice, "patch", path, both).json()
        assert {name: answer[name] for name in both} == both
        half = {"display_name": "Mama", "registered_ip": "nowhere"}
        refused(send(as_alice, "patch", path, half), 400, "invalid_input")
        assert send(as_alice, "get", path).json()["display_name"] == "Papa"

    def test_what_a_connection_is_cleared_for(self, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
        rows = {row["broker_type"]: row for row in send(as_alice, "get", "/brokers/connections").json()}
        for slug in SLUGS:
            assert rows[slug]["session_began_at"]
            assert rows[slug]["status_since"] == rows[slug]["session_began_at"]
            assert rows[slug]["clearance"]["data"] == {"state": "YES", "reasons": []}
            assert rows[slug]["clearance"]["trade"]["state"] == "NO"
            assert rows[slug]["trading_enabled_at"] is None
        reasons = rows["zerodha"]["clearance"]["trade"]["reasons"]
        assert [reason["code"] for reason in reasons] == ["registered_ip_unknown", "egress_ip_unknown", "trading_off"]
        assert all(set(reason) == {"code", "words", "remedy"} for reason in reasons)
        # Zerodha's simulated customer gave a DDPI; Upstox's did not.
        assert rows["zerodha"]["capabilities"]["debit_authorised"] is True
        assert rows["upstox"]["clearance"]["sell_holdings"]["state"] == "NO"
        assert rows["upstox"]["clearance"]["segments"]["EQUITY"] == "YES"

    @pytest.mark.parametrize("slug", SLUGS)
    def test_disconnecting(
        self, slug: str, as_alice: Client, alices: dict[str, BrokerConnection], control: Control
    ) -> None:
        connection = alices[slug]
        check(connection.pk, now=connection.created_at)
        path = f"/brokers/connections/{connection.pk}"
        answer = send(as_alice, "delete", path)
        assert (answer.status_code, answer.content) == (204, b"")
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT access_token_encrypted, refresh_token_encrypted, token_expires_at, status "
                "FROM broker_connections WHERE id = %s",
                [connection.pk],
            )
            assert cursor.fetchone() == (None, None, None, "DISCONNECTED")
        assert control.overview()["brokers"][slug]["live_sessions"] == 0
        assert BrokerHealthLog.objects.filter(broker_connection=connection).count() == 1
        assert send(as_alice, "get", path).json()["status"] == "DISCONNECTED"
        assert send(as_alice, "delete", path).status_code == 204

    @pytest.mark.parametrize("slug", SLUGS)
    def test_renewing_where_no_broker_offers_it(
        self, slug: str, as_alice: Client, alices: dict[str, BrokerConnection]
    ) -> None:
        answer = send(as_alice, "post", f"/brokers/connections/{alices[slug].pk}/refresh")
        refused(answer, 409, "token_refresh_failed")

    def test_what_brokers_can_do(self, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
        rows = {row["broker_type"]: row for row in send(as_alice, "get", "/brokers").json()}
        assert list(rows) == list(registry.slugs())
        assert rows["zerodha"]["code_parameter"] == "request_token"
        assert rows["zerodha"]["session_ends_at"] == "06:00:00"
        assert rows["upstox"]["session_ends_at"] == "03:30:00"
        for slug, row in rows.items():
            assert row["app_configured"] is (slug in SLUGS)
            assert row["redirect_uri"] == reach.own_callback(slug)
            assert row["capabilities"]["rate_limits"]
            assert "debit_authorised" not in row["capabilities"]  # of a broker, not of an account
            assert row["order_rules"]["needs_registered_ip"] is True
            told = {"needs_registered_ip", "register_ip", "authorise_debit", "throttled_before_entry", "most_changes"}
            assert row["order_rules"].keys() == told


class TestQueries:
    """However many rows there are, a list costs the same. Two queries are the session and the user; connections take
    one more for their consents.
    """

    @pytest.mark.parametrize("extra", [0, 20])
    def test_the_list_of_connections(
        self, extra: int, alice: User, as_alice: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        BrokerConnection.objects.bulk_create(
            BrokerConnection(user=alice, broker_type="zerodha", account_id=str(number)) for number in range(extra)
        )
        with django_assert_max_num_queries(4):
            assert len(send(as_alice, "get", "/brokers/connections").json()) == extra

    def test_the_list_of_brokers(
        self, as_alice: Client, alices: object, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_max_num_queries(3):
            send(as_alice, "get", "/brokers")

    def test_the_portfolio(
        self, alice: User, as_alice: Client, alices: object, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        path = "/brokers/portfolio/consolidated"
        send(as_alice, "get", path)  # the first answer of a broker also leaves its shape, once
        redis().delete(f"portfolio:{alice.pk}:answer")
        with django_assert_max_num_queries(20):
            assert send(as_alice, "get", path).status_code == 200
        with django_assert_max_num_queries(2):
            assert send(as_alice, "get", path).status_code == 200


def test_begun_logins_of_two_brokers_do_not_mix(alice: User, brokers: SimulatedBrokers, as_alice: Client) -> None:
    """Alice begins both, and completes each with its own state, in the other order."""
    backs = {slug: (own_app(alice, slug, brokers), log_in(alice, slug, brokers))[1] for slug in SLUGS}
    for slug in reversed(SLUGS):
        body = {"state": backs[slug].state, "callback": backs[slug].parameters}
        assert send(as_alice, "post", "/brokers/connect/complete", body).json()["broker_type"] == slug


def test_an_unforeseen_error_shows_nothing(alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 500 of production says neither what failed nor with which values."""

    def break_down(**_: object) -> None:
        raise RuntimeError("secret-in-the-exception")

    monkeypatch.setattr(logins, "initiate", break_down)
    client = signed_in(alice)
    client.raise_request_exception = False
    answer = send(client, "post", "/brokers/connect/initiate", {"broker_type": "zerodha"})
    assert answer.status_code == 500
    assert b"secret-in-the-exception" not in answer.content
    refused(answer, 500, "server_error")


@pytest.mark.parametrize(
    ("body", "http_status", "code"),
    [
        ("{", 400, "invalid_json"),
        ("[" * 20_000, 400, "invalid_json"),
        (f'{{"broker_type": "{"z" * 3_000_000}"}}', 413, "body_too_large"),
    ],
    ids=["no-json", "too-deep", "too-large"],
)
def test_a_body_that_cannot_be_read(body: str, http_status: int, code: str, as_alice: Client) -> None:
    answer = as_alice.post("/api/v1/brokers/connect/initiate", body, content_type="application/json")
    refused(answer, http_status, code)


def test_connect_and_begin_agree(alice: User, brokers: SimulatedBrokers) -> None:
    """An address that was begun with a redirect of our own completes at the callback page's address."""
    own_app(alice, "zerodha", brokers)
    start = begin(alice, "zerodha")
    assert start.authorization_url.startswith(brokers.brokers["zerodha"]["login_url"])
    assert connect(alice, "zerodha", brokers).status == ConnectionStatus.CONNECTED
