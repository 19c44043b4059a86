"""The broker API, and the page brokers send the browser back to. Views parse, make one call, and answer."""

from __future__ import annotations

from functools import partial
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsTrader, trader
from accounts.step_up import FreshlyProven
from accounts.throttles import PerUser
from brokers import (
    consents,
    grants,
    logins,
    morning,
    postbacks,
    reach,
    registry,
    services,
    sessions,
    tasks,
    trading,
    vault,
)
from brokers.errors import BrokerError
from brokers.models import BrokerConnection
from brokers.secret import Hidden, Secret
from brokers.serializers import (
    AmendRequest,
    AppAnswer,
    AppRequest,
    BrokerAnswer,
    CompleteRequest,
    ConnectionAnswer,
    ConsentQuery,
    ConsentTextAnswer,
    GrantAnswer,
    GrantRequest,
    InitiateRequest,
    LoginStartAnswer,
    MorningAnswer,
    PostbackAddressAnswer,
    PostbackAnswer,
    ReminderAnswer,
    ReminderRequest,
    ReminderSaved,
    TradingRequest,
)


def _validated(body: Serializer[Any]) -> dict[str, Any]:
    """What a body says that bears secrets. A serializer shows all its data in an error report: none is left about."""
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _taken(request: HttpRequest) -> dict[str, Hidden]:
    """The parameters of the address, taken off the request: it writes its whole address into every error report.

    Some brokers repeat a parameter: the first is meant.
    """
    parameters = {name: Hidden(values[0]) for name, values in request.GET.lists() if values}
    request.GET = QueryDict()
    request.META["QUERY_STRING"] = ""
    return parameters


class ConnectThrottle(PerUser):
    scope = "connect"


class BrokerList(APIView):
    @extend_schema(summary="Brokers and what they can do", responses=BrokerAnswer(many=True))
    def get(self, request: Request) -> Response:
        configured = set(trader(request).broker_apps.values_list("broker_type", flat=True))
        return Response([services.described(broker, configured) for broker in registry.brokers()])


class AppView(APIView):
    """The trader's own API app at a broker. Key and secret go in and never come out."""

    permission_classes = [IsTrader, FreshlyProven]

    @extend_schema(summary="Store an API key and secret", request=AppRequest, responses=AppAnswer)
    def put(self, request: Request, broker_type: str) -> Response:
        fields = _validated(AppRequest(data=request.data, broker_type=broker_type.lower()))
        app = services.store_app(user=trader(request), broker_type=broker_type.lower(), fields=fields)
        return Response(AppAnswer(app).data)

    @extend_schema(summary="Forget an API key and secret", responses={204: None})
    def delete(self, request: Request, broker_type: str) -> Response:
        services.forget_app(user=trader(request), broker_type=broker_type.lower())
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConnectView(viewsets.ViewSet):
    """A login at a broker, in two steps that are the same for every broker."""

    throttle_classes = [ConnectThrottle]

    @extend_schema(summary="Begin a broker login", request=InitiateRequest, responses=LoginStartAnswer)
    @action(detail=False, methods=["post"])
    def initiate(self, request: Request) -> Response:
        body = InitiateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        broker_type = body.validated_data["broker_type"]
        start = logins.initiate(
            user=trader(request),
            broker_type=broker_type,
            redirect_uri=body.validated_data.get("redirect_uri") or reach.own_callback(broker_type),
            method=body.validated_data.get("method"),
            return_to=body.validated_data["return_to"],
            connection_id=body.validated_data.get("connection_id"),
            consent=body.validated_data.get("consent"),
            now=timezone.now(),
        )
        spec = registry.load(broker_type).spec
        if spec.callback is not None and spec.callback.may_drop_state:
            request.session[_begun(broker_type)] = vault.encrypt(Secret(start.state), _context(request, broker_type))
        return Response(LoginStartAnswer(start).data)

    @extend_schema(summary="Complete a broker login", request=CompleteRequest, responses=ConnectionAnswer)
    @action(detail=False, methods=["post"])
    def complete(self, request: Request) -> Response:
        fields = _validated(CompleteRequest(data=request.data))
        fields.pop("code", None)
        connection = logins.complete(user=trader(request), now=timezone.now(), **fields)
        return Response(ConnectionAnswer(connection).data)


class ConsentView(APIView):
    @extend_schema(
        summary="What a login agrees to, or turning trading on", parameters=[ConsentQuery], responses=ConsentTextAnswer
    )
    def get(self, request: Request) -> Response:
        query = ConsentQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(ConsentTextAnswer(consents.current(query.validated_data["scope"])).data)


class GrantThrottle(ConnectThrottle):
    """Nobody should try names by the thousand, though no answer tells which of them exist."""


