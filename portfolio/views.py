"""The merged book over HTTP: JSON that was rendered once, for everybody who asks."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from brokers import grants
from portfolio import services
from portfolio.domain import ConsolidatedPortfolio
from portfolio.presentation import schema

STALE_CHOICES = ("include", "exclude")


STALE = OpenApiParameter("stale", enum=STALE_CHOICES, default="include")


class ConsolidatedView(APIView):
    @extend_schema(
        summary="One portfolio over all connected brokers",
        description="Never older than a few seconds. A broker that does not answer is served from its last good "
        "answer, marked stale (`include`, the default), or left out (`exclude`); `complete` and `sources` say which.",
        parameters=[STALE],
        responses={
            200: OpenApiResponse(response=schema(ConsolidatedPortfolio)),
            404: OpenApiResponse(description="no_broker_connections"),
        },
    )
    def get(self, request: Request) -> HttpResponse | Response:
        choice = _stale(request)
        rendered = services.consolidated(trader(request), now=timezone.now())
        return HttpResponse(getattr(rendered, choice), content_type="application/json")


class SharedConnection(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    broker_type = serializers.CharField()
    broker_name = serializers.CharField()
    display_name = serializers.CharField()


class SharedAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="The grant: send it to `portfolio/shared/{id}`.")
    owner = serializers.CharField(source="owner.username")
    connections = SharedConnection(many=True)
    expires_at = serializers.DateTimeField(allow_null=True, default_timezone=UTC)


class SharedListView(APIView):
    @extend_schema(summary="What others let me look at", responses=SharedAnswer(many=True))
    def get(self, request: Request) -> Response:
        return Response(SharedAnswer(grants.received_by(trader(request), timezone.now()), many=True).data)


class SharedView(APIView):
    @extend_schema(
        summary="The portfolio of the connections that a grant opens",
        description="As `brokers/portfolio/consolidated`, over these connections of their owner's alone; to look at.",
        parameters=[STALE],
        responses={
            200: OpenApiResponse(response=schema(ConsolidatedPortfolio)),
            404: OpenApiResponse(description="not_found, or no_broker_connections"),
        },
    )
    def get(self, request: Request, id: UUID) -> HttpResponse | Response:
        choice, now = _stale(request), timezone.now()
        grant = get_object_or_404(grants.received_by(trader(request), now), pk=id)
        rendered = services.consolidated_part(grant, now=now)
        return HttpResponse(getattr(rendered, choice), content_type="application/json")


def _stale(request: Request) -> str:
    choice = request.query_params.get("stale", "include")
    if choice not in STALE_CHOICES:
        raise serializers.ValidationError({"stale": [f"Must be one of: {', '.join(STALE_CHOICES)}."]})
    return choice
