"""Who one is here: the name that others read, the address, the password, and how times and numbers are written."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import profiles, step_up
from accounts.models import User
from trademaster.settings_pages import edge

PAGE = "settings-profile"


class Profile(forms.Form):
    name = forms.CharField(
        max_length=150,
        required=False,
        label="Name that others read",
        help_text="Whom you let look at your accounts reads it, and your user name beside it.",
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    """For support too, which has an account as well."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - a login has been asked for
    form = Profile(edge.typed(request), initial={"name": user.first_name})
    if request.method == "POST" and form.is_valid():
        profiles.rename(user, name=form.cleaned_data["name"], now=timezone.now())
        messages.success(request, "Saved.")
        return redirect(PAGE)
    addresses = EmailAddress.objects.filter(user=user)
    told: dict[str, Any] = {
        "form": form,
        "confirmed": addresses.filter(email=user.email, verified=True).exists(),
        "waiting": addresses.filter(verified=False).exclude(email=user.email).first(),
        "has_factor": step_up.has_factor(user),
        "now": timezone.now(),
        "sample": "1234567.50",
    }
    return render(request, "settings/profile.html", told)
