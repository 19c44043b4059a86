"""The risk report over HTTP: sections of one JSON that was made once, and what its owner adds to it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from brokers.serializers import Instant
from portfolio import equity_days, risk_scenarios, risking
from portfolio.flow_models import CashFlow
from portfolio.risk.presenting import schema
from portfolio.risk.sections import SECTIONS, Report, Section, Tested
from portfolio.risk_models import EquityDay, UserScenario
from portfolio.risk_refusals import UnknownSections

# What each answer of the report begins with.
HEAD = ("computed_at", "as_of", "coverage")
NOBODY = OpenApiResponse(description="no_broker_connections")
OF_THE_BOOK = (
    "At most a few seconds old; `computed_at` says when, `as_of` of when its oldest part is. Every section has its "
    "`coverage`: which accounts are stale or missing, how many lines could not be valued, how much of the value moves "
    "by another's history. A section that cannot be told has `refused` instead of `value`, and hides no other."
)
MOST_SHOWN = 1000


def described(*names: str) -> dict[str, Any]:
    """The schema of an answer with these sections."""
    whole = schema(Report)
    chosen = (*HEAD, *names)
    return {
        "type": "object",
        "properties": {name: whole["properties"][name] for name in chosen},
        "required": list(chosen if len(names) < len(SECTIONS) else HEAD),
    }


def answered(request: Request, *names: str) -> HttpResponse:
    found = risking.reported(trader(request), now=timezone.now())
    chosen = {name: found[name] for name in (*HEAD, *names)}
    return HttpResponse(msgspec.json.encode(chosen), content_type="application/json")


class ReportView(APIView):
    @extend_schema(
        operation_id="risk_report",
        summary="What my book can lose, over all brokers",
        description=OF_THE_BOOK,
        parameters=[
            OpenApiParameter(
                "sections", description=f"Some of {', '.join(SECTIONS)}, parted by commas; all without it."
            )
        ],
        responses={200: OpenApiResponse(response=described(*SECTIONS)), 404: NOBODY},
    )
    def get(self, request: Request) -> HttpResponse:
        wanted = request.query_params.get("sections")
        names = SECTIONS if wanted is None else tuple(dict.fromkeys(wanted.split(",")))
        if not set(names) <= set(SECTIONS):
            raise UnknownSections
        return answered(request, *names)


class ExposureView(APIView):
    PARTS = ("worth", "exposure", "concentration", "margins", "netting", "beta")

    @extend_schema(
        operation_id="risk_exposure",
        summary="What my book is exposed to, and where",
        description=OF_THE_BOOK,
        responses={200: OpenApiResponse(response=described(*PARTS)), 404: NOBODY},
    )
    def get(self, request: Request) -> HttpResponse:
        return answered(request, *self.PARTS)


class LossesView(APIView):
    PARTS = ("losses", "greeks")

    @extend_schema(
        operation_id="risk_var",
        summary="Value at risk and expected shortfall of my book, and its Greeks",
        description=OF_THE_BOOK,
        responses={200: OpenApiResponse(response=described(*PARTS)), 404: NOBODY},
    )
    def get(self, request: Request) -> HttpResponse:
        return answered(request, *self.PARTS)


class StressView(APIView):
    @extend_schema(
        operation_id="risk_stress",
        summary="My book under scenarios",
        description=OF_THE_BOOK + " A scenario's `pnl` is what the book would gain: losses are negative here.",
        responses={200: OpenApiResponse(response=described("stress")), 404: NOBODY},
    )
    def get(self, request: Request) -> HttpResponse:
        return answered(request, "stress")


class LiquidityView(APIView):
    @extend_schema(
        operation_id="risk_liquidity",
        summary="How long leaving takes, and what it costs",
        description=OF_THE_BOOK,
        responses={200: OpenApiResponse(response=described("liquidity")), 404: NOBODY},
    )
    def get(self, request: Request) -> HttpResponse:
        return answered(request, "liquidity")


class ExpiriesView(APIView):
    @extend_schema(
        operation_id="risk_expiries",
        summary="What expiries will ask of each account",
        description=OF_THE_BOOK,
        responses={200: OpenApiResponse(response=described("expiries")), 404: NOBODY},
    )
    def get(self, request: Request) -> HttpResponse:
        return answered(request, "expiries")


class PerformanceView(APIView):
    @extend_schema(
        operation_id="risk_performance",
        summary="How my money did: drawdown, volatility, ratios",
        description=OF_THE_BOOK,
        responses={200: OpenApiResponse(response=described("record")), 404: NOBODY},
    )
    def get(self, request: Request) -> HttpResponse:
        return answered(request, "record")


class BacktestView(APIView):
    @extend_schema(
        operation_id="risk_backtest",
        summary="Whether losses were as rare as VaR said",
        description="Today's book through its own past, at 95 and at 99 %.",
        responses={
            200: OpenApiResponse(response={"type": "array", "items": schema(Section[Tested])}),
            404: NOBODY,
        },
    )
    def get(self, request: Request) -> Response:
        return Response(risking.backtested(trader(request), now=timezone.now()))


# --- days and payments ------------------------------------------------------------------------------------------------
class Amount(serializers.DecimalField):
    """INR, to paise, as text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=17, decimal_places=2, **kwargs)

    def to_representation(self, value: Any) -> str:
        return f"{Decimal(value):.2f}"


