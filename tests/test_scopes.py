"""Every route of the API and every method of it: what a token must be good for. A new one without a row fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from accounts.credentials import Scope, needed
from accounts.models import User
from accounts.permissions import IsTrader
from tests.accounts.api_door import ask, begun, code_of, personal

READ, TRADE, OPEN = Scope.READ, Scope.TRADE, None
ID = "00000000-0000-0000-0000-000000000000"
REPORTS = (
    *("report", "exposure", "var", "stress", "liquidity", "expiries", "performance", "backtest", "equity"),
    *("cash-flows", "scenarios"),
)
DECIDED: dict[tuple[str, str], Scope | None] = {
    ("POST", "auth/login"): OPEN,
    ("POST", "auth/refresh"): OPEN,
    ("POST", "auth/logout"): READ,  # it ends what asks
    ("POST", "auth/step-up"): READ,  # it changes nothing but how fresh the proof is
    ("POST", "auth/ticket"): READ,  # a socket shows what a read shows
    ("GET", "auth/sessions"): READ,
    ("DELETE", "auth/sessions"): TRADE,
    ("DELETE", "auth/sessions/<uuid:id>"): TRADE,
    ("GET", "auth/tokens"): READ,
    ("POST", "auth/tokens"): TRADE,  # and no token at all: FromTheBrowser
    ("DELETE", "auth/tokens/<int:id>"): TRADE,
    ("GET", "audit"): READ,
    ("POST", "account/export"): TRADE,  # all at once, and a thing to confirm
    ("POST", "account/delete"): TRADE,
    ("GET", "account/alerts/routes"): READ,
    ("POST", "account/alerts/routes"): TRADE,
    ("PATCH", "account/alerts/routes/<uuid:id>"): TRADE,
    ("DELETE", "account/alerts/routes/<uuid:id>"): TRADE,
    ("POST", "account/alerts/routes/<uuid:id>/test"): TRADE,
    ("GET", "account/alerts/deliveries"): READ,
    ("GET", "risk/limits"): READ,
    ("POST", "risk/limits"): TRADE,
    ("GET", "risk/limits/<int:id>"): READ,
    ("PATCH", "risk/limits/<int:id>"): TRADE,
    ("DELETE", "risk/limits/<int:id>"): TRADE,
    ("GET", "risk/breaches"): READ,
    ("POST", "risk/breaches/<int:id>/acknowledge"): TRADE,
    ("GET", "brokers"): READ,
    ("PUT", "brokers/apps/<str:broker_type>"): TRADE,
    ("DELETE", "brokers/apps/<str:broker_type>"): TRADE,
    ("POST", "brokers/connect/initiate"): TRADE,
    ("POST", "brokers/connect/complete"): TRADE,
    ("GET", "brokers/connections"): READ,
    ("GET", "brokers/connections/<uuid:pk>"): READ,
    ("PATCH", "brokers/connections/<uuid:pk>"): TRADE,
    ("DELETE", "brokers/connections/<uuid:pk>"): TRADE,
    ("POST", "brokers/connections/<uuid:pk>/refresh"): TRADE,
    ("POST", "brokers/connections/<uuid:pk>/trading"): TRADE,
    ("DELETE", "brokers/connections/<uuid:pk>/trading"): TRADE,
    ("GET", "brokers/connections/<uuid:pk>/postback"): READ,
    ("POST", "brokers/connections/<uuid:pk>/postback"): TRADE,
    ("DELETE", "brokers/connections/<uuid:pk>/postback"): TRADE,
    ("GET", "brokers/consent"): READ,
    ("GET", "brokers/grants"): READ,
    ("POST", "brokers/grants"): TRADE,
    ("DELETE", "brokers/grants/<uuid:id>"): TRADE,
    ("GET", "brokers/logins"): READ,
    ("GET", "brokers/logins/reminder"): READ,
    ("PUT", "brokers/logins/reminder"): TRADE,
    ("GET", "brokers/portfolio/consolidated"): READ,
    ("GET", "charges/terms/<uuid:id>"): READ,
    ("PUT", "charges/terms/<uuid:id>"): TRADE,
    ("GET", "portfolio/sectors"): READ,
    ("GET", "attention"): READ,
    ("GET", "portfolio/silences"): READ,
    ("GET", "portfolio/shared"): READ,
    ("GET", "portfolio/shared/<uuid:id>"): READ,
    ("GET", "orders"): READ,
    ("POST", "orders"): TRADE,
    ("POST", "orders/preview"): READ,  # it asks as much as a portfolio does, and keeps nothing
    ("POST", "orders/basket"): TRADE,
    ("POST", "orders/basket/preview"): READ,
    ("POST", "orders/copy"): TRADE,
    ("POST", "orders/copy/preview"): READ,
    ("POST", "orders/square-off"): TRADE,
    ("GET", "orders/book"): READ,
    ("GET", "orders/trades"): READ,
    ("GET", "orders/gtt"): READ,
    ("POST", "orders/gtt"): TRADE,
    ("DELETE", "orders/gtt/<uuid:id>"): TRADE,
    ("GET", "orders/settings"): READ,
    ("PUT", "orders/settings"): TRADE,
    ("GET", "orders/<uuid:id>"): READ,
    ("PATCH", "orders/<uuid:id>"): TRADE,
    ("DELETE", "orders/<uuid:id>"): TRADE,
    ("GET", "orders/<uuid:id>/decision"): READ,
    ("GET", "orders/<uuid:id>/timeline"): READ,
    ("POST", "orders/<uuid:id>/approve"): TRADE,
    ("POST", "orders/<uuid:id>/decline"): TRADE,
    ("POST", "orders/<uuid:id>/settle"): TRADE,
    ("GET", "risk/kill-switch"): READ,
    ("POST", "risk/kill-switch"): TRADE,
    ("POST", "risk/kill-switch/re-arm"): TRADE,
    ("GET", "risk/halts"): READ,
    ("GET", "health/brokers"): READ,
    ("GET", "health/brokers/<str:broker_type>/report"): READ,
    ("GET", "health/connections/<uuid:id>/timeline"): READ,
    ("GET", "market/instruments"): READ,
    ("GET", "market/instruments/<int:pk>"): READ,
    ("GET", "market/candles"): READ,
    **{("GET", f"risk/{part}"): READ for part in REPORTS},
    ("POST", "risk/cash-flows"): TRADE,
    ("DELETE", "risk/cash-flows/<int:id>"): TRADE,
    ("POST", "risk/scenarios"): TRADE,
    ("DELETE", "risk/scenarios/<int:id>"): TRADE,
    ("GET", "market/indices"): READ,
    ("GET", "market/quotes"): READ,
    ("GET", "market/status"): READ,
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for each in resolver.url_patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each, path)
        else:
            yield path, each


def routes() -> Iterator[tuple[str, str, Any]]:
    """Method, address below /api/v1/, and the view as it is set up for that method."""
    for path, pattern in patterns(get_resolver()):
        if not path.startswith("api/v1/"):
            continue
        made: Any = pattern.callback
        actions: dict[str, str] = getattr(made, "actions", None) or {}
        for method in METHODS:
            view = made.cls(**made.initkwargs)
            assert isinstance(view, APIView), path
            handler = actions.get(method.lower()) if actions else method.lower()
            if handler is None or not hasattr(view, handler):
                continue
            view.action = handler
            view.request = type("Asked", (), {"method": method})()
            yield method, path.removeprefix("api/v1/"), view


ROUTES = {(method, path): view for method, path, view in routes()}


def test_every_route_is_decided_and_no_row_is_of_none() -> None:
    assert ROUTES.keys() == DECIDED.keys()


@pytest.mark.parametrize(("method", "path"), DECIDED)
def test_the_view_asks_for_what_is_decided(method: str, path: str) -> None:
    view, scope = ROUTES[method, path], DECIDED[method, path]
    permissions = [type(each) for each in view.get_permissions()]
    if scope is OPEN:
        assert permissions == [AllowAny]
    else:
        assert permissions[0] is IsTrader
        assert needed(view, method) is scope


CHANGES = [route for route, scope in DECIDED.items() if scope is TRADE]


def address(path: str) -> str:
    for converter, value in {"<uuid:id>": ID, "<uuid:pk>": ID, "<int:id>": "1", "<str:broker_type>": "zerodha"}.items():
        path = path.replace(converter, value)
    return f"/api/v1/{path}"


@pytest.mark.parametrize("kind", ["access token", "personal token"])
@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_token_that_reads_changes_nothing(method: str, path: str, kind: str, alice: User) -> None:
    cache.clear()
    token = personal(alice) if kind == "personal token" else begun(alice)["access_token"]
    assert code_of(ask(method.lower(), address(path), token, {})) == (403, "scope_missing")


def test_the_description_says_which_scope_a_call_needs() -> None:
    described: Any = SchemaGenerator().get_schema(request=None, public=True)
    said = {
        (method.upper(), path): call.get("x-scope")
        for path, calls in described["paths"].items()
        if path.startswith("/api/v1/")
        for method, call in calls.items()
    }
    assert len(said) == len(DECIDED)
    by_shape = {(method, shape(f"/api/v1/{path}")): scope for (method, path), scope in DECIDED.items()}
    assert {(method, shape(path)): scope for (method, path), scope in said.items()} == by_shape
    schemes = described["components"]["securitySchemes"]
    assert {name: each.get("scheme", each["type"]) for name, each in schemes.items()} == {
        "access_token": "bearer",
        "personal_token": "bearer",
        "session": "apiKey",
    }
    portfolio = described["paths"]["/api/v1/brokers/portfolio/consolidated"]["get"]
    assert [*map(list, portfolio["security"])] == [["access_token"], ["personal_token"], ["session"]]
    assert "`read`" in portfolio["description"]
    assert described["paths"]["/api/v1/auth/login"]["post"]["security"] == [{}]


def shape(path: str) -> str:
    """The address without the names of its parameters."""
    return "/".join("*" if part.startswith(("{", "<")) else part for part in path.split("/"))
