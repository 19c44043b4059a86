"""The login at a broker, in two steps that are the same for every broker: begin it, complete it."""

from __future__ import annotations

import logging
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from accounts.models import User
from brokers import consents, login_news, registry, sessions
from brokers.base import Broker, BrokerAuth
from brokers.changes import connections_changed
from brokers.domain import Profile, Session
from brokers.errors import RequestRefused, SessionEnded
from brokers.models import BrokerConnection, OAuthState
from brokers.reach import ConnectRefused, app_credentials, before_login, own_callback, transport_to
from brokers.secret import Hidden, curtained
from brokers.services import announce, capabilities_of
from brokers.spec import LoginMethod

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginStart:
    broker_type: str
    authorization_url: str = field(repr=False)
    state: str = field(repr=False)
    expires_at: datetime
    consent: consents.Text


@dataclass(frozen=True, slots=True)
class Destination:
    """The page of ours that a login goes back to; `expected` is the connection that it was begun for, if one was."""

    page: str = "dashboard"
    expected: BrokerConnection | None = None


# The pages that a login may go back to, by the names of their addresses.
RETURN_PAGES = ("dashboard", "logins")


def allowed_redirects(broker_type: str) -> list[str]:
    return [own_callback(broker_type), *settings.REDIRECT_URIS]


def own_form(broker_type: str, state: str) -> str:
    """Our own login form, for brokers without a redirect: for the trader it is the same two steps."""
    return f"{settings.PUBLIC_URL}/brokers/login/{broker_type}?{urlencode({'state': state})}"


def initiate(
    *,
    user: User,
    broker_type: str,
    redirect_uri: str,
    now: datetime,
    method: str | None = None,
    return_to: str = "dashboard",
    connection_id: UUID | None = None,
    consent: str | None = None,
) -> LoginStart:
    """Begin a login: the address to send the browser to, with a fresh one-use state in it.

    `method` chooses a login by our own form at a broker that has a redirect too; without it the redirect is taken.
    `return_to` is one of RETURN_PAGES; `connection_id` the trader's connection that this login is to mend: one that
    opens another account is as good, but that is said. To complete it is to agree to the consent text of now, whose
    version `consent` must be, where it is sent.
    Raises UnsupportedBroker; ConnectRefused (`redirect_uri_not_allowed`, `broker_app_missing`, `unknown_login_method`,
    `unknown_connection`, `consent_outdated`).
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
    if (
        connection_id
        and not BrokerConnection.objects.filter(pk=connection_id, user=user, broker_type=broker_type).exists()
    ):
        raise ConnectRefused("unknown_connection", "You have no such connection at this broker.")
    version = consents.checked(consent)
    app = app_credentials(user, broker_type)
    state = Hidden(secrets.token_urlsafe(32))
    expires_at = now + settings.STATE_LIFETIME
    OAuthState.objects.create(
        state=_hash(state),
        user=user,
        broker_type=broker_type,
        redirect_uri=redirect_uri,
        return_to=_written(return_to, connection_id),
        consent=version,
        consent_stated=consent is not None,
        expires_at=expires_at,
    )
    if by_form:
        address = own_form(broker_type, state)
    else:
        http = transport_to(broker, account=before_login(user))
        address = curtained(broker.auth(http, app).authorization_url)(state=state, redirect_uri=redirect_uri)
    logger.info("Login to %s begun by user %s", broker_type, user.pk)
    return LoginStart(
        broker_type=broker_type,
        authorization_url=address,
        state=state,
        expires_at=expires_at,
        consent=consents.current(),
    )


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
    `account_mismatch`, `account_closed`) and any BrokerError; then nothing was stored.
    """
    login = _spend(user, state, now, broker_type, redirect_uri)
    broker = registry.load(login.broker_type)
    method = _method(broker, callback.get("method"), callback)
    app = app_credentials(user, login.broker_type, needed=method is None or method.needs_app)
    http = transport_to(broker, account=before_login(user))
    session = _exchanged(broker.auth(http, app), callback, login.redirect_uri, now)
    profile = _proven(broker.client(http, app, session).profile(), session)
    connection = _store(login, broker, session, profile, now)
    logger.info("Connected %s of user %s as connection %s", broker.spec.slug, user.pk, connection.pk)
    return connection


def destination(user: User, state: str) -> Destination:
    """Where the user's login under way goes back to; to be asked before the login is completed, or refused."""
    login = OAuthState.objects.filter(pk=_hash(state), user=user).first()
    page, _, written = (login.return_to if login else "").partition("#")
    if page not in RETURN_PAGES:
        return Destination()
    if not written:
        return Destination(page)
    connection_id = UUID(bytes=urlsafe_b64decode(f"{written}=="))
    mine = BrokerConnection.objects.without_secrets().filter(user=user)
    return Destination(page, mine.filter(pk=connection_id).first())


def _written(page: str, connection_id: UUID | None) -> str:
    """A page and, in the shortest way to write its id, a connection: the column has room for 40 characters."""
    return f"{page}#{urlsafe_b64encode(connection_id.bytes).decode().rstrip('=')}" if connection_id else page


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
        return curtained(auth.exchange)(callback=callback, redirect_uri=redirect_uri, now=now)
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
def _store(login: OAuthState, broker: Broker, session: Session, profile: Profile, now: datetime) -> BrokerConnection:
    """Create the connection, or repair it: the same account keeps its id and its name."""
    user = User.objects.select_for_update(no_key=True).filter(pk=login.user_id, is_active=True).first()
    if user is None:  # deleted, or locked out, while it logged in
        raise ConnectRefused("account_closed", "This account is closed.", "Ask your administrator.")
    # Its older tokens are not looked at: a login mends a connection whose secrets no key can read any more.
    connection, _ = (
        BrokerConnection.objects.without_secrets()
        .select_for_update()
        .get_or_create(user=user, broker_type=broker.spec.slug, account_id=profile.account_id)
    )
    connection.capabilities = capabilities_of(broker, profile)
    connection.display_name = connection.display_name or f"{broker.spec.name} {profile.account_id}"
    due = sessions.first_renewal(connection.pk, broker.spec.session, session, now=now)
    connection.begin_session(session, renewal_due_at=due, user=user, now=now)
    connections_changed(user.pk)
    announce(connection)
    transaction.on_commit(partial(login_news.tell, broker.spec.slug))
    happened = Happened(
        event=Event.BROKER_CONNECTED,
        subject=user.pk,
        thing=("connection", connection.pk),
        details={"broker": broker.spec.slug, "session": connection.session_number},
    )
    agreed = consents.give(
        connection, version=login.consent or consents.current().version, stated=login.consent_stated, now=now
    )
    audit.record_all([happened, *agreed], actor=user, now=now)
    return connection


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
