"""What the house holds about a person, and what becomes of it when they go: one table.

The export, the deletion, its answer and docs/operations.md are made from it, and a test looks for a model that leads
to a person and is missing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet

from accounts.alert_models import AlertDelivery, AlertRoute
from accounts.models import (
    AccountDeletion,
    ApiSession,
    AuditEntry,
    Invitation,
    PersonalToken,
    SignInPlace,
    TrustedDevice,
    User,
)
from brokers.agreements import ConnectionConsent, ConnectionGrant
from brokers.alert_models import AlertWebhook
from brokers.models import BrokerApp, BrokerConnection, ConnectionChange, LoginReminder, OAuthState
from brokers.postback_models import BrokerPostback, PostbackInbox
from brokers.vault import StrictEncryptedTextField
from health.models import BrokerHealthLog, CheckSchedule, HealthRollup, Incident
from orders.charge_models import AccountTerms, ContractNote
from orders.halt_models import HaltProgress
from orders.models import (
    ChildOrder,
    Fill,
    GttOrder,
    IdempotencyKey,
    OrderEvent,
    OrderGroup,
    OrderIntent,
    OrderSettings,
    RoutingDecision,
    SeenOrder,
)
from portfolio.flow_models import CashFlow
from portfolio.limit_models import LimitWatch
from portfolio.models import BrokerPositionBreakdown, BrokerSnapshot, ConsolidatedPosition, UnmatchedInstrument
from portfolio.risk_models import EquityDay, RiskBreach, RiskLimit, TradingHalt, UserScenario


class Fate(StrEnum):
    WIPED = "wiped"
    KEPT = "kept"
    EMPTIED = "emptied"  # the row stays, so that what is kept can point at it, and says nothing any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Rows of one model. `path` leads to the person's id; `hidden` columns are not exported, encrypted ones never are.

    `why`: the reason for which it is kept; `until`: for how long, None: for good. `not_exported`: the reason for that.
    """

    name: str
    words: str
    model: type[Model]
    path: str
    fate: Fate = Fate.WIPED
    hidden: tuple[str, ...] = ()
    why: str = ""
    until: timedelta | None = None
    not_exported: str = ""

    def rows(self, user_id: int) -> QuerySet[Any]:
        return self.model._base_manager.filter(**{self.path: user_id}).order_by("pk")

    @property
    def columns(self) -> list[str]:
        return [
            field.attname
            for field in self.model._meta.concrete_fields
            if field.attname not in self.hidden and not isinstance(field, StrictEncryptedTextField)
        ]


RECORD_KEEPING = (
    "Record keeping: what was done with accounts at brokers must be provable for at least five years. It names you by "
    "a number alone, which leads to nobody once the account is deleted; IP addresses are in it."
)

ORDER_KEEPING = (
    "Record keeping: orders, what they were routed by and what came of them must be provable for at least five years. "
    "They name you by a number alone, which leads to nobody once the account is deleted."
)


def kept_order(name: str, words: str, model: type[Model], path: str) -> Holding:
    return Holding(name=name, words=words, model=model, path=path, fate=Fate.KEPT, why=ORDER_KEEPING)


