"""What is done by itself: positions closed under level (c), what reduces let through, and the switch pulled."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from brokers.dealing import GttKind, GttLeg
from brokers.domain import OrderStatus, OrderType, Product, Side
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import flattening, gtt, halt_rounds, halting, intake, sending
from orders.halt_models import HaltProgress, Reach
from orders.lifecycle import State
from orders.models import ChildOrder, GttOrder, IntentStatus, OrderEvent, OrderIntent, Origin, Teller
from portfolio import halting as switch
from portfolio import services as portfolio
from portfolio.halt_refusals import TradingHalted
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt
from tests.orders.conftest import NOW, Wish, later
from tests.orders.fakes import Desk, Desks
from tests.orders.halting.conftest import Pull, Stand, at
from tests.orders.intake.conftest import Place, Told, buy, holding, only, position

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told_now(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the brokers answered last is what they answer now."""
    known = portfolio.known_sources

    def fetched(user: User, *, now: datetime) -> Any:
        from datetime import timedelta

        return known(user, now=now, recent=timedelta(hours=1)), {}

    monkeypatch.setattr(portfolio, "fetched_sources", fetched)
    BrokerConnection.objects.update(status="CONNECTED")


@pytest.mark.usefixtures("told_now")
class TestFlattening:
    @pytest.fixture
    def long(self, infy: Instrument, told: Told, last_price: Any) -> None:
        last_price("1500")
        told("upstox", positions=(position("upstox", 100),))

    def flat(self, pull: Pull, send: intake.Send, second: float = 10) -> TradingHalt:
        halt = pull(HaltLevel.FLATTEN, second=second).row
        rows = HaltProgress.objects.filter(halt=halt, state=Reach.CLOSING)
        flattening.go_on(halt, rows, now=later(second + 2), send=send)
        return halt

    @pytest.mark.usefixtures("long")
    def test_positions_are_closed_by_limit_orders_after_everything_was_cancelled(
        self, stand: Stand, pull: Pull, send: intake.Send, desks: Desks, accounts: dict[str, BrokerConnection]
    ) -> None:
        other = stand("upstox")
        halt = self.flat(pull, send)
        other.refresh_from_db()
        assert other.state == State.CANCELLED
        [asked] = [each for each in desks[accounts["upstox"]].placed if each.side is Side.SELL]
        assert (asked.order_type, asked.quantity, asked.product) == (OrderType.LIMIT, 100, Product.MIS)
        assert asked.price is not None
        assert Decimal(1400) < asked.price < Decimal(1500)
        assert not [each for each in desks[accounts["zerodha"]].placed if each.side is Side.SELL]
        [line] = HaltProgress.objects.get(halt=halt, broker_type="upstox").positions.values()
        assert OrderIntent.objects.get(pk=line["order"]).origin == Origin.SQUARE_OFF

    @pytest.mark.usefixtures("long")
    def test_again_closes_nothing_twice_and_cancels_what_did_not_fill(
        self, pull: Pull, send: intake.Send, desks: Desks, accounts: dict[str, BrokerConnection]
    ) -> None:
        halt = self.flat(pull, send)
        desk = desks[accounts["upstox"]]
        rows = HaltProgress.objects.filter(halt=halt)
        flattening.go_on(halt, rows.filter(state=Reach.CLOSING), now=later(25), send=send)
        assert len(desk.placed) == 1
        self.flat(pull, send, second=40)
        assert [order.status for order in desk.orders.values()] == [OrderStatus.CANCELLED, OrderStatus.OPEN]
        assert len(desk.placed) == 2

    @pytest.mark.usefixtures("long")
    def test_rounds_by_itself_leave_what_closes_alone(
        self, pull: Pull, send: intake.Send, desks: Desks, accounts: dict[str, BrokerConnection]
    ) -> None:
        halt = self.flat(pull, send)
        desk = desks[accounts["upstox"]]
        only_one = [accounts["upstox"].pk]
        halting.cancel_everything(halt, now=later(60), clients=desks, only=only_one, spares_closing=True)
        assert [order.status for order in desk.orders.values()] == [OrderStatus.OPEN]

    def test_nothing_held_is_settled(self, pull: Pull, send: intake.Send, told: Told) -> None:
        halt = self.flat(pull, send)
        assert set(HaltProgress.objects.filter(halt=halt).values_list("state", flat=True)) == {Reach.SETTLED}

    @pytest.mark.parametrize("quantity", [-100, 100])
    @pytest.mark.parametrize("product", [Product.CNC, Product.MTF])
    def test_shares_that_were_dealt_in_for_keeps_are_left_alone(
        self, quantity: int, product: Product, pull: Pull, send: intake.Send, told: Told, last_price: Any
    ) -> None:
        last_price("1500")
        told("upstox", positions=(position("upstox", quantity, product),))
        halt = self.flat(pull, send)
        assert not OrderIntent.objects.filter(origin=Origin.SQUARE_OFF).exists()
        assert set(HaltProgress.objects.filter(halt=halt).values_list("state", flat=True)) == {Reach.SETTLED}

    @pytest.mark.usefixtures("told")
    def test_nothing_else_goes_out(self, pull: Pull, infy: Instrument, place: Place) -> None:
        pull(HaltLevel.FLATTEN)
        with pytest.raises(TradingHalted):
            place(buy(infy), now=later(20))


