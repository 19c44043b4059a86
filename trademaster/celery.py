"""The Celery application. Tasks live in each app's `tasks.py`; `timetable.py` says when beat has which of them done."""

import os

from celery import Celery
from celery.signals import beat_init, worker_init, worker_ready

from trademaster import watchdog

# Beat sends something every few seconds: a worker that takes none of it for so long hangs.
SILENCE_SECONDS = 20.0

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trademaster.settings")

app = Celery("trademaster")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
watchdog.watch(app, patience=SILENCE_SECONDS)


@worker_ready.connect
def load_masters_at_once(**_: object) -> None:
    """A new installation need not wait for the next look at the clock."""
    app.send_task("market.load_due_masters", expires=60)


@beat_init.connect
@worker_init.connect
def prove_keys(**_: object) -> None:
    """A worker with the wrong key must not start: it could read no session, and call every one of them broken.

    Beat holds no secret; but a clock without workers that can work would only fill the queue.
    """
    from brokers import vault

    vault.prove_keys_or_exit()  # Celery logs any other exception of a signal, and starts all the same
