"""Where brokers are not simulated, nothing of the demo is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

View = Callable[[HttpRequest], HttpResponse]


class NotSimulated(Exception):
    """Brokers are real here."""


def require_simulation() -> None:
    """Raises NotSimulated."""
    if not settings.SIMULATED_BROKERS:
        raise NotSimulated("This is for simulated brokers alone (SIMULATED_BROKERS=1).")


def demo_only(view: View) -> View:
    """A page of the demo: elsewhere an address that does not exist, whoever asks."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not settings.SIMULATED_BROKERS:
            raise Http404
        return view(request)

    return guarded
