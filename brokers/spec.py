"""The words in which a broker's `spec.py` says what is a fact about it and not a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from brokers.domain import Exchange, OrderType, Product, Validity
from brokers.errors import RequestRefused
from brokers.guide import Guide
from brokers.masters import MasterSpec
from brokers.secret import Secret
from brokers.transport import Endpoints
from brokers.verdicts import ErrorTable
from brokers.wire import IST

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
