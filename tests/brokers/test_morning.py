"""The morning's logins: who stands in the queue and where, when sessions die; and the way back to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers import registry, services, sessions
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, OAuthState
from brokers.morning import Entry, Need, queue
from brokers.simulation.server import SimulatedBrokers
from brokers.wire import IST
from tests.brokers.test_api import refused, send
from tests.brokers.test_hours import ist
from tests.people import connect, form, own_app

INITIATE, LOGINS = "/brokers/connect/initiate", "/brokers/logins"
THURSDAY, HOLIDAY, SUNDAY = "2026-11-26", "2026-11-24", "2026-11-29"
pytestmark = pytest.mark.django_db


def connection(user: User, slug: str, account: str = "AB1234", **facts: Any) -> BrokerConnection:
    """One whose session ends at `ends`, a time of India as text; what else it is stands in `facts`."""
    ends = facts.pop("ends", None)
    row = {"status": ConnectionStatus.CONNECTED, "capabilities": services.capabilities_of(registry.load(slug))}
    return BrokerConnection.objects.create(
        user=user,
        broker_type=slug,
        account_id=account,
        token_expires_at=ist(ends) if ends else None,
        **{**row, **facts},
    )


def only(user: User, now: str) -> Entry:
    (entry,) = queue(user, ist(now)).entries
    return entry


def logged_in(user: User, slug: str, at: str) -> BrokerConnection:
    """One that was logged in then; its session ends when the broker's policy says."""
    ends = registry.load(slug).spec.session.end(ist(at))
    return connection(user, slug, ends=ends.astimezone(IST).replace(tzinfo=None).isoformat())


