"""Who may call the API."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.credentials import Credential, needed
from accounts.models import User
from accounts.refusals import ScopeMissing


def trader(request: Request) -> User:
    """The signed-in user of a request that `IsTrader` let through."""
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    return request.user


class IsTrader(BasePermission):
    """A signed-in user whose role is TRADER; and a client of theirs only as far as its token's scope goes.

    Both in one, so that a view which names permissions of its own cannot forget the scope. Raises ScopeMissing.
    """

    message = "Only traders may do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (request.user and request.user.is_authenticated and getattr(request.user, "is_trader", False)):
            return False
        shown = request.auth
        if isinstance(shown, Credential) and not shown.scope.covers(needed(view, request.method or "")):
            raise ScopeMissing
        return True
