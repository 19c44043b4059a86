"""What a broker package fills in, beside its `spec.py`: how it logs in, and how it is read and dealt with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from brokers.dealing import BrokerGtt, GttRequest, OrderChange, OrderMargin, OrderRequest, StandingOrder
from brokers.domain import (
    AppCredentials,
    BrokerOrder,
    BrokerPortfolio,
    BrokerTrade,
    Candle,
    Exchange,
    Funds,
    Holding,
    Instrument,
    Listing,
    Position,
    Postback,
    Profile,
    Quote,
    Rows,
    Session,
)
from brokers.drift import Shape, shape_of
from brokers.errors import BrokerError, NotSupported, OutcomeUnknown, SessionEnded, UnexpectedResponse
from brokers.secret import Secret
from brokers.spec import BrokerSpec
from brokers.transport import UNGUARDED, Deadline, Endpoints, Gate, Transport
from brokers.verdicts import Failure
from brokers.wire import Row

if TYPE_CHECKING:
    from brokers.streaming import OrderStream, PriceStream


class BrokerAuth(ABC):
    """Opens and closes sessions for one app. Every method but `authorization_url` talks to the broker."""

    spec: ClassVar[BrokerSpec]

    def __init__(self, http: Transport, app: AppCredentials) -> None:
        self.http = http
        self.app = app

    def authorization_url(self, *, state: str, redirect_uri: str) -> str:
        """Where to send the trader's browser; only for brokers with a redirect login."""
        raise NotSupported(f"{self.spec.name} has no redirect login.")

    @abstractmethod
    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        """Trade what the login brought for a session.

        `callback` is what the broker's redirect carried; or, for a login by a form of ours, `method` (the name of a
        LoginMethod) and that method's fields.
        """

    def refresh(self, session: Session, *, now: datetime) -> Session:
        raise NotSupported(f"{self.spec.name} has no refresh: a new login is needed.")

    def reopen_feed(self, session: Session) -> Session:
        """Log in for prices alone, where they have a session apart; it ends the one before. Returns `session` with
        another `feed_token`. Raises NotSupported."""
        raise NotSupported(f"{self.spec.name} has no session for prices alone.")

    def revoke(self, session: Session) -> None:
        raise NotSupported(f"{self.spec.name} has no way to end a session.")


# Another session for prices in place of one that has ended, by a login of this auth or of somebody else's. Raises
# FeedEnded.
ReopenFeed = Callable[[Session, BrokerAuth], Session]
# Raises UnexpectedResponse.
ReadPostback = Callable[[bytes, Mapping[str, str], AppCredentials], Postback]
PortfolioPart = Rows[Holding] | Rows[Position] | Funds
Line = TypeVar("Line", Holding, Position)
Answer = TypeVar("Answer")


