"""A run of the checks before an order in which all passed, for what is sent without having been decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from brokers.dealing import OrderChange
from brokers.domain import Exchange, Product, Side
from orders import changing
from orders.calling import Clients
from orders.checks import clearing
from orders.checks.table import CHECKS
from orders.checks.words import Checked, Verdict, passed
from orders.decisions import Planned
from orders.models import ChildOrder
from trademaster.rehearsal.passed import rehearsed_run


def run_that_passed() -> tuple[Checked, ...]:
    return tuple(
        Checked(number=each.number, name=each.name, verdict=Verdict.PASS, findings=(passed(each.number, "Seen."),))
        for each in CHECKS
    )


def stored_run() -> Any:
    """As a decision has it."""
    return rehearsed_run()


def change_it(child: ChildOrder, change: OrderChange, *, now: datetime, clients: Clients) -> changing.Asked:
    """Change an order that stands, as one that has passed."""
    planned = Planned(
        connection_id=str(child.broker_connection_id),
        broker_type=child.broker_type,
        exchange=Exchange(child.exchange),
        side=Side(child.side),
        order_type=change.order_type,
        product=Product(child.product),
        validity=change.validity,
        quantity=change.quantity,
        price=change.price,
    )
    cleared = clearing.of_run(run_that_passed(), [planned])
    return changing.modify(child, change, cleared, now=now, clients=clients)
