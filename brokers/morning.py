"""The morning's logins: which connections need one today, in what order, and the reminder to those who asked for it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from smtplib import SMTPException
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts import audit
from accounts.events import Event
from accounts.models import Role, User
from brokers import hours, registry, webhook
from brokers.domain import ConnectionStatus, Segment
from brokers.errors import SessionEnded
from brokers.models import BrokerConnection, LoginReminder
from brokers.reach import ConnectRefused, platform_has_app
from brokers.secret import Secret
from brokers.shared import if_redis_is_there, redis
from brokers.spec import BrokerSpec, Renewal
from brokers.statuses import BROKER_IS_AWAY, TROUBLED_STATUSES
from brokers.vault import DecryptionFailed
from brokers.wire import IST

logger = logging.getLogger(__name__)


class Need(StrEnum):
    NOW = "now"
    TODAY = "today"  # the session ends before today's trading does
    NO = "no"


@dataclass(frozen=True, slots=True)
class Why:
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginWay:
    """How to log in: at the broker's own page, or by one of `methods` in a form of ours; `ready`: no key is missing."""

    by_redirect: bool
    app_configured: bool
    ready: bool
    methods: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One connection in the queue.

    `expires_at` is the end of its session, renewals included; None: not known, or over. A login before `login_after`
    would end again before today's trading does. `broker_trouble`, MAINTENANCE or ERROR: nobody's connection to this
    broker answers.
    """

    connection_id: UUID
    broker_type: str
    broker_name: str
    account_id: str
    display_name: str
    status: str
    needs_login: Need
    why: Why
    expires_at: datetime | None
    seconds_left: int | None
    login_after: datetime | None
    login: LoginWay
    broker_trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """`trading_day` None: this year's holidays are not known. The times are those of the segments of these accounts."""

    as_of: datetime
    trading_day: bool | None
    trading_ends_at: datetime | None
    next_session_at: datetime | None
    counts: Mapping[str, int]
    entries: tuple[Entry, ...]

    @property
    def needing(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.needs_login is not Need.NO)


# --- the queue --------------------------------------------------------------------------------------------------------
def queue(user: User, now: datetime) -> Queue:
    """Every connection that the trader has not ended: those that need a login first, the others by their end."""
    connections = list(BrokerConnection.objects.without_secrets().active().filter(user=user))
    configured = set(user.broker_apps.values_list("broker_type", flat=True))
    trouble = _trouble({connection.broker_type for connection in connections})
    entries = sorted((_entry(connection, configured, trouble, now) for connection in connections), key=_place)
    segments = sorted({segment for connection in connections for segment in _segments(connection)})
    counts = {need.value: sum(entry.needs_login is need for entry in entries) for need in Need}
    return Queue(
        as_of=now,
        trading_day=hours.is_trading_day(now.astimezone(IST).date()),
        trading_ends_at=hours.trading_ends(now, segments),
        next_session_at=hours.next_session_start(now, segments or Segment),
        counts={**counts, "total": len(entries)},
        entries=tuple(entries),
    )


def _entry(
    connection: BrokerConnection, configured: Collection[str], trouble: Mapping[str, str], now: datetime
) -> Entry:
    spec = registry.load(connection.broker_type).spec
    over = connection.status == ConnectionStatus.TOKEN_EXPIRED or connection.is_over(now)
    ends = None if over else _end(connection, spec, now)
    trading_ends = hours.trading_ends(now, _segments(connection))
    need = _need(connection, spec, over=over, ends=ends, trading_ends=trading_ends)
    again = spec.session.end(now)
    too_early = need is not Need.NO and trading_ends is not None and again < trading_ends
    return Entry(
        connection_id=connection.pk,
        broker_type=connection.broker_type,
        broker_name=spec.name,
        account_id=connection.account_id,
        display_name=connection.display_name,
        status=connection.status,
        needs_login=need,
        why=_why(connection, need, over=over),
        expires_at=ends,
        seconds_left=None if ends is None else int((ends - now).total_seconds()),
        login_after=again if too_early else None,
        login=_way(spec, configured),
        broker_trouble=trouble.get(connection.broker_type),
    )


