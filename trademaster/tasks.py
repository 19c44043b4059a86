from celery import shared_task
from django.utils import timezone

from trademaster import deletion


@shared_task(name="trademaster.finish_deletions")
def finish_deletions() -> None:
    deletion.finish_deletions(timezone.now())
