"""The entries of a timeline as sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from health.telling import told
from health.timeline import _entry

NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "known", "words", "tone"),
    [
        ("LOGIN", {"status": "CONNECTED", "by": "TRADER"}, "You logged in.", "good"),
        (
            "STATUS",
            {"status": "ERROR", "from_status": "CONNECTED", "by": "CALL", "message": "No answer.", "error_code": "x"},
            "Connected → Failing by a call to the broker. No answer (x).",
            "bad",
        ),
        ("STATUS", {"status": "CONNECTED", "message": ""}, "Connected.", "good"),
        ("INCIDENT", {"status": "ERROR", "message": "", "until": None}, "Does not answer.", "bad"),
        ("INCIDENT", {"status": "ERROR", "message": "", "until": NOW}, "Does not answer.", "plain"),
        (
            "CHECKS",
            {"check_type": "SESSION", "status": "CONNECTED", "count": 3, "p50_ms": 44},
            "3 checks of the session went well, half of them within 44 ms.",
            "good",
        ),
        (
            "CHECKS",
            {"check_type": "QUOTES", "status": "ERROR", "count": 1, "error_code": "broker_unavailable"},
            "1 check of quotes failed: broker_unavailable.",
            "warn",
        ),
    ],
)
def test_an_entry_is_a_sentence(kind: str, known: dict[str, Any], words: str, tone: str) -> None:
    found = told(_entry(kind, NOW - timedelta(hours=1), **known))
    assert (found.words, found.tone) == (words, tone)
