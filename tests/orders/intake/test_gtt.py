"""Orders that wait at a broker: written down first, asked for once, and settled by the broker's own list."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttRequest, GttStatus
from brokers.domain import Exchange, InstrumentKind, Product, RowProblem, Rows, Side
from brokers.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import calling, gtt, gtt_settling
from orders.models import GttOrder
from orders.refusals import BreaksRule, KeyReused, NoGtt, NothingStands, OutcomeOpen, UnknownConnection
from tests.orders.conftest import NOW, later
from tests.orders.fakes import Desk, FakeClient
from tests.orders.intake.conftest import Told


@dataclass
class Waiting:
    """A broker's list of such orders. `faults` are used up one a call; `lost`: it is there all the same."""

    rows: dict[str, BrokerGtt] = field(default_factory=dict)
    faults: deque[tuple[Exception, bool]] = field(default_factory=deque)
    problems: tuple[RowProblem, ...] = ()
    tags: list[str] = field(default_factory=list)
    calls: int = 0
    reads: int = 0


class WaitingClient(FakeClient):
    def __init__(self, waiting: Waiting) -> None:
        super().__init__(Desk())
        self.waiting = waiting

    def place_gtt(self, request: GttRequest) -> str:
        self.waiting.calls += 1
        self.waiting.tags.append(request.tag)
        # Written down before it leaves.
        assert GttOrder.objects.filter(tag=request.tag, status=GttStatus.SENDING).exists()
        error, is_there = self.waiting.faults.popleft() if self.waiting.faults else (None, True)
        key = f"G{self.waiting.calls}"
        if is_there:
            self.waiting.rows[key] = BrokerGtt(
                broker_gtt_id=key,
                exchange=request.traded.exchange,
                tradingsymbol=request.traded.listing.tradingsymbol,
                broker_token=request.traded.listing.broker_token,
                kind=request.kind,
                side=request.side,
                product=request.product,
                legs=request.legs,
                status=GttStatus.ACTIVE,
                created_at=None,
            )
        if error is not None:
            raise error
        return key

    def cancel_gtt(self, known: BrokerGtt) -> None:
        del self.waiting.rows[known.broker_gtt_id]

    def gtts(self) -> Rows[BrokerGtt]:
        self.waiting.reads += 1
        return Rows(tuple(self.waiting.rows.values()), self.waiting.problems)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch, told: Told, last_price: Any) -> Waiting:
    """At a broker that has such orders."""
    last_price("1500")
    known = Waiting()
    monkeypatch.setattr(gtt, "FEATURE", "holdings")
    for name in ("clients_for", "clients_to_end"):
        monkeypatch.setattr(calling, name, lambda rows, now: {row.pk: WaitingClient(known) for row in rows})
    return known


@pytest.fixture
def wanted(infy: Instrument, accounts: dict[str, BrokerConnection]) -> gtt.WantedGtt:
    leg = GttLeg(trigger_price=Decimal(1400), price=Decimal(1401), quantity=Decimal(5))
    return gtt.WantedGtt(
        connection_id=accounts["zerodha"].pk,
        instrument_id=infy.pk,
        kind=GttKind.SINGLE,
        side=Side.BUY,
        product=Product.CNC,
        legs=(leg,),
    )


def place(alice: User, wanted: gtt.WantedGtt, key: str = "key-00001") -> GttOrder:
    return gtt.place(user=alice, wanted=wanted, key=key, now=NOW)[0]


