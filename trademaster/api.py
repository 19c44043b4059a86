"""The edge of the API: one error shape, one table from errors to HTTP statuses, exact numbers out.

{"error": {"code": "invalid_state", "message": "…", "remedy": "…", "details": {…} | null}}
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from redis.exceptions import RedisError
from rest_framework import exceptions, parsers, serializers, status
from rest_framework.authentication import SessionAuthentication
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from accounts.step_up import StepUpRequired
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    HeldBack,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SecretUnreadable,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.reach import ConnectRefused
from brokers.registry import UnsupportedBroker
from portfolio.services import NoBrokerConnections

logger = logging.getLogger(__name__)

# The first class that fits counts.
BROKER_STATUSES: tuple[tuple[type[BrokerError], int], ...] = (
    (RateLimited, status.HTTP_503_SERVICE_UNAVAILABLE),
    (BrokerUnavailable, status.HTTP_503_SERVICE_UNAVAILABLE),
    (OutcomeUnknown, status.HTTP_502_BAD_GATEWAY),
    (UnexpectedResponse, status.HTTP_502_BAD_GATEWAY),
    (SessionEnded, status.HTTP_409_CONFLICT),
    (SecretUnreadable, status.HTTP_409_CONFLICT),
    (HeldBack, status.HTTP_409_CONFLICT),
    (NotSupported, status.HTTP_422_UNPROCESSABLE_ENTITY),
    (RequestRefused, status.HTTP_422_UNPROCESSABLE_ENTITY),
)
REFUSAL_STATUSES = {
    "state_of_another_user": status.HTTP_403_FORBIDDEN,
    "broker_app_missing": status.HTTP_409_CONFLICT,
    "token_refresh_failed": status.HTTP_409_CONFLICT,
    "renewal_under_way": status.HTTP_409_CONFLICT,
    "connection_disconnected": status.HTTP_409_CONFLICT,
    "account_closed": status.HTTP_409_CONFLICT,
    "last_administrator": status.HTTP_409_CONFLICT,
    "account_inactive": status.HTTP_409_CONFLICT,
    "account_mismatch": status.HTTP_502_BAD_GATEWAY,
}


# What the house stands on is away for a moment, as when it restarts. (Neither psycopg nor its pool says more.)
AWAY = (OperationalError, InterfaceError, RedisError)
COME_BACK_SECONDS = "5"
NOT_READY = ("not_ready", "A part of this installation is restarting.", "Try again in a few seconds.")


class BodyTooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "body_too_large"


# The framework's own refusals: code and remedy.
REMEDIES: dict[type[exceptions.APIException], tuple[str, str]] = {
    exceptions.ValidationError: ("invalid_input", "Correct the fields named in `details`."),
    exceptions.ParseError: ("invalid_json", "Send a JSON object."),
    exceptions.NotAuthenticated: ("not_authenticated", "Sign in first."),
    exceptions.AuthenticationFailed: ("not_authenticated", "Sign in again."),
    exceptions.PermissionDenied: ("permission_denied", "Use an account whose role is TRADER."),
    StepUpRequired: ("step_up_required", "Open the page in `details.url`, show that it is you, and ask again."),
    exceptions.NotFound: ("not_found", "Check the address and the id."),
    exceptions.MethodNotAllowed: ("method_not_allowed", "See the API documentation at /api/docs."),
    exceptions.NotAcceptable: ("not_acceptable", "Ask for application/json."),
    BodyTooLarge: ("body_too_large", "Send less."),
    exceptions.UnsupportedMediaType: ("unsupported_media_type", "Send application/json."),
    exceptions.Throttled: ("throttled", "Wait as long as Retry-After says."),
}


class SessionLogin(SessionAuthentication):
    """The browser's session. Naming a scheme makes "not signed in" a 401 and not a 403."""

    def authenticate_header(self, request: Any) -> str:
        return "Session"

    def enforce_csrf(self, request: Any) -> None:
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied as refusal:
            raise CsrfFailed from refusal


