"""What the API's front door says no with: each a stable code, words and a remedy. See `trademaster.api`."""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions, status


class WrongLogin(exceptions.AuthenticationFailed):
    default_detail = "User and password do not fit together."
    default_code = "login_failed"
    remedy = "Check them, and try again."


class FactorRequired(exceptions.AuthenticationFailed):
    default_detail = "This account asks for a second factor."
    default_code = "factor_required"
    remedy = "Send the same again with `code`: of the authenticator app, or a recovery code."

    def __init__(self, methods: list[str]) -> None:
        super().__init__()
        self.where: dict[str, Any] = {"methods": methods}
        if not methods:
            self.remedy = "A passkey works in a browser only: sign in there, and make a personal token."


class WrongCode(exceptions.AuthenticationFailed):
    default_detail = "That code is wrong, or was used already."
    default_code = "wrong_code"
    remedy = "Wait for the next code, and send it."


class TooManyTries(exceptions.Throttled):
    default_detail = "There were too many tries."
    extra_detail_singular = extra_detail_plural = ""
    default_code = "throttled"
    remedy = "Wait as long as Retry-After says, or some minutes where it does not."


class TokenRefused(exceptions.AuthenticationFailed):
    """One answer for every reason: a forger learns nothing from it."""

    default_detail = "This token is not good, or no longer."
    default_code = "token_refused"
    remedy = "Use a new one: refresh, log in again, or make another personal token."


class TokenReused(exceptions.AuthenticationFailed):
    default_detail = "This refresh token was used before. Its session has been ended, because two seem to have it."
    default_code = "token_reused"
    remedy = "Log in again. If that was not you, change your password."


class RefreshUnderWay(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "This refresh token was used a moment ago."
    default_code = "refresh_under_way"
    remedy = "Use the tokens that the other request was given. If none came, log in again."


class ScopeMissing(exceptions.PermissionDenied):
    default_detail = "This token may look and not change anything."
    default_code = "scope_missing"
    remedy = "Use a token with the scope `trade`."


class BrowserNeeded(exceptions.PermissionDenied):
    default_detail = "Personal tokens are made in the browser only, never with another token."
    default_code = "browser_needed"
    remedy = "Sign in, open Your account, API access."


class TokenNeeded(exceptions.PermissionDenied):
    default_detail = "This is for API clients."
    default_code = "token_needed"
    remedy = "Send an access token or a personal token: Authorization: Bearer …"


class SessionNeeded(exceptions.PermissionDenied):
    default_detail = "This is for a client that has logged in."
    default_code = "api_session_needed"
    remedy = "Use the access token of a login. A personal token ends by DELETE auth/tokens/{id}."


class TooManyTokens(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There are as many personal tokens as one person may have."
    default_code = "too_many_tokens"
    remedy = "Revoke one first."


class TooManyRoutes(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There are as many ways for alerts as one person may have."
    default_code = "too_many_alert_routes"
    remedy = "Remove one first."


class RouteIsKept(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "Alerts by e-mail can be turned off, and not removed."
    default_code = "alert_route_kept"
    remedy = "Send `is_enabled` false instead."


class RouteOff(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "This way for alerts is turned off."
    default_code = "alert_route_off"
    remedy = "Turn it on first."


class AddressUnconfirmed(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There is no confirmed e-mail address on this account."
    default_code = "email_not_confirmed"
    remedy = "Open Your account, E-mail, and follow the link in the letter."
