"""The control API of the simulated brokers. Its client is in client.py, and is to be had from here too.

GET  /                              every broker: url, faults, calls counted, live sessions
PUT  /brokers/<slug>/faults/<kind>  switch a fault on; the body holds a `Fault`'s fields, or nothing
DEL  /brokers/<slug>/faults[/<kind>]
PUT  /faults/<kind>                 the same at every broker; they share one `count`
DEL  /faults[/<kind>]
POST /brokers/<slug>/revoke         end every session at the broker
POST /brokers/<slug>/postback       post news of a filled order: {"address", "order_id"?, "account_id"?, "secret"?}
POST /brokers/<slug>/orders         place an order as the customer does in the broker's own app: a `NewOrder`
DEL  /brokers/<slug>/orders/<id>    cancel one
GET  /brokers/<slug>/book           the account in neutral words, with last and previous prices as strings
PUT  /brokers/<slug>/book           replace it
PUT  /brokers/<slug>/serve          answer a call verbatim: {"call": "GET /path", "body", "status"?, "content_type"?}
DEL  /brokers/<slug>/serve
PUT  /brokers/<slug>/postback       post news of every order to an address from now on: {"address"}
DEL  /brokers/<slug>/postback
GET  /exchange                      {"depth_lots", "desks": {slug: {"orders", "by_tag", "gtts"}}, "trades"}
PUT  /exchange                      {"depth_lots"}: how much the market maker quotes at its best price; 0 sends it away
POST /exchange/reset                forget every order, trade and GTT; books stay as they are
POST /counters/reset
GET  /market                        {"frozen", "prices"}
PUT  /market                        {"frozen"?, "prices"?: [{"isin", "exchange", "last_price", "close_price"?}]}
                                    (`symbol` in place of `isin` for derivatives); answers with `told_at`, when
                                    the streams were told, by the machine's monotonic clock in seconds
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import msgspec
from aiohttp import web

from brokers.simulation.book import book_from_json
from brokers.simulation.client import Control as Control
from brokers.simulation.dealing import NewOrder, Refused
from brokers.simulation.desk import Desk
from brokers.simulation.faults import Fault, FaultKind
from brokers.simulation.postbacks import NOT_HERE, Told, is_here, post
from brokers.simulation.wire import JSON, Reply

if TYPE_CHECKING:
    from brokers.simulation.server import Simulation
    from brokers.simulation.site import Site


class BadRequest(Exception):
    """The control API cannot do that; the text says why."""


class Served(msgspec.Struct, forbid_unknown_fields=True):
    """A reply to give verbatim to one call, `METHOD /path`."""

    call: str
    body: str
    status: int = 200
    content_type: str = JSON


class Posted(msgspec.Struct, forbid_unknown_fields=True):
    """News of an order to post to an address. Of the book's account, signed with the app's secret, unless told else."""

    address: str
    order_id: str = "220303000308932"
    account_id: str = ""
    secret: str = ""


class Posting(msgspec.Struct, forbid_unknown_fields=True):
    """Where news of every order are posted to."""

    address: str


class ExchangeChange(msgspec.Struct, forbid_unknown_fields=True):
    depth_lots: Annotated[int, msgspec.Meta(ge=0)]


class PriceChange(msgspec.Struct, forbid_unknown_fields=True):
    exchange: str
    last_price: Decimal
    isin: str = ""
    symbol: str = ""
    close_price: Decimal | None = None


class MarketChange(msgspec.Struct, forbid_unknown_fields=True):
    frozen: bool | None = None
    prices: list[PriceChange] = []


def control_application(simulation: Simulation) -> web.Application:
    """Build the aiohttp application of the control API."""
    api = ControlApi(simulation)
    application = web.Application(middlewares=[plain_errors])
    application.add_routes(
        [
            web.get("/", api.overview),
            web.put("/faults/{kind}", api.set_fault_everywhere),
            web.delete("/faults", api.clear_faults_everywhere),
            web.delete("/faults/{kind}", api.clear_faults_everywhere),
            web.put("/brokers/{slug}/faults/{kind}", api.set_fault),
            web.delete("/brokers/{slug}/faults", api.clear_faults),
            web.delete("/brokers/{slug}/faults/{kind}", api.clear_faults),
            web.post("/brokers/{slug}/revoke", api.revoke),
            web.post("/brokers/{slug}/postback", api.postback),
            web.put("/brokers/{slug}/postback", api.post_updates),
            web.delete("/brokers/{slug}/postback", api.post_nothing),
            web.post("/brokers/{slug}/orders", api.place),
            web.delete("/brokers/{slug}/orders/{order_id}", api.cancel),
            web.get("/brokers/{slug}/book", api.book),
            web.put("/brokers/{slug}/book", api.set_book),
            web.put("/brokers/{slug}/serve", api.serve),
            web.delete("/brokers/{slug}/serve", api.serve_nothing),
            web.post("/counters/reset", api.reset_counters),
            web.get("/exchange", api.exchange),
            web.put("/exchange", api.set_exchange),
            web.post("/exchange/reset", api.reset_exchange),
            web.get("/market", api.market),
            web.put("/market", api.set_market),
        ]
    )
    return application


@web.middleware
async def plain_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer a request that cannot be done with 400 and one line of reason."""
    try:
        return await handler(request)
    except (BadRequest, Refused, msgspec.ValidationError, msgspec.DecodeError) as error:
        return web.json_response({"error": str(error)}, status=400)


