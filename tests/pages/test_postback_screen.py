"""The part of the page Connect that makes addresses for brokers' postbacks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages.test_screens import BROKERS, HOME, House, connect, page

__all__ = ["connect", "page"]  # fixtures
pytestmark = pytest.mark.browser

POSTING = {**BROKERS[0], "postback": {"is_signed": True, "instruction": "Enter it as the postback URL."}}
ADDRESS = f"{HOME}/brokers/postback/secret"


def connection(number: int, broker_type: str, status: str = "CONNECTED") -> dict[str, Any]:
    return {"id": f"id-{number}", "broker_type": broker_type, "account_id": f"AB{number}", "status": status}


@dataclass
class PostingHouse(House):
    exists: set[str] = field(default_factory=set)

    def answer(self, route: Route, verb: str, path: str, body: str | None) -> None:
        if verb != "GET":
            self.sent.append((verb, path, json.loads(body or "null")))
        connection_id, _, last = path.removeprefix("brokers/connections/").partition("/")
        if path == "brokers":
            route.fulfill(json=[POSTING, *({**broker, "postback": None} for broker in BROKERS[1:])])
        elif path == "brokers/connections":
            own = [connection(1, "plain"), connection(2, "plain", "DISCONNECTED"), connection(3, "both")]
            route.fulfill(json=own)
        elif last == "postback" and verb == "DELETE":
            self.exists.discard(connection_id)
            route.fulfill(status=204)
        else:
            made = {"address": ADDRESS} if verb == "POST" else {}
            self.exists |= {connection_id} if made else set()
            route.fulfill(json={"exists": connection_id in self.exists, **made})


@pytest.fixture
def house() -> House:
    return PostingHouse()


def test_who_posts_gets_an_address_for_each_account_that_is_connected(connect: Page) -> None:
    expect(connect.locator("#plain [data-field=news]")).to_contain_text("Enter it as the postback URL.")
    expect(connect.locator("#plain [data-field=whose]")).to_have_text(["AB1"])
    for slug in ("both", "formal", "keyless"):
        expect(connect.locator(f"#{slug} [data-field=news]")).to_be_hidden()


def test_it_is_shown_once_and_can_be_voided(connect: Page, house: House) -> None:
    part = connect.locator("#plain [data-field=addresses]")
    expect(part.locator("[data-field=made]")).to_be_hidden()
    expect(part.get_by_role("button", name="Void it")).to_be_hidden()
    part.get_by_role("button", name="Make an address").click()
    expect(part.locator("[data-field=address]")).to_have_text(ADDRESS)
    connect.reload()
    expect(part.get_by_role("button", name="Make a new address")).to_be_visible()
    expect(part.locator("[data-field=made]")).to_be_hidden()
    assert ADDRESS not in connect.content()
    part.get_by_role("button", name="Void it").click()
    expect(part.get_by_role("button", name="Make an address")).to_be_visible()
    assert [(verb, path) for verb, path, _ in house.sent] == [
        ("POST", "brokers/connections/id-1/postback"),
        ("DELETE", "brokers/connections/id-1/postback"),
    ]
