"""Whose answer is whose: what depends on a cookie or a token is kept by no cache, on the way, in browser or client."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import has_vary_header


class KeptByNobody:
    """Stands outside the session's middleware, which says by `Vary` that the session was looked at.

    Where a token came along no session is looked at, and so whoever shows one is told by that alone.

    A portfolio is then not found on the disk of a shared computer, nor by the back button after a sign-out.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        if has_vary_header(answer, "Cookie") or "Authorization" in request.headers:
            answer.headers.setdefault("Cache-Control", "private, no-store")
        return answer
