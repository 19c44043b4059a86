"""Kuber's calls, one short method each."""

from __future__ import annotations

from collections.abc import Iterable

from brokers.base import BrokerClient
from brokers.domain import BrokerOrder, BrokerTrade, Funds, Holding, Listing, Position, Profile, Quote, Rows
from brokers.secret import Secret
from brokers.wire import each
from tests.eighth.kuber import instruments, mapping
from tests.eighth.kuber.spec import SPEC


class KuberClient(BrokerClient):
    spec = SPEC

    def authorization(self) -> Secret:
        return Secret(f"Pass {self.session.access_token.reveal()}")

    def profile(self) -> Profile:
        return mapping.profile(mapping.result(self.get("/me")))

    def holdings(self) -> Rows[Holding]:
        return each("holdings", mapping.holdings, mapping.result(self.get("/shares")))

    def positions(self) -> Rows[Position]:
        return each("positions", mapping.positions, mapping.result(self.get("/deals")))

    def funds(self) -> Funds:
        return mapping.funds(mapping.result(self.get("/purse")))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, mapping.result(self.get("/orders")))

    def trades(self) -> Rows[BrokerTrade]:
        return each("trades", mapping.trades, mapping.result(self.get("/fills")))

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        asked = {instruments.key(listing.exchange, listing.tradingsymbol): listing for listing in listings}
        return mapping.quotes(mapping.result(self.get("/prices", {"of": ",".join(asked)})), asked)
