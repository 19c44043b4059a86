"""Orders that wait at a broker: written down first, asked for once, and settled by the broker's own list."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttRequest, GttStatus
from brokers.domain import Product, Rows, Side
from brokers.errors import OrderRejected, OutcomeUnknown
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import gtt
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
    calls: int = 0


class WaitingClient(FakeClient):
    def __init__(self, waiting: Waiting) -> None:
        super().__init__(Desk())
        self.waiting = waiting

    def place_gtt(self, request: GttRequest) -> str:
        self.waiting.calls += 1
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
        return Rows(tuple(self.waiting.rows.values()))


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch, told: Told, last_price: Any) -> Waiting:
    """At a broker that has such orders."""
    last_price("1500")
    known = Waiting()
    monkeypatch.setattr(gtt, "FEATURE", "holdings")
    monkeypatch.setattr("orders.calling.clients_for", lambda rows, now: {row.pk: WaitingClient(known) for row in rows})
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


def test_nor_elsewhere(alice: User, waiting: Waiting, wanted: gtt.WantedGtt, mallory: User) -> None:
    with pytest.raises(UnknownConnection):
        place(mallory, wanted)


def test_not_every_broker_has_them(
    alice: User, waiting: Waiting, wanted: gtt.WantedGtt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gtt, "FEATURE", "nobody has this")
    with pytest.raises(NoGtt):
        place(alice, wanted)
