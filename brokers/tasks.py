import logging
from datetime import datetime
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts import alerts
from brokers import alert_sending, clocks, logins, morning, postbacks, sessions, token_use

logger = logging.getLogger(__name__)


@shared_task(name="brokers.end_expired_sessions")
def end_expired_sessions() -> None:
    sessions.end_expired_sessions(timezone.now())


@shared_task(name="brokers.compare_clocks")
def compare_clocks() -> None:
    clocks.measure_database()


@shared_task(name="brokers.renew_due_sessions")
def renew_due_sessions() -> None:
    for connection_id in sessions.due_renewals(timezone.now()):
        renew_session.apply_async((str(connection_id),), expires=settings.SESSION_TICK_SECONDS)


@shared_task(name="brokers.renew_session")
def renew_session(connection_id: str) -> None:
    sessions.renew(UUID(connection_id), now=timezone.now())


@shared_task(name="brokers.purge_states")
def purge_states() -> None:
    logins.purge_states(timezone.now())


@shared_task(name="brokers.sum_up_calls")
def sum_up_calls() -> None:
    token_use.sum_up(timezone.now())


@shared_task(name="brokers.send_login_reminders")
def send_login_reminders() -> None:
    for user_id in morning.due_reminders(timezone.now()):
        send_login_reminder.apply_async((user_id,), expires=settings.REMINDER_TICK_SECONDS)


@shared_task(name="brokers.send_login_reminder")
def send_login_reminder(user_id: int) -> None:
    morning.remind(user_id, now=timezone.now())


@shared_task(name="brokers.read_due_postbacks")
def read_due_postbacks() -> None:
    for connection_id in postbacks.overdue(timezone.now()):
        read_postbacks.apply_async((str(connection_id),), expires=settings.SESSION_TICK_SECONDS)


@shared_task(name="brokers.read_postbacks")
def read_postbacks(connection_id: str) -> None:
    due = postbacks.read_orders(UUID(connection_id), now=timezone.now())
    if due is not None:
        read_postbacks_at(UUID(connection_id), due)


def read_postbacks_at(connection_id: UUID, due: datetime) -> None:
    """Once, and without waiting for a queue that is away: `read_due_postbacks` finds what is overdue."""
    wait = max(0.0, (due - timezone.now()).total_seconds())
    try:
        read_postbacks.apply_async((str(connection_id),), countdown=wait, expires=wait + 60, retry=False)
    except OperationalError as error:
        logger.warning("Redis is away (%s): the orders of connection %s wait", type(error).__name__, connection_id)


@shared_task(name="brokers.prune_postbacks")
def prune_postbacks() -> None:
    postbacks.prune(timezone.now())


@shared_task(name="brokers.deliver_due_alerts")
def deliver_due_alerts() -> None:
    for delivery_id in alerts.due(timezone.now()):
        deliver_alert.apply_async((delivery_id,), expires=settings.SESSION_TICK_SECONDS)


@shared_task(name=alerts.TASK)
def deliver_alert(delivery_id: int) -> None:
    alert_sending.deliver(delivery_id, now=timezone.now())