class EquityDayAnswer(serializers.Serializer[Any]):
    day = serializers.DateField()
    equity = Amount(allow_null=True)
    day_pnl = Amount(allow_null=True)
    cash_flow = Amount()
    unexplained = Amount(allow_null=True, help_text="Change of equity, less the day's profit, less what was paid in.")
    complete = serializers.BooleanField()
    as_of = Instant()


class CashFlowRequest(serializers.Serializer[Any]):
    day = serializers.DateField(help_text="Not in the future.")
    amount = Amount(help_text="INR: paid in positive, taken out negative.")
    note = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class CashFlowAnswer(CashFlowRequest):
    id = serializers.IntegerField()
    created_at = Instant()


class EquityView(APIView):
    @extend_schema(
        operation_id="risk_equity_list",
        summary="What my book was worth at each day's end",
        description=f"The latest {MOST_SHOWN}, oldest first.",
        responses=EquityDayAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = EquityDay.objects.filter(user=trader(request)).order_by("-day")[:MOST_SHOWN]
        return Response(EquityDayAnswer(reversed(rows), many=True).data)


class CashFlowsView(APIView):
    @extend_schema(
        operation_id="risk_cash_flows_list",
        summary="What I paid in and took out",
        description=f"The latest {MOST_SHOWN}, newest first.",
        responses=CashFlowAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = CashFlow.objects.filter(user=trader(request))[:MOST_SHOWN]
        return Response(CashFlowAnswer(rows, many=True).data)

    @extend_schema(
        operation_id="risk_cash_flows_create",
        summary="Note a payment, so that it is no profit",
        request=CashFlowRequest,
        responses={201: CashFlowAnswer},
    )
    def post(self, request: Request) -> Response:
        told = CashFlowRequest(data=request.data)
        told.is_valid(raise_exception=True)
        user = trader(request)
        row = equity_days.add_flow(user, **told.validated_data, now=timezone.now())
        risking.outdated(user)
        return Response(CashFlowAnswer(row).data, status.HTTP_201_CREATED)


class CashFlowView(APIView):
    @extend_schema(operation_id="risk_cash_flows_delete", summary="Remove a payment", responses={204: None})
    def delete(self, request: Request, id: int) -> Response:
        user = trader(request)
        equity_days.remove_flow(get_object_or_404(CashFlow, pk=id, user=user))
        risking.outdated(user)
        return Response(status=status.HTTP_204_NO_CONTENT)


# --- scenarios --------------------------------------------------------------------------------------------------------
class ScenarioRequest(serializers.Serializer[Any]):
    """Of the description alone: `portfolio.risk.own_scenarios` reads and judges it."""

    code = serializers.CharField(max_length=40, help_text="Small letters, digits and underscores, a letter first.")
    title = serializers.CharField(max_length=80)
    index = serializers.CharField(required=False, help_text='A ratio: "-0.1" is ten percent down.')
    volatility = serializers.CharField(required=False, help_text="Relative: 0.6 is sixty percent more.")
    rate = serializers.CharField(required=False, help_text="Absolute: 0.01 is one percentage point more.")
    rupee = serializers.CharField(required=False, help_text="How much a dollar gains in rupees, a ratio.")
    crude = serializers.CharField(required=False, help_text="Oil in dollars, a ratio.")
    days = serializers.IntegerField(required=False, help_text="Calendar days that pass.")
    each_company = serializers.CharField(
        required=False, allow_null=True, help_text="Every company by itself moves by so much; the worst one counts."
    )
    issuers = serializers.DictField(
        child=serializers.CharField(), required=False, help_text="The move of each, by ISIN or underlying."
    )


class ScenarioAnswer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    code = serializers.CharField(source="name")
    terms = ScenarioRequest()
    created_at = Instant()


class ScenariosView(APIView):
    @extend_schema(
        operation_id="risk_scenarios_list", summary="Scenarios of my own", responses=ScenarioAnswer(many=True)
    )
    def get(self, request: Request) -> Response:
        return Response(ScenarioAnswer(risk_scenarios.of(trader(request)), many=True).data)

    @extend_schema(
        operation_id="risk_scenarios_create",
        summary="Add a scenario of my own to the stress table",
        request=ScenarioRequest,
        responses={201: ScenarioAnswer},
    )
    def post(self, request: Request) -> Response:
        user = trader(request)
        row = risk_scenarios.add(user, request.data, now=timezone.now())
        risking.outdated(user)
        return Response(ScenarioAnswer(row).data, status.HTTP_201_CREATED)


class ScenarioView(APIView):
    @extend_schema(operation_id="risk_scenarios_delete", summary="Remove a scenario of mine", responses={204: None})
    def delete(self, request: Request, id: int) -> Response:
        user = trader(request)
        risk_scenarios.remove(get_object_or_404(UserScenario, pk=id, user=user))
        risking.outdated(user)
        return Response(status=status.HTTP_204_NO_CONTENT)
