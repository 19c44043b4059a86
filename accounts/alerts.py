"""Alerts: what a person must hear of although no page is open, by the ways that they chose.

An event is written down once per route, in the transaction of what it tells of, and sent afterwards, by whoever claims
it for a while. What fails is tried again later and later; a route that fails again and again is left alone for a
while, longer each time. How it is sent stands in `brokers.alert_sending`.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from celery import current_app
from django.db import transaction
from django.db.models import F, QuerySet
from kombu.exceptions import OperationalError

from accounts.alert_models import URGENT, AlertDelivery, AlertKind, AlertRoute, DeliveryState, Way
from accounts.models import User
from accounts.refusals import AddressUnconfirmed, RouteOff

logger = logging.getLogger(__name__)

IST = ZoneInfo("Asia/Kolkata")
# The task above this room that sends one.
TASK = "brokers.deliver_alert"
MOST_ROUTES = 10
# Nobody sends for so long: whoever claimed it longer ago has died over it.
LEASE = timedelta(seconds=60)
# After the first attempt, the second, …; the one after the last is the last.
RETRIES = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 1800, 3600))
# What could not be said within a day is no news any more.
LATEST = timedelta(days=1)
# So many failures in a row mute a route, and each further one for longer.
MUTED_AFTER = 5
MUTES = tuple(timedelta(minutes=minutes) for minutes in (15, 60, 240, 1440))

Plain = str | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What happened, in words and, as `data`, for programs. `subject` names what it is about, such as `breach:7`.

    Figures are text.
    """

    kind: AlertKind
    subject: str
    title: str
    text: str
    data: Mapping[str, Plain] = field(default_factory=dict)


def tell(user_id: int, alert: Alert, *, now: datetime) -> uuid.UUID:
    """Tell a person of one event, by every route of theirs that wants its kind. Returns the event's id.

    Call it in the transaction of what it tells of: it goes out after the commit.
    """
    event_id = uuid.uuid4()
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        routes = [route for route in routes_of(user, now=now) if route.wants(alert.kind) and is_passable(route)]
        _queue(routes, event_id, alert, now)
    return event_id


@transaction.atomic
def test(route: AlertRoute, *, now: datetime) -> AlertDelivery:
    """Send a test by one route, whatever it wants otherwise. Raises AddressUnconfirmed, RouteOff."""
    if not route.is_enabled:
        raise RouteOff
    if not is_passable(route):
        raise AddressUnconfirmed
    asked = Alert(
        kind=AlertKind.TEST,
        subject=f"route:{route.pk}",
        title="a test of your alerts",
        text="You asked for this test. Nothing has happened.",
    )
    (delivery,) = _queue([route], uuid.uuid4(), asked, now)
    return delivery


def routes_of(user: User, *, now: datetime) -> list[AlertRoute]:
    """All of them; that by e-mail is there for everybody, and on until they turn it off."""
    routes = list(AlertRoute.objects.filter(user=user))
    if not any(route.way == Way.EMAIL for route in routes):
        made, _ = AlertRoute.objects.get_or_create(
            user=user, way=Way.EMAIL, defaults={"name": "E-mail", "created_at": now}
        )
        routes.insert(0, made)
    return routes


def is_passable(route: AlertRoute) -> bool:
    """Whether it leads anywhere: a letter goes to a confirmed address alone."""
    return route.way != Way.EMAIL or confirmed_address(route.user) is not None


def confirmed_address(user: User) -> str | None:
    """Where letters to them may go: the address that they have shown to be theirs."""
    found: str | None = (
        EmailAddress.objects.filter(user=user, verified=True).order_by("-primary", "pk").values_list("email", flat=True)
    ).first()
    return found


def due(now: datetime) -> list[int]:
    """What is to be sent now, by id."""
    waiting = AlertDelivery.objects.filter(state=DeliveryState.WAITING, next_due_at__lte=now)
    return list(waiting.order_by("next_due_at").values_list("pk", flat=True)[:500])


def claim(delivery_id: int, *, now: datetime) -> AlertDelivery | None:
    """Take one for sending: nobody else gets it before LEASE is over. None: it is not due, held back, or given up."""
    waiting = AlertDelivery.objects.filter(pk=delivery_id, state=DeliveryState.WAITING, next_due_at__lte=now)
    found = waiting.select_related("route__user").first()
    if found is None:
        return None
    mine = waiting.filter(attempts=found.attempts, next_due_at=found.next_due_at)
    reason = _pointless(found, now)
    if reason:
        mine.update(state=DeliveryState.GIVEN_UP, last_error=reason)
        return None
    held = held_until(found.route, found.kind, now)
    if held is not None:
        mine.update(next_due_at=held)
        return None
    if mine.update(next_due_at=now + LEASE, attempts=F("attempts") + 1) != 1:
        return None
    found.attempts += 1
    return found


