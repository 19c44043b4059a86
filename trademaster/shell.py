"""What stands around every page of a trader: the strip of the market, and what stops their orders."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from market.strip import strip
from orders import halt_views


def around(request: HttpRequest) -> dict[str, Any]:
    """Context processor. Nothing is read unless the page has a frame to show it in."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_trader:
        return {}
    return {
        "strip": SimpleLazyObject(lambda: strip(now=timezone.now())),
        "halts": SimpleLazyObject(lambda: halt_views.shown(user)),
    }
