"""The pages that connect a broker: a list of all, and one for each. They can be read without a script."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts import step_up
from accounts.models import User
from brokers import connecting, consents, registry
from trademaster.pages import trader_page


@require_safe
@login_required
def connect(request: HttpRequest) -> HttpResponse:
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    known = connecting.Known.of(user, timezone.now())
    return trader_page(request, "connect.html", consent=consents.current(), lines=connecting.lines(known))


@require_safe
@login_required
def connect_broker(request: HttpRequest, slug: str) -> HttpResponse:
    """One broker: its steps, what it takes, the address of orders, and what is done there and what is not."""
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    known = connecting.Known.of(user, timezone.now())
    try:
        context = connecting.shown(slug, known)
    except registry.UnsupportedBroker:
        raise Http404 from None
    # Before keys are typed, and not after: a page that is left for the proof comes back empty.
    until = step_up.fresh_until(request)
    context["proof"] = "" if until and until > known.now else step_up.page(request.path)
    context["proven_until"] = until
    return trader_page(
        request, "connect_broker.html", consent=consents.current(), lines=connecting.lines(known), **context
    )
