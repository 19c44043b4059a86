"""The verbs of a broker connection: keep its app and its name, learn how it fares, end it.

No transaction holds a call to a broker, and what is pushed waits for the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from accounts.models import User
from brokers import consents, drift, reach, registry, trading, vault
from brokers.base import Broker
from brokers.changes import connections_changed
from brokers.domain import SEGMENT_OF, ConnectionStatus, Exchange, Profile, Session
from brokers.drift import Shape
from brokers.errors import BrokerError, SecretUnreadable, SessionEnded
from brokers.models import BrokerApp, BrokerConnection, ReplyDrift, ReplyShape
from brokers.push import announce as announce
from brokers.reach import ConnectRefused, app_credentials, own_callback, platform_has_app, transport_to
from brokers.secret import Secret, curtained
from brokers.spec import Renewal
from brokers.statuses import Actor
from brokers.transport import Deadline

logger = logging.getLogger(__name__)


@transaction.atomic
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
    audit.record(Event.APP_STORED, subject=user, thing=("broker", broker_type))
    return app


@transaction.atomic
def forget_app(*, user: User, broker_type: str) -> None:
    """Delete the trader's own keys, if there are any; the platform's, where it has some, serve from then on.

    Raises UnsupportedBroker.
    """
    registry.load(broker_type)
    if BrokerApp.objects.filter(user=user, broker_type=broker_type).delete()[0]:
        connections_changed(user.pk)
        audit.record(Event.APP_FORGOTTEN, subject=user, thing=("broker", broker_type))


# What the trader says of a connection, and the event that tells that they did; never what they said.
AMENDED = {"display_name": Event.BROKER_RENAMED, "registered_ip": Event.BROKER_ADDRESS}


@transaction.atomic
def amend(connection: BrokerConnection, **said: str | None) -> None:
    """Keep what the trader says of a connection: its `display_name`, its `registered_ip` (None: not told)."""
    for name, value in said.items():
        setattr(connection, name, value)
    connection.save(update_fields=[*said, "updated_at"])
    connections_changed(connection.user_id)
    announce(connection)
    thing = ("connection", connection.pk)
    audit.record_all([Happened(event=AMENDED[name], subject=connection.user_id, thing=thing) for name in said])


def described(broker: Broker, configured: Container[str]) -> dict[str, Any]:
    """A broker for the list of brokers; `configured` are the slugs whose app the trader has stored."""
    spec = broker.spec
    return {
        "broker_type": spec.slug,
        "name": spec.name,
        "redirect_uri": own_callback(spec.slug),
        "app_configured": spec.slug in configured or platform_has_app(spec),
        "app_fields": msgspec.to_builtins(spec.app_fields),
        "login_by_redirect": spec.callback is not None,
        "login_methods": msgspec.to_builtins(spec.login_methods),
        "code_parameter": spec.callback.code if spec.callback else None,
        "session_ends_at": spec.session.ends_at,
        "session_refreshable": spec.session.renewal is not Renewal.NONE,
        "order_rules": msgspec.to_builtins(spec.order_rules),
        "postback": msgspec.to_builtins(spec.postback),
        "capabilities": capabilities_of(broker),
    }


def capabilities_of(broker: Broker, profile: Profile | None = None) -> dict[str, Any]:
    """The spec's capabilities as plain JSON values, narrowed to what a profile allows; amounts as strings.

    With a profile it is kept, too, what the broker told of the account, and whether it told its exchanges at all.
    """
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(broker.spec.capabilities))
    for name in ("exchanges", "products", "order_types") if profile else ():
        allowed = getattr(profile, name)
        if allowed is not None:
            plain[name] = [word for word in plain[name] if word in allowed]
    plain["segments"] = sorted({SEGMENT_OF[Exchange(word)].value for word in plain["exchanges"]})
    if profile is not None:
        plain["exchanges_told"] = profile.exchanges is not None
        plain["debit_authorised"] = profile.debit_authorised
        plain["account_active"] = profile.is_active
    return plain


def note_profile(connection: BrokerConnection, profile: Profile) -> bool:
    """Keep what a profile read in this session says the account may do. Returns whether it is something new.

    A profile of another account, or of a session that is over, changes nothing.
    """
    told = capabilities_of(registry.load(connection.broker_type), profile)
    if connection.capabilities == told:
        return False
    row = BrokerConnection.objects.filter(
        pk=connection.pk, account_id=profile.account_id, session_number=connection.session_number
    ).exclude(status=ConnectionStatus.DISCONNECTED)
    changed = row.exclude(capabilities=told).update(capabilities=told, updated_at=Now()) == 1
    if changed:
        connection.capabilities = told
        connections_changed(connection.user_id)
        announce(connection)
    return changed


def disconnect(connection: BrokerConnection, *, now: datetime, deadline: Deadline | None = None) -> bool:
    """End the session at the broker where it can be ended, wipe the tokens, keep the history.

    The trader's wish does not depend on the broker: if it does not answer, the tokens are wiped all the same. So are
    tokens that nobody can read. Consent is withdrawn, trading is off, and who was granted a look at it has none any
    more. Returns whether nothing is left open at the broker, as far as we know.
    """
    ended = _end_at_broker(connection, deadline)
    with transaction.atomic():
        changed = change_status(
            connection,
            ConnectionStatus.DISCONNECTED,
            code="disconnected",
            message="Disconnected by the trader.",
            actor=Actor.TRADER,
            user=connection.user,
            now=now,
        )
        if changed:
            connection.grants.clear()
            happened = Happened(
                event=Event.BROKER_DISCONNECTED,
                subject=connection.user_id,
                thing=("connection", connection.pk),
                details={"broker": connection.broker_type, "ended_at_broker": ended},
            )
            off = trading.turned_off(connection)
            audit.record_all([happened, *off, *consents.withdraw(connection, now=now)], now=now)
    return ended


def _end_at_broker(connection: BrokerConnection, deadline: Deadline | None) -> bool:
    try:
        session = connection.session
    except SecretUnreadable:  # it cannot be ended, and is wiped all the same
        return False
    if session is None or connection.status == ConnectionStatus.TOKEN_EXPIRED:
        return True
    return revoke(connection, session, deadline)


def revoke(connection: BrokerConnection, session: Session, deadline: Deadline | None = None) -> bool:
    """End a session at the broker, where it can be ended and the broker answers. Returns whether it did."""
    broker = registry.load(connection.broker_type)
    try:
        app = app_credentials(connection.user, connection.broker_type)
        curtained(broker.auth(transport_to(broker, deadline, account=str(connection.pk)), app).revoke)(session)
    except (BrokerError, ConnectRefused) as error:
        logger.info("Connection %s was not revoked at the broker: %s", connection.pk, error.code)
        return False
    return True


# --- what becomes of a connection -------------------------------------------------------------------------------------
# Two programs that log in with the same keys end each other's session; ours waits this long before its next turn.
BETWEEN_KEY_LOGINS = timedelta(minutes=15)
CONFIRM_SECONDS = 5.0


def learn(connection: BrokerConnection, error: BrokerError | None, now: datetime) -> None:
    """Take note of how a call ended. If that changes what the connection is, its user is told."""
    if error is None:
        changed = connection.record_success(now)
    else:
        changed = connection.record_failure(error, now, renewal_due_at=_renewal_by_keys(connection, now))
    if changed:
        logger.warning("Connection %s %s", connection.pk, "is well again" if error is None else f"fails: {error.code}")
        announce(connection)


def confirm_session(connection: BrokerConnection, session: Session, *, now: datetime) -> bool:
    """Ask the broker whether a session still stands of which somebody else, such as a stream, says that it is over.

    Learns what the answer says; returns whether it is over. The broker is not asked where the connection has another by
    now: at some brokers a login ends the session before it, and the old one's stream says so.
    """
    error: BrokerError | None = None
    try:
        if connection.session not in (None, session):
            return True
        reach.client_for(connection, deadline=Deadline(CONFIRM_SECONDS), now=now).profile()
    except ConnectRefused:
        return False
    except BrokerError as answer:
        error = answer
    learn(connection, error, now)
    return isinstance(error, SessionEnded)


def _renewal_by_keys(connection: BrokerConnection, now: datetime) -> datetime | None:
    """When a session that just died may be opened again by the stored keys; None where a person must log in."""
    if registry.load(connection.broker_type).spec.session.renewal is not Renewal.STORED_KEYS:
        return None
    return max(now, (connection.session_began_at or now) + BETWEEN_KEY_LOGINS)


def learn_all(outcomes: Sequence[tuple[BrokerConnection, BrokerError | None]], now: datetime) -> None:
    """`learn` for many: those that were well and still are take one query together."""
    well = {
        connection.pk: connection
        for connection, error in outcomes
        if error is None and connection.status == ConnectionStatus.CONNECTED
    }
    BrokerConnection.objects.record_health(well.values(), now)
    for connection, error in outcomes:
        if connection.pk not in well:
            learn(connection, error, now)


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


def change_status(
    connection: BrokerConnection,
    status: ConnectionStatus,
    *,
    code: str,
    message: str,
    actor: Actor,
    now: datetime,
    user: User | None = None,
    renewal_due_at: datetime | None = None,
) -> bool:
    """End the session, and tell its user. Returns whether there was one to end."""
    changed = connection.end_session(
        status, code=code, message=message, actor=actor, user=user, now=now, renewal_due_at=renewal_due_at
    )
    if changed:
        connections_changed(connection.user_id)
        announce(connection)
    return changed
