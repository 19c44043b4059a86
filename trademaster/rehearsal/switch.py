"""The kill switch in the storm: pulled while orders fly and a broker is dead, and held against the exchange's times."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from accounts.models import User
from orders import halting
from orders.halt_models import HaltProgress, Outcome, Reach
from orders.lifecycle import POSSIBLY_LIVE
from orders.models import ChildOrder, IntentStatus, OrderIntent
from portfolio.risk_models import HaltLevel
from trademaster.local.house import House

STANDS = ("PENDING", "OPEN", "PARTIALLY_FILLED", "TRIGGER_PENDING")
DEAD_SECONDS = 15.0


class Switch:
    """One pull of level (b), and what was seen of it."""

    def __init__(self, house: House, trader: User) -> None:
        self.house, self.trader = house, trader
        self.returned_at: datetime | None = None
        self.took = 0.0
        self.in_flight: int | None = None
        self.at_return: Mapping[str, int] = {}
        self.dead = ""
        self.dead_state = "no row"

    def pull(self) -> None:
        """With one broker dead, which comes back after some seconds."""
        self.dead = self.house.slugs[-1]
        self.house.control.set_fault(self.dead, "down")
        began = time.monotonic()
        stopped = halting.pull(
            self.trader, level=HaltLevel.CANCEL, reason="The storm.", by=self.trader, now=timezone.now()
        )  # fmt: skip
        # By the machine's own clock, as the exchange's entries are.
        self.returned_at, self.took = datetime.now(UTC), time.monotonic() - began
        self.in_flight = stopped.in_flight
        self.at_return = Counter(row.state for row in stopped.progress)
        self.dead_state = {row.broker_type: row.state for row in stopped.progress}.get(self.dead, self.dead_state)
        sys.stderr.write(f"storm: the kill switch pulled in {self.took:.1f} s, {dict(self.at_return)}\n")
        time.sleep(max(0.0, DEAD_SECONDS - self.took))
        self.house.control.clear_faults(self.dead)

    def is_settled(self) -> bool:
        """Whether every broker has been gone on with to its end."""
        return not HaltProgress.objects.exclude(state=Reach.SETTLED).exists()

    # --- afterwards ---------------------------------------------------------------------------------------------------
    def wrong(self, theirs: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[str]:
        """Every order that entered after the return; and every one that stands, unless it is told with its reason.

        That none entered proves something only if somebody tried, and if the dead broker was seen to be dead.
        """
        if self.returned_at is None:
            return ["the kill switch was never pulled"]
        lines = []
        if not self._tried():
            lines.append("no order was tried after the switch was pulled")
        if self.dead_state != Reach.UNREACHABLE:
            lines.append(f"{self.dead} was dead, and the switch said {self.dead_state} of it")
        told = _told()
        for slug, orders in theirs.items():
            for order in orders:
                if datetime.fromisoformat(order["placed_at"]) > self.returned_at:
                    lines.append(f"{slug} {order['order_id']}: entered after the switch was pulled")
                elif order["status"] in STANDS and (slug, order["order_id"]) not in told:
                    lines.append(f"{slug} {order['order_id']}: stands, and is not told with a reason")
        left = ChildOrder.objects.filter(state__in=POSSIBLY_LIVE, explained_at=None).count()
        if left:
            lines.append(f"{left} orders are not known, and their owner was not told")
        return lines

    def _tried(self) -> int:
        """Orders that a sender brought after the return, and that were held back: not what was ended unsent."""
        held = OrderIntent.objects.filter(status=IntentStatus.NOT_PLACED, reason_code="halted")
        return held.filter(status_since__gt=self.returned_at).exclude(reason__startswith=halting.HALTED.words).count()

    def figures(self, theirs: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[tuple[str, str]]:
        rows = list(HaltProgress.objects.all())
        outcomes: Counter[str] = Counter()
        for row in rows:
            outcomes.update(row.counted())
        stands = sum(order["status"] in STANDS for orders in theirs.values() for order in orders)
        entered = max(
            (datetime.fromisoformat(order["placed_at"]) for orders in theirs.values() for order in orders), default=None
        )
        early = "" if entered is None or self.returned_at is None else f"{self.returned_at - entered}"
        held = OrderIntent.objects.filter(status=IntentStatus.NOT_PLACED, reason_code="halted").count()
        return [
            ("kill switch returned in", f"{self.took:.1f} s, with {self.dead} dead"),
            ("at its return", ", ".join(f"{state} {count}" for state, count in sorted(self.at_return.items()))),
            ("on their way at its return", "not told" if self.in_flight is None else str(self.in_flight)),
            ("last entry before its return", early),
            ("cancelled by it", ", ".join(f"{name} {outcomes[name]}" for name in Outcome.values if outcomes[name])),
            ("rounds", ", ".join(f"{row.broker_type} {row.rounds}" for row in rows)),
            ("intents held back", str(held)),
            ("of these tried after its return", str(self._tried())),
            ("stand at the exchange afterwards", str(stands)),
        ]


def _told() -> set[tuple[str, str]]:
    """Orders that the progress names, with what became of them and why."""
    return {
        (row.broker_type, key)
        for row in HaltProgress.objects.all()
        for key, line in row.lines.items()
        if line["code"] is not None or line["outcome"] == Outcome.UNKNOWN
    }