class CsrfFailed(exceptions.PermissionDenied):
    default_detail = "The CSRF token is missing or wrong."
    default_code = "csrf_failed"


class SessionLoginScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = SessionLogin
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class JSONRenderer(BaseRenderer):
    """JSON by msgspec: Decimals become strings. (The framework's own renderer would write some of them as floats.)"""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else msgspec.json.encode(data, enc_hook=str)


class JSONParser(parsers.JSONParser):
    """JSON in. What is nested too deep to be read is refused like what is no JSON."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError:
            raise exceptions.ParseError("JSON parse error - nested too deep") from None


class ErrorDetail(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable: programs may decide on it.")
    message = serializers.CharField(help_text="What happened.")
    remedy = serializers.CharField(help_text="What to do about it.")
    details = serializers.JSONField(allow_null=True, help_text="Fields concerned, or the broker's own words.")


class ErrorAnswer(serializers.Serializer[Any]):
    """The one shape of every error."""

    error = ErrorDetail()


def error_body(code: str, message: str, remedy: str, details: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "remedy": remedy, "details": details}}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what a view raised into the error shape; None (a 500) for what nobody foresaw."""
    if isinstance(error, BrokerError):
        return _broker_error(error)
    if isinstance(error, ConnectRefused):
        http_status = REFUSAL_STATUSES.get(error.code, status.HTTP_400_BAD_REQUEST)
        return Response(error_body(error.code, error.message, error.remedy), http_status)
    if isinstance(error, UnsupportedBroker):
        body = error_body(
            "unsupported_broker", "There is no such broker here.", "See GET /api/v1/brokers for the list."
        )
        return Response(body, status.HTTP_400_BAD_REQUEST)
    if isinstance(error, NoBrokerConnections):
        body = error_body("no_broker_connections", "No broker is connected yet.", "Connect a broker first.")
        return Response(body, status.HTTP_404_NOT_FOUND)
    if isinstance(error, AWAY):
        logger.error("The database or Redis is away: %s", type(error).__name__)
        return Response(
            error_body(*NOT_READY), status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": COME_BACK_SECONDS}
        )
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, RequestDataTooBig):
        error = BodyTooLarge()
    if isinstance(error, exceptions.APIException):
        return _api_error(error)
    return None


def _broker_error(error: BrokerError) -> Response:
    http_status = next((http for kind, http in BROKER_STATUSES if isinstance(error, kind)), 502)
    details = {"broker_code": error.vendor_code, "broker_reason": error.reason}
    response = Response(error_body(error.code, error.message, error.user_action, details), http_status)
    if isinstance(error, RateLimited) and error.retry_after is not None:
        response["Retry-After"] = str(int(error.retry_after) + 1)
    return response


def _api_error(error: exceptions.APIException) -> Response:
    own = getattr(error, "remedy", "See the API documentation at /api/docs.")
    code, remedy = REMEDIES.get(type(error), (error.default_code, own))
    if isinstance(error, CsrfFailed):
        remedy = "Send the value of the csrftoken cookie in the X-CSRFToken header."
    if isinstance(error, exceptions.ValidationError):
        body = error_body(code, "Some fields are missing or wrong.", remedy, error.detail)
    else:
        body = error_body(code, str(error.detail), remedy, getattr(error, "where", None))
    headers = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return Response(body, error.status_code, headers=headers)


def server_error(error: BaseException | None) -> JsonResponse:
    """The API's own 500, for what nobody foresaw; 503 for what failed before a view, because the database is away."""
    if isinstance(error, AWAY):
        return JsonResponse(error_body(*NOT_READY), status=503, headers={"Retry-After": COME_BACK_SECONDS})
    return JsonResponse(
        error_body("server_error", "Something failed on our side.", "Try again in a minute."), status=500
    )


def unknown_route(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
    """The API's own 404, for addresses under /api/ that do not exist."""
    return JsonResponse(error_body("not_found", "There is no such address.", "See /api/docs."), status=404)