class ControlApi:
    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    async def overview(self, request: web.Request) -> web.Response:
        return answer(self._summaries())

    async def set_fault_everywhere(self, request: web.Request) -> web.Response:
        fault = msgspec.json.decode(await request.read() or b"{}", type=Fault)
        for site in self.simulation.sites.values():
            await site.set_fault(fault_kind(request), fault)
        return answer(self._summaries())

    async def clear_faults_everywhere(self, request: web.Request) -> web.Response:
        kind = fault_kind(request) if "kind" in request.match_info else None
        for site in self.simulation.sites.values():
            await site.clear_faults(kind)
        return answer(self._summaries())

    async def set_fault(self, request: web.Request) -> web.Response:
        site = self._site(request)
        fault = msgspec.json.decode(await request.read() or b"{}", type=Fault)
        await site.set_fault(fault_kind(request), fault)
        return answer(self._summary(site))

    async def clear_faults(self, request: web.Request) -> web.Response:
        site = self._site(request)
        await site.clear_faults(fault_kind(request) if "kind" in request.match_info else None)
        return answer(self._summary(site))

    async def revoke(self, request: web.Request) -> web.Response:
        revoked = self._site(request).sandbox.sessions.revoke_all()
        self.simulation.save()
        return answer({"revoked": revoked})

    async def postback(self, request: web.Request) -> web.Response:
        sandbox = self._site(request).sandbox
        posted = msgspec.json.decode(await request.read(), type=Posted)
        told = Told(
            order_id=posted.order_id,
            account_id=posted.account_id or sandbox.book.account.user_id,
            secret=posted.secret or sandbox.app.api_secret,
            at=sandbox.now(),
        )
        body = sandbox.postback(told)
        if body is None:
            raise BadRequest(f"{sandbox.name} posts nothing")
        try:
            return answer({"status": await post(posted.address, msgspec.json.encode(body))})
        except ValueError as error:
            raise BadRequest(str(error)) from None

    async def post_updates(self, request: web.Request) -> web.Response:
        site = self._site(request)
        address = msgspec.json.decode(await request.read(), type=Posting).address
        if not is_here(address):
            raise BadRequest(NOT_HERE)
        site.poster.post_to(address)
        return answer({"address": address})

    async def post_nothing(self, request: web.Request) -> web.Response:
        self._site(request).poster.post_to("")
        return answer({"address": None})

    async def place(self, request: web.Request) -> web.Response:
        desk = self._site(request).sandbox.desk
        placed = desk.place_by_hand(msgspec.json.decode(await request.read(), type=NewOrder))
        self.simulation.dealt()
        return answer(placed)

    async def cancel(self, request: web.Request) -> web.Response:
        cancelled = self._site(request).sandbox.desk.cancel_by_hand(request.match_info["order_id"])
        self.simulation.dealt()
        return answer(cancelled)

    async def book(self, request: web.Request) -> web.Response:
        return answer(self.simulation.priced_book(self._site(request).sandbox.slug))

    async def set_book(self, request: web.Request) -> web.Response:
        site = self._site(request)
        book = book_from_json(await request.read())
        for key in book.keys:
            if self.simulation.market.price(key) is None:
                raise BadRequest(f"{key} has no price in this market")
        site.sandbox.book = book
        site.sandbox.desk.book_changed()
        self.simulation.save()
        return answer(self.simulation.priced_book(site.sandbox.slug))

    async def serve(self, request: web.Request) -> web.Response:
        served = msgspec.json.decode(await request.read(), type=Served)
        self._site(request).served[served.call] = Reply(served.status, served.body.encode(), served.content_type)
        return answer({"serving": served.call})

    async def serve_nothing(self, request: web.Request) -> web.Response:
        self._site(request).served.clear()
        return answer({"serving": None})

    async def reset_counters(self, request: web.Request) -> web.Response:
        for site in self.simulation.sites.values():
            site.calls.clear()
        return answer({"reset": True})

    async def exchange(self, request: web.Request) -> web.Response:
        exchange = self.simulation.exchange
        desks = {slug: site.sandbox.desk for slug, site in self.simulation.sites.items()}
        return answer(
            {
                "depth_lots": exchange.depth_lots,
                "desks": {slug: described(desk) for slug, desk in desks.items()},
                "trades": exchange.trades,
            }
        )

    async def set_exchange(self, request: web.Request) -> web.Response:
        exchange = self.simulation.exchange
        exchange.depth_lots = msgspec.json.decode(await request.read(), type=ExchangeChange).depth_lots
        exchange.prices_moved()
        self.simulation.tell_orders()
        return answer({"depth_lots": exchange.depth_lots})

    async def reset_exchange(self, request: web.Request) -> web.Response:
        self.simulation.reset_exchange()
        return answer({"reset": True})

    async def market(self, request: web.Request) -> web.Response:
        market = self.simulation.market
        return answer({"frozen": market.frozen, "prices": market.snapshot()})

    async def set_market(self, request: web.Request) -> web.Response:
        change = msgspec.json.decode(await request.read(), type=MarketChange)
        market = self.simulation.market
        keys = [self._listing_key(price) for price in change.prices]  # all or nothing
        for key, price in zip(keys, change.prices, strict=True):
            market.set_price(key, last=price.last_price, close=price.close_price)
        if change.frozen is not None:
            market.frozen = change.frozen
        self.simulation.exchange.prices_moved(keys)
        self.simulation.tell_orders()
        told_at = time.monotonic()
        self.simulation.tell_prices()
        self.simulation.save()
        return answer({"frozen": market.frozen, "set": keys, "told_at": told_at})

    def _listing_key(self, change: PriceChange) -> str:
        instruments = self.simulation.market.instruments
        listing = instruments.at(change.isin, change.exchange) or instruments.get(f"{change.exchange}:{change.symbol}")
        if listing is None:
            raise BadRequest(f"no instrument {change.isin or change.symbol} at {change.exchange}")
        return listing.key

    def _site(self, request: web.Request) -> Site:
        site = self.simulation.sites.get(request.match_info["slug"])
        if site is None:
            raise BadRequest(f"no simulated broker {request.match_info['slug']!r}")
        return site

    def _summaries(self) -> dict[str, object]:
        return {"brokers": {slug: self._summary(site) for slug, site in self.simulation.sites.items()}}

    def _summary(self, site: Site) -> dict[str, object]:
        site.faults.forget_spent()
        return {
            "url": site.url,
            "faults": {kind.value: fault for kind, fault in site.faults.active.items()},
            "calls": dict(site.calls),
            "live_sessions": site.sandbox.sessions.count_live(site.sandbox.now()),
        }


def described(desk: Desk) -> dict[str, object]:
    """Return everything a desk has, told yet or not, with the numbers of its orders by the tag they carry."""
    by_tag: dict[str, list[str]] = {}
    for order in desk.all_orders():
        if order.asked.tag is not None:
            by_tag.setdefault(order.asked.tag, []).append(order.order_id)
    return {"orders": desk.all_orders(), "by_tag": by_tag, "gtts": desk.gtts.all()}


def fault_kind(request: web.Request) -> FaultKind:
    name = request.match_info["kind"]
    try:
        return FaultKind(name)
    except ValueError:
        raise BadRequest(f"no fault {name!r}; there are {', '.join(FaultKind)}") from None


def answer(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type=JSON)