def _need(
    connection: BrokerConnection,
    spec: BrokerSpec,
    *,
    over: bool,
    ends: datetime | None,
    trading_ends: datetime | None,
) -> Need:
    if connection.is_unreadable:
        return Need.NOW
    if over:
        about_to = connection.status != ConnectionStatus.TOKEN_EXPIRED and spec.session.renewal is Renewal.STORED_KEYS
        return Need.NO if connection.renewal_due_at or about_to else Need.NOW
    if spec.session.renewal is Renewal.STORED_KEYS and connection.renewal_due_at:
        return Need.NO
    return Need.TODAY if ends and trading_ends and ends < trading_ends else Need.NO


def _end(connection: BrokerConnection, spec: BrokerSpec, now: datetime) -> datetime | None:
    """When the session ends for good: a refresh token carries it on to the hour at which the broker ends them all."""
    if connection.renewal_due_at and spec.session.renewal is Renewal.REFRESH_TOKEN:
        return spec.session.end(now)
    return connection.token_expires_at


def _why(connection: BrokerConnection, need: Need, *, over: bool) -> Why:
    told = Why(connection.error_code, connection.error_message)
    if connection.is_unreadable:
        return told
    if need is Need.NOW:
        is_plain = connection.status != ConnectionStatus.TOKEN_EXPIRED or told.code in ("", SessionEnded.default_code)
        return Why(SessionEnded.default_code, "Its session has ended.") if is_plain else told
    if over:
        return Why("renewal_under_way", "Its session is being renewed with the stored keys: nothing to do.")
    if connection.status in TROUBLED_STATUSES:
        return told
    if need is Need.TODAY:
        return Why("session_ends_during_trading", "Its session ends before today's trading does.")
    if connection.renewal_due_at:
        return Why("session_renewed", "Its session is renewed without you.")
    return Why("session_good", "Its session is good.")


def _segments(connection: BrokerConnection) -> tuple[Segment, ...]:
    known = connection.capabilities.get("segments")
    return tuple(Segment(word) for word in known) if known else tuple(Segment)


def _way(spec: BrokerSpec, configured: Collection[str]) -> LoginWay:
    stored = spec.slug in configured or platform_has_app(spec)
    by_redirect = spec.callback is not None
    keyless = not by_redirect and not all(method.needs_app for method in spec.login_methods)
    return LoginWay(
        by_redirect=by_redirect,
        app_configured=stored,
        ready=stored or keyless,
        methods=tuple({"name": method.name, "label": method.label} for method in spec.login_methods),
    )


def _trouble(slugs: Collection[str]) -> dict[str, str]:
    """MAINTENANCE or ERROR, by slug, where everybody's connection says so and nobody's is well."""
    rows = BrokerConnection.objects.filter(BROKER_IS_AWAY, broker_type__in=slugs).order_by("status")
    found = dict(rows.values_list("broker_type", "status").distinct())
    well = BrokerConnection.objects.filter(broker_type__in=found, status=ConnectionStatus.CONNECTED) if found else None
    for slug in () if well is None else well.order_by().values_list("broker_type", flat=True).distinct():
        del found[slug]
    return found


_ORDER = {Need.NOW: 0, Need.TODAY: 1, Need.NO: 2}
_EVER, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def _place(entry: Entry) -> tuple[Any, ...]:
    """Within those that need one: first what a press of the button can mend now."""
    waits = entry.needs_login is not Need.NO and (entry.broker_trouble is not None or not entry.login.ready)
    return _ORDER[entry.needs_login], waits, entry.login_after or _EVER, entry.expires_at or _NEVER


# --- the reminder: who wants it ---------------------------------------------------------------------------------------
class ReminderRefused(ConnectRefused):
    """Settings of a reminder that would reach nobody."""


def reminder_of(user: User) -> LoginReminder:
    """The trader's settings; unsaved, and all off, where they never chose any."""
    return LoginReminder.objects.filter(user=user).first() or LoginReminder(user=user)


