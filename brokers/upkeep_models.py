"""Rows that the house keeps for its own upkeep: what brokers' replies look like, and proof of its keys."""

from __future__ import annotations

from django.db import models

from brokers.columns import broker_choices


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
    """A known word under one key: a process proves by it that it holds every key that secrets here may be under.

    `key_id` is a fingerprint of the key; empty on the row of an installation that is older than it.
    """

    key_id = models.CharField(max_length=16, unique=True, default="")
    ciphertext = models.TextField()

    class Meta:
        db_table = "vault_key_proof"

    def __str__(self) -> str:
        return f"Proof of key {self.key_id}"
