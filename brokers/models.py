"""Rows about broker connections. A change of state is one conditional UPDATE; its side effects wait for the commit."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F
from django.db.models.functions import Now

from brokers import registry
from brokers.domain import AppCredentials, ConnectionStatus, Session
from brokers.errors import BrokerError
from brokers.vault import StrictEncryptedTextField, unpacked

STATUS_CHOICES = [(status.value, status.value.replace("_", " ").capitalize()) for status in ConnectionStatus]
# What we ask of a broker on our own account: everything but what the trader ended, or must mend first.
READABLE_STATUSES = frozenset(ConnectionStatus) - {ConnectionStatus.DISCONNECTED, ConnectionStatus.TOKEN_EXPIRED}
# What belongs to the trader's book, answering or not.
ACTIVE_STATUSES = frozenset(ConnectionStatus) - {ConnectionStatus.DISCONNECTED}


# What a success leaves of an earlier failure.
HEALTHY: dict[str, Any] = {"consecutive_failures": 0, "error_code": "", "error_message": "", "retry_after": None}


class NamedIndex(models.Index):
    """An index that may bear the specification's name: PostgreSQL allows 63 characters, Django's default is 30."""

    max_name_length = 63


def broker_choices() -> list[tuple[str, str]]:
    return [(broker.spec.slug, broker.spec.name) for broker in registry.brokers()]


class BrokerApp(models.Model):
    """The trader's own API app at a broker."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="broker_apps", db_index=False
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    api_key_encrypted = StrictEncryptedTextField()
    api_secret_encrypted = StrictEncryptedTextField()
    # JSON of what only one broker asks for, such as a second pair of keys for market data.
    extra_encrypted = StrictEncryptedTextField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "broker_apps"
        constraints = [models.UniqueConstraint(fields=["user", "broker_type"], name="uniq_broker_app")]

    def __str__(self) -> str:
        return f"{self.get_broker_type_display()} app of {self.user}"

    @property
    def credentials(self) -> AppCredentials:
        return AppCredentials(
            api_key=self.api_key_encrypted,
            api_secret=self.api_secret_encrypted,
            extra=unpacked(self.extra_encrypted),
        )


class BrokerConnectionQuerySet(models.QuerySet["BrokerConnection"]):
    def active(self) -> Self:
        """What the trader's book is made of, whether it answers or not."""
        return self.filter(status__in=ACTIVE_STATUSES)

    def due_for_check(self, now: datetime) -> Self:
        """Due, and not asked by their broker to be left alone."""
        paused = models.Q(retry_after__gt=now)
        return self.filter(~paused, status__in=READABLE_STATUSES, next_health_check_at__lte=now)

    def record_health(self, now: datetime) -> None:
        """Note a success of connections that were well already: nothing changes but the time."""
        self.filter(status=ConnectionStatus.CONNECTED).update(**HEALTHY, last_successful_call=now)

    def past_their_end(self, now: datetime) -> Self:
        """Sessions whose known end has come, before any call of theirs fails."""
        return self.filter(status__in=READABLE_STATUSES, token_expires_at__lte=now)


