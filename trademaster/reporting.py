"""What an error report, or the debug page, may show of a running program: where it was, and not what it held."""

from __future__ import annotations

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class NothingOfValue(SafeExceptionReporterFilter):
    """Variables are shown by their types, what a form brought by its names, and settings that can bear a secret hidden.

    Always, and not only without DEBUG: a debug page is photographed, pasted and mailed like any other.
    """

    # Beside Django's own: addresses of servers bear their passwords.
    hidden_settings = re.compile(
        r"API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|HTTP_COOKIE|URL$|LOCATION|ADDRESS|QUERY_STRING",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return {} if request is None else dict.fromkeys(request.POST, self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> ItemsView[str, Any]:
        return {name: _Kind(type(value).__qualname__) for name, value in tb_frame.f_locals.items()}.items()


class _Kind(str):
    """The page shows the `repr` of what it is given."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{self}>"
