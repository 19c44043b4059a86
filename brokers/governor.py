"""Rate budgets: no process asks a broker for more than it allows, however many processes there are.

Exact sliding windows, kept in Redis as logs of grants, newest first: a window of N calls in S seconds is full while its
Nth newest grant is younger than S. One script looks at every window that a call counts in and records the grant in all
of them or in none. Time is Redis' own, as the clocks of our processes differ. While Redis is away each process keeps
to its part of every window by itself.

Budgets belong to a broker, an account and a class of endpoints; `spec.py` says which. Nothing here touches rows:
threads may call it.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Lock

from django.conf import settings

from brokers import registry
from brokers.errors import BudgetSpent
from brokers.shared import RedisAway, ledger
from brokers.spec import ALL, BrokerSpec, RateLimit
from brokers.transport import Deadline

# A broker counts on arrival, and a later call may travel faster than an earlier one: windows are longer by this.
SLACK_SECONDS = 0.05
# What a refusal by the broker costs where it does not say how long to wait.
DEFAULT_PAUSE_SECONDS = 1.0
# Waiting for a budget must leave time for the call itself.
LEAST_CALL_SECONDS = 0.2
# Those who wait for the same moment do not all ask in the same millisecond.
JITTER_SECONDS = 0.005
# Of every window, calls in the background take no more than one in so many, and none once one in so many is taken.
BACKGROUND_PART = 5
BACKGROUND_LEAVES = 2
# Classes whose calls place, change or cancel: together they keep to the house's own cap as well.
ORDER_CLASSES = ("orders", "order_changes", "gtt", "smart_orders", "cancels", "gtt_cancels")
# What only takes back. Of every window in which it counts what places or changes leaves so much to it: 2 of 10.
CANCELS, RESERVED_PART = frozenset(("cancels", "gtt_cancels")), 5
MOST_PER_SECOND = 10

# `take(now, pauses, logs, windows)` → 0 if granted, else the milliseconds to wait; windows are triples flattened: which
# log, calls, milliseconds. `clock(given)`: milliseconds since 1970, Redis' own unless a test gives some.
LUA = """
local function clock(given)
  if given > 0 then return given end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function take(now, pauses, logs, windows)
  local wait, calls, longest = 0, {}, {}
  for _, key in ipairs(pauses) do wait = math.max(wait, redis.call('PTTL', key)) end
  for i = 1, #windows, 3 do
    local n, most, span = windows[i], windows[i + 1], windows[i + 2]
    local oldest = redis.call('LINDEX', logs[n], most - 1)
    if oldest and oldest - now > 1000 then  -- Redis' clock was set back: these would block for as long
      redis.call('DEL', logs[n])
      oldest = nil
    end
    if oldest then wait = math.max(wait, oldest + span - now) end
    calls[n], longest[n] = math.max(calls[n] or 0, most), math.max(longest[n] or 0, span)
  end
  if wait > 0 then return wait end
  for n, key in ipairs(logs) do
    redis.call('LPUSH', key, string.format('%.0f', now))
    redis.call('LTRIM', key, 0, calls[n] - 1)
    redis.call('PEXPIRE', key, longest[n])
  end
  return 0
