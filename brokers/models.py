"""Rows about broker connections. A change of state is one conditional UPDATE; its side effects wait for the commit."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now

from brokers import postback_models  # noqa: F401 - Django finds a room's rows by this module
from brokers.app_models import BrokerApp, unreadable
from brokers.columns import NamedIndex, broker_choices
from brokers.domain import ConnectionStatus, Session
from brokers.errors import BrokerError, SecretUnreadable
from brokers.statuses import ACTIVE_STATUSES, ENTERED_FROM, READABLE_STATUSES, STATUS_CHOICES, TROUBLED_STATUSES, Actor
from brokers.vault import DecryptionFailed, StrictEncryptedTextField, is_empty, placed

# How long a worker may take to renew a session before another one takes over.
RENEWAL_LEASE = timedelta(seconds=60)

# What a success leaves of an earlier failure.
HEALTHY: dict[str, Any] = {"consecutive_failures": 0, "error_code": "", "error_message": "", "retry_after": None}


def _being_renewed(now: datetime) -> models.Q:
    return models.Q(renewal_lease_until__gt=now)


class BrokerConnectionQuerySet(models.QuerySet["BrokerConnection"]):
    def without_secrets(self) -> Self:
        """For who only looks: ciphertext is not even read."""
        return self.defer("access_token_encrypted", "refresh_token_encrypted", "feed_token_encrypted")

    def active(self) -> Self:
        """What the trader's book is made of, whether it answers or not."""
        return self.filter(status__in=ACTIVE_STATUSES)

    def due_for_check(self, now: datetime) -> Self:
        """To be put on the schedule of checks, and not asked by their broker to be left alone."""
        paused = models.Q(retry_after__gt=now)
        return self.filter(~paused, status__in=READABLE_STATUSES, next_health_check_at__lte=now)

    def record_health(self, seen: Iterable[BrokerConnection], now: datetime) -> None:
        """Note a success of connections that were well already, with the session each was seen with: nothing changes
        but the time.
        """
        these = models.Q(pk__in=[])
        for row in seen:
            these |= models.Q(pk=row.pk, session_number=row.session_number)
        self.filter(these, status=ConnectionStatus.CONNECTED).update(**HEALTHY, last_successful_call=now)

    def past_their_end(self, now: datetime) -> Self:
        """Sessions whose known end has come, before any call of theirs fails."""
        return self.filter(~_being_renewed(now), status__in=READABLE_STATUSES, token_expires_at__lte=now)

    def due_for_renewal(self, now: datetime) -> Self:
        """Sessions to be renewed without a login, that no worker is renewing already."""
        return self.filter(~_being_renewed(now), status__in=ACTIVE_STATUSES, renewal_due_at__lte=now)


# Given to another user or broker, a session is lost: whoever can write to the database cannot take one over.
SESSION_OF = ("id", "user", "broker_type")