class BrokerClient(ABC):
    """Reads one account, and deals in it. Every method is one call, raises a BrokerError, and returns domain objects.

    Where prices have a session apart, `reopen_feed` gets another; without it, FeedEnded is raised.
    Of one segment `quotes` asks for `quotes_at_once` listings in one call. `candles` reaches over `candle_days`
    calendar days in one; 0: the broker tells none.
    """

    spec: ClassVar[BrokerSpec]
    quotes_at_once: ClassVar[int] = 50
    candle_days: ClassVar[int] = 0

    def __init__(self, http: Transport, app: AppCredentials, session: Session) -> None:
        self.http = http
        self.app = app
        self.session = session
        self.shapes: dict[str, Shape] = {}
        self.reopen_feed: ReopenFeed | None = None

    @abstractmethod
    def authorization(self) -> Secret:
        """The Authorization header."""

    def keys(self) -> Mapping[str, Secret]:
        """Secret headers beside it, by name."""
        return {}

    @abstractmethod
    def profile(self) -> Profile: ...

    @abstractmethod
    def holdings(self) -> Rows[Holding]: ...

    @abstractmethod
    def positions(self) -> Rows[Position]: ...

    @abstractmethod
    def funds(self) -> Funds: ...

    @abstractmethod
    def orders(self) -> Rows[BrokerOrder]:
        """Today's order book, orders placed elsewhere included."""

    @abstractmethod
    def trades(self) -> Rows[BrokerTrade]:
        """Today's fills."""

    @abstractmethod
    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        """Quotes for those listings that the broker knows; the others are absent."""

    # --- writes: each goes out once, and no answer is OutcomeUnknown ---
    def place(self, request: OrderRequest) -> str:
        """Send one order; returns the broker's id for it. That it was taken does not mean that it stands.

        Raises OrderRejected or RequestRefused with the broker's reason, OutcomeUnknown, NotSupported before any I/O.
        """
        raise NotSupported(f"{self.spec.name} takes no orders from here.")

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        """Change an order; returns its id, which may be another one from now on. Raises as `place` does."""
        raise NotSupported(f"{self.spec.name} changes no orders from here.")

    def cancel(self, standing: StandingOrder) -> None:
        """Ask for an order's end; whether it came too late is told by the book. Raises as `place` does."""
        raise NotSupported(f"{self.spec.name} cancels no orders from here.")

    def place_gtt(self, request: GttRequest) -> str:
        """Leave an order that waits for its price; returns the broker's id for it. Raises as `place` does."""
        raise NotSupported(f"{self.spec.name} has no GTT.")

    def cancel_gtt(self, gtt: BrokerGtt) -> None:
        raise NotSupported(f"{self.spec.name} has no GTT.")

    # --- and what is read for them ---
    def find(self, tag: str) -> tuple[BrokerOrder, ...]:
        """Today's orders that carry a tag of ours, as the broker's book says now.

        Raises UnexpectedResponse where a row of the book cannot be read: it may be the one.
        """
        book = self.orders()
        if book.problems:
            raise UnexpectedResponse(book.problems[0].field, "cannot be read in every order")
        return tuple(order for order in book.items if order.tag == tag)

    def trades_of(self, orders: Collection[BrokerOrder]) -> Rows[BrokerTrade]:
        """The fills of these orders; of all where the broker has a book of trades, which is one call whoever asks."""
        return self.trades()

    def margin(self, request: OrderRequest) -> OrderMargin:
        """What the broker itself says that an order needs."""
        raise NotSupported(f"{self.spec.name} does not say what an order needs.")

    def gtts(self) -> Rows[BrokerGtt]:
        raise NotSupported(f"{self.spec.name} has no GTT.")

    def candles(self, listing: Listing, first: date, last: date) -> Rows[Candle]:
        """Whole days of one listing or index, both ends included, oldest first; at most `candle_days` of them a call.

        A day without trades is absent, and so is today as long as it is not over. Raises NotSupported where the broker
        tells none.
        """
        raise NotSupported(f"{self.spec.name} tells no daily prices.")

    def listing(self, exchange: Exchange, tradingsymbol: str, isin: str | None) -> Listing | None:
        """This broker's name for another broker's share; None where it cannot be told without its master."""
        return None

    def portfolio_parts(self) -> Mapping[str, Callable[[], PortfolioPart]]:
        """The calls that make a portfolio; they may run at the same time."""
        return {"holdings": self.holdings, "positions": self.positions, "funds": self.funds}

    @classmethod
    def assemble(cls, parts: Mapping[str, PortfolioPart], *, as_of: datetime) -> BrokerPortfolio:
        """Put the parts together. `holdings` and `positions` are there; `funds` may be absent."""
        holdings = cast(Rows[Holding], parts["holdings"])
        positions = cast(Rows[Position], parts["positions"])
        funds = parts.get("funds")
        return BrokerPortfolio(
            as_of=as_of,
            holdings=holdings.items,
            positions=positions.items,
            funds=funds if isinstance(funds, Funds) else None,
            problems=holdings.problems + positions.problems,
        )

    def with_prices(self, rows: Rows[Line]) -> Rows[Line]:
        """Fill in the prices of a list that comes without them, by one round of quotes.

        Where that fails they stay unknown, and may be borrowed from another broker. Raises SessionEnded.
        """
        wanted = [line for line in rows.items if line.last_price is None]
        try:
            quotes = self.hurried().quotes(listing_of(line) for line in wanted) if wanted else ()
        except SessionEnded:
            raise
        except BrokerError:
            return rows
        found = {(quote.exchange, quote.broker_token): quote for quote in quotes}
        return Rows(
            tuple(priced(line, found.get((line.exchange, line.broker_token))) for line in rows.items), rows.problems
        )

    def hurried(self) -> Self:
        """The same client with less time: for calls that a portfolio can do without, such as prices after a list."""
        return self._over(self.http.hurried())

    def within(self, seconds: float) -> Self:
        """The same client with so much time from now, and never more than is left."""
        return self._over(self.http.within(seconds))

    def looking(self, look: Callable[[], None]) -> Self:
        """The same client, which calls `look` last before anything is sent: what it raises stops the call."""
        return self._over(self.http.looking(look))

    def _over(self, http: Transport) -> Self:
        client = type(self)(http, self.app, self.session)
        client.shapes, client.reopen_feed = self.shapes, self.reopen_feed
        return client

    def get(self, path: str, params: Any = None) -> Any:
        """One authenticated read; the shape of its reply is kept for the drift alarm."""
        return self._read("GET", path, self.authorization(), params=params)

    def post(self, path: str, json: Any, *, authorization: Secret | None = None) -> Any:
        """The same for a read that the broker wants as a POST, perhaps under another token."""
        return self._read("POST", path, authorization or self.authorization(), json=json)

    def write(self, method: str, path: str, *, headers: Mapping[str, Secret] | None = None, **sent: Any) -> Any:
        """One authenticated call that changes something: sent once. `sent`: `params`, `form` or `json`."""
        authorization = self.authorization()
        secrets = (authorization, *self._secrets())
        keys = {**self.keys(), **(headers or {})}
        return self.http.call(
            method, path, authorization=authorization, keys=keys, secrets=secrets, writes=True, **sent
        )

    def acknowledged(self, read: Callable[[Any], Answer], method: str, path: str, **sent: Any) -> Answer:
        """One write, and what `read` finds in its acknowledgement; one that says nothing leaves open what it did."""
        try:
            return read(self.write(method, path, **sent))
        except UnexpectedResponse as error:
            raise OutcomeUnknown(f"The broker's acknowledgement cannot be read: `{error.field}`.") from None

    def _read(self, method: str, path: str, authorization: Secret, **sent: Any) -> Any:
        secrets = (authorization, *self._secrets())
        body = self.http.call(method, path, authorization=authorization, keys=self.keys(), secrets=secrets, **sent)
        self.shapes[f"{method} {path}"] = shape_of(body)
        return body

    def _secrets(self) -> tuple[Secret, ...]:
        return (self.session.access_token, self.app.api_secret, self.app.api_key)


