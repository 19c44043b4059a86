"""`GET /api/v1/portfolio/silences`."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from brokers.serializers import Instant
from portfolio.silences import silences_of


class SilenceAnswer(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    broker_type = serializers.CharField()
    display_name = serializers.CharField()
    status = serializers.CharField(help_text="What the connection was at its end, or is.")
    begun_at = Instant(help_text="Midnight (IST) where it began before.")
    until = Instant(allow_null=True, help_text="Null: it lasts.")


class SilencesAnswer(serializers.Serializer[Any]):
    silences = SilenceAnswer(many=True)


class SilencesView(APIView):
    @extend_schema(
        operation_id="portfolio_silences",
        summary="When my accounts did not answer today",
        description="By when they began, since midnight, IST. Meanwhile their shares stood in the totals with their "
        "last good answer, or were left out.",
        responses=SilencesAnswer,
    )
    def get(self, request: Request) -> Response:
        found = silences_of(trader(request), timezone.now())
        return Response(SilencesAnswer({"silences": found}).data)
