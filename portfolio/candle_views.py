"""Daily prices over HTTP, of what the asker's own accounts hold: here, as only the book knows what that is."""

from __future__ import annotations

from datetime import date, timedelta

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from market.histories import no_page, page
from market.models import Instrument
from market.serializers import CandlesAnswer, CandlesQuery
from portfolio.risk_history import may_see

A_YEAR = timedelta(days=365)
EARLIEST = date.min + A_YEAR


class CandlesView(APIView):
    @extend_schema(
        operation_id="market_candles",
        summary="Daily prices",
        description="Whole days, as the brokers told and adjusted them, oldest first: of what the user's own accounts "
        "hold, of what its derivatives hang on, and of the indices. Of anything else nothing is there.",
        parameters=[CandlesQuery],
        responses={
            200: CandlesAnswer,
            400: OpenApiResponse(description="invalid_input"),
            404: OpenApiResponse(description="not_found"),
        },
    )
    def get(self, request: Request) -> Response:
        query = CandlesQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked, now = query.validated_data, timezone.now()
        instrument = get_object_or_404(Instrument, pk=asked["instrument"])
        last = asked.get("to", timezone.localdate(now))
        first = asked.get("from", max(last, EARLIEST) - A_YEAR)
        is_theirs = may_see(trader(request), instrument, now=now)
        found = page(instrument, first=first, last=last, limit=asked["limit"]) if is_theirs else no_page(instrument)
        return Response(CandlesAnswer(found).data)