def set_reminder(
    *, user: User, by_email: bool, webhook_url: str, rotate_secret: bool = False
) -> tuple[LoginReminder, Secret | None]:
    """Keep the settings; beside them the webhook's secret if it is a new one. It is never shown again.

    Another address gets another secret. Raises ReminderRefused (`email_missing`, `webhook_url_invalid`,
    `webhook_not_https`, `webhook_host_unknown`, `webhook_address_private`).
    """
    if by_email and not user.email:
        raise ReminderRefused(
            "email_missing", "There is no e-mail address on your account.", "Have one entered by your administrator."
        )
    reminder = reminder_of(user)
    if webhook_url:
        try:
            webhook.resolved(webhook_url, allow_loopback=settings.SIMULATED_BROKERS)
        except webhook.WebhookRefused as refusal:
            raise ReminderRefused(refusal.code, refusal.message, refusal.remedy) from None
    is_new = bool(webhook_url) and (rotate_secret or webhook_url != reminder.webhook_url)
    secret = Secret(secrets.token_urlsafe(32)) if is_new else None
    chosen: dict[str, Any] = {"by_email": by_email, "webhook_url": webhook_url, "last_error": ""}
    if secret or not webhook_url:
        chosen["webhook_secret_encrypted"] = secret
    with transaction.atomic():
        reminder, _ = LoginReminder.objects.update_or_create(user=user, defaults=chosen)
        audit.record(
            Event.REMINDER_CHANGED,
            subject=user,
            by_email=by_email,
            by_webhook=bool(webhook_url),
            new_secret=secret is not None,
        )
    return reminder, secret


# --- the reminder: sent -----------------------------------------------------------------------------------------------
REMINDED_FROM, REMINDED_UNTIL = time(8, 45), time(9, 15)
BETWEEN_ATTEMPTS = timedelta(minutes=5)
# How long it is remembered by which way a trader was reached on a day.
REMEMBERED = timedelta(hours=6)


def due_reminders(now: datetime) -> list[int]:
    """The traders to be reminded now, by id; an attempt that failed is due again five minutes later.

    On a weekday of which nobody told us whether it is a holiday, they are reminded: one reminder too many harms less.
    """
    local = now.astimezone(IST)
    if not REMINDED_FROM <= local.time() < REMINDED_UNTIL or hours.is_trading_day(local.date()) is False:
        return []
    may_need = BrokerConnection.objects.active().filter(
        Q(status=ConnectionStatus.TOKEN_EXPIRED) | Q(token_expires_at__lt=now + timedelta(days=1)),
        user=OuterRef("user"),
    )
    wanted = LoginReminder.objects.filter(
        Exists(may_need), Q(by_email=True) | ~Q(webhook_url=""), user__is_active=True, user__role=Role.TRADER
    )
    rested = Q(last_error="") | Q(updated_at__lte=now - BETWEEN_ATTEMPTS)
    return list(wanted.filter(_not_sent_on(local.date()), rested).values_list("pk", flat=True))


def remind(user_id: int, *, now: datetime) -> None:
    """Tell one trader, once a day, which brokers need a login, unless none does.

    The day is claimed before anything is sent, so that of two senders one sends. It is given back where a way failed,
    and then that way alone is tried again.
    """
    day = now.astimezone(IST).date()
    reminder = LoginReminder.objects.filter(_not_sent_on(day), pk=user_id).select_related("user").first()
    if reminder is None:
        return
    waiting = queue(reminder.user, now)
    ways = _ways(reminder)
    untold = list(ways)
    with if_redis_is_there("by which way a trader was reminded"):
        untold = [way for way in ways if not redis().exists(_told(reminder, day, way))]
    if not waiting.needing or not _claim(reminder, day, now):
        return
    failures = []
    for way in untold:
        try:
            ways[way](reminder, waiting, now)
        except Undelivered as failure:
            logger.warning("Login reminder of user %s by %s failed: %s", user_id, way, failure)
            failures.append(f"{way}: {failure}")
        else:
            with if_redis_is_there("by which way a trader was reminded"):
                redis().set(_told(reminder, day, way), 1, ex=REMEMBERED)
    if failures:
        _give_back(reminder, day, now, failures, is_told=len(failures) < len(ways))


class Undelivered(Exception):
    """A reminder that did not get through; the words are ours and safe to show."""


Sender = Callable[[LoginReminder, Queue, datetime], None]


def _ways(reminder: LoginReminder) -> dict[str, Sender]:
    asked: dict[str, Sender] = {}
    if reminder.by_email:
        asked["e-mail"] = _by_email
    if reminder.webhook_url:
        asked["webhook"] = _by_webhook
    return asked


def _told(reminder: LoginReminder, day: date, way: str) -> str:
    return f"reminded:{reminder.pk}:{day}:{way}"


def _not_sent_on(day: date) -> Q:
    return Q(last_sent_on__isnull=True) | Q(last_sent_on__lt=day)


