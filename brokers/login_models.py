"""Rows about logging in: a login under way, and how its trader wants to be reminded of the next."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from brokers.columns import NamedIndex, broker_choices
from brokers.vault import StrictEncryptedTextField


class OAuthState(models.Model):
    """A login under way. Only the hash of the state is kept; the DELETE that finds it spends it."""

    state = models.CharField(max_length=100, primary_key=True, help_text="SHA-256 of the state, in hex")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    redirect_uri = models.TextField()
    # The page of ours to go back to.
    return_to = models.CharField(max_length=40, default="dashboard")
    # The text of `brokers.consents` that completing it agrees to, and whether its version was sent.
    consent = models.CharField(max_length=20, default="")
    consent_stated = models.BooleanField(default=False)
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


class LoginReminder(models.Model):
    """How a trader wants to be told, before the market opens, which brokers need a login today."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="login_reminder"
    )
    by_email = models.BooleanField(default=False)
    webhook_url = models.URLField(max_length=500, blank=True)
    # Signs what is sent there, so that its receiver can tell it is from here.
    webhook_secret_encrypted = StrictEncryptedTextField(null=True)
    last_sent_on = models.DateField(null=True)
    last_error = models.CharField(max_length=200, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "login_reminders"

    def __str__(self) -> str:
        return f"Login reminder of {self.user}"