def succeeded(delivery: AlertDelivery, *, now: datetime) -> None:
    _of_attempt(delivery).update(state=DeliveryState.SENT, sent_at=now, last_error="")
    AlertRoute.objects.filter(pk=delivery.route_id).update(
        failures=0, muted_until=None, last_error="", last_sent_at=now
    )


def failed(delivery: AlertDelivery, code: str, *, is_final: bool, now: datetime) -> bool:
    """Note it, and when it is tried again. Returns whether its route is muted from now on, and was not before."""
    is_last = is_final or delivery.attempts > len(RETRIES)
    if is_last:
        changed: dict[str, Any] = {"state": DeliveryState.GIVEN_UP, "last_error": code}
    else:
        changed = {"next_due_at": now + RETRIES[delivery.attempts - 1], "last_error": code}
    if _of_attempt(delivery).update(**changed) != 1:
        return False
    with transaction.atomic():
        route = AlertRoute.objects.select_for_update().get(pk=delivery.route_id)
        route.failures = min(route.failures + 1, 10_000)
        route.last_error = code
        beyond = route.failures - MUTED_AFTER
        if beyond >= 0:
            route.muted_until = now + MUTES[min(beyond, len(MUTES) - 1)]
        route.save(update_fields=["failures", "last_error", "muted_until"])
    return beyond == 0


def held_until(route: AlertRoute, kind: str, now: datetime) -> datetime | None:
    """Until when a route says nothing of this kind; None: it may be told at once.

    Quiet hours hold back nothing urgent, and nor does our own mute: another attempt costs less than its silence. Its
    owner's pause does.
    """
    if kind in URGENT:
        return route.paused_until if route.paused_until and route.paused_until > now else None
    quiet = _quiet_until(route.quiet_from, route.quiet_until, now)
    return max((until for until in (route.silent_until(now), quiet) if until is not None), default=None)


def silences(route: AlertRoute, chosen: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether a change keeps something urgent from being told by a route that tells it now, or for longer."""
    if not route.is_enabled and not chosen.get("is_enabled"):
        return False
    if not chosen.get("is_enabled", True):
        return True
    paused = chosen.get("paused_until")
    if paused is not None and paused > max(now, route.paused_until or now):
        return True
    return bool(URGENT & set(route.kinds) - set(chosen.get("kinds", route.kinds)))


def _quiet_until(begins: time | None, ends: time | None, now: datetime) -> datetime | None:
    if begins is None or ends is None or begins == ends:
        return None
    local = now.astimezone(IST)
    at, over_midnight = local.time(), begins > ends
    is_quiet = (at >= begins or at < ends) if over_midnight else begins <= at < ends
    if not is_quiet:
        return None
    day = local.date() + timedelta(days=1) if over_midnight and at >= begins else local.date()
    return datetime.combine(day, ends, IST)


def _pointless(delivery: AlertDelivery, now: datetime) -> str:
    """Why it need not be sent any more."""
    if not (delivery.route.is_enabled and delivery.route.user.is_active):
        return "route_off"
    return "too_late" if now - delivery.happened_at > LATEST else ""


def _of_attempt(delivery: AlertDelivery) -> QuerySet[AlertDelivery]:
    """The row, unless somebody else has claimed it since."""
    return AlertDelivery.objects.filter(pk=delivery.pk, state=DeliveryState.WAITING, attempts=delivery.attempts)


def _queue(routes: Sequence[AlertRoute], event_id: uuid.UUID, alert: Alert, now: datetime) -> Sequence[AlertDelivery]:
    rows = AlertDelivery.objects.bulk_create(
        AlertDelivery(
            route=route,
            event_id=event_id,
            kind=alert.kind,
            subject_key=alert.subject,
            title=alert.title,
            text=alert.text,
            data=dict(alert.data),
            happened_at=now,
            next_due_at=now,
        )
        for route in routes
    )

    def hand_over() -> None:
        try:
            for row in rows:
                current_app.send_task(TASK, (row.pk,), expires=LEASE.total_seconds(), retry=False)
        except OperationalError as error:
            logger.warning("Redis is away (%s): alerts wait for the next look at them", type(error).__name__)

    transaction.on_commit(hand_over)
    return rows
