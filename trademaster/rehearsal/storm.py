"""`make storm`: two thousand orders at six brokers that lose replies, tell late and twice, while processes die.

Two placing workers send the same intents, one of them is killed in the middle, and so is a Celery worker; Redis is
restarted. Then, with a broker dead, the kill switch is pulled: nothing enters any exchange after that. Afterwards our
book must be the exchange's: nothing executed twice, nothing lost, nothing left unexplained, and nothing left standing.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db import connection as database
from django.utils import timezone

from accounts.models import User
from brokers import postbacks
from brokers.domain import Exchange, OrderType, Product, Side, Validity
from brokers.errors import BrokerError, NotSupported
from brokers.models import BrokerConnection
from brokers.shared import if_redis_is_there
from market.masters import load_master
from market.models import Instrument, InstrumentListing
from orders import changing, sending
from orders.lifecycle import POSSIBLY_LIVE, STANDING, State
from orders.models import ChildOrder, Fill, IntentStatus, OrderIntent, RoutingDecision
from portfolio import watching
from trademaster.local.house import House
from trademaster.rehearsal.passed import rehearsed_run
from trademaster.rehearsal.switch import Switch
from trademaster.rehearsal.weather import (
    CANCEL_SECONDS,
    CANCELLED,
    FAULT_SECONDS,
    FAULTS,
    KEPT,
    ORDERS,
    PARTS,
    PATIENCE_SECONDS,
    RESTS,
    SHARES,
    SPLIT,
    WAITING,
)


@dataclass(slots=True)
class Report:
    """What came of it. `wrong` names every difference; `lines` are figure and value."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def drawn(self) -> str:
        width = max(len(name) for name, _ in self.lines)
        told = [f"{name.ljust(width)}  {value}" for name, value in self.lines]
        return "\n".join(["", *told, *(f"WRONG: {line}" for line in self.wrong[:50])])


def rehearse(house: House, orders: int = ORDERS) -> Report:
    """Takes about four minutes."""
    storm = Storm(house, orders)
    storm.prepare()
    began = time.monotonic()
    storm.place()
    placed = time.monotonic() - began
    storm.settle()
    report = storm.compare()
    report.lines += [
        ("placed in", f"{placed:.0f} s"),
        ("settled in", f"{time.monotonic() - began:.0f} s"),
    ]
    return report


