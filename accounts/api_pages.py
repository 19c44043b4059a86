"""The page of an account's programs: personal tokens, and API clients that are logged in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import api_sessions, personal_tokens
from accounts.credentials import Scope
from accounts.models import ApiSession, PersonalToken, User
from accounts.refusals import TooManyTokens


class NewToken(forms.Form):
    name = forms.CharField(max_length=100, help_text="What it is for, such as: backup of my portfolio.")
    scope = forms.ChoiceField(choices=Scope.choices, label="It may", initial=Scope.READ)
    days = forms.IntegerField(min_value=1, max_value=365, initial=90, label="Days", help_text="It ends after so many.")


@never_cache
@require_safe
@login_required
def overview(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    shown: dict[str, Any] = {
        "tokens": personal_tokens.of_user(_user(request), now=now),
        "clients": api_sessions.of_user(_user(request), now=now),
    }
    return render(request, "account/api.html", shown)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new_token(request: HttpRequest) -> HttpResponse:
    """Behind a fresh proof. The token is in this one answer, and nowhere else ever."""
    if not _user(request).is_trader:
        return redirect("mfa_index")
    form = NewToken(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/api_new.html", {"form": form})
    try:
        made, token = personal_tokens.make(
            user=_user(request),
            name=form.cleaned_data["name"],
            scope=Scope(form.cleaned_data["scope"]),
            lifetime=timedelta(days=form.cleaned_data["days"]),
            now=timezone.now(),
        )
    except TooManyTokens as refusal:
        form.add_error(None, f"{refusal.detail} {refusal.remedy}")
        return render(request, "account/api_new.html", {"form": form})
    return render(request, "account/api_made.html", {"made": made, "token": token})


@require_POST
@login_required
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(PersonalToken.objects.select_related("user"), pk=pk, user=_user(request))
    personal_tokens.revoke(found)
    messages.success(request, f"“{found.name}” opens nothing any more.")
    return redirect("api_access")


@require_POST
@login_required
def end_session(request: HttpRequest, pk: Any) -> HttpResponse:
    api_sessions.end([get_object_or_404(ApiSession.objects.select_related("user"), pk=pk, user=_user(request))])
    return redirect("api_access")


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
