"""Fyers' calls, one short method each. Trading and market data are two prefixes of one host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TypeVar

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
from brokers.errors import BrokerError, RequestRefused, SessionEnded
from brokers.fyers import dealing, instruments, mapping
from brokers.fyers.spec import NOT_PERMITTED, QUOTES_PER_CALL, SPEC
from brokers.secret import Secret
from brokers.wire import each

Line = TypeVar("Line", Holding, Position)

ORDERS, TRIGGERS = "/api/v3/orders/sync", "/api/v3/gtt/orders/sync"


class FyersClient(BrokerClient):
    spec = SPEC
    candle_days = 366

    def authorization(self) -> Secret:
        return Secret(f"{self.app.api_key.reveal()}:{self.session.access_token.reveal()}")

    def profile(self) -> Profile:
        return mapping.profile(mapping.data(self.get("/api/v3/profile"), "data"))

    def holdings(self) -> Rows[Holding]:
        rows = each("holdings", mapping.holdings, mapping.data(self.get("/api/v3/holdings"), "holdings"))
        return self._priced(mapping.joined(rows))

    def positions(self) -> Rows[Position]:
        rows = each("positions", mapping.positions, mapping.data(self.get("/api/v3/positions"), "netPositions"))
        return self._priced(rows)

    def funds(self) -> Funds:
        return mapping.funds(mapping.data(self.get("/api/v3/funds"), "fund_limit"))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, mapping.data(self.get("/api/v3/orders"), "orderBook"))

    def trades(self) -> Rows[BrokerTrade]:
        return each("trades", mapping.trades, mapping.data(self.get("/api/v3/tradebook"), "tradeBook"))

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Fifty listings a call, as many calls as it takes."""
        asked = list({instruments.quote_key(listing): listing for listing in listings}.items())
        found: tuple[Quote, ...] = ()
        for start in range(0, len(asked), QUOTES_PER_CALL):
            some = asked[start : start + QUOTES_PER_CALL]
            body = self.get("/data/quotes", {"symbols": ",".join(key for key, _ in some)})
            found += mapping.quotes(mapping.data(body, "d"), some)
        return found

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        """Of shares, contracts and indices alike, by ticker. An app without the permission for data is told none."""
        try:
            body = self.get("/data/history", mapping.history_params(listing, first, last))
        except BrokerError as error:
            if error.code != NOT_PERMITTED.code:
                raise
            raise RequestRefused(
                "This app is told no market data.",
                code="candles_not_permitted",
                vendor_code=error.vendor_code,
                reason=error.reason,
                user_action=NOT_PERMITTED.user_action,
            ) from None
        return mapping.candles(body, listing, first, last)

    def place(self, request: OrderRequest) -> str:
        return self.acknowledged(dealing.placed_id, "POST", ORDERS, json=dealing.order_params(request))

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        return self.acknowledged(dealing.changed_id, "PATCH", ORDERS, json=dealing.change_params(standing, change))

    def cancel(self, standing: StandingOrder) -> None:
        self.acknowledged(dealing.cancelled_id, "DELETE", ORDERS, json={"id": standing.broker_order_id})

    def margin(self, request: OrderRequest) -> OrderMargin:
        body = self.post("/api/v3/multiorder/margin", dealing.margin_params(request))
        return dealing.margin(mapping.data(body, "data"))

    def place_gtt(self, request: GttRequest) -> str:
        return self.acknowledged(dealing.placed_id, "POST", TRIGGERS, json=dealing.gtt_params(request))

    def cancel_gtt(self, gtt: BrokerGtt) -> None:
        self.acknowledged(dealing.cancelled_id, "DELETE", TRIGGERS, json={"id": gtt.broker_gtt_id})

    def gtts(self) -> Rows[BrokerGtt]:
        return each("gtts", dealing.gtts, mapping.data(self.get("/api/v3/gtt/orders"), "orderBook"))

    def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing | None:
        """At BSE a ticker ends in the share's group, which only the master tells."""
        if exchange is not Exchange.NSE:
            return None
        ticker = instruments.share_ticker(tradingsymbol)
        return Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=ticker, isin=isin)

    def _priced(self, rows: Rows[Line]) -> Rows[Line]:
        """Fill in the previous close, which only quotes tell. Without them the rows stand as they are."""
        return mapping.with_prices(rows, self._quotes_of(rows.items))

    def _quotes_of(self, lines: Iterable[Holding | Position]) -> Mapping[str, Quote]:
        asked = [
            Listing(exchange=line.exchange, tradingsymbol=line.tradingsymbol, broker_token=line.broker_token)
            for line in lines
        ]
        try:
            return {quote.broker_token: quote for quote in self.hurried().quotes(asked)}
        except SessionEnded:
            raise
        except BrokerError:
            return {}
