"""For the person on call: what each master said, where two of them disagree, and the hours of the markets."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from brokers.admin import ReadOnlyAdmin
from market.days import sessions_of
from market.models import Instrument, InstrumentDispute, InstrumentListing, MarketDay, MasterLoad


class IsOpen(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(closed_at__isnull=self.value() == "open") if self.value() else queryset


class ListingInline(admin.TabularInline):
    model = InstrumentListing
    fields = (
        "broker_type",
        "broker_token",
        "tradingsymbol",
        "multiplier",
        "isin",
        "expiry",
        "lot_size",
        "tick_size",
        "withdrawn_on",
    )
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    list_display = ("tradingsymbol", "exchange", "kind", "isin", "expiry", "lot_size", "last_seen_on", "ended_on")
    list_filter = ("exchange", "kind", "cas_eligible")
    search_fields = ("tradingsymbol__startswith", "isin__exact", "underlying__exact", "exchange_token__exact")
    show_full_result_count = False
    inlines = (ListingInline,)


@admin.register(InstrumentListing)
class InstrumentListingAdmin(ReadOnlyAdmin):
    list_display = ("tradingsymbol", "broker_type", "broker_token", "lot_size", "withdrawn_on")
    list_filter = ("broker_type",)
    list_select_related = ("instrument",)
    search_fields = ("broker_token__exact", "instrument__tradingsymbol__startswith")
    show_full_result_count = False


@admin.register(InstrumentDispute)
class InstrumentDisputeAdmin(ReadOnlyAdmin):
    list_display = ("instrument", "field", "said", "opened_at", "closed_at")
    list_filter = (IsOpen, "field", "instrument__exchange")
    list_select_related = ("instrument",)
    search_fields = ("instrument__tradingsymbol__startswith", "instrument__isin__exact")
    date_hierarchy = "opened_at"


@admin.register(MasterLoad)
class MasterLoadAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "broker_type",
        "outcome",
        "row_count",
        "new_count",
        "succeeded_count",
        "withdrawn_count",
        "error_code",
    )
    list_filter = ("outcome", "broker_type")
    search_fields = ("broker_type", "error_code", "error_message")
    date_hierarchy = "started_at"


class MarketDayForm(ModelForm):
    def clean_sessions(self) -> Any:
        sessions = self.cleaned_data["sessions"] or []
        sessions_of(sessions)
        return sessions


@admin.register(MarketDay)
class MarketDayAdmin(admin.ModelAdmin):
    """The one table that support edits. The row keeps who edited it last, and its history everybody."""

    form = MarketDayForm
    list_display = ("date", "exchange", "kind", "settles", "note", "edited_by", "edited_at")
    list_filter = ("exchange", "kind", "settles")
    list_select_related = ("edited_by",)
    search_fields = ("date", "note", "source")
    date_hierarchy = "date"
    readonly_fields = ("edited_by", "edited_at")

    def save_model(self, request: HttpRequest, obj: MarketDay, form: Any, change: bool) -> None:
        obj.edited_by_id, obj.edited_at = request.user.pk, timezone.now()
        super().save_model(request, obj, form, change)
