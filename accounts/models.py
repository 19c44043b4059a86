"""People, what they may do, the browsers they come from, and the log of what was done."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.utils import timezone

from accounts import sockets
from accounts.credentials import Scope


class Role(models.TextChoices):
    TRADER = "TRADER", "Trader"
    SUPPORT = "SUPPORT", "Support"


class User(AbstractUser):
    """A trader sees their own accounts; support works in the admin and sees nobody's portfolio through the API."""

    role = models.CharField(max_length=20, choices=Role.choices, default=Role.TRADER)

    class Meta(AbstractUser.Meta):
        db_table = "users"

    @property
    def is_trader(self) -> bool:
        return self.role == Role.TRADER

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new password, and being switched off, close every open socket: those ask for the session only once.

        Addresses are kept in small letters, by which whoever signs in is looked for.
        """
        self.email = self.email.lower()
        has_new_password = self._password is not None  # type: ignore[attr-defined]
        over = self.pk is not None and (has_new_password or not self.is_active)
        super().save(*args, **kwargs)
        if over:
            transaction.on_commit(partial(sockets.close_user, self.pk))


class Invitation(models.Model):
    """Lets one person make one account, as a trader. The token in the link stands here as its hash only."""

    email = models.EmailField()
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    was_mailed = models.BooleanField(default=False, help_text="The link went to the address: who follows it owns it.")
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)
    accepted_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", editable=False)

    class Meta:
        db_table = "invitations"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.email


class TrustedDevice(models.Model):
    """A browser in which the second factor need not be shown again at sign-in. Its cookie stands here as its hash."""

    user = models.ForeignKey(User, models.CASCADE, related_name="trusted_devices")
    name = models.CharField(max_length=100)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    # A fingerprint of the password as it was: with another password nothing is trusted any more.
    password_mark = models.CharField(max_length=128, editable=False)
    address = models.GenericIPAddressField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)

    class Meta:
        db_table = "trusted_devices"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.name


class SignInPlace(models.Model):
    """A browser at an address from which somebody signed in: from a new one, they are told by e-mail."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sign_in_places")
    address = models.GenericIPAddressField()
    user_agent = models.CharField(max_length=200)
    first_seen_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "sign_in_places"
        ordering = ("-last_seen_at",)
        constraints = [models.UniqueConstraint(fields=["user", "address", "user_agent"], name="one_row_per_place")]

    def __str__(self) -> str:
        return f"{self.user_agent} at {self.address}"


class ActorKind(models.TextChoices):
    """On whose behalf something was done."""

    USER = "user", "The person themselves, or another user"
    SUPPORT = "support", "Staff, with somebody else's rows"
    SYSTEM = "system", "The house itself"
    STRANGER = "stranger", "Somebody who is not signed in"


class AuditEntry(models.Model):
    """One event of the audit log. Rows are only ever added, by `accounts.audit.record`; a trigger refuses the rest.

    `hash` is over all other columns, `previous` among them: see `accounts.audit.canonical`. People are ids and no
    foreign keys: a row outlives whom it speaks of. `event` is one of `accounts.events.Event`.
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    event = models.CharField(max_length=60)
    actor = models.CharField(max_length=10, choices=ActorKind.choices)
    actor_id = models.BigIntegerField(null=True)
    subject_id = models.BigIntegerField(null=True)
    object_kind = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    # Text and not inet: what was hashed must come back letter by letter.
    address = models.CharField(max_length=45, blank=True)
    details = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "audit_events"
        verbose_name = "audit event"
        ordering = ["-sequence"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["subject_id", "sequence"], name="idx_audit_events_subject"),
            models.Index(fields=["event", "at"], name="idx_audit_events_event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.event}"


class AuditCheckpoint(models.Model):
    """Where the log begins since its oldest events were removed: the last of them, which the next one links to.

    A trigger accepts only an event that is there, and only events up to a checkpoint can be deleted.
    """

    sequence = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=64)
    made_at = models.DateTimeField()

    class Meta:
        db_table = "audit_checkpoints"
        ordering = ["-sequence"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"Begins after {self.sequence}"


class AccountDeletion(models.Model):
    """A deletion that was asked for. Without `finished_at` it is under way, and is taken up again until it is not.

    `brokers` says of each broker that was disconnected whether the session was ended there too.
    """

    user_id = models.BigIntegerField(primary_key=True)
    asked_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    brokers = models.JSONField(default=list)

    class Meta:
        db_table = "account_deletions"
        ordering = ["-asked_at"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"Deletion of account {self.user_id}"


class ForClients(models.Model):
    """What lets an API client in: until its hour, its owner's next password, or its owner's end."""

    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.READ)
    # A fingerprint of the password as it was: another password ends what was begun under this one.
    password_mark = models.CharField(max_length=128, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    def is_good(self, now: datetime) -> bool:
        """Costs a question unless `user` was read with the row."""
        user: User = self.user  # type: ignore[attr-defined]
        return self.expires_at > now and user.is_active and self.password_mark == user.get_session_auth_hash()


class ApiSession(ForClients):
    """A client that logged in for tokens. No token stands here: those of a generation before the present are spent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="api_sessions")
    generation = models.PositiveIntegerField(default=1, editable=False)
    address = models.GenericIPAddressField()
    refreshed_at = models.DateTimeField(default=timezone.now, editable=False)
    proven_at = models.DateTimeField(null=True, editable=False, help_text="When its user last showed that it is they.")

    class Meta:
        db_table = "api_sessions"
        ordering = ("-refreshed_at",)


class PersonalToken(ForClients):
    """A token for a program of the user's own. It stands here as its hash."""

    user = models.ForeignKey(User, models.CASCADE, related_name="personal_tokens")
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    ending = models.CharField(max_length=4, editable=False, help_text="Its last digits, to know it by.")
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        db_table = "personal_tokens"
        ordering = ("-created_at",)


# At the end, because they point back here.
from accounts.alert_models import AlertDelivery, AlertRoute  # noqa: E402, F401
