"""All that a broker package must offer; the packages fill it in the same order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
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
    OrderType,
    Position,
    Postback,
    Product,
    Profile,
    Quote,
    Rows,
    Session,
    Validity,
)
from brokers.drift import Shape, shape_of
from brokers.errors import (
    BrokerError,
    NotSupported,
    OutcomeUnknown,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.guide import Guide
from brokers.masters import MasterSpec
from brokers.secret import Secret
from brokers.transport import UNGUARDED, Deadline, Endpoints, ErrorTable, Failure, Gate, Transport
from brokers.wire import IST, Row

if TYPE_CHECKING:
    from brokers.streaming import OrderStream, PriceStream

ALL = "all"
OTHER = "other"
# (method, beginning of the path) → rate class; the method None stands for any.
RateClasses = Mapping[tuple[str | None, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """At most `calls` within any `seconds`, for one class of endpoints.

    `endpoints` "all" counts every call of the account. `also` are further classes whose calls count in the same window.
    `per_path`: each path by itself, as the spec's table of rate classes spells it.
    """

    endpoints: str
    calls: int
    seconds: int
    also: tuple[str, ...] = ()
    per_path: bool = False

    def counts(self, rate_class: str) -> bool:
        return self.endpoints in (ALL, rate_class) or rate_class in self.also


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker offers through its API. None: no figure is published."""

    order_types: tuple[OrderType, ...]
    products: tuple[Product, ...]
    exchanges: tuple[Exchange, ...]
    validities: tuple[Validity, ...]
    max_order_value: Decimal | None = None
    max_order_quantity: int | None = None
    supports_margin_trading: bool
    supports_options_trading: bool
    supports_commodity_trading: bool
    supports_international_trading: bool = False
    rate_limits: tuple[RateLimit, ...]
    features: tuple[str, ...] = ()


