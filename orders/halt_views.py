"""The kill switch over HTTP. Pulling it asks for one confirmation and nothing else; re-arming for a fresh proof."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsTrader, trader
from accounts.step_up import FreshlyProven
from brokers.serializers import Instant
from orders import halting
from orders.halt_models import HaltProgress, Outcome, Reach
from portfolio import halting as switch
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt

Text = serializers.CharField
PULLED = [level.value for level in (HaltLevel.STOP, HaltLevel.CANCEL, HaltLevel.FLATTEN)]
KINDS, LEVELS = [kind.value for kind in HaltKind], [level.value for level in HaltLevel]
HISTORY = 100
DEAD_MAN = (
    "If TradeMaster itself stops, orders of the day stay at the exchange, and what waits for a price stays at the "
    "broker: cancel them in the brokers’ own apps then."
)


def maybe(help_text: str = "") -> Text:
    return Text(allow_null=True, help_text=help_text)


class PullRequest(serializers.Serializer[Any]):
    level = serializers.ChoiceField(
        PULLED,
        help_text="STOP: no new order goes out. CANCEL: and all that is open is cancelled, at all brokers. FLATTEN: "
        "and positions are closed, by limit orders.",
    )
    confirm = serializers.BooleanField(help_text="true: it is meant.")
    reason = Text(required=False, allow_blank=True, default="", max_length=300)

    def validate_confirm(self, value: bool) -> bool:
        if not value:
            raise serializers.ValidationError("Say true: nothing is stopped by accident.")
        return value


class RearmRequest(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(KINDS, default=HaltKind.KILL.value)
    reason = Text(max_length=300, help_text="What was looked into, and why trading may go on.")


class HaltAnswer(serializers.Serializer[Any]):
    halt_id = serializers.IntegerField(allow_null=True, help_text="Null: latched, and not written down yet.")
    kind = serializers.ChoiceField(KINDS)
    level = serializers.ChoiceField(LEVELS)
    words = Text()
    cause = Text(allow_blank=True, help_text="`person`, or what set it by itself.")
    reason = maybe()
    set_at = Instant(allow_null=True)
    set_by = maybe("A person; null: it was set by itself.")
    locked_until = Instant(allow_null=True, help_text="Nobody ends it before then.")
    ended_at = Instant(allow_null=True)
    ended_by = maybe()
    end_reason = maybe()


class HaltLeft(serializers.Serializer[Any]):
    broker_order_id = Text(help_text="`gtt:…` of an order that waits for a price.")
    outcome = serializers.ChoiceField(Outcome.values)
    tradingsymbol = Text(allow_blank=True)
    side = Text()
    quantity = Text(help_text="As the broker counts it.")
    is_ours = serializers.BooleanField(help_text="False: placed elsewhere.")
    code = maybe()
    reason = maybe()


class HaltPosition(serializers.Serializer[Any]):
    exchange = Text()
    tradingsymbol = Text()
    product = Text()
    quantity = Text()
    order = maybe("The order that closes it.")
    code = maybe("Why there is none.")
    reason = maybe()


class HaltProgressAnswer(serializers.Serializer[Any]):
    connection_id = maybe()
    broker_type = Text()
    broker_name = Text()
    state = serializers.ChoiceField(Reach.values)
    words = Text()
    rounds = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Orders by outcome.")
    in_doubt = serializers.IntegerField(help_text="Orders of ours that nobody knows of: cancelled as they are found.")
    left = HaltLeft(many=True)
    positions = HaltPosition(many=True)
    reason_code = maybe()
    reason = maybe()
    begun_at = Instant()
    updated_at = Instant()


class SwitchAnswer(serializers.Serializer[Any]):
    level = serializers.ChoiceField(LEVELS, allow_null=True, help_text="The strictest; null: none stands.")
    readable = serializers.BooleanField(help_text="False: it cannot be read, and so no new order goes out.")
    halts = HaltAnswer(many=True)
    progress = HaltProgressAnswer(many=True)
    in_flight = serializers.IntegerField(
        allow_null=True,
        help_text="Orders on their way when it was pulled, of which no answer came yet; null: not told.",
    )
    dead_man = Text()


class HaltsAnswer(serializers.Serializer[Any]):
    halts = HaltAnswer(many=True)


def shown(user: User, in_flight: int | None = None) -> dict[str, Any]:
    """How it stands, with the progress of what stands."""
    standing = switch.standing(user.pk)
    ids = [each.id for each in standing.halts if each.id is not None]
    rows = TradingHalt.objects.filter(pk__in=ids).select_related("set_by", "ended_by") if ids else ()
    known = {row.pk: switch.plain(row) for row in rows}
    progress = HaltProgress.objects.filter(halt__in=ids).select_related("broker_connection") if ids else ()
    return {
        "level": standing.level,
        "readable": standing.readable,
        "halts": [known.get(each.id or 0) or _latched(each) for each in standing.halts],
        "progress": [halting.plain(row) for row in progress],
        "in_flight": in_flight,
        "dead_man": DEAD_MAN,
    }


def _latched(halt: switch.Halt) -> dict[str, Any]:
    """One that has no row yet."""
    ended = dict.fromkeys(("ended_at", "ended_by", "end_reason"))
    return {
        "halt_id": halt.id,
        "kind": halt.kind,
        "level": halt.level,
        "words": switch.words_of(halt),
        "cause": halt.cause,
        "reason": halt.reason or None,
        "set_at": halt.set_at,
        "set_by": None,
        "locked_until": halt.locked_until,
        **ended,
    }


def history(user: User) -> list[dict[str, Any]]:
    rows = TradingHalt.objects.filter(user=user).select_related("set_by", "ended_by")
    return [switch.plain(row) for row in rows[:HISTORY]]


def _valid(body: Any) -> dict[str, Any]:
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


class KillSwitchView(APIView):
    @extend_schema(summary="What stops my orders, and how far it has come", responses=SwitchAnswer)
    def get(self, request: Request) -> Response:
        return Response(shown(trader(request)))

    @extend_schema(
        summary="Pull the kill switch",
        description="When this answers no new order leaves, and what was open has been asked to end at every broker "
        "that can be asked; the others are gone on with. Again is harmless: it goes on with what stands.",
        request=PullRequest,
        responses=SwitchAnswer,
    )
    def post(self, request: Request) -> Response:
        data, user = _valid(PullRequest(data=request.data)), trader(request)
        stopped = halting.pull(
            user, level=HaltLevel(data["level"]), reason=data["reason"], by=user, now=timezone.now()
        )  # fmt: skip
        return Response(shown(user, stopped.in_flight))


class RearmView(APIView):
    permission_classes = [IsTrader, FreshlyProven]

    @extend_schema(
        summary="Re-arm: let orders go again",
        description="By a person, with a reason and a fresh proof; the daily-loss lock not before the day's close.",
        request=RearmRequest,
        responses={
            200: SwitchAnswer,
            400: OpenApiResponse(description="halt_reason_needed"),
            409: OpenApiResponse(description="halt_locked, not_halted"),
        },
    )
    def post(self, request: Request) -> Response:
        data, user = _valid(RearmRequest(data=request.data)), trader(request)
        switch.end(user, kind=HaltKind(data["kind"]), reason=data["reason"], by=user, now=timezone.now())
        return Response(shown(user))


class HaltsView(APIView):
    @extend_schema(summary="When my trading was stopped, newest first", responses=HaltsAnswer)
    def get(self, request: Request) -> Response:
        return Response({"halts": history(trader(request))})
