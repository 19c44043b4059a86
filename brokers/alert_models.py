"""Where a person's webhook leads. Both columns are secrets: whoever knows an address like that may post to it."""

from __future__ import annotations

from django.db import models

from accounts.alert_models import AlertRoute
from brokers.vault import StrictEncryptedTextField


class AlertWebhook(models.Model):
    """The address of one alert route and the secret that signs what goes there. `host` is what may be shown of it."""

    route = models.OneToOneField(AlertRoute, on_delete=models.CASCADE, primary_key=True, related_name="webhook")
    host = models.CharField(max_length=260)
    url_encrypted = StrictEncryptedTextField(null=True)
    secret_encrypted = StrictEncryptedTextField(null=True)

    class Meta:
        db_table = "alert_webhooks"

    def __str__(self) -> str:
        return f"Webhook at {self.host}"
