"""A row of Alice's in every table that the admin shows, and what of them nobody else may be shown."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import Model
from django.utils import timezone
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from accounts import audit
from accounts.events import Event
from accounts.models import (
    AccountDeletion,
    ApiSession,
    AuditCheckpoint,
    Invitation,
    PersonalToken,
    SignInPlace,
    TrustedDevice,
    User,
)
from brokers import consents, vault
from brokers.agreements import Act, ConnectionConsent, ConnectionGrant
from brokers.dealing import GttKind, GttStatus
from brokers.domain import BrokerPortfolio, ConnectionStatus, OrderStatus
from brokers.models import (
    BrokerApp,
    BrokerConnection,
    ConnectionChange,
    KeyProof,
    LoginReminder,
    OAuthState,
    ReplyDrift,
    ReplyShape,
)
from brokers.postback_models import BrokerPostback, Outcome, PostbackInbox, Verified
from brokers.secret import Secret
from brokers.statuses import Actor
from health.models import (
    BrokerHealthLog,
    BrokerRollup,
    CheckSchedule,
    CheckType,
    HealthCursor,
    HealthRollup,
    Incident,
    IncidentKind,
)
from market.candle_models import CandleFill, DailyCandle, Sector
from market.models import (
    DayKind,
    DisputedField,
    Instrument,
    InstrumentDispute,
    InstrumentListing,
    LoadOutcome,
    MarketDay,
    MasterLoad,
)
from orders.charge_models import AccountTerms, BrokerPlan, ContractNote, StatutoryRate
from orders.decisions import Answer
from orders.facts import plain
from orders.halt_models import HaltProgress
from orders.lifecycle import State
from orders.models import (
    ChildOrder,
    Fill,
    GttOrder,
    IdempotencyKey,
    IntentStatus,
    OrderEvent,
    OrderGroup,
    OrderIntent,
    OrderSettings,
    Origin,
    RoutingDecision,
    SeenOrder,
    Teller,
)
from portfolio.models import BrokerPositionBreakdown, BrokerSnapshot, ConsolidatedPosition, UnmatchedInstrument
from portfolio.risk_models import TradingHalt
from tests.accounts.door import with_app, with_recovery_codes
from tests.portfolio.limit_samples import rows_of_limits
from tests.portfolio.risk_samples import rows_of_reports

CONNECTION = UUID("a11ce000-0000-4000-8000-000000000001")
RECEIVED = UUID("a11ce000-0000-4000-8000-000000000002")  # Bob's connection, that Alice was granted a look at
GIVEN_GRANT = UUID("a11ce000-0000-4000-8000-000000000003")
RECEIVED_GRANT = UUID("a11ce000-0000-4000-8000-000000000004")
ORDER = UUID("a11ce000-0000-4000-8000-000000000005")
GTT = UUID("a11ce000-0000-4000-8000-000000000006")
POSTBACK_SECRET = "the-end-of-alices-address"
STATE = "the-state-of-alices-login"
ACCOUNT = "ALICE7731"
# What nobody but Alice may be shown: of each some letters that turn up nowhere by chance.
HERS = (
    "alice",
    str(CONNECTION),
    str(RECEIVED),
    str(GIVEN_GRANT),
    str(RECEIVED_GRANT),
    str(ORDER),
    str(GTT),
    ACCOUNT,
    "Alice's",
)


def of_accounts(alice: User) -> list[Model]:
    now = timezone.now()
    later, mark = now + timedelta(days=1), alice.get_session_auth_hash()
    with_app(alice)
    with_recovery_codes(alice)
    # Last, so that it is the one that the addresses of passkeys name.
    passkey = Authenticator.objects.create(
        user=alice, type=Authenticator.Type.WEBAUTHN, data={"name": "Alice's key", "credential": _credential()}
    )
    audit.record(Event.LOGIN, subject=alice, actor=alice, now=now)
    entry = audit.AuditEntry.objects.get(subject_id=alice.pk, event=Event.LOGIN)
    session = SessionStore()
    session["_auth_user_id"] = str(alice.pk)
    session.save()
    return [
        alice,
        Group.objects.create(name="readers"),
        passkey,
        entry,
        AuditCheckpoint.objects.create(sequence=entry.sequence, hash=entry.hash, made_at=now),
        AccountDeletion.objects.create(user_id=987_654, asked_at=now, finished_at=now),
        Invitation.objects.create(email="carol@example.com", token_hash=_hash("invited"), expires_at=later),
        TrustedDevice.objects.create(
            user=alice, name="Alice's laptop", token_hash=_hash("trusted"), address="192.0.2.1", expires_at=later
        ),
        SignInPlace.objects.create(user=alice, address="192.0.2.1", user_agent="Firefox"),
        ApiSession.objects.create(
            user=alice, name="Alice's client", password_mark=mark, address="192.0.2.1", expires_at=later
        ),
        PersonalToken.objects.create(
            user=alice, name="Alice's backup", password_mark=mark, token_hash=_hash("token"), expires_at=later
        ),
        UserSession.objects.create(user=alice, session_key=session.session_key, ip="192.0.2.1", user_agent="Firefox"),
        EmailAddress.objects.create(user=alice, email="alice@example.com", verified=True, primary=True),
    ]


def _connection(user: User, key: UUID, account: str) -> BrokerConnection:
    """An account whose session has ended: it is shown, and no broker is asked about it."""
    return BrokerConnection.objects.create(
        id=key,
        user=user,
        broker_type="zerodha",
        account_id=account,
        display_name=f"Zerodha {account}",
        status=ConnectionStatus.TOKEN_EXPIRED,
    )


def of_brokers(alice: User, bob: User) -> list[Model]:
    now = timezone.now()
    connection = _connection(alice, CONNECTION, ACCOUNT)
    received = _connection(bob, RECEIVED, "BOB7731")
    given = ConnectionGrant.objects.create(id=GIVEN_GRANT, owner=alice, viewer=bob, named="bob", created_at=now)
    given.connections.add(connection)
    got = ConnectionGrant.objects.create(id=RECEIVED_GRANT, owner=bob, viewer=alice, named="alice", created_at=now)
    got.connections.add(received)
    vault.prove_keys()
    return [
        connection,
        given,
        BrokerApp.objects.create(
            user=alice,
            broker_type="zerodha",
            api_key_encrypted=Secret("alices-key"),
            api_secret_encrypted=Secret("alices-secret"),
        ),
        ConnectionChange.objects.create(
            broker_connection=connection, to_status=connection.status, actor=Actor.TRADER, user=alice, at=now
        ),
        ConnectionConsent.objects.create(
            user_id=alice.pk,
            connection_id=connection.pk,
            broker_type="zerodha",
            scope=consents.READ,
            act=Act.GIVEN,
            version=consents.current().version,
            at=now,
        ),
        OAuthState.objects.create(
            state=_hash(STATE), user=alice, broker_type="zerodha", expires_at=now + timedelta(minutes=5)
        ),
        LoginReminder.objects.create(user=alice, by_email=True),
        PostbackInbox.objects.create(broker_connection=connection, address_hash=_hash(POSTBACK_SECRET), made_at=now),
        BrokerPostback.objects.create(
            broker_connection=connection, received_at=now, verified=Verified.NO, outcome=Outcome.UNREADABLE
        ),
        ReplyShape.objects.create(broker_type="zerodha", call="GET /x", shape={}, updated_at=now),
        ReplyDrift.objects.create(broker_type="zerodha", call="GET /x", field="y", appeared=True, noticed_at=now),
        KeyProof.objects.get(),
    ]


def of_market() -> list[Model]:
    now, today = timezone.now(), date(2026, 1, 5)
    share = Instrument.objects.create(
        exchange="NSE",
        segment="EQUITY",
        kind="EQUITY",
        identity="NSE|1",
        tradingsymbol="INFY",
        first_seen_on=today,
        last_seen_on=today,
        rank=1,
        words="infy",
    )
    return [
        share,
        InstrumentListing.objects.create(
            instrument=share, broker_type="zerodha", broker_token="1", tradingsymbol="INFY", multiplier=1
        ),
        InstrumentDispute.objects.create(instrument=share, field=DisputedField.values[0], said={}, opened_at=now),
        MasterLoad.objects.create(
            broker_type="zerodha", started_at=now, finished_at=now, outcome=LoadOutcome.values[0]
        ),
        MarketDay.objects.create(exchange="NSE", date=date(2031, 1, 6), kind=DayKind.values[0]),
        DailyCandle.objects.create(
            instrument=share,
            day=today,
            source="zerodha",
            fetched_at=now,
            volume=1,
            open_price=1,
            high_price=1,
            low_price=1,
            close_price=1,
        ),
        CandleFill.objects.create(instrument=share, wanted_at=now, next_due_at=now),
        Sector.objects.create(isin="INE001A01036", sector="Steel", source="a list", as_of=today),
    ]


def of_health(connection: BrokerConnection) -> list[Model]:
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    of_session = {"check_type": CheckType.SESSION}
    counts = {"hour": hour, "checks": 1, "failures": 0}
    return [
        BrokerHealthLog.objects.create(broker_connection=connection, status=connection.status, checked_at=now),
        CheckSchedule.objects.create(broker_connection=connection, broker_type="zerodha", **of_session),
        HealthRollup.objects.create(broker_connection=connection, **of_session, **counts),
        BrokerRollup.objects.create(broker_type="zerodha", **of_session, **counts),
        Incident.objects.create(
            broker_type="zerodha", broker_connection=connection, kind=IncidentKind.values[0], opened_at=now
        ),
        HealthCursor.objects.create(name="here"),
    ]


def of_portfolio(alice: User, connection: BrokerConnection) -> list[Model]:
    now = timezone.now()
    position = ConsolidatedPosition.objects.create(
        user=alice, instrument_key="INE009A01021", symbol="INFY", total_quantity=Decimal(1), last_updated=now
    )
    return [
        *rows_of_limits(alice, "Alice's").values(),
        *rows_of_reports(alice, "Alice's").values(),
        position,
        BrokerPositionBreakdown.objects.create(
            consolidated_position=position, broker_connection=connection, product="CNC", quantity=Decimal(1)
        ),
        UnmatchedInstrument.objects.create(
            broker_connection=connection, exchange="NSE", symbol="X", first_seen_at=now, last_seen_at=now
        ),
        BrokerSnapshot.objects.create(
            connection=connection, payload=msgspec.json.encode(BrokerPortfolio(as_of=now)).decode(), as_of=now
        ),
    ]


def of_halts(alice: User, connection: BrokerConnection) -> list[Model]:
    """One that has ended: it stops nothing."""
    now = timezone.now()
    facts = {"kind": "KILL", "level": "CANCEL", "cause": "person", "set_at": now, "ended_at": now}
    halt = TradingHalt.objects.create(user=alice, set_by=alice, ended_by=alice, end_reason="Alice's", **facts)
    times = {"begun_at": now, "updated_at": now}
    return [
        halt,
        HaltProgress.objects.create(
            halt=halt, broker_connection=connection, broker_type=connection.broker_type, state="SETTLED", **times
        ),
    ]


def of_charges(connection: BrokerConnection) -> list[Model]:
    return [
        StatutoryRate.objects.earliest("pk"),
        BrokerPlan.objects.earliest("pk"),
        AccountTerms.objects.create(broker_connection=connection),
    ]


def of_orders(alice: User, connection: BrokerConnection, instrument: Instrument) -> list[Model]:
    """An order that ended long ago, and a GTT that was never placed: no broker is asked about either."""
    now = timezone.now()
    group = OrderGroup.objects.create(user=alice, origin=Origin.BASKET, created_at=now)
    dealt = {"side": "BUY", "order_type": "LIMIT", "product": "CNC", "validity": "DAY", "quantity": Decimal(1)}
    intent = OrderIntent.objects.create(
        id=ORDER,
        user=alice,
        group=group,
        instrument=instrument,
        price=Decimal(1500),
        created_at=now,
        status=IntentStatus.CANCELLED,
        status_since=now,
        **dealt,
    )
    answer = plain(Answer(unrouted=Decimal(1)))
    decision = RoutingDecision.objects.create(
        intent=intent, made_at=now, problem={}, answer=answer, solver="none", microseconds=1
    )
    child = ChildOrder.objects.create(
        intent=intent,
        decision=decision,
        broker_connection=connection,
        broker_type="zerodha",
        number=1,
        exchange="NSE",
        traded={},
        tag="talicestag00000001",
        state=State.CANCELLED,
        state_since=now,
        sent_at=now,
        **dealt,
    )
    seen = {**dealt, "exchange": "NSE", "tradingsymbol": "INFY", "broker_token": "1", "filled_quantity": Decimal(0)}
    return [
        group,
        intent,
        decision,
        child,
        OrderEvent.objects.create(intent=intent, at=now, teller=Teller.TRADER, code="asked"),
        Fill.objects.create(child=child, trade_id="T1", quantity=Decimal(1), price=Decimal(1500), noted_at=now),
        SeenOrder.objects.create(
            broker_connection=connection,
            day=now.date(),
            broker_order_id="1",
            status=OrderStatus.CANCELLED,
            seen_at=now,
            **seen,
        ),
        GttOrder.objects.create(
            id=GTT,
            user=alice,
            broker_connection=connection,
            broker_type="zerodha",
            instrument=instrument,
            kind=GttKind.SINGLE,
            side="BUY",
            product="CNC",
            legs=[{"trigger_price": "1400", "price": "1401", "quantity": "1"}],
            status=GttStatus.NOT_PLACED,
            status_since=now,
            created_at=now,
        ),
        OrderSettings.objects.create(user=alice),
        IdempotencyKey.objects.create(
            user=alice, key="alices-key-0001", request_hash=_hash("asked"), group=group, created_at=now
        ),
        ContractNote.objects.create(
            child=child, dated=now.date(), components={}, total=Decimal(1), source="test", noted_at=now
        ),
    ]


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _credential() -> dict[str, Any]:
    """What a browser sends of a new passkey, as far as it is kept."""
    key = ES256({1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)})
    made = AttestedCredentialData.create(bytes(16), b"alices-passkey", key)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT
    data = AuthenticatorData.create(bytes(32), flags, 0, made)
    said = CollectedClientData.create("webauthn.create", b"challenge", "http://127.0.0.1:8000")
    name = websafe_encode(b"alices-passkey")
    response = {
        "clientDataJSON": websafe_encode(said),
        "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
    }
    return {"id": name, "rawId": name, "type": "public-key", "response": response}
