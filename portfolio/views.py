"""The merged book over HTTP: JSON that was rendered once, for everybody who asks."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from portfolio import services
from portfolio.domain import ConsolidatedPortfolio
from portfolio.presentation import schema

STALE_CHOICES = ("include", "exclude")


class ConsolidatedView(APIView):
    @extend_schema(
        summary="One portfolio over all connected brokers",
        description="Never older than a few seconds. A broker that does not answer is served from its last good "
        "answer, marked stale (`include`, the default), or left out (`exclude`); `complete` and `sources` say which.",
        parameters=[OpenApiParameter("stale", enum=STALE_CHOICES, default="include")],
        responses={
            200: OpenApiResponse(response=schema(ConsolidatedPortfolio)),
            404: OpenApiResponse(description="no_broker_connections"),
        },
    )
    def get(self, request: Request) -> HttpResponse | Response:
        choice = request.query_params.get("stale", "include")
        if choice not in STALE_CHOICES:
            raise serializers.ValidationError({"stale": [f"Must be one of: {', '.join(STALE_CHOICES)}."]})
        rendered = services.consolidated(trader(request), now=timezone.now())
        return HttpResponse(getattr(rendered, choice), content_type="application/json")