class Renewal(StrEnum):
    """How a session is renewed without a person."""

    NONE = "NONE"
    REFRESH_TOKEN = "REFRESH_TOKEN"  # noqa: S105 - a word; never past the hour at which all sessions end
    STORED_KEYS = "STORED_KEYS"  # logs in again; a session that has ended already too


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """When a session dies: at `ends_at` IST, on the day of the login where that hour is still to come, else the next.

    With `always_next_day` it lives past the first such hour. Without an hour it `lasts` so long after the login.
    Where there is a `renewal` it is made `renewed_before` the end, spread over as long again.
    """

    ends_at: time | None = None
    lasts: timedelta = timedelta(days=1)
    always_next_day: bool = False
    renewal: Renewal = Renewal.NONE
    renewed_before: timedelta = timedelta(minutes=15)

    def renewal_due(self, expires_at: datetime | None, *, now: datetime, spread: float) -> datetime | None:
        """When to renew a session got `now`; None: never. `spread`, 0 to 1, keeps connections from coming all at once.

        A refresh token does not reach past the hour at which the broker ends every session: one that lives until then
        has nothing to gain by it.
        """
        if self.renewal is Renewal.NONE or expires_at is None:
            return None
        if self.renewal is Renewal.REFRESH_TOKEN and expires_at >= self.end(now):
            return None
        return expires_at - self.renewed_before * (1 + spread)

    def end(self, logged_in_at: datetime) -> datetime:
        if self.ends_at is None:
            return logged_in_at + self.lasts
        local = logged_in_at.astimezone(IST)
        same_day = local.replace(hour=self.ends_at.hour, minute=self.ends_at.minute, second=0, microsecond=0)
        if self.always_next_day or same_day <= local:
            return same_day + timedelta(days=1)
        return same_day


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyWindow:
    """A part of every day, IST; where `ends_at` is the earlier hour it spans midnight."""

    starts_at: time
    ends_at: time

    def end_if_within(self, now: datetime) -> datetime | None:
        """When it ends, if it is on at that time."""
        local = now.astimezone(IST)
        end = local.replace(hour=self.ends_at.hour, minute=self.ends_at.minute, second=0, microsecond=0)
        if self.starts_at > self.ends_at and local.time() >= self.starts_at:
            return end + timedelta(days=1)
        begun = self.starts_at > self.ends_at or local.time() >= self.starts_at
        return end if begun and local < end else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One thing to type into a form of ours. A secret one is shown as dots and never comes back."""

    name: str
    label: str
    secret: bool = True
    required: bool = True
    help: str = ""


API_KEY = FormField(name="api_key", label="API key")
API_SECRET = FormField(name="api_secret", label="API secret")
APP_FIELDS = (API_KEY, API_SECRET)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginMethod:
    """A login without a redirect: what our form asks for, once, and forgets. `needs_app`: it uses the stored keys."""

    name: str
    label: str
    fields: tuple[FormField, ...] = ()
    help: str = ""
    needs_app: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSpec:
    """How a redirect login comes back: the parameter that carries the code, and what a success must say.

    With `may_drop_state` the broker is known to lose the state on the way: the browser's session then stands in for it.
    """

    code: str
    state: str = "state"
    success: Mapping[str, str] = field(default_factory=dict)
    may_drop_state: bool = False

    def read_code(self, callback: Mapping[str, str]) -> Secret:
        """The one-use code. Raises RequestRefused where the trader, or the broker, said no."""
        said_no = any(callback.get(name, value) != value for name, value in self.success.items())
        if said_no or not callback.get(self.code):
            raise RequestRefused(
                "The login at the broker was not completed.",
                code="login_refused",
                user_action="Start the connection again and finish the broker's login.",
            )
        return Secret(callback[self.code])


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRules:
    """What an order needs beside a session. The two texts are for the trader: whole sentences.

    `needs_registered_ip`: orders, and they alone, are taken only from an address that is registered at the broker;
    `register_ip` says how. `authorise_debit` says how the sale of shares is allowed to leave the demat account.
    `throttled_before_entry`: an order that is answered with "too many" is known not to have been taken; where that is
    not known it is UNKNOWN. `most_changes`: how often one order may be modified.
    """

    needs_registered_ip: bool
    register_ip: str
    authorise_debit: str
    throttled_before_entry: bool = False
    most_changes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostbackSpec:
    """That the broker posts news of orders to an address of ours.

    `is_signed`: whether a signature shows that it is the broker's. `instruction` tells the trader where to enter the
    address: whole sentences.
    """

    is_signed: bool
    instruction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSpec:
    """Everything about a broker that is a fact and not a step.

    `callback` is None where the broker has no redirect login; `login_methods` are its logins by a form of ours.
    `app_fields` are the keys that a trader stores for it. `rate_classes` sorts its calls into the classes that the rate
    limits name. In its `maintenance` windows it is known not to answer. `postback` is None where it sends none.
    `counts_lots_at`: where its orders and books count lots; everywhere else they count units.
    """

    slug: str
    name: str
    endpoints: Endpoints
    # The hosts of its streams: of the prices, and of the orders where those have a stream of their own.
    stream_url: str | None = None
    order_stream_url: str | None = None
    # Its list of instruments; None: not published.
    master: MasterSpec | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    app_fields: tuple[FormField, ...] = APP_FIELDS
    callback: CallbackSpec | None = None
    login_methods: tuple[LoginMethod, ...] = ()
    session: SessionPolicy
    # How an account is made ready here; shown on the page that connects it.
    guide: Guide
    order_rules: OrderRules
    counts_lots_at: tuple[Exchange, ...] = ()
    postback: PostbackSpec | None = None
    maintenance: tuple[DailyWindow, ...] = ()
    capabilities: Capabilities
    rate_classes: RateClasses
    errors: ErrorTable
    # What means something else where it answers a write: it stops the order, and no reading.
    order_errors: ErrorTable = field(default_factory=dict)

    def rate_class(self, method: str, path: str) -> tuple[str, str]:
        """The class of a call, and the entry of the table that says so: the longest that fits, else "other" and "".

        Ids further down a path are no part of the entry, so that each order has not a window of its own.
        """
        pieces = path.split("/")
        for length in range(len(pieces), 1, -1):
            prefix = "/".join(pieces[:length])
            for key in ((method, prefix), (None, prefix)):
                if key in self.rate_classes:
                    return self.rate_classes[key], prefix
        return OTHER, ""


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
