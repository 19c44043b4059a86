"""What needs attention, each of real rows; and nothing of what is normal, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.alert_models import AlertRoute, Way
from accounts.models import User
from brokers.domain import ConnectionStatus, Exchange, RowProblem
from brokers.models import BrokerApp, BrokerConnection
from brokers.secret import Secret
from orders import alerts
from orders.lifecycle import State
from orders.models import IntentStatus
from portfolio import halting
from portfolio.models import UnmatchedInstrument
from portfolio.risk.limits import Metric, Scope
from portfolio.risk_models import HaltKind, HaltLevel
from tests.attention.rows import account, answered, breach, ends, event, listed_share, order
from trademaster.attention import gathering
from trademaster.attention.words import Item, Method, Tone

pytestmark = pytest.mark.django_db

# Thursday, 10:30 IST: markets are open.
NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=2)


@pytest.fixture(autouse=True)
def the_moment() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def zerodha(alice: User) -> BrokerConnection:
    return account(alice, NOW)


def needing(user: User) -> dict[str, Item]:
    found = gathering.items(user, NOW)
    assert len({item.key for item in found}) == len(found)
    return {item.code: item for item in found}


def test_nothing_needs_the_owner_of_a_healthy_account(alice: User, zerodha: BrokerConnection) -> None:
    """Nor what is merely off, paused, done, noted or long past."""
    answered(zerodha, NOW, ends("NIFTY", date(2026, 12, 29)))
    order(alice, zerodha, NOW)
    order(alice, zerodha, NOW, state=State.FILLED, status=IntentStatus.FILLED)
    order(alice, zerodha, NOW, state=State.REJECTED, status=IntentStatus.REJECTED)
    order(alice, zerodha, NOW, state=State.CANCELLED, status=IntentStatus.CANCELLED)
    order(
        alice, zerodha, NOW, state=State.CANCELLED, status=IntentStatus.PARTIALLY_FILLED, filled_quantity=Decimal(5),
        cancel_asked_at=NOW,
    )  # fmt: skip
    yesterday = order(alice, zerodha, NOW - timedelta(days=1), state=State.EXPIRED, status=IntentStatus.EXPIRED)
    event(yesterday, alerts.REJECTED_LATER, NOW - timedelta(days=1))
    breach(alice, NOW, Metric.DAY_LOSS_PCT, "WARN", acknowledged_at=NOW)
    breach(alice, NOW, Metric.DRAWDOWN_PCT, "BLOCK", cleared_at=NOW)
    AlertRoute.objects.create(user=alice, way=Way.WEBHOOK, name="off", is_enabled=False, created_at=NOW)
    AlertRoute.objects.create(
        user=alice, way=Way.WEBHOOK, name="resting", paused_until=NOW + timedelta(hours=1), created_at=NOW
    )
    assert gathering.items(alice, NOW) == []


def test_whoever_has_no_broker_is_left_in_peace(bob: User) -> None:
    assert gathering.items(bob, NOW) == []


# --- sessions and brokers ---------------------------------------------------------------------------------------------
def with_keys(user: User, slug: str = "zerodha") -> None:
    BrokerApp.objects.create(
        user=user, broker_type=slug, api_key_encrypted=Secret("the-key"), api_secret_encrypted=Secret("the-secret")
    )


def test_a_session_that_has_ended_is_one_login_away(alice: User) -> None:
    with_keys(alice)
    gone = account(alice, NOW, status=ConnectionStatus.TOKEN_EXPIRED, status_since=LONG_AGO)
    answered(gone, LONG_AGO)
    item = needing(alice)["session_ended"]
    assert (item.tone, item.since, item.subject) == (Tone.BAD, LONG_AGO, "alice’s zerodha")
    assert item.remedy.method is Method.LOGIN
    assert item.remedy.body == {"broker_type": "zerodha", "connection_id": str(gone.pk)}
    assert "last good answer" in item.meaning


def test_without_its_key_there_is_a_step_before_the_login(alice: User) -> None:
    account(alice, NOW, status=ConnectionStatus.TOKEN_EXPIRED)
    remedy = needing(alice)["session_ended"].remedy
    assert (remedy.method, remedy.href) == (Method.LINK, "/connect/zerodha")


def test_a_session_that_is_renewed_by_itself_needs_nobody(alice: User) -> None:
    account(alice, NOW, "iifl", status=ConnectionStatus.TOKEN_EXPIRED, renewal_due_at=NOW)
    assert needing(alice) == {}


@pytest.mark.parametrize(
    ("ends_in", "is_told"), [(timedelta(minutes=50), True), (timedelta(minutes=70), False)], ids=["soon", "later"]
)
def test_a_session_that_ends_while_markets_are_open_is_told_an_hour_ahead(
    alice: User, ends_in: timedelta, is_told: bool
) -> None:
    account(alice, NOW, token_expires_at=NOW + ends_in)
    found = needing(alice)
    assert set(found) == ({"session_ends_soon"} if is_told else set())
    if is_told:
        assert "at 11:20 IST" in found["session_ends_soon"].words


def test_that_sessions_die_at_night_is_normal(alice: User) -> None:
    evening = NOW.replace(hour=18, minute=40)  # past midnight, IST
    account(alice, evening, token_expires_at=evening + timedelta(minutes=30))
    with time_machine.travel(evening, tick=False):
        assert gathering.items(alice, evening) == []


@pytest.mark.parametrize(
    ("status", "patience", "tone"),
    [
        (ConnectionStatus.ERROR, timedelta(minutes=1), Tone.WARN),
        (ConnectionStatus.RATE_LIMITED, timedelta(minutes=2), Tone.WARN),
        (ConnectionStatus.MAINTENANCE, timedelta(minutes=10), Tone.WARN),
        (ConnectionStatus.SUSPENDED, timedelta(0), Tone.BAD),
    ],
)
def test_a_broker_that_is_away_is_told_of_once_it_lasts(
    alice: User, status: ConnectionStatus, patience: timedelta, tone: Tone
) -> None:
    account(alice, NOW, status=status, status_since=NOW - patience)
    if patience:
        account(alice, NOW, "upstox", status=status, status_since=NOW - patience + timedelta(seconds=1))
    found = gathering.items(alice, NOW)
    assert [(item.code, item.tone) for item in found] == [(f"broker_{status.lower()}", tone)]
    assert found[0].words.startswith("Zerodha ") or "Zerodha" in found[0].words


def test_an_account_that_has_not_answered_yet_is_not_said_to_be_in_the_totals(alice: User) -> None:
    new = account(alice, NOW, status=ConnectionStatus.ERROR)
    account(alice, NOW, "upstox", status=ConnectionStatus.TOKEN_EXPIRED)
    found = needing(alice)
    for code in ("broker_error", "session_ended"):
        assert found[code].meaning.startswith("It has not answered yet, so nothing of it is in your totals")
    answered(new, LONG_AGO)
    assert needing(alice)["broker_error"].meaning.startswith("Its shares stay in your totals by its last good answer")


def test_orders_are_said_to_go_elsewhere_only_where_some_account_takes_them(alice: User, settings: Settings) -> None:
    settings.EGRESS_IP = "203.0.113.7"
    traded = {"registered_ip": "203.0.113.7", "trading_enabled_at": LONG_AGO}
    failing = account(alice, NOW, status=ConnectionStatus.ERROR)
    assert "order" not in needing(alice)["broker_error"].meaning  # none went there before
    BrokerConnection.objects.filter(pk=failing.pk).update(**traded)
    assert needing(alice)["broker_error"].meaning.endswith("; no other account of yours takes orders now.")
    other = account(alice, NOW, "upstox")
    assert needing(alice)["broker_error"].meaning.endswith("; no other account of yours takes orders now.")
    BrokerConnection.objects.filter(pk=other.pk).update(**traded)
    assert needing(alice)["broker_error"].meaning.endswith("; new orders go to alice’s upstox.")


def test_a_wrong_address_matters_only_where_orders_are_placed(alice: User, settings: Settings) -> None:
    settings.EGRESS_IP = "203.0.113.7"
    off = account(alice, NOW, registered_ip="203.0.113.8")
    assert needing(alice) == {}
    BrokerConnection.objects.filter(pk=off.pk).update(trading_enabled_at=NOW)
    item = needing(alice)["ip_not_registered"]
    assert item.remedy.method is Method.ASK
    assert item.remedy.href == f"/api/v1/brokers/connections/{off.pk}"


def test_a_way_for_alerts_that_is_left_alone_can_be_tried(alice: User) -> None:
    route = AlertRoute.objects.create(
        user=alice, way=Way.WEBHOOK, name="pager", failures=5, muted_until=NOW + timedelta(hours=1), created_at=NOW
    )
    item = needing(alice)["alert_route_muted"]
    assert (item.subject, item.remedy.method) == ("pager", Method.POST)
    assert item.remedy.href == f"/api/v1/account/alerts/routes/{route.pk}/test"


# --- orders -----------------------------------------------------------------------------------------------------------
def test_an_order_in_doubt_is_the_gravest(alice: User, zerodha: BrokerConnection) -> None:
    intent = order(alice, zerodha, NOW, state=State.UNKNOWN, unknown_since=LONG_AGO)
    item = needing(alice)["order_unknown"]
    assert (item.tone, item.subject, item.since) == (Tone.BAD, "Buy SAMPLE", LONG_AGO)
    assert item.quantity == "50"
    assert item.remedy.href == item.href == f"/orders/{intent.pk}/"
    assert "Nothing of it is sent again" in item.meaning


def test_an_order_that_waits_for_a_yes_says_until_when(alice: User, zerodha: BrokerConnection) -> None:
    order(
        alice, zerodha, NOW, state=None, status=IntentStatus.AWAITING_APPROVAL,
        approval_due_at=NOW + timedelta(minutes=10),
    )  # fmt: skip
    item = needing(alice)["order_awaits_approval"]
    assert item.words == "It waits for your approval until 10:40 IST."
    assert not item.happened


@pytest.mark.parametrize("code", [alerts.REJECTED_LATER, alerts.FOUND_AFTER_ALL, alerts.CONTRADICTED])
def test_what_a_broker_took_back_is_told_for_the_day(alice: User, zerodha: BrokerConnection, code: str) -> None:
    intent = order(alice, zerodha, NOW, state=State.REJECTED, status=IntentStatus.REJECTED)
    event(intent, code, NOW)
    item = needing(alice)[f"order_{code}"]
    assert (item.tone, item.happened) == (Tone.WARN, True)
    assert "alice’s zerodha" in item.words


@pytest.mark.parametrize("state", [State.EXPIRED, State.REJECTED])
def test_an_order_that_ended_filled_in_part_is_told(alice: User, zerodha: BrokerConnection, state: State) -> None:
    order(alice, zerodha, NOW, state=state, status=IntentStatus.PARTIALLY_FILLED, filled_quantity=Decimal(20))
    item = needing(alice)["order_cut_short"]
    assert (item.quantity, item.words) == ("20 of 50 filled", "It ended, and only a part of it is filled.")


def test_no_order_tells_its_quantity_in_its_words(alice: User, zerodha: BrokerConnection) -> None:
    """They are spoken, and stay while amounts are hidden."""
    partly = {"status": IntentStatus.PARTIALLY_FILLED, "filled_quantity": Decimal(20)}
    order(alice, zerodha, NOW, state=State.UNKNOWN, unknown_since=LONG_AGO)
    order(alice, zerodha, NOW, state=None, status=IntentStatus.AWAITING_APPROVAL)
    order(alice, zerodha, NOW, state=State.EXPIRED, **partly)
    event(order(alice, zerodha, NOW, state=State.REJECTED, status=IntentStatus.REJECTED), alerts.REJECTED_LATER, NOW)
    found = needing(alice)
    assert len(found) == 4
    for item in found.values():
        assert item.quantity is not None
        assert "50" not in f"{item.subject} {item.words} {item.meaning}"


# --- limits and stops -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("level", "tone"), [("WARN", Tone.WARN), ("BLOCK", Tone.BAD)])
def test_a_limit_that_is_reached_is_told_until_somebody_takes_note(alice: User, level: str, tone: Tone) -> None:
    row = breach(alice, NOW, Metric.DAY_LOSS_PCT, level)
    item = needing(alice)["limit_reached"]
    assert (item.tone, item.amount) == (tone, None)
    assert item.words.endswith("level: 2.5%, its block level is 2%." if level == "BLOCK" else "warning level is 2%.")
    assert item.remedy.href == f"/api/v1/risk/breaches/{row.pk}/acknowledge"


def test_an_amount_stands_apart_from_the_words(alice: User) -> None:
    """So that a page can hide it."""
    breach(alice, NOW, Metric.DAY_LOSS, "WARN", value=Decimal("12345.5"))
    item = needing(alice)["limit_reached"]
    assert item.amount == Decimal("12345.5")
    assert "12345" not in item.words
    assert gathering.plain(item)["amount"] == "12345.50"


def test_an_account_whose_limit_is_reached_has_its_owners_name(alice: User, zerodha: BrokerConnection) -> None:
    breach(alice, NOW, Metric.MARGIN_PCT, "WARN", scope=Scope.ACCOUNT, scope_key=str(zerodha.pk))
    assert needing(alice)["limit_reached"].subject == "alice’s zerodha"


@pytest.mark.parametrize(
    ("kind", "label"), [(HaltKind.KILL, "Look, and re-arm"), (HaltKind.DAY_LOSS, "How far it has come")]
)
def test_what_stops_trading_is_not_forgotten(alice: User, kind: HaltKind, label: str) -> None:
    level = HaltLevel.STOP if kind is HaltKind.KILL else HaltLevel.REDUCE_ONLY
    halting.halt(alice, kind=kind, level=level, cause="person", reason="", by=alice, now=timezone.now())
    item = needing(alice)["trading_halted"]
    assert (item.tone, item.remedy.label) == (Tone.BAD, label)


# --- the brokers' answers ---------------------------------------------------------------------------------------------
def unread(row: int) -> RowProblem:
    return RowProblem(part="holdings", row=row, field="quantity")


def test_rows_that_cannot_be_read_are_told_with_their_fields(alice: User, zerodha: BrokerConnection) -> None:
    answered(zerodha, NOW, problems=(unread(1), unread(4)))
    item = needing(alice)["rows_unreadable"]
    assert item.words == "2 rows of its answer could not be read (quantity)."
    assert item.remedy.href == "/#coverage"


def test_a_margin_that_is_short_is_an_amount(alice: User, zerodha: BrokerConnection) -> None:
    answered(zerodha, NOW, available=Decimal(-12345))
    item = needing(alice)["margin_short"]
    assert (item.tone, item.amount) == (Tone.BAD, Decimal(12345))


def test_an_account_that_was_left_is_not_told_of(alice: User, zerodha: BrokerConnection) -> None:
    answered(zerodha, NOW, available=Decimal(-1))
    BrokerConnection.objects.update(status=ConnectionStatus.DISCONNECTED)
    assert needing(alice) == {}


def test_names_that_nobody_knows_are_one_line(alice: User, zerodha: BrokerConnection) -> None:
    answered(zerodha, NOW)
    for symbol, seen in (("ODD", NOW), ("ODDER", NOW), ("GONE", LONG_AGO)):
        UnmatchedInstrument.objects.create(
            broker_connection=zerodha, exchange="NSE", symbol=symbol, first_seen_at=LONG_AGO, last_seen_at=seen
        )
    item = needing(alice)["instruments_unmatched"]
    assert (item.subject, item.tone) == ("ODD, ODDER", Tone.INFO)
    assert item.words == "2 shares or contracts not recognised."


class TestContractsThatEnd:
    # Tuesday 24 is a holiday, so Friday 27 is one trading day ahead, and Monday 30 two.
    FRIDAY, MONDAY, TUESDAY = date(2026, 11, 27), date(2026, 11, 30), date(2026, 12, 1)

    def test_those_on_shares_are_delivered(self, alice: User, zerodha: BrokerConnection) -> None:
        listed_share("INFY", NOW)
        answered(zerodha, NOW, ends("INFY", self.FRIDAY), ends("NIFTY", self.MONDAY))
        found = needing(alice)
        assert found["contracts_deliver"].words == "1 contract ends tomorrow."
        assert found["contracts_deliver"].tone is Tone.WARN
        assert found["contracts_expire"].words == "1 contract ends on Monday."
        assert found["contracts_expire"].tone is Tone.INFO

    def test_those_further_ahead_are_not_told(self, alice: User, zerodha: BrokerConnection) -> None:
        answered(zerodha, NOW, ends("NIFTY", self.TUESDAY))
        assert needing(alice) == {}

    def test_nor_those_that_are_closed_over_all_accounts(self, alice: User, zerodha: BrokerConnection) -> None:
        answered(zerodha, NOW, ends("NIFTY", self.FRIDAY), units=65)
        answered(account(alice, NOW, "upstox"), NOW, ends("NIFTY", self.FRIDAY), units=-65)
        assert needing(alice) == {}

    def test_nor_those_that_have_ended(self, alice: User, zerodha: BrokerConnection) -> None:
        answered(zerodha, NOW, ends("NIFTY", date(2026, 11, 25)))
        assert needing(alice) == {}

    def test_goods_may_be_delivered(self, alice: User, zerodha: BrokerConnection) -> None:
        answered(zerodha, NOW, ends("CRUDEOIL", self.FRIDAY), exchange=Exchange.MCX)
        assert set(needing(alice)) == {"contracts_deliver"}


# --- the list ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def everything(alice: User) -> Callable[[], None]:
    """One of most kinds, all of Alice's."""

    def make() -> None:
        gone = account(alice, NOW, status=ConnectionStatus.TOKEN_EXPIRED, status_since=NOW)
        order(alice, gone, NOW, state=State.UNKNOWN, unknown_since=LONG_AGO)
        order(alice, gone, NOW, state=None, status=IntentStatus.AWAITING_APPROVAL)
        breach(alice, NOW, Metric.DAY_LOSS_PCT, "BLOCK")
        answered(gone, NOW, ends("NIFTY", date(2026, 11, 27)), available=Decimal(-5))
        AlertRoute.objects.create(
            user=alice, way=Way.WEBHOOK, name="pager", muted_until=NOW + timedelta(hours=1), created_at=NOW
        )

    return make


