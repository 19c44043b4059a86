"""People, what they may do, and the log of what was done."""

from django.contrib.auth.models import AbstractUser
from django.db import models


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
