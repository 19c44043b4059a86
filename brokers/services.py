"""The verbs of broker connections: begin a login, complete it, use it, end it.

No transaction holds a call to a broker, and what is pushed waits for the commit.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import transaction

from accounts.models import User
from brokers import drift, push, registry, vault
from brokers.base import Broker, BrokerAuth, BrokerClient, BrokerSpec, LoginMethod
from brokers.changes import connections_changed
from brokers.domain import SEGMENT_OF, AppCredentials, ConnectionStatus, Exchange, Profile, Session
from brokers.drift import Shape
from brokers.errors import BrokerError, NotSupported, RateLimited, RequestRefused, SessionEnded
from brokers.models import BrokerApp, BrokerConnection, OAuthState, ReplyDrift, ReplyShape
from brokers.secret import Secret
from brokers.transport import Deadline, Endpoints, Transport

logger = logging.getLogger(__name__)


class ConnectRefused(Exception):
    """A login that we do not begin, or do not complete. `code` is stable; nothing was stored."""

    def __init__(self, code: str, message: str, remedy: str = "Start the connection again.") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginStart:
    broker_type: str
    authorization_url: str
    state: str
    expires_at: datetime


# --- speaking to a broker ---------------------------------------------------------------------------------------------
def endpoints_of(broker: Broker) -> Endpoints:
    """The broker's own addresses, unless the installation overrides them."""
    override = settings.BROKERS[broker.spec.slug]
    return Endpoints(
        base_url=override["base_url"] or broker.spec.endpoints.base_url,
        login_url=override["login_url"] or broker.spec.endpoints.login_url,
    )


def transport_to(broker: Broker, deadline: Deadline | None = None) -> Transport:
    return broker.transport(endpoints=endpoints_of(broker), loopback_only=settings.SIMULATED_BROKERS, deadline=deadline)


def app_credentials(user: User, broker_type: str, *, needed: bool | None = None) -> AppCredentials:
    """The trader's own app, or the platform's.

    Where neither is stored: empty keys if they are not `needed` (default: if the broker has a login without them), else
    ConnectRefused with `broker_app_missing`.
    """
    own = {row.broker_type: row for row in user.broker_apps.all()}.get(broker_type)
    if own is not None:
        return own.credentials
    spec = registry.load(broker_type).spec
    if _platform_has_app(spec):
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


def _platform_has_app(spec: BrokerSpec) -> bool:
    """Whether settings hold every key that this broker cannot do without."""
    shared = settings.BROKERS[spec.slug]
    return all(shared.get(field.name) for field in spec.app_fields if field.required)


def client_for(connection: BrokerConnection, *, deadline: Deadline | None = None, now: datetime) -> BrokerClient:
    """A client of the stored session. Reads rows: not for threads.

    Raises SessionEnded where there is no session, RateLimited while the broker wants to be left alone.
    """
    session = connection.session
    if session is None or connection.status == ConnectionStatus.TOKEN_EXPIRED:
        raise SessionEnded("The session of this connection has ended.")
    if connection.is_paused(now):
        raise RateLimited("The broker asked for a pause.", connection_status=ConnectionStatus.RATE_LIMITED)
    broker = registry.load(connection.broker_type)
    app = app_credentials(connection.user, connection.broker_type)
    return broker.client(transport_to(broker, deadline), app, session)


def clients_for(
    connections: Sequence[BrokerConnection], *, deadline: Deadline, now: datetime
) -> dict[UUID, BrokerClient | BrokerError]:
    """A client per connection; or, for one that cannot be asked now, the error that says why."""
    clients: dict[UUID, BrokerClient | BrokerError] = {}
    for connection in connections:
        try:
            clients[connection.pk] = client_for(connection, deadline=deadline, now=now)
        except BrokerError as error:
            clients[connection.pk] = error
        except ConnectRefused as refusal:
            clients[connection.pk] = RequestRefused(
                refusal.message, code=refusal.code, user_action=refusal.remedy, connection_status=ConnectionStatus.ERROR
            )
    return clients


