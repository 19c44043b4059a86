"""Kite's calls, one short method each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttRequest, OrderChange, OrderMargin, OrderRequest, StandingOrder
from brokers.domain import (
    BrokerOrder,
    BrokerTrade,
    Candle,
    Exchange,
    Funds,
    Holding,
    Listing,
    Position,
    Profile,
    Quote,
    Rows,
)
from brokers.errors import RequestRefused
from brokers.secret import Secret
from brokers.wire import each
from brokers.zerodha import dealing, instruments, mapping
from brokers.zerodha.spec import NO_PERMISSION, SPEC

ORDERS = "/orders/regular"
TRIGGERS = "/gtt/triggers"
HISTORY = "/instruments/historical"


class ZerodhaClient(BrokerClient):
    spec = SPEC
    quotes_at_once = 1000
    # UNCONFIRMED: the documentation names no most; public clients quote it from Kite's refusal of more.
    candle_days = 2000

    def authorization(self) -> Secret:
        return Secret(f"token {self.app.api_key.reveal()}:{self.session.access_token.reveal()}")

    def profile(self) -> Profile:
        return mapping.profile(mapping.data(self.get("/user/profile")))

    def holdings(self) -> Rows[Holding]:
        return each("holdings", mapping.holdings, mapping.data(self.get("/portfolio/holdings")))

    def positions(self) -> Rows[Position]:
        return each("positions", mapping.positions, mapping.net_positions(self.get("/portfolio/positions")))

    def funds(self) -> Funds:
        return mapping.funds(mapping.data(self.get("/user/margins")))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, mapping.data(self.get("/orders")))

    def trades(self) -> Rows[BrokerTrade]:
        return each("trades", mapping.trades, mapping.data(self.get("/trades")))

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Up to 1,000 listings a call, one call a second; free "Personal" apps are refused (SUSPENDED)."""
        asked = {instruments.quote_key(listing): listing for listing in listings}
        body = self.get("/quote/ohlc", [("i", key) for key in asked])
        return mapping.quotes(mapping.data(body), asked)

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        """Of shares, contracts and indices alike; three calls a second. The free "Personal" apps are told none."""
        path = f"{HISTORY}/{instruments.history_token(listing)}/day"
        try:
            body = self.get(path, {"from": f"{first} 00:00:00", "to": f"{last} 23:59:59"})
        except RequestRefused as refusal:
            if refusal.vendor_code not in NO_PERMISSION:
                raise
            raise RequestRefused(
                "This app is told no market data.",
                code="candles_not_permitted",
                vendor_code=refusal.vendor_code,
                reason=refusal.reason,
                user_action="Daily prices take the paid Connect plan of Kite; the app may do everything else without.",
            ) from None
        self.shapes[f"GET {HISTORY}"] = self.shapes.pop(f"GET {path}")  # the same of every instrument
        return mapping.candles(body, listing, first, last)

    def place(self, request: OrderRequest) -> str:
        return self.acknowledged(dealing.placed_id, "POST", ORDERS, form=dealing.order_params(request))

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        path = f"{ORDERS}/{standing.broker_order_id}"
        return self.acknowledged(dealing.placed_id, "PUT", path, form=dealing.change_params(standing, change))

    def cancel(self, standing: StandingOrder) -> None:
        self.acknowledged(dealing.placed_id, "DELETE", f"{ORDERS}/{standing.broker_order_id}")

    def margin(self, request: OrderRequest) -> OrderMargin:
        return dealing.margin(mapping.data(self.post("/margins/orders", dealing.margin_params(request))))

    def place_gtt(self, request: GttRequest) -> str:
        return self.acknowledged(dealing.gtt_id, "POST", TRIGGERS, form=dealing.gtt_params(request))

    def cancel_gtt(self, gtt: BrokerGtt) -> None:
        self.acknowledged(dealing.gtt_id, "DELETE", f"{TRIGGERS}/{gtt.broker_gtt_id}")

    def gtts(self) -> Rows[BrokerGtt]:
        return each("gtts", dealing.gtts, mapping.data(self.get(TRIGGERS)))

    def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing:
        key = f"{exchange}:{tradingsymbol}"
        return Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=key, isin=isin)
