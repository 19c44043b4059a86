"""Rates and plans, edited by staff: a new rate is a new row, and the old one gets a last day and stays."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts import audit
from accounts.desk import WatchedAdmin
from accounts.events import Event
from accounts.models import User
from brokers.admin import BrokerConnectionAdmin
from orders.charge_models import AccountTerms, BrokerPlan, DatedRow, StatutoryRate
from orders.costing import note_terms

# What may change in a row that deals were reckoned by: until when it holds, and how well it is known.
STAYS_OPEN = ("effective_to", "status", "sources", "note", "notes", "verified_on", "is_default")
SECRETS = BrokerConnectionAdmin.exclude


class DatedAdmin(WatchedAdmin):
    """Rows that are added, and ended by a last day. None is deleted, and no rate is changed in its place."""

    date_hierarchy = "effective_from"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return []
        return [
            field.name
            for field in self.opts.concrete_fields
            if field.name not in STAYS_OPEN and field.editable and not field.primary_key
        ]

    def save_model(self, request: HttpRequest, obj: DatedRow, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        assert isinstance(request.user, User)  # noqa: S101 - the admin has seen to it
        audit.record(
            Event.RATE_CHANGED,
            actor=request.user,
            thing=(self.opts.model_name or "", obj.pk),
            now=timezone.now(),
            row=str(obj),
            fields=sorted(form.changed_data),
            until=str(obj.effective_to or ""),
        )


@admin.register(StatutoryRate)
class StatutoryRateAdmin(DatedAdmin):
    list_display = (
        *("component", "segment", "exchange", "side", "rate", "effective_from", "effective_to", "status"),
        *("applies_to", "bse_groups", "underlyings"),
    )
    list_filter = ("component", "segment", "exchange", "status")
    search_fields = ("component", "segment", "note")


@admin.register(BrokerPlan)
class BrokerPlanAdmin(DatedAdmin):
    list_display = ("broker", "plan_id", "is_default", "effective_from", "effective_to", "status", "verified_on")
    list_filter = ("broker", "status", "is_default")
    search_fields = ("broker", "plan_id")


@admin.register(AccountTerms)
class AccountTermsAdmin(WatchedAdmin):
    """What one account pays, as its contract notes show it: support enters it for a trader who asks."""

    whose = "broker_connection__user_id"
    list_display = ("broker_connection", "plan_id", "is_woman", "overrides", "updated_at")
    list_filter = ("plan_id", "is_woman")
    list_select_related = ("broker_connection",)
    search_fields = ("broker_connection__account_id", "broker_connection__user__username")
    raw_id_fields = ("broker_connection",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else ["broker_connection"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Ciphertext is not even read."""
        return super().get_queryset(request).defer(*(f"broker_connection__{name}" for name in SECRETS))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: AccountTerms, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        assert isinstance(request.user, User)  # noqa: S101 - the admin has seen to it
        note_terms(obj, actor=request.user, now=timezone.now())
