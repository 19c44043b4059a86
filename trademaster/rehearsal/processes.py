"""Faults of processes, in real time: a worker killed while it renews sessions, Redis and PostgreSQL restarted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import requests
from django.db import DatabaseError
from django.db import connection as database
from django.utils import timezone

from accounts.models import User
from brokers.models import RENEWAL_LEASE, BrokerConnection
from health.models import BrokerHealthLog
from trademaster.local.house import House
from trademaster.rehearsal.pace import CHECK_SECONDS, SESSION_SECONDS
from trademaster.rehearsal.table import Outcome
from trademaster.rehearsal.truth import Truth, dead_tokens, waiting_for_login

PORTFOLIO = "/api/v1/brokers/portfolio/consolidated"
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 100.0
# Whose session is renewed when the worker dies, where, and whether the broker acts on the request of a dead worker.
RENEWALS = {
    "angel_one": ("/rest/auth/angelbroking/jwt/v1/generateTokens", False),
    "iifl": ("/interactive/user/session", True),
}


class Reader:
    """A trader's page that never stops asking, in a thread of its own; every answer is held against the truth."""

    def __init__(self, house: House) -> None:
        self._url = house.url + PORTFOLIO
        self._cookies = house.cookies()
        self._stopping = threading.Event()
        self.truth = Truth(self._ask())
        self.failed_at: float | None = None
        self.answered_at = time.monotonic()
        self.refusals: set[int] = set()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _ask(self) -> dict[str, Any]:
        answer = requests.get(self._url, cookies=self._cookies, timeout=15)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _read(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            try:
                self.truth.judge(self._ask())
                self.answered_at = time.monotonic()
            except requests.RequestException as error:
                self.failed_at = time.monotonic()
                if error.response is not None:
                    self.refusals.add(error.response.status_code)


def rehearse(house: House) -> list[Outcome]:
    """Each fault in turn, one page reading all the while. Takes about three minutes."""
    with Reader(house) as reader:
        return [
            _worker_killed(house, reader),
            _restarted("Redis restarted", house.services.redis.restart, reader),
            _restarted("the database restarted", house.services.postgres.restart, reader),
        ]


def _worker_killed(house: House, reader: Reader) -> Outcome:
    """Both kinds of renewal are under way when the worker dies: by keys, where the broker had acted, and by a refresh
    token, where the request died with the worker. (Had the broker acted there too, its answer would be lost for good,
    and a login the only way: `tests/brokers/test_sessions.py`.)
    """
    outcome = Outcome(
        fault="a worker killed while renewing two sessions",
        clock="real",
        within=RENEWAL_LEASE.total_seconds() + 2 * SESSION_SECONDS,
    )
    before = _numbers()
    for slug, (path, acts) in RENEWALS.items():
        house.control.set_fault(slug, "latency", path=path, milliseconds=3000)
        if not acts:
            house.control.set_fault(slug, "drop_connection", path=path)
    BrokerConnection.objects.filter(broker_type__in=RENEWALS).update(renewal_due_at=timezone.now())
    _until(lambda: _claimed() == len(RENEWALS))
    began = time.monotonic()
    house.kill("worker")
    house.start_worker()
    time.sleep(4)  # until the requests of the dead worker have ended at the brokers
    for slug in RENEWALS:
        house.control.clear_faults(slug)
    outcome.seen_after = _until(lambda: all(_numbers()[slug] > before[slug] for slug in RENEWALS), since=began)
    outcome.healed_after = outcome.seen_after
    outcome.lost = reader.truth.losses() + _lost()
    return outcome


def _restarted(fault: str, restart: Callable[[], None], reader: Reader) -> Outcome:
    """Seen when the page's requests fail, or at once if none did; healed when page and checks go on."""
    outcome = Outcome(fault=fault, clock="real", within=CHECK_SECONDS)
    reader.refusals.clear()
    began = time.monotonic()
    restart()
    database.close()
    back = time.monotonic()
    moment = timezone.now()
    outcome.healed_after = _until(lambda: reader.answered_at > back and _checked_since(moment), since=back)
    failed = reader.failed_at
    outcome.seen_after = failed - began if failed is not None and failed > began else 0.0
    outcome.lost = reader.truth.losses() + _lost()
    if reader.refusals - {503}:
        outcome.lost.append(f"requests ended in HTTP {sorted(reader.refusals - {503})}")
    return outcome


def _claimed() -> int:
    return BrokerConnection.objects.filter(
        broker_type__in=RENEWALS, renewal_lease_until__gt=timezone.now() + RENEWAL_LEASE - timedelta(seconds=2.5)
    ).count()


def _numbers() -> dict[str, int]:
    return dict(BrokerConnection.objects.values_list("broker_type", "session_number"))


def _checked_since(moment: Any) -> bool:
    """Whether every broker was checked since."""
    slugs = BrokerConnection.objects.active().values_list("broker_type", flat=True)
    checked = BrokerHealthLog.objects.filter(checked_at__gt=moment)
    return set(checked.values_list("broker_connection__broker_type", flat=True)) >= set(slugs)


def _lost() -> list[str]:
    trader = User.objects.get(username="trader")
    needless = [f"{slug}: a login is asked for" for slug in sorted(waiting_for_login(trader))]
    return [f"token of {line}" for line in dead_tokens(trader)] + needless


def _until(happened: Callable[[], bool], *, since: float | None = None) -> float | None:
    """Seconds until it happened; None if it did not. A database that is away for a moment is asked again."""
    began = time.monotonic() if since is None else since
    while time.monotonic() < began + PATIENCE_SECONDS:
        try:
            if happened():
                return time.monotonic() - began
        except DatabaseError:
            database.close()  # it died with the server
        time.sleep(POLL_SECONDS)
    return None
