"""What holds of every page of settings: nothing inline, every field named, one heading, few questions asked."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import audit
from accounts.alert_models import AlertDelivery, AlertKind, AlertRoute, Way
from accounts.events import Event
from accounts.models import User
from brokers import consents, grants
from brokers.alert_models import AlertWebhook
from brokers.models import BrokerConnection
from brokers.secret import Secret
from portfolio.risk.limits import Metric, State
from portfolio.risk_models import RiskBreach, RiskLimit
from tests.pages.test_pages import Page
from tests.portfolio.limit_samples import rows_of_limits
from tests.settings_pages.conftest import text_of

PAGES = (
    *("profile", "alerts", "alerts/new", "alerts/reminder", "limits", "limits/new", "limits/new?metric=DAY_LOSS"),
    *("orders", "family", "family/new", "log", "consents", "data", "data/delete"),
)


@pytest.fixture
def full(alice: User, alices: dict[str, BrokerConnection]) -> dict[str, object]:
    return rows_of_limits(alice)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_fit_for_policy_and_reader(path: str, as_alice: Client, full: dict[str, object]) -> None:
    page = Page(as_alice.get(f"/account/{path}").content.decode())
    assert page.inline == []
    assert len(page.ids) == len(set(page.ids))
    assert [tag for tag, _ in page.tags].count("h1") == 1
    labelled = {values["for"] for tag, values in page.tags if tag == "label" and values.get("for")}
    fields = [
        values
        for tag, values in page.tags
        if tag in ("input", "select") and values.get("type") not in ("hidden", "submit")
    ]
    ours = [values for values in fields if (values.get("id") or "").startswith("id_") or "aria-label" in values]
    assert [values for values in ours if values.get("id") not in labelled and "aria-label" not in values] == []
    described = {each for _, values in page.tags for each in (values.get("aria-describedby") or "").split()}
    assert described <= set(page.ids)


def account(owner: User, name: str) -> BrokerConnection:
    told = {"broker_type": "zerodha", "account_id": name, "display_name": name, "status": "CONNECTED"}
    return BrokerConnection.objects.create(user=owner, **told)


def more_limits(alice: User, bob: User) -> str:
    now = timezone.now()
    for place, metric in enumerate((Metric.VAR_99_PCT, Metric.ES_975_PCT, Metric.DRAWDOWN_PCT)):
        limit = RiskLimit.objects.create(user=alice, metric=metric, warn=Decimal(7), changed_at=now)
        figures = {"threshold": Decimal(7), "value": Decimal(8), "worst_value": Decimal(9), "scope": limit.scope}
        ended = {"cleared_at": now, "acknowledged_at": now, "acknowledged_by": bob} if place else {}
        RiskBreach.objects.create(
            user=alice, limit=limit, metric=metric, level=State.WARN, opened_at=now, **figures, **ended
        )
    return "Drawdown"


def more_ways(alice: User, bob: User) -> str:
    now = timezone.now()
    for name in ("One more", "Two more", "Three more"):
        route = AlertRoute.objects.create(user=alice, way=Way.WEBHOOK, name=name, created_at=now)
        secret = Secret(f"https://{route.pk}.example/")
        AlertWebhook.objects.create(route=route, host="more.example", url_encrypted=secret, secret_encrypted=secret)
        told = {"kind": AlertKind.RISK_WARNING, "subject_key": "", "title": name, "text": name, "state": "SENT"}
        AlertDelivery.objects.create(route=route, event_id=route.pk, happened_at=now, next_due_at=now, **told)
    return "Three more"


def more_grants(alice: User, bob: User) -> str:
    """Given and received."""
    now, turn = timezone.now(), BrokerConnection.objects.count()
    for owner, viewer in ((alice, bob), (bob, alice)):
        for place in range(3):
            row = account(owner, f"{turn}-{place}")
            grants.give(owner=owner, named=viewer.username, connection_ids=[row.pk], expires_at=None, now=now)
    return "(user name bob)"


def more_events(alice: User, bob: User) -> str:
    for place in range(3):
        audit.record(Event.REMINDER_CHANGED, subject=alice, place=place)
    return "place: 2"


def more_accounts(alice: User, bob: User) -> str:
    for place in range(3):
        row = account(alice, f"More {place}")
        consents.give(row, version=consents.current().version, stated=True, now=timezone.now())
    return "More 2"


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("limits", more_limits),
        ("alerts", more_ways),
        ("orders", more_accounts),
        ("consents", more_accounts),
        ("family", more_grants),
        ("log", more_events),
    ],
)
def test_a_list_asks_the_database_no_more_often_when_it_is_longer(
    path: str, more: Callable[[User, User], str], as_alice: Client, alice: User, bob: User, full: dict[str, object]
) -> None:
    # The first of each kind, which may cost a question of its own, is there already.
    bob.first_name = "Bo"
    bob.save()
    if path == "family":
        more(alice, bob)
    as_alice.get(f"/account/{path}")
    counts, lengths = [], []
    for is_longer in (False, True):
        if is_longer:
            told = more(alice, bob)
        with CaptureQueriesContext(connection) as asked:
            page = as_alice.get(f"/account/{path}")
        counts.append(len(asked))
        lengths.append(len(page.content))
    assert told in text_of(page)
    assert lengths[1] > lengths[0]
    assert counts[1] == counts[0], [each["sql"][:200] for each in asked.captured_queries]
