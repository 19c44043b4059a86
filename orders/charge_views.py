"""What an account pays, as its owner tells it, over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import trader
from brokers.models import BrokerConnection
from orders.charge_models import AccountTerms
from orders.costing import agree_terms, plans_of
from orders.tariffs import ChargeError

PLAN_CODES = frozenset({"plan_missing", "plan_ambiguous"})


class TermsRequest(serializers.Serializer[Any]):
    plan_id = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="Empty: the broker's usual plan."
    )
    is_woman = serializers.BooleanField(default=False, help_text="Some brokers take less of a woman's account.")
    overrides = serializers.DictField(
        required=False, default=dict,
        help_text="What is paid instead: `brokerage` by segment, and `dp_sell`. Amounts and rates are text.",
    )  # fmt: skip


class PlanAnswer(serializers.Serializer[Any]):
    plan_id = serializers.CharField()
    is_default = serializers.BooleanField()
    effective_from = serializers.DateField(source="window.first")


class TermsAnswer(TermsRequest):
    broker_type = serializers.CharField()
    plans = PlanAnswer(many=True, help_text="What may be chosen today.")


class TermsView(APIView):
    """GET and PUT charges/terms/<connection>: an account without terms of its own pays its broker's usual plan."""

    @extend_schema(summary="What an account pays at its broker", responses=TermsAnswer)
    def get(self, request: Request, id: UUID) -> Response:
        return self._answer(self._connection(request, id))

    @extend_schema(summary="Tell what an account pays at its broker", request=TermsRequest, responses=TermsAnswer)
    def put(self, request: Request, id: UUID) -> Response:
        connection = self._connection(request, id)
        body = TermsRequest(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            agree_terms(connection, **body.validated_data, actor=trader(request), now=timezone.now())
        except ChargeError as error:
            field = "plan_id" if error.code in PLAN_CODES else "overrides"
            raise serializers.ValidationError({field: [str(error)]}) from None
        return self._answer(connection)

    def _connection(self, request: Request, id: UUID) -> BrokerConnection:
        return get_object_or_404(BrokerConnection.objects.without_secrets(), pk=id, user=trader(request))

    def _answer(self, connection: BrokerConnection) -> Response:
        row = AccountTerms.objects.filter(pk=connection.pk).first() or AccountTerms()
        plans = plans_of(connection.broker_type, timezone.localdate())
        told = {"plan_id": row.plan_id, "is_woman": row.is_woman, "overrides": row.overrides}
        return Response(TermsAnswer({"broker_type": connection.broker_type, "plans": plans, **told}).data)
