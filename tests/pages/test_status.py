"""The status page in a real browser: nothing lies over anything else, on a desk or in a hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

HOME = "http://trademaster.test"
NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
DAYS = [None, *map(Decimal, ("100", "99.9", "12.5"))] * 7 + [None, None]


def broker(slug: str, name: str, state: str) -> dict[str, Any]:
    days = [{"date": date(2026, 11, 1), "uptime_pct": uptime} for uptime in DAYS]
    return {
        "broker_type": slug, "name": name, "state": state, "since": NOW, "days": days, "uptime_pct": Decimal("98.994"),
        "p50_ms": 87, "p95_ms": 4088, "checks": 86520, "error_classes": {"broker_rate_limited": 12}, "incidents": [],
        "longest_outage_seconds": 5400,
    }  # fmt: skip


def served(route: Route) -> None:
    path = route.request.url.removeprefix(HOME)
    if path.startswith("/static/"):
        route.fulfill(path=Path(str(finders.find(path.removeprefix("/static/")))))
        return
    incident = {"broker": "Groww", "words": "Fails for most accounts", "planned": False, "opened_at": NOW}
    context = {
        "user": SimpleNamespace(is_authenticated=True, get_username="alice"),
        "as_of": NOW,
        "cards": True,
        "brokers": [
            broker("groww", "Groww", "DOWN"),
            broker("upstox", "Upstox", "MAINTENANCE"),
            broker("iifl", "IIFL (XTS Blaze)", "UP"),
        ],
        "incidents": [{**incident, "closed_at": None}, {**incident, "closed_at": NOW + timedelta(minutes=7)}],
    }
    route.fulfill(content_type="text/html", body=render_to_string("status.html", context, RequestFactory().get("/")))


def overlaps(page: Page, state: int) -> bool:
    """Whether any two parts of a broker's line cover the same place."""
    boxes = [
        box
        for part in page.locator(".state").nth(state).locator("> *").all()
        if (box := part.bounding_box()) is not None
    ]
    return any(
        one["x"] < other["x"] + other["width"] - 1
        and other["x"] < one["x"] + one["width"] - 1
        and one["y"] < other["y"] + other["height"] - 1
        and other["y"] < one["y"] + one["height"] - 1
        for number, one in enumerate(boxes)
        for other in boxes[:number]
    )


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_lies_over_anything_else(browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.route("**/*", served)
    page.goto(f"{HOME}/status")
    assert page.locator(".state").count() == 3
    assert page.locator(".days li").count() == 90
    assert not any(overlaps(page, number) for number in range(3))
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    for status in page.locator(".state .status").all():
        assert status.evaluate("element => element.scrollWidth <= element.clientWidth + 1")
    assert page.get_by_text("since 26 Nov, 11:30").count() >= 2
    page.close()
