"""Orders over HTTP. Views parse, make one call, and answer."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.credentials import Scope
from accounts.models import User
from accounts.permissions import IsTrader, trader
from accounts.step_up import FreshlyProven
from accounts.throttles import PerUser
from market.models import Instrument
from orders import amending, answers, approval, daybook, gtt, intake, preferences, settling, squaring
from orders.facts import Wanted
from orders.lifecycle import State
from orders.models import GttOrder, IntentStatus, OrderIntent, Origin
from orders.refusals import UnknownInstrument
from orders.serializers import (
    BasketRequest,
    ChangeRequest,
    CopyRequest,
    GttPlaceRequest,
    ListQuery,
    OrderRequest,
    PlaceRequest,
    SettingsRequest,
    SettleRequest,
    SquareOffRequest,
    wanted_of,
)

KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="8 to 100 letters, digits, hyphens or underscores, new for each order. The same key with the same "
    "body answers the same order, for ever; without one a POST answers `idempotency_key_missing`.",
)
PLACED = {
    201: answers.PlacedAnswer,
    200: OpenApiResponse(answers.PlacedAnswer, description="The key was used before: this is that order."),
}
GROUPED = {
    201: answers.GroupAnswer,
    200: OpenApiResponse(answers.GroupAnswer, description="The key was used before: these are those orders."),
}


class OrderThrottle(PerUser):
    scope = "orders"


def _valid(body: Any) -> dict[str, Any]:
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _key(request: Request) -> str | None:
    return request.headers.get("Idempotency-Key")


def orders_of(user: User) -> QuerySet[OrderIntent]:
    return OrderIntent.objects.filter(user=user).select_related("instrument").prefetch_related("children")


def _order(request: Request, id: UUID) -> OrderIntent:
    return get_object_or_404(orders_of(trader(request)), pk=id)


def _shown(intent: OrderIntent) -> OrderIntent:
    """As it is now, with what stands of it."""
    return orders_of(intent.user).get(pk=intent.pk)


def _placed(taken: intake.Taken) -> Response:
    (intent,) = taken.intents
    decision = answers.decision_of(intent)
    body = {"order": _shown(intent), "decision": decision and decision["decision"]}
    code = status.HTTP_201_CREATED if taken.is_new else status.HTTP_200_OK
    return Response(answers.PlacedAnswer(body).data, code)


def _grouped(taken: intake.Taken) -> Response:
    assert taken.group is not None  # noqa: S101 - baskets and copies are groups
    body = {"group": taken.group.pk, "orders": [_shown(intent) for intent in taken.intents]}
    code = status.HTTP_201_CREATED if taken.is_new else status.HTTP_200_OK
    return Response(answers.GroupAnswer(body).data, code)


class PreviewView(APIView):
    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.READ}
    throttle_classes = [OrderThrottle]

    @extend_schema(
        summary="Where an order would go, and why",
        description="What would be done with this order now, by the code that does it. Nothing is kept or sent.",
        request=OrderRequest,
        responses=answers.PreviewAnswer,
    )
    def post(self, request: Request) -> Response:
        data = _valid(OrderRequest(data=request.data))
        (decision,) = intake.preview(user=trader(request), wanted=[wanted_of(data)], now=timezone.now())
        return Response(answers.PreviewAnswer({"decision": answers.preview(decision)}).data)


class OrdersView(APIView):
    def get_throttles(self) -> Any:
        return [OrderThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(
        operation_id="orders_list",
        summary="My orders, newest first",
        parameters=[ListQuery],
        responses={200: answers.OrdersAnswer, 400: OpenApiResponse(description="invalid_input")},
    )
    def get(self, request: Request) -> Response:
        query = _valid(ListQuery(data=request.query_params))
        rows = list(_filtered(trader(request), query)[: query["limit"] + 1])
        page = rows[: query["limit"]]
        onward = page[-1].pk if len(rows) > len(page) else None
        return Response(answers.OrdersAnswer({"orders": page, "next": onward}).data)

    @extend_schema(
        summary="Place an order",
        description="Once per key, however often it is sent. What breaks a rule, or finds no broker, is answered as an "
        "order with the status REFUSED and the reason.",
        parameters=[KEY],
        request=PlaceRequest,
        responses=PLACED,
    )
    def post(self, request: Request) -> Response:
        data = _valid(PlaceRequest(data=request.data))
        taken = intake.create(
            user=trader(request),
            wanted=[wanted_of(data)],
            key=_key(request),
            confirm_duplicate=data["confirm_duplicate"],
            now=timezone.now(),
        )
        return _placed(taken)


def _filtered(user: User, query: dict[str, Any]) -> QuerySet[OrderIntent]:
    rows = orders_of(user).order_by("-created_at", "-id")
    if "status" in query:
        rows = rows.filter(status=query["status"])
    if query.get("is_open"):
        rows = rows.filter(status__in=(IntentStatus.WORKING, IntentStatus.AWAITING_APPROVAL))
    if query.get("unknown"):
        rows = rows.filter(children__state=State.UNKNOWN).distinct()
    if "instrument" in query:
        rows = rows.filter(instrument=query["instrument"])
    if "group" in query:
        rows = rows.filter(group=query["group"])
    if "before" in query:
        last = OrderIntent.objects.filter(user=user, pk=query["before"]).first()
        if last is None:
            raise serializers.ValidationError({"before": ["There is no such order."]})
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, id__lt=last.pk))
    return rows


class OrderView(APIView):
    @extend_schema(operation_id="orders_retrieve", summary="One order", responses=answers.OrderAnswer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(answers.OrderAnswer(_order(request, id)).data)

    @extend_schema(
        summary="Change what stands: price, trigger or quantity",
        description="Each broker is asked once; what came of it only its book tells.",
        request=ChangeRequest,
        responses=answers.ChangedAnswer,
    )
    def patch(self, request: Request, id: UUID) -> Response:
        intent = _order(request, id)
        said = amending.amend(
            intent, user=trader(request), now=timezone.now(), **_valid(ChangeRequest(data=request.data))
        )
        return _changed(intent, said)

    @extend_schema(
        summary="Cancel an order, wherever it stands or may stand",
        request=None,
        responses={200: answers.ChangedAnswer},
    )
    def delete(self, request: Request, id: UUID) -> Response:
        intent = _order(request, id)
        return _changed(intent, amending.cancel(intent, user=trader(request), now=timezone.now()))


def _changed(intent: OrderIntent, said: Any) -> Response:
    return Response(answers.ChangedAnswer({"order": _shown(intent), "asked": answers.asked(said)}).data)


class DecisionView(APIView):
    @extend_schema(
        summary="Why an order went where it went",
        responses={200: answers.DecisionAnswer, 404: OpenApiResponse(description="not_found: nothing was decided")},
    )
    def get(self, request: Request, id: UUID) -> Response:
        found = answers.decision_of(_order(request, id))
        if found is None:
            raise NotFound
        return Response(answers.DecisionAnswer(found).data)


class TimelineView(APIView):
    @extend_schema(summary="The story of an order", responses=answers.StoryAnswer)
    def get(self, request: Request, id: UUID) -> Response:
        events = _order(request, id).events.order_by("at", "id")
        return Response(answers.StoryAnswer({"events": events}).data)


class ApproveView(APIView):
    permission_classes = [IsTrader, FreshlyProven]

    @extend_schema(
        summary="Approve an order that waits",
        description="It is decided anew, on the facts of now, and sent.",
        request=None,
        responses=answers.PlacedAnswer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        intent = approval.approve(_order(request, id), user=trader(request), now=timezone.now())
        decision = answers.decision_of(intent)
        return Response(
            answers.PlacedAnswer({"order": _shown(intent), "decision": decision and decision["decision"]}).data
        )


class DeclineView(APIView):
    permission_classes = [IsTrader, FreshlyProven]

    @extend_schema(summary="Do not approve an order that waits", request=None, responses=answers.OrderAnswer)
    def post(self, request: Request, id: UUID) -> Response:
        intent = approval.decline(_order(request, id), user=trader(request), now=timezone.now())
        return Response(answers.OrderAnswer(_shown(intent)).data)


class SettleView(APIView):
    permission_classes = [IsTrader, FreshlyProven]

    @extend_schema(
        summary="Settle an order of an earlier day by its contract note",
        description="Of an order that is UNKNOWN and whose day is over no book tells any more: its owner does.",
        request=SettleRequest,
        responses={200: answers.OrderAnswer, 409: OpenApiResponse(description="not_for_settling")},
    )
    def post(self, request: Request, id: UUID) -> Response:
        intent, data = _order(request, id), _valid(SettleRequest(data=request.data))
        child = intent.children.filter(pk=data.pop("child")).first()
        if child is None:
            raise NotFound
        settling.settle(child, user=trader(request), now=timezone.now(), **data)
        intent.refresh_from_db()
        return Response(answers.OrderAnswer(_shown(intent)).data)


# --- several ----------------------------------------------------------------------------------------------------------
class BasketPreviewView(APIView):
    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.READ}
    throttle_classes = [OrderThrottle]

    @extend_schema(
        summary="Where the orders of a basket would go",
        description="Each finds the money and the shares that those before it leave.",
        request=BasketRequest,
        responses=answers.PreviewsAnswer,
    )
    def post(self, request: Request) -> Response:
        body = BasketRequest(data=request.data)
        body.is_valid(raise_exception=True)
        decisions = intake.preview(user=trader(request), wanted=body.wanted(), now=timezone.now())
        return Response(answers.PreviewsAnswer(answers.previews(decisions)).data)


class BasketView(APIView):
    throttle_classes = [OrderThrottle]

    @extend_schema(
        summary="Place a basket of orders: all of them, or none",
        parameters=[KEY],
        request=BasketRequest,
        responses=GROUPED,
    )
    def post(self, request: Request) -> Response:
        body = BasketRequest(data=request.data)
        body.is_valid(raise_exception=True)
        return _grouped(
            intake.create(
                user=trader(request),
                wanted=body.wanted(),
                key=_key(request),
                origin=Origin.BASKET,
                confirm_duplicate=body.validated_data["confirm_duplicate"],
                now=timezone.now(),
            )
        )


class CopyPreviewView(APIView):
    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.READ}
    throttle_classes = [OrderThrottle]

    @extend_schema(
        summary="What the same order at several accounts would come to",
        request=CopyRequest,
        responses=answers.PreviewsAnswer,
    )
    def post(self, request: Request) -> Response:
        wanted = copies(_valid(CopyRequest(data=request.data)))
        decisions = intake.preview(user=trader(request), wanted=wanted, now=timezone.now())
        return Response(answers.PreviewsAnswer(answers.previews(decisions)).data)


class CopyView(APIView):
    throttle_classes = [OrderThrottle]

    @extend_schema(
        summary="Place the same order at several accounts, scaled to each: at all of them, or at none",
        parameters=[KEY],
        request=CopyRequest,
        responses=GROUPED,
    )
    def post(self, request: Request) -> Response:
        data = _valid(CopyRequest(data=request.data))
        return _grouped(
            intake.create(
                user=trader(request),
                wanted=copies(data),
                key=_key(request),
                origin=Origin.COPY,
                confirm_duplicate=data["confirm_duplicate"],
                now=timezone.now(),
            )
        )


def copies(data: dict[str, Any]) -> list[Wanted]:
    """One order for each account; a ratio is rounded down to whole lots. Raises UnknownInstrument, ValidationError."""
    order = data["order"]
    instrument = Instrument.objects.filter(pk=order["instrument"]).first()
    if instrument is None:
        raise UnknownInstrument
    lot = instrument.lot_size or Decimal(1)
    wanted = []
    for each in data["accounts"]:
        quantity = each["quantity"]
        if quantity is None:
            lots = (order["quantity"] * each["ratio"] / lot).to_integral_value(rounding=ROUND_DOWN)
            quantity = lots * lot
        if quantity <= 0 or quantity >= Decimal(10) ** 16:
            words = f"At {each['connection']} it comes to less than one lot, or to more than can be ordered."
            raise serializers.ValidationError({"accounts": [words]})
        wanted.append(wanted_of(order, quantity=quantity, connection=each["connection"]))
    return wanted


class SquareOffView(APIView):
    throttle_classes = [OrderThrottle]

    @extend_schema(
        summary="Close a position, at the broker that holds it",
        description="Nowhere else: an opposite position at another broker closes nothing.",
        parameters=[KEY],
        request=SquareOffRequest,
        responses=PLACED,
    )
    def post(self, request: Request) -> Response:
        data = _valid(SquareOffRequest(data=request.data))
        taken = squaring.square_off(
            user=trader(request),
            connection_id=data["connection"],
            instrument_id=data["instrument"],
            product=data["product"],
            quantity=data["quantity"],
            price=data["price"],
            key=_key(request),
            now=timezone.now(),
        )
        return _placed(taken)


# --- books ------------------------------------------------------------------------------------------------------------
class OrderBookView(APIView):
    throttle_classes = [OrderThrottle]

    @extend_schema(
        operation_id="orders_book",
        summary="Today's orders at all brokers, placed here or elsewhere",
        description="Each broker is asked now. One that cannot be is shown by what it last said, marked stale.",
        responses=answers.OrderBookAnswer,
    )
    def get(self, request: Request) -> Response:
        return Response(daybook.orders(trader(request), timezone.now()))


class TradeBookView(APIView):
    throttle_classes = [OrderThrottle]

    @extend_schema(
        operation_id="orders_trades",
        summary="Today's trades at all brokers",
        description="As the order book; of a broker that cannot be asked the fills of our own orders are told.",
        responses=answers.TradeBookAnswer,
    )
    def get(self, request: Request) -> Response:
        return Response(daybook.trades(trader(request), timezone.now()))


# --- GTT --------------------------------------------------------------------------------------------------------------
def _gtts(user: User) -> QuerySet[GttOrder]:
    return GttOrder.objects.filter(user=user).select_related("instrument", "broker_connection")


class GttsView(APIView):
    throttle_classes = [OrderThrottle]

    @extend_schema(
        operation_id="orders_gtt_list",
        summary="Orders that wait at brokers for their price",
        description="Those placed from here, as the brokers' lists say now.",
        responses=answers.GttsAnswer,
    )
    def get(self, request: Request) -> Response:
        outcomes = gtt.refresh(trader(request), timezone.now())
        sources = [
            {
                "connection_id": key,
                "error_code": error.code if error else None,
                "error_message": error.message if error else None,
                "user_action": error.user_action if error else None,
            }
            for key, error in outcomes.items()
        ]
        rows = _gtts(trader(request))[:200]
        return Response(answers.GttsAnswer({"gtts": rows, "sources": sources}).data)

    @extend_schema(
        summary="Leave an order that waits for its price",
        parameters=[KEY],
        request=GttPlaceRequest,
        responses={201: answers.GttAnswer, 200: answers.GttAnswer},
    )
    def post(self, request: Request) -> Response:
        body = GttPlaceRequest(data=request.data)
        body.is_valid(raise_exception=True)
        row, is_new = gtt.place(user=trader(request), wanted=body.wanted(), key=_key(request), now=timezone.now())
        return Response(answers.GttAnswer(row).data, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class GttView(APIView):
    @extend_schema(summary="Take back an order that waits", request=None, responses={200: answers.GttAnswer})
    def delete(self, request: Request, id: UUID) -> Response:
        row = get_object_or_404(_gtts(trader(request)), pk=id)
        return Response(answers.GttAnswer(gtt.cancel(row, user=trader(request), now=timezone.now())).data)


class SettingsView(APIView):
    """Changing wants a fresh proof: it may let orders go without approval."""

    def get_permissions(self) -> Any:
        return [IsTrader(), *([FreshlyProven()] if self.request.method == "PUT" else [])]

    @extend_schema(summary="How my orders are routed and approved", responses=answers.SettingsAnswer)
    def get(self, request: Request) -> Response:
        return Response(answers.SettingsAnswer(preferences.settings_of(trader(request))).data)

    @extend_schema(summary="Choose that", request=SettingsRequest, responses=answers.SettingsAnswer)
    def put(self, request: Request) -> Response:
        row = preferences.choose(trader(request), **_valid(SettingsRequest(data=request.data)))
        return Response(answers.SettingsAnswer(row).data)
