"""A placing worker of the storm: sends every intent that waits, until none has come for a while. It may be killed.

`python -m trademaster.rehearsal.placing SEED`. Several may run at once, over the same intents.
"""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import django

THREADS = 16
QUIET_SECONDS = 10.0


def main(seed: int) -> None:
    django.setup()
    from django.db import connections
    from django.utils import timezone

    from orders import sending
    from orders.models import IntentStatus, OrderIntent

    def place(intent_id: UUID) -> None:
        try:
            intent = OrderIntent.objects.select_related("instrument").get(pk=intent_id)
            decision = intent.decisions.earliest("made_at")
            sending.send(intent=intent, decision=decision, now=timezone.now())
        finally:
            connections.close_all()

    waiting = OrderIntent.objects.filter(status=IntentStatus.WORKING, events=None)
    quiet_since = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        while time.monotonic() < quiet_since + QUIET_SECONDS:
            ids = list(waiting.values_list("pk", flat=True))
            random.Random(seed).shuffle(ids)  # noqa: S311 - it guards nothing
            for done in [threads.submit(place, intent_id) for intent_id in ids[: 2 * THREADS]]:
                done.result()
            if ids:
                quiet_since = time.monotonic()
            time.sleep(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]))
