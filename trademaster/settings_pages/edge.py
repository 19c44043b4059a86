"""What every page of settings does alike: who may come, forms, fresh proofs, and refusals in the words of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from rest_framework import serializers
from rest_framework.exceptions import APIException

from accounts import step_up, throttles
from accounts.models import User
from brokers.reach import ConnectRefused

KEPT = "kept_form"
SHOWN_ONCE, SHOWN_FOR = "secret_is_shown_at", timedelta(minutes=5)
# On an input of an amount: privacy mode hides what is in it until it is typed into.
AMOUNT: Mapping[str, str] = {"data-amount": ""}
# By code: the field that a refusal stands beside (None: above them all), and what to do, where the API's advice is for
# programs.
Beside = Mapping[str, tuple[str | None, str]]
Refusal = APIException | ConnectRefused
View = Callable[..., HttpResponseBase]


def for_traders(*methods: str) -> Callable[[View], View]:
    """Decorator of a page: `view(request, user, …)` for signed-in traders, by these methods; support has its desk."""
    allowed = ["HEAD", *methods] if "GET" in methods else list(methods)

    def decorated(view: View) -> View:
        @never_cache
        @require_http_methods(allowed)
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = request.user
            if not isinstance(user, User) or not user.is_trader:
                return redirect("admin:index")
            return view(request, user, *args, **kwargs)

        return guarded

    return decorated


# --- proofs -----------------------------------------------------------------------------------------------------------
def led_to_proof(request: HttpRequest, back_to: str, *, keep: bool = False) -> HttpResponse | None:
    """Where a fresh proof is missing: the way to it, and back to `back_to`. None: it is there.

    `keep`: what was typed waits in the session, and is in the form again afterwards. Never for a form with a secret.
    """
    if step_up.is_fresh(request):
        return None
    if keep:
        typed = request.POST.copy()
        typed.pop("csrfmiddlewaretoken", None)
        request.session[KEPT] = {"page": back_to, "typed": typed.urlencode()}
    return redirect(step_up.page(back_to))


def kept(request: HttpRequest) -> QueryDict | None:
    """What was typed into this page before a proof was asked for: once."""
    found = request.session.pop(KEPT, None)
    if request.method != "GET" or not found or found["page"] != request.path:
        return None
    messages.info(request, "Thank you. Look at it once more, and save.")
    return QueryDict(found["typed"])


# --- secrets ----------------------------------------------------------------------------------------------------------
def led_to_secret(request: HttpRequest, page: str, now: datetime) -> HttpResponse:
    """The way to `page`, which may show its new secret once. An answer to the POST itself makes another if reloaded.

    The session keeps where and until when, and never the secret.
    """
    request.session[SHOWN_ONCE] = {"page": page, "until": (now + SHOWN_FOR).timestamp()}
    return redirect(page)


def may_show_secret(request: HttpRequest, now: datetime) -> bool:
    """Whether this page was made for this one look."""
    told = request.session.get(SHOWN_ONCE)
    if request.method != "GET" or not told or told["page"] != request.path:
        return False
    del request.session[SHOWN_ONCE]
    return bool(now.timestamp() < told["until"])


def held_back(request: HttpRequest, scope: str) -> bool:
    """Count one more of what costs something, with the API's count; True, and a word to them: it was one too many."""
    seconds = throttles.count(scope, str(request.user.pk))
    if seconds is None:
        return False
    messages.error(request, f"Nothing was done: that was too often. Try again in {int(seconds) + 1} seconds.")
    return True


# --- refusals ---------------------------------------------------------------------------------------------------------
def in_words(refusal: Refusal, beside: Beside) -> tuple[str | None, str]:
    """The field that it belongs to, and what is said there."""
    if isinstance(refusal, ConnectRefused):
        code, message, remedy = refusal.code, refusal.message, refusal.remedy
    else:
        code, message, remedy = refusal.default_code, str(refusal.detail), getattr(refusal, "remedy", "")
    field, advice = beside.get(code, (None, remedy))
    return field, f"{message} {advice}".strip()


class Judged(forms.Form):
    """A form that the API's serializer judges, so that both doors have one rule; its words stand beside the fields.

    `body` makes of what was typed what an API client would send. What is valid is in `judged`.
    """

    serializer: ClassVar[type[serializers.Serializer[Any]]]
    # The names of the serializer's fields that are called differently here.
    called: ClassVar[Mapping[str, str]] = {}
    beside: ClassVar[Beside] = {}

    def __init__(self, *args: Any, row: Any = None, **kwargs: Any) -> None:
        self.row = row
        self.judged: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

    def body(self, typed: dict[str, Any]) -> dict[str, Any]:
        return typed

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or self.cleaned_data
        judge = self.serializer(self.row, data=self.body(dict(typed)), partial=self.row is not None)
        if judge.is_valid():
            self.judged = judge.validated_data
        for name, told in judge.errors.items():
            field = self.called.get(name, name)
            self.add_error(field if field in self.fields else None, _flat(told))
        return typed

    def refuse(self, refusal: Refusal) -> None:
        """Put what a service said no with beside its field."""
        self.add_error(*in_words(refusal, self.beside))


def _flat(told: Any) -> list[str]:
    """A serializer's errors may be nested: by place in a list, by name in an object."""
    if isinstance(told, Mapping):
        return [word for each in told.values() for word in _flat(each)]
    if isinstance(told, list):
        return [word for each in told for word in _flat(each)]
    return [str(told)]


def typed(request: HttpRequest) -> QueryDict | None:
    """What a form is filled with; None: it is only looked at. An empty form that was sent is not."""
    return request.POST if request.method == "POST" else None


def called(broker: str, name: str) -> str:
    """An account to its people: the name that its owner gave it, with the broker's where that does not say it."""
    if not name:
        return broker
    return name if broker.casefold() in name.casefold() else f"{broker}, {name}"


def typed_number(text: str) -> str | None:
    """As people write amounts: ₹1,50,000. None: nothing."""
    return text.replace(",", "").replace("₹", "").replace("%", "").strip() or None
