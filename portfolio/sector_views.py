"""Which sector each share of the book is in: for tables that filter and sum by it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from market.sectors import sector_of
from portfolio import services

# Only what is held is read of the book, and that is the same however old the answers are.
ANY_AGE = timedelta(0)


class SectorsAnswer(serializers.Serializer[Any]):
    sectors = serializers.DictField(
        child=serializers.CharField(allow_null=True), help_text="ISIN → sector; null: nobody told it."
    )


class SectorsView(APIView):
    @extend_schema(
        operation_id="portfolio_sectors",
        summary="The sector of each share that is held",
        description="By ISIN, of what the user's own accounts hold; null where no list of constituents names it. No "
        "broker is asked. It changes seldom: ask once for each ISIN that is new.",
        responses={200: SectorsAnswer, 404: OpenApiResponse(description="no_broker_connections")},
    )
    def get(self, request: Request) -> Response:
        book = services.latest_book(trader(request), now=timezone.now(), recent=ANY_AGE)
        isins = {position.isin for position in book.positions if position.isin is not None}
        return Response(SectorsAnswer({"sectors": sector_of(isins)}).data)
