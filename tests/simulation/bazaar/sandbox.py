"""A broker whose wire is the desk's own words: what the server does around a desk, without any dialect."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from brokers.simulation.dealing import DeskOrder, NewOrder, Refused
from brokers.simulation.dialect import Access, Problem, Route, Sandbox
from brokers.simulation.postbacks import Told
from brokers.simulation.streams import Frame, StreamRoute, StreamSession
from brokers.simulation.wire import Call, Json, Reply, json_reply, redirect


class Orders(StreamSession):
    def received(self, frame: Frame) -> list[Frame]:
        return []

    def prices(self, changed: list[object]) -> list[Frame]:
        return []

    def opened(self) -> list[Frame]:
        return ["here"]

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        return [msgspec.json.encode(order).decode() for order in changed]


class BazaarSandbox(Sandbox):
    slug, name = "bazaar", "Bazaar Securities"
    login_path = "/enter"
    login_fields = ()

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/orders", self.place, Access.PUBLIC)
        yield Route("DELETE", "/orders/{order_id}", self.cancel, Access.PUBLIC)
        yield Route("GET", "/orders", self.order_book, Access.PUBLIC)
        yield Route("GET", "/quotes", self.quotes, Access.PUBLIC)

    def streams(self) -> Iterable[StreamRoute]:
        yield StreamRoute("/news", lambda call: Orders(self.market, self.desk))

    def token(self, call: Call) -> str:
        return ""

    def problem(self, kind: Problem, path: str = "") -> Reply:
        return json_reply({"error": kind.value}, 400)

    def accepted(self, call: Call) -> Reply:
        return redirect(self.app.redirect_uri)

    def cancelled(self, call: Call) -> Reply:
        return redirect(self.app.redirect_uri)

    def postback(self, told: Told) -> Json:
        assert told.order is not None
        return {"order_id": told.order_id, "status": told.order.status.value, "account": told.account_id}

    def place(self, call: Call) -> Reply:
        try:
            return self._said(self.desk.place(msgspec.json.decode(call.body, type=NewOrder)))
        except Refused as refused:
            return json_reply({"why": refused.why, "words": refused.words}, 400)

    def cancel(self, call: Call) -> Reply:
        return self._said(self.desk.cancel(call.parts["order_id"]))

    def order_book(self, call: Call) -> Reply:
        return Reply(200, msgspec.json.encode(self.desk.orders()))

    def quotes(self, call: Call) -> Reply:
        return Reply(200, msgspec.json.encode(self.price("NSE:INFY")))

    def _said(self, order: DeskOrder) -> Reply:
        return Reply(200, msgspec.json.encode(order))


SANDBOX = BazaarSandbox
