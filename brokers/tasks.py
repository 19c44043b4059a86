from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from brokers import logins, sessions


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