# Leaves first: what points at something is wiped before it.
HOLDINGS: tuple[Holding, ...] = (
    Holding(
        name="seen_orders", words="orders as brokers' books show them", model=SeenOrder,
        path="broker_connection__user",
    ),
    Holding(name="order_settings", words="what you chose for routing and approval", model=OrderSettings, path="user"),
    Holding(
        name="charge_terms", words="what your accounts pay at their brokers", model=AccountTerms,
        path="broker_connection__user",
    ),
    Holding(
        name="halt_progress", words="what became of open orders when trading was stopped", model=HaltProgress,
        path="halt__user",
    ),
    Holding(name="trading_halts", words="when and why trading was stopped", model=TradingHalt, path="user"),
    Holding(
        name="last_answers", words="each broker's last answer", model=BrokerSnapshot, path="connection__user",
    ),
    Holding(
        name="position_parts", words="each broker's part of a merged position", model=BrokerPositionBreakdown,
        path="consolidated_position__user",
    ),
    Holding(name="cash_flows", words="what you paid in and took out", model=CashFlow, path="user"),
    Holding(name="equity_days", words="what your book was worth at each day's end", model=EquityDay, path="user"),
    Holding(name="scenarios", words="your own scenarios", model=UserScenario, path="user"),
    Holding(name="positions", words="the merged portfolio", model=ConsolidatedPosition, path="user"),
    Holding(
        name="unmatched_instruments", words="listings that nothing identified", model=UnmatchedInstrument,
        path="broker_connection__user",
    ),
    Holding(
        name="health_checks", words="checks of connections", model=BrokerHealthLog, path="broker_connection__user",
        not_exported="thousands of measurements a day of a broker's answers; the incidents tell what came of them",
    ),
    Holding(
        name="check_schedules", words="when connections are checked", model=CheckSchedule,
        path="broker_connection__user", not_exported="only says when a check is due next",
    ),
    Holding(
        name="health_hours", words="checks of connections, by the hour", model=HealthRollup,
        path="broker_connection__user", not_exported="counts of the checks",
    ),
    Holding(
        name="incidents", words="what did not work at a connection", model=Incident, path="broker_connection__user"
    ),
    Holding(
        name="connection_changes", words="logins and changes of status", model=ConnectionChange,
        path="broker_connection__user",
    ),
    # Whom a grant reached is not told to its owner: see `brokers.grants`.
    Holding(
        name="grants_given", words="read access given to others", model=ConnectionGrant, path="owner",
        hidden=("viewer_id",),
    ),
    Holding(
        name="grants_received", words="read access received from others", model=ConnectionGrant, path="viewer",
        hidden=("named",),
    ),
    Holding(
        name="logins_under_way", words="logins at brokers under way", model=OAuthState, path="user", hidden=("state",)
    ),
    Holding(
        name="postbacks", words="news of orders that brokers posted", model=BrokerPostback,
        path="broker_connection__user",
    ),
    Holding(
        name="postback_addresses", words="where brokers post news of orders", model=PostbackInbox,
        path="broker_connection__user", hidden=("address_hash",),
    ),
    Holding(name="alerts_sent", words="alerts that were sent to you", model=AlertDelivery, path="route__user"),
    Holding(
        name="alert_addresses", words="where your webhooks for alerts lead", model=AlertWebhook, path="route__user"
    ),
    Holding(name="alert_routes", words="by which ways you are alerted", model=AlertRoute, path="user"),
    Holding(name="breaches", words="limits that were reached", model=RiskBreach, path="user"),
    Holding(name="limits", words="your limits", model=RiskLimit, path="user"),
    Holding(name="limit_watch", words="that your limits are watched", model=LimitWatch, path="user"),
    Holding(name="reminder", words="the reminder of logins", model=LoginReminder, path="user"),
    Holding(name="api_apps", words="API keys and secrets", model=BrokerApp, path="user"),
    Holding(
        name="connections", words="connections and their sessions", model=BrokerConnection, path="user"
    ),
    Holding(
        name="trusted_devices", words="browsers that you trust", model=TrustedDevice, path="user",
        hidden=("token_hash", "password_mark"),
    ),
    Holding(name="sign_in_places", words="from where you signed in", model=SignInPlace, path="user"),
    Holding(
        name="browsers", words="browsers that are signed in", model=UserSession, path="user",
        hidden=("session_key", "data"),
    ),
    Holding(
        name="factors", words="second factors and recovery codes", model=Authenticator, path="user", hidden=("data",)
    ),
    Holding(
        name="address_confirmations", words="letters that confirm an e-mail address", model=EmailConfirmation,
        path="email_address__user", hidden=("key",),
    ),
    Holding(name="addresses", words="e-mail addresses", model=EmailAddress, path="user"),
    Holding(
        name="invitation", words="the invitation that you followed", model=Invitation, path="accepted_by",
        hidden=("token_hash",),
    ),
    Holding(
        name="invitations_sent", words="invitations that you sent", model=Invitation, path="invited_by",
        hidden=("token_hash", "accepted_by_id"),
    ),
    Holding(
        name="api_logins", words="programs that are logged in", model=ApiSession, path="user",
        hidden=("password_mark",),
    ),
    Holding(
        name="personal_tokens", words="personal API tokens", model=PersonalToken, path="user",
        hidden=("token_hash", "password_mark"),
    ),
    Holding(name="staff_log", words="what you changed in the admin", model=LogEntry, path="user"),
    Holding(
        name="profile", words="name, e-mail address, password, rights", model=User, path="pk", fate=Fate.EMPTIED,
        hidden=("password",),
    ),
    Holding(
        name="deletion", words="that and when the deletion was asked for", model=AccountDeletion, path="pk",
        fate=Fate.KEPT, why="So that it can be taken up again where it broke off, and is not done twice.",
    ),
    Holding(
        name="consents", words="what you agreed to", model=ConnectionConsent, path="user_id", fate=Fate.KEPT,
        why="Proof that we were allowed to read your accounts, and until when. It names you by a number alone.",
    ),
    kept_order("order_events", "what happened to your orders", OrderEvent, "intent__user"),
    kept_order("contract_notes", "what contract notes say of your orders", ContractNote, "child__intent__user"),
    kept_order("fills", "fills of your orders", Fill, "child__intent__user"),
    kept_order("orders_at_brokers", "orders sent to brokers", ChildOrder, "intent__user"),
    kept_order("routing_decisions", "why orders went where they went", RoutingDecision, "intent__user"),
    kept_order("order_keys", "keys that orders were sent with", IdempotencyKey, "user"),
    kept_order("orders", "orders that you asked for", OrderIntent, "user"),
    kept_order("order_groups", "baskets and copied orders", OrderGroup, "user"),
    kept_order("gtt_orders", "orders that wait for a price", GttOrder, "user"),
    Holding(
        name="audit", words="security events", model=AuditEntry, path="subject_id", fate=Fate.KEPT,
        why=RECORD_KEEPING, until=timedelta(days=settings.AUDIT_DAYS),
    ),
)  # fmt: skip

# What no table of ours holds, by what it is; wiped too.
BESIDE = {
    "sessions": "where you are signed in",
    "day_values": "the day's values and the last answers in the cache",
    "staff_log_about": "what staff changed of your account in the admin",
}


def wiped() -> list[dict[str, str]]:
    """What a deletion wipes or empties, in words."""
    gone = {row.name: row.words for row in HOLDINGS if row.fate is not Fate.KEPT}
    return [{"what": name, "words": words} for name, words in {**gone, **BESIDE}.items()]


def kept() -> list[dict[str, Any]]:
    """What a deletion keeps, why, and for how many days; None: for good."""
    return [
        {"what": row.name, "words": row.words, "why": row.why, "days": row.until.days if row.until else None}
        for row in HOLDINGS
        if row.fate is Fate.KEPT
    ]
