"""What a trader agreed to: consent to the reading of an account, and read access given to another person."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models


class Act(models.TextChoices):
    GIVEN = "GIVEN", "Given"
    WITHDRAWN = "WITHDRAWN", "Withdrawn"


class ConnectionConsent(models.Model):
    """Consent to what is done with one connection, given or withdrawn. Rows are only ever added, as a trigger sees to.

    `version` is that of the text in `brokers.consents`; `is_stated` says that its version was sent with the login, and
    not only shown or published beside it. Ids and no foreign keys: proof of consent outlives connection and account.
    """

    user_id = models.BigIntegerField()
    connection_id = models.UUIDField()
    broker_type = models.CharField(max_length=20)
    scope = models.CharField(max_length=20)
    act = models.CharField(max_length=10, choices=Act.choices)
    version = models.CharField(max_length=20)
    is_stated = models.BooleanField(default=False)
    at = models.DateTimeField()
    address = models.CharField(max_length=45, blank=True)

    class Meta:
        db_table = "connection_consents"
        ordering = ["-at", "-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["connection_id", "id"], name="idx_consents_connection"),
            models.Index(fields=["user_id", "id"], name="idx_consents_user"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.act} {self.version}"


class ConnectionGrants(models.QuerySet["ConnectionGrant"]):
    def standing(self, now: datetime) -> Self:
        """Neither taken back nor expired."""
        lasting = models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=now)
        return self.filter(lasting, revoked_at__isnull=True)


class ConnectionGrant(models.Model):
    """Read access to some of the owner's connections, for one other person.

    `named` is what the owner typed. Whether it named anybody is not told: `viewer` is empty where it did not, and stays
    so, lest somebody take that name later.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="grants_given")
    viewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="grants_received"
    )
    named = models.CharField(max_length=254)
    connections = models.ManyToManyField("brokers.BrokerConnection", related_name="grants")
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    objects = ConnectionGrants.as_manager()

    class Meta:
        db_table = "connection_grants"
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return f"Grant {self.pk}"
