"""Every address that Django answers, and by which methods, read from the URL table itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.views import View
from rest_framework.views import APIView

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True)
class Route:
    path: str  # as it is written in the URL tables, from the root on
    name: str
    view: Any

    @property
    def methods(self) -> frozenset[str] | None:
        """By which methods the view answers something of its own; None where only asking can tell.

        HEAD is GET without a body, and OPTIONS only tells what there is.
        """
        actions = getattr(self.view, "actions", None)
        kind = getattr(self.view, "cls", None) or getattr(self.view, "view_class", None)
        if actions:
            names = set(actions)
        elif kind is not None and issubclass(kind, (View, APIView)):
            names = {name for name in kind.http_method_names if hasattr(kind, name)}
        else:
            return None
        return frozenset(name.upper() for name in names) - {"HEAD", "OPTIONS", "TRACE"}


def every() -> list[Route]:
    return list(_walk(get_resolver(), ""))


def of_admin_models(path: str, labels: set[str]) -> bool:
    """Whether it belongs to a model's page of the admin."""
    return any(path.startswith(f"admin/{label}/") for label in labels)


def _walk(resolver: URLResolver, before: str) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield Route(path, pattern.name or "", pattern.callback)
        else:
            yield from _walk(pattern, path)
