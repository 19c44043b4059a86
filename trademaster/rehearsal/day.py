"""A bad day by a simulated clock: sessions end at their hours, and brokers throttle, close, flap and die.

Everything is real but the time: brokers that speak their wire, rows, Redis. What beat would start every few seconds is
called at those seconds of the simulated day, in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.core.cache import cache

from accounts.models import User
from brokers import breaker, governor, logins, reach, registry, services, sessions
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, ConnectionChange
from brokers.simulation.server import SimulatedBrokers
from brokers.spec import BrokerSpec, Renewal
from brokers.statuses import Actor
from brokers.wire import IST
from health import circuits, incidents
from health import services as health
from portfolio import services as portfolio
from trademaster.local.connect import app_keys
from trademaster.local.environment import SimulatedBroker
from trademaster.rehearsal.pace import CHECK_SECONDS, SESSION_SECONDS, TICK_SECONDS
from trademaster.rehearsal.table import Outcome
from trademaster.rehearsal.truth import Truth, dead_tokens, waiting_for_login

LOGIN = datetime(2026, 11, 26, 9, 10, tzinfo=IST)
MORNING = datetime(2026, 11, 27, 9, 15, tzinfo=IST)
DEAD_SECONDS = 3600
STORM_SECONDS = 60
FLAP_SECONDS, FLAPS = 20, 5
LOOK_SECONDS = 10


class Day:
    """The simulated clock, the trader, and what beat does."""

    def __init__(self, brokers: SimulatedBrokers, trader: User) -> None:
        self.now = LOGIN
        self.brokers = brokers
        self.trader = trader
        self.truth: Truth | None = None
        self.look_at = LOGIN

    def clock(self) -> datetime:
        return self.now

    # --- what people do -----------------------------------------------------------------------------------------------
    def log_in(self, slug: str) -> None:
        """Through the broker's own login page, or our form where it has none."""
        known = self.brokers.brokers[slug]
        services.store_app(user=self.trader, broker_type=slug, fields=app_keys(cast(SimulatedBroker, known)))
        start = logins.initiate(user=self.trader, broker_type=slug, redirect_uri=reach.own_callback(slug), now=self.now)
        spec = registry.load(slug).spec
        if spec.callback is None:
            brought = _typed(spec, known["login"])
        else:
            came = self.brokers.login(slug, start.authorization_url)
            brought = {name: value for name, value in came.items() if name != spec.callback.state}
        logins.complete(user=self.trader, state=start.state, callback=brought, now=self.now)

    def look(self) -> dict[str, Any]:
        """Open the portfolio; every answer is held against the truth."""
        rendered = portfolio.refresh(self.trader, now=self.now)
        answer: dict[str, Any] = json.loads(rendered.include) if rendered else {}
        if self.truth is None:
            self.truth = Truth(answer)
        self.truth.judge(answer)
        self.look_at = self.now + timedelta(seconds=LOOK_SECONDS)
        return answer

    # --- what beat does -----------------------------------------------------------------------------------------------
    def tick(self) -> None:
        cache.clear()  # what it holds lapses by real time
        sessions.end_expired_sessions(self.now)
        for connection_id in sessions.due_renewals(self.now):
            sessions.renew(connection_id, now=self.now)
        standing = circuits.current(self.now)
        health.enrol(self.now)
        for ids in health.claim_chunks(self.now, standing):
            health.check_chunk(ids, now=self.now)
        for connection_id in health.claim_probes(self.now, standing):
            health.check(connection_id, now=self.now)
        incidents.watch(self.now, standing)

    def pass_seconds(self, seconds: float, *, step: float = SESSION_SECONDS, looking: bool = True) -> None:
        """Let time pass, tick by tick; the page is looked at now and then, unless not `looking`."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(end, self.now + timedelta(seconds=step))
            self.tick()
            if looking and self.now >= self.look_at:
                self.look()

    def pass_until(self, happened: Callable[[], bool], *, most: float, step: float = TICK_SECONDS) -> float | None:
        """Seconds until it happened; None if it did not within so many."""
        began = self.now
        while not happened():
            if (self.now - began).total_seconds() >= most:
                return None
            self.pass_seconds(step, step=step)
        return (self.now - began).total_seconds()

    # --- what is there ------------------------------------------------------------------------------------------------
    def status(self, slug: str) -> str:
        return BrokerConnection.objects.values_list("status", flat=True).get(user=self.trader, broker_type=slug)

    def losses(self) -> list[str]:
        assert self.truth is not None  # noqa: S101 - the first look sets it
        return self.truth.losses() + [f"token of {line}" for line in dead_tokens(self.trader)]


def rehearse(trader: User) -> list[Outcome]:
    """The whole day, a fault at a time. Takes about a minute of real time."""
    with a_day(trader) as day:
        for slug in registry.slugs():
            day.log_in(slug)
        day.tick()
        day.look()
        return [
            _night(day),
            _fault(day, "a storm of 429", "fyers", "rate_limit", ConnectionStatus.RATE_LIMITED, STORM_SECONDS),
            _fault(day, "maintenance", "upstox", "maintenance", ConnectionStatus.MAINTENANCE, STORM_SECONDS),
            _flapping(day, "groww"),
            _fault(day, "a broker dead for an hour", "zerodha", "down", ConnectionStatus.ERROR, DEAD_SECONDS),
        ]


@contextmanager
def a_day(trader: User) -> Iterator[Day]:
    """Brokers of their own for the simulated day, budgets and circuits by its clock; afterwards all as before."""
    told: list[Day] = []
    brokers = SimulatedBrokers(
        registry.slugs(), redirect_base=settings.PUBLIC_URL, clock=lambda: told[0].now if told else LOGIN
    )
    kept = settings.BROKERS
    with brokers:
        day = Day(brokers, trader)
        told.append(day)
        settings.BROKERS = {
            slug: {**kept[slug], "base_url": known["base_url"], "login_url": known["login_url"]}
            for slug, known in brokers.brokers.items()
        }
        with governor.clock_of(day.clock):
            try:
                yield day
            finally:
                settings.BROKERS = kept


def _night(day: Day) -> Outcome:
    """Every session ends at its known hour, before a call with it fails; one login each in the morning, no more."""
    outcome = Outcome(
        fault="sessions end in the night",
        clock="simulated",
        within=SESSION_SECONDS,
        healed_by="one login each, as the law wants",
    )
    rows = BrokerConnection.objects.filter(user=day.trader).values_list("broker_type", "token_expires_at")
    by_login = _must_log_in()
    ends = sorted((end, slug) for slug, end in rows if slug in by_login and end is not None)
    delays = []
    for end, slug in ends:
        day.pass_seconds((end - day.now).total_seconds() - SESSION_SECONDS, step=600, looking=False)
        seen = day.pass_until(lambda slug=slug: day.status(slug) == ConnectionStatus.TOKEN_EXPIRED, most=60)  # type: ignore[misc]
        if seen is None:
            outcome.lost.append(f"{slug}: its end went unseen")
            return outcome
        delays.append(seen - SESSION_SECONDS)
    outcome.seen_after = max(0.0, *delays)
    by_calls = ConnectionChange.objects.filter(
        to_status=ConnectionStatus.TOKEN_EXPIRED, actor=Actor.CALL, broker_connection__user=day.trader
    )
    outcome.lost += [f"{change.broker_connection.broker_type}: a call failed first" for change in by_calls]
    day.pass_seconds((MORNING - day.now).total_seconds(), step=600, looking=False)
    asked = waiting_for_login(day.trader)
    outcome.lost += [f"{slug}: a login too many" for slug in sorted(asked - by_login)]
    outcome.lost += [f"{slug}: not asked to log in" for slug in sorted(by_login - asked)]
    for slug in sorted(asked):
        day.log_in(slug)
    outcome.healed_after = day.pass_until(lambda: day.look()["complete"], most=60)
    outcome.lost += day.losses()
    return outcome


def _typed(spec: BrokerSpec, known: Mapping[str, str]) -> dict[str, str]:
    """What goes into our own form: the first of the broker's logins for which everything is known."""
    method = next(each for each in spec.login_methods if all(field.name in known for field in each.fields))
    return {"method": method.name, **{field.name: known[field.name] for field in method.fields}}