class BrokerConnection(models.Model):
    """One account at one broker, and the session that opens it.

    Monitoring starts by a due time (`next_health_check_at`): `health` looks for it, nobody calls `health`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="broker_connections", db_index=False
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    account_id = models.CharField(max_length=100)
    display_name = models.CharField(max_length=100, blank=True)
    access_token_encrypted = StrictEncryptedTextField(null=True)
    refresh_token_encrypted = StrictEncryptedTextField(null=True)
    feed_token_encrypted = StrictEncryptedTextField(null=True)
    token_expires_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=20, choices=STATUS_CHOICES, default=ConnectionStatus.CONNECTED)
    last_successful_call = models.DateTimeField(null=True, blank=True)
    last_health_check = models.DateTimeField(null=True, blank=True)
    next_health_check_at = models.DateTimeField(null=True, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    retry_after = models.DateTimeField(null=True, blank=True)
    capabilities = models.JSONField(default=dict)
    connection_config = models.JSONField(default=dict, blank=True)
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
        ]

    def __str__(self) -> str:
        return f"{self.get_broker_type_display()} {self.account_id}"

    @property
    def broker_name(self) -> str:
        return self.get_broker_type_display()

    def is_paused(self, now: datetime) -> bool:
        """Whether the broker asked to be left alone for a while."""
        return self.retry_after is not None and self.retry_after > now

    @property
    def session(self) -> Session | None:
        """The stored session; None once it has been wiped."""
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

    def record_success(self, now: datetime) -> bool:
        """A call succeeded: healthy again. Returns whether that changed the status.

        A session that has ended, or been ended, meanwhile stays so: an answer that was under way changes nothing.
        """
        row = BrokerConnection.objects.filter(pk=self.pk, status__in=READABLE_STATUSES)
        healed = row.exclude(status=ConnectionStatus.CONNECTED).update(
            **HEALTHY,
            last_successful_call=now,
            status=ConnectionStatus.CONNECTED,
            version=F("version") + 1,
            updated_at=Now(),
        )
        if not healed:
            row.update(**HEALTHY, last_successful_call=now)
        return healed == 1

    def record_failure(self, error: BrokerError, now: datetime) -> bool:
        """A call failed. Returns whether that changed the status; not every error says something of the connection."""
        status = error.connection_status
        if status is None:
            return False
        wait = getattr(error, "retry_after", None)
        row = BrokerConnection.objects.filter(pk=self.pk, status__in=READABLE_STATUSES)
        if status is ConnectionStatus.TOKEN_EXPIRED:
            # Only if nothing happened since we looked: a new login may have brought another session meanwhile.
            row = row.filter(version=self.version)
        facts: dict[str, Any] = {
            "error_code": error.code,
            "error_message": error.message,
            "consecutive_failures": F("consecutive_failures") + 1,
            "retry_after": None if wait is None else now + timedelta(seconds=wait),
        }
        changed = row.exclude(status=status).update(**facts, status=status, version=F("version") + 1, updated_at=Now())
        if not changed:
            row.update(**facts)
        return changed == 1

    def keep_session(self, session: Session, now: datetime) -> None:
        """Store a renewed session: written before anybody is told of it."""
        self.access_token_encrypted = session.access_token
        self.refresh_token_encrypted = session.refresh_token or self.refresh_token_encrypted
        self.feed_token_encrypted = session.feed_token or self.feed_token_encrypted
        self.token_expires_at = session.expires_at
        self.status = ConnectionStatus.CONNECTED
        self.last_successful_call = now
        self.version += 1
        self.save()

    def end_session(self, status: ConnectionStatus, *, code: str, message: str) -> bool:
        """Stop using the session: TOKEN_EXPIRED at its known end; DISCONNECTED by the trader wipes the tokens."""
        facts: dict[str, Any] = {"error_code": code, "error_message": message, "next_health_check_at": None}
        if status is ConnectionStatus.DISCONNECTED:
            facts |= {
                "access_token_encrypted": None,
                "refresh_token_encrypted": None,
                "feed_token_encrypted": None,
                "token_expires_at": None,
            }
        changed = (
            BrokerConnection.objects.filter(pk=self.pk)
            .exclude(status__in={status, ConnectionStatus.DISCONNECTED})
            .update(**facts, status=status, version=F("version") + 1, updated_at=Now())
        )
        return changed == 1


class OAuthState(models.Model):
    """A login under way. Only the hash of the state is kept; the DELETE that finds it spends it."""

    state = models.CharField(max_length=100, primary_key=True, help_text="SHA-256 of the state, in hex")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    redirect_uri = models.TextField()
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "oauth_states"
        verbose_name = "login under way"
        verbose_name_plural = "logins under way"
        indexes = [NamedIndex(fields=["expires_at"], name="idx_oauth_states_expires_at")]

    def __str__(self) -> str:
        return f"{self.get_broker_type_display()} login of {self.user}"

    def spend(self) -> bool:
        """Whether this call, and no other, spent it."""
        return OAuthState.objects.filter(pk=self.pk).delete()[0] == 1


class ReplyShape(models.Model):
    """The field names of a broker's reply as last seen: `shape` maps a place in the reply to its fields."""

    broker_type = models.CharField(max_length=20, choices=broker_choices)
    call = models.CharField(max_length=120)
    shape = models.JSONField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "broker_reply_shapes"
        constraints = [models.UniqueConstraint(fields=["broker_type", "call"], name="uniq_reply_shape")]

    def __str__(self) -> str:
        return f"{self.broker_type} {self.call}"


class ReplyDrift(models.Model):
    """A field that appeared in a broker's replies, or vanished from them. Each is noted once."""

    broker_type = models.CharField(max_length=20, choices=broker_choices)
    call = models.CharField(max_length=120)
    place = models.CharField(max_length=200, blank=True)
    field = models.CharField(max_length=200)
    appeared = models.BooleanField()
    noticed_at = models.DateTimeField()

    class Meta:
        db_table = "broker_reply_drifts"
        ordering = ["-noticed_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["broker_type", "call", "place", "field", "appeared"], name="uniq_reply_drift"
            )
        ]

    def __str__(self) -> str:
        return f"{self.broker_type} {self.call}: {self.field} {'appeared' if self.appeared else 'vanished'}"


class KeyProof(models.Model):
    """One row: a known word under the newest key, by which a process proves its keys before it uses them."""

    ciphertext = models.TextField()

    class Meta:
        db_table = "vault_key_proof"

    def __str__(self) -> str:
        return "Key proof"
