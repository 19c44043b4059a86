"""What an API client shows instead of a browser's session, and what it may do with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import TextChoices
from django.dispatch import Signal

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Sent with `user` and `credential`, the row: after it was written, deleted, or deleted because two had its token.
issued = Signal()
revoked = Signal()
reused = Signal()


class Scope(TextChoices):
    """`trade` may do all that the API offers, `read` only look. A browser's session has both."""

    READ = "read", "Read"
    TRADE = "trade", "Read and change"

    def covers(self, needed: Scope) -> bool:
        return self is Scope.TRADE or needed is Scope.READ


class Kind(TextChoices):
    SESSION = "session", "API session"
    TOKEN = "token", "Personal token"


@dataclass(frozen=True, slots=True)
class Credential:
    """`request.auth` of an API client: which row lets it in. (That of a browser is None.)"""

    kind: Kind
    id: str
    scope: Scope
    proven_at: datetime | None = None

    def is_fresh(self, now: datetime) -> bool:
        """Whether its user showed a short while ago that it is they. A personal token never is: nobody is there."""
        return self.proven_at is not None and self.proven_at > now - settings.STEP_UP_LIFETIME


def needed(view: Any, method: str) -> Scope:
    """The scope that a call needs: what the view says in `scopes`, else `read` to look and `trade` to change."""
    named: dict[str, Scope] = getattr(view, "scopes", {})
    return named.get(method, Scope.READ if method in SAFE_METHODS else Scope.TRADE)
