"""Limits and breaches over HTTP, and on a real socket."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import User
from portfolio import limit_watch, limits
from portfolio.asyncapi import document
from portfolio.risk.evaluating import Figure, Measured
from portfolio.risk.limits import DEFAULTS, Action, Limit, Metric, Scope
from portfolio.risk_models import RiskBreach, RiskLimit
from tests.conftest import signed_in
from tests.portfolio.sockets import Application, opened, told

D = Decimal
LIMITS, BREACHES = "/api/v1/risk/limits", "/api/v1/risk/breaches"
MARGIN = Limit(metric=Metric.MARGIN_PCT, warn=D(75), block=D(90), action=Action.BLOCK_INCREASING)


def asked(client: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = getattr(client, method)(path, data=json.dumps(body or {}), content_type="application/json")
    return answer.status_code, answer.json() if answer.content else None


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def grown_old(client: Client) -> Client:
    """The proof was shown too long ago."""
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= settings.STEP_UP_LIFETIME.total_seconds() + 60
    session.save()
    return client


def reached(user: User, value: str, *, metric: Metric = Metric.MARGIN_PCT, seconds: float = 0) -> None:
    measured = Measured({(metric, Scope.GLOBAL, ""): Figure(D(value), complete=True)})
    limit_watch.evaluate(user, measured, now=timezone.now() + timedelta(seconds=seconds))


def margin(user: User) -> RiskLimit:
    limits.make_defaults(user, now=timezone.now())
    RiskLimit.objects.filter(user=user).delete()
    return limits.create(user, MARGIN, by=user, now=timezone.now())


class TestLimits:
    def test_whoever_asks_first_is_given_the_defaults(self, as_alice: Client) -> None:
        answer = as_alice.get(LIMITS).json()
        assert [(each["metric"], each["warn"], each["block"]) for each in answer["limits"]] == [
            (limit.metric, limit.warn and f"{limit.warn:f}", limit.block and f"{limit.block:f}") for limit in DEFAULTS
        ]
        assert (answer["looked_at"], answer["problem"]) == (None, None)

    def test_one_from_its_making_to_its_end(self, as_alice: Client) -> None:
        body = {"metric": "DAY_LOSS", "warn": "5000", "block": "10000.50", "action": "REDUCE_ONLY", "note": "mine"}
        status, made = asked(as_alice, "post", LIMITS, body)
        assert (status, made["block"], made["state"], made["states"]) == (201, "10000.5", "OK", [])
        assert code(asked(as_alice, "post", LIMITS, body)) == (409, "limit_exists")
        one = f"{LIMITS}/{made['id']}"
        assert as_alice.get(one).json() == made
        status, changed = asked(as_alice, "patch", one, {"block": "9000"})
        assert (status, changed["block"], changed["warn"], changed["note"]) == (200, "9000", "5000", "mine")
        assert code(asked(as_alice, "patch", one, {"warn": "9001"})) == (400, "warn_above_block")
        assert as_alice.get(one).json()["warn"] == "5000"
        assert asked(as_alice, "delete", one) == (204, None)
        assert as_alice.get(one).status_code == 404

    @pytest.mark.parametrize(
        ("body", "refusal"),
        [
            ({"metric": "DAY_LOSS"}, "limit_without_level"),
            ({"metric": "DAY_LOSS", "block": "1"}, "day_loss_must_stop"),
            ({"metric": "VAR_99_PCT", "scope": "ISSUER", "warn": "1"}, "limit_scope_wrong"),
            ({"metric": "NOTHING", "warn": "1"}, "invalid_input"),
            ({"metric": "DAY_LOSS", "warn": "-1"}, "invalid_input"),
            ({"metric": "DAY_LOSS", "warn": "NaN"}, "invalid_input"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, body: dict[str, Any], refusal: str, as_alice: Client) -> None:
        assert code(asked(as_alice, "post", LIMITS, body)) == (400, refusal)

    def test_loosening_needs_a_fresh_proof_and_tightening_none(self, alice: User) -> None:
        row, client = margin(alice), grown_old(signed_in(alice))
        one = f"{LIMITS}/{row.pk}"
        for looser in ({"block": "95"}, {"block": None, "action": "NOTIFY"}, {"is_enabled": False}, {"warn": None}):
            assert code(asked(client, "patch", one, looser)) == (403, "step_up_required")
        assert code(asked(client, "delete", one)) == (403, "step_up_required")
        row.refresh_from_db()
        assert (limits.limit_of(row), row.is_enabled) == (MARGIN, True)
        assert asked(client, "patch", one, {"block": "80", "action": "KILL"})[0] == 200
        assert asked(client, "post", LIMITS, {"metric": "ES_975_PCT", "warn": "4"})[0] == 201
        warning = RiskLimit.objects.get(metric=Metric.ES_975_PCT)
        assert asked(client, "delete", f"{LIMITS}/{warning.pk}")[0] == 204
        proven = signed_in(alice)
        assert asked(proven, "patch", one, {"block": "95"})[0] == 200
        assert asked(proven, "delete", one)[0] == 204

    def test_nobody_sees_anothers(self, alice: User, as_mallory: Client) -> None:
        row = margin(alice)
        reached(alice, "80")
        one = f"{LIMITS}/{row.pk}"
        assert {asked(as_mallory, method, one)[0] for method in ("patch", "delete")} == {404}
        assert as_mallory.get(one).status_code == 404
        assert as_mallory.get(BREACHES).json() == []
        assert asked(as_mallory, "post", f"{BREACHES}/{RiskBreach.objects.get().pk}/acknowledge")[0] == 404


class TestBreaches:
    def test_they_are_listed_and_taken_note_of(self, alice: User, as_alice: Client) -> None:
        margin(alice)
        reached(alice, "95")
        (breach,) = as_alice.get(BREACHES).json()
        assert (breach["metric"], breach["level"], breach["threshold"], breach["value"]) == (
            "MARGIN_PCT",
            "BLOCK",
            "90",
            "95",
        )
        assert (breach["acknowledged_at"], breach["acknowledged_by"], breach["cleared_at"]) == (None, None, None)
        path = f"{BREACHES}/{breach['id']}/acknowledge"
        status, noted = asked(as_alice, "post", path, {"note": "I am selling."})
        assert (status, noted["acknowledged_by"], noted["acknowledgement"]) == (200, "alice", "I am selling.")
        assert code(asked(as_alice, "post", path)) == (409, "breach_acknowledged")
        assert len(as_alice.get(f"{BREACHES}?open=true").json()) == 1
        assert as_alice.get(f"{BREACHES}?open=false").json() == []
        reached(alice, "1", seconds=10)
        assert as_alice.get(f"{BREACHES}?open=true").json() == []
        assert as_alice.get(f"{BREACHES}?open=false").json()[0]["cleared_at"] is not None
        assert as_alice.get(f"{BREACHES}?open=perhaps").status_code == 400


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick", "connections_given_back")
class TestTheSocket:
    async def test_a_breach_is_told_from_its_opening_to_its_end(
        self, application: Application, alice: User, as_alice: Client
    ) -> None:
        await database_sync_to_async(margin)(alice)
        properties = document()["components"]["schemas"]["RiskEvent"]["properties"]
        async with opened(application, as_alice) as page:
            assert (await told(page))["type"] == "SNAPSHOT"
            events = []
            for at, value in enumerate(("80", "95", "80", "10")):
                await database_sync_to_async(reached)(alice, value, seconds=at)
                message = await told(page)
                assert message["type"] == "RISK_EVENT"
                events.append(message["data"])
        assert [(each["event"], each["state"], each["level"]) for each in events] == [
            ("OPENED", "WARN", "WARN"),
            ("RAISED", "BLOCK", "BLOCK"),
            ("EASED", "WARN", "BLOCK"),
            ("CLEARED", "OK", "BLOCK"),
        ]
        assert len({each["breach_id"] for each in events}) == 1
        for each in events:
            assert set(each) == set(properties)
            assert each["event"] in properties["event"]["enum"]
        assert events[1]["value"] == "95"
        assert datetime.fromisoformat(events[0]["opened_at"]).tzinfo == UTC
        assert events[3]["cleared_at"] is not None
