from celery import shared_task
from django.utils import timezone

from accounts import audit_check


@shared_task(name="accounts.look_after_audit")
def look_after_audit() -> None:
    audit_check.look_after(timezone.now())
