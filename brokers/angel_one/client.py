"""SmartAPI's calls, one short method each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import count
from typing import Any, TypeVar

from brokers.angel_one import dealing, mapping
from brokers.angel_one.mapping import Key
from brokers.angel_one.spec import CANDLE_DAYS, GTT_LISTED, GTT_PAGE, NOTHING_THERE, QUOTE_LIMIT, SECURE, SPEC
from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttRequest, OrderChange, OrderMargin, OrderRequest, StandingOrder
from brokers.domain import BrokerOrder, BrokerTrade, Candle, Funds, Holding, Listing, Position, Profile, Quote, Rows
from brokers.errors import BrokerError, RequestRefused, SessionEnded
from brokers.secret import Secret
from brokers.wire import each

Line = TypeVar("Line", Holding, Position)


class AngelOneClient(BrokerClient):
    spec = SPEC
    candle_days = CANDLE_DAYS

    def authorization(self) -> Secret:
        return Secret(f"Bearer {self.session.access_token.reveal()}")

    def keys(self) -> Mapping[str, Secret]:
        return {"X-PrivateKey": self.app.api_key}

    def profile(self) -> Profile:
        return mapping.profile(mapping.data(self.get(f"{SECURE}/user/v1/getProfile")))

    def holdings(self) -> Rows[Holding]:
        reply = self._get_or_nothing(f"{SECURE}/portfolio/v1/getAllHolding")
        return self._priced(each("holdings", mapping.holdings, mapping.holding_rows(reply)))

    def positions(self) -> Rows[Position]:
        reply = self._get_or_nothing(f"{SECURE}/order/v1/getPosition")
        return self._priced(each("positions", mapping.positions, mapping.rows(reply)))

    def funds(self) -> Funds:
        return mapping.funds(mapping.data(self.get(f"{SECURE}/user/v1/getRMS")))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, mapping.rows(self.get(f"{SECURE}/order/v1/getOrderBook")))

    def trades(self) -> Rows[BrokerTrade]:
        return each("trades", mapping.trades, mapping.rows(self.get(f"{SECURE}/order/v1/getTradeBook")))

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Fifty listings a call, as many calls as it takes."""
        asked = list({mapping.key(listing): listing for listing in listings}.items())
        found: tuple[Quote, ...] = ()
        for start in range(0, len(asked), QUOTE_LIMIT):
            some = dict(asked[start : start + QUOTE_LIMIT])
            tokens: dict[str, list[str]] = defaultdict(list)
            for exchange, token in some:
                tokens[exchange].append(token)
            body = self.post(f"{SECURE}/market/v1/quote", {"mode": "OHLC", "exchangeTokens": tokens})
            found += mapping.quotes(mapping.data(body), some)
        return found

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        """Of shares, contracts and indices alike, by the master's tokens."""
        body = self.post(f"{SECURE}/historical/v1/getCandleData", mapping.candle_params(listing, first, last))
        return mapping.candles(body, listing, first, last)

    def place(self, request: OrderRequest) -> str:
        body = dealing.order_params(request)
        return self.acknowledged(dealing.placed_id, "POST", f"{SECURE}/order/v1/placeOrder", json=body)

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        body = dealing.change_params(standing, change)
        return self.acknowledged(dealing.placed_id, "POST", f"{SECURE}/order/v1/modifyOrder", json=body)

    def cancel(self, standing: StandingOrder) -> None:
        body = dealing.cancel_params(standing)
        self.acknowledged(dealing.placed_id, "POST", f"{SECURE}/order/v1/cancelOrder", json=body)

    def place_gtt(self, request: GttRequest) -> str:
        body = dealing.gtt_params(request)
        return self.acknowledged(dealing.gtt_id, "POST", f"{SECURE}/gtt/v1/createRule", json=body)

    def cancel_gtt(self, gtt: BrokerGtt) -> None:
        self.acknowledged(dealing.gtt_id, "POST", f"{SECURE}/gtt/v1/cancelRule", json=dealing.gtt_cancel_params(gtt))

    def margin(self, request: OrderRequest) -> OrderMargin:
        body = self.post(f"{SECURE}/margin/v1/batch", dealing.margin_params(request))
        return dealing.margin(mapping.data(body))

    def gtts(self) -> Rows[BrokerGtt]:
        """All pages of a list. A short page is the last; so is one that repeats, should paging be ignored."""
        rows: list[Any] = []
        for page in count(1):
            asked = {"status": GTT_LISTED, "page": page, "count": GTT_PAGE}
            batch = mapping.rows(self.post(f"{SECURE}/gtt/v1/ruleList", asked))
            new = [row for row in batch if row not in rows]
            rows += new
            if len(batch) < GTT_PAGE or not new:
                break
        return each("gtts", dealing.gtts, rows)

    def _get_or_nothing(self, path: str) -> Any:
        """A list whose absence the broker may word as "not found"."""
        try:
            return self.get(path)
        except RequestRefused as refusal:
            if refusal.vendor_code not in NOTHING_THERE:
                raise
            return {"data": None}

    def _priced(self, rows: Rows[Line]) -> Rows[Line]:
        """Ask for the prices that a list leaves out. Without an answer they stay unknown."""
        lacking = [line for line in rows.items if line.last_price is None or line.close_price is None]
        return mapping.with_prices(rows, self._quotes_of(lacking)) if lacking else rows

    def _quotes_of(self, lines: Iterable[Holding | Position]) -> Mapping[Key, Quote]:
        asked = [
            Listing(exchange=line.exchange, tradingsymbol=line.tradingsymbol, broker_token=line.broker_token)
            for line in lines
        ]
        try:
            return {mapping.key(quote): quote for quote in self.hurried().quotes(asked)}
        except SessionEnded:
            raise
        except BrokerError:
            return {}
