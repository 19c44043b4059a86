"""One's own data: what happened to the account, what one agreed to, all of it as a file, and the end of the account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from accounts.audit_views import AuditRequest, EventAnswer, page_of
from accounts.models import ActorKind, User
from brokers import consents, registry
from brokers.agreements import ConnectionConsent
from brokers.models import BrokerConnection
from trademaster import privacy
from trademaster.account_views import archive_of
from trademaster.deletion import DeletionRefused, delete_account
from trademaster.pages import trader_page
from trademaster.settings_pages import edge
from trademaster.settings_pages.edge import for_traders

PAGE = "settings-data"
SCOPES = {consents.READ: "To read the account", consents.TRADE: "To trade at the account"}
BESIDE: edge.Beside = {"last_administrator": (None, "Make another user an administrator first.")}


class Ending(forms.Form):
    """What cannot be undone is typed, not pressed."""

    name = forms.CharField(
        required=False, label="Your user name, to say that you mean it",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )  # fmt: skip

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.user.get_username():
            raise forms.ValidationError("Nothing was deleted: that is not your user name. Type it as you sign in with.")
        return name


@for_traders("GET")
def log(request: HttpRequest, user: User) -> HttpResponse:
    """The same events as the API's, a page at a time."""
    asked = AuditRequest(data=request.GET)
    if not asked.is_valid():
        return redirect("settings-log")
    events, following = page_of(user, **asked.validated_data)
    is_later = "before" in asked.validated_data
    told = [_event(row, told) for row, told in zip(events, EventAnswer(events, many=True).data, strict=True)]
    return trader_page(request, "settings/log.html", events=told, next=following, is_later=is_later)


@for_traders("GET")
def agreed(request: HttpRequest, user: User) -> HttpResponse:
    """Every consent, of accounts that are gone too; and the texts themselves."""
    rows = ConnectionConsent.objects.filter(user_id=user.pk).order_by()
    brokers = dict(rows.values_list("connection_id", "broker_type").distinct())
    accounts = BrokerConnection.objects.without_secrets().filter(user=user)
    names = {row.pk: edge.called(row.broker_name, row.display_name) for row in accounts}
    every = [(consent, pk) for pk, given in consents.of(list(brokers)).items() for consent in given]
    every.sort(key=lambda each: each[0].given_at, reverse=True)
    told = [
        {
            "consent": consent,
            "scope": SCOPES.get(consent.scope, consent.scope),
            "account": names.get(pk) or f"{_broker(brokers[pk])}, an account that is gone",
        }
        for consent, pk in every
    ]
    texts = {(consent.scope, consent.version): each for (consent, _), each in zip(every, told, strict=True)}
    return trader_page(request, "settings/consents.html", consents=told, texts=list(texts.values()))


@for_traders("GET")
def data(request: HttpRequest, user: User) -> HttpResponse:
    parts = [holding for holding in privacy.HOLDINGS if not holding.not_exported]
    return trader_page(request, "settings/data.html", parts=sorted(holding.words for holding in parts))


@for_traders("POST")
def export(request: HttpRequest, user: User) -> HttpResponseBase:
    if to_proof := edge.led_to_proof(request, reverse(PAGE)):
        return to_proof
    if edge.held_back(request, "account"):
        return redirect(PAGE)
    return archive_of(user, request, now=timezone.now())


@for_traders("GET", "POST")
def end(request: HttpRequest, user: User) -> HttpResponse:
    """What would be wiped and kept, and the form that does it; after a fresh proof alone."""
    if to_proof := edge.led_to_proof(request, request.path):
        return to_proof
    form = Ending(edge.typed(request), user=user)
    if request.method == "POST" and form.is_valid():
        if edge.held_back(request, "account"):
            return redirect(PAGE)
        try:
            deletion = delete_account(user, actor=user, now=timezone.now())
        except DeletionRefused as refusal:
            form.add_error(*edge.in_words(refusal, BESIDE))
        else:
            request.session.flush()
            request.user = AnonymousUser()
            brokers = [{**each, "name": _broker(each["broker_type"])} for each in deletion.brokers]
            return render(request, "settings/deleted.html", {"brokers": brokers, "kept": _kept()})
    accounts = BrokerConnection.objects.without_secrets().active().filter(user=user)
    return trader_page(
        request,
        "settings/delete.html",
        form=form,
        accounts=[edge.called(row.broker_name, row.display_name) for row in accounts],
        wiped=privacy.wiped(),
        kept=_kept(),
    )


def _kept() -> list[dict[str, Any]]:
    """What stays of an account: what is kept for the same reason, and as long, in one line."""
    found: dict[tuple[str, int | None], list[str]] = {}
    for each in privacy.kept():
        found.setdefault((each["why"], each["days"]), []).append(each["words"])
    return [{"why": why, "days": days, "words": words} for (why, days), words in found.items()]


def _broker(slug: str) -> str:
    """Its name; a broker that is supported no more keeps its word."""
    return registry.load(slug).spec.name if slug in registry.slugs() else slug


def _event(row: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    at: datetime = row.at
    who = "you" if told["by_me"] else row.get_actor_display().lower()
    return {
        "at": at,
        "words": told["words"],
        "who": who,
        "by_me": told["by_me"],
        "tone": "warn" if row.actor == ActorKind.SUPPORT else "plain",
        "address": told["address"],
        "details": [{"words": each, "has_figure": any(map(str.isdigit, each))} for each in _details(told["details"])],
        "code": told["event"],
        "sequence": told["sequence"],
    }


def _details(details: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """`limit warn: 75`, one line each; nested values by the path to them."""
    for name, value in sorted(details.items(), key=lambda each: isinstance(each[1], Mapping)):
        called = f"{before}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _details(value, f"{called} ")
        elif isinstance(value, list):
            yield f"{called}: {', '.join(map(str, value)) or 'none'}"
        elif isinstance(value, bool):
            yield f"{called}: {'yes' if value else 'no'}"
        elif value not in (None, ""):
            yield f"{called}: {value}"
