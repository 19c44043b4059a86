"""How the table is written: what each of the people gets for one request.

An outcome is the exact status, with what comes of it: `200`, `302 /login` (where to, without the query),
`403 step_up_required` (the error's code, from the API).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.permissions.world import PEOPLE

SIGN_IN = "302 /login"
STEP_UP = "302 /step-up"
NOT_SIGNED_IN = "401 not_authenticated"
NOT_A_TRADER = "403 permission_denied"
NEEDS_PROOF = "403 step_up_required"
NOT_FOUND = "404 not_found"
REFUSED = "405 method_not_allowed"

Cells = dict[str, str]
# Where a fresh proof is asked for: who has a factor and did not show it lately.
UNPROVEN = {"stale": STEP_UP, "unproven": STEP_UP, "stale_admin": STEP_UP}


@dataclass(frozen=True)
class Row:
    cells: Cells
    body: Mapping[str, Any] | None = None
    query: str = ""


@dataclass(frozen=True)
class Address:
    """One route: an address that it answers, a row for each method, and what Alice gets for every other one.

    `options` is what a stranger and Alice get for OPTIONS: it tells which methods there are, and nothing else.
    `head` is what everybody gets for HEAD where that is not GET without a body.
    """

    at: str
    rows: dict[str, Row] = field(default_factory=dict)
    rest: str = "405"
    options: tuple[str, str] = ("405", "405")
    is_json: bool = False
    head: Cells | None = None


def people(anonymous: str, owner: str, other: str, support: str, admin: str, **more: str) -> Cells:
    """The five; `first` is the first administrator, who trades as well; `stale` and `stale_admin` have no fresh proof.
    They default to whom they are like. Staff who have shown no second factor differ in the admin, and one who has one
    (`unproven`) also where a fresh proof is asked for.
    """
    unshown = more.get("unshown", support)
    cells = {
        "anonymous": anonymous,
        "owner": owner,
        "other": other,
        "support": support,
        "admin": admin,
        "first admin": more.get("first", other),
        "stale": more.get("stale", owner),
        "factorless": unshown,
        "unproven": more.get("unproven", unshown),
        "stale admin": more.get("stale_admin", admin),
    }
    assert tuple(cells) == PEOPLE
    return cells


def everybody(outcome: str) -> Cells:
    return people(outcome, outcome, outcome, outcome, outcome)


def signed_in(owner: str, other: str | None = None, *, stranger: str = SIGN_IN, **more: str) -> Cells:
    """A page for whoever is signed in, whatever their role; `other` is what they get who are not Alice."""
    rest = owner if other is None else other
    return people(stranger, owner, rest, rest, rest, **more)


def proven(owner: str, other: str | None = None) -> Cells:
    """The same, after a fresh proof alone."""
    return signed_in(owner, other, **UNPROVEN)


def traders(owner: str, other: str | None = None, **more: str) -> Cells:
    """The API: for the role TRADER alone, administrators included."""
    rest = owner if other is None else other
    return people(NOT_SIGNED_IN, owner, rest, NOT_A_TRADER, NOT_A_TRADER, **more)


def staff(outcome: str, *, admin: str | None = None, changes: bool = False) -> Cells:
    """The admin: for staff who have shown a second factor in this session; who has none is led to set one up.

    `changes` says that the request may change something: who showed the factor long ago is asked for it again.
    """
    away = "302 /admin/login/"
    highest = outcome if admin is None else admin
    shown = {"unshown": "302 /account/factors", "unproven": STEP_UP}
    stale = STEP_UP if changes else highest
    return people(away, away, away, outcome, highest, first=highest, stale_admin=stale, **shown)


def api(at: str, **rows: Row | Cells) -> Address:
    return Address(f"/api/v1/{at}", _rows(rows), REFUSED, (NOT_SIGNED_IN, REFUSED), is_json=True)


def open_api(at: str, outcome: str, body: Mapping[str, Any]) -> Address:
    """Of the API, for who is not in yet: whoever asks, no session is looked at."""
    return Address(f"/api/v1/{at}", {"POST": Row(everybody(outcome), body)}, REFUSED, (REFUSED, REFUSED), is_json=True)


def page(
    at: str,
    *,
    rest: str = "405",
    options: tuple[str, str] = ("405", "405"),
    head: Cells | None = None,
    **rows: Row | Cells,
) -> Address:
    return Address(at, _rows(rows), rest, options, head=head)


def form(
    at: str, *, get: Cells, post: Row | Cells, rest: str = "405", options: tuple[str, str] | None = None
) -> Address:
    """A form of the library's: PUT is POST to it. OPTIONS stands behind the same guards as GET."""
    told = options or (get["anonymous"], get["owner"])
    return Address(at, _rows({"GET": get, "POST": post, "PUT": post}), rest, told)


def _rows(rows: Mapping[str, Row | Cells]) -> dict[str, Row]:
    return {method: row if isinstance(row, Row) else Row(row) for method, row in rows.items()}