class TestOnlyWhatReduces:
    @pytest.fixture
    def locked(self, alice: User) -> TradingHalt:
        return switch.halt(
            alice, kind=HaltKind.DAY_LOSS, level=HaltLevel.REDUCE_ONLY, cause="day_loss", reason="", by=None, now=NOW
        ).row

    def test_a_purchase_is_held_back_and_a_sale_of_what_is_owned_goes(
        self, locked: TradingHalt, infy: Instrument, place: Place, told: Told, last_price: Any, desk: Desk
    ) -> None:
        last_price("1500")
        told("zerodha", holdings=(holding("zerodha", 10),))
        held = only(place(buy(infy), key="key-a-001"))
        assert (held.status, held.reason_code, desk.placed) == (IntentStatus.REFUSED, "halted", [])
        sold = only(place(buy(infy, 4, side=Side.SELL, price=Decimal(1499)), key="key-a-002"))
        assert (sold.status, [each.quantity for each in desk.placed]) == (IntentStatus.WORKING, [4])

    def test_more_than_the_position_would_turn_it_round(
        self, locked: TradingHalt, infy: Instrument, place: Place, told: Told, last_price: Any, desk: Desk
    ) -> None:
        last_price("1500")
        told("zerodha", positions=(position("zerodha", 10),))
        wanted = {"side": Side.SELL, "product": Product.MIS, "price": Decimal(1499)}
        here = str(BrokerConnection.objects.get(broker_type="zerodha").pk)
        more = buy(infy, 11, connection_ids=(here,), **wanted)
        assert only(place(more, key="key-b-001")).reason_code == "halted"
        six = buy(infy, 6, connection_ids=(here,), **wanted)
        assert only(place(six, key="key-b-002")).status == IntentStatus.WORKING
        # The first rests: four are left.
        five = buy(infy, 5, connection_ids=(here,), **wanted)
        assert only(place(five, key="key-b-003")).reason_code == "halted"
        assert [each.quantity for each in desk.placed] == [6]


@pytest.mark.parametrize("level", [HaltLevel.STOP, HaltLevel.CANCEL, HaltLevel.FLATTEN])
def test_nothing_is_left_to_wait_at_a_broker_either(
    level: HaltLevel, alice: User, infy: Instrument, pull: Pull, accounts: dict[str, BrokerConnection]
) -> None:
    pull(level)
    wanted = gtt.WantedGtt(
        connection_id=accounts["zerodha"].pk, instrument_id=infy.pk, kind=GttKind.SINGLE, side=Side.BUY,
        product=Product.CNC, legs=(GttLeg(trigger_price=Decimal(1400), price=Decimal(1401), quantity=Decimal(1)),),
    )  # fmt: skip
    with pytest.raises(TradingHalted):
        gtt.place(user=alice, wanted=wanted, key="gtt-key-1", now=later(20))
    assert not GttOrder.objects.exists()


