from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.desk import ReadOnlyAdmin, WatchedAdmin
from accounts.models import AccountDeletion, AuditCheckpoint, AuditEntry, User


@admin.register(User)
class PersonAdmin(WatchedAdmin, UserAdmin):
    list_display = ("username", "email", "role", "is_active", "is_staff", "last_login")
    list_filter = ("role", "is_active", "is_staff")
    search_fields = ("username", "email", "first_name", "last_name", "broker_connections__account_id")
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Role", {"fields": ("role",)}))
    add_fieldsets = (*UserAdmin.add_fieldsets, ("Role", {"fields": ("role",)}))
    whose = "pk"


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = (
        *("sequence", "at", "event", "actor", "actor_id", "subject_id", "object_kind", "object_id", "address"),
        "details",
    )
    list_filter = ("actor", ("event", admin.AllValuesFieldListFilter), ("object_kind", admin.AllValuesFieldListFilter))
    search_fields = ("event", "object_id", "address")
    search_help_text = "Event, object, address, or a person's username or e-mail address"
    date_hierarchy = "at"
    whose = "subject_id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A person's events are found by name, though the log holds only their id."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        if not search_term:
            return found, may_repeat
        named = User.objects.filter(Q(username__icontains=search_term) | Q(email__icontains=search_term)).values("pk")
        return found | queryset.filter(Q(subject_id__in=named) | Q(actor_id__in=named)), may_repeat


@admin.register(AuditCheckpoint)
class AuditCheckpointAdmin(ReadOnlyAdmin):
    list_display = ("sequence", "hash", "made_at")
    search_fields = ("hash",)


@admin.register(AccountDeletion)
class AccountDeletionAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("user_id", "asked_at", "finished_at", "brokers")
    list_filter = (("finished_at", admin.EmptyFieldListFilter),)
    search_fields = ("user_id",)