class TestWhoNeedsALogin:
    @pytest.mark.parametrize(
        ("slug", "at", "now", "need", "left"),
        [
            # Zerodha: until six the next day, whenever one logs in
            ("zerodha", f"{THURSDAY}T05:00", f"{THURSDAY}T05:59", Need.NO, "24:01"),
            ("zerodha", "2026-11-25T09:00", f"{THURSDAY}T00:00", Need.TODAY, "06:00"),
            ("zerodha", "2026-11-25T09:00", f"{THURSDAY}T05:59", Need.TODAY, "00:01"),
            ("zerodha", "2026-11-25T09:00", f"{THURSDAY}T06:00", Need.NOW, None),
            # Upstox: until half past three
            ("upstox", "2026-11-25T09:00", "2026-11-25T23:54", Need.NO, "03:36"),
            ("upstox", "2026-11-25T09:00", f"{THURSDAY}T00:00", Need.TODAY, "03:30"),
            ("upstox", "2026-11-25T09:00", f"{THURSDAY}T03:29", Need.TODAY, "00:01"),
            ("upstox", "2026-11-25T09:00", f"{THURSDAY}T03:30", Need.NOW, None),
            ("upstox", f"{THURSDAY}T03:30", f"{THURSDAY}T03:30", Need.NO, "24:00"),
            # Fyers: until the next six o'clock, which a login at night meets the same morning
            ("fyers", f"{THURSDAY}T05:00", f"{THURSDAY}T05:00", Need.TODAY, "01:00"),
            ("fyers", f"{THURSDAY}T06:00", f"{THURSDAY}T06:00", Need.NO, "24:00"),
            # midnight comes after the last trade
            ("iifl_capital", f"{THURSDAY}T09:00", f"{THURSDAY}T23:54", Need.NO, "00:06"),
            ("iifl_capital", f"{THURSDAY}T09:00", "2026-11-27T00:00", Need.NOW, None),
            # without trading nobody needs a login for it
            ("zerodha", "2026-11-28T09:00", f"{SUNDAY}T00:30", Need.NO, "05:30"),
            ("zerodha", "2026-11-28T09:00", f"{SUNDAY}T06:00", Need.NOW, None),
            ("upstox", "2026-12-24T09:00", "2026-12-25T01:00", Need.NO, "02:30"),  # MCX is closed as well
        ],
    )
    def test_around_the_hours_at_which_sessions_die(
        self, slug: str, at: str, now: str, need: Need, left: str | None, alice: User
    ) -> None:
        logged_in(alice, slug, at)
        entry = only(alice, now)
        assert entry.needs_login is need
        if left is None:
            assert (entry.expires_at, entry.seconds_left) == (None, None)
        else:
            hours, minutes = map(int, left.split(":"))
            assert entry.seconds_left == (hours * 60 + minutes) * 60
            assert entry.expires_at == ist(now) + timedelta(seconds=entry.seconds_left)

    def test_a_holiday_counts_for_who_trades_only_shares(self, alice: User) -> None:
        """MCX opens in the evening: an account with commodities needs its session, one without does not."""
        shares = connection(alice, "zerodha", ends=f"{HOLIDAY}T06:00", capabilities={"segments": ["EQUITY", "FNO"]})
        assert only(alice, f"{HOLIDAY}T01:00").needs_login is Need.NO
        shares.capabilities = {"segments": ["EQUITY", "COMMODITY"]}
        shares.save()
        assert only(alice, f"{HOLIDAY}T01:00").needs_login is Need.TODAY

    def test_it_need_not_have_been_marked_yet(self, alice: User) -> None:
        connection(alice, "zerodha", ends=f"{THURSDAY}T06:00")
        assert only(alice, f"{THURSDAY}T06:00").why.code == "session_ended"

    def test_why_is_what_ended_it(self, alice: User) -> None:
        connection(
            alice, "zerodha", status="TOKEN_EXPIRED", error_code="token_refresh_failed", error_message="Refused."
        )
        entry = only(alice, f"{THURSDAY}T08:00")
        assert (entry.why.code, entry.why.message) == ("token_refresh_failed", "Refused.")

    @pytest.mark.parametrize("status", ["CONNECTED", "TOKEN_EXPIRED"])
    def test_stored_keys_spare_the_person(self, status: str, alice: User) -> None:
        due = ist(f"{THURSDAY}T10:00")
        connection(alice, "iifl", ends=f"{THURSDAY}T10:10", status=status, renewal_due_at=due)
        entry = only(alice, f"{THURSDAY}T09:50")
        assert entry.needs_login is Need.NO
        assert entry.why.code == ("session_renewed" if status == "CONNECTED" else "renewal_under_way")

    def test_stored_keys_that_were_given_up_do_not(self, alice: User) -> None:
        connection(alice, "iifl", ends=f"{THURSDAY}T10:10", status="TOKEN_EXPIRED")
        assert only(alice, f"{THURSDAY}T09:50").needs_login is Need.NOW

    def test_a_refresh_token_carries_on_to_the_brokers_hour(self, alice: User) -> None:
        connection(alice, "angel_one", ends=f"{THURSDAY}T12:00", renewal_due_at=ist(f"{THURSDAY}T11:40"))
        entry = only(alice, f"{THURSDAY}T09:00")
        assert (entry.needs_login, entry.expires_at) == (Need.NO, ist("2026-11-27T00:00"))

    def test_without_a_known_end_there_is_no_countdown(self, alice: User) -> None:
        connection(alice, "zerodha")
        entry = only(alice, f"{THURSDAY}T09:00")
        assert (entry.needs_login, entry.expires_at, entry.seconds_left) == (Need.NO, None, None)

    @pytest.mark.parametrize(
        ("slug", "now", "after"),
        [
            ("upstox", f"{THURSDAY}T02:00", f"{THURSDAY}T03:30"),
            ("fyers", f"{THURSDAY}T02:00", f"{THURSDAY}T06:00"),
            ("zerodha", f"{THURSDAY}T02:00", None),
            ("upstox", f"{THURSDAY}T03:30", None),
            ("upstox", f"{SUNDAY}T02:00", None),
        ],
    )
    def test_a_login_that_would_not_last_is_better_made_later(
        self, slug: str, now: str, after: str | None, alice: User
    ) -> None:
        connection(alice, slug, status="TOKEN_EXPIRED")
        entry = only(alice, now)
        assert (entry.needs_login, entry.login_after) == (Need.NOW, ist(after) if after else None)


