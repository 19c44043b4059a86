"""XTS's calls, one short method each; prices come from a second application with a token of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any, Self

from brokers.base import BrokerClient, PortfolioPart
from brokers.dealing import OrderChange, OrderRequest, StandingOrder
from brokers.domain import (
    AppCredentials,
    BrokerOrder,
    BrokerPortfolio,
    BrokerTrade,
    Candle,
    Funds,
    Holding,
    Listing,
    Position,
    Profile,
    Quote,
    Rows,
    Session,
)
from brokers.errors import FeedEnded, OutcomeUnknown, RequestRefused, SessionEnded
from brokers.iifl import dealing, instruments, mapping
from brokers.iifl.auth import IiflAuth, feed_token
from brokers.iifl.spec import ALREADY_SUBSCRIBED, CANDLE_DAYS, EMPTY_BOOK, QUOTE_BATCH, SPEC, TOUCHLINE
from brokers.secret import Secret
from brokers.transport import Transport
from brokers.wire import each

# Refusals of reads, which say nothing of a write.
NO_VERDICT = frozenset({EMPTY_BOOK.code, ALREADY_SUBSCRIBED.code})


class IiflClient(BrokerClient):
    spec = SPEC
    candle_days = CANDLE_DAYS

    def __init__(self, http: Transport, app: AppCredentials, session: Session) -> None:
        super().__init__(http, app, session)
        self._feed = _Feed(session)

    def authorization(self) -> Secret:
        """Raw, without "Bearer"."""
        return self.session.access_token

    def profile(self) -> Profile:
        return mapping.profile(mapping.data(self._ask("/interactive/user/profile")))

    def holdings(self) -> Rows[Holding]:
        rows = self._book("/interactive/portfolio/holdings", mapping.holding_rows)
        return self.with_prices(each("holdings", mapping.holdings, rows))

    def positions(self) -> Rows[Position]:
        """NetWise is the book. Only DayWise tells what of a carried contract was dealt today, so it is asked then."""
        path = "/interactive/portfolio/positions"
        rows = self._book(path, mapping.position_rows, dayOrNet="NetWise")
        carried = any(mapping.may_be_carried(row) for row in rows)
        today = self._book(path, mapping.position_rows, dayOrNet="DayWise") if carried else []
        read = partial(mapping.positions, today=mapping.by_contract(today))
        return self.with_prices(each("positions", read, rows))

    def funds(self) -> Funds:
        """A dealer is refused this call: what XTS will not tell is unknown."""
        if mapping.is_dealer(self.session):
            return Funds(available=None, used=None, collateral=None, cash=None)
        return mapping.funds(mapping.data(self._ask("/interactive/user/balance")))

    def orders(self) -> Rows[BrokerOrder]:
        return each("orders", mapping.orders, self._book("/interactive/orders", mapping.order_rows))

    def trades(self) -> Rows[BrokerTrade]:
        return each("trades", mapping.trades, self._book("/interactive/orders/trades", mapping.order_rows))

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Up to 50 listings a call. NotSupported without market data keys; FeedEnded, never SessionEnded."""
        asked = {key: listing for listing in listings if (key := instruments.quote_key(listing))}
        keys, quotes = list(asked), []
        for start in range(0, len(keys), QUOTE_BATCH):
            chunk = keys[start : start + QUOTE_BATCH]
            quotes += mapping.quotes(mapping.data(self._ask_quotes(chunk)), asked)
        return tuple(quotes)

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        """Of shares, contracts and indices alike, by segment and number. Raises what `quotes` raises."""
        params = instruments.candle_params(listing, first, last)
        path = "/apimarketdata/instruments/ohlc"
        body = self._ask_market(lambda token: self._read("GET", path, token, params=params))
        return mapping.candles(mapping.data(body), listing, first, last)

    def place(self, request: OrderRequest) -> str:
        """Taken by the gateway, not yet by the risk system: the book, or the socket, tells of that."""
        return self._order("POST", json={**dealing.order_params(request), **mapping.client_id(self.session)})

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        sent = {**dealing.change_params(standing, change), **mapping.client_id(self.session)}
        return self._order("PUT", json=sent)

    def cancel(self, standing: StandingOrder) -> None:
        self._order("DELETE", params={**dealing.cancel_params(standing), **mapping.client_id(self.session)})

    @classmethod
    def assemble(cls, parts: Mapping[str, PortfolioPart], *, as_of: datetime) -> BrokerPortfolio:
        portfolio = super().assemble(parts, as_of=as_of)
        holdings = tuple(mapping.sold_part(line, portfolio.positions) for line in portfolio.holdings)
        return replace(portfolio, holdings=holdings)

    def _order(self, method: str, **sent: Any) -> str:
        try:
            return self.acknowledged(dealing.placed_id, method, "/interactive/orders", **sent)
        except RequestRefused as error:
            if error.code not in NO_VERDICT:
                raise
            raise OutcomeUnknown("The broker's answer is not about the order.", vendor_code=error.vendor_code) from None

    def _ask(self, path: str, **params: str) -> Any:
        return self.get(path, {**params, **mapping.client_id(self.session)})

    def _book(self, path: str, rows: Callable[[Any], list[Any]], **params: str) -> list[Any]:
        """The rows of a book, none where XTS says with an error of its own that it is empty."""
        try:
            return rows(mapping.data(self._ask(path, **params)))
        except RequestRefused as error:
            if error.code != EMPTY_BOOK.code:
                raise
            return []

    def _ask_quotes(self, keys: list[tuple[int, int]]) -> Any:
        wanted = {
            "instruments": [{"exchangeSegment": segment, "exchangeInstrumentID": number} for segment, number in keys],
            "xtsMessageCode": TOUCHLINE,
            "publishFormat": "JSON",
        }
        return self._ask_market(
            lambda token: self.post("/apimarketdata/instruments/quotes", wanted, authorization=token)
        )

    def _ask_market(self, ask: Callable[[Secret], Any]) -> Any:
        """One call for prices. Their token dies on a schedule of its own, which is not the end of the account's: once
        more with another one. Raises FeedEnded."""
        vendor_code = None
        for attempt in range(2):
            try:
                return ask(feed_token(self.app, self._feed.session))
            except (SessionEnded, FeedEnded) as error:
                vendor_code = error.vendor_code
            if attempt or self.reopen_feed is None:
                break
            self._feed.session = self.reopen_feed(self._feed.session, IiflAuth(self.http, self.app))
        raise FeedEnded("IIFL has ended the session for prices.", vendor_code=vendor_code)

    def _over(self, http: Transport) -> Self:
        client = super()._over(http)
        client._feed = self._feed
        return client


@dataclass(slots=True)
class _Feed:
    """With which session prices are asked for: what one client has opened serves those made of it, and it of them."""

    session: Session
