"""Who may call the API."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import User


def trader(request: Request) -> User:
    """The signed-in user of a request that `IsTrader` let through."""
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    return request.user


class IsTrader(BasePermission):
    """A signed-in user whose role is TRADER."""

    message = "Only traders may do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated and getattr(request.user, "is_trader", False))
