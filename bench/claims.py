"""A hundred thousand connections due at once, claimed by four dispatchers at a time; nothing is checked."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime

from django.db import connection as database
from django.utils import timezone

from accounts.models import User
from bench.claimer import claim, ready
from bench.table import Aim, Figure
from brokers.models import BrokerConnection
from health.models import CheckType
from trademaster.local.house import House

CONNECTIONS = 100_000
CLAIMERS = 4


def measure(house: House) -> list[Figure]:
    now = timezone.now()
    due = make_due(now)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        CLAIMERS, mp_context=context, initializer=ready, initargs=(context.Barrier(CLAIMERS),)
    ) as processes:
        shares = list(processes.map(claim, [now] * CLAIMERS))
    claimed = [key for _, _, ids in shares for key in ids]
    seconds = max(ended for _, ended, _ in shares) - min(began for began, _, _ in shares)
    split = ", ".join(f"{len(ids):,}" for _, _, ids in shares)
    return [
        Figure(
            name=f"{CONNECTIONS:,} connections, claims alone",
            value=len(claimed) / seconds,
            unit="claims/s",
            note=f"{CLAIMERS} claimers: {split}",
        ),
        Figure(name="  claimed twice", value=len(claimed) - len(set(claimed)), unit="", aim=Aim(0)),
        Figure(name="  not claimed", value=due - len(set(claimed)), unit="", aim=Aim(0)),
    ]


def make_due(now: datetime) -> int:
    """So many connections without sessions, all their checks due at the same moment. Returns how many checks."""
    user = User.objects.create(username="claimed")
    first = BrokerConnection.objects.create(user=user, broker_type="zerodha", account_id="C")
    copied = [field.column for field in BrokerConnection._meta.fields if field.name not in ("id", "account_id")]
    with database.cursor() as cursor:
        cursor.execute("UPDATE health_check_schedules SET due_at = NULL")
        cursor.execute(
            f"""
            INSERT INTO broker_connections (id, account_id, {", ".join(copied)})
            SELECT gen_random_uuid(), account_id || number, {", ".join(copied)}
            FROM broker_connections, generate_series(2, %s) AS number WHERE id = %s
            """,  # noqa: S608 - our own columns
            [CONNECTIONS, first.pk],
        )
        cursor.execute(
            """
            INSERT INTO health_check_schedules (broker_connection_id, broker_type, check_type, due_at, held,
                                                consecutive_failures, last_status, last_error_code)
            SELECT id, broker_type, kind, %s, false, 0, '', ''
            FROM broker_connections, unnest(%s::text[]) AS kind WHERE user_id = %s
            """,
            [now, list(CheckType.values), user.pk],
        )
        made = cursor.rowcount
        cursor.execute("ANALYZE health_check_schedules")
    return made
