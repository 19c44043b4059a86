"""Rows about postbacks: where those of a connection arrive, and what became of each."""

from __future__ import annotations

from django.db import models


class PostbackInbox(models.Model):
    """Where the postbacks of one connection arrive, and when its orders are to be read because of them.

    The address is random and kept as its hash alone: nobody needs to read it again, and no copy of the database can be
    used to post. `read_due_at` is None where nothing is to be read; while a worker reads, it is the end of its lease.
    """

    broker_connection = models.OneToOneField(
        "brokers.BrokerConnection", on_delete=models.CASCADE, primary_key=True, related_name="postback_inbox"
    )
    # SHA-256, in hex; null where there is no address.
    address_hash = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - several have none
    made_at = models.DateTimeField(null=True)
    last_received_at = models.DateTimeField(null=True)
    read_due_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    # Whether more came than are written down.
    is_crowded = models.BooleanField(default=False)
    read_attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        db_table = "broker_postback_inboxes"
        verbose_name_plural = "postback inboxes"
        indexes = [models.Index(fields=["read_due_at"], name="idx_postback_inboxes_due")]

    def __str__(self) -> str:
        return f"Postbacks of {self.broker_connection}"


class Verified(models.TextChoices):
    """What a postback's signature says."""

    YES = "YES", "Signed by the broker"
    NO = "NO", "The signature is wrong, or cannot be checked"
    NONE = "NONE", "This broker does not sign"


class Outcome(models.TextChoices):
    """What became of a postback. Only the first three ever led to a question to the broker."""

    WAITING = "WAITING", "The broker's book is to be read"
    CONFIRMED = "CONFIRMED", "The broker's book has the order"
    NOT_IN_BOOK = "NOT_IN_BOOK", "The broker's book has no such order: nothing was changed"
    NOT_READ = "NOT_READ", "The broker's book could not be read"
    NOT_AN_ORDER = "NOT_AN_ORDER", "It tells of something else"
    BAD_SIGNATURE = "BAD_SIGNATURE", "Not the broker's signature: nothing was asked"
    OTHER_ACCOUNT = "OTHER_ACCOUNT", "Of an account that this trader has not connected: nothing was asked"
    UNREADABLE = "UNREADABLE", "Not what this broker posts"
    TOO_LARGE = "TOO_LARGE", "Larger than any postback"


class BrokerPostback(models.Model):
    """One postback, for support: never what it said, but for the order's id, which whoever sent it may have made up."""

    broker_connection = models.ForeignKey(
        "brokers.BrokerConnection", on_delete=models.CASCADE, related_name="postbacks", db_index=False
    )
    received_at = models.DateTimeField()
    verified = models.CharField(max_length=4, choices=Verified.choices)
    broker_order_id = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome.choices)

    class Meta:
        db_table = "broker_postbacks"
        ordering = ["-received_at", "-id"]
        indexes = [
            models.Index(fields=["broker_connection", "received_at"], name="idx_postbacks_connection_at"),
            models.Index(fields=["received_at"], name="idx_postbacks_received_at"),
        ]

    def __str__(self) -> str:
        return f"{self.broker_order_id or 'a postback'}: {self.outcome}"
