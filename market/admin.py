"""For the person on call: what each master said, where two disagree, the hours of the markets, and their past."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from brokers.admin import ReadOnlyAdmin
from market.candle_models import CandleFill, DailyCandle, Sector
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


class IsDisputed(admin.SimpleListFilter):
    title = "disputed"
    parameter_name = "disputed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(disputes__gt=0) if self.value() else queryset


@admin.register(DailyCandle)
class DailyCandleAdmin(ReadOnlyAdmin):
    list_display = (
        "instrument",
        "day",
        "open_price",
        "high_price",
        "low_price",
        "close_price",
        "volume",
        "source",
        "suspected_split",
        "disputes",
        "disputed_by",
        "disputed_close",
    )
    list_filter = ("suspected_split", IsDisputed, "source")
    list_select_related = ("instrument",)
    search_fields = ("instrument__tradingsymbol__exact", "instrument__isin__exact")
    date_hierarchy = "day"
    show_full_result_count = False


@admin.register(CandleFill)
class CandleFillAdmin(ReadOnlyAdmin):
    list_display = (
        "instrument",
        "state",
        "next_due_at",
        "first_day",
        "last_day",
        "day_count",
        "source",
        "attempts",
        "last_error_code",
        "last_asked_at",
        "replaced_at",
    )
    list_filter = ("state", "source", "last_error_code")
    list_select_related = ("instrument",)
    search_fields = ("instrument__tradingsymbol__exact", "instrument__isin__exact")


@admin.register(Sector)
class SectorAdmin(ReadOnlyAdmin):
    list_display = ("isin", "sector", "source", "as_of")
    list_filter = ("sector",)
    search_fields = ("isin__exact", "sector")


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
