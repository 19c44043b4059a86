"""Every broker's master, loaded each morning: fetched to a file of this machine, then merged in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import chain
from tempfile import TemporaryFile
from time import monotonic
from typing import IO

from django.conf import settings
from django.db import DataError, connection, transaction
from django.db.models import Max, QuerySet

from brokers import reach, registry
from brokers.base import Broker, BrokerClient
from brokers.domain import ConnectionStatus
from brokers.errors import BrokerError, BrokerUnavailable, NotSupported, SessionEnded
from brokers.masters import BrokenMaster
from brokers.models import BrokerConnection
from brokers.transport import Deadline, Endpoints, Transport
from brokers.wire import IST
from market.merge import merge
from market.models import LoadOutcome, MasterLoad
from market.staging import Staged

logger = logging.getLogger(__name__)

LARGEST_FILE = 200 * 1024 * 1024
DOWNLOAD_SECONDS = 300.0
REBUILT_AT = time(8, 0)  # IST: by then every broker has made its files of the day
MANY_NEW = 1000  # after so many the search would be planned for an empty table
BETWEEN_ATTEMPTS = timedelta(minutes=30)
# Advisory locks: one loader per broker, one merge at a time.
LOADER, MERGER = 0x4D41, 0x4D45
# The file, or the whole broker, is out of reach; everything else says something about the file.
OUT_OF_REACH = (BrokerUnavailable, SessionEnded, NotSupported)


def load_masters(*, now: datetime, broker_type: str | None = None) -> list[MasterLoad]:
    """Load one broker's master, or everybody's; what another process is loading is left out."""
    slugs = [broker_type] if broker_type else [broker.spec.slug for broker in registry.brokers() if broker.spec.master]
    return [load for slug in slugs if (load := load_master(broker_type=slug, now=now)) is not None]


def load_master(*, broker_type: str, now: datetime) -> MasterLoad | None:
    """Fetch one broker's master and merge it. A failure changes nothing and is a row that says why.

    Returns None while another process is at it. No transaction is open while the broker is asked.
    """
    broker = registry.load(broker_type)
    with _alone(registry.order_of(broker_type)) as is_alone:
        if not is_alone:
            return None
        began = monotonic()
        load = MasterLoad(broker_type=broker_type, started_at=now, outcome=LoadOutcome.LOADED)
        try:
            with ExitStack() as open_files:
                fetched = _fetch(broker, open_files, now=now)
                load.file_bytes = fetched.size
                _merge(broker, fetched.files, load, now=now)
        except BrokerError as error:
            load.outcome = LoadOutcome.UNREACHABLE if isinstance(error, OUT_OF_REACH) else LoadOutcome.REFUSED
            load.error_code, load.error_message = error.code, error.message
            logger.warning("Master of %s not loaded: %s", broker_type, error.message)
        load.finished_at = now + timedelta(seconds=monotonic() - began)
        load.save()
        return load


def due(now: datetime) -> list[str]:
    """Brokers whose master of today is not loaded, and was not asked for a short while ago.

    One that is not public is due only while somebody is logged in, and anew when somebody has logged in since.
    """
    rebuilt = datetime.combine(now.astimezone(IST).date(), REBUILT_AT, IST)
    if rebuilt > now:
        rebuilt -= timedelta(days=1)
    loads = MasterLoad.objects.values_list("broker_type").annotate(last=Max("started_at"))
    loaded = dict(loads.filter(outcome=LoadOutcome.LOADED))
    asked = dict(loads)
    never = datetime.min.replace(tzinfo=IST)
    return [
        slug
        for slug in registry.slugs()
        if (master := registry.load(slug).spec.master) is not None
        and loaded.get(slug, never) < rebuilt
        and (
            asked.get(slug, never) <= now - BETWEEN_ATTEMPTS
            or (master.needs_session and _sessions(slug).filter(session_began_at__gt=asked[slug]).exists())
        )
        and not (master.needs_session and not _sessions(slug).exists())
    ]


@dataclass
class Fetched:
    files: list[IO[bytes]] = field(default_factory=list)
    size: int = 0


def _fetch(broker: Broker, open_files: ExitStack, *, now: datetime) -> Fetched:
    """Every file of a master on this machine's disk; they vanish when they are closed. Raises a BrokerError."""
    master = broker.spec.master
    if master is None:
        raise NotSupported(f"{broker.spec.name} publishes no master.")
    client = _client(broker, now=now) if master.needs_session else None
    transport = _transport(broker)
    fetched = Fetched()
    for wanted in master.files:
        file = open_files.enter_context(TemporaryFile())  # noqa: SIM115 - it is the caller's to close
        fetched.size += transport.download(
            wanted.method,
            wanted.path,
            json=wanted.json,
            into=file,
            largest=LARGEST_FILE,
            authorization=client.authorization() if client else None,
            keys=client.keys() if client else None,
        )
        file.seek(0)
        fetched.files.append(file)
    return fetched


def _transport(broker: Broker) -> Transport:
    master = broker.spec.master
    own = master.base_url if master else None
    address = settings.BROKERS[broker.spec.slug].get("master_url") or own or reach.endpoints_of(broker).base_url
    return broker.transport(
        endpoints=Endpoints(base_url=address, login_url=""),
        loopback_only=settings.SIMULATED_BROKERS,
        deadline=Deadline(DOWNLOAD_SECONDS),
    )


def _sessions(broker_type: str) -> QuerySet[BrokerConnection]:
    connections = BrokerConnection.objects.filter(broker_type=broker_type, status=ConnectionStatus.CONNECTED)
    return connections.select_related("user").order_by("-last_successful_call")


def _client(broker: Broker, *, now: datetime) -> BrokerClient:
    """A client of any trader's session: the file is the same for all of them. Raises SessionEnded."""
    for each in _sessions(broker.spec.slug):
        try:
            return reach.client_for(each, now=now)
        except BrokerError as error:
            logger.info("Not with %s: %s", each.pk, error.code)
    raise SessionEnded(f"Nobody is logged in to {broker.spec.name}, whose master is not public.")


def _merge(broker: Broker, files: list[IO[bytes]], load: MasterLoad, *, now: datetime) -> None:
    if broker.master_rows is None or broker.instrument is None:
        raise NotSupported(f"We cannot read the master of {broker.spec.name}.")
    staged = Staged(chain.from_iterable(map(broker.master_rows, files)), broker.instrument)
    slug = broker.spec.slug
    last = MasterLoad.objects.filter(broker_type=slug, outcome=LoadOutcome.LOADED).first()
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [MERGER])
            merged = merge(
                staged,
                broker_type=slug,
                better=registry.slugs()[: registry.order_of(slug)],
                last_count=last.row_count if last else None,
                now=now,
                today=now.astimezone(IST).date(),
            )
    except DataError:
        raise BrokenMaster("holds a value that no column can hold") from None
    if merged.new_count > MANY_NEW:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE market_instruments, market_instrument_listings")
    load.row_count, load.new_count = merged.row_count, merged.new_count
    load.succeeded_count, load.withdrawn_count = merged.succeeded_count, merged.withdrawn_count
    load.unreadable = dict(merged.unreadable)


@contextmanager
def _alone(number: int) -> Iterator[bool]:
    """Whether no other process loads this master. The lock is the database session's: it dies with its owner."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOADER, number])
        [is_ours] = cursor.fetchone()
        try:
            yield is_ours
        finally:
            if is_ours:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOADER, number])
