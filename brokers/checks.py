"""What must be right before anything starts; each message says how to mend it."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

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
            hint=f"Set BROKER_{slug.upper()}_BASE_URL, …_LOGIN_URL, …_MASTER_URL and …_STREAM_URL to its simulated "
            "broker.",
            id="brokers.E001",
        )
        for slug in registry.slugs()
        for address in map(settings.BROKERS[slug].get, ("base_url", "login_url", "master_url", "stream_url"))
        if address and not is_loopback(urlsplit(address).hostname or "")
    ]


@register(Tags.security)
def orders_leave_from_one_address(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Brokers take orders only from an address registered with them: it must be known, public, and always the same."""
    address = settings.EGRESS_IP
    if settings.SIMULATED_BROKERS or (address is not None and IPv4Address(address).is_global):
        return []
    return [
        Warning(
            "EGRESS_IP is not set." if address is None else f"EGRESS_IP is {address}, which is not a public address.",
            hint="Set it to the fixed IPv4 address from which this installation reaches the brokers; "
            "`manage.py egress --observe URL` shows the one that others see.",
            id="brokers.W001",
        )
    ]


@register(Tags.security)
def secret_key_is_strong(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Sessions and password resets are signed with it: whoever guesses it signs in as anybody."""
    keys = [str(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return [
        Warning(
            f"SECRET_KEY {problem}.",
            hint='Make one: python -c "import secrets; print(secrets.token_urlsafe(48))"',
            id="brokers.W002",
        )
        for problem in map(_weakness, keys)
        if problem is not None
    ]


SHORTEST_KEY, FEWEST_CHARACTERS = 50, 16


def _weakness(key: str) -> str | None:
    if key.startswith("django-insecure-"):
        return "is one that Django made for development"
    if len(key) < SHORTEST_KEY:
        return f"has {len(key)} characters; it needs {SHORTEST_KEY}"
    if len(set(key)) < FEWEST_CHARACTERS:
        return f"repeats itself: it has only {len(set(key))} different characters"
    return None


# Of 32 random bytes practically never so few are different: of 200,000 keys none had less than 23.
FEWEST_BYTES = 20


@register(Tags.security)
def encryption_keys_are_random(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A key of the right length can still be a word, or zeros, in base64."""
    return [
        Warning(
            f"The key {key_id} in FIELD_ENCRYPTION_KEYS is not a random one.",
            hint="Make one as docs/operations.md, Keys, says, put it first, and run `manage.py rotate_keys`.",
            id="brokers.W003",
        )
        for key_id, variety in vault.varieties().items()
        if variety < FEWEST_BYTES
    ]


@register(Tags.database)
def keys_fit_the_database(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    if not databases:
        return []
    try:
        vault.prove_keys()
    except vault.DecryptionFailed as error:
        return [Error(str(error), hint="See docs/operations.md, Keys.", id="brokers.E002")]
    except DatabaseError:  # it cannot be asked yet: no tables, or no database
        return []
    return []
