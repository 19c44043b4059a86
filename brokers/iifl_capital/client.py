"""IIFL Capital's calls, one short method each; prices come from a call of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import quote

from brokers.base import BrokerClient
from brokers.dealing import OrderChange, OrderMargin, OrderRequest, StandingOrder
from brokers.domain import BrokerOrder, BrokerTrade, Candle, Funds, Holding, Listing, Position, Profile, Quote, Rows
from brokers.errors import OutcomeUnknown, RequestRefused
from brokers.iifl_capital import dealing, instruments, mapping
from brokers.iifl_capital.spec import CANDLE_DAYS, CLIENT_ID, EMPTY_BOOK, QUOTE_BATCH, SPEC
from brokers.secret import Secret
from brokers.wire import each


class IiflCapitalClient(BrokerClient):
    """Every call, reads too, must come from the IPv4 address registered for the app; any other is SUSPENDED."""

    spec = SPEC
    candle_days = CANDLE_DAYS

    def authorization(self) -> Secret:
        return Secret(f"Bearer {self.session.access_token.reveal()}")

    def profile(self) -> Profile:
        return mapping.profile(mapping.data(self.get("/v1/profile")), client_id=self.session.facts.get(CLIENT_ID))

    def holdings(self) -> Rows[Holding]:
        lines = self.with_prices(each("holdings", mapping.holdings, self._book("/v1/holdings")))
        return replace(lines, items=tuple(mapping.believed(line) for line in lines.items))

    def positions(self) -> Rows[Position]:
        return self.with_prices(each("positions", mapping.positions, self._book("/v1/positions")))

    def funds(self) -> Funds:
        """Residents' one ledger; the calls by segment repeat it and are never added."""
        return mapping.funds(mapping.data(self.get("/v1/limits")))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, self._book("/v1/orders"))

    def trades(self) -> Rows[BrokerTrade]:
        return each("trades", mapping.trades, self._book("/v1/trades"))

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Up to 100 listings a call, ten calls a second."""
        asked = {key: listing for listing in listings if (key := instruments.quote_key(listing))}
        keys, quotes = list(asked), []
        for start in range(0, len(keys), QUOTE_BATCH):
            wanted = [{"exchange": word, "instrumentId": number} for word, number in keys[start : start + QUOTE_BATCH]]
            quotes += mapping.quotes(mapping.rows(self.post("/v1/marketdata/marketquotes", wanted)), asked)
        return tuple(quotes)

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        """Of shares, contracts and indices alike, by exchange and number; counted with the quotes."""
        wanted = instruments.candle_params(listing, first, last)
        series = self._or_nothing(lambda: self.post("/v1/marketdata/historicaldata", wanted))
        return mapping.candles(series, listing, first, last)

    def place(self, request: OrderRequest) -> str:
        """A list of one leg: the answer could be a success in which a leg failed."""
        return self._order("POST", "/v1/orders", json=[dealing.order_params(request)])

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        return self._order("PUT", _path(standing), json=dealing.change_params(standing, change))

    def cancel(self, standing: StandingOrder) -> None:
        self._order("DELETE", _path(standing))

    def margin(self, request: OrderRequest) -> OrderMargin:
        return dealing.margin(self.post("/v1/preordermargin", dealing.margin_params(request)))

    def _order(self, method: str, path: str, **sent: Any) -> str:
        try:
            return self.acknowledged(dealing.placed_id, method, path, **sent)
        except RequestRefused as error:
            if error.code != EMPTY_BOOK.code:
                raise
            raise OutcomeUnknown("The broker's answer is not about the order.", vendor_code=error.vendor_code) from None

    def _book(self, path: str) -> list[Any]:
        return self._or_nothing(lambda: self.get(path))

    def _or_nothing(self, ask: Callable[[], Any]) -> list[Any]:
        """The rows of an answer, none where the API says with a code of its own that there are none."""
        try:
            return mapping.rows(ask())
        except RequestRefused as error:
            if error.code != EMPTY_BOOK.code:
                raise
            return []


def _path(standing: StandingOrder) -> str:
    return f"/v1/orders/{quote(standing.broker_order_id, safe='')}"
