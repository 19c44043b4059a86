"""Every route of the URL table, so that an attack tries a new one without being told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.resolvers import RegexPattern

SAMPLES: Mapping[str, Any] = {"uuid": UUID(int=7), "int": 7, "str": "zerodha", "path": "nothing", "": "accounts"}


@dataclass(frozen=True)
class Route:
    """`parameters` are the names in its address, with their kinds: uuid, int, str, path, or none (an expression)."""

    name: str
    parameters: tuple[tuple[str, str], ...]

    def path(self, **values: Any) -> str:
        samples = {name: SAMPLES[kind] for name, kind in self.parameters}
        return reverse(self.name, kwargs={**samples, **values})

    def __str__(self) -> str:
        return self.name


def routes() -> list[Route]:
    return sorted(set(_walk(get_resolver(), "", ())), key=lambda route: (route.name, route.parameters))


def _walk(resolver: URLResolver, namespace: str, above: tuple[tuple[str, str], ...]) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        parameters = (*above, *_parameters(pattern))
        if isinstance(pattern, URLResolver):
            yield from _walk(
                pattern, f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace, parameters
            )
        elif pattern.name is not None:
            yield Route(f"{namespace}{pattern.name}", parameters)


def _parameters(route: URLPattern | URLResolver) -> tuple[tuple[str, str], ...]:
    if isinstance(route.pattern, RegexPattern):
        return tuple((name, "") for name in route.pattern.regex.groupindex)
    return tuple((name, _kind(converter)) for name, converter in route.pattern.converters.items())


def _kind(converter: object) -> str:
    word = type(converter).__name__.removesuffix("Converter").lower()
    return "str" if word == "string" else word
