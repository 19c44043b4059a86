from django.contrib import admin

from brokers.admin import ReadOnlyAdmin
from portfolio.flow_models import CashFlow
from portfolio.limit_models import LimitWatch
from portfolio.models import BrokerPositionBreakdown, BrokerSnapshot, ConsolidatedPosition, UnmatchedInstrument
from portfolio.risk_models import EquityDay, RiskBreach, RiskLimit, TradingHalt, UserScenario


class BreakdownInline(admin.TabularInline):
    model = BrokerPositionBreakdown
    fields = ("broker_connection", "product", "quantity", "avg_price", "current_value")
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(ConsolidatedPosition)
class ConsolidatedPositionAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = (
        "symbol",
        "user",
        "total_quantity",
        "avg_price",
        "current_value",
        "unrealized_pnl",
        "stale",
        "last_updated",
    )
    list_filter = ("stale",)
    list_select_related = ("user",)
    search_fields = ("symbol", "instrument_key", "company_name", "user__username", "user__email")
    inlines = (BreakdownInline,)


@admin.register(BrokerPositionBreakdown)
class BrokerPositionBreakdownAdmin(ReadOnlyAdmin):
    whose = "consolidated_position__user_id"
    list_display = ("consolidated_position", "broker_connection", "product", "quantity", "avg_price", "current_value")
    list_filter = ("broker_connection__broker_type", "product")
    list_select_related = ("consolidated_position", "broker_connection")
    search_fields = ("consolidated_position__symbol", "broker_connection__account_id")


@admin.register(UnmatchedInstrument)
class UnmatchedInstrumentAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = ("symbol", "exchange", "broker_connection", "first_seen_at", "last_seen_at")
    list_filter = ("exchange", "broker_connection__broker_type")
    list_select_related = ("broker_connection",)
    search_fields = ("symbol", "broker_connection__account_id")
    date_hierarchy = "last_seen_at"


@admin.register(BrokerSnapshot)
class BrokerSnapshotAdmin(ReadOnlyAdmin):
    whose = "connection__user_id"
    list_display = ("connection", "as_of", "funds_as_of")
    list_filter = ("connection__broker_type",)
    list_select_related = ("connection",)
    search_fields = ("connection__account_id", "connection__user__username")
    date_hierarchy = "as_of"


@admin.register(RiskLimit)
class RiskLimitAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("user", "metric", "scope", "scope_key", "warn", "block", "action", "is_enabled", "state", "value")
    list_filter = ("state", "is_enabled", "metric", "scope")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "scope_key")


@admin.register(RiskBreach)
class RiskBreachAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("opened_at", "user", "metric", "scope_key", "level", "worst_value", "cleared_at", "acknowledged_at")
    list_filter = ("level", "metric", ("cleared_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "scope_key")
    date_hierarchy = "opened_at"


@admin.register(LimitWatch)
class LimitWatchAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("user", "looked_at", "problem", "defaults_made_at")
    list_filter = ("problem",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")


@admin.register(TradingHalt)
class TradingHaltAdmin(ReadOnlyAdmin):
    """To look at: nobody ends a halt here, and a lock nobody ends before its time."""

    whose = "user_id"
    list_display = ("set_at", "user", "kind", "level", "cause", "set_by", "locked_until", "ended_at", "ended_by")
    list_filter = ("kind", "level", "cause")
    list_select_related = ("user", "set_by", "ended_by")
    search_fields = ("user__username",)
    date_hierarchy = "set_at"


@admin.register(EquityDay)
class EquityDayAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("day", "user", "equity", "day_pnl", "cash_flow", "unexplained", "complete", "as_of")
    list_filter = ("complete",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    date_hierarchy = "day"


@admin.register(CashFlow)
class CashFlowAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("day", "user", "amount", "note", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "note")
    date_hierarchy = "day"


@admin.register(UserScenario)
class UserScenarioAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("name", "user", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "name")
