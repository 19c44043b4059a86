"""The pages of orders. They are rendered here, whole, so that they can be read without a script; one that hears of an
order asks for its own page again.
"""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from brokers import registry
from orders import lanes, telling
from orders.models import OrderIntent
from trademaster.pages import trader_page


def _trader(request: HttpRequest) -> User | None:
    """Whoever is signed in, if they trade; support has no orders of its own."""
    return request.user if isinstance(request.user, User) and request.user.is_trader else None


@require_safe
@login_required
def orders(request: HttpRequest) -> HttpResponse:
    """/orders/?q=…&broker=…&state=…&days=all, and a page for each lane: `?ended=2`."""
    user = _trader(request)
    if user is None:
        return redirect("admin:index")
    now, wish = timezone.now(), lanes.wish_of(request.GET.dict())
    shown = lanes.lanes_of(user, wish, now)
    context: dict[str, Any] = {
        "now": now,
        "lanes": shown,
        "wish": wish,
        "hidden": lanes.hidden_doubts(user, shown) if wish.narrows else 0,
        "states": lanes.STATES.items(),
        "brokers": [(broker.spec.slug, broker.spec.name) for broker in registry.brokers()],
        "has_connections": user.broker_connections.active().exists(),
    }
    return trader_page(request, "orders.html", **context)


@require_safe
@login_required
def order(request: HttpRequest, id: UUID) -> HttpResponse:
    """One order, whole. Another's is as if it did not exist."""
    user = _trader(request)
    if user is None:
        return redirect("admin:index")
    now = timezone.now()
    intent = get_object_or_404(lanes.with_children(OrderIntent.objects.filter(user=user)), pk=id)
    return trader_page(request, "order.html", now=now, order=intent, told=telling.told(intent, now))


@require_safe
@login_required
def orders_csv(request: HttpRequest) -> HttpResponse:
    """What the page's filter is about, of all days."""
    user = _trader(request)
    if user is None:
        return redirect("admin:index")
    written = io.StringIO()
    csv.writer(written).writerows(lanes.csv_rows(user, lanes.wish_of(request.GET.dict())))
    answer = HttpResponse(written.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="orders.csv"'
    return answer