end
local function numbers(from, to)
  local read = {}
  for i = from, to do read[#read + 1] = tonumber(ARGV[i]) end
  return read
end
local function keys(from, to)
  local read = {}
  for i = from, to do read[#read + 1] = KEYS[i] end
  return read
end
"""
# KEYS: pauses, logs. ARGV: now or 0, how many pauses, windows.
TAKE = (
    LUA
    + """
local n = tonumber(ARGV[2])
return take(clock(tonumber(ARGV[1])), keys(1, n), keys(n + 1, #KEYS), numbers(3, #ARGV))
"""
)
# The same in; out: milliseconds of each pause, then how many grants each window holds. Logs are sorted: halve and look.
READ = (
    LUA
    + """
local now, n, out = clock(tonumber(ARGV[1])), tonumber(ARGV[2]), {}
for i = 1, n do out[i] = math.max(0, redis.call('PTTL', KEYS[i])) end
local windows = numbers(3, #ARGV)
for i = 1, #windows, 3 do
  local key, most, span = KEYS[n + windows[i]], windows[i + 1], windows[i + 2]
  local low, high = 0, math.min(most, redis.call('LLEN', key))
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('LINDEX', key, middle) + span > now then low = middle + 1 else high = middle end
  end
  out[#out + 1] = low
end
return out
"""
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where one call counts: keys of pauses and of logs, and the windows: (which log, limit)."""

    pauses: tuple[str, ...]
    logs: tuple[str, ...]
    windows: tuple[tuple[int, RateLimit], ...]

    def arguments(self) -> list[int]:
        """The windows for the scripts; Lua counts from one."""
        return [
            number
            for log, limit in self.windows
            for number in (log + 1, limit.calls, math.ceil((limit.seconds + SLACK_SECONDS) * 1000))
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLeft:
    """What is left of one window: `left` of `calls` in `seconds`. `path` is "" unless each path counts by itself."""

    endpoints: str
    also: tuple[str, ...]
    path: str
    calls: int
    seconds: int
    left: int
    paused_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an account may still ask of its broker. Not `shared`: Redis is away, and this is one process's part."""

    shared: bool
    windows: tuple[WindowLeft, ...]


def plan(spec: BrokerSpec, account: str, rate_class: str, path: str) -> Plan:
    """Every window that a call of this class counts in. `path` is the entry of the spec's table, without any ids."""
    if _clocks:
        return Plan(pauses=(), logs=(), windows=())
    limits = [reserved(limit, rate_class) for limit in spec.capabilities.rate_limits if limit.counts(rate_class)]
    if rate_class in ORDER_CLASSES:
        limits.append(house_cap(spec, rate_class))
    names = [_log(limit, path) for limit in limits]
    logs = list(dict.fromkeys(names))
    return Plan(
        pauses=tuple(_key(spec.slug, account, f"{name}:pause") for name in (rate_class, ALL)),
        logs=tuple(_key(spec.slug, account, name) for name in logs),
        windows=tuple((logs.index(name), limit) for name, limit in zip(names, limits, strict=True)),
    )


def in_background(wanted: Plan) -> Plan:
    """The same call where nobody waits for it: at most a fifth of every window, and only while half of it is free.

    So whatever the house asks by itself, a trader's own calls find room.
    """
    shares = tuple(f"{log}:background" for log in wanted.logs)
    halves = [(log, replace(limit, calls=max(1, limit.calls // BACKGROUND_LEAVES))) for log, limit in wanted.windows]
    parts = [(len(wanted.logs) + log, _background_part(limit)) for log, limit in wanted.windows]
    return Plan(wanted.pauses, (*wanted.logs, *shares), (*wanted.windows, *halves, *parts))


def _background_part(limit: RateLimit) -> RateLimit:
    """Where a fifth is less than one call, it is one call in a window that is longer in proportion."""
    if limit.calls >= BACKGROUND_PART:
        return replace(limit, calls=limit.calls // BACKGROUND_PART)
    return replace(limit, calls=1, seconds=math.ceil(limit.seconds * BACKGROUND_PART / limit.calls))


_clocks: list[Callable[[], datetime]] = []


@contextmanager
def clock_of(clock: Callable[[], datetime]) -> Iterator[None]:
    """Let the circuits of this process go by another clock than Redis' own: for rehearsals of a whole day.

    Budgets and pauses are lifted meanwhile: who waits for them waits in real time.
    """
    _clocks.append(clock)
    try:
        yield
    finally:
        _clocks.pop()


def now_given() -> int:
    """Milliseconds since 1970 for the scripts; 0 stands for Redis' own time."""
    return round(_clocks[-1]().timestamp() * 1000) if _clocks else 0


def house_cap(spec: BrokerSpec, rate_class: str = "orders") -> RateLimit:
    """All that places, changes or cancels, together: never more than the ten a second that the exchanges allow.

    What places or changes stays below that by what cancellations keep.
    """
    named = {*spec.rate_classes.values(), "orders"}
    first, *rest = (name for name in ORDER_CLASSES if name in named)
    kept = MOST_PER_SECOND // RESERVED_PART
    calls = min(settings.ORDERS_PER_SECOND, MOST_PER_SECOND - kept)
    if rate_class in CANCELS:
        calls += kept
    return RateLimit(endpoints=first, also=tuple(rest), calls=calls, seconds=1)


def reserved(limit: RateLimit, rate_class: str) -> RateLimit:
    """A broker's limit as it holds for what places or changes, where cancellations count in the same window."""
    is_kept_for = any(limit.counts(name) for name in CANCELS)
    if not is_kept_for or rate_class in CANCELS or rate_class not in ORDER_CLASSES:
        return limit
    return replace(limit, calls=max(1, limit.calls - math.ceil(limit.calls / RESERVED_PART)))


def acquire(spec: BrokerSpec, account: str, rate_class: str, path: str, deadline: Deadline) -> None:
    """Take one call out of the budget, waiting within the deadline. Raises BudgetSpent."""
    wanted = plan(spec, account, rate_class, path)
    wait_for(lambda: take(wanted), deadline)


def take(wanted: Plan) -> float:
    """Take one call now: 0, or how many seconds to wait before asking again."""
    try:
        keys = [*wanted.pauses, *wanted.logs]
        arguments = [now_given(), len(wanted.pauses), *wanted.arguments()]
        milliseconds = ledger().ask(lambda redis: redis.register_script(TAKE)(keys=keys, args=arguments))
    except RedisAway:
        return alone.take(wanted)
    alone.forget()
    return float(milliseconds) / 1000


def wait_for(attempt: Callable[[], float], deadline: Deadline) -> None:
    """Try until `attempt` answers 0 and not the seconds to wait. Raises BudgetSpent where the deadline is too near."""
    while wait := attempt():
        if wait + LEAST_CALL_SECONDS > deadline.remaining():
            raise BudgetSpent(
                f"The broker allows no further call of this kind for {wait:.1f} seconds.", retry_after=wait
            )
        time.sleep(wait + random.uniform(0, JITTER_SECONDS))  # noqa: S311 - it guards nothing


def pause(spec: BrokerSpec, account: str, rate_class: str, seconds: float | None) -> None:
    """Leave the broker alone for as long as it said: the class, or the account where the broker counts all together."""
    everything = any(limit.endpoints == ALL for limit in spec.capabilities.rate_limits)
    key = _key(spec.slug, account, f"{ALL if everything else rate_class}:pause")
    milliseconds = math.ceil((DEFAULT_PAUSE_SECONDS if seconds is None else seconds) * 1000)
    if milliseconds <= 0:
        return
    try:
        ledger().ask(lambda redis: redis.set(key, 1, px=milliseconds))
    except RedisAway:
        alone.pause(key, milliseconds / 1000)


def budget(broker_type: str, account: str, endpoints: str | None = None, *, now: datetime | None = None) -> Budget:
    """What is left for an account, window by window; of one class of `endpoints`, or of all. One look at Redis.

    `now` serves to tell `paused_until`, in the caller's own time.
    """
    spec = registry.load(broker_type).spec
    found: dict[tuple[str, RateLimit], tuple[str, RateLimit, str]] = {}
    for rate_class in [endpoints] if endpoints else _classes(spec):
        for limit, path in _windows(spec, rate_class):
            # A window in which several classes count is told once.
            found.setdefault((_log(limit, path), limit), (rate_class, limit, path))
    asked = list(found.values())
    pauses = [_key(spec.slug, account, f"{name}:pause") for name in dict.fromkeys([ALL, *(name for name, *_ in asked)])]
    whole = Plan(
        pauses=tuple(pauses),
        logs=tuple(_key(spec.slug, account, _log(limit, path)) for _, limit, path in asked),
        windows=tuple((number, limit) for number, (_, limit, _) in enumerate(asked)),
    )
    shared, paused, used = _read(whole)
    moment = now or datetime.now(UTC)
    return Budget(
        shared=shared,
        windows=tuple(
            WindowLeft(
                endpoints=limit.endpoints,
                also=limit.also,
                path=path,
                calls=limit.calls,
                seconds=limit.seconds,
                left=max(0, left),
                paused_until=_until(moment, [paused[key] for key in pauses if key in _pauses_of(spec, account, name)]),
            )
            for (name, limit, path), left in zip(asked, used, strict=True)
        ),
    )


def _read(whole: Plan) -> tuple[bool, dict[str, float], list[int]]:
    """Whether shared; seconds of each pause; calls left in each window."""
    keys = [*whole.pauses, *whole.logs]
    arguments = [now_given(), len(whole.pauses), *whole.arguments()]
    try:
        answer: list[int] = ledger().ask(lambda redis: redis.register_script(READ)(keys=keys, args=arguments))
    except RedisAway:
        return False, {key: alone.paused(key) for key in whole.pauses}, alone.left(whole)
    paused = {key: milliseconds / 1000 for key, milliseconds in zip(whole.pauses, answer, strict=False)}
    grants = answer[len(whole.pauses) :]
    return True, paused, [limit.calls - used for (_, limit), used in zip(whole.windows, grants, strict=True)]


def _until(moment: datetime, pauses: Iterable[float]) -> datetime | None:
    longest = max(pauses, default=0.0)
    return moment + timedelta(seconds=longest) if longest > 0 else None


def _pauses_of(spec: BrokerSpec, account: str, rate_class: str) -> Sequence[str]:
    return [_key(spec.slug, account, f"{name}:pause") for name in (rate_class, ALL)]


def _classes(spec: BrokerSpec) -> list[str]:
    limits = spec.capabilities.rate_limits
    named = [*spec.rate_classes.values(), *(name for limit in limits for name in (limit.endpoints, *limit.also))]
    return [name for name in dict.fromkeys(named) if name != ALL]


def _windows(spec: BrokerSpec, rate_class: str) -> Iterable[tuple[RateLimit, str]]:
    """A class's limits with the paths that they hold for, "" for those that the table does not name."""
    paths = [path for (_, path), name in spec.rate_classes.items() if name == rate_class]
    for limit in spec.capabilities.rate_limits:
        if limit.counts(rate_class):
            for path in dict.fromkeys(paths or [""]) if limit.per_path else [""]:
                yield reserved(limit, rate_class), path
    if rate_class in ORDER_CLASSES:
        yield house_cap(spec, rate_class), ""


def _log(limit: RateLimit, path: str) -> str:
    name = "+".join((limit.endpoints, *limit.also))
    return f"{name}:{path}" if limit.per_path else name


def _key(slug: str, account: str, name: str) -> str:
    return f"budget:{slug}:{account}:{name}"


class Alone:
    """This process's part of every window, for as long as Redis is away: an equal share of what all may do.

    Where that is less than one call, it is one call in a window that is longer in proportion.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._grants: dict[tuple[str, RateLimit], deque[float]] = {}
        self._pauses: dict[str, float] = {}

    def take(self, wanted: Plan) -> float:
        with self._lock:
            now = time.monotonic()
            wait = max((self._pauses.get(key, now) - now for key in wanted.pauses), default=0.0)
            logs = []
            for number, limit in wanted.windows:
                calls, seconds = _part(limit)
                log = self._grants.setdefault((wanted.logs[number], limit), deque(maxlen=calls))
                logs.append(log)
                if len(log) == calls:
                    wait = max(wait, log[0] + seconds - now)
            if wait > 0:
                return wait
            for log in logs:
                log.append(now)
            return 0.0

    def left(self, wanted: Plan) -> list[int]:
        with self._lock:
            now = time.monotonic()
            found = []
            for number, limit in wanted.windows:
                calls, seconds = _part(limit)
                log = self._grants.get((wanted.logs[number], limit), ())
                found.append(calls - sum(granted + seconds > now for granted in log))
            return found

    def pause(self, key: str, seconds: float) -> None:
        with self._lock:
            self._pauses[key] = time.monotonic() + seconds

    def paused(self, key: str) -> float:
        with self._lock:
            return max(0.0, self._pauses.get(key, 0.0) - time.monotonic())

    def forget(self) -> None:
        if self._grants or self._pauses:
            with self._lock:
                self._grants.clear()
                self._pauses.clear()


def _part(limit: RateLimit) -> tuple[int, float]:
    processes = settings.GOVERNOR_PROCESSES
    calls = max(1, limit.calls // processes)
    return calls, limit.seconds * max(1.0, processes / limit.calls) + SLACK_SECONDS


alone = Alone()