class GrantsView(APIView):
    """Giving wants a fresh proof, as what shows an account to somebody else; taking back does not."""

    def get_permissions(self) -> Any:
        return [IsTrader(), *([FreshlyProven()] if self.request.method == "POST" else [])]

    def get_throttles(self) -> Any:
        return [GrantThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(summary="Who may look at my connections", responses=GrantAnswer(many=True))
    def get(self, request: Request) -> Response:
        return Response(GrantAnswer(grants.standing_of(trader(request), timezone.now()), many=True).data)

    @extend_schema(
        summary="Let another person look at some connections",
        description="The answer is the same whether that person exists or not. They see the merged portfolio of these "
        "connections, and can do nothing with it.",
        request=GrantRequest,
        responses={201: GrantAnswer},
    )
    def post(self, request: Request) -> Response:
        body = GrantRequest(data=request.data)
        body.is_valid(raise_exception=True)
        grant = grants.give(
            owner=trader(request),
            named=body.validated_data["to"],
            connection_ids=body.validated_data["connections"],
            expires_at=body.validated_data["expires_at"],
            now=timezone.now(),
        )
        return Response(GrantAnswer(grant).data, status.HTTP_201_CREATED)


class GrantView(APIView):
    @extend_schema(summary="Take a grant back", responses={204: None})
    def delete(self, request: Request, id: UUID) -> Response:
        now = timezone.now()
        grants.revoke(get_object_or_404(grants.standing_of(trader(request), now), pk=id), now=now)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MorningView(APIView):
    @extend_schema(summary="The morning's logins: who needs one, in what order", responses=MorningAnswer)
    def get(self, request: Request) -> Response:
        return Response(MorningAnswer(morning.queue(trader(request), timezone.now())).data)


class ReminderView(APIView):
    """Who wants to be told at 08:45 IST which brokers need a login. The webhook's secret comes out once, when made."""

    @extend_schema(summary="How I am reminded of logins", responses=ReminderAnswer)
    def get(self, request: Request) -> Response:
        return Response(ReminderAnswer(morning.reminder_of(trader(request))).data)

    @extend_schema(summary="Choose how to be reminded", request=ReminderRequest, responses=ReminderSaved)
    def put(self, request: Request) -> Response:
        body = ReminderRequest(data=request.data)
        body.is_valid(raise_exception=True)
        reminder, new_secret = morning.set_reminder(user=trader(request), **body.validated_data)
        answer = Response(ReminderSaved(reminder, context={"new_secret": new_secret}).data)
        answer["Cache-Control"] = "no-store"
        return answer


class ConnectionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[BrokerConnection]):
    serializer_class = ConnectionAnswer
    queryset = BrokerConnection.objects.none()
    lookup_value_converter = "uuid"

    def get_permissions(self) -> list[Any]:
        return [IsTrader(), *([FreshlyProven()] if self.action in ("destroy", "start_trading") else [])]

    def get_queryset(self) -> Any:
        return BrokerConnection.objects.without_secrets().filter(user=trader(self.request))

    @extend_schema(
        summary="Rename a connection, or enter its registered IP address",
        request=AmendRequest,
        responses=ConnectionAnswer,
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        body = AmendRequest(data=request.data)
        body.is_valid(raise_exception=True)
        connection = self.get_object()
        services.amend(connection, **body.validated_data)
        return Response(ConnectionAnswer(connection).data)

    @extend_schema(summary="Disconnect: end the session, wipe the tokens, keep the history", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        services.disconnect(self.get_object(), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Renew the session without a login, where the broker offers that",
        request=None,
        responses={200: ConnectionAnswer, 409: OpenApiResponse(description="token_refresh_failed")},
    )
    @action(detail=True, methods=["post"], throttle_classes=[ConnectThrottle])
    def refresh(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = sessions.refresh_session(self.get_object(), now=timezone.now())
        return Response(ConnectionAnswer(connection).data)

    @extend_schema(
        summary="Turn trading on: from now on orders may be placed at this account",
        request=TradingRequest,
        responses=ConnectionAnswer,
    )
    @action(detail=True, methods=["post"], url_path="trading", url_name="trading")
    def start_trading(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        body = TradingRequest(data=request.data)
        body.is_valid(raise_exception=True)
        trading.enable_trading(connection, consent=body.validated_data["consent"], now=timezone.now())
        return Response(ConnectionAnswer(connection).data)

    @extend_schema(
        summary="Turn trading off: no new order; those at the broker stay", responses={200: ConnectionAnswer}
    )
    @start_trading.mapping.delete
    def stop_trading(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        trading.disable_trading(connection, now=timezone.now())
        return Response(ConnectionAnswer(connection).data)

    @extend_schema(summary="Whether the broker has an address to post news of orders to", responses=PostbackAnswer)
    @action(detail=True, methods=["get"])
    def postback(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(PostbackAnswer(postbacks.described(self.get_object())).data)

    @extend_schema(
        summary="Make a new address for that; it is shown once, and any older one is void",
        request=None,
        responses=PostbackAddressAnswer,
    )
    @postback.mapping.post
    def make_postback_address(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        address = postbacks.make_address(connection, now=timezone.now())
        answer = Response(PostbackAddressAnswer({**postbacks.described(connection), "address": address.reveal()}).data)
        answer["Cache-Control"] = "no-store"
        return answer

    @extend_schema(summary="Void that address", responses={204: None})
    @postback.mapping.delete
    def void_postback_address(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        postbacks.void_address(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


@csrf_exempt
@require_POST
def receive_postback(request: HttpRequest, secret: str) -> HttpResponse:
    """Where a broker posts news of orders; the end of the address is all that lets it in.

    Whatever comes there is answered with 200 and nothing: brokers give an address up that answers otherwise, and
    whoever tries forgeries does not learn how near they were.
    """
    inbox = postbacks.inbox_at(secret)
    if inbox is None:
        return HttpResponse(status=404)
    body = request.read(postbacks.LARGEST + 1)
    is_too_large = len(body) > postbacks.LARGEST
    headers = {name.lower(): value for name, value in request.headers.items()}
    reading = postbacks.receive(inbox, None if is_too_large else body, headers, now=timezone.now())
    if reading is not None:
        tasks.read_postbacks_at(*reading)
    return HttpResponse(status=413 if is_too_large else 200)


@never_cache
@require_GET
@login_required
def oauth_callback(request: HttpRequest, broker_type: str) -> HttpResponse:
    """Where a broker returns the trader's browser to: complete the login, then show the page it was begun on."""
    parameters = _taken(request)
    parameters.pop("method", None)
    return _complete(request, broker_type, _state_of(request, broker_type, parameters), parameters)


@never_cache
@require_http_methods(["GET", "POST"])
@sensitive_post_parameters()
@login_required
def login_form(request: HttpRequest, broker_type: str) -> HttpResponse:
    """Our own login page, for brokers without a redirect. What is typed is used once and kept nowhere."""
    try:
        spec = registry.load(broker_type).spec
    except registry.UnsupportedBroker:
        raise Http404 from None
    state = _taken(request).get("state", Hidden(""))
    if request.method == "POST":
        fields = {name: Hidden(value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"}
        return _complete(request, broker_type, state, fields)
    back_to = logins.destination(cast(User, request.user), state).page
    return render(request, "broker_login.html", {"spec": spec, "back_to": back_to, "consent": consents.current()})


def _state_of(request: HttpRequest, broker_type: str, parameters: dict[str, Hidden]) -> str:
    """The state that came back; for a broker known to lose it, the one this browser's session began the login with."""
    begun = request.session.pop(_begun(broker_type), "")
    callback = registry.load(broker_type).spec.callback if broker_type in registry.slugs() else None
    if callback is None:
        return ""
    found = parameters.pop(callback.state, "")
    if found or not begun or not callback.may_drop_state:
        return found
    try:
        return Hidden(vault.decrypt(begun, _context(request, broker_type)).reveal())
    except vault.DecryptionFailed:  # the key was taken away during this login: it is unknown, and begun again
        return ""


def _begun(broker_type: str) -> str:
    return f"login begun: {broker_type}"


def _context(request: Request | HttpRequest, broker_type: str) -> str:
    """Whose login it is: what stands in one session is worth nothing in another's."""
    return f"{_begun(broker_type)} by {request.user.pk}"


def _complete(request: HttpRequest, broker_type: str, state: str, fields: dict[str, Hidden]) -> HttpResponse:
    user = cast(User, request.user)
    back_to = logins.destination(user, state)
    refused = partial(_refused, request, REFUSED_TO[back_to.page], broker_type)
    try:
        registry.load(broker_type)  # before the state, which is of no broker we do not know
        connection = logins.complete(
            user=user, state=state, callback=fields, broker_type=broker_type, now=timezone.now()
        )
    except registry.UnsupportedBroker:
        return refused("unsupported_broker", "There is no such broker here.")
    except reach.ConnectRefused as refusal:
        return refused(refusal.code, refusal.message, refusal.remedy)
    except BrokerError as error:
        reason = f"The broker says: {error.reason}" if error.reason else ""
        return refused(error.code, error.message, reason, error.user_action)
    messages.success(request, f"{connection.display_name} is connected.")
    if back_to.expected and back_to.expected != connection:
        messages.warning(
            request,
            f"This login opened account {connection.account_id}, not {back_to.expected.account_id}. To log in to that "
            f"one, sign out at {connection.broker_name} first.",
        )
    return redirect(back_to.page)


# Where a login that was refused shows why, by the page it was begun for.
REFUSED_TO = {"dashboard": "connect", "logins": "logins"}


def _refused(request: HttpRequest, page: str, broker_type: str, code: str, *sentences: str) -> HttpResponse:
    """Back to a page of ours with the words; a broker's own often lack the full stop."""
    ended = (words if words.endswith((".", "!", "?")) else f"{words}." for words in sentences if words)
    messages.error(request, " ".join(ended))
    own = page == "connect" and broker_type in registry.slugs()
    response = redirect("connect-broker", broker_type) if own else redirect(page)
    response["Location"] += "?" + urlencode({"refused": code, "broker": broker_type})
    return response
