from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from health import services


@shared_task(name="health.check_due")
def check_due() -> None:
    for connection_id in services.claim_due(timezone.now()):
        check_connection.apply_async((str(connection_id),), expires=settings.HEALTH_INTERVAL_SECONDS)


@shared_task(name="health.check_connection")
def check_connection(connection_id: str) -> None:
    services.check(UUID(connection_id), now=timezone.now())
