"""Second factors at rest: what can make a code is encrypted under the house's keys, like every other secret."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator

from brokers import vault
from brokers.secret import Secret
from brokers.vault import Place

# The row is not told here: what is encrypted is bound to the column.
CONTEXT = Place("mfa_authenticator", "data", ()).context


class FactorAdapter(DefaultMFAAdapter):
    """The seam that django-allauth offers: TOTP secrets and the seeds of recovery codes pass through here."""

    def _get_site_name(self) -> str:
        return "TradeMaster"

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        """What a new passkey is called until its owner says otherwise."""
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"

    def encrypt(self, text: str) -> str:
        return vault.encrypt(Secret(text), CONTEXT)

    def decrypt(self, encrypted_text: str) -> str:
        """Raises DecryptionFailed."""
        return vault.decrypt(encrypted_text, CONTEXT).reveal()
