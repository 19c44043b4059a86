"""Upstox's calls, one short method each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from brokers.base import BrokerClient, PortfolioPart
from brokers.dealing import OrderChange, OrderMargin, OrderRequest, StandingOrder
from brokers.domain import (
    BrokerOrder,
    BrokerPortfolio,
    BrokerTrade,
    Exchange,
    Funds,
    Holding,
    Listing,
    Position,
    Profile,
    Quote,
    Rows,
)
from brokers.secret import Secret
from brokers.upstox import dealing, instruments, mapping
from brokers.upstox.spec import CANCEL, MODIFY, PLACE, SPEC
from brokers.wire import each


class UpstoxClient(BrokerClient):
    spec = SPEC
    quotes_at_once = 500
    # UNCONFIRMED: no call for daily prices is in the documentation that we go by, so none is asked. See ADR 6.
    candle_days = 0

    def authorization(self) -> Secret:
        return Secret(f"Bearer {self.session.access_token.reveal()}")

    def profile(self) -> Profile:
        return mapping.profile(mapping.data(self.get("/v2/user/profile")))

    def holdings(self) -> Rows[Holding]:
        return each("holdings", mapping.holdings, mapping.data(self.get("/v2/portfolio/long-term-holdings")))

    def positions(self) -> Rows[Position]:
        return each("positions", mapping.positions, mapping.data(self.get("/v2/portfolio/short-term-positions")))

    def funded_positions(self) -> Rows[Position]:
        return each("funded_positions", mapping.positions, mapping.data(self.get("/v3/portfolio/mtf-positions")))

    def funds(self) -> Funds:
        """Closed from 00:00 to 05:30 IST: BrokerUnavailable with MAINTENANCE, never zero."""
        return mapping.funds(mapping.data(self.get("/v3/user/get-funds-and-margin")))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, mapping.data(self.get("/v2/order/retrieve-all")))

    def trades(self) -> Rows[BrokerTrade]:
        return each("trades", mapping.trades, mapping.data(self.get("/v2/order/trades/get-trades-for-day")))

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Up to 500 listings a call."""
        asked = {instruments.quote_key(listing): listing for listing in listings}
        body = self.get("/v3/market-quote/ltp", {"instrument_key": ",".join(asked)})
        return mapping.quotes(mapping.data(body), asked)

    def place(self, request: OrderRequest) -> str:
        body, headers = dealing.order_params(request), dealing.algo(request)
        return self.acknowledged(dealing.placed_id, "POST", PLACE, json=body, headers=headers)

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        body, headers = dealing.change_params(standing, change), dealing.algo(standing.request)
        return self.acknowledged(dealing.order_id, "PUT", MODIFY, json=body, headers=headers)

    def cancel(self, standing: StandingOrder) -> None:
        asked, headers = {"order_id": standing.broker_order_id}, dealing.algo(standing.request)
        self.acknowledged(dealing.order_id, "DELETE", CANCEL, params=asked, headers=headers)

    def margin(self, request: OrderRequest) -> OrderMargin:
        return dealing.margin(mapping.data(self.post("/v2/charges/margin", dealing.margin_params(request))))

    def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing | None:
        """Shares are keyed by ISIN; without one there is no asking."""
        if isin is None:
            return None
        key = instruments.share_key(exchange, isin)
        return Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=key, isin=isin)

    def portfolio_parts(self) -> Mapping[str, Callable[[], PortfolioPart]]:
        return {**super().portfolio_parts(), "funded_positions": self.funded_positions}

    @classmethod
    def assemble(cls, parts: Mapping[str, PortfolioPart], *, as_of: datetime) -> BrokerPortfolio:
        return mapping.without_doubles(super().assemble(parts, as_of=as_of), parts["funded_positions"])
