"""For the person on call: orders, where they stand, and their story. To look at; what changes them are services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest

from accounts.desk import ReadOnlyAdmin
from orders.charge_models import ContractNote
from orders.lifecycle import State
from orders.models import (
    ChildOrder,
    Fill,
    GttOrder,
    IdempotencyKey,
    OrderEvent,
    OrderGroup,
    OrderIntent,
    OrderSettings,
    RoutingDecision,
    SeenOrder,
)

UNKNOWN = Q(state__in=(State.UNKNOWN, State.SENDING))


class HasUnknown(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("unknown", "A part of it is not known")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OrderIntent]) -> QuerySet[OrderIntent]:
        if self.value() == "unknown":
            return queryset.filter(children__state=State.UNKNOWN).distinct()
        return queryset


@admin.register(OrderIntent)
class OrderIntentAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("created_at", "user", "__str__", "product", "status", "unknown", "reason_code", "id")
    list_filter = ("status", HasUnknown, "origin", "side")
    list_select_related = ("user", "instrument")
    search_fields = ("id", "user__username")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderIntent]:
        """What nobody knows comes first."""
        counted = Count("children", filter=Q(children__state=State.UNKNOWN))
        rows: QuerySet[OrderIntent] = super().get_queryset(request)
        return rows.annotate(unknowns=counted).order_by("-unknowns", "-created_at")

    @admin.display(description="not known")
    def unknown(self, intent: Any) -> int:
        count: int = intent.unknowns
        return count


@admin.register(ChildOrder)
class ChildOrderAdmin(ReadOnlyAdmin):
    """The lane of what nobody knows stands above all else."""

    whose = "intent__user_id"
    list_display = (
        *("sent_at", "broker_type", "state", "state_since", "side", "quantity", "filled_quantity", "price"),
        *("tag", "broker_order_id", "reason_code", "reconcile_attempts", "explained_at"),
    )
    list_filter = ("state", "broker_type", "exchange", "side")
    list_select_related = ("intent__user",)
    search_fields = ("id", "tag", "broker_order_id", "intent__id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChildOrder]:
        lane = Case(When(UNKNOWN, then=Value(0)), default=Value(1), output_field=IntegerField())
        rows: QuerySet[ChildOrder] = super().get_queryset(request)
        return rows.annotate(lane=lane).order_by("lane", "-sent_at", "id")


@admin.register(OrderEvent)
class OrderEventAdmin(ReadOnlyAdmin):
    whose = "intent__user_id"
    list_display = ("at", "intent", "teller", "code", "from_state", "to_state")
    list_filter = ("teller",)
    list_select_related = ("intent__instrument", "intent__user")
    search_fields = ("intent__id", "child__tag", "code")


@admin.register(RoutingDecision)
class RoutingDecisionAdmin(ReadOnlyAdmin):
    whose = "intent__user_id"
    list_display = ("made_at", "intent", "solver", "microseconds")
    list_select_related = ("intent__instrument", "intent__user")
    search_fields = ("intent__id",)


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    whose = "child__intent__user_id"
    list_display = ("noted_at", "child", "trade_id", "quantity", "price", "traded_at")
    list_select_related = ("child__intent__user",)
    search_fields = ("trade_id", "child__tag")


@admin.register(SeenOrder)
class SeenOrderAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = ("placed_at", "broker_connection", "broker_order_id", "tradingsymbol", "side", "quantity", "status")
    list_filter = ("status",)
    list_select_related = ("broker_connection__user",)
    search_fields = ("broker_order_id", "tag")


@admin.register(GttOrder)
class GttOrderAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("created_at", "user", "__str__", "broker_type", "status", "broker_gtt_id", "reason_code")
    list_filter = ("status", "broker_type")
    list_select_related = ("user", "instrument")


@admin.register(OrderGroup)
class OrderGroupAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("created_at", "user", "origin", "id")
    list_filter = ("origin",)
    list_select_related = ("user",)


@admin.register(OrderSettings)
class OrderSettingsAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("user", "approval_above", "approval_products", "split_penalty", "updated_at")
    list_select_related = ("user",)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("created_at", "user", "key", "intent", "group", "gtt")
    list_select_related = ("user", "intent__instrument", "group", "gtt__instrument")
    search_fields = ("key",)


@admin.register(ContractNote)
class ContractNoteAdmin(ReadOnlyAdmin):
    whose = "child__intent__user_id"
    list_display = ("dated", "child", "number", "total", "source", "noted_at")
    list_select_related = ("child__intent__user",)
    search_fields = ("number", "child__tag")
