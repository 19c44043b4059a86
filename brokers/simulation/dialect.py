"""What every simulated broker shares: subclass `Sandbox` to give a broker a voice.

A dialect, `brokers/<slug>/sandbox.py`, holds only what its broker does differently:

    class ExampleSandbox(Sandbox):
        slug, name = "example", "Example Securities"
        login_path = "/login"                                    # where the browser is sent
        login_fields = (LoginField("user_id", "User ID", account="user_id"), LoginField("password", "Password"))

        def routes(self) -> Iterable[Route]:
            yield Route("GET", "/login", self.login_form, Access.PAGE)
            yield Route("POST", "/login", self.login, Access.PAGE)
            yield Route("POST", "/token", self.exchange, Access.PUBLIC)
            yield Route("GET", "/holdings", self.holdings)           # private: a live token is needed
            yield Route("GET", "/orders/{order_id}", self.order)     # read it as call.parts["order_id"]

        def token(self, call: Call) -> str: ...      # the access token of a request, "" when there is none
        def problem(self, kind: Problem, path: str = "") -> Reply: ...   # the broker's words for each kind of failure
        def accepted(self, call: Call) -> Reply: ...     # the callback after a right login
        def cancelled(self, call: Call) -> Reply: ...    # the callback after "cancel"

    SANDBOX = ExampleSandbox

Handlers are plain functions from `Call` to `Reply`: no sockets, no waiting, no faults. The server around them
(site.py) reads requests, counts them, applies faults, checks tokens and compresses replies. To answer with an error,
raise `self.refusal(kind)`, or `Refusal(reply)` for one that only this broker has.

At hand inside a handler: `self.desk` (place, modify, cancel, margin, orders, deals, gtts: see desk.py; it raises
`Refused`, which the dialect words), `self.book` (holdings, positions, funds, account), `self.price(key)`,
`self.bars(key, first, last)` (whole days, see candles.py), `self.instruments` (what trades),
`self.listed()` (what a master lists),
`self.app` (key, secret, redirect URI), `self.sessions` (codes and tokens), `self.now()`, `self.login_values`.
Reasons that name a fixture or a page of the broker's documentation belong beside the table they explain.
"""

from __future__ import annotations

import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, StrEnum
from typing import ClassVar

import msgspec

from brokers.simulation.book import Book
from brokers.simulation.candles import Bar, bars
from brokers.simulation.desk import Desk
from brokers.simulation.exchange import Exchange
from brokers.simulation.instruments import Instruments, Listing
from brokers.simulation.login import LoginField, login_page
from brokers.simulation.market import Market, Price
from brokers.simulation.masters import DEMO, Size, all_listings
from brokers.simulation.mqtt import OpenSession
from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST, Session, Sessions, random_text
from brokers.simulation.streams import StreamRoute
from brokers.simulation.wire import HTML, Call, Json, Refusal, Reply

Handler = Callable[[Call], Reply]
Clock = Callable[[], datetime]


class Problem(StrEnum):
    """Failures that every broker has words for."""

    TOKEN_DEAD = "token_dead"  # noqa: S105 - a word, not a token
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    MAINTENANCE = "maintenance"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"


class Access(Enum):
    """PAGE: for the browser, no fault touches it unless asked by path. PUBLIC: no token. PRIVATE: a live token."""

    PAGE = "page"
    PUBLIC = "public"
    PRIVATE = "private"


class App(msgspec.Struct):
    """The app that a developer registered at the broker; `extra` holds what only one broker gives out, by name."""

    api_key: str
    api_secret: str
    redirect_uri: str
    extra: dict[str, str] = {}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Handler
    access: Access = Access.PRIVATE
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pieces = re.split(r"\{(\w+)\}", self.path)
        text = "".join(f"(?P<{piece}>[^/]+)" if odd % 2 else re.escape(piece) for odd, piece in enumerate(pieces))
        object.__setattr__(self, "pattern", re.compile(text))


