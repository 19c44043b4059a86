from celery import shared_task
from django.conf import settings
from django.utils import timezone

from market import masters


@shared_task(name="market.load_due_masters")
def load_due_masters() -> None:
    for broker_type in masters.due(timezone.now()):
        load_master.apply_async((broker_type,), expires=settings.MASTERS_TICK_SECONDS)


@shared_task(name="market.load_master")
def load_master(broker_type: str) -> None:
    masters.load_master(broker_type=broker_type, now=timezone.now())
