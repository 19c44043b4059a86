"""For the person on call: how far cancelling has come after a kill switch was pulled."""

from __future__ import annotations

from django.contrib import admin

from accounts.desk import ReadOnlyAdmin
from orders.halt_models import HaltProgress


@admin.register(HaltProgress)
class HaltProgressAdmin(ReadOnlyAdmin):
    whose = "halt__user_id"
    list_display = ("begun_at", "halt", "broker_type", "state", "rounds", "in_doubt", "reason_code", "next_at")
    list_filter = ("state", "broker_type")
    list_select_related = ("halt__user", "broker_connection")
