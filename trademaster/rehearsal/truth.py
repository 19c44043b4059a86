"""What must hold however bad the day is: no wrong number unmarked, no share lost, no token lost.

Prices stand still during a rehearsal, so that the total of the first whole answer is the right one all day.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from accounts.models import User
from brokers import registry
from brokers.domain import ConnectionStatus
from brokers.errors import BrokerError
from brokers.models import BrokerConnection
from brokers.reach import app_credentials, endpoints_of


class Truth:
    """The right numbers, and everything that was served against them."""

    def __init__(self, first: dict[str, Any]) -> None:
        if not first["complete"]:
            raise ValueError("The first answer must be whole.")
        self.total = Decimal(first["total_value"])
        self.shares = shares_of(first)
        self.wrong: list[str] = []
        self.served = 0

    def judge(self, answer: dict[str, Any]) -> None:
        """Note what is wrong with an answer: a number that is off, or a source that claims to be fresh and is not."""
        self.served += 1
        outside = [source["broker_type"] for source in answer["sources"] if not source["in_totals"]]
        if answer["complete"] and outside:
            self.wrong.append(f"called whole without {', '.join(outside)}")
        if outside:
            return  # it says what it leaves out
        if answer["total_value"] is None or Decimal(answer["total_value"]) != self.total:
            self.wrong.append(f"total {answer['total_value']} instead of {self.total}")
        if shares_of(answer) != self.shares:
            self.wrong.append("quantities differ")

    def losses(self) -> list[str]:
        """What was wrong since the last time this was asked, each once."""
        found = sorted(set(self.wrong))
        self.wrong.clear()
        return found


def shares_of(answer: dict[str, Any]) -> dict[str, str]:
    return {position["key"]: position["total_quantity"] for position in answer["positions"]}


def dead_tokens(trader: User) -> list[str]:
    """The trader's connections that we take for open and whose broker does not know the stored session.

    Asks past every budget and circuit.
    """
    dead = []
    for connection in BrokerConnection.objects.active().filter(user=trader).select_related("user"):
        if connection.status == ConnectionStatus.TOKEN_EXPIRED:
            continue
        session, broker = connection.session, registry.load(connection.broker_type)
        if session is None:
            dead.append(f"{connection.broker_type}: its session is gone")
            continue
        http = broker.transport(endpoints=endpoints_of(broker), loopback_only=True)
        try:
            broker.client(http, app_credentials(connection.user, connection.broker_type), session).profile()
        except BrokerError as error:
            dead.append(f"{connection.broker_type}: {error.code}")
    return dead


def waiting_for_login(trader: User) -> set[str]:
    """Brokers whose connection asks its trader for a login, and would not open by itself."""
    rows = BrokerConnection.objects.filter(
        user=trader, status=ConnectionStatus.TOKEN_EXPIRED, renewal_due_at__isnull=True
    )
    return set(rows.values_list("broker_type", flat=True))
