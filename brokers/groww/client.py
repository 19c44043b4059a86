"""Groww's calls, one short method each; prices come by a call of their own, after the list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from itertools import count
from typing import Any, TypeVar

from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttRequest, OrderChange, OrderMargin, OrderRequest, StandingOrder
from brokers.domain import (
    BrokerOrder,
    BrokerTrade,
    Candle,
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
from brokers.errors import BrokerError, OutcomeUnknown, RequestRefused, SessionEnded
from brokers.groww import dealing, instruments, mapping
from brokers.groww.spec import (
    CANDLE_DAYS,
    DUPLICATE_REFERENCE,
    EXCHANGE_WORDS,
    GTT_PAGE,
    GTT_SEGMENTS,
    GTT_STATUSES,
    GTT_WINDOW,
    NO_SUCH_ORDER,
    ORDER_PAGE,
    QUOTE_BATCH,
    SPEC,
    TRADE_PAGE,
)
from brokers.secret import Secret
from brokers.wire import IST, Row, as_record, each

logger = logging.getLogger(__name__)

PROFILE = "/v1/user/detail"
Line = TypeVar("Line", Holding, Position)


class GrowwClient(BrokerClient):
    spec = SPEC
    candle_days = CANDLE_DAYS

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

    def trades_of(self, orders: Collection[BrokerOrder]) -> Rows[BrokerTrade]:
        """One call an order, and none for what was not filled."""
        found: Rows[BrokerTrade] = Rows(())
        for order in orders:
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

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        """Of shares and indices; contracts go here by a name that their listing does not tell."""
        params = instruments.candle_params(listing, first, last)
        try:
            return mapping.candles(self.get("/v1/historical/candles", params), first, last)
        except RequestRefused as refusal:
            if refusal.connection_status is not ConnectionStatus.SUSPENDED:
                raise
            raise RequestRefused(
                "Groww tells this account no market data.",
                code="candles_not_permitted",
                vendor_code=refusal.vendor_code,
                reason=refusal.reason,
                user_action="Check that the Trading API subscription of this Groww account is paid.",
            ) from None

    def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing | None:
        """Shares go by the exchange's symbol; contracts are left alone."""
        if exchange not in (Exchange.NSE, Exchange.BSE):
            return None
        key = instruments.quote_key(exchange, tradingsymbol)
        return Listing(exchange=exchange, tradingsymbol=tradingsymbol, broker_token=key, isin=isin)

    def place(self, request: OrderRequest) -> str:
        return self._placed(dealing.placed_id, "/v1/order/create", dealing.order_params(request))

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        body = dealing.change_params(standing, change)
        return self.acknowledged(dealing.changed_id, "POST", "/v1/order/modify", json=body)

    def cancel(self, standing: StandingOrder) -> None:
        self.acknowledged(dealing.order_id, "POST", "/v1/order/cancel", json=dealing.cancel_params(standing))

    def place_gtt(self, request: GttRequest) -> str:
        return self._placed(dealing.gtt_id, "/v1/order-advance/create", dealing.gtt_params(request))

    def _placed(self, read: Callable[[Any], str], path: str, body: Row) -> str:
        """A second order under one reference is refused: the first may be this very one, sent twice on its way."""
        try:
            return self.acknowledged(read, "POST", path, json=body)
        except RequestRefused as refusal:
            if refusal.vendor_code != DUPLICATE_REFERENCE:
                raise
            raise OutcomeUnknown(
                "The broker has an order under this reference.", vendor_code=refusal.vendor_code
            ) from None

    def cancel_gtt(self, gtt: BrokerGtt) -> None:
        self.acknowledged(dealing.gtt_id, "POST", f"/v1/order-advance/cancel/{dealing.gtt_path(gtt)}")

    def find(self, tag: str) -> tuple[BrokerOrder, ...]:
        """By the book; where it has no such order, or rows that cannot be read, by the reference."""
        found = tuple(order for order in self.orders().items if order.tag == tag)
        return found or tuple(order for segment in self._segments() for order in self._referenced(tag, segment))

    def margin(self, request: OrderRequest) -> OrderMargin:
        params, legs = dealing.margin_params(request)
        body = self._read("POST", "/v1/margins/detail/orders", self.authorization(), params=params, json=legs)
        return dealing.margin(mapping.data(body))

    def gtts(self) -> Rows[BrokerGtt]:
        """Those of one trigger, made within a month: what may be listed. Each is asked for the rest of itself."""
        found: Rows[BrokerGtt] = Rows(())
        for segment in GTT_SEGMENTS:
            rows = [self._gtt(segment, row) for status in GTT_STATUSES for row in self._listed_gtts(segment, status)]
            found += each("gtts", partial(dealing.gtts, segment=segment), rows)
        return found

    def _listed_gtts(self, segment: str, status: str) -> list[Any]:
        """Of the month that ends with this session, by Groww's clock."""
        end = (self.session.expires_at or datetime.now(IST)).astimezone(IST)
        asked = {
            "segment": segment,
            "smart_order_type": "GTT",
            "status": status,
            "start_date_time": f"{end - GTT_WINDOW:%Y-%m-%dT%H:%M:%S}",
            "end_date_time": f"{end:%Y-%m-%dT%H:%M:%S}",
        }
        return self._pages("/v1/order-advance/list", asked, GTT_PAGE, "orders")

    def _gtt(self, segment: str, row: Any) -> Any:
        path = f"/v1/order-advance/status/{segment}/GTT/internal"
        return mapping.data(self._get_one(path, dealing.listed_gtt_id(row)))

    def _segments(self) -> list[str]:
        """Those that the account deals in; where it does not say, all."""
        exchanges = self.profile().exchanges or EXCHANGE_WORDS
        return sorted({instruments.segment_of(exchange) for exchange in exchanges})

    def _referenced(self, tag: str, segment: str) -> list[BrokerOrder]:
        """The order of that reference in one segment, if there is one: what tells its id does not tell the rest."""
        try:
            status = self._get_one("/v1/order/status/reference", tag, {"segment": segment})
        except RequestRefused as refusal:
            if refusal.code != NO_SUCH_ORDER.code:
                raise
            return []
        detail = self._get_one("/v1/order/detail", dealing.order_id(status), {"segment": segment})
        return mapping.orders(as_record(mapping.data(detail), "payload"))

    def _get_one(self, path: str, name: str, params: Any = None) -> Any:
        """One read of one thing; its name is no part of what the shape is kept under."""
        body = self.get(f"{path}/{name}", params)
        self.shapes[f"GET {path}"] = self.shapes.pop(f"GET {path}/{name}")
        return body

    def write(self, method: str, path: str, **sent: Any) -> Any:
        """One write. What is refused as a whole has a dead token, or may not place orders: the profile tells which."""
        try:
            return super().write(method, path, **sent)
        except RequestRefused as refusal:
            if refusal.connection_status is not ConnectionStatus.SUSPENDED:
                raise
            if self._is_certainly_refused_everywhere():
                raise _ended(refusal) from None
            raise RequestRefused(
                "Groww does not permit orders from here.",
                code="orders_not_permitted",
                vendor_code=refusal.vendor_code,
                reason=refusal.reason,
                user_action=f"{self.spec.order_rules.register_ip} The segment may also not be active.",
            ) from None

    def _read(self, method: str, path: str, authorization: Secret, **sent: Any) -> Any:
        """One read. A refusal may mean a dead token or a missing permission: whether the profile opens tells which."""
        try:
            return super()._read(method, path, authorization, **sent)
        except RequestRefused as refusal:
            if refusal.connection_status is not ConnectionStatus.SUSPENDED:
                raise
            if path != PROFILE and not self._is_refused_everywhere():
                raise
            raise _ended(refusal) from None

    def _is_refused_everywhere(self) -> bool:
        try:
            super()._read("GET", PROFILE, self.authorization())
        except RequestRefused:
            return True
        return False

    def _is_certainly_refused_everywhere(self) -> bool:
        """The same after a write, whose own refusal must not be lost in what else may go wrong."""
        try:
            return self._is_refused_everywhere()
        except SessionEnded:
            return True
        except BrokerError:
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


def _ended(refusal: RequestRefused) -> SessionEnded:
    return SessionEnded("Groww refuses this token everywhere.", vendor_code=refusal.vendor_code, reason=refusal.reason)


def _holdings(row: Row) -> list[Holding]:
    lines = mapping.holdings(row)
    if not mapping.adds_up(row):  # such rows will settle what `quantity` includes
        logger.info("groww: free, T1 and pledged shares of a holding are not its quantity")
    return lines
