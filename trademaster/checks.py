"""What must be right about the installation as a whole before anything starts."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from brokers.transport import is_loopback
from trademaster import charts


@register(Tags.security, deploy=True)
def the_proxy_is_believed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """TLS ends at a proxy: unless we believe what it says of the client, everybody seems to come from it, in clear."""
    if not settings.PUBLIC_URL.startswith("https://") or settings.BEHIND_PROXY:
        return []
    return [
        Warning(
            "PUBLIC_URL begins with https, and BEHIND_PROXY is off: requests count as unencrypted.",
            hint="Set BEHIND_PROXY=1 where a proxy sets X-Forwarded-Proto and X-Forwarded-For itself.",
            id="trademaster.W001",
        )
    ]


@register(Tags.security)
def hosts_are_named(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """`*` or a leading dot lets any page, or any subdomain, open our WebSocket with the trader's session."""
    loose = [host for host in settings.ALLOWED_HOSTS if host.startswith(("*", "."))]
    if not loose:
        return []
    return [
        Error(
            f"ALLOWED_HOSTS names {', '.join(loose)}, which stands for names that are not ours.",
            hint="Name each host by which browsers reach this installation.",
            id="trademaster.E001",
        )
    ]


@register(Tags.security)
def the_switchboard_stays_at_home(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What breaks simulated brokers is on this machine, and nowhere without them."""
    address = settings.SANDBOX_CONTROL_URL
    if not address or (settings.SIMULATED_BROKERS and is_loopback(urlsplit(address).hostname or "")):
        return []
    return [
        Error(
            f"SANDBOX_CONTROL_URL is {address}: it is for simulated brokers alone, and on this machine.",
            hint="Leave it out; `make demo` sets it for its own.",
            id="trademaster.E002",
        )
    ]


@register(Tags.staticfiles)
def charts_can_be_drawn(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Without the library pages say in words what the chart would show."""
    if charts.is_installed():
        return []
    return [
        Warning(
            f"The library of charts is not at {charts.DIRECTORY}: the day's value is told in words alone.",
            hint="Run `make setup`; elsewhere install trademaster/local/charts.lock as the Dockerfile does.",
            id="trademaster.W002",
        )
    ]
