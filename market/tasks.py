import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from brokers import registry
from market import candles, masters

logger = logging.getLogger(__name__)


@shared_task(name="market.load_due_masters")
def load_due_masters() -> None:
    for broker_type in masters.due(timezone.now()):
        load_master.apply_async((broker_type,), expires=settings.MASTERS_TICK_SECONDS)


@shared_task(name="market.load_master")
def load_master(broker_type: str) -> None:
    masters.load_master(broker_type=broker_type, now=timezone.now())


@shared_task(name="market.load_master_if_due")
def load_master_if_due(broker_type: str) -> None:
    if broker_type in masters.due(timezone.now()):
        masters.load_master(broker_type=broker_type, now=timezone.now())


@shared_task(name="market.fill_candles")
def fill_candles() -> None:
    candles.fill_due(now=timezone.now())


def load_after_login(broker_type: str) -> None:
    """A master that is not public can be had now. Without a queue `load_due_masters` finds it, some minutes later."""
    master = registry.load(broker_type).spec.master
    if master is None or not master.needs_session:
        return
    try:
        load_master_if_due.apply_async((broker_type,), expires=settings.MASTERS_TICK_SECONDS, retry=False)
    except OperationalError as error:
        logger.warning("Redis is away (%s): the master of %s waits", type(error).__name__, broker_type)
