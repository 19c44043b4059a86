"""What an API client shows instead of a session × a route of each kind: how far its token goes, exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from accounts import api_sessions, personal_tokens
from accounts.credentials import Scope
from accounts.models import ApiSession, PersonalToken, User
from tests.accounts.api_door import personal
from tests.permissions.asking import told
from tests.permissions.cells import (
    NEEDS_PROOF,
    NOT_A_TRADER,
    NOT_FOUND,
    SIGN_IN,
    Cells,
)
from tests.permissions.cells import REFUSED as NO_SUCH_METHOD
from tests.permissions.rows import CONNECTION
from tests.permissions.world import World, undone

# Of Alice: access tokens of a login just now, and of one whose proof is too old; personal tokens. `another's` is of
# Mallory, `no trader's` of somebody whose role was TRADER when it was made.
READS = ("read login", "read token")
TRADES = ("trade login", "stale login", "trade token", "another's")
SHOWN = (*READS, *TRADES, "no trader's", "refresh token", "spent token")
REFUSED = "401 token_refused"
MAY_NOT_CHANGE = "403 scope_missing"


def cells(read: str, trade: str, **more: str) -> Cells:
    """Of `trade` each of those that may change things gets what `more` says of it, or `trade`."""
    by_name = {"read login": read, "read token": read} | dict.fromkeys(TRADES, trade)
    by_name |= {"no trader's": NOT_A_TRADER, "refresh token": REFUSED, "spent token": REFUSED}
    return by_name | {name.replace("_", " ").replace("anothers", "another's"): cell for name, cell in more.items()}


def looks(outcome: str, another: str | None = None) -> Cells:
    return cells(outcome, outcome, anothers=outcome if another is None else another)


def changes(outcome: str, another: str | None = None, **more: str) -> Cells:
    return cells(MAY_NOT_CHANGE, outcome, **({"anothers": outcome if another is None else another} | more))


def proven(outcome: str, another: str | None = None) -> Cells:
    """After a fresh proof: nobody is there who could show one for a personal token, however often it is asked."""
    return changes(outcome, another, stale_login=NEEDS_PROOF, trade_token=NEEDS_PROOF)


@dataclass(frozen=True)
class Row:
    method: str
    at: str
    cells: Cells
    body: Any = None


OF_A_LOGIN = {name: "403 api_session_needed" for name in ("read_token", "trade_token")}
NEW_TOKEN = {"name": "another", "scope": "trade", "days": 365}
API, MINE = "/api/v1", f"/api/v1/brokers/connections/{CONNECTION}"


def page(outcome: str) -> Cells:
    """No token opens a page: whoever shows one there is a stranger."""
    return dict.fromkeys(SHOWN, outcome)


TABLE = (
    Row("GET", f"{API}/brokers/connections", looks("200")),
    Row("GET", MINE, looks("200", NOT_FOUND)),
    Row("GET", f"{API}/brokers/portfolio/consolidated", looks("200", "404 no_broker_connections")),
    Row("GET", f"{API}/audit", looks("200")),
    Row("OPTIONS", MINE, cells(NO_SUCH_METHOD, NO_SUCH_METHOD)),
    Row("PATCH", MINE, changes("200", NOT_FOUND), {"display_name": "Renamed"}),
    Row("POST", f"{MINE}/postback", changes("200", NOT_FOUND)),
    Row("PUT", f"{API}/brokers/logins/reminder", changes("200"), {}),
    # Behind a fresh proof.
    Row("DELETE", MINE, proven("204", NOT_FOUND)),
    Row("PUT", f"{API}/brokers/apps/zerodha", proven("400 invalid_input"), {}),
    Row("DELETE", f"{API}/brokers/apps/zerodha", proven("204")),
    Row("POST", f"{API}/account/export", proven("200")),
    Row("POST", f"{API}/account/delete", proven("200")),
    # No token makes another, not even of a login a moment ago.
    Row("POST", f"{API}/auth/tokens", changes("403 browser_needed"), NEW_TOKEN),
    Row("GET", f"{API}/auth/tokens", looks("200")),
    Row("DELETE", f"{API}/auth/tokens/{{token}}", changes("204", NOT_FOUND)),
    Row("GET", f"{API}/auth/sessions", looks("200")),
    Row("DELETE", f"{API}/auth/sessions/{{client}}", changes("204", NOT_FOUND)),
    Row("DELETE", f"{API}/auth/sessions", changes("204")),
    # These change what asks alone, and so are for `read` as well.
    Row("POST", f"{API}/auth/logout", cells("204", "204", **OF_A_LOGIN)),
    Row("POST", f"{API}/auth/ticket", looks("201")),
    Row(
        "POST",
        f"{API}/auth/step-up",
        cells("401 factor_required", "401 factor_required", anothers="401 login_failed", **OF_A_LOGIN),
        {"password": "guessed"},
    ),
    # Nobody looks at what is shown to these.
    Row("POST", f"{API}/auth/refresh", page("400 invalid_input"), {}),
    Row("GET", "/", page(SIGN_IN)),
    Row("GET", "/account/api", page(SIGN_IN)),
    Row("POST", "/account/api/new", page(SIGN_IN), NEW_TOKEN),
    Row("GET", "/admin/", page("302 /admin/login/")),
    Row("POST", "/admin/accounts/user/add/", page("302 /admin/login/")),
    Row("GET", "/status", page("200")),
)


@pytest.fixture
def shown(world: World) -> dict[str, str]:
    """The tokens, by the name of what they are."""
    alice, mallory, sam = world.people["owner"], world.people["other"], world.people["support"]
    late = timezone.now() - settings.STEP_UP_LIFETIME - timedelta(minutes=1)
    stale = begun(alice, Scope.TRADE)
    ApiSession.objects.filter(pk=stale.session.pk).update(proven_at=late)
    revoked = personal(alice, Scope.TRADE)
    PersonalToken.objects.filter(token_hash=personal_tokens.hashed(revoked)).delete()
    return {
        "read login": begun(alice, Scope.READ).access_token,
        "trade login": begun(alice, Scope.TRADE).access_token,
        "stale login": stale.access_token,
        "read token": personal(alice, Scope.READ),
        "trade token": personal(alice, Scope.TRADE),
        "another's": begun(mallory, Scope.TRADE).access_token,
        "no trader's": begun(sam, Scope.TRADE).access_token,
        "refresh token": begun(alice, Scope.TRADE).refresh_token,
        "spent token": revoked,
    }


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.method} {row.at}")
def test_every_token_gets_what_the_table_says(row: Row, world: World, shown: dict[str, str]) -> None:
    cache.clear()
    assert set(row.cells) == set(shown) == set(SHOWN)
    at = row.at.format(token=world.key(PersonalToken), client=world.key(ApiSession))
    answers = {name: asked(world, row, at, token) for name, token in shown.items()}
    assert {name: outcome for name, (outcome, _) in answers.items()} == row.cells
    # And no cache may hand to the next what one of them was shown.
    assert [name for name, (_, cached) in answers.items() if "no-store" not in cached] == []


@pytest.mark.parametrize("name", SHOWN)
def test_a_session_beside_a_token_lends_it_nothing(name: str, world: World, shown: dict[str, str]) -> None:
    """The browser of an administrator who may do all of it: what the token may not do, it still may not."""
    cookie = world.sessions["first admin"]
    for row in TABLE:
        if row.at.startswith(f"{API}/") and row.cells[name].startswith(("401", "403")):
            cache.clear()
            at = row.at.format(token=world.key(PersonalToken), client=world.key(ApiSession))
            assert asked(world, row, at, shown[name], cookie)[0] == row.cells[name], f"{row.method} {at}"


def test_what_was_tried(tell: Callable[[str], None]) -> None:
    assert len({(row.method, row.at) for row in TABLE}) == len(TABLE)
    tell(f"{len(TABLE)} rows × {len(SHOWN)} credentials = {len(TABLE) * len(SHOWN)} cells")


def asked(world: World, row: Row, at: str, token: str, cookie: str | None = None) -> tuple[str, str]:
    """The outcome, and what caches are told; whatever was written is undone."""
    client = world.browser("anonymous")
    if cookie is not None:
        client.cookies["sessionid"] = cookie
    body = "" if row.body is None else json.dumps(row.body)
    with undone():
        answer = client.generic(row.method, at, body, "application/json", headers={"Authorization": f"Bearer {token}"})
        return told(answer)[0], answer.headers.get("Cache-Control", "")


def begun(user: User, scope: Scope) -> api_sessions.Pair:
    return api_sessions.begin(user=user, scope=scope, name="client", address="192.0.2.1", now=timezone.now())