# --- the login --------------------------------------------------------------------------------------------------------
def own_callback(broker_type: str) -> str:
    """The address to register for an app at the broker."""
    return f"{settings.PUBLIC_URL}/brokers/callback/{broker_type}"


def allowed_redirects(broker_type: str) -> list[str]:
    return [own_callback(broker_type), *settings.REDIRECT_URIS]


def own_form(broker_type: str, state: str) -> str:
    """Our own login form, for brokers without a redirect: for the trader it is the same two steps."""
    return f"{settings.PUBLIC_URL}/brokers/login/{broker_type}?{urlencode({'state': state})}"


def initiate(
    *, user: User, broker_type: str, redirect_uri: str, now: datetime, method: str | None = None
) -> LoginStart:
    """Begin a login: the address to send the browser to, with a fresh one-use state in it.

    `method` chooses a login by our own form at a broker that has a redirect too; without it the redirect is taken.
    Raises UnsupportedBroker; ConnectRefused (`redirect_uri_not_allowed`, `broker_app_missing`, `unknown_login_method`).
    """
    broker = registry.load(broker_type)
    if redirect_uri not in allowed_redirects(broker_type):
        raise ConnectRefused(
            "redirect_uri_not_allowed",
            "The broker may not send the browser to this address.",
            "Use this installation's callback address, or ask its operator to allow yours (REDIRECT_URIS).",
        )
    by_form = broker.spec.callback is None or method is not None
    _method(broker, method)
    app = app_credentials(user, broker_type)
    state = secrets.token_urlsafe(32)
    expires_at = now + settings.STATE_LIFETIME
    OAuthState.objects.create(
        state=_hash(state), user=user, broker_type=broker_type, redirect_uri=redirect_uri, expires_at=expires_at
    )
    if by_form:
        address = own_form(broker_type, state)
    else:
        address = broker.auth(transport_to(broker), app).authorization_url(state=state, redirect_uri=redirect_uri)
    logger.info("Login to %s begun by user %s", broker_type, user.pk)
    return LoginStart(broker_type=broker_type, authorization_url=address, state=state, expires_at=expires_at)


def complete(
    *,
    user: User,
    state: str,
    callback: Mapping[str, str],
    now: datetime,
    broker_type: str | None = None,
    redirect_uri: str | None = None,
) -> BrokerConnection:
    """Complete a login: spend the state, exchange the code, prove the token by reading the profile, store it.

    `broker_type` and `redirect_uri`, where the caller knows them, must be those the login was begun with.
    Raises ConnectRefused (`invalid_state`, `state_expired`, `state_of_another_user`, `state_of_another_broker`,
    `redirect_uri_mismatch`, `unknown_login_method`, `login_fields_missing`, `broker_app_missing`, `account_inactive`,
    `account_mismatch`) and any BrokerError; then nothing was stored.
    """
    login = _spend(user, state, now, broker_type, redirect_uri)
    broker = registry.load(login.broker_type)
    method = _method(broker, callback.get("method"), callback)
    app = app_credentials(user, login.broker_type, needed=method is None or method.needs_app)
    http = transport_to(broker)
    session = _exchanged(broker.auth(http, app), callback, login.redirect_uri, now)
    profile = _proven(broker.client(http, app, session).profile(), session)
    connection = _store(user, broker, session, profile, now)
    logger.info("Connected %s of user %s as connection %s", broker.spec.slug, user.pk, connection.pk)
    return connection


def _method(broker: Broker, name: str | None, callback: Mapping[str, str] | None = None) -> LoginMethod | None:
    """The form login meant by `name`; None for a redirect. With `callback`, its fields must have been filled in."""
    if name is None and broker.spec.callback is not None:
        return None
    chosen = [method for method in broker.spec.login_methods if name is None or method.name == name]
    if not chosen or (name is None and callback is not None):
        names = ", ".join(method.name for method in broker.spec.login_methods) or "none"
        raise ConnectRefused(
            "unknown_login_method", f"{broker.spec.name} has no such login.", f"Send `method`, one of: {names}."
        )
    missing = [
        field.label for field in chosen[0].fields if field.required and callback and not callback.get(field.name)
    ]
    if missing:
        raise ConnectRefused("login_fields_missing", f"The login needs: {', '.join(missing)}.")
    return chosen[0]


