"""From whom and from where the present request comes, for whoever writes the audit log below the views."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from accounts.models import User

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)

Handler = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def remember_request(get_response: Handler) -> Handler:
    """Middleware: who asks is looked up only by whoever wants to know."""
    if iscoroutinefunction(get_response):

        async def remembered(request: HttpRequest) -> HttpResponseBase:
            with _during(request):
                answer: Awaitable[HttpResponseBase] = get_response(request)
                return await answer

        return remembered

    def remembered_in_a_thread(request: HttpRequest) -> HttpResponseBase:
        with _during(request):
            answer: HttpResponseBase = get_response(request)
            return answer

    return remembered_in_a_thread


@contextmanager
def _during(request: HttpRequest) -> Iterator[None]:
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def asking_user() -> User | None:
    """Who is signed in with the present request; None for a stranger, and where there is no request."""
    user = getattr(_request.get(), "user", None)
    return user if isinstance(user, User) and user.is_authenticated else None


def is_asked() -> bool:
    """Whether somebody outside is behind what happens now; else it is the house itself."""
    return _request.get() is not None


def address() -> str | None:
    """The IP address of the present request in its usual spelling; None where there is none.

    The web process has put it there: the peer's, or behind a proxy (`--behind-proxy`) what the proxy says.
    """
    request = _request.get()
    try:
        found = ip_address(request.META.get("REMOTE_ADDR", "")) if request is not None else None
    except ValueError:  # a local socket has none
        return None
    return str(getattr(found, "ipv4_mapped", None) or found) if found else None