class TestTheQueue:
    def test_its_order(self, alice: User, brokers: SimulatedBrokers) -> None:
        """What a press of the button mends comes first, then what ends earlier; the disconnected are not asked for."""
        for slug in ("zerodha", "fyers", "upstox", "groww"):
            own_app(alice, slug, brokers)
        good = connection(alice, "zerodha", "GOOD", ends="2026-11-27T06:00")
        keyless = connection(alice, "angel_one", status="TOKEN_EXPIRED")
        soon = connection(alice, "zerodha", "SOON", ends=f"{THURSDAY}T06:00")
        sooner = connection(alice, "upstox", ends=f"{THURSDAY}T03:30")
        early = connection(alice, "fyers", status="TOKEN_EXPIRED")  # a login now would end at six
        ready = connection(alice, "zerodha", "READY", status="TOKEN_EXPIRED")
        connection(alice, "groww", status="DISCONNECTED")
        found = queue(alice, ist(f"{THURSDAY}T02:00"))
        expected = [ready, early, keyless, soon, sooner, good]
        assert [entry.connection_id for entry in found.entries] == [row.pk for row in expected]
        assert found.counts == {"now": 3, "today": 2, "no": 1, "total": 6}
        assert [entry.login.ready for entry in found.entries] == [True, True, False, True, True, True]

    def test_a_broker_that_answers_nobody_is_told_and_comes_last(
        self, alice: User, bob: User, brokers: SimulatedBrokers
    ) -> None:
        for slug in ("zerodha", "upstox"):
            own_app(alice, slug, brokers)
        connection(alice, "zerodha", status="TOKEN_EXPIRED")
        connection(alice, "upstox", status="TOKEN_EXPIRED")
        his = connection(bob, "zerodha", status="ERROR", error_code="broker_unavailable")
        connection(bob, "upstox", status="MAINTENANCE")
        connection(bob, "upstox", "WELL")
        now = f"{THURSDAY}T08:00"
        troubles = [(entry.broker_type, entry.broker_trouble) for entry in queue(alice, ist(now)).entries]
        assert troubles == [("upstox", None), ("zerodha", "ERROR")]
        his.error_code = "circuit_open"  # after a while nobody asks it any more
        his.save()
        assert ("zerodha", "ERROR") in [
            (entry.broker_type, entry.broker_trouble) for entry in queue(alice, ist(now)).entries
        ]
        his.status, his.error_code = "ERROR", "unexpected_response"  # a fault of ours, perhaps of this account alone
        his.save()
        assert {entry.broker_trouble for entry in queue(alice, ist(now)).entries} == {None}

    def test_trouble_that_passes_is_no_login(self, alice: User) -> None:
        connection(alice, "zerodha", status="MAINTENANCE", error_code="broker_maintenance", error_message="Closed.")
        entry = only(alice, f"{THURSDAY}T10:00")
        assert (entry.needs_login, entry.why.code, entry.broker_trouble) == (
            Need.NO,
            "broker_maintenance",
            "MAINTENANCE",
        )

    def test_nobody_elses(self, alice: User, mallory: User) -> None:
        connection(alice, "zerodha")
        assert queue(mallory, ist(f"{THURSDAY}T08:00")).entries == ()

    @pytest.mark.parametrize(
        ("now", "day", "ends", "begins"),
        [
            (f"{THURSDAY}T08:00", True, f"{THURSDAY}T16:00", f"{THURSDAY}T09:00"),
            (f"{HOLIDAY}T08:00", False, None, "2026-11-25T09:00"),
            (f"{SUNDAY}T08:00", False, None, "2026-11-30T09:00"),
            ("2027-01-04T08:00", None, "2027-01-04T16:00", None),
        ],
    )
    def test_the_trading_that_it_is_for(
        self, now: str, day: bool | None, ends: str | None, begins: str | None, alice: User
    ) -> None:
        connection(alice, "zerodha", capabilities={"segments": ["EQUITY"]})
        found = queue(alice, ist(now))
        assert (found.trading_day, found.trading_ends_at, found.next_session_at) == (
            day,
            ist(ends) if ends else None,
            ist(begins) if begins else None,
        )

    def test_its_queries_do_not_grow(self, alice: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        for number in range(20):
            connection(alice, "zerodha", f"Z{number}", status="TOKEN_EXPIRED")
        with django_assert_num_queries(3):
            queue(alice, ist(f"{THURSDAY}T08:00"))

    def test_by_the_api(self, alice: User, as_alice: Client) -> None:
        row = connection(alice, "groww", status="TOKEN_EXPIRED")
        answer = send(as_alice, "get", LOGINS).json()
        assert answer["counts"] == {"now": 1, "today": 0, "no": 0, "total": 1}
        (entry,) = answer["entries"]
        assert (entry["connection_id"], entry["needs_login"]) == (str(row.pk), "now")
        assert entry["login"]["by_redirect"] is False
        assert {"name", "label"} == set(entry["login"]["methods"][0])


# --- the way back -----------------------------------------------------------------------------------------------------
def ended(row: BrokerConnection) -> None:
    BrokerConnection.objects.filter(pk=row.pk).update(token_expires_at=timezone.now() - timedelta(minutes=1))
    assert sessions.end_expired_sessions(timezone.now()) == 1


def begun(client: Client, row: BrokerConnection, **more: str) -> str:
    """The address to which the browser is sent, for a login begun on the page of logins."""
    body = {"broker_type": row.broker_type, "return_to": "logins", "connection_id": str(row.pk), **more}
    answer = send(client, "post", INITIATE, body)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["authorization_url"])


def back_from_broker(brokers: SimulatedBrokers, slug: str, address: str, **typed: str) -> str:
    target = urlsplit(brokers.login(slug, address, **typed).location)
    return f"{target.path}?{target.query}"


def page_of(address: str) -> str:
    target = urlsplit(address)
    return f"{target.path}?{target.query}"


