"""By which ways alerts go out, over HTTP: the owner's choice."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import alerts
from accounts.alert_models import CHOICES, AlertDelivery, AlertRoute, Way
from accounts.permissions import IsTrader, trader
from accounts.step_up import FreshlyProven
from accounts.throttles import PerUser
from brokers import alert_sending
from brokers.serializers import Instant

MOST_SHOWN = 100


class AlertThrottle(PerUser):
    scope = "account"


class KindsField(serializers.MultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[(kind.value, kind.label) for kind in CHOICES], **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:  # type: ignore[override]
        return sorted(super().to_internal_value(data))

    def to_representation(self, value: Any) -> list[str]:  # type: ignore[override]
        return sorted(value)


NAMELESS: dict[str, Any] = {"blank": "Give it a name.", "max_length": "Give it a name of {max_length} letters at most."}


class RouteChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=60, required=False, error_messages=NAMELESS)
    is_enabled = serializers.BooleanField(required=False)
    kinds = KindsField(required=False, help_text="What is told by this way.")
    quiet_from = serializers.TimeField(
        required=False,
        allow_null=True,
        help_text="IST. From then until `quiet_until` nothing comes but what is urgent.",
    )
    quiet_until = serializers.TimeField(required=False, allow_null=True)
    paused_until = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Until then nothing comes at all; what is older than a day never."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ends = [attrs.get(name, getattr(self.instance, name, None)) for name in ("quiet_from", "quiet_until")]
        if (ends[0] is None) != (ends[1] is None):
            raise serializers.ValidationError({"quiet_until": ["Quiet hours have a beginning and an end, or neither."]})
        return attrs


class RouteRequest(RouteChange):
    name = serializers.CharField(max_length=60, error_messages=NAMELESS)
    url = serializers.CharField(
        max_length=500,
        help_text="https, on the internet. It is not shown again.",
        error_messages={"blank": "Enter an address, such as https://example.com/hook."},
    )


class RouteAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    way = serializers.ChoiceField(choices=Way.choices)
    name = serializers.CharField()
    leads_to = serializers.SerializerMethodField(
        help_text="The confirmed address, or the host of the webhook; or null."
    )
    is_enabled = serializers.BooleanField()
    kinds = KindsField()
    quiet_from = serializers.TimeField(allow_null=True)
    quiet_until = serializers.TimeField(allow_null=True)
    paused_until = Instant(allow_null=True)
    failures = serializers.IntegerField(help_text="In a row.")
    muted_until = Instant(allow_null=True, help_text="After too many failures only what is urgent is tried until then.")
    last_sent_at = Instant(allow_null=True)
    last_error = serializers.SerializerMethodField(help_text="The code of the last failure, where nothing went since.")

    def get_leads_to(self, route: AlertRoute) -> str | None:
        if route.way == Way.EMAIL:
            return alerts.confirmed_address(route.user)
        return str(route.webhook.host)

    def get_last_error(self, route: AlertRoute) -> str | None:
        return route.last_error or None


class RouteMade(RouteAnswer):
    secret = serializers.SerializerMethodField(help_text="Signs what is sent there. It is never shown again.")

    def get_secret(self, route: AlertRoute) -> str:
        return str(self.context["secret"].reveal())


class DeliveryAnswer(serializers.Serializer[Any]):
    event_id = serializers.UUIDField()
    route_id = serializers.UUIDField()
    kind = serializers.CharField()
    subject = serializers.CharField(source="subject_key")
    title = serializers.CharField()
    happened_at = Instant()
    state = serializers.CharField()
    attempts = serializers.IntegerField()
    sent_at = Instant(allow_null=True)
    next_due_at = Instant(allow_null=True, help_text="Of what waits.")
    last_error = serializers.CharField(allow_null=True)

    def to_representation(self, delivery: AlertDelivery) -> dict[str, Any]:
        told: dict[str, Any] = super().to_representation(delivery)
        is_waiting = delivery.state == "WAITING"
        return told | {
            "next_due_at": told["next_due_at"] if is_waiting else None,
            "last_error": told["last_error"] or None,
        }


def _route(request: Request, id: UUID) -> AlertRoute:
    return get_object_or_404(AlertRoute.objects.select_related("user", "webhook"), pk=id, user=trader(request))


class RoutesView(APIView):
    def get_permissions(self) -> list[Any]:
        return [IsTrader(), *([FreshlyProven()] if self.request.method == "POST" else [])]

    @extend_schema(
        operation_id="account_alerts_routes_list",
        summary="By which ways I am told of what cannot wait",
        responses=RouteAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        alerts.routes_of(trader(request), now=timezone.now())
        rows = AlertRoute.objects.filter(user=trader(request)).select_related("user", "webhook")
        return Response(RouteAnswer(rows, many=True).data)

    @extend_schema(
        summary="Have alerts sent to an address of mine",
        description="A signed message for each: see docs/api.md. Needs a fresh proof: it leads out of the house.",
        request=RouteRequest,
        responses={201: RouteMade, 403: OpenApiResponse(description="step_up_required")},
    )
    def post(self, request: Request) -> Response:
        body = RouteRequest(data=request.data)
        body.is_valid(raise_exception=True)
        route, secret = alert_sending.add_webhook(user=trader(request), now=timezone.now(), **body.validated_data)
        answer = RouteMade(route, context={"secret": secret}).data
        return Response(answer, status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


class RouteView(APIView):
    @extend_schema(
        summary="Change a way for alerts, or pause it",
        description="Turning it off, pausing it, or dropping an urgent kind needs a fresh proof.",
        request=RouteChange,
        responses={200: RouteAnswer, 403: OpenApiResponse(description="step_up_required")},
    )
    def patch(self, request: Request, id: UUID) -> Response:
        route = _route(request, id)
        body = RouteChange(route, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        if alerts.silences(route, body.validated_data, now=timezone.now()):
            FreshlyProven().has_permission(request, self)
        alert_sending.change(route, **body.validated_data)
        return Response(RouteAnswer(route).data)

    @extend_schema(
        summary="Remove a way for alerts",
        description="Needs a fresh proof.",
        responses={204: None, 403: OpenApiResponse(description="step_up_required")},
    )
    def delete(self, request: Request, id: UUID) -> Response:
        route = _route(request, id)
        FreshlyProven().has_permission(request, self)
        alert_sending.remove(route)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RouteTestView(APIView):
    throttle_classes = [AlertThrottle]

    @extend_schema(
        summary="Send a test this way",
        request=None,
        responses={202: DeliveryAnswer, 409: OpenApiResponse(description="alert_route_off, email_not_confirmed")},
    )
    def post(self, request: Request, id: UUID) -> Response:
        delivery = alerts.test(_route(request, id), now=timezone.now())
        return Response(DeliveryAnswer(delivery).data, status.HTTP_202_ACCEPTED)


class DeliveriesView(APIView):
    @extend_schema(summary="What was sent to me, newest first", responses=DeliveryAnswer(many=True))
    def get(self, request: Request) -> Response:
        rows = AlertDelivery.objects.filter(route__user=trader(request))[:MOST_SHOWN]
        return Response(DeliveryAnswer(rows, many=True).data)
