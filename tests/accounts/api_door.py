"""An API client at its door: what it sends, and what it is told."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts import api_sessions, personal_tokens
from accounts.credentials import Scope
from accounts.models import User
from tests.accounts.door import PASSWORD

AUTH = "/api/v1/auth"
PORTFOLIO = "/api/v1/brokers/connections"
REMINDER = "/api/v1/brokers/logins/reminder"


def ask(method: str, path: str, token: str | None = None, body: object = None, **extra: Any) -> Any:
    """One call without a cookie."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return getattr(Client(**extra), method)(
        path, data=None if body is None else json.dumps(body), content_type="application/json", headers=headers
    )


def log_in(name: str = "carol", password: str = PASSWORD, **more: str) -> Any:
    return ask("post", f"{AUTH}/login", body={"login": name, "password": password, **more})


def pair(name: str = "carol", **more: str) -> dict[str, Any]:
    answer = log_in(name, **more)
    assert answer.status_code == 200, answer.content
    given: dict[str, Any] = answer.json()
    return given


def begun(user: User, scope: Scope = Scope.READ) -> dict[str, Any]:
    """As a login would have left it, without the time that a password costs."""
    made = api_sessions.begin(user=user, scope=scope, name="client", address="127.0.0.1", now=timezone.now())
    return {"access_token": made.access_token, "refresh_token": made.refresh_token}


def refresh(token: str) -> Any:
    return ask("post", f"{AUTH}/refresh", body={"refresh_token": token})


def lets_in(token: str) -> bool:
    return bool(ask("get", PORTFOLIO, token).status_code == 200)


def code_of(answer: Any) -> tuple[int, str]:
    """Status and code of an error, which has the one shape."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "remedy", "details"}
    assert error["message"]
    assert error["remedy"]
    return answer.status_code, error["code"]


def personal(user: User, scope: Scope = Scope.READ, *, days: int = 30, name: str = "script") -> str:
    _, token = personal_tokens.make(
        user=user, name=name, scope=scope, lifetime=timedelta(days=days), now=timezone.now()
    )
    return token
