"""What happened to a connection, in sentences: the entries of `health.timeline`, for its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from brokers.connecting import STATUSES
from brokers.domain import ConnectionStatus
from brokers.statuses import Actor
from health.models import CheckType, IncidentKind

READ = {
    CheckType.SESSION: "the session",
    CheckType.HOLDINGS: "holdings",
    CheckType.QUOTES: "quotes",
    CheckType.ORDERS: "orders",
}
KINDS = {"LOGIN": "Login", "STATUS": "Status", "INCIDENT": "Incident", "CHECKS": "Checks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    at: datetime
    until: datetime | None
    kind: str
    words: str
    tone: str


def told(entry: Mapping[str, Any]) -> Told:
    words, tone = {"LOGIN": _login, "STATUS": _status, "INCIDENT": _incident, "CHECKS": _checks}[entry["kind"]](entry)
    return Told(at=entry["at"], until=entry["until"], kind=KINDS[entry["kind"]], words=words, tone=tone)


def _status_word(status: str) -> tuple[str, str]:
    return STATUSES[ConnectionStatus(status)]


def _login(entry: Mapping[str, Any]) -> tuple[str, str]:
    return "You logged in.", "good"


def _status(entry: Mapping[str, Any]) -> tuple[str, str]:
    word, tone = _status_word(entry["status"])
    before = f"{_status_word(entry['from_status'])[0]} → " if entry["from_status"] else ""
    by = f" by {Actor(entry['by']).label.lower()}" if entry["by"] else ""
    return _sentences(f"{before}{word}{by}", entry), tone


def _incident(entry: Mapping[str, Any]) -> tuple[str, str]:
    return _sentences(IncidentKind(entry["status"]).label, entry), "plain" if entry["until"] else "bad"


def _checks(entry: Mapping[str, Any]) -> tuple[str, str]:
    count = entry["count"]
    checks = f"{count} check{'' if count == 1 else 's'} of {READ[CheckType(entry['check_type'])]}"
    if entry["error_code"]:
        return f"{checks} failed: {entry['error_code']}.", "warn"
    half = f", half of them within {entry['p50_ms']} ms" if entry["p50_ms"] is not None and count > 1 else ""
    return f"{checks} went well{half}.", "good"


def _sentences(first: str, entry: Mapping[str, Any]) -> str:
    """With what is known of the reason; our own words lack the full stop at times."""
    said = [part.rstrip(". ") for part in (first, entry["message"]) if part]
    code = f" ({entry['error_code']})" if entry["error_code"] else ""
    return f"{'. '.join(said)}{code}."
