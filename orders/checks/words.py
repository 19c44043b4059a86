"""What a check says. Pure words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from brokers.domain import ZERO as ZERO


class Verdict(StrEnum):
    """The worse, the later in `SEVERITY`. NOT_RUN: nothing would be sent, so that there was nothing to look at."""

    PASS = "PASS"  # noqa: S105 - no password
    NOT_RUN = "NOT_RUN"
    WARN = "WARN"
    CONFIRM = "CONFIRM"
    DENY = "DENY"


SEVERITY = {verdict: number for number, verdict in enumerate(Verdict)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check saw. `code` is stable; `words` and `remedy` are whole sentences, for people."""

    check: int
    code: str
    verdict: Verdict
    words: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One of the twelve, and all that it found; its verdict is the worst of these."""

    number: int
    name: str
    verdict: Verdict
    findings: tuple[Finding, ...]


def passed(check: int, words: str) -> Finding:
    return Finding(check=check, code="seen", verdict=Verdict.PASS, words=words)


def denied(check: int, code: str, words: str, remedy: str) -> Finding:
    return Finding(check=check, code=code, verdict=Verdict.DENY, words=words, remedy=remedy)


def warned(check: int, code: str, words: str, remedy: str) -> Finding:
    return Finding(check=check, code=code, verdict=Verdict.WARN, words=words, remedy=remedy)


def to_confirm(check: int, code: str, words: str, remedy: str) -> Finding:
    return Finding(check=check, code=code, verdict=Verdict.CONFIRM, words=words, remedy=remedy)
