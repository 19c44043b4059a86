"""One simulated broker without its server: its routes are called as the server calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlencode

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.dialect import Sandbox
from brokers.simulation.faults import Fault, FaultKind
from brokers.simulation.postbacks import Told
from brokers.simulation.server import Simulation
from brokers.simulation.wire import JSON, Call, Refusal, Reply
from tests.simulation.conftest import MovableClock

FIXTURES = Path(__file__).parents[1] / "fixtures"
SHARE = "NSE:INFY"
FORM = "application/x-www-form-urlencoded"
Dialect = TypeVar("Dialect", bound=Sandbox)


class Offline(Generic[Dialect]):
    """`kind` is the dialect's class; every handler is asked as somebody who is logged in."""

    def __init__(self, kind: type[Dialect]) -> None:
        self.clock = MovableClock()
        self.simulation = Simulation([kind.slug], base_port=0, frozen=True, clock=self.clock)
        self.sandbox = cast(Dialect, self.simulation.sites[kind.slug].sandbox)
        self.last = self.sandbox.price(SHARE).last
        self.tick = self.sandbox.market.tick_size(self.sandbox.instruments[SHARE])

    def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, Any] | None = None,
        document: Any = None,
        **query: str,
    ) -> Reply:
        body = urlencode(form).encode() if form is not None else json.dumps(document).encode()
        headers = {"content-type": FORM if form is not None else JSON}
        asked = {name: [value] for name, value in query.items()}
        try:
            route, parts = self.sandbox.find(method, path)
            self.sandbox.desk.begin(path)
            return route.handler(Call(method, path, asked, headers, body, parts))
        except Refusal as refusal:
            return refusal.reply

    def said(self, method: str, path: str, **sent: Any) -> Any:
        """The decoded reply; its numbers are exact."""
        return json.loads(self.ask(method, path, **sent).body, parse_float=Decimal)

    def fault(self, kind: FaultKind) -> None:
        self.sandbox.desk.faults.active[kind] = Fault(count=1)

    def told(self, order: DeskOrder) -> Told:
        """The news of an order, as the server has it posted."""
        account = self.sandbox.book.account.user_id
        secret = self.sandbox.app.api_secret
        return Told(order_id=order.order_id, account_id=account, secret=secret, at=order.updated_at, order=order)


def recorded(slug: str, file: str) -> Any:
    return json.loads((FIXTURES / slug / file).read_text(), parse_float=Decimal)


def names(row: Any) -> set[str]:
    return set(row)
