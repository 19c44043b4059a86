"""Limits and their breaches over HTTP. Views parse, make one call, and answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from accounts.step_up import FreshlyProven
from brokers.serializers import Instant
from portfolio import breaches, limits
from portfolio.limit_models import LimitWatch
from portfolio.risk.limits import Action, Limit, Metric, Scope, State
from portfolio.risk_models import RiskBreach, RiskLimit

MOST_SHOWN = 200


class Level(serializers.DecimalField):
    """Percent, INR, units or a ratio, by the metric: as text, without zeros at the end."""

    default_error_messages = {
        "invalid": "Enter a number, such as 12.5.",
        "min_value": "Enter a number above zero.",
        "max_digits": "Enter a smaller number.",
        "max_whole_digits": "Enter a smaller number.",
        "max_decimal_places": "Enter a number with six places behind the point at most.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=24, decimal_places=6, **kwargs)

    def to_representation(self, value: Any) -> str:
        return f"{Decimal(value).normalize():f}"


def _choices(words: Any) -> list[str]:
    return [word.value for word in words]


class LimitChange(serializers.Serializer[Any]):
    warn = Level(required=False, allow_null=True, min_value=Decimal("0.000001"), help_text="Null: no warning.")
    block = Level(required=False, allow_null=True, min_value=Decimal("0.000001"), help_text="Null: it blocks nothing.")
    action = serializers.ChoiceField(
        choices=_choices(Action), required=False, help_text="What its block level does; a warning notifies only."
    )
    is_enabled = serializers.BooleanField(required=False)
    note = serializers.CharField(max_length=200, required=False, allow_blank=True)


class LimitRequest(serializers.Serializer[Any]):
    metric = serializers.ChoiceField(choices=_choices(Metric))
    scope = serializers.ChoiceField(choices=_choices(Scope), default=Scope.GLOBAL.value)
    scope_key = serializers.CharField(
        max_length=120, required=False, allow_blank=True, default="", help_text="Empty: each of the scope by itself."
    )
    warn = Level(required=False, allow_null=True, default=None, min_value=Decimal("0.000001"))
    block = Level(required=False, allow_null=True, default=None, min_value=Decimal("0.000001"))
    action = serializers.ChoiceField(choices=_choices(Action), default=Action.NOTIFY.value)
    note = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class KeyState(serializers.Serializer[Any]):
    key = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=_choices(State))
    value = serializers.CharField(allow_null=True)
    since = serializers.DateTimeField()


class LimitAnswer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    metric = serializers.CharField()
    scope = serializers.CharField()
    scope_key = serializers.CharField(allow_blank=True)
    warn = Level(allow_null=True)
    block = Level(allow_null=True)
    action = serializers.CharField()
    is_enabled = serializers.BooleanField()
    note = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=_choices(State), help_text="Of its worst key.")
    state_since = Instant(allow_null=True)
    value = Level(allow_null=True, help_text="Of its worst key; null: not known.")
    states = serializers.SerializerMethodField(help_text="By key, those that are not OK.")
    evaluated_at = Instant(allow_null=True)
    changed_at = Instant()

    @extend_schema(responses=KeyState(many=True))
    def get_states(self, row: RiskLimit) -> list[dict[str, Any]]:
        return [{"key": key, **each} for key, each in sorted(row.states.items())]


class LimitsAnswer(serializers.Serializer[Any]):
    limits = LimitAnswer(many=True)
    looked_at = Instant(allow_null=True, help_text="When all of them were held against the book last.")
    problem = serializers.CharField(allow_null=True, help_text="The code of what kept that from being whole.")


class BreachAnswer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    limit_id = serializers.IntegerField(allow_null=True, help_text="Null: the limit was removed.")
    metric = serializers.CharField()
    scope = serializers.CharField()
    scope_key = serializers.CharField(allow_blank=True)
    level = serializers.ChoiceField(choices=_choices(State), help_text="The worst since it opened.")
    threshold = Level()
    value = Level()
    worst_value = Level()
    opened_at = Instant()
    cleared_at = Instant(allow_null=True)
    acknowledged_at = Instant(allow_null=True)
    acknowledged_by = serializers.CharField(source="acknowledged_by.username", allow_null=True, default=None)
    acknowledgement = serializers.CharField(allow_blank=True)
    alerts = serializers.IntegerField()


class BreachQuery(serializers.Serializer[Any]):
    open = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Those that stand, or not."
    )


class AcknowledgeRequest(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


def _limit(request: Request, id: int) -> RiskLimit:
    return get_object_or_404(RiskLimit.objects.select_related("user"), pk=id, user=trader(request))


def _proven(view: APIView, request: Request) -> None:
    """Raises StepUpRequired."""
    FreshlyProven().has_permission(request, view)


class LimitsView(APIView):
    @extend_schema(
        operation_id="risk_limits_list",
        summary="My limits, and how each stands",
        responses=LimitsAnswer,
    )
    def get(self, request: Request) -> Response:
        user = trader(request)
        rows = list(limits.limits_of(user, now=timezone.now()))
        watch = LimitWatch.objects.get(pk=user.pk)
        return Response(
            LimitsAnswer({"limits": rows, "looked_at": watch.looked_at, "problem": watch.problem or None}).data
        )

    @extend_schema(summary="Set a limit", request=LimitRequest, responses={201: LimitAnswer})
    def post(self, request: Request) -> Response:
        body = LimitRequest(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        limit = Limit(
            metric=Metric(asked["metric"]),
            scope=Scope(asked["scope"]),
            scope_key=asked["scope_key"],
            warn=asked["warn"],
            block=asked["block"],
            action=Action(asked["action"]),
        )
        row = limits.create(trader(request), limit, note=asked["note"], by=trader(request), now=timezone.now())
        return Response(LimitAnswer(row).data, status.HTTP_201_CREATED)


class LimitView(APIView):
    @extend_schema(summary="One limit", responses=LimitAnswer)
    def get(self, request: Request, id: int) -> Response:
        return Response(LimitAnswer(_limit(request, id)).data)

    @extend_schema(
        summary="Change a limit",
        description="Whatever lets more through than before, switching off what blocks included, needs a fresh proof.",
        request=LimitChange,
        responses={200: LimitAnswer, 403: OpenApiResponse(description="step_up_required")},
    )
    def patch(self, request: Request, id: int) -> Response:
        row = _limit(request, id)
        body = LimitChange(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        if limits.lets_more_through(row, body.validated_data):
            _proven(self, request)
        row = limits.change(row, by=trader(request), now=timezone.now(), **body.validated_data)
        return Response(LimitAnswer(row).data)

    @extend_schema(
        summary="Remove a limit",
        description="One that blocks is removed with a fresh proof alone. Its breaches stay to be read.",
        responses={204: None, 403: OpenApiResponse(description="step_up_required")},
    )
    def delete(self, request: Request, id: int) -> Response:
        row = _limit(request, id)
        if row.block is not None and row.is_enabled:
            _proven(self, request)
        limits.remove(row, by=trader(request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class BreachesView(APIView):
    @extend_schema(
        operation_id="risk_breaches_list",
        summary="Limits that were reached, newest first",
        parameters=[BreachQuery],
        responses=BreachAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        query = BreachQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        rows = RiskBreach.objects.filter(user=trader(request)).select_related("acknowledged_by")
        if (is_open := query.validated_data["open"]) is not None:
            rows = rows.filter(cleared_at__isnull=is_open)
        return Response(BreachAnswer(rows[:MOST_SHOWN], many=True).data)


class AcknowledgeView(APIView):
    @extend_schema(
        summary="Take note of a breach",
        description="It is not told again, unless it gets worse.",
        request=AcknowledgeRequest,
        responses={200: BreachAnswer, 409: OpenApiResponse(description="breach_acknowledged")},
    )
    def post(self, request: Request, id: int) -> Response:
        found = RiskBreach.objects.select_related("limit", "acknowledged_by")
        breach = get_object_or_404(found, pk=id, user=trader(request))
        body = AcknowledgeRequest(data=request.data)
        body.is_valid(raise_exception=True)
        noted = breaches.acknowledge(breach, by=trader(request), note=body.validated_data["note"], now=timezone.now())
        return Response(BreachAnswer(noted).data)
