"""What a later profile says of the account is kept, once, and only by the session that read it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from brokers import reach, services
from brokers.changes import generation_key
from brokers.domain import Exchange, Profile
from brokers.lights import clearance_of
from brokers.models import BrokerConnection, ConnectionChange
from brokers.shared import redis


@pytest.fixture
def connection(alices: dict[str, BrokerConnection]) -> BrokerConnection:
    return BrokerConnection.objects.get(pk=alices["zerodha"].pk)


@pytest.fixture
def profile(connection: BrokerConnection) -> Profile:
    """What the broker says now, which is what it said at the login."""
    return reach.client_for(connection, now=timezone.now()).profile()


def stored(connection: BrokerConnection) -> BrokerConnection:
    return BrokerConnection.objects.get(pk=connection.pk)


def test_an_unchanged_profile_costs_no_query(
    connection: BrokerConnection, profile: Profile, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert services.note_profile(connection, profile) is False


def test_a_changed_one_is_stored_by_one_update_and_told(
    connection: BrokerConnection,
    profile: Profile,
    django_assert_num_queries: DjangoAssertNumQueries,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    twin, changes = stored(connection), ConnectionChange.objects.count()
    less = replace(profile, debit_authorised=False, exchanges=(Exchange.NSE, Exchange.MCX))
    before = int(redis().get(generation_key(connection.user_id)) or 0)  # type: ignore[arg-type]
    with django_capture_on_commit_callbacks() as callbacks:
        with django_assert_num_queries(1):
            assert services.note_profile(connection, less) is True
        assert services.note_profile(connection, less) is False
        # Somebody else who read the same profile finds it stored already.
        assert services.note_profile(twin, less) is False
    for callback in callbacks:
        callback()
    assert int(redis().get(generation_key(connection.user_id)) or 0) > before  # type: ignore[arg-type]
    row = stored(connection)
    assert row.capabilities == connection.capabilities
    assert row.capabilities["debit_authorised"] is False
    assert row.capabilities["segments"] == ["COMMODITY", "EQUITY"]
    assert row.updated_at > twin.updated_at
    assert (row.status, row.version, row.session_number) == (twin.status, twin.version, twin.session_number)
    assert ConnectionChange.objects.count() == changes  # its status is as it was


def test_an_account_that_was_closed_meanwhile_gets_no_order_through(
    connection: BrokerConnection, profile: Profile
) -> None:
    assert services.note_profile(connection, replace(profile, is_active=False))
    light = clearance_of(stored(connection), now=timezone.now()).trade
    assert light.state == "NO"
    assert [reason.code for reason in light.reasons] == ["account_inactive", "trading_off"]


@pytest.mark.parametrize("what", ["another account", "an older session", "disconnected"])
def test_what_is_not_of_this_session_changes_nothing(what: str, connection: BrokerConnection, profile: Profile) -> None:
    told = replace(profile, debit_authorised=False)
    if what == "another account":
        told = replace(told, account_id="ZZ9999")
    elif what == "an older session":
        BrokerConnection.objects.filter(pk=connection.pk).update(session_number=connection.session_number + 1)
    else:
        services.disconnect(stored(connection), now=timezone.now())
        connection = stored(connection)
    before = stored(connection).capabilities
    assert services.note_profile(connection, told) is False
    assert stored(connection).capabilities == before
