"""The admin: support finds what it needs, changes nothing, and sees no secret."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.management.commands.demo_users import support_group
from accounts.models import User
from brokers import postbacks, vault
from brokers.errors import BrokerUnavailable
from brokers.models import BrokerConnection
from brokers.postback_models import BrokerPostback, Outcome, PostbackInbox, Verified
from health.models import BrokerHealthLog
from health.services import check
from portfolio import services as portfolio
from tests.conftest import signed_in
from tests.people import begin

OURS = ("accounts", "brokers", "health", "portfolio")
MODELS = [model for app in OURS for model in apps.get_app_config(app).get_models()]
names = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


@pytest.fixture
def desk(sam: User) -> Client:
    """Support at work: staff, in the group that may look at everything of ours."""
    sam.groups.add(support_group())
    return signed_in(sam)


@pytest.fixture
def book(alice: User, alices: dict[str, BrokerConnection]) -> dict[str, BrokerConnection]:
    """A row in every table: connections, checks, a merged book, its parts and snapshots, a login under way."""
    for connection in alices.values():
        check(connection.pk, now=timezone.now())
    portfolio.consolidated(alice, now=timezone.now())
    begin(alice, "zerodha")
    postbacks.make_address(alices["zerodha"], now=timezone.now())
    BrokerPostback.objects.create(
        broker_connection=alices["zerodha"],
        received_at=timezone.now(),
        verified=Verified.NO,
        broker_order_id="220303000308932",
        outcome=Outcome.BAD_SIGNATURE,
    )
    vault.prove_keys()
    return alices


def page_of(model: type, action: str = "changelist", *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=args)  # type: ignore[attr-defined]


@names
def test_every_model_is_registered_searchable_and_read_only(model: type, desk: Client) -> None:
    desked = admin.site._registry[model]
    assert desked.search_fields
    assert desk.get(page_of(model)).status_code == 200
    assert desk.get(page_of(model), {"q": "alice"}).status_code == 200
    assert desk.get(page_of(model, "add")).status_code == 403


@names
def test_support_may_look_and_not_touch(model: type, sam: User, desk: Client, book: object, rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = User.objects.get(pk=sam.pk)
    desked = admin.site._registry[model]
    assert desked.has_view_permission(request)
    assert not desked.has_add_permission(request)
    assert not desked.has_change_permission(request)
    assert not desked.has_delete_permission(request)
    for row in model.objects.all()[:1]:  # type: ignore[attr-defined]
        assert desk.get(page_of(model, "change", row.pk)).status_code == 200
        assert desk.get(page_of(model, "history", row.pk)).status_code == 200
        assert desk.post(page_of(model, "change", row.pk), {"status": "SUSPENDED"}).status_code == 403
        assert desk.post(page_of(model, "delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("question", ["alice", "alice@example.com", "DM4821"])
def test_support_finds_a_person_and_their_connections(question: str, desk: Client, book: object) -> None:
    assert b"alice" in desk.get(page_of(User), {"q": question}).content
    found = desk.get(page_of(BrokerConnection), {"q": question}).content
    assert b"DM4821" in found


def test_support_sees_status_last_error_and_health_log(desk: Client, book: dict[str, BrokerConnection]) -> None:
    connection = book["upstox"]
    connection.record_failure(BrokerUnavailable("The broker cannot be reached."), timezone.now())
    listed = desk.get(page_of(BrokerConnection), {"status__exact": "ERROR"}).content
    assert b"7HD3VX" in listed
    assert b"DM4821" not in listed
    assert b"broker_unavailable" in listed
    page = desk.get(page_of(BrokerConnection, "change", connection.pk)).content
    assert b"The broker cannot be reached." in page
    log = desk.get(page_of(BrokerHealthLog), {"q": str(connection.pk)}).content
    assert b"Upstox 7HD3VX" in log


@names
def test_lists_ask_the_same_however_many_rows(
    model: type, desk: Client, book: object, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    desk.get(page_of(model))  # what the audit log is told of the first look in an hour is not counted
    with django_assert_max_num_queries(12):
        desk.get(page_of(model))


def test_traders_have_no_admin(as_alice: Client) -> None:
    answer = as_alice.get("/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")
    assert as_alice.get(answer["Location"]).status_code == 403


def test_even_who_may_everything_changes_nothing_by_hand(root: User, book: dict[str, BrokerConnection]) -> None:
    client = signed_in(root)
    assert Permission.objects.exists()
    for model in (BrokerConnection, BrokerHealthLog):
        row = model.objects.first()
        assert row is not None
        assert client.post(page_of(model, "change", row.pk), {}).status_code == 403
        assert client.post(page_of(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_support_sees_what_a_connection_is_cleared_for(desk: Client, book: dict[str, BrokerConnection]) -> None:
    listed = desk.get(page_of(BrokerConnection)).content.decode()
    assert '<td class="field-data">YES</td>' in listed
    assert '<td class="field-orders">NO: registered_ip_unknown, egress_ip_unknown, trading_off</td>' in listed


def test_support_sees_what_became_of_postbacks_and_never_an_address(desk: Client, book: object) -> None:
    listed = desk.get(page_of(BrokerPostback), {"outcome__exact": "BAD_SIGNATURE"}).content.decode()
    assert "220303000308932" in listed
    assert "nothing was asked" in listed
    inbox = PostbackInbox.objects.get()
    assert inbox.address_hash is not None
    pages = [desk.get(page_of(PostbackInbox)), desk.get(page_of(PostbackInbox, "change", inbox.pk))]
    assert all(page.status_code == 200 for page in pages)
    assert not any(inbox.address_hash in page.content.decode() for page in pages)
