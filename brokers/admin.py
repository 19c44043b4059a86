"""For the person on call at 09:15: what is each connection, since when, and why. Nothing here shows a secret."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince

from accounts import desk
from brokers.agreements import ConnectionConsent, ConnectionGrant
from brokers.alert_models import AlertWebhook
from brokers.clearance import Light
from brokers.lights import clearance_of
from brokers.models import (
    BrokerApp,
    BrokerConnection,
    ConnectionChange,
    KeyProof,
    LoginReminder,
    OAuthState,
    ReplyDrift,
    ReplyShape,
)
from brokers.postback_models import BrokerPostback, PostbackInbox


class ReadOnlyAdmin(desk.ReadOnlyAdmin):
    """What is not shown is not read: one secret that no key reads must not hide the other rows."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        hidden = list(self.exclude or ())
        if "broker_connection" in (self.list_select_related or ()):  # type: ignore[operator]
            hidden += [f"broker_connection__{name}" for name in BrokerConnectionAdmin.exclude]
        return super().get_queryset(request).defer(*hidden)


@admin.register(BrokerConnection)
class BrokerConnectionAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = (
        "display_name",
        "user",
        "broker_type",
        "account_id",
        "status",
        "data",
        "orders",
        "last_success",
        "failures",
        "error_code",
    )
    list_filter = ("status", "broker_type")
    list_select_related = ("user",)
    search_fields = ("id", "account_id", "display_name", "user__username", "user__email")
    ordering = ("-updated_at",)
    exclude = ("access_token_encrypted", "refresh_token_encrypted", "feed_token_encrypted")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["status_changes", "health_log", *super().get_fields(request, obj)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["status_changes", "health_log", *super().get_readonly_fields(request, obj)]

    @admin.display(description="status changes")
    def status_changes(self, connection: BrokerConnection) -> str:
        query = urlencode({"broker_connection__id__exact": connection.pk})
        address = reverse("admin:brokers_connectionchange_changelist")
        return format_html('<a href="{}?{}">Logins and changes of status</a>', address, query)

    @admin.display(description="health log")
    def health_log(self, connection: BrokerConnection) -> str:
        """Its checks, newest first. By address: this room knows nothing of the one that checks."""
        query = urlencode({"broker_connection__id__exact": connection.pk})
        return format_html('<a href="{}?{}">All checks</a>', reverse("admin:health_brokerhealthlog_changelist"), query)

    @admin.display(description="data")
    def data(self, connection: BrokerConnection) -> str:
        return _in_words(clearance_of(connection, now=timezone.now()).data)

    @admin.display(description="orders at the broker")
    def orders(self, connection: BrokerConnection) -> str:
        return _in_words(clearance_of(connection, now=timezone.now()).trade)

    @admin.display(description="last success", ordering="last_successful_call")
    def last_success(self, connection: BrokerConnection) -> str:
        when = connection.last_successful_call
        return f"{timesince(when)} ago" if when else "never"

    @admin.display(description="failures", ordering="consecutive_failures")
    def failures(self, connection: BrokerConnection) -> int:
        return connection.consecutive_failures


def _in_words(light: Light) -> str:
    """Its answer and, by their codes, the reasons for it."""
    codes = ", ".join(reason.code for reason in light.reasons)
    return f"{light.state}: {codes}" if codes else str(light.state)


@admin.register(ConnectionChange)
class ConnectionChangeAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = ("at", "broker_connection", "from_status", "to_status", "actor", "user", "error_code", "reason")
    list_filter = ("to_status", "from_status", "actor", "broker_connection__broker_type")
    list_select_related = ("broker_connection", "user")
    search_fields = ("broker_connection__id", "broker_connection__account_id", "user__username", "error_code")
    date_hierarchy = "at"


@admin.register(BrokerPostback)
class BrokerPostbackAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = ("received_at", "broker_connection", "verified", "outcome", "broker_order_id")
    list_filter = ("outcome", "verified", "broker_connection__broker_type")
    list_select_related = ("broker_connection",)
    search_fields = (
        "broker_connection__id",
        "broker_connection__account_id",
        "broker_connection__user__username",
        "broker_order_id",
    )
    date_hierarchy = "received_at"


@admin.register(PostbackInbox)
class PostbackInboxAdmin(ReadOnlyAdmin):
    whose = "broker_connection__user_id"
    list_display = ("broker_connection", "has_address", "made_at", "last_received_at", "read_at", "read_due_at")
    list_filter = ("broker_connection__broker_type",)
    list_select_related = ("broker_connection",)
    search_fields = (
        "broker_connection__id",
        "broker_connection__account_id",
        "broker_connection__user__username",
    )
    exclude = ("address_hash",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return cast(QuerySet[Any], rows.annotate(is_addressed=Q(address_hash__isnull=False)))

    @admin.display(boolean=True)
    def has_address(self, inbox: PostbackInbox) -> bool:
        return bool(inbox.is_addressed)  # type: ignore[attr-defined]


@admin.register(BrokerApp)
class BrokerAppAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("user", "broker_type", "created_at", "updated_at")
    list_filter = ("broker_type",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    exclude = ("api_key_encrypted", "api_secret_encrypted", "extra_encrypted")


@admin.register(OAuthState)
class OAuthStateAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("user", "broker_type", "redirect_uri", "created_at", "expires_at")
    list_filter = ("broker_type",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    exclude = ("state",)


@admin.register(LoginReminder)
class LoginReminderAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("user", "by_email", "has_webhook", "last_sent_on", "last_error")
    list_filter = ("by_email",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    # An address of the trader's may carry a key of its own.
    exclude = ("webhook_url", "webhook_secret_encrypted")

    @admin.display(boolean=True)
    def has_webhook(self, reminder: LoginReminder) -> bool:
        return bool(reminder.webhook_url)


@admin.register(ConnectionConsent)
class ConnectionConsentAdmin(ReadOnlyAdmin):
    whose = "user_id"
    list_display = ("at", "user_id", "broker_type", "connection_id", "scope", "act", "version", "is_stated", "address")
    list_filter = ("act", "is_stated")
    search_fields = ("connection_id", "broker_type", "version", "address")


@admin.register(ConnectionGrant)
class ConnectionGrantAdmin(ReadOnlyAdmin):
    """The viewer's own rows do not appear here; the owner's do."""

    whose = "owner_id"
    list_display = ("created_at", "owner", "viewer", "named", "expires_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("owner", "viewer")
    search_fields = ("owner__username", "owner__email", "viewer__username", "named")
    date_hierarchy = "created_at"


@admin.register(ReplyDrift)
class ReplyDriftAdmin(ReadOnlyAdmin):
    list_display = ("noticed_at", "broker_type", "call", "place", "field", "appeared")
    list_filter = ("broker_type", "appeared")
    search_fields = ("call", "place", "field")
    date_hierarchy = "noticed_at"


@admin.register(ReplyShape)
class ReplyShapeAdmin(ReadOnlyAdmin):
    list_display = ("broker_type", "call", "updated_at")
    list_filter = ("broker_type",)
    search_fields = ("call",)


@admin.register(KeyProof)
class KeyProofAdmin(ReadOnlyAdmin):
    list_display = ("key_id",)
    search_fields = ("key_id",)
    list_filter = ()
    exclude = ("ciphertext",)


@admin.register(AlertWebhook)
class AlertWebhookAdmin(ReadOnlyAdmin):
    whose = "route__user_id"
    list_display = ("route", "host")
    list_filter = ()
    list_select_related = ("route",)
    search_fields = ("host", "route__user__username")
    exclude = ("url_encrypted", "secret_encrypted")
