from django.contrib import admin

from brokers.admin import ReadOnlyAdmin
from health.models import BrokerHealthLog, BrokerRollup, CheckSchedule, HealthCursor, HealthRollup, Incident

OF_CONNECTION = ("broker_connection__id", "broker_connection__account_id", "broker_connection__user__username")


@admin.register(BrokerHealthLog)
class BrokerHealthLogAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = ("checked_at", "broker_connection", "check_type", "status", "response_time_ms", "error_code")
    list_filter = ("status", "check_type", "broker_connection__broker_type")
    list_select_related = ("broker_connection",)
    search_fields = (*OF_CONNECTION, "error_code")
    date_hierarchy = "checked_at"


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = (
        "opened_at",
        "closed_at",
        "broker_type",
        "broker_connection",
        "kind",
        "planned",
        "error_code",
        "seen_after_seconds",
    )
    list_filter = (("closed_at", admin.EmptyFieldListFilter), "broker_type", "kind", "planned")
    list_select_related = ("broker_connection",)
    search_fields = (*OF_CONNECTION, "error_code", "message")
    date_hierarchy = "opened_at"


@admin.register(CheckSchedule)
class CheckScheduleAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = (
        "broker_connection",
        "check_type",
        "last_status",
        "last_error_code",
        "consecutive_failures",
        "last_checked_at",
        "due_at",
        "held",
    )
    list_filter = (("due_at", admin.EmptyFieldListFilter), "held", "last_status", "check_type", "broker_type")
    list_select_related = ("broker_connection",)
    search_fields = (*OF_CONNECTION, "last_error_code")


@admin.register(HealthRollup)
class HealthRollupAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = ("hour", "broker_connection", "check_type", "checks", "failures", "errors")
    list_filter = ("check_type", "broker_connection__broker_type")
    list_select_related = ("broker_connection",)
    search_fields = OF_CONNECTION
    date_hierarchy = "hour"


@admin.register(BrokerRollup)
class BrokerRollupAdmin(ReadOnlyAdmin):
    list_display = ("hour", "broker_type", "check_type", "checks", "failures", "errors")
    list_filter = ("broker_type", "check_type")
    search_fields = ("broker_type",)
    date_hierarchy = "hour"


@admin.register(HealthCursor)
class HealthCursorAdmin(ReadOnlyAdmin):
    list_display = ("name", "position", "at")
    search_fields = ("name",)
