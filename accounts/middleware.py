"""The admin's own threshold: whoever enters has shown a second factor in this session, and freshly to change things."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from accounts import step_up
from accounts.models import User

SAFE = ("GET", "HEAD")


class StaffFactor:
    """A trusted device does not count here; who has no second factor yet is led to set one up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._led_away(request) or self.get_response(request)

    def _led_away(self, request: HttpRequest) -> HttpResponseBase | None:
        if not request.path.startswith(reverse("admin:index")) or request.path == reverse("admin:logout"):
            return None
        user = request.user
        if not isinstance(user, User) or not user.is_staff:
            return None
        if step_up.showed_factor(request):
            if request.method in SAFE or step_up.is_fresh(request):
                return None
            messages.warning(request, "A change here asks for a fresh proof that it is you. Then make it again.")
        if step_up.has_factor(user):
            return redirect(f"{reverse('step_up')}?{urlencode({'next': request.get_full_path()})}")
        messages.warning(request, "The admin asks for a second factor. Set one up, then come back.")
        return redirect("mfa_index")