def _claim(reminder: LoginReminder, day: date, now: datetime) -> bool:
    """Only of a row that is as it was read: who was overtaken meanwhile does not know what has been sent."""
    row = LoginReminder.objects.filter(_not_sent_on(day), pk=reminder.pk, updated_at=reminder.updated_at)
    return row.update(last_sent_on=day, last_error="", updated_at=now) == 1


def _give_back(reminder: LoginReminder, day: date, now: datetime, failures: Sequence[str], *, is_told: bool) -> None:
    """After the last attempt the day stays claimed if one way got through."""
    is_last = (now + BETWEEN_ATTEMPTS).astimezone(IST).time() >= REMINDED_UNTIL
    sent_on = day if is_last and is_told else reminder.last_sent_on
    LoginReminder.objects.filter(pk=reminder.pk, last_sent_on=day).update(
        last_sent_on=sent_on, last_error="; ".join(failures)[:200], updated_at=now
    )


def _by_email(reminder: LoginReminder, waiting: Queue, now: datetime) -> None:
    address = reminder.user.email
    if not address:
        raise Undelivered("there is no address on the account")
    try:
        send_mail(_subject(waiting), _letter(waiting), None, [address])
    except (SMTPException, OSError) as error:  # their words may quote the address, or what the server said
        logger.warning("The mail server failed: %s", type(error).__name__)
        raise Undelivered("the mail server did not take the letter") from None


def _by_webhook(reminder: LoginReminder, waiting: Queue, now: datetime) -> None:
    try:
        secret = reminder.webhook_secret_encrypted
    except DecryptionFailed:
        raise Undelivered("its secret cannot be read: make a new one") from None
    if secret is None:
        raise Undelivered("its secret is gone: make a new one")
    try:
        webhook.post(
            reminder.webhook_url,
            _message(reminder, waiting),
            secret=secret,
            now=now,
            allow_loopback=settings.SIMULATED_BROKERS,
        )
    except (webhook.WebhookRefused, webhook.WebhookFailed) as error:
        raise Undelivered(error.message) from None


def _message(reminder: LoginReminder, waiting: Queue) -> bytes:
    """What the webhook gets. `id` is the same for every attempt of one day: its receiver can tell a double by it."""
    day = waiting.as_of.astimezone(IST).date()
    return msgspec.json.encode(
        {
            "type": "LOGIN_REMINDER",
            "id": f"login-reminder-{reminder.pk}-{day}",
            "date": day,
            "simulated": settings.SIMULATED_BROKERS,
            "trading_day": waiting.trading_day,
            "next_session_at": waiting.next_session_at,
            "url": _link(),
            "total": len(waiting.entries),
            "logins": [
                {
                    "connection_id": entry.connection_id,
                    "broker_type": entry.broker_type,
                    "broker_name": entry.broker_name,
                    "needs_login": entry.needs_login,
                    "reason_code": entry.why.code,
                }
                for entry in waiting.needing
            ],
        }
    )


def _subject(waiting: Queue) -> str:
    simulated = "SIMULATED: " if settings.SIMULATED_BROKERS else ""
    count = len(waiting.needing)
    return f"{simulated}{count} broker login{' is' if count == 1 else 's are'} needed today"


def _letter(waiting: Queue) -> str:
    """Plain words: no amount, no whole account number, one link."""
    begins = waiting.next_session_at
    lines = [f"- {_named(entry)}: {entry.why.message}" for entry in waiting.needing]
    trading = "" if begins is None else f" Trading begins at {begins.astimezone(IST):%H:%M} IST."
    if waiting.trading_day is None:
        trading = " Whether the exchanges trade today is not known here: this year's holidays are missing."
    return "\n".join(
        [
            f"{len(lines)} of your {len(waiting.entries)} broker connections need a login today.{trading}",
            "",
            *lines,
            "",
            f"Log in to them one after the other: {_link()}",
            "",
            "You asked for this reminder on that page, and can end it there.",
        ]
    )


def _named(entry: Entry) -> str:
    """The trader's own name for it; not the account number, of which the end is enough to know it by."""
    if entry.display_name and entry.account_id not in entry.display_name:
        return f"{entry.broker_name}, {entry.display_name}"
    return f"{entry.broker_name}, account ending {entry.account_id[-3:]}"


def _link() -> str:
    return f"{settings.PUBLIC_URL}/logins"
