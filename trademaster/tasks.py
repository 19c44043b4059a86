from celery import shared_task
from django.utils import timezone

from accounts import audit_check
from trademaster import deletion
from trademaster.demo import market_days


@shared_task(name="trademaster.look_after_audit")
def look_after_audit() -> None:
    audit_check.look_after(timezone.now())


@shared_task(name="trademaster.finish_deletions")
def finish_deletions() -> None:
    deletion.finish_deletions(timezone.now())


@shared_task(name="trademaster.keep_market_open")
def keep_market_open() -> None:
    """In the demo alone: beat knows of it nowhere else."""
    market_days.keep_open(timezone.now())
