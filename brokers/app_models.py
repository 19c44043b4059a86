"""Rows about the traders' own API apps at the brokers."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from brokers.columns import broker_choices
from brokers.domain import AppCredentials
from brokers.errors import SecretUnreadable
from brokers.vault import DecryptionFailed, Misplaced, StrictEncryptedTextField, unpacked


class BrokerApp(models.Model):
    """The trader's own API app at a broker."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="broker_apps", db_index=False
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    api_key_encrypted = StrictEncryptedTextField(belongs_to=("user", "broker_type"))
    api_secret_encrypted = StrictEncryptedTextField(belongs_to=("user", "broker_type"))
    # JSON of what only one broker asks for, such as a second pair of keys for market data.
    extra_encrypted = StrictEncryptedTextField(null=True, belongs_to=("user", "broker_type"))
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "broker_apps"
        constraints = [models.UniqueConstraint(fields=["user", "broker_type"], name="uniq_broker_app")]

    def __str__(self) -> str:
        return f"{self.get_broker_type_display()} app of {self.user}"

    @property
    def credentials(self) -> AppCredentials:
        """Raises SecretUnreadable."""
        try:
            return AppCredentials(
                api_key=self.api_key_encrypted,
                api_secret=self.api_secret_encrypted,
                extra=unpacked(self.extra_encrypted),
            )
        except DecryptionFailed as failure:
            mend = f"Enter the API key and secret of your app at {self.get_broker_type_display()} again."
            raise unreadable(failure, "API keys", mend) from None


def unreadable(failure: DecryptionFailed, what: str, mend: str) -> SecretUnreadable:
    """What became of one row's secrets, in words for its trader and for support: the row keeps the message alone."""
    if isinstance(failure, Misplaced):
        found = (
            f"The stored {what} were written for another account, so the database was changed by hand; they are unused."
        )
        return SecretUnreadable(f"{found} {mend}", code=SecretUnreadable.misplaced_code, user_action=mend)
    return SecretUnreadable(f"No key of this installation reads the stored {what}. {mend}", user_action=mend)
