"""The words, colours and lengths of the status page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.utils import timezone

from health.models import CheckType

register = template.Library()

WORDS = {
    "UP": "Works",
    "DEGRADED": "Works in part",
    "DOWN": "Does not work",
    "MAINTENANCE": "In maintenance",
    "UNKNOWN": "Not measured",
}
TONES = {"UP": "good", "DEGRADED": "warn", "DOWN": "bad", "MAINTENANCE": "warn", "UNKNOWN": "off"}
# Failures of checks in words; their codes are those of `brokers.errors`.
FAILURES = {
    "broker_unavailable": "no answer",
    "broker_rate_limited": "too many calls",
    "rate_budget_spent": "budget spent",
    "circuit_open": "left alone",
    "session_ended": "session ended",
    "request_refused": "refused",
    "unexpected_response": "unreadable answer",
    "secret_unreadable": "keys unreadable",
}
# A day below this was a bad one; below 100 it was not a good one.
BAD_DAY = Decimal(99)
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@register.filter
def in_words(state: str) -> str:
    return WORDS[state]


@register.filter
def tone(state: str) -> str:
    return TONES[state]


@register.filter
def day_tone(uptime_pct: Decimal | None) -> str:
    if uptime_pct is None:
        return "off"
    return "bad" if uptime_pct < BAD_DAY else "good" if uptime_pct == 100 else "warn"


@register.filter
def check_kind(check_type: str) -> str:
    return str(CheckType(check_type).label)


@register.filter
def failure(error_code: str) -> str:
    """A code in a word or two."""
    return FAILURES.get(error_code, error_code.replace("_", " "))


@register.filter
def percent(uptime_pct: Decimal | None) -> str:
    """Without the zeros behind; unknown is a dash."""
    return "–" if uptime_pct is None else f"{uptime_pct.normalize():f} %"


@register.filter
def milliseconds(time: int | None) -> str:
    return "–" if time is None else f"{time} ms"


@register.filter
def seconds(time: int | None) -> str:
    """A length of time in its largest unit and the next one."""
    if time is None:
        return "–"
    first = next((place for place, (size, _) in enumerate(UNITS) if time >= size), len(UNITS) - 1)
    words: list[str] = []
    for size, unit in UNITS[first : first + 2]:
        count, time = divmod(time, size)
        if count or not words:
            words.append(f"{count} {unit}")
    return " ".join(words)


@register.filter
def lasted(incident: Mapping[str, Any]) -> str:
    length: timedelta = (incident["closed_at"] or timezone.now()) - incident["opened_at"]
    return seconds(max(0, round(length.total_seconds())))


@register.filter
def incident_tone(incident: Mapping[str, Any]) -> str:
    if incident["closed_at"] is not None:
        return ""
    return "warn" if incident["planned"] else "bad"
