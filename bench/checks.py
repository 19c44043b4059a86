"""Ten thousand connections due at once, against brokers that answer at once: what is left is our own cost.

Workers are real Celery workers, and dispatched to as beat does it. Their brokers answer from memory in the place of the
socket: that leaves out sockets, HTTP, TLS and every wait for a broker, and keeps clients, gate, decoding, mapping, rows
and queue. One figure is over real HTTP, from a small process that answers instantly.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from urllib.parse import urlsplit

from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bench import instant
from bench.merging import with_memory
from bench.people import crowd
from bench.table import Aim, Figure
from brokers import hours, registry
from brokers.domain import Segment
from brokers.models import BrokerConnection
from brokers.wire import IST
from health import asking, pace, rollups, services, tasks
from health.circuits import Circuits
from health.models import CheckSchedule, CheckType
from trademaster import settings as real
from trademaster.celery import app
from trademaster.local.house import QUIET, House, free_port

CONNECTIONS = 10_000
# The same work for one, two and four workers.
PART = 1_500
WORKERS = (1, 2, 4)
# As docs/operations.md starts them.
THREADS = 16
CHUNKS_IN_PROCESS = 20
PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.1
# A Wednesday on which the exchanges trade.
TRADING_DAY = date(2026, 11, 25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one dispatch. `twice` counts checks that were made more than once, `left` those
    that a chunk had no time for: they come round at a later dispatch."""

    workers: int
    made: int
    twice: int
    left: int
    dispatch_seconds: float
    seconds: float

    @property
    def per_second(self) -> float:
        return self.made / self.seconds


