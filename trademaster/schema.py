"""What the API's description says of every operation without being told: the refusals that may come, in one shape.

A view declares what is its own; what the framework, the front door or a broker may answer instead is the same
everywhere and stands in REFUSALS. tests/test_schema_fuzz.py holds every answer to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import status
from rest_framework.permissions import SAFE_METHODS

from trademaster.api import ErrorAnswer

# Whose writes ask a broker.
ASKING = ("brokers.views", "orders.views")


class Described:
    """What decides which refusals an operation has."""

    def __init__(self, method: str, view: object, operation: dict[str, Any]) -> None:
        places = {parameter["in"] for parameter in operation.get("parameters", ())}
        self.has_body = "requestBody" in operation
        self.has_path = "path" in places
        self.has_input = self.has_body or bool(places)
        self.writes = method not in SAFE_METHODS
        self.asks_brokers = self.writes and type(view).__module__ in ASKING


def always(_: Described) -> bool:
    return True


# Status → where it may be answered, and why.
REFUSALS: dict[int, tuple[Callable[[Described], bool], str]] = {
    status.HTTP_400_BAD_REQUEST: (lambda it: it.has_input, "What was sent is missing something, or wrong."),
    status.HTTP_401_UNAUTHORIZED: (always, "Nobody is signed in."),
    status.HTTP_403_FORBIDDEN: (always, "Not with this role, not without a CSRF token or a fresh proof."),
    status.HTTP_404_NOT_FOUND: (lambda it: it.has_path, "There is no such thing of the user's."),
    status.HTTP_406_NOT_ACCEPTABLE: (always, "The answer was asked for in another form."),
    status.HTTP_409_CONFLICT: (lambda it: it.writes, "Not as things stand."),
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: (lambda it: it.has_body, "The body is too large."),
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: (lambda it: it.has_body, "The body is no JSON."),
    status.HTTP_422_UNPROCESSABLE_ENTITY: (lambda it: it.asks_brokers, "The broker refused it, or does not offer it."),
    status.HTTP_429_TOO_MANY_REQUESTS: (always, "Too often; Retry-After says until when."),
    status.HTTP_502_BAD_GATEWAY: (lambda it: it.asks_brokers, "The broker's answer cannot be read, or is no verdict."),
    status.HTTP_503_SERVICE_UNAVAILABLE: (always, "A broker, or a part of this installation, does not answer."),
}


class Schema(AutoSchema):
    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        described, responses = Described(self.method, self.view, operation), operation["responses"]
        content = {"application/json": {"schema": self.resolve_serializer(ErrorAnswer, "response").ref}}
        for code, (applies, words) in REFUSALS.items():
            if applies(described):
                responses.setdefault(str(code), {"description": words})
        for code, response in responses.items():
            if int(code) >= status.HTTP_400_BAD_REQUEST:
                response.setdefault("content", content)
        operation["responses"] = dict(sorted(responses.items()))
        return operation
