"""Kite's calls, one short method each."""

from __future__ import annotations

from collections.abc import Iterable

from brokers.base import BrokerClient
from brokers.domain import BrokerOrder, BrokerTrade, Exchange, Funds, Holding, Listing, Position, Profile, Quote, Rows
from brokers.secret import Secret
from brokers.wire import each
from brokers.zerodha import instruments, mapping
from brokers.zerodha.spec import SPEC


class ZerodhaClient(BrokerClient):
    spec = SPEC
    quotes_at_once = 1000

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

    def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing:
        key = f"{exchange}:{tradingsymbol}"
        return Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=key, isin=isin)
