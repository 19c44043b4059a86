"""Limits of a person: what they begin with, states that figures make of them, and what is told and done about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.db import connections

from accounts.alert_models import AlertDelivery
from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers.shared import redis
from portfolio import breaches, halting, limit_refusals, limit_watch, limits
from portfolio.risk.evaluating import NOTHING, Figure, Measured
from portfolio.risk.limits import DEFAULTS, Action, Limit, Metric, Scope, State
from portfolio.risk_models import HaltKind, HaltLevel, RiskBreach, RiskLimit, TradingHalt

D = Decimal
NOW = datetime(2025, 11, 27, 6, 0, tzinfo=UTC)  # long ago, also by the database, which has a word in when a lock ends
MARGIN = Limit(metric=Metric.MARGIN_PCT, warn=D(75), block=D(90), action=Action.BLOCK_INCREASING)
LOSS = Limit(metric=Metric.DAY_LOSS, warn=D(100), block=D(200), action=Action.REDUCE_ONLY)
KILL = Limit(metric=Metric.LEVERAGE_RATIO, block=D(5), action=Action.KILL)


@pytest.fixture(autouse=True)
def _no_latch(db: None) -> Iterator[None]:
    """Latches stand in Redis, which no transaction takes back."""
    yield
    client = redis()
    for key in client.scan_iter("*halt*"):
        client.delete(key)


@pytest.fixture
def watched(alice: User) -> User:
    """Alice, without the limits that everybody begins with, and with an address."""
    limits.make_defaults(alice, now=NOW)
    RiskLimit.objects.all().delete()
    EmailAddress.objects.create(user=alice, email="alice@example.com", verified=True, primary=True)
    return alice


def figure(
    limit: Limit, value: str | None, *, key: str = "", complete: bool = True, proved: str | None = None
) -> Measured:
    found, least = (None if each is None else D(each) for each in (value, proved))
    return Measured({(limit.metric, limit.scope, key): Figure(found, complete, least)})


def look(
    user: User,
    limit: Limit,
    value: str | None,
    *,
    seconds: float = 0,
    complete: bool = True,
    proved: str | None = None,
) -> list[str]:
    measured = figure(limit, value, complete=complete, proved=proved)
    return [change.step for change in limit_watch.evaluate(user, measured, now=NOW + timedelta(seconds=seconds))]


def only(user: User) -> RiskLimit:
    return RiskLimit.objects.get(user=user)


def alerted() -> list[str]:
    return list(AlertDelivery.objects.order_by("pk").values_list("kind", flat=True))


class TestDefaults:
    def test_everybody_begins_with_those_of_the_specification_once(self, alice: User) -> None:
        rows = limits.limits_of(alice, now=NOW)
        assert [limits.limit_of(row) for row in rows] == list(DEFAULTS)
        limits.remove(rows[0], by=alice, now=NOW)
        assert limits.limits_of(alice, now=NOW).count() == len(DEFAULTS) - 1
        assert not limits.make_defaults(alice, now=NOW)

    def test_they_are_proposals_for_a_book_that_is_known(self, alice: User) -> None:
        limits.make_defaults(alice, now=NOW)
        limit_watch.evaluate(alice, NOTHING, now=NOW)
        by_state = set(RiskLimit.objects.exclude(metric=Metric.ORDER_VALUE_PCT).values_list("state", flat=True))
        assert by_state == {State.UNKNOWN}


class TestStates:
    def test_a_day_of_one_limit(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        told = [
            look(watched, MARGIN, value, seconds=at) for at, value in enumerate(["50", "80", "95", "93", "86", "84"])
        ]
        assert told == [[], ["OPENED"], ["RAISED"], [], [], ["EASED"]]
        breach = RiskBreach.objects.get()
        assert (breach.level, breach.threshold, breach.worst_value, breach.value) == ("BLOCK", D(90), D(95), D(84))
        assert breach.cleared_at is None
        assert only(watched).state == State.WARN
        assert look(watched, MARGIN, "70", seconds=9) == ["CLEARED"]
        breach.refresh_from_db()
        assert breach.cleared_at == NOW + timedelta(seconds=9)
        assert (only(watched).state, only(watched).states) == (State.OK, {})
        assert alerted() == ["RISK_WARNING", "RISK_BLOCK", "RISK_CLEARED"]

    def test_every_key_is_a_breach_of_its_own(self, watched: User) -> None:
        each = Limit(metric=Metric.ISSUER_PCT, scope=Scope.ISSUER, warn=D(20))
        limits.create(watched, each, by=watched, now=NOW)
        measured = Measured(
            {
                (each.metric, each.scope, key): Figure(D(value), complete=True)
                for key, value in (("A", 25), ("B", 30), ("C", 5))
            }
        )
        limit_watch.evaluate(watched, measured, now=NOW)
        assert set(RiskBreach.objects.values_list("scope_key", "value")) == {("A", D(25)), ("B", D(30))}
        row = only(watched)
        assert (row.state, row.value) == (State.WARN, D(30))
        assert {key: each["state"] for key, each in row.states.items()} == {"A": "WARN", "B": "WARN"}
        assert row.states["A"]["since"] == NOW.isoformat()

    def test_what_is_not_known_clears_nothing(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "95")
        for seconds, value, complete in ((1, None, True), (2, "10", False)):
            assert look(watched, MARGIN, value, seconds=seconds, complete=complete) == []
        assert only(watched).state == State.BLOCK
        assert RiskBreach.objects.get().cleared_at is None

    def test_an_older_look_overrules_no_newer_one(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW - timedelta(minutes=1))
        look(watched, MARGIN, "95", seconds=10)
        assert look(watched, MARGIN, "10", seconds=5) == []
        assert only(watched).state == State.BLOCK

    def test_a_limit_that_was_changed_meanwhile_is_left_to_the_next_look(
        self, watched: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = limits.create(watched, MARGIN, by=watched, now=NOW)
        judge = limit_watch.evaluated

        def slow(*args: Any) -> Any:
            limits.change(row, by=watched, now=NOW + timedelta(seconds=1), warn=D(50))
            return judge(*args)

        monkeypatch.setattr(limit_watch, "evaluated", slow)
        assert look(watched, MARGIN, "95") == []
        assert not RiskBreach.objects.exists()

    def test_figures_are_kept_fresh_without_a_change(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "80")
        look(watched, MARGIN, "82", seconds=1)
        assert only(watched).value == D(80)
        look(watched, MARGIN, "83", seconds=6)
        assert only(watched).value == D(83)
        breach = RiskBreach.objects.get()
        assert (breach.value, breach.worst_value) == (D(83), D(83))

    def test_an_audited_change_of_levels_and_an_end_of_watching(self, watched: User) -> None:
        row = limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "95")
        limits.change(row, by=watched, now=NOW + timedelta(seconds=1), block=D(96), note="for the event")
        limits.change(row, by=watched, now=NOW + timedelta(seconds=2), is_enabled=False)
        assert RiskBreach.objects.get().cleared_at == NOW + timedelta(seconds=2)
        assert (only(watched).state, only(watched).states) == (State.OK, {})
        assert look(watched, MARGIN, "99", seconds=3) == []
        limits.remove(only(watched), by=watched, now=NOW)
        assert RiskBreach.objects.get().limit is None
        noted = AuditEntry.objects.filter(event=Event.LIMIT_CHANGED).order_by("sequence")
        assert [entry.details["what"] for entry in noted] == ["created", "changed", "changed", "removed"]
        assert noted[1].details["old"]["block"] == "90"
        assert noted[1].details["new"]["block"] == "96"
        assert noted[3].details["old"]["is_enabled"] is False


@pytest.mark.django_db(transaction=True)
def test_of_many_who_look_at_once_one_tells(alice: User) -> None:
    limits.make_defaults(alice, now=NOW)
    RiskLimit.objects.all().delete()
    EmailAddress.objects.create(user=alice, email="alice@example.com", verified=True, primary=True)
    limits.create(alice, MARGIN, by=alice, now=NOW)
    told: list[str] = []
    gate = threading.Barrier(6)

    def one() -> None:
        gate.wait()
        told.extend(look(alice, MARGIN, "95", seconds=1))
        connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["OPENED"]
    assert RiskBreach.objects.count() == AlertDelivery.objects.count() == 1


class TestWhatABlockDoes:
    def test_the_days_loss_locks_the_day(self, watched: User) -> None:
        limits.create(watched, LOSS, by=watched, now=NOW)
        look(watched, LOSS, "150")
        assert not TradingHalt.objects.exists()
        look(watched, LOSS, "200", seconds=1, proved="200")
        halt = TradingHalt.objects.get()
        assert (halt.kind, halt.level, halt.cause, halt.set_by) == (
            HaltKind.DAY_LOSS,
            HaltLevel.REDUCE_ONLY,
            "limit:DAY_LOSS",
            None,
        )
        assert halt.locked_until is not None
        assert halt.locked_until > NOW
        assert "200" in halt.reason
        # Nothing that becomes of the figure lifts it.
        look(watched, LOSS, "0", seconds=2)
        halt.refresh_from_db()
        assert halt.ended_at is None

    def test_a_day_that_begins_beyond_it_is_locked_too(self, watched: User) -> None:
        limits.create(watched, LOSS, by=watched, now=NOW)
        look(watched, LOSS, "250", proved="250")
        day = 24 * 3600.0
        assert halting.lift_day_locks(NOW + timedelta(days=1)) == 1
        # Of a figure that is not known, or has come down, nobody says that it was reached today.
        look(watched, LOSS, None, seconds=day)
        look(watched, LOSS, "195", seconds=day + 1)
        assert TradingHalt.objects.count() == 1
        for seconds in (2, 10):
            assert look(watched, LOSS, "210", seconds=day + seconds, proved="210") == []
        assert TradingHalt.objects.count() == 2
        assert TradingHalt.objects.filter(ended_at=None).count() == 1
        # Lifted at the close, it is not set anew the same day.
        TradingHalt.objects.filter(ended_at=None).update(ended_at=NOW + timedelta(days=3))
        look(watched, LOSS, "210", seconds=day + 20, proved="210")
        assert TradingHalt.objects.count() == 2

    def test_nothing_locks_the_day_that_is_not_proved(self, watched: User) -> None:
        """Beyond its level by what a part of the book tells, or by what is shown of another day: the limit blocks."""
        limits.create(watched, replace(LOSS, action=Action.KILL), by=watched, now=NOW)
        assert look(watched, LOSS, "250", complete=False) == ["OPENED"]
        look(watched, LOSS, "250", seconds=10)
        look(watched, LOSS, "250", seconds=20, proved="199")
        assert only(watched).state == State.BLOCK
        assert not TradingHalt.objects.exists()
        # It is locked as soon as it is.
        look(watched, LOSS, "250", seconds=30, complete=False, proved="200")
        kinds = TradingHalt.objects.order_by("kind").values_list("kind", flat=True)
        assert list(kinds) == [HaltKind.DAY_LOSS, HaltKind.KILL]

    @pytest.mark.parametrize("changed", [{"block": D(500)}, {"is_enabled": False}])
    @pytest.mark.parametrize("is_reached", [True, False])
    def test_nor_does_a_limit_that_was_changed_since_it_was_read(
        self, changed: dict[str, Any], is_reached: bool, watched: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = limits.create(watched, LOSS, by=watched, now=NOW)
        if is_reached:
            look(watched, LOSS, "250")
        judge = limit_watch.evaluated

        def slow(*args: Any) -> Any:
            limits.change(RiskLimit.objects.get(pk=row.pk), by=watched, now=NOW + timedelta(seconds=1), **changed)
            return judge(*args)

        monkeypatch.setattr(limit_watch, "evaluated", slow)
        assert look(watched, LOSS, "250", seconds=2, proved="250") == []
        assert not TradingHalt.objects.exists()

    def test_a_limit_that_kills_trips_the_switch_once(self, watched: User) -> None:
        limits.create(watched, KILL, by=watched, now=NOW)
        look(watched, KILL, "6")
        halt = TradingHalt.objects.get()
        assert (halt.kind, halt.level, halt.cause) == (HaltKind.KILL, HaltLevel.STOP, "limit:LEVERAGE_RATIO")
        assert halting.standing(watched.pk).level == HaltLevel.STOP
        look(watched, KILL, "7", seconds=1)
        assert TradingHalt.objects.count() == 1

    @pytest.mark.parametrize("limit", [MARGIN, Limit(metric=Metric.DAY_LOSS, warn=D(1))])
    def test_no_other_stops_anything(self, limit: Limit, watched: User) -> None:
        limits.create(watched, limit, by=watched, now=NOW)
        assert look(watched, limit, "1000") == ["OPENED"]
        assert not TradingHalt.objects.exists()

    def test_a_stop_that_fails_is_tried_again_by_the_next_look(
        self, watched: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits.create(watched, LOSS, by=watched, now=NOW)
        halt = halting.halt

        def broken(*args: Any, **kwargs: Any) -> Any:
            raise LookupError("nobody foresaw it")

        monkeypatch.setattr(halting, "halt", broken)
        with pytest.raises(LookupError):
            look(watched, LOSS, "250", proved="250")
        monkeypatch.setattr(halting, "halt", halt)
        assert look(watched, LOSS, "250", seconds=1, proved="250") == []
        assert TradingHalt.objects.count() == 1

    def test_nor_is_a_switch_that_could_not_be_pulled_written_down_as_pulled(
        self, watched: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits.create(watched, KILL, by=watched, now=NOW)
        halt = halting.halt

        def broken(*args: Any, **kwargs: Any) -> Any:
            raise LookupError("nobody foresaw it")

        monkeypatch.setattr(halting, "halt", broken)
        with pytest.raises(LookupError):
            look(watched, KILL, "6")
        assert not RiskBreach.objects.exists()
        monkeypatch.setattr(halting, "halt", halt)
        assert look(watched, KILL, "6", seconds=1) == ["OPENED"]
        assert TradingHalt.objects.count() == 1


class TestEscalation:
    def test_a_block_is_told_again_later_and_later_until_somebody_takes_note(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "95")
        now, waits = NOW, []
        for _ in range(5):
            breach = RiskBreach.objects.get()
            assert breach.muted_until is not None
            assert breaches.escalate(breach.muted_until - timedelta(seconds=1)) == 0
            waits.append(round((breach.muted_until - now) / timedelta(minutes=1)))
            now = breach.muted_until
            assert breaches.escalate(now) == 1
            assert breaches.escalate(now) == 0
        assert waits == [5, 15, 60, 60, 60]
        assert alerted() == ["RISK_BLOCK"] * 6
        last = AlertDelivery.objects.latest("pk")
        assert last.title == "the use of margin has reached its block level"
        assert last.text.startswith("The use of margin is 95; its block level is ")
        assert "alert number 6" in last.text
        breaches.acknowledge(RiskBreach.objects.get(), by=watched, note="I am selling.", now=now)
        assert breaches.escalate(now + timedelta(days=1)) == 0

    def test_a_warning_is_told_once(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "80")
        assert breaches.escalate(NOW + timedelta(days=1)) == 0

    def test_nor_is_what_has_eased_or_is_over(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "95")
        look(watched, MARGIN, "80", seconds=1)
        assert breaches.escalate(NOW + timedelta(days=1)) == 0
        look(watched, MARGIN, "10", seconds=2)
        assert breaches.escalate(NOW + timedelta(days=1)) == 0

    def test_who_has_noted_the_warning_has_not_seen_the_block(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "80")
        breaches.acknowledge(RiskBreach.objects.get(), by=watched, note="Seen.", now=NOW)
        look(watched, MARGIN, "95", seconds=1)
        breach = RiskBreach.objects.get()
        assert (breach.acknowledged_at, breach.acknowledgement) == (None, "")
        assert breaches.escalate(NOW + timedelta(hours=1)) == 1

    def test_note_is_taken_once(self, watched: User) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        look(watched, MARGIN, "80")
        breach = breaches.acknowledge(RiskBreach.objects.get(), by=watched, note="Seen.", now=NOW)
        assert (breach.acknowledged_by, breach.acknowledgement) == (watched, "Seen.")
        with pytest.raises(limit_refusals.AlreadyAcknowledged):
            breaches.acknowledge(breach, by=watched, note="Again.", now=NOW)
        noted = AuditEntry.objects.get(event=Event.BREACH_ACKNOWLEDGED)
        assert noted.details == {"metric": "MARGIN_PCT", "level": "WARN"}


class TestRules:
    @pytest.mark.parametrize(
        ("limit", "refusal"),
        [
            (replace(MARGIN, warn=None, block=None, action=Action.NOTIFY), limit_refusals.NoLevel),
            (replace(MARGIN, warn=D(91)), limit_refusals.WarnAboveBlock),
            (replace(MARGIN, scope=Scope.ISSUER), limit_refusals.WrongScope),
            (replace(MARGIN, scope_key="x"), limit_refusals.WrongKey),
            (replace(MARGIN, scope=Scope.ACCOUNT, scope_key="x"), limit_refusals.WrongKey),
            (Limit(metric=Metric.BROKER_PCT, scope=Scope.BROKER, scope_key="x", warn=D(1)), limit_refusals.WrongKey),
            (replace(MARGIN, block=None), limit_refusals.ActionWithoutBlock),
            (replace(LOSS, action=Action.NOTIFY), limit_refusals.DayLossMustStop),
            (replace(LOSS, action=Action.CONFIRM), limit_refusals.DayLossMustStop),
            (Limit(metric=Metric.ORDER_VALUE, block=D(1), action=Action.KILL), limit_refusals.KillNeedsTheBook),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, limit: Limit, refusal: type[limit_refusals.LimitRefused], watched: User
    ) -> None:
        with pytest.raises(refusal) as raised:
            limits.create(watched, limit, by=watched, now=NOW)
        assert raised.value.remedy
        assert not RiskLimit.objects.exists()

    def test_there_is_one_of_each_and_not_too_many(self, watched: User, monkeypatch: pytest.MonkeyPatch) -> None:
        limits.create(watched, MARGIN, by=watched, now=NOW)
        with pytest.raises(limit_refusals.LimitExists):
            limits.create(watched, replace(MARGIN, warn=D(1)), by=watched, now=NOW)
        monkeypatch.setattr(limits, "MOST_LIMITS", 1)
        with pytest.raises(limit_refusals.TooManyLimits):
            limits.create(watched, LOSS, by=watched, now=NOW)

    @pytest.mark.parametrize(
        ("chosen", "is_looser"),
        [
            ({"block": D(91)}, True),
            ({"block": None, "action": Action.NOTIFY}, True),
            ({"warn": None}, True),
            ({"action": Action.NOTIFY}, True),
            ({"is_enabled": False}, True),
            ({"block": D(80)}, False),
            ({"action": Action.KILL}, False),
            ({"note": "x"}, False),
            ({"is_enabled": True}, False),
        ],
    )
    def test_what_lets_more_through(self, chosen: dict[str, Any], is_looser: bool, watched: User) -> None:
        row = limits.create(watched, MARGIN, by=watched, now=NOW)
        assert limits.lets_more_through(row, chosen) is is_looser
