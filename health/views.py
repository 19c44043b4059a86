"""How the brokers are, for traders and for everybody; and, for orchestrators, whether this process can work."""

from __future__ import annotations

from uuid import UUID

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from brokers.models import BrokerConnection
from brokers.shared import redis
from health import circuits, reports, timeline
from health.serializers import CardAnswer, CardRequest, HealthAnswer, TimelineAnswer, TimelineRequest


class BrokersView(APIView):
    @extend_schema(summary="How every broker is, and the trader's own connections", responses=HealthAnswer)
    def get(self, request: Request) -> Response:
        now = timezone.now()
        return Response(reports.brokers_of(trader(request), now=now, circuits=circuits.current(now)))


class CardView(APIView):
    @extend_schema(summary="A broker's report card", parameters=[CardRequest], responses=CardAnswer)
    def get(self, request: Request, broker_type: str) -> Response:
        asked = CardRequest(data=request.query_params)
        asked.is_valid(raise_exception=True)
        return Response(reports.card(broker_type, days=asked.validated_data["days"], now=timezone.now()))


class TimelineView(APIView):
    @extend_schema(summary="What happened to a connection", parameters=[TimelineRequest], responses=TimelineAnswer)
    def get(self, request: Request, id: UUID) -> Response:
        asked = TimelineRequest(data=request.query_params)
        asked.is_valid(raise_exception=True)
        row = get_object_or_404(BrokerConnection.objects.without_secrets(), user=trader(request), pk=id)
        before = asked.validated_data.get("before") or timezone.now()
        return Response(timeline.page_of(row, before=before, limit=asked.validated_data["limit"]))


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """The status page, for everybody; a signed-in trader sees the report cards as well."""
    page = reports.page(timezone.now())
    return render(request, "status.html", {**page, "cards": getattr(request.user, "is_trader", False)})


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is asked."""
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """The database and Redis answer too; 503 names what does not."""
    parts = {"database": _database_answers(), "redis": _redis_answers()}
    well = all(parts.values())
    words = {name: "ok" if answers else "away" for name, answers in parts.items()}
    return JsonResponse({"status": "ready" if well else "not ready", **words}, status=200 if well else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis_answers() -> bool:
    try:
        return bool(redis().ping())
    except RedisError:
        return False
