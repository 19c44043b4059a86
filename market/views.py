"""Instruments and market hours over HTTP."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from market import services
from market.models import Instrument
from market.quotes import quotes
from market.search import LISTINGS, search
from market.serializers import (
    IndicesAnswer,
    InstrumentAnswer,
    QuotesAnswer,
    QuotesQuery,
    SearchAnswer,
    SearchQuery,
    StatusAnswer,
)
from market.strip import strip


class InstrumentSearchView(APIView):
    @extend_schema(
        operation_id="market_instruments_search",
        summary="Find instruments",
        description="The symbol itself first, then symbols that begin with `q`, then names in which every word of it "
        "begins a word; an ISIN finds its listings. Shares of NSE come first, then others, futures, options.",
        parameters=[SearchQuery],
        responses={200: SearchAnswer, 400: OpenApiResponse(description="invalid_input")},
    )
    def get(self, request: Request) -> Response:
        query = SearchQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        found = search(asked["q"], query.filters(), limit=asked["limit"], today=timezone.localdate())
        return Response(SearchAnswer({"instruments": found}).data)


class InstrumentView(APIView):
    @extend_schema(summary="One instrument", responses=InstrumentAnswer)
    def get(self, request: Request, pk: int) -> Response:
        instrument = get_object_or_404(Instrument.objects.prefetch_related(LISTINGS), pk=pk)
        return Response(InstrumentAnswer(instrument).data)


class QuotesView(APIView):
    @extend_schema(
        operation_id="market_quotes",
        summary="Last prices",
        description="For who polls: the last price of each, as the brokers' streams told it. Only what the books of "
        "open pages hold is streamed; what nobody streams is null, or marked stale. The WebSocket tells of changes.",
        parameters=[QuotesQuery],
        responses={200: QuotesAnswer, 400: OpenApiResponse(description="invalid_input")},
    )
    def get(self, request: Request) -> Response:
        query = QuotesQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(QuotesAnswer({"quotes": quotes(query.validated_data["instruments"])}).data)


class IndicesView(APIView):
    @extend_schema(
        operation_id="market_indices",
        summary="Where the indices stand, and which segments trade",
        description="NIFTY 50, NIFTY BANK, SENSEX and INDIA VIX as the brokers' streams told them, or as asked for "
        "while a page was open. What is not known is null, with a reason. The WebSocket's price topic tells of "
        "changes, by `instrument`.",
        responses=IndicesAnswer,
    )
    def get(self, request: Request) -> Response:
        return Response(IndicesAnswer(strip(now=timezone.now())).data)


class MarketStatusView(APIView):
    @extend_schema(
        summary="Which markets are open, until when, and in which phase",
        description="From the calendar's dated rows. A day that the calendar does not know is null, and never open.",
        responses=StatusAnswer,
    )
    def get(self, request: Request) -> Response:
        return Response(StatusAnswer(services.market_status(now=timezone.now())).data)
