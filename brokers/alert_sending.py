"""Sending alerts: by letter, or as a signed message to an address of their owner's. See `accounts.alerts`."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from smtplib import SMTPException
from typing import Any

import msgspec
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from accounts import alerts, audit
from accounts.alert_models import AlertDelivery, AlertRoute, Way
from accounts.events import Event
from accounts.models import User
from accounts.refusals import RouteIsKept, TooManyRoutes
from brokers import push, webhook
from brokers.alert_models import AlertWebhook
from brokers.reach import ConnectRefused
from brokers.secret import Secret
from brokers.vault import DecryptionFailed

logger = logging.getLogger(__name__)

KIND = "ALERT_ROUTE_MUTED"
# What another attempt cannot change.
FINAL = frozenset({"webhook_url_invalid", "webhook_not_https", "webhook_address_private", "webhook_secret_unreadable"})


class Undelivered(Exception):
    """It was not taken. `code` is stable, and tells nothing that the other side said."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# --- routes -----------------------------------------------------------------------------------------------------------
def add_webhook(*, user: User, url: str, now: datetime, **chosen: Any) -> tuple[AlertRoute, Secret]:
    """Make a route to an address; return it, and the secret of its signatures, which nobody can learn again.

    Raises ConnectRefused (`webhook_url_invalid`, `webhook_not_https`, `webhook_host_unknown`,
    `webhook_address_private`); TooManyRoutes.
    """
    try:
        target = webhook.resolved(url, allow_loopback=settings.SIMULATED_BROKERS)
    except webhook.WebhookRefused as refusal:
        raise ConnectRefused(refusal.code, refusal.message, refusal.remedy) from None
    secret = Secret(secrets.token_urlsafe(32))
    with transaction.atomic():  # the name was looked up before: nobody's rows wait for a name server
        User.objects.select_for_update().get(pk=user.pk)  # two at once would both be the last one
        if len(alerts.routes_of(user, now=now)) >= alerts.MOST_ROUTES:
            raise TooManyRoutes
        route = AlertRoute.objects.create(user=user, way=Way.WEBHOOK, created_at=now, **chosen)
        AlertWebhook.objects.create(
            route=route, host=target.authority, url_encrypted=Secret(url), secret_encrypted=secret
        )
        _note(route, "added")
    return route, secret


@transaction.atomic
def change(route: AlertRoute, **chosen: Any) -> None:
    """Keep what was chosen of a route. Turned on again, it is muted no longer."""
    if chosen.get("is_enabled") and not route.is_enabled:
        chosen |= {"failures": 0, "muted_until": None}
    for name, value in chosen.items():
        setattr(route, name, value)
    if chosen:
        route.save(update_fields=list(chosen))
        _note(route, "changed")


@transaction.atomic
def remove(route: AlertRoute) -> None:
    """Raises RouteIsKept."""
    if route.way == Way.EMAIL:
        raise RouteIsKept
    _note(route, "removed")
    route.delete()


def _note(route: AlertRoute, what: str) -> None:
    audit.record(
        Event.ALERTS_CHANGED,
        subject=route.user_id,
        thing=("alert_route", route.pk),
        what=what,
        way=route.way,
        is_enabled=route.is_enabled,
        kinds=list(route.kinds),
    )


# --- sending ----------------------------------------------------------------------------------------------------------
def deliver(delivery_id: int, *, now: datetime) -> None:
    """Send one, unless it is not due, or another has it in hand. What fails is tried again, by `accounts.alerts`."""
    delivery = alerts.claim(delivery_id, now=now)
    if delivery is None:
        return
    try:
        WAYS[Way(delivery.route.way)](delivery, now)
    except Undelivered as failure:
        logger.warning("Alert %s by route %s failed: %s", delivery.event_id, delivery.route_id, failure.code)
        is_muted = alerts.failed(delivery, failure.code, is_final=failure.code in FINAL, now=now)
        if is_muted:
            _tell_muted(AlertRoute.objects.select_related("user").get(pk=delivery.route_id))
    else:
        alerts.succeeded(delivery, now=now)


def _by_email(delivery: AlertDelivery, now: datetime) -> None:
    address = alerts.confirmed_address(delivery.route.user)
    if address is None:
        raise Undelivered("email_not_confirmed")
    _letter(address, delivery.title, [delivery.text, f"{timezone.localtime(delivery.happened_at):%d.%m.%Y %H:%M} IST."])


def _by_webhook(delivery: AlertDelivery, now: datetime) -> None:
    row = AlertWebhook.objects.filter(pk=delivery.route_id).first()
    try:
        url, secret = (row.url_encrypted, row.secret_encrypted) if row else (None, None)
    except DecryptionFailed:
        raise Undelivered("webhook_secret_unreadable") from None
    if url is None or secret is None:
        raise Undelivered("webhook_secret_unreadable")
    try:
        webhook.post(
            url.reveal(),
            _message(delivery),
            secret=secret,
            now=now,
            allow_loopback=settings.SIMULATED_BROKERS,
            event_id=str(delivery.event_id),
        )
    except (webhook.WebhookRefused, webhook.WebhookFailed) as error:
        raise Undelivered(error.code) from None


WAYS: Mapping[Way, Callable[[AlertDelivery, datetime], None]] = {Way.EMAIL: _by_email, Way.WEBHOOK: _by_webhook}


def _message(delivery: AlertDelivery) -> bytes:
    """What a webhook gets. `id` is the same at every attempt: its receiver can tell a double by it."""
    return msgspec.json.encode(
        {
            "type": "ALERT",
            "id": delivery.event_id,
            "kind": delivery.kind,
            "subject": delivery.subject_key,
            "title": delivery.title,
            "text": delivery.text,
            "data": delivery.data,
            "happened_at": delivery.happened_at.astimezone(UTC),
            "simulated": settings.SIMULATED_BROKERS,
            "url": f"{settings.PUBLIC_URL}/",
        }
    )


def _letter(address: str, subject: str, lines: list[str]) -> None:
    words = "\n\n".join([*lines, f"{settings.PUBLIC_URL}/"]) + "\n"
    try:
        send_mail(f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{subject}", words, None, [address])
    except (SMTPException, OSError) as error:  # their words may quote the address, or what the server said
        logger.info("A letter was not taken: %s", type(error).__name__)
        raise Undelivered("email_not_taken") from None


def _tell_muted(route: AlertRoute) -> None:
    """Tell its owner by what is left: their open pages, and a letter where it is no letters that fail."""
    told = {
        "route_id": str(route.pk),
        "name": route.name,
        "muted_until": route.muted_until and route.muted_until.astimezone(UTC),
        "last_error": route.last_error,
    }
    push.publish_json(route.user_id, KIND, msgspec.json.encode(told).decode(), key=str(route.pk))
    address = alerts.confirmed_address(route.user) if route.way != Way.EMAIL else None
    if address is None:
        return
    lines = [
        f"Alerts to “{route.name}” failed {route.failures} times in a row ({route.last_error}). They are tried again "
        "after a while, and less and less often. Look at the address, or remove it.",
    ]
    try:
        _letter(address, "an address for alerts does not answer", lines)
    except Undelivered as failure:
        logger.warning("Nobody could be told that alert route %s is muted: %s", route.pk, failure.code)