class Sandbox(ABC):
    """One simulated broker: its customer, its app, its tokens, and its dialect."""

    slug: ClassVar[str]
    name: ClassVar[str]
    login_path: ClassVar[str]
    login_fields: ClassVar[tuple[LoginField, ...]]
    compresses: ClassVar[bool] = False
    most_changes: ClassVar[int | None] = None  # how often an order may be modified

    def __init__(
        self,
        *,
        app: App,
        login_values: dict[str, str],
        book: Book,
        market: Market,
        sessions: Sessions,
        clock: Clock,
        masters: Size = DEMO,
        exchange: Exchange | None = None,
    ) -> None:
        self.app = app
        self.login_values = login_values
        self.book = book
        self.market = market
        self.instruments: Instruments = market.instruments
        self.sessions = sessions
        self.now = clock
        self._masters = masters
        self.desk = Desk(
            self.slug,
            exchange or Exchange(market, now=clock),
            book=lambda: self.book,
            now=clock,
            new_order_id=lambda: self.new_order_id(),
            most_changes=self.most_changes,
        )
        self._routes = tuple(self.routes())
        self.stream_routes = {route.path: route for route in self.streams()}

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        """Register an app with random credentials; override where the broker's have another shape."""
        return App(api_key=random_text(16), api_secret=random_text(32), redirect_uri=redirect_uri)

    def new_order_id(self) -> str:
        """Give the next order its number: the day and nine digits; override where the broker's look different.

        `self.desk.count` is the place of the order among all of this desk, from 1 on.
        """
        return f"{self.now().astimezone(IST):%y%m%d}{self.desk.count:09d}"

    @abstractmethod
    def routes(self) -> Iterable[Route]:
        """List what this broker answers."""

    def streams(self) -> Iterable[StreamRoute]:
        """List its WebSockets; see streams.py."""
        return ()

    def mqtt(self) -> OpenSession | None:
        """Return what opens a session of its MQTT, on a port of its own; None: it has none. See mqtt.py."""
        return None

    def postback(self, told: Told) -> Json | None:
        """Return the body that this broker posts when an order has changed; None: it posts nothing."""
        return None

    @abstractmethod
    def token(self, call: Call) -> str:
        """Return the access token of a request, or an empty string."""

    @abstractmethod
    def problem(self, kind: Problem, path: str = "") -> Reply:
        """Word a failure as this broker does; `path` for those whose words depend on the service asked."""

    @abstractmethod
    def accepted(self, call: Call) -> Reply:
        """Send the browser back after a right login."""

    @abstractmethod
    def cancelled(self, call: Call) -> Reply:
        """Send the browser back after the customer refused."""

    # --- what the server calls -------------------------------------------------------------------

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and its path parts; raises Refusal (not found, method not allowed)."""
        matches = [(route, found) for route in self._routes if (found := route.pattern.fullmatch(path))]
        for route, found in matches:
            if route.method == method:
                return route, found.groupdict()
        raise self.refusal(Problem.METHOD_NOT_ALLOWED if matches else Problem.NOT_FOUND)

    def admit(self, call: Call) -> Session:
        """Return the live session of a request; raises Refusal when there is none."""
        session = self.sessions.live(self.token(call), now=self.now())
        if session is None:
            raise self.refusal(Problem.TOKEN_DEAD)
        return session

    def gateway_error(self) -> Reply:
        """The page of a proxy that could not reach the broker."""
        page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
        return Reply(502, page.encode(), HTML)

    # --- what dialects use -----------------------------------------------------------------------

    def refusal(self, kind: Problem) -> Refusal:
        return Refusal(self.problem(kind))

    def listed(self) -> Iterator[Listing]:
        """Return all that a master lists: more than has a price."""
        return all_listings(self._masters)

    def closes_by_auction(self, listing: Listing) -> bool:
        """Tell whether a share is one of the closing auction's: here, those of the file."""
        return listing.kind == "EQUITY" and listing.key in self.instruments.by_key

    def price(self, key: str) -> Price:
        """Return the price of a listing in the book. Raises KeyError when it does not trade."""
        price = self.market.price(key)
        if price is None:
            raise KeyError(key)
        return price

    def bars(self, key: str, first: date, last: date) -> list[Bar]:
        """Return the whole days of a listing, both ends included, oldest first; none where it does not trade."""
        today = self.now().astimezone(IST).date()
        return bars(self.market, self.instruments[key], first, last, today=today)

    def login_form(self, call: Call) -> Reply:
        """Show the login page."""
        return login_page(self.name, self.login_fields, self.login_values)

    def login(self, call: Call) -> Reply:
        """Judge a submitted login form: accepted, cancelled, or the page again with an error."""
        if call.posted("cancel"):
            return self.cancelled(call)
        if not self.login_is_right(call):
            return login_page(self.name, self.login_fields, self.login_values, "These details are not right.")
        return self.accepted(call)

    def login_is_right(self, call: Call) -> bool:
        return all(same(call.posted(field.name), self.login_values[field.name]) for field in self.login_fields)


def same(left: str, right: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
