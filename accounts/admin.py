"""People in the admin. What is about how they sign in can be looked at, and changed by services alone."""

from __future__ import annotations

from functools import partial
from smtplib import SMTPException
from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts import audit, invitations, letters
from accounts.alert_models import AlertDelivery, AlertRoute
from accounts.desk import ReadOnlyAdmin, WatchedAdmin
from accounts.events import Event
from accounts.models import (
    AccountDeletion,
    ApiSession,
    AuditCheckpoint,
    AuditEntry,
    Invitation,
    PersonalToken,
    SignInPlace,
    TrustedDevice,
    User,
)


@admin.register(User)
class PersonAdmin(WatchedAdmin, UserAdmin):
    list_display = ("username", "email", "role", "is_active", "is_staff", "last_login")
    list_filter = ("role", "is_active", "is_staff")
    search_fields = ("username", "email", "first_name", "last_name", "broker_connections__account_id")
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Role", {"fields": ("role",)}))
    add_fieldsets = (*UserAdmin.add_fieldsets, ("Role", {"fields": ("role",)}))
    whose = "pk"

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Another address takes the place of all that are known: whoever has the old mailbox has nothing any more."""
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            EmailAddress.objects.filter(user=obj).delete()
            audit.record(Event.EMAIL_CHANGED, subject=obj)


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


def _send(request: HttpRequest, made: Invitation, link: str) -> None:
    try:
        letters.send_invitation(made, link)
    except (SMTPException, OSError) as error:
        messages.error(request, f"The letter was not sent ({type(error).__name__}). Delete this and try again.")


class OfAPerson(ReadOnlyAdmin):
    list_select_related: ClassVar[Any] = ("user",)
    search_fields: ClassVar[Any] = ("user__username", "user__email")
    whose = "user_id"


class InvitationForm(forms.ModelForm):
    class Meta:
        model = Invitation
        fields = ("email",)

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).strip().lower()
        if User.objects.filter(email__iexact=email).exists():
            raise forms.ValidationError("Somebody has an account with this address.")
        return email


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    """Adding one sends the letter; nobody, its author included, can read the link again. Deleting one takes it back."""

    whose = "accepted_by_id"
    list_display = ("email", "invited_by", "created_at", "expires_at", "was_mailed", "accepted_by", "accepted_at")
    list_filter = ("was_mailed",)
    list_select_related: ClassVar[Any] = ("invited_by", "accepted_by")
    search_fields = ("email", "accepted_by__username")
    form = InvitationForm
    exclude = ("token_hash",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.add_invitation"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("accounts.delete_invitation"))

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        author = request.user if isinstance(request.user, User) else None
        made, link = invitations.invite(email=obj.email, invited_by=author, now=timezone.now(), was_mailed=True)
        obj.pk = made.pk
        # After the commit: a mail server that hangs must not hold the turn of everybody who writes to the audit log.
        transaction.on_commit(partial(_send, request, made, link))


@admin.register(TrustedDevice)
class TrustedDeviceAdmin(OfAPerson):
    list_display = ("user", "name", "address", "created_at", "last_used_at", "expires_at")
    exclude = ("token_hash", "password_mark")


@admin.register(SignInPlace)
class SignInPlaceAdmin(OfAPerson):
    list_display = ("user", "address", "user_agent", "first_seen_at", "last_seen_at")
    search_fields = ("user__username", "user__email", "address")


@admin.register(ApiSession)
class ApiSessionAdmin(OfAPerson):
    list_display = ("user", "name", "scope", "address", "created_at", "refreshed_at", "expires_at")
    list_filter = ("scope",)
    exclude = ("password_mark",)


@admin.register(PersonalToken)
class PersonalTokenAdmin(OfAPerson):
    list_display = ("user", "name", "ending", "scope", "created_at", "last_used_at", "expires_at")
    list_filter = ("scope",)
    exclude = ("token_hash", "password_mark")


# django-allauth registers its tables with forms that show, and change, more than anybody at a desk should.
for model in (Authenticator, UserSession, EmailAddress):
    admin.site.unregister(model)


@admin.register(Authenticator)
class FactorAdmin(OfAPerson):
    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    exclude = ("data",)


@admin.register(UserSession)
class UserSessionAdmin(OfAPerson):
    list_display = ("user", "created_at", "ip", "user_agent")
    search_fields = ("user__username", "user__email", "ip")
    exclude = ("session_key", "data")


@admin.register(EmailAddress)
class EmailAddressAdmin(OfAPerson):
    list_display = ("email", "user", "primary", "verified")
    list_filter = ("primary", "verified")
    search_fields = ("email", "user__username")


@admin.register(AlertRoute)
class AlertRouteAdmin(ReadOnlyAdmin):
    """Where a webhook leads stands at its own page, as its host alone."""

    whose = "user_id"
    list_display = ("user", "way", "is_enabled", "failures", "muted_until", "last_sent_at", "last_error")
    list_filter = ("way", "is_enabled", "last_error")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(ReadOnlyAdmin):
    whose = "route__user_id"
    list_display = ("happened_at", "route", "kind", "subject_key", "state", "attempts", "next_due_at", "last_error")
    list_filter = ("state", "kind", "last_error")
    list_select_related = ("route",)
    search_fields = ("route__user__username", "subject_key", "event_id")
    date_hierarchy = "happened_at"
