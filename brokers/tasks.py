from celery import shared_task
from django.utils import timezone

from brokers import logins, sessions


@shared_task(name="brokers.end_expired_sessions")
def end_expired_sessions() -> None:
    sessions.end_expired_sessions(timezone.now())


@shared_task(name="brokers.purge_states")
def purge_states() -> None:
    logins.purge_states(timezone.now())