def test_it_is_left_there_once(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    row = place(alice, wanted)
    assert (row.status, row.broker_gtt_id) == (GttStatus.ACTIVE, "G1")
    assert gtt.place(user=alice, wanted=wanted, key="key-00001", now=later(5)) == (row, False)
    assert waiting.calls == 1
    with pytest.raises(KeyReused):
        place(alice, replace(wanted, side=Side.SELL))


def test_the_brokers_no_is_a_rejection(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    waiting.faults.append((OrderRejected("No.", reason="Not today."), False))
    row = place(alice, wanted)
    assert (row.status, row.reason) == (GttStatus.REJECTED, "Not today.")


def test_a_lost_reply_is_found_in_the_list(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    waiting.faults.append((OutcomeUnknown("No answer."), True))
    row = place(alice, wanted)
    assert row.status == GttStatus.UNKNOWN
    with pytest.raises(OutcomeOpen):
        gtt.cancel(row, user=alice, now=later(1))
    gtt.refresh(alice, later(2))
    row.refresh_from_db()
    assert (row.status, row.broker_gtt_id) == (GttStatus.ACTIVE, "G1")


def test_two_absences_apart_prove_that_it_never_was(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    waiting.faults.append((OutcomeUnknown("No answer."), False))
    row = place(alice, wanted)
    became = []
    for seconds in (2, 31, 40, 62):
        gtt.refresh(alice, later(seconds))
        row.refresh_from_db()
        became.append(row.status)
    assert became == ["UNKNOWN", "UNKNOWN", "UNKNOWN", "NOT_PLACED"]
    assert waiting.calls == 1


def test_it_is_taken_back(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    row = gtt.cancel(place(alice, wanted), user=alice, now=later(1))
    assert row.status == GttStatus.CANCELLED
    assert not waiting.rows
    with pytest.raises(NothingStands):
        gtt.cancel(row, user=alice, now=later(2))


def test_it_is_taken_back_where_trading_was_turned_off_since(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, accounts: dict[str, BrokerConnection]
) -> None:
    row = place(alice, wanted)
    BrokerConnection.objects.update(trading_enabled_at=None)
    row = GttOrder.objects.get(pk=row.pk)
    assert gtt.cancel(row, user=alice, now=later(1)).status == GttStatus.CANCELLED
    assert not waiting.rows


def test_what_breaks_a_rule_is_never_asked(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    off_tick = replace(wanted.legs[0], price=Decimal("1401.01"))
    with pytest.raises(BreaksRule):
        place(alice, replace(wanted, legs=(off_tick,)))
    assert waiting.calls == 0
    assert GttOrder.objects.get().status == GttStatus.NOT_PLACED


def test_nor_where_trading_is_off(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, accounts: dict[str, BrokerConnection]
) -> None:
    BrokerConnection.objects.update(trading_enabled_at=None)
    row = place(alice, wanted)
    assert (row.status, row.reason_code) == (GttStatus.NOT_PLACED, "trading_off")
    assert waiting.calls == 0


def test_nor_where_it_is_turned_off_while_the_order_is_checked(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = gtt.gather

    def gathered(*args: Any, **facts: Any) -> Any:
        found = gather(*args, **facts)
        BrokerConnection.objects.update(trading_enabled_at=None)
        return found

    monkeypatch.setattr(gtt, "gather", gathered)
    row = place(alice, wanted)
    assert (row.status, row.reason_code) == (GttStatus.NOT_PLACED, "trading_off")
    assert row.reason.endswith("Turn it on for this connection, with a fresh second factor.")
    assert waiting.calls == 0


def test_a_list_that_we_cannot_read_by_a_mistake_of_ours_hides_no_other(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, accounts: dict[str, BrokerConnection]
) -> None:
    place(alice, wanted)
    lists = {accounts["zerodha"].pk: None, accounts["upstox"].pk: KeyError("status")}

    class Mistaken(WaitingClient):
        def __init__(self, error: Exception | None) -> None:
            super().__init__(waiting)
            self.error = error

        def gtts(self) -> Rows[BrokerGtt]:
            if self.error is not None:
                raise self.error
            return super().gtts()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calling, "clients_for", lambda rows, now: {row.pk: Mistaken(lists[row.pk]) for row in rows})
        outcomes = gtt.refresh(alice, later(5))
    failed = outcomes[accounts["upstox"].pk]
    assert (outcomes[accounts["zerodha"].pk], failed and failed.code) == (None, "unexpected_response")


def test_nor_elsewhere(alice: User, waiting: Waiting, wanted: gtt.WantedGtt, mallory: User) -> None:
    with pytest.raises(UnknownConnection):
        place(mallory, wanted)


def test_nor_of_an_index(alice: User, waiting: Waiting, wanted: gtt.WantedGtt, infy: Instrument) -> None:
    Instrument.objects.filter(pk=infy.pk).update(kind=InstrumentKind.INDEX)
    with pytest.raises(BreaksRule, match="nobody deals in it"):
        place(alice, wanted)
    assert waiting.calls == 0


def test_not_every_broker_has_them(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gtt, "FEATURE", "nobody has this")
    with pytest.raises(NoGtt):
        place(alice, wanted)


# --- what is in doubt -------------------------------------------------------------------------------------------------
def lost(alice: User, waiting: Waiting, wanted: gtt.WantedGtt, *, is_there: bool = True) -> GttOrder:
    waiting.faults.append((OutcomeUnknown("No answer."), is_there))
    return place(alice, wanted)


def status_of(row: GttOrder) -> tuple[str, str | None]:
    row.refresh_from_db()
    return row.status, row.broker_gtt_id


def test_its_label_is_kept(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    row = place(alice, wanted)
    assert waiting.tags == [row.tag]
    assert 8 <= len(row.tag) <= 19


OTHER_LEG = GttLeg(trigger_price=Decimal(1400), price=Decimal(1401), quantity=Decimal(6))


@pytest.mark.parametrize(
    "changed",
    [
        {"broker_token": "zerodha|2885"},
        {"broker_token": "", "tradingsymbol": "RELIANCE"},
        {"exchange": Exchange.BSE},
        {"kind": GttKind.OCO},
        {"legs": (OTHER_LEG,)},
        {"created_at": NOW - timedelta(days=2)},
    ],
)
def test_another_order_is_never_taken_for_it(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, changed: dict[str, Any]
) -> None:
    """And so its cancellation never ends that one."""
    row = lost(alice, waiting, wanted)
    waiting.rows["G1"] = replace(waiting.rows["G1"], **changed)
    for seconds in (2, 31, 62):
        gtt.refresh(alice, later(seconds))
    assert status_of(row) == (GttStatus.NOT_PLACED, None)
    with pytest.raises(NothingStands):
        gtt.cancel(row, user=alice, now=later(63))
    assert "G1" in waiting.rows


@pytest.mark.parametrize(
    "changed",
    [
        {"created_at": NOW - timedelta(minutes=5)},
        {"created_at": NOW + timedelta(minutes=5)},
        {"status": GttStatus.CANCELLED},
    ],
)
def test_what_may_be_it_or_not_leaves_it_unknown(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, changed: dict[str, Any]
) -> None:
    row = lost(alice, waiting, wanted)
    waiting.rows["G1"] = replace(waiting.rows["G1"], **changed)
    for seconds in (2, 31, 62, 93):
        gtt.refresh(alice, later(seconds))
    assert status_of(row) == (GttStatus.UNKNOWN, None)
    assert row.reason_code == gtt_settling.AMBIGUOUS


def test_one_made_within_the_second_is_it(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    row = lost(alice, waiting, wanted)
    waiting.rows["G1"] = replace(waiting.rows["G1"], created_at=later(-1), broker_token="")
    gtt.refresh(alice, later(2))
    assert status_of(row) == (GttStatus.ACTIVE, "G1")


def test_one_line_is_not_given_to_either_of_two(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    first = lost(alice, waiting, wanted)
    waiting.faults.append((OutcomeUnknown("No answer."), False))
    second = place(alice, wanted, "key-00002")
    for seconds in (2, 31, 62):
        gtt.refresh(alice, later(seconds))
    assert [status_of(row) for row in (first, second)] == [(GttStatus.UNKNOWN, None)] * 2


def test_a_list_with_a_row_that_cannot_be_read_proves_nothing(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt
) -> None:
    row = lost(alice, waiting, wanted, is_there=False)
    waiting.problems = (RowProblem(part="gtts", row=0, field="status"),)
    for seconds in (31, 62, 93):
        gtt.refresh(alice, later(seconds))
    assert status_of(row) == (GttStatus.UNKNOWN, None)


def test_nor_does_one_that_may_not_reach_back_so_far(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    row = lost(alice, waiting, wanted, is_there=False)
    for days in (8, 9, 10):
        gtt.refresh(alice, NOW + timedelta(days=days))
    assert status_of(row) == (GttStatus.UNKNOWN, None)


def test_one_whose_id_is_known_was_there(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    """Its status cannot be read: that it left the list since proves nothing, and it may be taken back."""
    row = place(alice, wanted)
    told = waiting.rows["G1"]
    waiting.rows["G1"] = replace(told, status=GttStatus.UNKNOWN)
    gtt.refresh(alice, later(2))
    waiting.rows.clear()
    for seconds in (40, 80):
        gtt.refresh(alice, later(seconds))
    assert status_of(row) == (GttStatus.UNKNOWN, "G1")
    waiting.rows["G1"] = told
    assert gtt.cancel(row, user=alice, now=later(90)).status == GttStatus.CANCELLED


def tick(until: float) -> None:
    """What beat does."""
    for seconds in range(0, int(until) + 1, 5):
        gtt_settling.run(later(seconds))


@pytest.mark.parametrize(("is_there", "ends"), [(True, GttStatus.ACTIVE), (False, GttStatus.NOT_PLACED)])
def test_one_whose_sender_died_is_looked_for(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, *, is_there: bool, ends: GttStatus
) -> None:
    row = lost(alice, waiting, wanted, is_there=is_there)
    due = NOW + calling.LAPSE
    GttOrder.objects.update(status=GttStatus.SENDING, settle_due_at=due, reason_code="", reason="")
    gtt_settling.run(due - timedelta(seconds=1))
    assert status_of(row)[0] == GttStatus.SENDING
    assert waiting.reads == 0
    tick(120)
    assert status_of(row)[0] == ends
    assert row.settle_due_at is None
    assert waiting.calls == 1
    reads = waiting.reads
    gtt_settling.run(later(4000))
    assert waiting.reads == reads


def test_nobody_need_look_at_the_page(alice: User, waiting: Waiting, wanted: gtt.WantedGtt) -> None:
    row = lost(alice, waiting, wanted)
    tick(20)
    assert status_of(row) == (GttStatus.ACTIVE, "G1")
    assert gtt.cancel(row, user=alice, now=later(21)).status == GttStatus.CANCELLED


def test_what_stays_unknown_is_looked_for_ever_more_rarely(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt
) -> None:
    lost(alice, waiting, wanted)
    waiting.rows["G1"] = replace(waiting.rows["G1"], created_at=later(-300))
    tick(600)
    reads = waiting.reads
    assert reads <= 41
    tick_from, tick_until = 605, 4000
    for seconds in range(tick_from, tick_until, 5):
        gtt_settling.run(later(seconds))
    assert waiting.reads <= reads + 2


def test_a_list_that_is_not_told_is_asked_for_again(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = lost(alice, waiting, wanted)
    clients = calling.clients_for

    def away(rows: Any, now: datetime) -> Any:
        return {each.pk: BrokerUnavailable("gone") for each in rows}

    monkeypatch.setattr("orders.calling.clients_for", away)
    tick(30)
    assert status_of(row)[0] == GttStatus.UNKNOWN
    monkeypatch.setattr("orders.calling.clients_for", clients)
    gtt_settling.run(later(60))
    assert status_of(row) == (GttStatus.ACTIVE, "G1")


def test_the_answer_outranks_what_was_concluded_meanwhile(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that hung for so long that it was called lost: no answer does not undo what the list told."""
    real = gtt._call

    def slow(*args: Any) -> calling.Answer:
        answer = real(*args)
        tick(60)
        return answer

    monkeypatch.setattr(gtt, "_call", slow)
    assert status_of(lost(alice, waiting, wanted)) == (GttStatus.ACTIVE, "G1")
