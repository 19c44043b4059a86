"""How each broker's profile tells of a standing authorisation to debit the demat account; silence is unknown."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import msgspec
import pytest

from brokers import registry
from brokers.domain import Profile
from tests.contract.recorded import cases, payload

MISSING = object()
RECORDED = {"iifl_capital": "result", "zerodha": "data", "upstox": "data", "fyers": "data", "groww": "payload"}
SILENT = ("angel_one", "iifl")


def profile(slug: str, **changed: Any) -> Profile:
    """The broker's recorded profile with some fields changed, or taken away."""
    recorded = msgspec.json.decode(payload(slug, cases(slug).call("profile").first_reply))[RECORDED[slug]]
    row = {name: value for name, value in (recorded | changed).items() if value is not MISSING}
    more = {"client_id": None} if slug == "iifl_capital" else {}
    read: Profile = import_module(f"brokers.{slug}.mapping").profile(row, **more)
    return read


@pytest.mark.parametrize(
    ("slug", "changed", "authorised"),
    [
        ("zerodha", {"meta": {"demat_consent": "consent"}}, True),
        ("zerodha", {"meta": {"demat_consent": "physical"}}, True),
        ("zerodha", {"meta": {"demat_consent": ""}}, False),
        ("zerodha", {"meta": {"demat_consent": "perhaps"}}, None),
        ("zerodha", {"meta": {"demat_consent": None}}, None),
        ("zerodha", {"meta": {}}, None),
        ("zerodha", {"meta": None}, None),
        ("zerodha", {"meta": MISSING}, None),
        ("upstox", {"poa": True, "ddpi": False}, True),
        ("upstox", {"poa": False, "ddpi": True}, True),
        ("upstox", {"poa": True, "ddpi": MISSING}, True),
        ("upstox", {"poa": False, "ddpi": False}, False),
        ("upstox", {"poa": False, "ddpi": MISSING}, None),
        ("upstox", {"poa": MISSING, "ddpi": False}, None),
        ("upstox", {"poa": None, "ddpi": None}, None),
        *(
            (slug, {"ddpi_enabled": word}, authorised)
            for slug in ("fyers", "groww")
            for word, authorised in (
                (True, True),
                (False, False),
                (None, None),
                (MISSING, None),
                ("Y", None),
                (1, None),
            )
        ),
        ("iifl_capital", {"isPoaProvided": "Y"}, True),
        ("iifl_capital", {"isPoaProvided": "N"}, False),
        ("iifl_capital", {"isPoaProvided": "Na"}, None),
        ("iifl_capital", {"isPoaProvided": None}, None),
        ("iifl_capital", {"isPoaProvided": MISSING}, None),
    ],
)
def test_what_the_profile_says(slug: str, changed: dict[str, Any], authorised: bool | None) -> None:
    assert profile(slug, **changed).debit_authorised is authorised


def test_every_broker_is_asked_or_known_to_be_silent() -> None:
    assert {*RECORDED, *SILENT} == set(registry.slugs())
