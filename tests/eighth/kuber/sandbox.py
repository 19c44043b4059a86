"""Kuber, simulated. Failures come with HTTP 200, unless the whole house is shut or too busy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time
from decimal import Decimal

from brokers.simulation.book import Holding, Position
from brokers.simulation.dialect import Access, Problem, Route, Sandbox, same
from brokers.simulation.login import LoginField
from brokers.simulation.sessions import next_at, random_text
from brokers.simulation.wire import Call, Json, Refusal, Reply, json_reply, redirect

PASS_DEATH = time(4)
BOARDS = {"NSE": "N", "BSE": "B", "NFO": "F"}
KINDS = {"CNC": "KEEP", "MIS": "TODAY", "NRML": "CARRY"}
WRONG_APP = (200, "K-12", "No such app")
USED_TICKET = (200, "K-13", "Ticket unknown or used")
PROBLEMS = {
    Problem.TOKEN_DEAD: (200, "K-11", "This pass is over"),
    Problem.RATE_LIMITED: (429, "K-29", "Slower, please"),
    Problem.SERVER_ERROR: (500, "K-50", "Our fault"),
    Problem.MAINTENANCE: (503, "K-53", "Closed for the night"),
    Problem.NOT_FOUND: (404, "K-44", "Nothing here"),
    Problem.METHOD_NOT_ALLOWED: (405, "K-44", "Not in this way"),
}


class KuberSandbox(Sandbox):
    slug, name = "kuber", "Kuber Securities"
    login_path = "/enter"
    login_fields = (LoginField("client", "Client", account="user_id"), LoginField("word", "Password"))

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/enter", self.login_form, Access.PAGE)
        yield Route("POST", "/enter", self.login, Access.PAGE)
        yield Route("POST", "/pass", self.exchange, Access.PUBLIC)
        yield Route("DELETE", "/pass", self.end)
        yield Route("GET", "/me", self.me)
        yield Route("GET", "/shares", self.shares)
        yield Route("GET", "/deals", self.deals)
        yield Route("GET", "/purse", self.purse)
        yield Route("GET", "/orders", self.nothing)
        yield Route("GET", "/fills", self.nothing)
        yield Route("GET", "/prices", self.prices)

    def token(self, call: Call) -> str:
        return call.headers.get("authorization", "").removeprefix("Pass ")

    def problem(self, kind: Problem, path: str = "") -> Reply:
        return fault(*PROBLEMS[kind])

    # --- login -----------------------------------------------------------------------------------

    def accepted(self, call: Call) -> Reply:
        ticket = self.sessions.issue_code(random_text(12), now=self.now(), redirect_uri="")
        return redirect(self.app.redirect_uri, {"ticket": ticket, "note": call.asked("note")})

    def cancelled(self, call: Call) -> Reply:
        return redirect(self.app.redirect_uri, {"note": call.asked("note")})

    def exchange(self, call: Call) -> Reply:
        sent = call.json if isinstance(call.json, dict) else {}
        code = self.sessions.spend_code(str(sent.get("ticket")), now=self.now())
        if code is None:
            raise Refusal(fault(*USED_TICKET))
        if not (same(str(sent.get("app")), self.app.api_key) and same(str(sent.get("word")), self.app.api_secret)):
            raise Refusal(fault(*WRONG_APP))
        session = self.sessions.open(random_text(24), now=self.now(), expires_at=next_at(self.now(), PASS_DEATH))
        return result({"pass": session.token, "client": self.book.account.user_id})

    def end(self, call: Call) -> Reply:
        self.sessions.close(self.token(call))
        return result(None)

    # --- account ---------------------------------------------------------------------------------

    def me(self, call: Call) -> Reply:
        return result({"client": self.book.account.user_id, "name": self.book.account.name, "open": True})

    def shares(self, call: Call) -> Reply:
        return result([self._share(row) for row in self.book.holdings])

    def _share(self, row: Holding) -> Json:
        return {
            "paper": paper(row.key),
            "isin": row.isin,
            "owned": number(row.owned),
            "coming": number(row.t1),
            "pledged": number(row.pledged),
            "sold_today": number(row.used_today),
            "cost": number(row.average_price),
            **self._price(row.key),
        }

    def deals(self, call: Call) -> Reply:
        return result([self._deal(row) for row in self.book.positions])

    def _deal(self, row: Position) -> Json:
        return {
            "paper": paper(row.key),
            "isin": self.instruments[row.key].isin,
            "kind": KINDS[row.product],
            "carried": number(row.overnight_quantity),
            "carried_at": number(row.overnight_price),
            "bought": number(row.day_buy_quantity),
            "bought_at": number(row.day_buy_price),
            "sold": number(row.day_sell_quantity),
            "sold_at": number(row.day_sell_price),
            "cost": number(row.average_price or None),
            **self._price(row.key),
        }

    def purse(self, call: Call) -> Reply:
        funds = self.book.funds
        said = {"free": funds.available, "used": funds.used, "pledge": funds.collateral, "cash": funds.cash}
        return result({name: number(value) for name, value in said.items()})

    def nothing(self, call: Call) -> Reply:
        return result([])

    def prices(self, call: Call) -> Reply:
        known = {paper(item.key): item.key for item in self.instruments if self.market.price(item.key)}
        asked = call.asked("of").split(",")
        return result({name: self._price(known[name]) for name in asked if name in known})

    def _price(self, key: str) -> dict[str, Json]:
        price = self.price(key)
        return {"last": number(price.last), "close": number(price.close)}


SANDBOX = KuberSandbox


def result(value: object) -> Reply:
    return json_reply({"ok": True, "result": value})


def fault(status: int, number: str, text: str) -> Reply:
    return json_reply({"ok": False, "fault": {"no": number, "text": text}}, status)


def paper(key: str) -> str:
    """`NSE:INFY` is `N:INFY` here; what trades nowhere at Kuber keeps its name."""
    exchange, _, symbol = key.partition(":")
    return f"{BOARDS.get(exchange, exchange)}:{symbol}"


def number(value: Decimal | int | None) -> str:
    """With commas, or `-` for what nobody knows."""
    return "-" if value is None else f"{value:,}"