class BrokerConnection(models.Model):
    """One account at one broker, and the session that opens it.

    Monitoring starts by a due time (`next_health_check_at`): `health` looks for it, puts the checks on its schedule and
    clears it; nobody calls `health`.
    `session_number` counts the sessions this connection has had: what is under way with an older one may neither judge
    nor replace a newer one. `version` counts every change of status or session.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="broker_connections", db_index=False
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    account_id = models.CharField(max_length=100)
    display_name = models.CharField(max_length=100, blank=True)
    access_token_encrypted = StrictEncryptedTextField(null=True, belongs_to=SESSION_OF)
    refresh_token_encrypted = StrictEncryptedTextField(null=True, belongs_to=SESSION_OF)
    feed_token_encrypted = StrictEncryptedTextField(null=True, belongs_to=SESSION_OF)
    token_expires_at = models.DateTimeField(null=True, blank=True)
    session_number = models.PositiveIntegerField(default=0)
    session_began_at = models.DateTimeField(null=True, blank=True)
    renewal_due_at = models.DateTimeField(null=True, blank=True)
    renewal_lease_until = models.DateTimeField(null=True, blank=True)
    renewal_attempts = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=20, choices=STATUS_CHOICES, default=ConnectionStatus.CONNECTED)
    status_since = models.DateTimeField(null=True, blank=True)
    last_successful_call = models.DateTimeField(null=True, blank=True)
    last_health_check = models.DateTimeField(null=True, blank=True)
    next_health_check_at = models.DateTimeField(null=True, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    retry_after = models.DateTimeField(null=True, blank=True)
    capabilities = models.JSONField(default=dict)
    connection_config = models.JSONField(default=dict, blank=True)
    # The address that the trader says is registered for orders at the broker: no broker can be asked.
    registered_ip = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True)
    # Null: no order is placed at this connection. Its owner turns it on, with a fresh second factor.
    trading_enabled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    version = models.BigIntegerField(default=0)

    objects = BrokerConnectionQuerySet.as_manager()

    class Meta:
        db_table = "broker_connections"
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "broker_type", "account_id"], name="uniq_broker_connection"),
            models.CheckConstraint(
                condition=models.Q(status__in=list(ConnectionStatus)), name="broker_connection_status_is_known"
            ),
        ]
        indexes = [
            NamedIndex(fields=["user"], name="idx_broker_connections_user_id"),
            NamedIndex(fields=["status"], name="idx_broker_connections_status"),
            NamedIndex(fields=["next_health_check_at"], name="idx_broker_connections_next_health_check"),
            NamedIndex(fields=["token_expires_at"], name="idx_broker_connections_token_expires_at"),
            NamedIndex(fields=["renewal_due_at"], name="idx_broker_connections_renewal_due_at"),
        ]

    def __str__(self) -> str:
        return f"{self.get_broker_type_display()} {self.account_id}"

    @property
    def broker_name(self) -> str:
        return self.get_broker_type_display()

    def is_paused(self, now: datetime) -> bool:
        """Whether the broker asked to be left alone for a while."""
        return self.retry_after is not None and self.retry_after > now

    def is_over(self, now: datetime) -> bool:
        """Whether the known end of its session has come."""
        return self.token_expires_at is not None and self.token_expires_at <= now

    @property
    def is_renewal_in_doubt(self) -> bool:
        """Whether a renewal of this session was begun and nobody knows how it ended."""
        return self.renewal_lease_until is not None

    def _living(self, now: datetime) -> models.Q:
        """This very session, as long as it has not ended and nobody is renewing it: an end is told once, and never
        of what is about to be replaced.
        """
        return models.Q(session_number=self.session_number, status__in=READABLE_STATUSES) & ~_being_renewed(now)

    @property
    def session(self) -> Session | None:
        """The stored session; None once it has been wiped. Raises SecretUnreadable."""
        try:
            if self.access_token_encrypted is None:
                return None
            return Session(
                access_token=self.access_token_encrypted,
                refresh_token=self.refresh_token_encrypted,
                feed_token=self.feed_token_encrypted,
                facts=self.connection_config,
                expires_at=self.token_expires_at,
                account_id=self.account_id,
            )
        except DecryptionFailed as failure:
            raise unreadable(failure, "tokens", "Log in to the broker again.") from None

    @property
    def is_unreadable(self) -> bool:
        """Whether what is stored for it cannot be used, which its trader mends."""
        codes = (SecretUnreadable.default_code, SecretUnreadable.misplaced_code)
        return self.status == ConnectionStatus.ERROR and self.error_code in codes

    @property
    def has_session(self) -> bool:
        """Whether there is one, readable or not."""
        return not is_empty(self, "access_token_encrypted")

    def record_success(self, now: datetime) -> bool:
        """A call succeeded: healthy again. Returns whether that changed the status.

        A session that has ended, or been ended, meanwhile stays so: an answer that was under way changes nothing. Nor
        does one of an older session heal a newer one.
        """
        facts = {**HEALTHY, "last_successful_call": now}
        this_session = models.Q(session_number=self.session_number)
        well = BrokerConnection.objects.filter(this_session, pk=self.pk, status=ConnectionStatus.CONNECTED)
        if well.update(**facts):
            return False
        return self._enter(
            ConnectionStatus.CONNECTED,
            only=this_session & models.Q(status__in=TROUBLED_STATUSES),
            actor=Actor.CALL,
            reason="The broker answers again.",
            now=now,
            **facts,
        )

    def record_failure(self, error: BrokerError, now: datetime, *, renewal_due_at: datetime | None = None) -> bool:
        """A call failed. Returns whether that changed the status; not every error says something of the connection.

        It is said of the session that the call was made with, and of no newer one; only a broker that asks for fewer
        calls means the account. A dead token may be renewed at `renewal_due_at`. While it is being renewed it ends
        nothing: a broker kills the old session before we have the new one.
        """
        status = error.connection_status
        if status is None:
            return False
        wait = getattr(error, "retry_after", None)
        facts: dict[str, Any] = {
            "error_message": error.message,
            "consecutive_failures": F("consecutive_failures") + 1,
        }
        if wait is not None:  # the longest that was asked for counts, whatever else fails meanwhile
            until = models.Value(now + timedelta(seconds=wait), models.DateTimeField())
            facts["retry_after"] = Greatest("retry_after", until)
        only = models.Q() if status is ConnectionStatus.RATE_LIMITED else models.Q(session_number=self.session_number)
        same = BrokerConnection.objects.filter(only, pk=self.pk, status=status)
        if same.exclude(status=ConnectionStatus.TOKEN_EXPIRED).update(**facts, error_code=error.code):
            return False
        if status is ConnectionStatus.TOKEN_EXPIRED:
            only = self._living(now)
            # A renewal that broke off is still to be settled, and at its own time.
            in_doubt = models.When(renewal_lease_until__isnull=False, then=F("renewal_due_at"))
            due = models.Case(in_doubt, default=models.Value(renewal_due_at, models.DateTimeField()))
            facts |= {"next_health_check_at": None, "renewal_due_at": due}
        return self._enter(
            status,
            only=only,
            actor=Actor.CALL,
            reason=error.message,
            error_code=error.code,
            now=now,
            **facts,
        )

    def begin_session(self, session: Session, *, renewal_due_at: datetime | None, user: Any, now: datetime) -> None:
        """Store the session that a login brought, on a row that is locked or new. The same account keeps its row."""
        before = self.status if self.session_number else ""
        number = self.session_number + 1
        facts = {
            **HEALTHY,
            "access_token_encrypted": session.access_token,
            "token_expires_at": session.expires_at,
            "refresh_token_encrypted": session.refresh_token,
            "feed_token_encrypted": session.feed_token,
            "connection_config": dict(session.facts),
            "session_number": number,
            "session_began_at": now,
            "renewal_due_at": renewal_due_at,
            "renewal_lease_until": None,
            "renewal_attempts": 0,
            "status": ConnectionStatus.CONNECTED,
            "last_successful_call": now,
            "next_health_check_at": now,
        }
        if before != ConnectionStatus.CONNECTED:
            facts["status_since"] = now
        for name, value in facts.items():
            setattr(self, name, value)
        self.version += 1
        self.save()
        ConnectionChange.objects.create(
            broker_connection=self,
            from_status=before,
            to_status=ConnectionStatus.CONNECTED,
            actor=Actor.TRADER,
            user=user,
            reason="Logged in." if number == 1 else "Logged in again.",
            at=now,
        )

    def claim_renewal(self, now: datetime) -> bool:
        """Whether this caller, and nobody else, may renew this session for the next minute.

        An attempt that is not due yet, made by hand, is not counted: impatience must not use up the attempts.
        """
        free = models.Q(renewal_lease_until__isnull=True) | models.Q(renewal_lease_until__lte=now)
        row = BrokerConnection.objects.filter(
            free, pk=self.pk, session_number=self.session_number, status__in=ACTIVE_STATUSES
        )
        due = models.When(renewal_due_at__lte=now, then=F("renewal_attempts") + 1)
        claimed = row.update(
            renewal_lease_until=now + RENEWAL_LEASE,
            renewal_attempts=models.Case(due, default=F("renewal_attempts"), output_field=models.IntegerField()),
            updated_at=Now(),
        )
        return claimed == 1

    def keep_renewed(self, session: Session, *, renewal_due_at: datetime | None, now: datetime) -> bool:
        """Store a renewed session in place of the one that it was renewed from; False where a login came first.

        One UPDATE writes all its tokens, before anybody is told of them; a broker that sends no new refresh or feed
        token leaves the old one good.
        """
        facts: dict[str, Any] = {**HEALTHY, "token_expires_at": session.expires_at}
        tokens = {
            "access_token_encrypted": session.access_token,
            "refresh_token_encrypted": session.refresh_token,
            "feed_token_encrypted": session.feed_token,
        }
        facts |= {name: placed(self, name, token) for name, token in tokens.items() if token is not None}
        facts |= {
            "session_number": F("session_number") + 1,
            "session_began_at": now,
            "renewal_due_at": renewal_due_at,
            "renewal_lease_until": None,
            "renewal_attempts": 0,
            "last_successful_call": now,
            "next_health_check_at": now,
        }
        this_session = models.Q(session_number=self.session_number)
        moved = self._enter(
            ConnectionStatus.CONNECTED,
            only=this_session & ~models.Q(status=ConnectionStatus.DISCONNECTED),
            actor=Actor.RENEWAL,
            reason="The session was renewed.",
            now=now,
            **facts,
        )
        if moved:
            self.refresh_from_db()
        return moved

    def keep_feed(self, session: Session) -> bool:
        """Store a session in which that for prices alone was opened anew; False where a login came first.

        The account's own goes on, and with it its number and what is known of it.
        """
        row = BrokerConnection.objects.filter(pk=self.pk, session_number=self.session_number)
        kept = row.exclude(status=ConnectionStatus.DISCONNECTED).update(
            feed_token_encrypted=placed(self, "feed_token_encrypted", session.feed_token),
            connection_config=dict(session.facts),
            version=F("version") + 1,
            updated_at=Now(),
        )
        return kept == 1

    def postpone_renewal(self, until: datetime | None, *, now: datetime, in_doubt: bool = False) -> bool:
        """Give the claim back; the next attempt waits, or with None there is none.

        `in_doubt` leaves the mark of a claim that lapsed: nobody knows whether the broker renewed the session.
        """
        row = BrokerConnection.objects.filter(pk=self.pk, session_number=self.session_number)
        lease = now if in_doubt else None
        return row.update(renewal_due_at=until, renewal_lease_until=lease, updated_at=Now()) == 1

    def start_trading(self, now: datetime) -> bool:
        """From now on orders may be placed. Returns whether that is new; never where it is disconnected."""
        off = BrokerConnection.objects.filter(pk=self.pk, trading_enabled_at__isnull=True)
        started = off.exclude(status=ConnectionStatus.DISCONNECTED).update(trading_enabled_at=now, updated_at=Now())
        self.refresh_from_db(fields=["trading_enabled_at", "status"])
        return started == 1

    def stop_trading(self) -> bool:
        """From now on no order is placed. Returns whether that is new."""
        on = BrokerConnection.objects.filter(pk=self.pk, trading_enabled_at__isnull=False)
        stopped = on.update(trading_enabled_at=None, updated_at=Now())
        self.trading_enabled_at = None
        return stopped == 1

    def end_session(
        self,
        status: ConnectionStatus,
        *,
        code: str,
        message: str,
        actor: Actor,
        now: datetime,
        user: Any = None,
        renewal_due_at: datetime | None = None,
    ) -> bool:
        """Stop using the session: TOKEN_EXPIRED keeps its tokens, DISCONNECTED wipes them.

        Only this session: a login that came meanwhile is not ended. The trader ends whatever there is. With
        `renewal_due_at` it will be renewed without a person.
        """
        facts: dict[str, Any] = {
            "error_message": message,
            "next_health_check_at": None,
            "renewal_due_at": renewal_due_at,
            "renewal_lease_until": None,
        }
        only = models.Q(session_number=self.session_number) if actor is Actor.RENEWAL else self._living(now)
        if status is ConnectionStatus.DISCONNECTED:
            only = models.Q()
            facts |= {
                "access_token_encrypted": None,
                "refresh_token_encrypted": None,
                "feed_token_encrypted": None,
                "token_expires_at": None,
                "session_number": F("session_number") + 1,
            }
        return self._enter(status, only=only, actor=actor, user=user, reason=message, error_code=code, now=now, **facts)

    def _enter(
        self,
        status: ConnectionStatus,
        *,
        only: models.Q,
        actor: Actor,
        reason: str,
        now: datetime,
        error_code: str = "",
        user: Any = None,
        **facts: Any,
    ) -> bool:
        """The one way to another status: a conditional UPDATE and the row that tells of it, or neither.

        Returns whether it happened. The row is locked for the UPDATE, so that `from_status` is what it was.
        """
        rows = BrokerConnection.objects.filter(pk=self.pk)
        with transaction.atomic():
            found = (
                rows.filter(only, status__in=ENTERED_FROM[status])
                .select_for_update(no_key=True)
                .values_list("status", "token_expires_at")
                .first()
            )
            if found is None:
                return False
            before, known_end_at = found
            if before != status:
                facts["status_since"] = now
            rows.update(**facts, status=status, error_code=error_code, version=F("version") + 1, updated_at=Now())
            ConnectionChange.objects.create(
                broker_connection_id=self.pk,
                from_status=before,
                to_status=status,
                actor=actor,
                user=user,
                reason=reason,
                error_code=error_code,
                at=now,
                known_end_at=known_end_at,
            )
        return True


class ConnectionChange(models.Model):
    """A change of a connection's status, or a new session for it. Rows are only ever added.

    `from_status` is empty for the first login; it equals `to_status` where a session was replaced while it still lived,
    or could not be opened again after its end. `known_end_at` is when the session that was there before was to end
    anyway; it is null for a login.
    """

    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.CASCADE, related_name="changes", db_index=False
    )
    from_status = models.CharField(max_length=20, choices=STATUS_CHOICES, blank=True)
    to_status = models.CharField(max_length=20, choices=STATUS_CHOICES)
    actor = models.CharField(max_length=10, choices=Actor.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    reason = models.TextField()
    error_code = models.CharField(max_length=60, blank=True)
    at = models.DateTimeField()
    known_end_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "broker_connection_changes"
        ordering = ["-at", "-id"]
        indexes = [NamedIndex(fields=["broker_connection", "at"], name="idx_broker_connection_changes_connection_at")]

    def __str__(self) -> str:
        return f"{self.from_status or 'new'} → {self.to_status}"


# At the end: they point back here, or come after these where tables are walked one by one.
from brokers.agreements import ConnectionConsent, ConnectionGrant  # noqa: E402
from brokers.alert_models import AlertWebhook  # noqa: E402
from brokers.login_models import LoginReminder, OAuthState  # noqa: E402
from brokers.upkeep_models import KeyProof, ReplyDrift, ReplyShape  # noqa: E402

# What is asked for here, wherever it stands.
__all__ = [
    "AlertWebhook", "BrokerApp", "BrokerConnection", "ConnectionChange", "ConnectionConsent",
    "ConnectionGrant", "KeyProof", "LoginReminder", "NamedIndex", "OAuthState", "ReplyDrift", "ReplyShape",
    "broker_choices",
]  # fmt: skip
