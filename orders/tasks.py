from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from orders import alerts, approval, failover, feed_watch, gtt_settling, halt_rounds, intake, reconciling


@shared_task(name="orders.reconcile_orders")
def reconcile_orders() -> None:
    reconciling.lapse(timezone.now())
    for connection_id in reconciling.due(timezone.now()):
        reconcile_connection.apply_async((str(connection_id),), expires=settings.ORDERS_TICK_SECONDS * 5)


@shared_task(name="orders.reconcile_connection")
def reconcile_connection(connection_id: str) -> None:
    reconciling.reconcile(UUID(connection_id), now=timezone.now())


@shared_task(name="orders.settle_gtts")
def settle_gtts() -> None:
    gtt_settling.lapse(timezone.now())
    for connection_id in gtt_settling.due(timezone.now()):
        settle_gtts_of.apply_async((str(connection_id),), expires=60)


@shared_task(name="orders.settle_gtts_of")
def settle_gtts_of(connection_id: str) -> None:
    gtt_settling.settle_connection(UUID(connection_id), now=timezone.now())


@shared_task(name="orders.move_orders")
def move_orders() -> None:
    for intent_id in failover.due(timezone.now()):
        move_order.apply_async((str(intent_id),), expires=settings.ORDERS_TICK_SECONDS * 5)


@shared_task(name="orders.move_order")
def move_order(intent_id: str) -> None:
    failover.move(UUID(intent_id), now=timezone.now())


@shared_task(name="orders.expire_orders")
def expire_orders() -> None:
    failover.expire(timezone.now())


@shared_task(name="orders.send_alert")
def send_alert(event_id: int) -> None:
    alerts.send(event_id)


@shared_task(name="orders.end_unsent")
def end_unsent() -> None:
    approval.expire_all(timezone.now())
    intake.settle_undecided(timezone.now())


@shared_task(name="orders.look_after_halts")
def look_after_halts() -> None:
    for halt_id in halt_rounds.look_after(timezone.now()):
        go_on_with_halt.apply_async((halt_id,), expires=30)


@shared_task(name="orders.go_on_with_halt")
def go_on_with_halt(halt_id: int) -> None:
    halt_rounds.go_on(halt_id, now=timezone.now())


@shared_task(name="orders.watch_feeds")
def watch_feeds() -> None:
    for user_id in feed_watch.stale_for(timezone.now()):
        send_feed_letter.delay(user_id)


@shared_task(name="orders.send_feed_letter")
def send_feed_letter(user_id: int) -> None:
    feed_watch.send(user_id)