def test_the_gravest_come_first_and_of_those_the_oldest(alice: User, everything: Callable[[], None]) -> None:
    everything()
    found = gathering.items(alice, NOW)
    tones = [item.tone for item in found]
    assert tones == sorted(tones, key=list(Tone).index)
    assert found[0].code == "order_unknown"
    assert found[-1].tone is Tone.INFO


def test_nobody_is_told_of_somebody_elses(
    alice: User, bob: User, mallory: User, everything: Callable[[], None]
) -> None:
    everything()
    account(mallory, NOW)
    assert gathering.items(bob, NOW) == gathering.items(mallory, NOW) == []
    assert len(gathering.items(alice, NOW)) == 7


def test_its_queries_do_not_grow_with_its_rows(
    alice: User, everything: Callable[[], None], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    everything()
    for slug in ("upstox", "fyers", "groww"):
        other = account(alice, NOW, slug, status=ConnectionStatus.TOKEN_EXPIRED)
        answered(other, NOW, available=Decimal(-5))
        order(alice, other, NOW, state=State.UNKNOWN)
        breach(alice, NOW, Metric.MARGIN_PCT, "WARN", scope=Scope.ACCOUNT, scope_key=str(other.pk))
    with django_assert_max_num_queries(20):
        gathering.items(alice, NOW)