def _must_log_in() -> set[str]:
    """Brokers whose sessions no stored key can open."""
    return {slug for slug in registry.slugs() if registry.load(slug).spec.session.renewal is not Renewal.STORED_KEYS}


def _fault(day: Day, fault: str, slug: str, kind: str, status: ConnectionStatus, seconds: float) -> Outcome:
    outcome = Outcome(fault=f"{slug}: {fault}", clock="simulated", within=CHECK_SECONDS)
    control = day.brokers.control
    control.set_fault(slug, kind)
    began = day.now
    outcome.seen_after = day.pass_until(lambda: day.status(slug) == status, most=60)
    rest = seconds - (day.now - began).total_seconds()
    day.pass_seconds(rest, step=SESSION_SECONDS if rest < 300 else 30)
    control.clear_faults(slug)
    _heal(day, outcome, slug)
    return outcome


def _flapping(day: Day, slug: str) -> Outcome:
    outcome = Outcome(fault=f"{slug}: up and down every {FLAP_SECONDS} s", clock="simulated", within=CHECK_SECONDS)
    control = day.brokers.control
    for turn in range(FLAPS):
        control.set_fault(slug, "down")
        if turn == 0:
            outcome.seen_after = day.pass_until(lambda: day.status(slug) == ConnectionStatus.ERROR, most=FLAP_SECONDS)
        day.pass_seconds(FLAP_SECONDS)
        control.clear_faults(slug)
        day.pass_seconds(FLAP_SECONDS)
    _heal(day, outcome, slug)
    return outcome


def _heal(day: Day, outcome: Outcome, slug: str) -> None:
    """By itself: within the longest time that a circuit stays open, and one check."""
    most = breaker.LONGEST_WAIT_SECONDS + 2 * CHECK_SECONDS
    outcome.healed_after = day.pass_until(lambda: day.status(slug) == ConnectionStatus.CONNECTED, most=most)
    whole = day.pass_until(lambda: day.look()["complete"], most=60)
    if whole is None:
        outcome.lost.append("the portfolio did not become whole again")
    outcome.lost += day.losses() + [f"{other}: a login is asked for" for other in sorted(waiting_for_login(day.trader))]