def measure(house: House) -> list[Figure]:
    replies = recorded(house)
    (house.run_dir / "replies.json").write_text(json.dumps(replies))
    BrokerConnection.objects.update(next_health_check_at=None)  # nobody's but these
    crowd("checked", CONNECTIONS // len(house.slugs), house.slugs)
    with instant.from_memory(replies):
        costs = cost()
    http = over_http(house)
    runs = []
    for workers in WORKERS:
        start_workers(house, workers)
        runs.append(run(workers, PART))
    whole = run(WORKERS[-1], CONNECTIONS)
    for number in range(WORKERS[-1]):
        house.kill(f"checker{number}")
    one = runs[0].per_second
    return [
        Figure(
            name=f"{CONNECTIONS:,} connections due at once",
            value=whole.per_second,
            unit="checks/s",
            note=f"{whole.made:,} checks by {whole.workers} workers in {whole.seconds:.0f} s, "
            f"{whole.dispatch_seconds:.0f} s of it to enrol, claim and hand out",
        ),
        Figure(name="  made twice", value=sum(each.twice for each in (*runs, whole)), unit="", aim=Aim(0)),
        Figure(
            name="  put off: a chunk had no time left for them",
            value=sum(each.left for each in (*runs, whole)),
            unit="",
            aim=Aim(0),
        ),
        *(
            Figure(
                name=f"{each.workers} worker{'s' if each.workers > 1 else ''}, {PART:,} connections",
                value=each.per_second / each.workers,
                unit="checks/s per worker",
                note=f"together {each.per_second:,.0f}, × {each.per_second / one:.2f}",
            )
            for each in runs
        ),
        Figure(
            name="  one worker, over HTTP",
            value=http.per_second,
            unit="checks/s per worker",
            note=f"× {http.per_second / one:.2f}; the answering process shares the machine",
        ),
        *costs,
        *sizes(),
    ]


# --- the brokers ------------------------------------------------------------------------------------------------------
def recorded(house: House) -> dict[str, str]:
    """What each simulated broker answers to every kind of check."""
    replies = {}
    for connection in BrokerConnection.objects.filter(user__username="trader").select_related("user"):
        client = with_memory(connection)
        for read in asking.READS.values():
            read(client)
        for url, (_, _, body) in client.http.replies.items():
            replies[f"/{connection.broker_type}{urlsplit(url).path}"] = body.decode()
    return replies


def over_http(house: House) -> Run:
    port = free_port()
    replies = house.run_dir / "replies.json"
    house.spawn("instant", ["-m", "bench.instant", str(replies), str(port)], lambda: True)
    house.spawn(
        "checker-http", celery("trademaster", "http"), lambda: alive() == 1, instant.base_urls(house.slugs, port)
    )
    try:
        return run(1, PART)
    finally:
        house.kill("checker-http")
        house.kill("instant")


# --- the workers ------------------------------------------------------------------------------------------------------
def celery(application: str, name: str) -> list[str]:
    return ["-m", "celery", "--quiet", "-A", application, "worker", "-P", "threads", "-c", str(THREADS), "-Q", "health",
            "-n", f"{name}@bench", "--without-gossip", "--without-mingle", *QUIET]  # fmt: skip


def alive() -> int:
    return len(app.control.ping(timeout=0.5))


def start_workers(house: House, number: int) -> None:
    """Have so many, besides those that run already."""
    extra = {"BENCH_REPLIES": str(house.run_dir / "replies.json")}
    for count in range(number):
        if f"checker{count}" not in house.processes:
            house.spawn(f"checker{count}", celery("bench.worker", f"checker{count}"), lambda: True, extra)
    end = time.monotonic() + PATIENCE_SECONDS
    while alive() < number:
        assert time.monotonic() < end, "the workers do not start"


def run(workers: int, connections: int) -> Run:
    """Make the checks of so many connections due, dispatch them as beat does, and wait until they are made."""
    make_due(connections)
    since, started = timezone.now(), time.perf_counter()
    tasks.check_due()
    dispatched = time.perf_counter()
    lease = CheckSchedule.objects.exclude(lease_until=None).values_list("lease_until", flat=True).first()
    while CheckSchedule.objects.filter(due_at=lease).exists() and time.perf_counter() - started < PATIENCE_SECONDS:
        time.sleep(POLL_SECONDS)
    ended = time.perf_counter()
    with database.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), count(*) - count(DISTINCT (broker_connection_id, check_type)) FROM broker_health_logs
            WHERE checked_at >= %s
            """,
            [since],
        )
        made, twice = cursor.fetchone()
    soon = timezone.now() + timedelta(minutes=1)
    return Run(
        workers=workers,
        made=made,
        twice=twice,
        left=CheckSchedule.objects.filter(due_at__lte=soon).count()
        + CheckSchedule.objects.filter(due_at=lease).count(),
        dispatch_seconds=dispatched - started,
        seconds=ended - started,
    )


def make_due(connections: int) -> None:
    """So many ask to be put on the schedule, as after a login; nobody else is on it, and no check was ever made."""
    with database.cursor() as cursor:
        cursor.execute("TRUNCATE broker_health_logs, health_check_schedules")
    BrokerConnection.objects.update(next_health_check_at=None)
    chosen = BrokerConnection.objects.filter(user__username__startswith="checked").order_by("pk")
    BrokerConnection.objects.filter(pk__in=chosen.values("pk")[:connections]).update(
        next_health_check_at=timezone.now()
    )
    with database.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE broker_connections")


# --- what it costs ----------------------------------------------------------------------------------------------------
def cost() -> list[Figure]:
    """Of the checks of some chunks, made one after the other in this process."""
    make_due(PART)
    now = timezone.now()
    services.enrol(now)
    chunks = services.claim_chunks(now, Circuits())
    services.check_chunk(chunks.pop(), now=now)  # imports, threads, scripts
    with CaptureQueriesContext(database) as queries:
        services.check_chunk(chunks.pop(), now=now)
    made, busy = 0, time.process_time()
    for chunk in chunks[:CHUNKS_IN_PROCESS]:
        made += services.check_chunk(chunk, now=now)
    milliseconds = (time.process_time() - busy) * 1000 / made
    return [
        Figure(name="CPU per check, of the worker", value=milliseconds, unit="ms"),
        Figure(
            name="queries per check",
            value=len(queries) / services.CHUNK,
            unit="",
            note=f"{len(queries)} for a chunk of {services.CHUNK}",
        ),
    ]


def sizes() -> list[Figure]:
    """What ten thousand connections write on a trading day at the default intervals."""
    hour = rollups.hour_of(timezone.now())
    rollups.roll_up_hour(hour)
    log_rows, log_bytes = size_of("broker_health_logs")
    hour_rows, hour_bytes = size_of("health_rollups")
    checks = CONNECTIONS * checks_per_day()
    hourly = CONNECTIONS * len(CheckType) * 24
    return [
        Figure(
            name=f"rows of raw checks per day, {CONNECTIONS:,} connections",
            value=checks,
            unit="",
            note=f"{checks / CONNECTIONS:,.0f} of each, every {real.HEALTH_INTERVAL_SECONDS:g} s, slower at night",
        ),
        Figure(
            name="  their size, indexes included",
            value=checks * log_bytes / log_rows / 1e6,
            unit="MB/day",
            note=f"{log_bytes / log_rows:.0f} bytes each; kept {real.HEALTH_RAW_DAYS:g} days",
        ),
        Figure(
            name="  of hourly rollups, at most",
            value=hourly * hour_bytes / hour_rows / 1e6,
            unit="MB/day",
            note=f"{hourly:,} rows of {hour_bytes / hour_rows:.0f} bytes; kept",
        ),
    ]


def size_of(table: str) -> tuple[int, int]:
    with database.cursor() as cursor:
        cursor.execute(f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}")  # noqa: S608 - ours
        rows, size = cursor.fetchone()
    return rows, size


def checks_per_day() -> float:
    """Of one connection that is well, all kinds together, on a trading day; the mean over brokers."""
    days = [
        checks_of(check_type, row_id, slug) for row_id, slug in enumerate(registry.slugs()) for check_type in CheckType
    ]
    return sum(days) / len(registry.slugs())


def checks_of(check_type: CheckType, row_id: int, slug: str) -> int:
    at = datetime.combine(TRADING_DAY, time_of_day(), IST)
    end, made = at + timedelta(days=1), 0
    while at < end:
        trading = hours.markets_open(at)
        at = pace.next_due(
            check_type,
            row_id=row_id,
            now=at,
            failures=0,
            markets_open=None if trading is None else Segment.EQUITY in trading,
            maintenance=registry.load(slug).spec.maintenance,
            intervals=pace.Intervals(usual=real.HEALTH_INTERVAL_SECONDS, failing=real.HEALTH_FAILING_INTERVAL_SECONDS),
        )
        made += 1
    return made