def words(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def refusal(answer: Any) -> tuple[str, list[str]]:
    target = urlsplit(answer["Location"])
    return target.path, parse_qs(target.query)["refused"]


class TestTheWayBack:
    @pytest.mark.parametrize("slug", registry.slugs())
    def test_a_login_ends_on_the_queue_and_keeps_the_connection(
        self, slug: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        row = connect(alice, slug, brokers)
        services.amend(row, display_name="Family")
        ended(row)
        address = begun(as_alice, row)
        if registry.load(slug).spec.callback is None:
            answer = as_alice.post(page_of(address), data=form(slug, brokers))
        else:
            answer = as_alice.get(back_from_broker(brokers, slug, address))
        assert (answer.status_code, answer["Location"]) == (302, "/logins")
        assert words(answer) == ["Family is connected."]
        (entry,) = send(as_alice, "get", LOGINS).json()["entries"]
        assert (entry["connection_id"], entry["display_name"], entry["status"]) == (str(row.pk), "Family", "CONNECTED")
        assert entry["needs_login"] != "now"
        assert not OAuthState.objects.exists()

    def test_so_does_a_redirect_that_was_refused(
        self, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        row = connect(alice, "zerodha", brokers)
        ended(row)
        answer = as_alice.get(back_from_broker(brokers, "zerodha", begun(as_alice, row), cancel="1"))
        assert refusal(answer) == ("/logins", ["login_refused"])
        assert words(answer)
        row.refresh_from_db()
        assert row.status == ConnectionStatus.TOKEN_EXPIRED

    def test_so_does_a_form_that_was_refused(self, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
        row = connect(alice, "groww", brokers)
        page = page_of(begun(as_alice, row))
        assert b'href="/logins">Back to the logins' in as_alice.get(page).content
        answer = as_alice.post(page, data={"method": "totp", "totp": ""})
        assert refusal(answer) == ("/logins", ["login_fields_missing"])

    def test_another_account_is_welcome_and_named(
        self, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        own_app(alice, "zerodha", brokers)
        waiting = connection(alice, "zerodha", "OTHER1", status="TOKEN_EXPIRED")
        answer = as_alice.get(back_from_broker(brokers, "zerodha", begun(as_alice, waiting)))
        opened = BrokerConnection.objects.get(status=ConnectionStatus.CONNECTED)
        done, warning = words(answer)
        assert opened.display_name in done
        assert warning.startswith(f"This login opened account {opened.account_id}, not OTHER1.")
        assert {entry.account_id: entry.needs_login for entry in queue(alice, timezone.now()).entries}[
            "OTHER1"
        ] == "now"

    @pytest.mark.parametrize(("page", "path"), [("logins", "/logins"), ("dashboard", "/")])
    def test_it_is_known_for_which_connection(
        self, page: str, path: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        row = connect(alice, "zerodha", brokers)
        address = begun(as_alice, row, return_to=page)
        answer = as_alice.get(back_from_broker(brokers, "zerodha", address))
        assert (answer["Location"], len(words(answer))) == (path, 1)

    @pytest.mark.parametrize("page", ["https://evil.example", "//evil.example", "/logins", "admin:index", ""])
    def test_nowhere_else(self, page: str, as_alice: Client) -> None:
        body = {"broker_type": "zerodha", "return_to": page}
        assert "return_to" in refused(send(as_alice, "post", INITIATE, body), 400, "invalid_input")["details"]

    @pytest.mark.parametrize("page", ["https://evil.example", "//evil.example", "admin:index", "logins?next=//x"])
    def test_not_even_if_the_row_said_so(
        self, page: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        row = connect(alice, "zerodha", brokers)
        address = begun(as_alice, row)
        OAuthState.objects.update(return_to=page)
        assert as_alice.get(back_from_broker(brokers, "zerodha", address))["Location"] == "/"

    def test_another_users_state_tells_nothing(
        self, alice: User, as_alice: Client, as_mallory: Client, brokers: SimulatedBrokers
    ) -> None:
        row = connect(alice, "zerodha", brokers)
        answer = as_mallory.get(back_from_broker(brokers, "zerodha", begun(as_alice, row)))
        assert refusal(answer) == ("/connect/zerodha", ["state_of_another_user"])

    def test_a_connection_that_is_not_there_is_refused(
        self, alice: User, bob: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        own_app(alice, "zerodha", brokers)
        for wrong in (uuid4(), connection(bob, "zerodha").pk, connection(alice, "upstox").pk):
            body = {"broker_type": "zerodha", "connection_id": str(wrong)}
            refused(send(as_alice, "post", INITIATE, body), 400, "unknown_connection")
        assert not OAuthState.objects.exists()
