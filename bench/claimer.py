"""One dispatcher of several, in a process of its own that begins without Django."""

from __future__ import annotations

import time
from datetime import datetime
from multiprocessing.synchronize import Barrier

import django
from django.db import connection as database

Claimed = tuple[float, float, list[int]]
_start: list[Barrier] = []


def ready(start: Barrier) -> None:
    _start.append(start)
    django.setup()
    database.ensure_connection()


def claim(now: datetime) -> Claimed:
    """Claim, as a dispatcher does, until nothing is left: when it began and ended, and what it got."""
    # They read Django's settings, which `ready` has just made.
    from health import services
    from health.circuits import Circuits

    ids: list[int] = []
    _start[0].wait()
    began = time.time()
    while chunks := services.claim_chunks(now, Circuits()):
        ids += [key for chunk in chunks for key in chunk]
    return began, time.time(), ids
