"""The base of every page of the admin: to look at, and a look at somebody's rows is an event of the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import reduce
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from accounts.models import AuditEntry, User


class WatchedAdmin(admin.ModelAdmin):
    """Notes whose rows were shown to whom: once per person, page and hour.

    `whose` is the way from a row to the id of the person it belongs to, such as `broker_connection__user_id`; None
    where rows are nobody's.
    """

    whose: ClassVar[str | None] = None

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """By what the list offers alone.

        Django lets the address of a list ask for any column by any comparison: `session_key__startswith` would tell
        whoever may look at sessions the key of each, sign by sign.
        """
        filters = self.get_list_filter(request) if request is not None else self.list_filter
        offered = {self.date_hierarchy, *map(_parameter, filters)} - {None}
        return any(lookup == name or lookup.startswith(f"{name}__") for name in offered)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        shown = (answer.context_data or {}).get("cl") if isinstance(answer, TemplateResponse) else None
        if self.whose and shown is not None:
            self._note(request, "list", {_owner(row, self.whose) for row in shown.result_list})
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        answer = super().change_view(request, object_id, form_url, extra_context)
        self._note_one(request, answer, object_id)
        return answer

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        answer = super().history_view(request, object_id, extra_context)
        self._note_one(request, answer, object_id)
        return answer

    def _note_one(self, request: HttpRequest, answer: HttpResponse, object_id: str) -> None:
        if self.whose and answer.status_code == 200:
            row = self.get_object(request, object_id)
            self._note(request, str(object_id), {_owner(row, self.whose)} if row else ())

    def _note(self, request: HttpRequest, page: str, people: Iterable[int | None]) -> None:
        assert isinstance(request.user, User)  # noqa: S101 - the admin has seen to it
        note_view(request.user, self.opts.label_lower, page, people, now=timezone.now())


class ReadOnlyAdmin(WatchedAdmin):
    """Rows to look at. What changes them are services."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def note_view(viewer: User, model: str, page: str, people: Iterable[int | None], *, now: datetime) -> None:
    """One event for each of the people whose rows were shown, unless this hour has it already."""
    others = {person for person in people if person is not None and person != viewer.pk}
    hour = now.replace(minute=0, second=0, microsecond=0)
    told = AuditEntry.objects.filter(
        event=Event.SUPPORT_VIEWED,
        at__gte=hour,
        actor_id=viewer.pk,
        subject_id__in=others,
        object_kind=model[:40],
        object_id=page[:64],
    )
    others -= set(told.values_list("subject_id", flat=True)) if others else set()
    audit.record_all(
        [
            Happened(event=Event.SUPPORT_VIEWED, subject=person, thing=(model[:40], page[:64]))
            for person in sorted(others)
        ],
        actor=viewer,
        now=now,
    )


def _parameter(offered: Any) -> str | None:
    """What a filter of a list is called in its address: a field, a field with its filter, or a filter of our own."""
    if isinstance(offered, type) and issubclass(offered, admin.SimpleListFilter):
        return offered.parameter_name
    return str(offered if isinstance(offered, str) else offered[0])


def _owner(row: Any, whose: str) -> int | None:
    found: int | None = reduce(lambda thing, name: getattr(thing, name, None), whose.split("__"), row)
    return found
