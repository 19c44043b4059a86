from django.contrib import admin

from brokers.admin import ReadOnlyAdmin
from health.models import BrokerHealthLog


@admin.register(BrokerHealthLog)
class BrokerHealthLogAdmin(ReadOnlyAdmin):
    list_display = ("checked_at", "broker_connection", "check_type", "status", "response_time_ms", "error_code")
    list_filter = ("status", "check_type", "broker_connection__broker_type")
    list_select_related = ("broker_connection",)
    search_fields = (
        "broker_connection__id",
        "broker_connection__account_id",
        "broker_connection__user__username",
        "error_code",
    )
    date_hierarchy = "checked_at"
