"""What happened to my account: the user's own events of the audit log."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.events import Event
from accounts.models import AuditEntry, User
from accounts.permissions import trader

WORDS = dict(Event.choices)


class AuditRequest(serializers.Serializer[Any]):
    before = serializers.IntegerField(required=False, min_value=1, help_text="`next` of the page before.")
    limit = serializers.IntegerField(default=50, min_value=1, max_value=200)


class EventAnswer(serializers.ModelSerializer[AuditEntry]):
    at = serializers.DateTimeField(default_timezone=UTC)
    words = serializers.SerializerMethodField(help_text="The event for people; may be reworded.")
    by_me = serializers.SerializerMethodField(help_text="Whether the user did it themselves.")
    address = serializers.SerializerMethodField(help_text="From which IP address; null: from none.")

    class Meta:
        model = AuditEntry
        fields = (
            *("sequence", "at", "event", "words", "actor", "by_me", "object_kind", "object_id", "address", "details"),
            "hash",
        )
        read_only_fields = fields

    def get_words(self, row: AuditEntry) -> str:
        return str(WORDS.get(row.event, row.event))

    def get_by_me(self, row: AuditEntry) -> bool:
        return row.actor_id is not None and row.actor_id == row.subject_id

    def get_address(self, row: AuditEntry) -> str | None:
        """Not that of staff: where they sit is theirs."""
        return row.address or None if self.get_by_me(row) or row.actor_id is None else None


class AuditPage(serializers.Serializer[Any]):
    events = EventAnswer(many=True)
    next = serializers.IntegerField(allow_null=True, help_text="Send as `before` for what is older; null: no more.")


class AuditView(APIView):
    @extend_schema(summary="What happened to my account, newest first", parameters=[AuditRequest], responses=AuditPage)
    def get(self, request: Request) -> Response:
        asked = AuditRequest(data=request.query_params)
        asked.is_valid(raise_exception=True)
        events, following = page_of(trader(request), **asked.validated_data)
        return Response(AuditPage({"events": events, "next": following}).data)


def page_of(user: User, *, limit: int, before: int | None = None) -> tuple[list[AuditEntry], int | None]:
    """The newest events of a person before that one; and the `before` of what is older, None where nothing is."""
    rows = AuditEntry.objects.filter(subject_id=user.pk)
    if before is not None:
        rows = rows.filter(sequence__lt=before)
    page = list(rows.order_by("-sequence")[: limit + 1])
    return page[:limit], page[limit - 1].sequence if len(page) > limit else None
