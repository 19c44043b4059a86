"""Who may look at one's accounts, and what others let one look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone

from accounts import profiles
from accounts.models import User
from brokers import grants
from brokers.agreements import ConnectionGrant
from brokers.models import BrokerConnection
from brokers.serializers import GrantRequest
from portfolio import services
from portfolio.services import NoBrokerConnections
from trademaster.pages import trader_page
from trademaster.settings_pages import edge
from trademaster.settings_pages.edge import for_traders

PAGE = "settings-family"
BESIDE: edge.Beside = {
    "unknown_connection": ("connections", "Choose from the list: an account was disconnected meanwhile."),
    "grant_expired": ("expires_at", "Choose a later time, or none."),
    "grant_to_oneself": ("to", "Name another person."),
    "too_many_grants": (None, "Take some back first."),
}


class NewGrant(edge.Judged):
    serializer = GrantRequest
    beside = BESIDE

    to = forms.CharField(
        required=False, label="Who",
        help_text="Their user name, or their e-mail address. Whether anybody here is called so is not told.",
        widget=forms.TextInput(attrs={"maxlength": 254, "autocomplete": "off"}),
    )  # fmt: skip
    connections = forms.MultipleChoiceField(
        required=False, label="May look at", widget=forms.CheckboxSelectMultiple, choices=[]
    )
    expires_at = forms.CharField(
        required=False, label="Until", help_text="IST. Empty: until you take it back.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )  # fmt: skip

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = BrokerConnection.objects.without_secrets().active().filter(user=user).order_by("broker_type", "pk")
        choices = [(str(row.pk), edge.called(row.broker_name, row.display_name)) for row in rows]
        self.fields["connections"].choices = choices  # type: ignore[attr-defined]

    def body(self, typed: dict[str, Any]) -> dict[str, Any]:
        return {**typed, "connections": typed.get("connections", []), "expires_at": typed.get("expires_at") or None}


@for_traders("GET")
def overview(request: HttpRequest, user: User) -> HttpResponse:
    now = timezone.now()
    return trader_page(
        request,
        "settings/family.html",
        given=[_given(grant) for grant in grants.standing_of(user, now)],
        received=[_received(grant) for grant in grants.received_by(user, now)],
        has_accounts=BrokerConnection.objects.active().filter(user=user).exists(),
    )


@for_traders("GET", "POST")
def add(request: HttpRequest, user: User) -> HttpResponse:
    """Behind a fresh proof, as what shows an account to somebody else."""
    if to_proof := edge.led_to_proof(request, request.path):
        return to_proof
    form = NewGrant(edge.typed(request), user=user)
    if request.method == "POST" and form.is_valid():
        if edge.held_back(request, "connect"):
            return redirect(PAGE)
        asked, now = form.judged, timezone.now()
        try:
            grants.give(
                owner=user,
                named=asked["to"],
                connection_ids=asked["connections"],
                expires_at=asked["expires_at"],
                now=now,
            )
        except grants.GrantRefused as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, f"“{asked['to']}” may look at these accounts, if anybody here is called so.")
            return redirect(PAGE)
    return trader_page(request, "settings/family_new.html", form=form)


@for_traders("POST")
def withdraw(request: HttpRequest, user: User, id: UUID) -> HttpResponse:
    """Asks for no proof, as what ends something: it must be quick."""
    now = timezone.now()
    grant = get_object_or_404(grants.standing_of(user, now), pk=id)
    grants.revoke(grant, now=now)
    messages.success(request, f"“{grant.named}” may not look at your accounts any more.")
    return redirect(PAGE)


@for_traders("GET")
def shared(request: HttpRequest, user: User, id: UUID) -> HttpResponse:
    """What another person lets one look at: the same answer as the API's, as a page."""
    now = timezone.now()
    grant = get_object_or_404(grants.received_by(user, now), pk=id)
    told: Mapping[str, Any] | None = None
    try:
        told = msgspec.json.decode(services.consolidated_part(grant, now=now).include)
    except NoBrokerConnections:
        messages.warning(request, "None of these accounts is connected now, so that there is nothing to look at.")
    return trader_page(
        request,
        "settings/shared.html",
        grant=_received(grant),
        book=told,
        sources=[_source(each) for each in told["sources"]] if told else [],
        as_of=datetime.fromisoformat(told["as_of"]) if told and told["as_of"] else None,
    )


def _given(grant: ConnectionGrant) -> dict[str, Any]:
    return {"row": grant, "accounts": _accounts(grant)}


def _received(grant: ConnectionGrant) -> dict[str, Any]:
    """Anybody may choose any name, such as “Support”: beside it stands the one that is theirs alone."""
    owner, user_name = profiles.shown_as(grant.owner), grant.owner.get_username()
    signs_in_as = user_name if user_name != owner else ""
    return {"row": grant, "owner": owner, "signs_in_as": signs_in_as, "accounts": _accounts(grant)}


def _accounts(grant: ConnectionGrant) -> list[str]:
    return [edge.called(each.broker_name, each.display_name) for each in grant.connections.all()]


def _source(told: Mapping[str, Any]) -> dict[str, Any]:
    words = {"LIVE": ("live", "good"), "STALE": ("stale", "warn"), "MISSING": ("missing", "bad")}
    word, tone = words.get(told["state"], (str(told["state"]).lower(), "plain"))
    as_of = told.get("as_of")
    name = edge.called(told["broker_name"], told["display_name"])
    return {**told, "name": name, "word": word, "tone": tone, "as_of": datetime.fromisoformat(as_of) if as_of else None}
