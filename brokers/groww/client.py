"""Groww's calls, one short method each; prices come by a call of their own, after the list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from brokers.base import BrokerClient
from brokers.domain import (
    BrokerOrder,
    BrokerTrade,
    ConnectionStatus,
    Exchange,
    Funds,
    Holding,
    Listing,
    Position,
    Profile,
    Quote,
    RowProblem,
    Rows,
)
from brokers.errors import BrokerError, RequestRefused, SessionEnded
from brokers.groww import instruments, mapping
from brokers.groww.spec import ORDER_PAGE, QUOTE_BATCH, SPEC, TRADE_PAGE
from brokers.secret import Secret
from brokers.wire import Row, each

logger = logging.getLogger(__name__)

PROFILE = "/v1/user/detail"
Line = TypeVar("Line", Holding, Position)


class GrowwClient(BrokerClient):
    spec = SPEC

    def authorization(self) -> Secret:
        return Secret(f"Bearer {self.session.access_token.reveal()}")

    def profile(self) -> Profile:
        return mapping.profile(mapping.data(self.get(PROFILE)))

    def holdings(self) -> Rows[Holding]:
        rows = each("holdings", _holdings, mapping.listed(self.get("/v1/holdings/user"), "holdings"))
        return replace(rows, items=self._priced_if_possible(self._priced_at_nse_or_bse, rows.items))

    def positions(self) -> Rows[Position]:
        rows = each("positions", mapping.positions, mapping.listed(self.get("/v1/positions/user"), "positions"))
        items = self._priced_if_possible(self._priced, rows.items)
        doubtful = tuple(
            RowProblem(part="positions", row=index, field="net_price")
            for index, position in enumerate(items)
            if mapping.is_perhaps_in_paise(position)
        )
        return Rows(items, rows.problems + doubtful)

    def funds(self) -> Funds:
        return mapping.funds(mapping.data(self.get("/v1/margins/detail/user")))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, self._pages("/v1/order/list", {}, ORDER_PAGE, "order_list"))

    def trades(self) -> Rows[BrokerTrade]:
        """There is no book of trades: each order that was filled is asked for its own. An unread order is a problem."""
        orders = self.orders()
        found: Rows[BrokerTrade] = Rows((), orders.problems)
        for order in orders.items:
            if order.filled_quantity:
                found += self._trades_of(order)
        return found

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Last prices, 50 listings of one segment a call; the previous close is only told one listing at a time."""
        found: list[Quote] = []
        for segment, batch in instruments.batches(listings, QUOTE_BATCH):
            asked = {instruments.quote_key(listing.exchange, listing.tradingsymbol): listing for listing in batch}
            body = self.get("/v1/live-data/ltp", {"segment": segment, "exchange_symbols": ",".join(asked)})
            found += mapping.quotes(mapping.data(body), asked)
        return tuple(found)

    def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing | None:
        """Shares go by the exchange's symbol; contracts are left alone."""
        if exchange not in (Exchange.NSE, Exchange.BSE):
            return None
        key = instruments.quote_key(exchange, tradingsymbol)
        return Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=key, isin=isin)

    def get(self, path: str, params: Any = None) -> Any:
        """One read. A refusal may mean a dead token or a missing permission: whether the profile opens tells which."""
        try:
            return super().get(path, params)
        except RequestRefused as refusal:
            if refusal.connection_status is ConnectionStatus.SUSPENDED and self._is_refused_everywhere(path):
                raise SessionEnded(
                    "Groww refuses this token everywhere.", vendor_code=refusal.vendor_code, reason=refusal.reason
                ) from None
            raise

    def _is_refused_everywhere(self, path: str) -> bool:
        if path == PROFILE:
            return True
        try:
            super().get(PROFILE)
        except RequestRefused:
            return True
        return False

    def _trades_of(self, order: BrokerOrder) -> Rows[BrokerTrade]:
        path = f"/v1/order/trades/{order.broker_order_id}"
        segment = instruments.segment_of(order.exchange)
        rows = self._pages(path, {"segment": segment}, TRADE_PAGE, "trade_list")
        self.shapes["GET /v1/order/trades"] = self.shapes.pop(f"GET {path}")
        return each("trades", mapping.trades, rows)

    def _pages(self, path: str, params: dict[str, str], size: int, name: str) -> list[Any]:
        """All pages of a list. A short page is the last; so is one that repeats, should paging be ignored."""
        rows: list[Any] = []
        for page in count():
            body = self.get(path, {**params, "page": str(page), "page_size": str(size)})
            batch = mapping.listed(body, name)
            new = [row for row in batch if row not in rows]
            rows += new
            if len(batch) < size or not new:
                break
        return rows

    def _priced_if_possible(
        self, price: Callable[[Sequence[Line]], tuple[Line, ...]], lines: tuple[Line, ...]
    ) -> tuple[Line, ...]:
        """Lines without prices are still lines: another broker may lend the price."""
        try:
            return price(lines)
        except SessionEnded:
            raise
        except BrokerError as error:
            logger.info("groww gives no prices: %s", error.code)
            return lines

    def _priced(self, lines: Sequence[Line]) -> tuple[Line, ...]:
        quotes = self.hurried().quotes(instruments.listing_of(line) for line in lines)
        prices = {quote.broker_token: quote.last_price for quote in quotes}
        return tuple(replace(line, last_price=prices.get(line.broker_token)) for line in lines)

    def _priced_at_nse_or_bse(self, lines: Sequence[Holding]) -> tuple[Holding, ...]:
        """A holding does not say where it is listed: it is taken to be NSE, unless only BSE has a price for it."""
        at_nse = self._priced(lines)
        at_bse = self._priced([mapping.at_bse(line) for line in at_nse if line.last_price is None])
        found = {line.isin: line for line in at_bse if line.last_price is not None}
        return tuple(line if line.last_price is not None else found.get(line.isin, line) for line in at_nse)


def _holdings(row: Row) -> list[Holding]:
    lines = mapping.holdings(row)
    if not mapping.adds_up(row):  # such rows will settle what `quantity` includes
        logger.info("groww: free, T1 and pledged shares of a holding are not its quantity")
    return lines