class Storm:
    """One storm over one house."""

    def __init__(self, house: House, orders: int) -> None:
        self.house = house
        self.parts = {slug: round(PARTS[slug] * orders / ORDERS) for slug in house.slugs}
        self.all = sum(self.parts.values())
        self.random = random.Random(7)  # noqa: S311 - it guards nothing
        self.trader = User.objects.get(username=house.login["username"])
        self.faults: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.wishes: list[tuple[OrderIntent, RoutingDecision]] = []
        self.kept = 0
        self.ending = threading.Event()
        self.switch = Switch(house, self.trader)

    # --- before -------------------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        now = timezone.now()
        for slug in self.house.slugs:
            load_master(broker_type=slug, now=now)
            self._enrich(slug)
        self._until(self._is_listed)  # a worker may be loading some of them
        BrokerConnection.objects.filter(user=self.trader).update(trading_enabled_at=now)
        for connection in BrokerConnection.objects.filter(user=self.trader):
            self._post_to_us(connection)
        self.house.control.set_depth(100_000)
        self._wish(now)
        self._feed()

    def _is_listed(self) -> bool:
        rows = InstrumentListing.objects.filter(
            instrument__exchange=Exchange.NSE, instrument__tradingsymbol__in=SHARES, broker_type__in=self.house.slugs
        )
        return rows.count() == len(SHARES) * len(self.house.slugs)

    def _enrich(self, slug: str) -> None:
        book = self.house.control.book(slug)
        book["funds"]["opening_balance"] = "900000000"
        self.house.control.set_book(slug, book)

    def _post_to_us(self, connection: BrokerConnection) -> None:
        try:
            address = postbacks.make_address(connection, now=timezone.now())
        except NotSupported:
            return
        self.house.control.post_updates(connection.broker_type, address.reveal())

    def _wish(self, now: Any) -> None:
        """Every intent and its decision, waiting to be sent."""
        prices = self.house.control.market()["prices"]
        shares = [Instrument.objects.get(exchange=Exchange.NSE, tradingsymbol=symbol) for symbol in SHARES]
        connections = {row.broker_type: row for row in BrokerConnection.objects.filter(user=self.trader)}
        slots = [connections[slug] for slug in self.house.slugs for _ in range(self.parts[slug])]
        self.random.shuffle(slots)
        run = rehearsed_run()
        intents: list[OrderIntent] = []
        decisions: list[RoutingDecision] = []
        while slots:
            parts = [slots.pop()]
            if len(intents) % SPLIT == 0 and slots and slots[-1] != parts[0]:
                parts.append(slots.pop())
            share = self.random.choice(shares)
            intent = self._intent(share, Decimal(prices[f"NSE:{share.tradingsymbol}"]["last"]), now)
            quantities = [self.random.randint(1, 9) for _ in parts]
            intent.quantity = Decimal(sum(quantities))
            intents.append(intent)
            children = [
                {"connection_id": str(connection.pk), "exchange": Exchange.NSE.value, "quantity": str(quantity)}
                for connection, quantity in zip(parts, quantities, strict=True)
            ]
            answer = {"children": children, "checks": run}
            decisions.append(
                RoutingDecision(intent=intent, made_at=now, problem={}, answer=answer, solver="storm", microseconds=0)
            )
        self.wishes = list(zip(intents, decisions, strict=True))
        self.kept = len(self.wishes) // KEPT

    def _feed(self) -> None:
        """Let some intents wait at a time, as traders do: one that nobody sends for minutes is ended.

        Some are kept until the kill switch was pulled, and tried then.
        """
        waiting = OrderIntent.objects.filter(events=None).count()
        free = len(self.wishes) - (self.kept if self.switch.returned_at is None else 0)
        batch = [self.wishes.pop() for _ in range(min(free, WAITING - waiting))]
        now = timezone.now()
        for intent, decision in batch:
            intent.created_at = intent.status_since = decision.made_at = now
        OrderIntent.objects.bulk_create([intent for intent, _ in batch])
        RoutingDecision.objects.bulk_create([decision for _, decision in batch])

    def _intent(self, share: Instrument, last: Decimal, now: Any) -> OrderIntent:
        """Most are dealt in at once; some rest below the market."""
        rests = self.random.randrange(RESTS) == 0
        price = (last * (Decimal("0.98") if rests else Decimal("1.01"))).quantize(Decimal(1))
        return OrderIntent(
            user=self.trader,
            instrument=share,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            product=Product.CNC,
            validity=Validity.DAY,
            price=price,
            exchanges=[Exchange.NSE.value],
            created_at=now,
            status=IntentStatus.WORKING,
            status_since=now,
            quantity=1,
        )

    # --- the storm ----------------------------------------------------------------------------------------------------
    def place(self) -> None:
        weather = threading.Thread(target=self._rage, daemon=True)
        weather.start()
        self._start("placer-1", 1)
        self._start("placer-2", 2)
        self._until(lambda: self._sent() > self.all * 0.25)
        self.house.kill("placer-1")
        self._say("a placing worker killed")
        self._start("placer-3", 3)
        self._until(lambda: self._sent() > self.all * 0.45)
        self.house.services.redis.restart()
        self._say("Redis restarted")
        self._until(lambda: self._sent() > self.all * 0.65)
        self.house.kill("worker")
        self.house.start_worker()
        self._say("a Celery worker killed")
        self.cancel()
        self._until(lambda: self._sent() > self.all * 0.75)
        self.switch.pull()
        self._try_what_was_kept()
        self._until(lambda: all(self._is_over(name) for name in ("placer-2", "placer-3")))
        self.ending.set()
        weather.join()
        for slug in self.house.slugs:
            self.house.control.clear_faults(slug)

    def _try_what_was_kept(self) -> None:
        """Send it as one who knows nothing of the switch. The placing workers may have gone home meanwhile."""
        self._feed()
        waiting = OrderIntent.objects.filter(status=IntentStatus.WORKING, events=None)
        for intent in waiting.select_related("instrument"):
            sending.send(intent=intent, decision=intent.decisions.earliest("made_at"), now=timezone.now())

    def _start(self, name: str, seed: int) -> None:
        self.house.spawn(name, ["-m", "trademaster.rehearsal.placing", str(seed)], lambda: True)

    def _is_over(self, name: str) -> bool:
        return self.house.processes[name].poll() is not None

    def _rage(self) -> None:
        """One more fault somewhere about every second; and a page is open."""
        while not self.ending.wait(FAULT_SECONDS / len(self.house.slugs)):
            kind, how = self.random.choice(FAULTS)
            self.house.control.set_fault(self.random.choice(self.house.slugs), kind, **how)
            self.faults[kind] += 1
            with if_redis_is_there("watching"):
                watching.watch(self.trader.pk)

    def cancel(self) -> None:
        """Half of what stands is cancelled, by the trader, as far as that goes while the storm does."""
        asked, end = 0, time.monotonic() + CANCEL_SECONDS
        for child in ChildOrder.objects.filter(state__in=STANDING).order_by("tag"):
            self._feed()
            if self.random.randrange(CANCELLED) and time.monotonic() < end:
                try:
                    changing.cancel(child, now=timezone.now())
                    asked += 1
                except BrokerError as error:
                    self.refused[error.code] += 1
        self._say(f"{asked} cancellations taken")

    def settle(self) -> None:
        self._until(self._is_settled)

    def _is_settled(self) -> bool:
        open_ones = ChildOrder.objects.filter(state__in=POSSIBLY_LIVE, explained_at=None)
        cancelled = ChildOrder.objects.filter(state__in=STANDING).exclude(cancel_asked_at=None)
        return not open_ones.exists() and not cancelled.exists() and not self._lacking() and self.switch.is_settled()

    def _lacking(self) -> bool:
        """Whether trades are still to be read."""
        filled = dict(ChildOrder.objects.filter(filled_quantity__gt=0).values_list("pk", "filled_quantity"))
        for child_id, quantity in Fill.objects.values_list("child_id", "quantity"):
            filled[child_id] -= quantity
        return any(filled.values())

    def _sent(self) -> int:
        return ChildOrder.objects.count()

    # --- afterwards ---------------------------------------------------------------------------------------------------
    def compare(self) -> Report:
        report = Report()
        exchange = self.house.control.exchange()
        theirs = {
            slug: [order for order in desk["orders"] if order["asked"]["tag"]]
            for slug, desk in exchange["desks"].items()
        }
        children = list(ChildOrder.objects.select_related("intent"))
        for slug in self.house.slugs:
            report.wrong += differences(slug, [c for c in children if c.broker_type == slug], theirs[slug])
        report.wrong += _executed_twice(children, theirs)
        report.wrong += self.switch.wrong({slug: exchange["desks"][slug]["orders"] for slug in self.house.slugs})
        # What the kill switch held back, or Redis that could not be asked about it, was never sent, and says so.
        never = OrderIntent.objects.filter(children=None).exclude(reason_code__in=("halted", "halt_unreadable"))
        unsent = never.count() + len(self.wishes)
        if unsent:
            report.wrong.append(f"{unsent} intents were never sent")
        states = Counter(child.state for child in children)
        unknown = [child for child in children if child.state in POSSIBLY_LIVE]
        report.wrong += [f"{c.tag} is {c.state} and unexplained" for c in unknown if c.explained_at is None]
        was_unknown = ChildOrder.objects.exclude(unknown_since=None)
        not_placed = Counter(child.reason_code for child in children if child.state == State.NOT_PLACED)
        absent = ChildOrder.objects.filter(state=State.NOT_PLACED, reason_code="never_placed").count()
        report.lines += [
            ("orders", str(len(children))),
            ("intents", str(OrderIntent.objects.count())),
            ("orders at the exchange", str(sum(map(len, theirs.values())))),
            ("states", ", ".join(f"{name} {count}" for name, count in sorted(states.items()))),
            ("not placed because", ", ".join(f"{name} {count}" for name, count in sorted(not_placed.items()))),
            ("were unknown for a while", str(was_unknown.count())),
            ("of these proved absent", str(absent)),
            ("still unknown, and explained", str(len(unknown))),
            ("faults switched on", ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))),
            ("cancellations refused", ", ".join(f"{name} {count}" for name, count in sorted(self.refused.items()))),
            *self.switch.figures(theirs),
            ("budgets", "kept" if settings.GOVERNOR_ENABLED else "off"),
            ("differences", str(len(report.wrong))),
        ]
        return report

    def _until(self, happened: Any) -> None:
        """A database that is away for a moment is asked again."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                self._feed()
                if happened():
                    return
            except DatabaseError:
                database.close()
            time.sleep(0.5)
        self._say("patience is over")

    def _say(self, line: str) -> None:
        sys.stderr.write(f"storm: {line}, {self._sent()} orders so far\n")


def differences(slug: str, ours: Sequence[ChildOrder], theirs: Iterable[Mapping[str, Any]]) -> list[str]:
    """What our rows of one broker say other than its desk."""
    wrong = []
    by_tag: dict[str, list[Mapping[str, Any]]] = {}
    for order in theirs:
        by_tag.setdefault(order["asked"]["tag"], []).append(order)
    for tag, orders in by_tag.items():
        if len(orders) > 1:
            wrong.append(f"{slug} {tag}: placed {len(orders)} times")
    known = {child.tag for child in ours}
    wrong += [f"{slug} {tag}: at the exchange, and not ours" for tag in by_tag.keys() - known]
    for child in ours:
        wrong += [f"{slug} {child.tag}: {line}" for line in _differs(child, by_tag.get(child.tag, []))]
    return wrong


def _differs(child: ChildOrder, orders: Sequence[Mapping[str, Any]]) -> list[str]:
    if not orders:
        absent = child.state in (State.NOT_PLACED, State.UNKNOWN) or (
            child.state == State.REJECTED and child.broker_order_id is None
        )
        return [] if absent else [f"{child.state}, and not at the exchange"]
    order = orders[0]
    if child.state == State.UNKNOWN:
        return []  # explained, or told by whoever asks for that
    filled, status = Decimal(order["filled"]), order["status"]
    fills = sum((fill.quantity for fill in child.fills.all()), Decimal(0))
    expected = State.PARTIALLY_FILLED if status == "OPEN" and filled else status
    lines = []
    if child.state != expected:
        lines.append(f"{child.state}, at the exchange {status}")
    if child.filled_quantity != filled or fills != filled:
        lines.append(f"filled {child.filled_quantity}, trades {fills}, at the exchange {filled}")
    return lines


def _executed_twice(children: Iterable[ChildOrder], theirs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Intents of which more was filled, or may be, than was wanted."""
    filled = {order["asked"]["tag"]: Decimal(order["filled"]) for orders in theirs.values() for order in orders}
    live = {
        order["asked"]["tag"]: Decimal(order["asked"]["quantity"])
        for orders in theirs.values()
        for order in orders
        if order["status"] in ("PENDING", "OPEN", "PARTIALLY_FILLED", "TRIGGER_PENDING")
    }
    taken: Counter[OrderIntent] = Counter()
    for child in children:
        taken[child.intent] += live.get(child.tag, filled.get(child.tag, Decimal(0)))  # type: ignore[assignment]
    return [f"intent {intent.pk}: {quantity} of {intent.quantity}" for intent, quantity in taken.items()
            if quantity > intent.quantity]  # fmt: skip
