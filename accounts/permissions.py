"""Who may call the API."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class IsTrader(BasePermission):
    """A signed-in user whose role is TRADER."""

    message = "Only traders may do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated and getattr(request.user, "is_trader", False))