def _spend(user: User, state: str, now: datetime, broker_type: str | None, redirect_uri: str | None) -> OAuthState:
    login = OAuthState.objects.filter(pk=_hash(state)).first()
    if login is None:
        raise ConnectRefused("invalid_state", "This login is unknown, or was used already.")
    if login.user_id != user.pk:  # not spent: Mallory must not be able to burn Alice's login
        raise ConnectRefused("state_of_another_user", "This login was begun by somebody else.")
    if not login.spend():
        raise ConnectRefused("invalid_state", "This login is unknown, or was used already.")
    if login.expires_at <= now:
        raise ConnectRefused("state_expired", "This login took too long.")
    if broker_type is not None and broker_type != login.broker_type:
        raise ConnectRefused("state_of_another_broker", "This login was begun for another broker.")
    if redirect_uri is not None and redirect_uri != login.redirect_uri:
        raise ConnectRefused("redirect_uri_mismatch", "The browser came back to another address than agreed.")
    return login


def _exchanged(auth: BrokerAuth, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
    try:
        return auth.exchange(callback=callback, redirect_uri=redirect_uri, now=now)
    except SessionEnded as error:
        # No session has begun yet, so none has ended: brokers use these words for a code that is stale or made up,
        # and Kite for a wrong API secret too.
        raise RequestRefused(
            "The broker did not accept this login.",
            code="exchange_refused",
            vendor_code=error.vendor_code,
            reason=error.reason,
            user_action="Start the connection again; if it fails again, check your app's API key and secret.",
        ) from None


def _proven(profile: Profile, session: Session) -> Profile:
    """What a profile call with the new token says of it. Raises ConnectRefused."""
    if not profile.is_active:
        raise ConnectRefused(
            "account_inactive", "The broker says that this account is not active.", "Settle it with the broker."
        )
    if session.account_id is not None and session.account_id != profile.account_id:
        raise ConnectRefused("account_mismatch", "The broker's token opens another account than it says.")
    return profile


@transaction.atomic
def _store(user: User, broker: Broker, session: Session, profile: Profile, now: datetime) -> BrokerConnection:
    """Create the connection, or repair it: the same account keeps its id and its name."""
    connection, _ = BrokerConnection.objects.select_for_update().update_or_create(
        user=user,
        broker_type=broker.spec.slug,
        account_id=profile.account_id,
        defaults={
            "access_token_encrypted": session.access_token,
            "refresh_token_encrypted": session.refresh_token,
            "feed_token_encrypted": session.feed_token,
            "connection_config": dict(session.facts),
            "token_expires_at": session.expires_at,
            "status": ConnectionStatus.CONNECTED,
            "last_successful_call": now,
            "next_health_check_at": now,
            "consecutive_failures": 0,
            "error_code": "",
            "error_message": "",
            "retry_after": None,
            "capabilities": capabilities_of(broker, profile),
        },
    )
    connection.display_name = connection.display_name or f"{broker.spec.name} {profile.account_id}"
    connection.version += 1  # whatever is still under way with an older session may not judge this one
    connection.save(update_fields=["display_name", "version"])
    connections_changed(user.pk)
    announce(connection)
    return connection


def store_app(*, user: User, broker_type: str, fields: Mapping[str, str]) -> BrokerApp:
    """Keep the trader's own keys, encrypted; which ones, the broker's `app_fields` say. An optional one may be empty.

    Raises UnsupportedBroker.
    """
    names = [field.name for field in registry.load(broker_type).spec.app_fields]
    values = {name: Secret(fields.get(name, "")) for name in names}
    app, _ = BrokerApp.objects.update_or_create(
        user=user,
        broker_type=broker_type,
        defaults={
            "api_key_encrypted": values.pop("api_key"),
            "api_secret_encrypted": values.pop("api_secret", Secret("")),
            "extra_encrypted": vault.packed(values),
        },
    )
    connections_changed(user.pk)
    return app


def forget_app(*, user: User, broker_type: str) -> None:
    """Delete the trader's own keys, if there are any; the platform's, where it has some, serve from then on.

    Raises UnsupportedBroker.
    """
    registry.load(broker_type)
    if BrokerApp.objects.filter(user=user, broker_type=broker_type).delete()[0]:
        connections_changed(user.pk)


def rename(connection: BrokerConnection, display_name: str) -> None:
    connection.display_name = display_name
    connection.save(update_fields=["display_name", "updated_at"])
    connections_changed(connection.user_id)


def described(broker: Broker, configured: Container[str]) -> dict[str, Any]:
    """A broker for the list of brokers; `configured` are the slugs whose app the trader has stored."""
    spec = broker.spec
    return {
        "broker_type": spec.slug,
        "name": spec.name,
        "redirect_uri": own_callback(spec.slug),
        "app_configured": spec.slug in configured or _platform_has_app(spec),
        "app_fields": msgspec.to_builtins(spec.app_fields),
        "login_by_redirect": spec.callback is not None,
        "login_methods": msgspec.to_builtins(spec.login_methods),
        "code_parameter": spec.callback.code if spec.callback else None,
        "session_ends_at": spec.session.ends_at,
        "session_refreshable": spec.session.refreshable,
        "capabilities": capabilities_of(broker),
    }


def capabilities_of(broker: Broker, profile: Profile | None = None) -> dict[str, Any]:
    """The spec's capabilities as plain JSON values, narrowed to what a profile allows; amounts as strings."""
    plain: dict[str, Any] = msgspec.to_builtins(broker.spec.capabilities)
    for name in ("exchanges", "products", "order_types") if profile else ():
        allowed = getattr(profile, name)
        if allowed is not None:
            plain[name] = [word for word in plain[name] if word in allowed]
    plain["segments"] = sorted({SEGMENT_OF[Exchange(word)].value for word in plain["exchanges"]})
    return plain


def disconnect(connection: BrokerConnection) -> None:
    """End the session at the broker where it can be ended, wipe the tokens, keep the history.

    The trader's wish does not depend on the broker: if it does not answer, the tokens are wiped all the same.
    """
    session = connection.session
    if session is not None and connection.status != ConnectionStatus.TOKEN_EXPIRED:
        broker = registry.load(connection.broker_type)
        try:
            app = app_credentials(connection.user, connection.broker_type)
            broker.auth(transport_to(broker), app).revoke(session)
        except (BrokerError, ConnectRefused) as error:
            logger.info("Connection %s was not revoked at the broker: %s", connection.pk, error.code)
    change_status(connection, ConnectionStatus.DISCONNECTED, code="disconnected", message="Disconnected by the trader.")


# --- what becomes of a connection -------------------------------------------------------------------------------------
def learn(connection: BrokerConnection, error: BrokerError | None, now: datetime) -> None:
    """Take note of how a call ended. If that changes what the connection is, its user is told."""
    changed = connection.record_success(now) if error is None else connection.record_failure(error, now)
    if changed:
        logger.warning("Connection %s %s", connection.pk, "is well again" if error is None else f"fails: {error.code}")
        announce(connection)


def learn_all(outcomes: Sequence[tuple[BrokerConnection, BrokerError | None]], now: datetime) -> None:
    """`learn` for many: those that were well and still are take one query together."""
    well = [
        connection.pk
        for connection, error in outcomes
        if error is None and connection.status == ConnectionStatus.CONNECTED
    ]
    BrokerConnection.objects.filter(pk__in=well).record_health(now)
    for connection, error in outcomes:
        if connection.pk not in well:
            learn(connection, error, now)


class TokenRefreshFailed(ConnectRefused):
    """The session could not be renewed: only a new login helps."""

    def __init__(self, message: str) -> None:
        super().__init__("token_refresh_failed", message, "Log in to the broker again.")


def refresh_session(connection: BrokerConnection, *, now: datetime) -> BrokerConnection:
    """Renew the session without a login, where the broker still offers that.

    Raises TokenRefreshFailed; where the broker itself refused, the connection is TOKEN_EXPIRED from then on.
    """
    session = connection.session
    if session is None:
        raise TokenRefreshFailed("This connection has no session to renew.")
    broker = registry.load(connection.broker_type)
    auth = broker.auth(transport_to(broker), app_credentials(connection.user, connection.broker_type))
    try:
        renewed = auth.refresh(session, now=now)
    except NotSupported as error:
        raise TokenRefreshFailed(error.message) from None
    except BrokerError as error:
        change_status(connection, ConnectionStatus.TOKEN_EXPIRED, code="token_refresh_failed", message=error.message)
        raise TokenRefreshFailed(error.message) from None
    connection.keep_session(renewed, now)
    connections_changed(connection.user_id)
    announce(connection)
    return connection


def note_shapes(broker_type: str, shapes: Mapping[str, Shape], now: datetime) -> None:
    """Compare replies with those seen before; a field that came or went is noted, and logged, once.

    Seen in this process and unchanged, the usual case, costs nothing.
    """
    for call, shape in shapes.items():
        seen = (broker_type, call, frozenset(shape.items()))
        if seen not in _seen_shapes:
            _note_shape(broker_type, call, shape, now)
            _seen_shapes.add(seen)


_seen_shapes: set[tuple[str, str, frozenset[tuple[str, frozenset[str]]]]] = set()


@transaction.atomic
def _note_shape(broker_type: str, call: str, shape: Shape, now: datetime) -> None:
    plain = {place: sorted(names) for place, names in shape.items()}
    row, is_first = ReplyShape.objects.select_for_update().get_or_create(
        broker_type=broker_type, call=call, defaults={"shape": plain, "updated_at": now}
    )
    if is_first:
        return
    before = {place: frozenset(names) for place, names in row.shape.items()}
    for change in drift.changes(before, shape):
        noted, is_new = ReplyDrift.objects.get_or_create(
            broker_type=broker_type,
            call=call,
            place=change.place,
            field=change.field,
            appeared=change.appeared,
            defaults={"noticed_at": now},
        )
        if is_new:
            logger.warning("Drift: %s", noted)
    row.shape = row.shape | plain
    row.updated_at = now
    row.save()


def end_expired_sessions(now: datetime) -> int:
    """Mark every session whose known end has come, before a call of its fails. Returns how many."""
    ended = 0
    for connection in BrokerConnection.objects.past_their_end(now):
        ended += change_status(
            connection,
            ConnectionStatus.TOKEN_EXPIRED,
            code=SessionEnded.default_code,
            message="The broker ends every session at this hour.",
        )
    return ended


def change_status(connection: BrokerConnection, status: ConnectionStatus, *, code: str, message: str) -> bool:
    changed = connection.end_session(status, code=code, message=message)
    if changed:
        connections_changed(connection.user_id)
        announce(connection)
    return changed


def announce(connection: BrokerConnection) -> None:
    """Push the connection as it stands, once what was written is committed."""

    def push_it() -> None:
        push.broker_status(BrokerConnection.objects.get(pk=connection.pk))

    transaction.on_commit(push_it)


def purge_states(now: datetime) -> int:
    """Delete logins that nobody completed. Returns how many."""
    return OAuthState.objects.filter(expires_at__lte=now).delete()[0]


def callback_from(code: str, broker_type: str) -> dict[str, str]:
    """A bare code as this broker's own callback."""
    spec = registry.load(broker_type).spec.callback
    if spec is None:
        raise ConnectRefused(
            "unknown_login_method", "This broker has no redirect, and so no code.", "Send `callback` with its `method`."
        )
    return {**spec.success, spec.code: code}


def _hash(state: str) -> str:
    return sha256(state.encode()).hexdigest()
