from celery import shared_task
from django.utils import timezone

from accounts import audit_check
from trademaster import deletion


@shared_task(name="trademaster.look_after_audit")
def look_after_audit() -> None:
    audit_check.look_after(timezone.now())


@shared_task(name="trademaster.finish_deletions")
def finish_deletions() -> None:
    deletion.finish_deletions(timezone.now())
