"""The answers of the health API, described; they are built in `reports` and `timeline`."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from brokers.statuses import STATUS_CHOICES, Actor
from health.models import CheckType, IncidentKind

STATES = ("UP", "DEGRADED", "DOWN", "MAINTENANCE", "UNKNOWN")
LONGEST_REPORT = 90
LONGEST_PAGE = 200


def _percent(**options: Any) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=6, decimal_places=3, allow_null=True, **options)


class CountsAnswer(serializers.Serializer[Any]):
    checks = serializers.IntegerField()
    failures = serializers.IntegerField()
    p50_ms = serializers.IntegerField(allow_null=True, help_text="Of the checks that succeeded; off by 7 % at most.")
    p95_ms = serializers.IntegerField(allow_null=True)
    error_classes = serializers.DictField(child=serializers.IntegerField(), help_text="Failures by error code.")


class CheckTypeAnswer(CountsAnswer):
    check_type = serializers.ChoiceField(choices=CheckType.choices)


class IncidentAnswer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=IncidentKind.choices)
    words = serializers.CharField()
    planned = serializers.BooleanField(help_text="Announced by the broker: no part of its uptime.")
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class OwnIncidentAnswer(IncidentAnswer):
    error_code = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)


class UptimeAnswer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        return {name: _percent() for name in ("24h", "7d", "30d")}


class CircuitAnswer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    state = serializers.CharField()
    opened_at = serializers.DateTimeField(allow_null=True)
    retry_at = serializers.DateTimeField(allow_null=True)


class ScheduleAnswer(serializers.Serializer[Any]):
    check_type = serializers.ChoiceField(choices=CheckType.choices)
    status = serializers.ChoiceField(choices=STATUS_CHOICES, allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    consecutive_failures = serializers.IntegerField()
    last_checked_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True, help_text="Null: not checked before the next login.")


class OwnConnectionAnswer(CountsAnswer):
    id = serializers.UUIDField()
    display_name = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUS_CHOICES)
    since = serializers.DateTimeField(allow_null=True)
    uptime_pct = UptimeAnswer()
    open_incident = OwnIncidentAnswer(allow_null=True)
    schedule = ScheduleAnswer(many=True)


class BrokerHealthAnswer(CountsAnswer):
    broker_type = serializers.CharField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    since = serializers.DateTimeField(allow_null=True)
    uptime_pct = UptimeAnswer()
    checks_by_type = CheckTypeAnswer(many=True)
    open_incidents = IncidentAnswer(many=True)
    circuits = CircuitAnswer(many=True)
    connections = OwnConnectionAnswer(many=True, help_text="The trader's own.")


class HealthAnswer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField()
    brokers = BrokerHealthAnswer(many=True)


class DayAnswer(serializers.Serializer[Any]):
    date = serializers.DateField(help_text="A day in India.")
    uptime_pct = _percent()


class CardAnswer(CountsAnswer):
    broker_type = serializers.CharField()
    name = serializers.CharField()
    days = serializers.IntegerField()
    as_of = serializers.DateTimeField()
    uptime_pct = _percent()
    checks_by_type = CheckTypeAnswer(many=True)
    incidents = IncidentAnswer(many=True)
    longest_outage_seconds = serializers.IntegerField(allow_null=True)
    daily = DayAnswer(many=True)


class CardRequest(serializers.Serializer[Any]):
    days = serializers.IntegerField(min_value=1, max_value=LONGEST_REPORT, default=30)


class TimelineRequest(serializers.Serializer[Any]):
    before = serializers.DateTimeField(required=False, help_text="The `next` of the page before.")
    limit = serializers.IntegerField(min_value=1, max_value=LONGEST_PAGE, default=50)


class EntryAnswer(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="LOGIN, STATUS, INCIDENT or CHECKS.")
    at = serializers.DateTimeField(help_text="When it happened, or began.")
    until = serializers.DateTimeField(allow_null=True, help_text="When the last check, or the incident, was over.")
    check_type = serializers.ChoiceField(choices=CheckType.choices, allow_null=True)
    status = serializers.CharField()
    from_status = serializers.CharField(allow_null=True)
    by = serializers.ChoiceField(choices=Actor.choices, allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)
    count = serializers.IntegerField(allow_null=True)
    p50_ms = serializers.IntegerField(allow_null=True)


class TimelineAnswer(serializers.Serializer[Any]):
    entries = EntryAnswer(many=True)
    next = serializers.DateTimeField(allow_null=True, help_text="Send it as `before` for what is older.")
