"""IIFL Capital's calls, one short method each; prices come from a call of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from brokers.base import BrokerClient
from brokers.domain import BrokerOrder, BrokerTrade, Funds, Holding, Listing, Position, Profile, Quote, Rows
from brokers.errors import RequestRefused
from brokers.iifl_capital import instruments, mapping
from brokers.iifl_capital.spec import CLIENT_ID, EMPTY_BOOK, QUOTE_BATCH, SPEC
from brokers.secret import Secret
from brokers.wire import each


class IiflCapitalClient(BrokerClient):
    """Every call, reads too, must come from the IPv4 address registered for the app; any other is SUSPENDED."""

    spec = SPEC

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

    def _book(self, path: str) -> list[Any]:
        """The rows of a book, none where the API says with a code of its own that it is empty."""
        try:
            return mapping.rows(self.get(path))
        except RequestRefused as error:
            if error.code != EMPTY_BOOK.code:
                raise
            return []
