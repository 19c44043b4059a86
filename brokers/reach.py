"""How a broker is reached: its addresses, the keys of whose app, and a client of a stored session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.conf import settings

from accounts.models import User
from brokers import clocks, feed_sessions, registry
from brokers.base import Broker, BrokerClient
from brokers.domain import AppCredentials, ConnectionStatus
from brokers.errors import BrokerError, RateLimited, RequestRefused, SessionEnded
from brokers.gate import gate_for
from brokers.models import BrokerConnection
from brokers.secret import Secret
from brokers.spec import BrokerSpec
from brokers.transport import Deadline, Endpoints, Transport


class ConnectRefused(Exception):
    """A login that we do not begin, or do not complete. `code` is stable; nothing was stored."""

    def __init__(self, code: str, message: str, remedy: str = "Start the connection again.") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


def endpoints_of(broker: Broker) -> Endpoints:
    """The broker's own addresses, unless the installation overrides them."""
    override = settings.BROKERS[broker.spec.slug]
    return Endpoints(
        base_url=override["base_url"] or broker.spec.endpoints.base_url,
        login_url=override["login_url"] or broker.spec.endpoints.login_url,
        elsewhere={} if override["base_url"] else broker.spec.endpoints.elsewhere,
    )


def transport_to(
    broker: Broker, deadline: Deadline | None = None, *, account: str, in_background: bool = False
) -> Transport:
    """The way to a broker, with budget and circuit before it. `account` is whose budget it is: a connection's id, or
    `before_login`; never a token. `in_background`: only what the budget can spare, and at once or not at all.
    """
    return broker.transport(
        endpoints=endpoints_of(broker),
        loopback_only=settings.SIMULATED_BROKERS,
        deadline=deadline,
        gate=gate_for(broker.spec, account, in_background=in_background),
    ).hearing(clocks.hear)


def before_login(user: User) -> str:
    """Whose budget a login takes from, as long as it is not known whose account it opens."""
    return f"login-{user.pk}"


def app_credentials(user: User, broker_type: str, *, needed: bool | None = None) -> AppCredentials:
    """The trader's own app, or the platform's.

    Where neither is stored: empty keys if they are not `needed` (default: if the broker has a login without them), else
    ConnectRefused with `broker_app_missing`.
    """
    own = {row.broker_type: row for row in user.broker_apps.all()}.get(broker_type)
    if own is not None:
        return own.credentials
    spec = registry.load(broker_type).spec
    if platform_has_app(spec):
        shared: dict[str, str] = settings.BROKERS[broker_type]
        return AppCredentials(api_key=Secret(shared["api_key"]), api_secret=Secret(shared["api_secret"]))
    if needed is None:
        needed = all(method.needs_app for method in spec.login_methods)
    if not needed:
        return AppCredentials(api_key=Secret(""), api_secret=Secret(""))
    raise ConnectRefused(
        "broker_app_missing",
        f"There is no API key for {spec.name} yet.",
        "Enter the key and secret of your API app at this broker first.",
    )


def platform_has_app(spec: BrokerSpec) -> bool:
    """Whether settings hold every key that this broker cannot do without."""
    shared = settings.BROKERS[spec.slug]
    return all(shared.get(field.name) for field in spec.app_fields if field.required)


def client_for(
    connection: BrokerConnection,
    *,
    deadline: Deadline | None = None,
    now: datetime,
    in_background: bool = False,
    to_end: bool = False,
) -> BrokerClient:
    """A client of the stored session, `in_background` as for `transport_to`. Reads rows: not for threads.

    `to_end`: for taking orders back, which no other call's pause holds up; those that the budget knows still do.
    Raises SessionEnded where there is no session, or its known end has come; RateLimited while the broker wants to be
    left alone.
    """
    session = connection.session
    if session is None or connection.status == ConnectionStatus.TOKEN_EXPIRED or connection.is_over(now):
        raise SessionEnded("The session of this connection has ended.")
    if connection.is_paused(now) and not to_end:
        raise RateLimited("The broker asked for a pause.", connection_status=ConnectionStatus.RATE_LIMITED)
    broker = registry.load(connection.broker_type)
    app = app_credentials(connection.user, connection.broker_type)
    http = transport_to(broker, deadline, account=str(connection.pk), in_background=in_background)
    client = broker.client(http, app, session)
    client.reopen_feed = partial(feed_sessions.reopened, connection.pk)
    return client


def clients_for(
    connections: Sequence[BrokerConnection], *, deadline: Deadline, now: datetime, in_background: bool = False
) -> dict[UUID, BrokerClient | BrokerError]:
    """A client per connection; or, for one that cannot be asked now, the error that says why."""
    clients: dict[UUID, BrokerClient | BrokerError] = {}
    for connection in connections:
        try:
            clients[connection.pk] = client_for(connection, deadline=deadline, now=now, in_background=in_background)
        except BrokerError as error:
            clients[connection.pk] = error
        except ConnectRefused as refusal:
            clients[connection.pk] = RequestRefused(
                refusal.message, code=refusal.code, user_action=refusal.remedy, connection_status=ConnectionStatus.ERROR
            )
    return clients


def own_callback(broker_type: str) -> str:
    """The address to register for an app at the broker."""
    return f"{settings.PUBLIC_URL}/brokers/callback/{broker_type}"