def listing_of(line: Holding | Position) -> Listing:
    return Listing(
        exchange=line.exchange, tradingsymbol=line.tradingsymbol, broker_token=line.broker_token, isin=line.isin
    )


def priced(line: Line, quote: Quote | None) -> Line:
    """The line at its quote; what the quote does not know stays as it is."""
    if quote is None or quote.last_price is None:
        return line
    close_price = line.close_price if quote.close_price is None else quote.close_price
    return replace(line, last_price=quote.last_price, close_price=close_price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One broker package, as the registry hands it out."""

    spec: BrokerSpec
    auth_class: type[BrokerAuth]
    client_class: type[BrokerClient]
    failure: Callable[[Any], Failure | None]
    # Rows of one file of the master, and the instruments of one row.
    master_rows: Callable[[IO[bytes]], Iterator[Row]] | None = None
    instrument: Callable[[Row], list[Instrument]] | None = None
    price_stream: type[PriceStream] | None = None
    order_stream: type[OrderStream] | None = None
    # Reads what was posted: body, headers (names in small letters), and the app whose secret signs it.
    read_postback: ReadPostback | None = None

    def transport(
        self,
        *,
        endpoints: Endpoints | None = None,
        loopback_only: bool = False,
        deadline: Deadline | None = None,
        gate: Gate = UNGUARDED,
    ) -> Transport:
        return Transport(
            slug=self.spec.slug,
            endpoints=endpoints or self.spec.endpoints,
            errors=self.spec.errors,
            order_errors=self.spec.order_errors,
            failure=self.failure,
            headers=self.spec.headers,
            loopback_only=loopback_only,
            deadline=deadline,
            gate=gate,
        )

    def auth(self, http: Transport, app: AppCredentials) -> BrokerAuth:
        return self.auth_class(http, app)

    def client(self, http: Transport, app: AppCredentials, session: Session) -> BrokerClient:
        return self.client_class(http, app, session)
