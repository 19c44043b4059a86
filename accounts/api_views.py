"""The API's front door: logins for tokens, personal tokens, tickets. Views parse, make one call, and answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from allauth.account.adapter import get_adapter
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import api_login, api_sessions, leaving, personal_tokens, tickets
from accounts.access_tokens import TokenExpired
from accounts.api_serializers import (
    LoginRequest,
    PairAnswer,
    RefreshRequest,
    SessionAnswer,
    StepUpRequest,
    TicketAnswer,
    TokenAnswer,
    TokenMade,
    TokenRequest,
)
from accounts.bearer import SCHEME, count_wrong
from accounts.credentials import Credential, Kind, Scope
from accounts.models import ApiSession, PersonalToken
from accounts.permissions import IsTrader, trader
from accounts.refusals import BrowserNeeded, SessionNeeded, TokenNeeded, TokenRefused, WrongLogin
from accounts.step_up import FreshlyProven

NOT_KEPT = {"Cache-Control": "no-store"}


class Outside(APIView):
    """For who is not in yet: no cookie and no header is looked at."""

    authentication_classes = ()
    permission_classes = [AllowAny]

    def get_authenticate_header(self, request: Request) -> str:
        return SCHEME


class LoginView(Outside):
    @extend_schema(
        summary="Log in for tokens",
        description="Without `code`, an account with a second factor answers 401 `factor_required`.",
        request=LoginRequest,
        responses={
            200: PairAnswer,
            401: OpenApiResponse(description="login_failed, factor_required, wrong_code"),
            429: OpenApiResponse(description="throttled"),
        },
    )
    def post(self, request: Request) -> Response:
        body = LoginRequest(data=request.data)
        body.is_valid(raise_exception=True)
        typed = body.validated_data
        user = api_login.by_password(request._request, login=typed["login"], password=typed["password"])
        api_login.by_factor(user, typed["code"])
        if not user.is_trader:
            raise WrongLogin
        pair = api_sessions.begin(
            user=user,
            scope=Scope(typed["scope"]),
            name=typed["name"],
            address=get_adapter().get_client_ip(request._request),
            now=timezone.now(),
        )
        leaving.tell_of_new_place(request._request, user)
        return Response(PairAnswer(pair).data, headers=NOT_KEPT)


class RefreshView(Outside):
    @extend_schema(
        summary="Exchange a refresh token for another pair",
        description="A refresh token works once. Shown again later, it ends its session.",
        request=RefreshRequest,
        responses={
            200: PairAnswer,
            401: OpenApiResponse(description="token_refused, token_expired, token_reused"),
            409: OpenApiResponse(description="refresh_under_way"),
            429: OpenApiResponse(description="throttled"),
        },
    )
    def post(self, request: Request) -> Response:
        body = RefreshRequest(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            pair = api_sessions.refresh(body.validated_data["refresh_token"], now=timezone.now())
        except TokenExpired:
            raise
        except TokenRefused:
            count_wrong(request)
            raise
        return Response(PairAnswer(pair).data, headers=NOT_KEPT)


class LogoutView(APIView):
    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.READ}

    @extend_schema(summary="End the session of the access token that asks", request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        shown = _of_session(request)
        api_sessions.end(list(ApiSession.objects.select_related("user").filter(pk=shown.id)))
        return Response(status=status.HTTP_204_NO_CONTENT)


class StepUpView(APIView):
    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.READ}

    @extend_schema(
        summary="Show again that it is you",
        description="For calls that answer 403 `step_up_required`: a code, or the password where there is no second "
        "factor.",
        request=StepUpRequest,
        responses={204: None, 401: OpenApiResponse(description="login_failed, factor_required, wrong_code")},
    )
    def post(self, request: Request) -> Response:
        shown = _of_session(request)
        body = StepUpRequest(data=request.data)
        body.is_valid(raise_exception=True)
        api_login.again(request._request, trader(request), **body.validated_data)
        api_sessions.prove(shown.id, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionsView(APIView):
    @extend_schema(summary="My API clients that are logged in", responses=SessionAnswer(many=True))
    def get(self, request: Request) -> Response:
        return Response(SessionAnswer(api_sessions.of_user(trader(request), now=timezone.now()), many=True).data)

    @extend_schema(
        operation_id="auth_sessions_end_all",
        summary="Sign out everywhere: API clients and browsers",
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        leaving.leave_everywhere(trader(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionView(APIView):
    @extend_schema(summary="End one of them", responses={204: None})
    def delete(self, request: Request, id: Any) -> Response:
        api_sessions.end([get_object_or_404(ApiSession.objects.select_related("user"), pk=id, user=trader(request))])
        return Response(status=status.HTTP_204_NO_CONTENT)


class FromTheBrowser(BasePermission):
    """Raises BrowserNeeded: a token that could make tokens would outlive its own end."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, Credential):
            raise BrowserNeeded
        return True


class TokensView(APIView):
    def get_permissions(self) -> list[Any]:
        return [IsTrader(), *([FromTheBrowser(), FreshlyProven()] if self.request.method == "POST" else [])]

    @extend_schema(summary="My personal tokens", responses=TokenAnswer(many=True))
    def get(self, request: Request) -> Response:
        return Response(TokenAnswer(personal_tokens.of_user(trader(request), now=timezone.now()), many=True).data)

    @extend_schema(
        summary="Make a personal token",
        description="By the browser's session and a fresh proof only.",
        request=TokenRequest,
        responses={201: TokenMade, 403: OpenApiResponse(description="browser_needed, step_up_required")},
    )
    def post(self, request: Request) -> Response:
        body = TokenRequest(data=request.data)
        body.is_valid(raise_exception=True)
        made, token = personal_tokens.make(
            user=trader(request),
            name=body.validated_data["name"],
            scope=Scope(body.validated_data["scope"]),
            lifetime=timedelta(days=body.validated_data["days"]),
            now=timezone.now(),
        )
        answer = TokenMade(made, context={"token": token}).data
        return Response(answer, status.HTTP_201_CREATED, headers=NOT_KEPT)


class TokenView(APIView):
    @extend_schema(summary="Revoke a personal token", responses={204: None})
    def delete(self, request: Request, id: int) -> Response:
        found = PersonalToken.objects.select_related("user")
        personal_tokens.revoke(get_object_or_404(found, pk=id, user=trader(request)))
        return Response(status=status.HTTP_204_NO_CONTENT)


class TicketView(APIView):
    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.READ}

    @extend_schema(
        summary="A ticket for one WebSocket",
        description="For `/ws/api/portfolio/`, as `Sec-WebSocket-Protocol: tm.v1, ticket.<ticket>`.",
        request=None,
        responses={201: TicketAnswer, 403: OpenApiResponse(description="token_needed")},
    )
    def post(self, request: Request) -> Response:
        if not isinstance(request.auth, Credential):
            raise TokenNeeded
        ticket = tickets.make(trader(request), request.auth)
        answer = TicketAnswer({"ticket": ticket, "expires_in": tickets.LIFETIME_SECONDS}).data
        return Response(answer, status.HTTP_201_CREATED, headers=NOT_KEPT)


def _of_session(request: Request) -> Credential:
    shown = request.auth
    if not isinstance(shown, Credential) or shown.kind is not Kind.SESSION:
        raise SessionNeeded
    return shown
