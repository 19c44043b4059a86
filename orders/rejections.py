"""How a broker took a trader's own orders: how many it was sent, and how many it refused, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from accounts.models import User
from orders.lifecycle import State
from orders.models import ChildOrder

TENTH = Decimal("0.1")
# Neither took nor refused them: they never got there, or nobody knows yet.
NOT_JUDGED = (State.NOT_PLACED, State.SENDING, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Refused:
    """`judged` are the orders that the broker took or refused; `reasons` counts its refusals by code, most first."""

    judged: int
    rejected: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def rate_pct(self) -> Decimal | None:
        """None where there were none: no order is no good record."""
        if not self.judged:
            return None
        return (Decimal(self.rejected) / self.judged * 100).quantize(TENTH, ROUND_HALF_UP)


def refused_by(user: User, broker_type: str, *, since: datetime) -> Refused:
    """Orders sent since then, whichever account of theirs at this broker they went to."""
    sent = ChildOrder.objects.filter(intent__user=user, broker_type=broker_type, sent_at__gte=since)
    states = Counter(sent.exclude(state__in=NOT_JUDGED).order_by().values_list("state", flat=True))
    codes = Counter(sent.filter(state=State.REJECTED).order_by().values_list("reason_code", flat=True))
    reasons = tuple((code or "no code", count) for code, count in codes.most_common())
    return Refused(judged=states.total(), rejected=states[State.REJECTED], reasons=reasons)
