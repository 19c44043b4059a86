"""What holds of every page of settings: nothing inline, every field named, one heading, few questions asked."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from brokers.models import BrokerConnection
from tests.pages.test_pages import Page
from tests.portfolio.limit_samples import rows_of_limits

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


@pytest.mark.parametrize("path", ["limits", "alerts", "orders", "family", "log", "consents"])
def test_a_list_asks_the_database_no_more_often_when_it_is_longer(
    path: str, as_alice: Client, full: dict[str, object], django_assert_max_num_queries: object
) -> None:
    as_alice.get(f"/account/{path}")
    with django_assert_max_num_queries(25):  # type: ignore[operator]
        as_alice.get(f"/account/{path}")
