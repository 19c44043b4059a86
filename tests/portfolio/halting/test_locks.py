"""Halts as rows: raised and never lowered, ended by a person with a reason, and a lock not before its time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, transaction
from redis import Redis

from accounts.models import AccountDeletion, AuditEntry, User
from brokers.domain import Exchange
from brokers.shared import ledger
from market.models import DayKind, MarketDay
from portfolio import halt_hours, halting
from portfolio.halt_refusals import HaltLocked, NotHalted, ReasonNeeded, TradingHalted, TradingUnreadable
from portfolio.latch import May
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt

pytestmark = pytest.mark.django_db
# Long ago, also by the clock of the database, which has a word in when a lock ends.
NOW = datetime(2025, 11, 27, 5, 0, tzinfo=UTC)  # 10:30 IST on a Thursday
CLOSE = datetime(2025, 11, 27, 10, 0, tzinfo=UTC)  # 15:30 IST
FAR = datetime(2199, 11, 26, 10, 0, tzinfo=UTC)


def let_go(redis: Redis) -> None:
    for key in redis.scan_iter("halt*"):
        redis.delete(key)


@pytest.fixture(autouse=True)
def _nothing_latched() -> Iterator[None]:
    ledger().ask(let_go)
    yield
    ledger().ask(let_go)


@pytest.fixture(autouse=True)
def _hours(db: None) -> None:
    for exchange, until in ((Exchange.NSE, "15:30"), (Exchange.MCX, "23:30")):
        sessions = [{"phase": "CONTINUOUS", "from": "09:00", "until": until}]
        MarketDay.objects.update_or_create(
            exchange=exchange, date=NOW.date(), defaults={"kind": DayKind.OPEN, "sessions": sessions}
        )


def halt(user: User, level: HaltLevel = HaltLevel.STOP, kind: HaltKind = HaltKind.KILL, **more: Any) -> TradingHalt:
    facts = {"cause": "person", "reason": "A bad day.", "by": user, "now": NOW} | more
    return halting.halt(user, kind=kind, level=level, **facts).row


def lock(user: User, **more: Any) -> TradingHalt:
    return halt(user, kind=HaltKind.DAY_LOSS, cause="day_loss", **{"by": None} | more)


class TestTheSwitch:
    def test_it_is_raised_and_never_lowered(self, alice: User) -> None:
        for level, standing in (
            (HaltLevel.STOP, HaltLevel.STOP),
            (HaltLevel.FLATTEN, HaltLevel.FLATTEN),
            (HaltLevel.CANCEL, HaltLevel.FLATTEN),
        ):
            halt(alice, level)
            assert TradingHalt.objects.get().level == standing
            assert halting.standing(alice.pk).level == standing
        events = AuditEntry.objects.order_by("sequence").filter(event__startswith="risk.")
        assert list(events.values_list("event", flat=True)) == ["risk.trading_halted", "risk.halt_raised"]

    def test_it_stops_its_owner_and_nobody_else(self, alice: User, bob: User) -> None:
        halt(alice)
        with pytest.raises(TradingHalted):
            halting.check(alice.pk)
        halting.check(bob.pk)

    @pytest.mark.parametrize("reason", ["", "  ", "ok"])
    def test_a_person_ends_it_with_a_reason(self, alice: User, reason: str) -> None:
        halt(alice)
        with pytest.raises(ReasonNeeded):
            halting.end(alice, kind=HaltKind.KILL, reason=reason, by=alice, now=NOW)
        halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=NOW)
        halting.check(alice.pk)
        with pytest.raises(NotHalted):
            halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=NOW)

    def test_one_that_was_ended_may_be_pulled_again(self, alice: User) -> None:
        first = halt(alice)
        halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=NOW)
        second = halt(alice, now=NOW + timedelta(minutes=1))
        assert first.pk != second.pk
        with pytest.raises(TradingHalted):
            halting.check(alice.pk)

    def test_what_cannot_be_read_stops(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(user_id: int) -> Any:
            raise halting.RedisAway

        monkeypatch.setattr(halting, "_latched", away)
        with pytest.raises(TradingUnreadable):
            halting.check(alice.pk)
        assert not halting.standing(alice.pk).passes(May.CLOSE)


class TestTheDailyLossLock:
    def test_it_lets_out_what_reduces_until_the_days_close(self, alice: User) -> None:
        row = lock(alice, level=HaltLevel.STOP)
        assert (row.level, row.locked_until) == (HaltLevel.REDUCE_ONLY, CLOSE)
        halting.check(alice.pk, May.REDUCE)
        with pytest.raises(TradingHalted):
            halting.check(alice.pk)

    def test_nobody_ends_it_sooner_staff_neither(self, alice: User, root: User) -> None:
        lock(alice)
        for by in (alice, root):
            with pytest.raises(HaltLocked):
                halting.end(alice, kind=HaltKind.DAY_LOSS, reason="I say so.", by=by, now=CLOSE - timedelta(seconds=1))
        assert halting.lift_day_locks(CLOSE - timedelta(seconds=1)) == 0
        assert halting.standing(alice.pk).level == HaltLevel.REDUCE_ONLY

    def test_it_is_latched_before_anything_is_read(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any) -> datetime:
            raise OperationalError

        with monkeypatch.context() as patch:
            patch.setattr(halting, "day_close", away)
            with pytest.raises(OperationalError):
                lock(alice)
        assert halting.standing(alice.pk).level == HaltLevel.REDUCE_ONLY
        assert halting.record_all(NOW + timedelta(seconds=1)) == 1
        assert TradingHalt.objects.get().locked_until == CLOSE
        [stands] = halting.standing(alice.pk).halts
        assert stands.locked_until == CLOSE.isoformat()

    def test_it_ends_by_itself_after_the_close(self, alice: User) -> None:
        row = lock(alice)
        assert halting.lift_day_locks(CLOSE) == 1
        row.refresh_from_db()
        assert (row.ended_at, row.ended_by, row.end_reason) == (CLOSE, None, halting.DAY_OVER)
        halting.check(alice.pk)

    @pytest.mark.parametrize(
        "change",
        [
            {"ended_at": CLOSE - timedelta(minutes=1)},
            {"locked_until": CLOSE - timedelta(hours=1)},
            {"locked_until": None},
            {"kind": HaltKind.KILL},
            {"set_at": NOW - timedelta(days=1)},
        ],
    )
    def test_nor_does_who_writes_past_the_services(self, alice: User, change: dict[str, Any]) -> None:
        row = lock(alice)
        with pytest.raises(IntegrityError), transaction.atomic():
            TradingHalt.objects.filter(pk=row.pk).update(**change)
        with pytest.raises(IntegrityError), transaction.atomic():
            TradingHalt.objects.filter(pk=row.pk).delete()
        assert TradingHalt.objects.get().ended_at is None

    def test_nor_who_writes_down_an_hour_that_has_not_come(self, alice: User) -> None:
        """By the database's own clock, whatever the row says, and whatever ours says."""
        row = lock(alice, locked_until=FAR)
        with pytest.raises(IntegrityError, match="ended early"), transaction.atomic():
            TradingHalt.objects.filter(pk=row.pk).update(ended_at=FAR)
        assert halting.lift_day_locks(FAR) == 0
        with pytest.raises(HaltLocked):
            halting.end(alice, kind=HaltKind.DAY_LOSS, reason="I say so.", by=alice, now=FAR)
        assert TradingHalt.objects.get().ended_at is None

    def test_a_halt_ends_once(self, alice: User) -> None:
        row = halt(alice)
        halting.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=NOW)
        with pytest.raises(IntegrityError), transaction.atomic():
            TradingHalt.objects.filter(pk=row.pk).update(ended_at=None)

    def test_a_closed_account_takes_its_lock_along(self, alice: User) -> None:
        row = lock(alice)
        alice.is_active = False
        alice.save()
        with pytest.raises(IntegrityError), transaction.atomic():  # it may be opened again
            TradingHalt.objects.filter(pk=row.pk).delete()
        AccountDeletion.objects.create(user_id=alice.pk, asked_at=NOW)
        TradingHalt.objects.filter(pk=row.pk).delete()
        assert not TradingHalt.objects.exists()


class TestTheClose:
    def test_the_latest_of_the_exchanges_that_are_held(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        assert halt_hours.day_close(alice, NOW) == CLOSE
        monkeypatch.setattr(halt_hours, "_exchanges", lambda *_: {Exchange.NSE, Exchange.MCX})
        assert halt_hours.day_close(alice, NOW) == datetime(2025, 11, 27, 18, 0, tzinfo=UTC)

    @pytest.mark.parametrize("now", [CLOSE, CLOSE + timedelta(hours=2)])
    def test_after_it_or_where_it_is_not_known_the_end_of_the_day(self, alice: User, now: datetime) -> None:
        midnight = datetime(2025, 11, 27, 18, 30, tzinfo=UTC)
        assert halt_hours.day_close(alice, now) == midnight
        MarketDay.objects.all().delete()
        assert halt_hours.day_close(alice, NOW) == midnight
