from collections.abc import Sequence
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from health import asking, circuits, incidents, rollups, services


@shared_task(name="health.check_due")
def check_due() -> None:
    now = timezone.now()
    standing = circuits.current(now)
    services.enrol(now)
    for ids in services.claim_chunks(now, standing):
        check_chunk.apply_async((ids,), expires=services.lease().total_seconds())
    for connection_id in services.claim_probes(now, standing):
        check_connection.apply_async((str(connection_id),), expires=asking.CHECK_SECONDS)
    incidents.watch(now, standing)


@shared_task(name="health.check_chunk")
def check_chunk(schedule_ids: Sequence[int]) -> None:
    services.check_chunk(schedule_ids, now=timezone.now())


@shared_task(name="health.check_connection")
def check_connection(connection_id: str) -> None:
    services.check(UUID(connection_id), now=timezone.now())


@shared_task(name="health.roll_up")
def roll_up() -> None:
    rollups.roll_up(timezone.now())


@shared_task(name="health.prune")
def prune() -> None:
    rollups.prune(timezone.now())
