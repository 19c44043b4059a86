from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from brokers import logins, morning, sessions


@shared_task(name="brokers.end_expired_sessions")
def end_expired_sessions() -> None:
    sessions.end_expired_sessions(timezone.now())


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


@shared_task(name="brokers.send_login_reminders")
def send_login_reminders() -> None:
    for user_id in morning.due_reminders(timezone.now()):
        send_login_reminder.apply_async((user_id,), expires=settings.REMINDER_TICK_SECONDS)


@shared_task(name="brokers.send_login_reminder")
def send_login_reminder(user_id: int) -> None:
    morning.remind(user_id, now=timezone.now())
