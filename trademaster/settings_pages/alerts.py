"""By which ways one is told of what cannot wait: routes, what was sent by them, and the reminder of logins."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone

from accounts import alerts
from accounts.alert_models import CHOICES, URGENT, AlertDelivery, AlertRoute, DeliveryState, Way
from accounts.models import User
from accounts.refusals import AddressUnconfirmed, RouteIsKept, RouteOff, TooManyRoutes
from brokers import alert_sending, morning
from brokers.alert_views import RouteChange, RouteRequest
from brokers.reach import ConnectRefused
from brokers.secret import Secret
from brokers.serializers import ReminderRequest
from trademaster.pages import trader_page
from trademaster.settings_pages import edge
from trademaster.settings_pages.edge import for_traders

PAGE = "settings-alerts"
MOST_SHOWN = 50
# What was wrong, by the code of it; a code that is missing here is shown as it is.
WRONG = {
    "email_not_confirmed": "the e-mail address is not confirmed",
    "email_not_taken": "the mail server did not take the letter",
    "route_off": "this way was turned off",
    "too_late": "a day had gone by",
    "webhook_unreachable": "the address cannot be reached",
    "webhook_timeout": "the address did not answer in time",
    "webhook_certificate": "the address has no good certificate",
    "webhook_host_unknown": "the address leads nowhere",
    "webhook_address_private": "the address leads into a private network",
    "webhook_not_https": "the address is not encrypted",
    "webhook_url_invalid": "the address is none",
    "webhook_secret_unreadable": "its secret cannot be read: remove this way, and add it anew",
    "webhook_too_large": "the message was too large",
}
ANSWERED = "webhook_http_"
BESIDE: edge.Beside = {
    "too_many_alert_routes": (None, "Remove one first."),
    "alert_route_off": (None, "Turn it on first."),
    "alert_route_kept": (None, "Turn it off instead."),
    **{code: ("url", remedy) for code, remedy in {
        "webhook_url_invalid": "Enter a whole address, such as https://example.com/hook, without a user name in it.",
        "webhook_not_https": "Enter an address that begins with https://.",
        "webhook_host_unknown": "Check how it is spelt.",
        "webhook_address_private": "Enter an address that is reached over the internet.",
    }.items()},
}  # fmt: skip
REMINDER_BESIDE: edge.Beside = {
    "email_missing": ("by_email", "Enter one under E-mail first."),
    **{code: ("webhook_url", remedy) for code, (field, remedy) in BESIDE.items() if field == "url"},
}


class RouteForm(edge.Judged):
    serializer = RouteChange
    beside = BESIDE

    name = forms.CharField(required=False, label="Name", widget=forms.TextInput(attrs={"maxlength": 60}))
    kinds = forms.MultipleChoiceField(
        required=False,
        label="Tell me by it",
        widget=forms.CheckboxSelectMultiple,
        choices=[(kind.value, kind.label) for kind in CHOICES],
    )
    quiet_from = forms.CharField(
        required=False,
        label="Quiet from",
        help_text="IST. Until the hour below nothing comes by it but what is urgent: blocks, and stops of trading.",
        widget=forms.TimeInput(attrs={"type": "time"}),
    )
    quiet_until = forms.CharField(
        required=False, label="Quiet until", widget=forms.TimeInput(attrs={"type": "time"}), help_text="IST."
    )

    def body(self, typed: dict[str, Any]) -> dict[str, Any]:
        hours = {name: typed.get(name) or None for name in ("quiet_from", "quiet_until")}
        return {**typed, **hours, "kinds": typed.get("kinds", [])}


class NewRoute(RouteForm):
    serializer = RouteRequest
    field_order = ("name", "url", "kinds")

    url = forms.CharField(
        required=False,
        label="Address",
        help_text="https, on the internet. It gets a signed JSON message for each alert, and is not shown again.",
        widget=forms.URLInput(attrs={"maxlength": 500, "placeholder": "https://", "autocomplete": "off"}),
    )


class ChangedRoute(RouteForm):
    field_order = ("is_enabled", "name", "kinds", "quiet_from", "quiet_until", "paused_until")

    is_enabled = forms.BooleanField(required=False, label="On")
    paused_until = forms.CharField(
        required=False,
        label="Paused until",
        help_text="IST. Until then nothing comes by it at all, urgent or not; what is older than a day never.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )

    def body(self, typed: dict[str, Any]) -> dict[str, Any]:
        return {**super().body(typed), "paused_until": typed.get("paused_until") or None}


class ReminderForm(edge.Judged):
    serializer = ReminderRequest
    beside = REMINDER_BESIDE

    by_email = forms.BooleanField(required=False, label="By e-mail")
    webhook_url = forms.CharField(
        required=False,
        label="By webhook",
        help_text="https, on the internet. Empty: none. Another address gets another secret.",
        widget=forms.URLInput(attrs={"maxlength": 500, "placeholder": "https://", "autocomplete": "off"}),
    )
    rotate_secret = forms.BooleanField(required=False, label="Make a new secret for the webhook")


@for_traders("GET")
def overview(request: HttpRequest, user: User) -> HttpResponse:
    now = timezone.now()
    alerts.routes_of(user, now=now)
    rows = AlertRoute.objects.filter(user=user).select_related("user", "webhook")
    reminder = morning.reminder_of(user)
    deliveries = AlertDelivery.objects.filter(route__user=user).select_related("route")[:MOST_SHOWN]
    return trader_page(
        request,
        "settings/alerts.html",
        routes=[_told(row, now) for row in rows],
        deliveries=[_delivery(row) for row in deliveries],
        reminder=reminder,
        reminder_error=_reminder_error(reminder.last_error),
        most=alerts.MOST_ROUTES,
    )


@for_traders("GET", "POST")
def add(request: HttpRequest, user: User) -> HttpResponse:
    """Behind a fresh proof, as it leads out of the house. The secret is shown once, where this leads to."""
    if to_proof := edge.led_to_proof(request, request.path):
        return to_proof
    form, now = NewRoute(edge.typed(request), initial={"kinds": [kind.value for kind in CHOICES]}), timezone.now()
    if request.method == "POST" and form.is_valid():
        try:
            route, _ = alert_sending.add_webhook(user=user, now=now, **form.judged)
        except (ConnectRefused, TooManyRoutes) as refusal:
            form.refuse(refusal)
        else:
            return edge.led_to_secret(request, reverse("settings-alert", args=[route.pk]), now)
    return trader_page(request, "settings/alert_new.html", form=form)


@for_traders("GET", "POST")
def change(request: HttpRequest, user: User, id: UUID) -> HttpResponse:
    """What keeps something urgent from being told asks for a fresh proof, as in the API."""
    route, now = _route(user, id), timezone.now()
    if edge.may_show_secret(request, now):
        return _shown_once(request, route.name, route.webhook.secret_encrypted)
    typed = request.POST if request.method == "POST" else edge.kept(request)
    form = ChangedRoute(typed, row=route, initial=_initial(route, now))
    if request.method == "POST" and form.is_valid():
        silences = alerts.silences(route, form.judged, now=now)
        if silences and (to_proof := edge.led_to_proof(request, request.path, keep=True)):
            return to_proof
        alert_sending.change(route, **form.judged)
        messages.success(request, f"“{route.name}” is changed.")
        return redirect(PAGE)
    return trader_page(request, "settings/alert_change.html", form=form, route=_told(_route(user, id), now))


@for_traders("POST")
def test(request: HttpRequest, user: User, id: UUID) -> HttpResponse:
    route = _route(user, id)
    if not edge.held_back(request, "account"):
        try:
            alerts.test(route, now=timezone.now())
        except (AddressUnconfirmed, RouteOff) as refusal:
            messages.error(request, edge.in_words(refusal, BESIDE)[1])
        else:
            messages.success(request, f"A test goes out by “{route.name}”. What became of it stands below in a moment.")
    return redirect(PAGE)


@for_traders("GET", "POST")
def remove(request: HttpRequest, user: User, id: UUID) -> HttpResponse:
    route = _route(user, id)
    if to_proof := edge.led_to_proof(request, request.path):
        return to_proof
    if request.method != "POST":
        return trader_page(request, "settings/alert_remove.html", route=_told(route, timezone.now()))
    try:
        alert_sending.remove(route)
    except RouteIsKept as refusal:
        messages.error(request, edge.in_words(refusal, BESIDE)[1])
    else:
        messages.success(request, f"“{route.name}” is removed: nothing goes there any more.")
    return redirect(PAGE)


@for_traders("GET", "POST")
def reminder(request: HttpRequest, user: User) -> HttpResponse:
    row, now = morning.reminder_of(user), timezone.now()
    if edge.may_show_secret(request, now):
        return _shown_once(request, "Reminder of logins", row.webhook_secret_encrypted)
    form = ReminderForm(edge.typed(request), initial={"by_email": row.by_email, "webhook_url": row.webhook_url})
    if request.method == "POST" and form.is_valid():
        try:
            _, secret = morning.set_reminder(user=user, **form.judged)
        except morning.ReminderRefused as refusal:
            form.refuse(refusal)
        else:
            if secret is not None:
                return edge.led_to_secret(request, request.path, now)
            messages.success(request, "The reminder is changed.")
            return redirect(PAGE)
    return trader_page(request, "settings/reminder.html", form=form, reminder=row)


def _shown_once(request: HttpRequest, title: str, secret: Secret | None) -> HttpResponse:
    """None: it was taken away meanwhile, such as in another window."""
    if secret is None:
        messages.error(request, "There is no secret any more: what it was for was removed meanwhile.")
        return redirect(PAGE)
    return trader_page(request, "settings/secret.html", title=title, secret=secret.reveal(), back_to=PAGE)


def in_words(code: str) -> str:
    """What went wrong, for people."""
    if code.startswith(ANSWERED):
        return f"the address answered with HTTP {code.removeprefix(ANSWERED)}"
    return WRONG.get(code, code)


def _reminder_error(told: str) -> str:
    """`e-mail: …; webhook: HTTP 500` in the words of the other ways; what was cut off is shown as it is."""
    ways = (each.partition(": ") for each in told.split("; ") if each)
    return "; ".join(f"{way}{colon}{_answered(words)}" for way, colon, words in ways)


def _answered(words: str) -> str:
    status = words.removeprefix("HTTP ")
    return in_words(f"{ANSWERED}{status}") if status != words and status.isdecimal() else words


def _route(user: User, id: UUID) -> AlertRoute:
    return get_object_or_404(AlertRoute.objects.select_related("user", "webhook"), pk=id, user=user)


def _initial(route: AlertRoute, now: datetime) -> dict[str, Any]:
    paused = route.paused_until if route.paused_until and route.paused_until > now else None
    return {
        "is_enabled": route.is_enabled,
        "name": route.name,
        "kinds": route.kinds,
        "quiet_from": route.quiet_from and f"{route.quiet_from:%H:%M}",
        "quiet_until": route.quiet_until and f"{route.quiet_until:%H:%M}",
        "paused_until": paused and f"{timezone.localtime(paused):%Y-%m-%dT%H:%M}",
    }


def _told(route: AlertRoute, now: datetime) -> dict[str, Any]:
    """A route, its state in words and colour, and where it leads as far as that may be shown."""
    is_email = route.way == Way.EMAIL
    leads_to = alerts.confirmed_address(route.user) if is_email else route.webhook.host
    state, tone, why = _state(route, leads_to, now)
    labels = [(kind.label, kind in URGENT) for kind in CHOICES if kind in route.kinds]
    return {
        "row": route,
        "is_email": is_email,
        "leads_to": leads_to,
        "state": state,
        "tone": tone,
        "why": why,
        "kinds": labels,
        "left_out": len(CHOICES) - len(labels),
        "last_error": in_words(route.last_error) if route.last_error else "",
    }


def _state(route: AlertRoute, leads_to: str | None, now: datetime) -> tuple[str, str, str]:
    """The gravest first: a word, its colour, and what it means."""
    if not route.is_enabled:
        return "Off", "plain", "Nothing goes by it until you turn it on."
    if leads_to is None:
        return "Leads nowhere", "bad", "Alerts by it reach nobody: confirm your e-mail address first."
    if route.paused_until and route.paused_until > now:
        until = f"{timezone.localtime(route.paused_until):%-d %b, %H:%M}"
        return "Paused", "warn", f"By you, until {until}. Nothing comes by it before, urgent or not."
    if route.muted_until and route.muted_until > now:
        until = f"{timezone.localtime(route.muted_until):%-d %b, %H:%M}"
        times = f"It failed {route.failures} times in a row: only what is urgent is tried until {until}."
        return "Muted", "bad", f"{times} A test that gets through ends that."
    if not route.kinds:
        return "Tells nothing", "warn", "No kind of alert is chosen for it."
    return "On", "good", ""


def _delivery(row: AlertDelivery) -> dict[str, Any]:
    tones = {DeliveryState.WAITING: "warn", DeliveryState.SENT: "good", DeliveryState.GIVEN_UP: "bad"}
    words = {DeliveryState.WAITING: "Waiting", DeliveryState.SENT: "Sent", DeliveryState.GIVEN_UP: "Given up"}
    state = DeliveryState(row.state)
    is_again = state is DeliveryState.WAITING and row.attempts > 0
    return {
        "row": row,
        "state": words[state],
        "tone": tones[state],
        "again_at": row.next_due_at if is_again else None,
        "error": in_words(row.last_error) if row.last_error else "",
    }
