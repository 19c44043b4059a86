"""`GET /api/v1/attention`."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.permissions import trader
from brokers.serializers import Instant
from trademaster.attention import gathering
from trademaster.attention.words import Method, Tone


class RemedyAnswer(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    method = serializers.ChoiceField([method.value for method in Method])
    href = serializers.CharField(help_text="A page for `link`, else an address of this API.")
    body = serializers.DictField(child=serializers.CharField(), allow_null=True)


class ItemAnswer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable: programs may decide on it.")
    key = serializers.CharField(help_text="The same as long as it is the same thing.")
    tone = serializers.ChoiceField([tone.value for tone in Tone])
    subject = serializers.CharField()
    words = serializers.CharField(help_text="What is.")
    meaning = serializers.CharField(help_text="What it means for the money.")
    remedy = RemedyAnswer()
    href = serializers.CharField(help_text="The page where it is shown.")
    since = Instant(allow_null=True, help_text="Null: not known.")
    amount = serializers.CharField(allow_null=True, help_text="INR, where it is about an amount.")
    quantity = serializers.CharField(allow_null=True, help_text="`50`, `20 of 50 filled`, where it is about an order.")
    happened = serializers.BooleanField(help_text="It is over, and is told of until midnight, IST.")


class AttentionAnswer(serializers.Serializer[Any]):
    items = ItemAnswer(many=True)
    counted = serializers.IntegerField(help_text="Those whose tone is not `info`.")
    as_of = Instant()


class AttentionView(APIView):
    @extend_schema(
        operation_id="attention",
        summary="What needs me now, the gravest first",
        description="Of all accounts, orders and limits of the user's own, each with one remedy. Nothing that is "
        "normal is in it. Two seconds old at most; no broker is asked.",
        responses=AttentionAnswer,
    )
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(gathering.told(trader(request), timezone.now()), content_type="application/json")