class TestByItself:
    def rejected(self, wish: Wish, count: int, second: float = 0) -> None:
        for _ in range(count):
            intent, decision = wish(("zerodha", 1))
            ChildOrder.objects.create(
                intent=intent, decision=decision, broker_type="zerodha", number=1, exchange="NSE", traded={},
                side="BUY", order_type="LIMIT", product="CNC", validity="DAY", quantity=1, price=1,
                tag=sending.new_tag(), request_hash="", state=State.REJECTED, state_since=later(second),
                sent_at=later(second),
            )  # fmt: skip

    def test_too_many_rejections_in_a_minute_stop_trading(self, wish: Wish, alice: User, settings: Any) -> None:
        settings.HALT_REJECTS_PER_MINUTE = 3
        self.rejected(wish, 3)
        halt_rounds.look_after(later(5))
        assert not TradingHalt.objects.exists()
        self.rejected(wish, 1, second=4)
        halt_rounds.look_after(later(5))
        row = TradingHalt.objects.get()
        assert (row.kind, row.level, row.cause, row.set_by) == (HaltKind.KILL, HaltLevel.STOP, "rejects", None)
        switch.end(alice, kind=HaltKind.KILL, reason="Looked into.", by=alice, now=later(6))
        halt_rounds.look_after(later(7))
        assert switch.standing(alice.pk).halts == ()

    def test_those_of_a_minute_ago_do_not(self, wish: Wish, settings: Any) -> None:
        settings.HALT_REJECTS_PER_MINUTE = 3
        self.rejected(wish, 9)
        halt_rounds.look_after(later(61))
        assert not TradingHalt.objects.exists()

    @pytest.mark.parametrize(
        ("code", "why", "stops"),
        [
            ("contradicted", "filled_beyond_quantity", True),
            ("contradicted", "another_end", True),
            ("contradicted", "filled_less_than_before", False),  # an older reading that came late says so, too
            ("found_after_all", "", True),
            ("seen", "another_end", False),
        ],
    )
    def test_a_book_that_contradicts_ours_does(self, wish: Wish, code: str, why: str, stops: bool) -> None:
        intent, _ = wish(("zerodha", 1))
        OrderEvent.objects.create(intent=intent, at=NOW, teller=Teller.BOOK, code=code, details={"why": why})
        halt_rounds.look_after(later(3))
        assert TradingHalt.objects.filter(cause="reconciliation_break").exists() == stops


def test_what_a_limit_halts_is_cancelled_too(
    stand: Stand, alice: User, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    """Limits stand below orders: they set the halt, and the next look begins to cancel."""
    child = stand("zerodha")
    row = switch.halt(
        alice, kind=HaltKind.KILL, level=HaltLevel.CANCEL, cause="limit", reason="", by=None, now=later(5)
    ).row  # fmt: skip
    assert halt_rounds.look_after(later(6)) == [row.pk]
    halt_rounds.go_on(row.pk, now=later(6), clients=desks)
    child.refresh_from_db()
    assert child.state == State.CANCELLED
    assert halt_rounds.look_after(later(7)) == []


HOURS = 2 * 3600.0


@pytest.mark.parametrize("level", [HaltLevel.CANCEL, HaltLevel.FLATTEN])
def test_what_was_raised_hours_after_it_was_set_is_begun_too(
    level: HaltLevel, stand: Stand, pull: Pull, alice: User, desks: Desks
) -> None:
    """Whoever raised it died before anything was cancelled, or written down of that."""
    child = stand("zerodha")
    row = pull(HaltLevel.STOP).row
    raised = switch.halt(
        alice, kind=HaltKind.KILL, level=level, cause="person", reason="", by=alice, now=later(HOURS)
    ).row  # fmt: skip
    assert (raised.pk, raised.set_at, raised.raised_at) == (row.pk, row.set_at, later(HOURS))
    assert halt_rounds.look_after(later(HOURS + 1)) == [row.pk]
    halt_rounds.go_on(row.pk, now=later(HOURS + 1), clients=desks)
    child.refresh_from_db()
    assert child.state == State.CANCELLED


@pytest.mark.usefixtures("accounts")
def test_and_so_is_one_that_had_settled_at_a_lower_level(pull: Pull, alice: User, desks: Desks) -> None:
    row = pull(HaltLevel.CANCEL).row
    assert halt_rounds.look_after(later(HOURS)) == []
    switch.halt(
        alice, kind=HaltKind.KILL, level=HaltLevel.FLATTEN, cause="person", reason="", by=alice, now=later(HOURS)
    )
    assert halt_rounds.look_after(later(HOURS + 1)) == [row.pk]
    halt_rounds.go_on(row.pk, now=later(HOURS + 1), clients=desks)
    assert set(HaltProgress.objects.values_list("state", flat=True)) == {Reach.CLOSING}


def test_progress_is_kept_of_every_connection(
    stand: Stand, pull: Pull, accounts: dict[str, BrokerConnection]
) -> None:  # fmt: skip
    stand("zerodha")
    stopped = pull()
    assert {row.broker_type for row in stopped.progress} == set(accounts)
    assert at(stopped, accounts["zerodha"]).rounds == 1
