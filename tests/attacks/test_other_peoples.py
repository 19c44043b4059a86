"""Somebody else's ids, fields that are not one's own to write, and answers that a cache could hand to the next."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.test import Client
from django.utils import timezone

from accounts import api_sessions, personal_tokens
from accounts.alert_models import AlertRoute
from accounts.credentials import Scope
from accounts.models import ApiSession, PersonalToken, TrustedDevice, User
from brokers import grants
from brokers.models import BrokerConnection, ConnectionGrant
from brokers.simulation.server import SimulatedBrokers
from orders.models import ChildOrder, OrderIntent
from portfolio.flow_models import CashFlow
from portfolio.risk_models import RiskBreach, RiskLimit, UserScenario
from tests.accounts.door import person, sign_in
from tests.attacks.routes import Route, routes
from tests.attacks.rows import everything
from tests.orders.samples import orders_of
from tests.portfolio.limit_samples import ids_of_limits
from tests.portfolio.risk_samples import ids_of_reports
from tests.test_schema_fuzz import API

Alices = dict[str, BrokerConnection]


class TestIdsOfAnother:
    """Each id in an address is tried, in every way, by who does not own it: as if there were no such thing."""

    # Whose thing an id of a route is; a route whose parameter is nobody's own says why.
    OWNED = {
        "connection-detail": "connection",
        "connection-postback": "connection",
        "connection-refresh": "connection",
        "connection-trading": "connection",
        "charge-terms": "connection",
        "health-timeline": "connection",
        "grant": "grant",
        "shared": "grant",
        "trusted_device": "device",
        "api-session": "client",
        "end_api_session": "client",
        "api-token": "token",
        "order": "order",
        "order-page": "order",
        "order-decision": "order",
        "order-timeline": "order",
        "order-approve": "order",
        "order-decline": "order",
        "order-settle": "order",
        "gtt": "gtt",
        "risk-limit": "limit",
        "risk-breach-acknowledge": "breach",
        "alert-route": "route",
        "alert-route-test": "route",
        "settings-alert": "route",
        "settings-alert-test": "route",
        "settings-alert-remove": "route",
        "settings-limit": "limit",
        "settings-limit-remove": "limit",
        "settings-breach-acknowledge": "breach",
        "settings-grant-withdraw": "grant",
        "settings-shared": "grant",
        "risk-scenario": "scenario",
        "risk-cash-flow": "flow",
        "revoke_personal_token": "token",
        "end_session": "session",
        "mfa_edit_webauthn": "passkey",
        "mfa_remove_webauthn": "passkey",
    }
    NOBODYS = {
        "account_confirm_email": "a signed key, of one's own letter",
        "account_reset_password_from_key": "a signed key, of one's own letter",
        "broker-app": "a broker's name: the row is found by who asks",
        "broker-login": "a broker's name: the login is found by its state",
        "broker-postback": "a secret address",
        "health-report": "a broker's name",
        "connect-broker": "a broker's name",
        "broker-health": "a broker's name",
        "instrument": "instruments are everybody's",
        "invitation": "a secret token",
        "oauth-callback": "a broker's name: the login is found by its state",
    }

    def with_parameters(self) -> list[Route]:
        """The admin apart: who is not staff sees none of it, whatever the id."""
        return [route for route in routes() if route.parameters and not route.name.startswith("admin:")]

    def test_every_route_with_an_id_is_tried(self) -> None:
        assert {route.name for route in self.with_parameters()} == set(self.OWNED) | set(self.NOBODYS)

    @pytest.fixture
    def hers(self, alice: User, as_alice: Client, alices: Alices) -> dict[str, Any]:
        now = timezone.now()
        device = TrustedDevice.objects.create(
            user=alice, name="Hers", token_hash="a" * 64, password_mark="", address="192.0.2.7", expires_at=now
        )
        given = grants.give(owner=alice, named="bob", connection_ids=[alices["zerodha"].pk], expires_at=None, now=now)
        session = UserSession.objects.create(
            user=alice, ip="192.0.2.7", session_key=as_alice.session.session_key, user_agent="Hers"
        )
        client = api_sessions.begin(user=alice, scope=Scope.TRADE, name="Hers", address="192.0.2.7", now=now).session
        token, _ = personal_tokens.make(user=alice, name="Hers", scope=Scope.TRADE, lifetime=timedelta(days=1), now=now)
        passkey = Authenticator.objects.create(user=alice, type=Authenticator.Type.WEBAUTHN, data={"name": "Hers"})
        return {
            "connection": alices["zerodha"].pk,
            "grant": given.pk,
            "device": device.pk,
            "session": session.pk,
            "passkey": passkey.pk,
            "client": client.pk,
            "token": token.pk,
            **orders_of(alice, alices["zerodha"]),
            **ids_of_limits(alice),
            **ids_of_reports(alice),
        }

    @pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
    def test_it_is_as_if_it_did_not_exist(self, method: str, hers: dict[str, Any], as_mallory: Client) -> None:
        as_mallory.get("/account/sessions")
        before, answers = everything(), {}
        body = {"display_name": "Mine", "name": "Mine", "action": "forget"}
        for route in self.with_parameters():
            if kind := self.OWNED.get(route.name):
                ((parameter, _),) = route.parameters
                path = route.path(**{parameter: hers[kind]})
                is_api = path.startswith("/api/")
                sent = {"data": json.dumps(body), "content_type": "application/json"} if is_api else {"data": body}
                answers[route.name] = getattr(as_mallory, method)(path, **({} if method == "get" else sent)).status_code
        assert {name: status for name, status in answers.items() if status not in (404, 405)} == {}
        assert 404 in answers.values()
        assert everything() == before


class TestFieldsOfAnother:
    """Mass assignment: every body that the API takes, with every field that is not for the user to write."""

    @pytest.fixture
    def bodies(self, alice: User, alices: Alices, brokers: SimulatedBrokers) -> dict[str, tuple[str, dict[str, Any]]]:
        connection = alices["zerodha"].pk
        hers = orders_of(alice, alices["zerodha"]) | ids_of_limits(alice)
        dealt = {
            **{"instrument": 1, "side": "BUY", "order_type": "LIMIT", "product": "CNC", "quantity": "1"},
            **{"price": "1", "connections": [str(connection)]},
        }
        return {
            "PUT /api/v1/brokers/apps/{broker_type}": (
                "/api/v1/brokers/apps/zerodha",
                {"api_key": "k", "api_secret": "s"},
            ),
            "POST /api/v1/brokers/connect/initiate": ("", {"broker_type": "zerodha"}),
            "POST /api/v1/brokers/connect/complete": ("", {"state": "none", "broker_type": "zerodha", "code": "none"}),
            "PATCH /api/v1/brokers/connections/{id}": (
                f"/api/v1/brokers/connections/{connection}",
                {"display_name": "Mine"},
            ),
            # An older text: it stays off, and nothing else may turn it on.
            "POST /api/v1/brokers/connections/{id}/trading": (
                f"/api/v1/brokers/connections/{connection}/trading",
                {"consent": "2020-01-01"},
            ),
            "PUT /api/v1/charges/terms/{id}": (f"/api/v1/charges/terms/{connection}", {"is_woman": False}),
            "POST /api/v1/brokers/grants": ("", {"to": "bob", "connections": [str(connection)]}),
            "PUT /api/v1/brokers/logins/reminder": ("", {"by_email": False}),
            **{
                f"POST /api/v1/orders{more}": ("", body)
                for more, body in {
                    "": dealt,
                    "/preview": dealt,
                    "/basket": {"orders": [dealt]},
                    "/basket/preview": {"orders": [dealt]},
                    "/copy": {"order": dealt, "accounts": [{"connection": str(connection), "ratio": "1"}]},
                    "/copy/preview": {"order": dealt, "accounts": [{"connection": str(connection), "ratio": "1"}]},
                    "/square-off": {"connection": str(connection), "instrument": 1, "product": "CNC"},
                    "/gtt": {
                        **{"connection": str(connection), "instrument": 1, "kind": "SINGLE", "side": "BUY"},
                        **{"product": "CNC", "legs": [{"trigger_price": "1", "price": "1", "quantity": "1"}]},
                    },
                }.items()
            },
            "PATCH /api/v1/orders/{id}": (f"/api/v1/orders/{hers['order']}", {"price": "1"}),
            "POST /api/v1/orders/{id}/settle": (
                f"/api/v1/orders/{hers['order']}/settle",
                {"child": str(hers["order"]), "filled_quantity": "0"},
            ),
            "PUT /api/v1/orders/settings": (
                "",
                {
                    **{"approval_above": None, "approval_products": [], "approval_minutes": 5, "split_penalty": "5"},
                    **{"sells_unsettled": False, "minimises_tax": False, "broker_order": []},
                },
            ),
            "POST /api/v1/risk/limits": ("", {"metric": "DAY_LOSS", "warn": "1"}),
            "PATCH /api/v1/risk/limits/{id}": (f"/api/v1/risk/limits/{hers['limit']}", {"note": "Mine"}),
            "POST /api/v1/risk/breaches/{id}/acknowledge": (
                f"/api/v1/risk/breaches/{hers['breach']}/acknowledge",
                {"note": "Mine"},
            ),
            "POST /api/v1/account/alerts/routes": ("", {"name": "Mine", "url": "http://127.0.0.1:9/hook"}),
            "PATCH /api/v1/account/alerts/routes/{id}": (
                f"/api/v1/account/alerts/routes/{hers['route']}",
                {"name": "Mine"},
            ),
            # Not meant, and nothing to re-arm: neither changes anything.
            "POST /api/v1/risk/kill-switch": ("", {"level": "STOP", "confirm": False}),
            "POST /api/v1/risk/kill-switch/re-arm": ("", {"reason": "Looked into."}),
            "POST /api/v1/risk/scenarios": ("", {"code": "mine", "title": "Mine", "index": "-0.1"}),
            "POST /api/v1/risk/cash-flows": ("", {"day": "2026-11-20", "amount": "1.00"}),
            "POST /api/v1/auth/login": ("", {"login": "alice", "password": "wrong"}),
            "POST /api/v1/auth/refresh": ("", {"refresh_token": "none"}),
            "POST /api/v1/auth/step-up": ("", {"password": "wrong"}),
            "POST /api/v1/auth/tokens": ("", {"name": "Mine", "scope": "read", "days": 1}),
        }

    def test_no_field_is_written_that_is_not_offered(
        self, alice: User, mallory: User, as_alice: Client, bodies: dict[str, tuple[str, dict[str, Any]]]
    ) -> None:
        taking = {
            f"{verb.upper()} {path}"
            for path, verbs in API.raw_schema["paths"].items()
            for verb, operation in verbs.items()
            if "requestBody" in operation
        }
        assert taking == set(bodies)
        names = {field.name for model in (User, BrokerConnection, ConnectionGrant) for field in model._meta.fields}
        names |= {f"{name}_id" for name in ("user", "owner", "viewer")} | {"access_token_encrypted", "configured"}
        people = list(User.objects.order_by("pk").values())
        rows = list(self.facts())
        for asked, (path, body) in bodies.items():
            verb, described = asked.split()
            planted = {name: mallory.pk for name in names - set(body) - {"password", "registered_ip", "expires_at"}}
            getattr(as_alice, verb.lower())(
                path or described, data=json.dumps({**planted, **body}), content_type="application/json"
            )
        assert list(User.objects.order_by("pk").values()) == people
        assert list(self.facts()) == rows
        assert {grant.owner for grant in ConnectionGrant.objects.all()} == {alice}
        assert not ConnectionGrant.objects.filter(viewer=mallory).exists()
        assert not mallory.broker_apps.exists()
        assert {order.user for order in OrderIntent.objects.all()} == {alice}
        assert {row.user for row in (*RiskLimit.objects.all(), *RiskBreach.objects.all())} == {alice}
        assert {route.user for route in AlertRoute.objects.all()} == {alice}
        assert {row.user for row in CashFlow.objects.all()} == {alice}
        assert {row.user for row in UserScenario.objects.all()} <= {alice}
        assert not ChildOrder.objects.exists()
        assert [token.user for token in PersonalToken.objects.all()] == [alice]
        assert not ApiSession.objects.exists()

    def facts(self) -> Any:
        return BrokerConnection.objects.order_by("pk").values(
            "id", "user_id", "broker_type", "account_id", "status", "session_number", "created_at", "registered_ip",
            "trading_enabled_at",
        )  # fmt: skip

    def test_nor_by_a_form_of_the_front_door(self, mallory: User, db: None) -> None:
        person("carol")
        client = Client()
        planted = {"role": "SUPPORT", "is_staff": "1", "is_superuser": "1", "user": str(mallory.pk), "id": "1"}
        sign_in(client, "carol", **planted)
        client.post("/account/email", {"email": "other@example.com", "action_add": "", **planted})
        carol = User.objects.get(username="carol")
        assert (carol.role, carol.is_staff, carol.is_superuser) == ("TRADER", False, False)
        assert User.objects.count() == 2


class TestAnswersInACache:
    def test_no_cache_may_hand_an_answer_to_the_next(self, alices: Alices, as_alice: Client) -> None:
        """Every page and every answer that a session was looked at for is its user's alone, and stored nowhere."""
        told = {}
        for route in routes():
            if route.parameters:
                continue
            answer = as_alice.get(route.path())
            if answer.status_code == 200 and "Cookie" in answer.get("Vary", ""):
                told[route.name] = answer.get("Cache-Control", "")
        assert {"dashboard", "consolidated", "connection-list", "usersessions_list"} <= set(told)
        assert {name: words for name, words in told.items() if "no-store" not in words} == {}

    def test_no_answer_of_the_api_has_a_mark_to_ask_again_by(self, alices: Alices, as_alice: Client) -> None:
        """An ETag that two users shared would be served from one's answer to the other."""
        for path in ("brokers", "brokers/connections", "brokers/portfolio/consolidated", "health/brokers"):
            assert "ETag" not in as_alice.get(f"/api/v1/{path}")

    def test_the_next_user_of_a_browser_is_shown_their_own(
        self, alice: User, alices: Alices, as_alice: Client, mallory: User
    ) -> None:
        """The same browser, the same addresses, another person: after a sign-out and without one."""
        path = "/api/v1/brokers/portfolio/consolidated"
        assert as_alice.get(path).status_code == 200
        as_alice.force_login(mallory)
        assert as_alice.get(path).status_code == 404
        assert as_alice.get("/api/v1/brokers/connections").json() == []
