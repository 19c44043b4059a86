"""The API's description: complete, free of warnings, served beside its browsable form."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

ROUTES = {
    "/api/v1/audit": {"get"},
    "/api/v1/auth/login": {"post"},
    "/api/v1/auth/logout": {"post"},
    "/api/v1/auth/refresh": {"post"},
    "/api/v1/auth/sessions": {"get", "delete"},
    "/api/v1/auth/sessions/{id}": {"delete"},
    "/api/v1/auth/step-up": {"post"},
    "/api/v1/auth/ticket": {"post"},
    "/api/v1/auth/tokens": {"get", "post"},
    "/api/v1/auth/tokens/{id}": {"delete"},
    "/api/v1/brokers": {"get"},
    "/api/v1/brokers/apps/{broker_type}": {"put", "delete"},
    "/api/v1/brokers/connect/initiate": {"post"},
    "/api/v1/brokers/connect/complete": {"post"},
    "/api/v1/brokers/connections": {"get"},
    "/api/v1/brokers/connections/{id}": {"get", "patch", "delete"},
    "/api/v1/brokers/connections/{id}/postback": {"get", "post", "delete"},
    "/api/v1/brokers/connections/{id}/refresh": {"post"},
    "/api/v1/brokers/consent": {"get"},
    "/api/v1/brokers/grants": {"get", "post"},
    "/api/v1/brokers/grants/{id}": {"delete"},
    "/api/v1/brokers/logins": {"get"},
    "/api/v1/brokers/logins/reminder": {"get", "put"},
    "/api/v1/brokers/portfolio/consolidated": {"get"},
    "/api/v1/health/brokers": {"get"},
    "/api/v1/health/brokers/{broker_type}/report": {"get"},
    "/api/v1/health/connections/{id}/timeline": {"get"},
    "/api/v1/market/candles": {"get"},
    "/api/v1/market/indices": {"get"},
    "/api/v1/market/instruments": {"get"},
    "/api/v1/market/instruments/{id}": {"get"},
    "/api/v1/market/status": {"get"},
    "/api/v1/portfolio/sectors": {"get"},
    "/api/v1/attention": {"get"},
    "/api/v1/portfolio/silences": {"get"},
    "/api/v1/portfolio/shared": {"get"},
    "/api/v1/portfolio/shared/{id}": {"get"},
    "/api/v1/account/export": {"post"},
    "/api/v1/account/delete": {"post"},
}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    GENERATOR_STATS.reset()
    generated: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return generated


def test_it_is_valid_and_generated_without_a_warning(description: dict[str, Any]) -> None:
    validate_schema(description)
    assert not GENERATOR_STATS._warn_cache
    assert not GENERATOR_STATS._error_cache


def test_it_describes_every_route(description: dict[str, Any]) -> None:
    paths = {path: {verb for verb in verbs if verb != "parameters"} for path, verbs in description["paths"].items()}
    for path, verbs in ROUTES.items():
        assert paths.get(path) == verbs


def test_amounts_are_described_as_strings(description: dict[str, Any]) -> None:
    answer = description["paths"]["/api/v1/brokers/portfolio/consolidated"]["get"]["responses"]["200"]
    properties = answer["content"]["application/json"]["schema"]["properties"]
    for name in ("total_value", "total_cost", "unrealized_pnl", "day_change"):
        assert properties[name]["type"] == "string"


def test_keys_and_secrets_go_in_and_never_come_out(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    for name, schema in schemas.items():
        if not name.endswith("Request") and name != "PairAnswer":  # which hands out tokens of our own
            assert not {"api_key", "api_secret", "access_token"} & schema.get("properties", {}).keys(), name


@pytest.mark.parametrize("person", [None, "as_alice"])
def test_it_is_served_to_everybody(
    person: str | None, request: pytest.FixtureRequest, client: Client, db: None
) -> None:
    reader = client if person is None else request.getfixturevalue(person)
    answer = reader.get("/api/schema")
    assert answer.status_code == 200
    assert yaml.safe_load(answer.content)["openapi"].startswith("3.")
    page = reader.get("/api/docs")
    assert page.status_code == 200
    assert b"swagger-ui" in page.content


def test_its_page_takes_nothing_from_another_host(client: Client, db: None) -> None:
    page = client.get("/api/docs").content.decode()
    assert "//" not in page.replace("://127.0.0.1", "").replace("http://www.w3.org", "").split("<body>")[0]
    assert "cdn" not in page.lower()
