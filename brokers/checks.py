"""What must be right before anything starts; each message says how to mend it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from brokers import registry, vault
from brokers.transport import is_loopback


@register(Tags.security)
def simulation_stays_at_home(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """With simulated brokers no address of a broker may leave this machine."""
    if not settings.SIMULATED_BROKERS:
        return []
    return [
        Error(
            f"SIMULATED_BROKERS is on, but {slug} would be asked at {address}.",
            hint=f"Set BROKER_{slug.upper()}_BASE_URL, …_LOGIN_URL and …_MASTER_URL to its simulated broker.",
            id="brokers.E001",
        )
        for slug in registry.slugs()
        for address in map(settings.BROKERS[slug].get, ("base_url", "login_url", "master_url"))
        if address and not is_loopback(urlsplit(address).hostname or "")
    ]


@register(Tags.database)
def keys_fit_the_database(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    if not databases or vault.keys_fit() is not False:
        return []
    return [
        Error(
            "FIELD_ENCRYPTION_KEYS cannot read the secrets in this database.",
            hint="Put back the key that wrote them; it may stand after a newer one, separated by a comma.",
            id="brokers.E002",
        )
    ]
