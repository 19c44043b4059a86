"""Circuit breakers: a broker that does not answer is left alone, by every process, until one probe finds it well again.

One circuit per broker and kind of call, shared through Redis:

    closed ── 5 failures in a row, or more than half of 10 calls within 60 s ──▶ open
      ▲                                                                          │ after 30 s, doubled at each failed
      │ 3 successes                                                              ▼ probe up to 10 min
      └───────────────────────────── half-open: one probe at a time ◀────────────┘

What takes an order back is never refused by a circuit (`gate`), and is no probe; how it ended counts.
Only what says that the broker is ill counts as a failure: no answer, a 5xx, maintenance, an unreadable answer. A call
that changes something is no probe until a read has been answered since the circuit became half-open. The truth is in
two scripts, `standing` and `report`; the time is Redis' own, or, in tests, the one that is passed in. While Redis is
away circuits are taken as closed. Nothing here touches rows: threads may call it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from brokers import registry
from brokers.domain import ConnectionStatus
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    CircuitOpen,
    HeldBack,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    UnexpectedResponse,
)
from brokers.governor import LUA as GOVERNOR_LUA
from brokers.governor import ORDER_CLASSES, now_given
from brokers.shared import RedisAway, ledger
from brokers.wire import IST

logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 5
RATE_WINDOW_SECONDS = 60
RATE_LEAST_CALLS = 10
RATE_MOST_FAILURES = 0.5
FIRST_WAIT_SECONDS = 30
LONGEST_WAIT_SECONDS = 600
SUCCESSES_TO_CLOSE = 3
# A probe that never reports, because its process died, holds the others up for so long: longer than any call may take.
PROBE_SECONDS = 15
LATENCY_WINDOW_SECONDS = 300
SAMPLES = 256
WEIGHT_OF_THE_NEWEST = 0.1
FORGOTTEN_AFTER_SECONDS = 86400


class Kind(StrEnum):
    ORDERS = "orders"
    DATA = "data"
    PORTFOLIO = "portfolio"
    SESSION = "session"


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(StrEnum):
    """How a call ended, for the circuit. REJECTED is an answer too, and NOTHING says nothing."""

    ANSWERED = "answered"
    REJECTED = "rejected"
    FAILED = "failed"
    NOTHING = "nothing"


# Rate class → kind; every other class reads the account.
KINDS = {
    **dict.fromkeys(ORDER_CLASSES, Kind.ORDERS),
    **dict.fromkeys(("quotes", "history"), Kind.DATA),
    **dict.fromkeys(("session", "refresh", "logout"), Kind.SESSION),
}

# `standing(now, circuit, proof, careful)` → admitted, probe, or refused with (since, retry_at, status or "half-open").
# `claim` takes
# the one probe's place and answers its number. Stored as open, a circuit is half-open from `retry_at` on. `proof`: when
# the broker last answered a read. `careful`: the call changes something, and must not be the first.
STANDING = """
local function standing(now, circuit, proof, careful)
  local c = redis.call('HMGET', circuit, 'state', 'since', 'retry_at', 'status', 'lease_until')
  if c[1] ~= 'open' then return {'admitted'} end
  local retry_at, lease_until = tonumber(c[3]), tonumber(c[5] or 0)
  if now < retry_at then return {'refused', c[2], c[3], c[4]} end
  if lease_until > now then return {'refused', c[2], c[5], 'half-open'} end
  if careful and tonumber(redis.call('GET', proof) or 0) < retry_at then
    return {'refused', c[2], string.format('%.0f', now), 'half-open'}
  end
  return {'probe'}
end
local function claim(now, circuit, lease)
  redis.call('HSET', circuit, 'lease_until', string.format('%.0f', now + lease))
  return redis.call('HINCRBY', circuit, 'probe', 1)
end
"""
# KEYS: circuit, proof. ARGV: now or 0, 1 if the call must be careful, milliseconds of a probe.
ADMIT = (
    GOVERNOR_LUA
    + STANDING
    + """
local now = clock(tonumber(ARGV[1]))
local found = standing(now, KEYS[1], KEYS[2], ARGV[2] == '1')
if found[1] == 'probe' then found[2] = claim(now, KEYS[1], tonumber(ARGV[3])) end
return found
"""
)
# KEYS: circuit, proof, samples. ARGV: now or 0, outcome, milliseconds, 1 if it was a read, probe number or 0, reason,
# status, and the constants from above. Answers what became of the circuit, or nothing. A call that was under way before
# the circuit opened, or a probe whose place another has taken, is counted and changes no state.
REPORT = (
    GOVERNOR_LUA
    + """
local function text(number) return string.format('%.0f', number) end
local circuit, proof, samples = KEYS[1], KEYS[2], KEYS[3]
local now, outcome, took, read, probe = clock(tonumber(ARGV[1])), ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]
local in_a_row, window, least, most, first, longest, to_close, kept, weight, life = unpack(numbers(8, 17))
local c = {}
local fields = {'state', 'probe', 'failures', 'wait', 'successes', 'counted_from', 'success'}
local values = redis.call('HMGET', circuit, unpack(fields))
for i, name in ipairs(fields) do c[name] = values[i] end
local open = c.state == 'open'
local ours = open and probe ~= '0' and probe == c.probe
if outcome == 'nothing' then
  if ours then redis.call('HSET', circuit, 'lease_until', 0) end
  return ''
end
local failed = outcome == 'failed'
redis.call('LPUSH', samples, text(now) .. ':' .. outcome .. ':' .. took)
redis.call('LTRIM', samples, 0, kept - 1)
redis.call('PEXPIRE', samples, life)
local success = tonumber(c.success or 1) * (1 - weight) + (failed and 0 or weight)
redis.call('HSET', circuit, 'success', string.format('%.6f', success))
redis.call('PEXPIRE', circuit, life)
local function opened(wait)
  redis.call('HSET', circuit, 'state', 'open', 'wait', wait, 'retry_at', text(now + wait), 'successes', 0,
    'lease_until', 0, 'reason', ARGV[6], 'status', ARGV[7])
end
if not failed then
  redis.call('HSET', circuit, 'failures', 0)
  if read then redis.call('SET', proof, text(now), 'PX', life) end
  if not ours then return '' end
  if tonumber(c.successes) + 1 < to_close then
    redis.call('HSET', circuit, 'successes', c.successes + 1, 'lease_until', 0)
    return ''
  end
  redis.call('HSET', circuit, 'state', 'closed', 'counted_from', text(now))
  redis.call('HDEL', circuit, 'since', 'opened_at', 'retry_at', 'lease_until', 'wait', 'reason', 'status')
  return 'closed'
end
local failures = tonumber(c.failures or 0) + 1
redis.call('HSET', circuit, 'failures', failures)
if ours then
  opened(math.min(2 * c.wait, longest))
  return 'opened'
end
if open then return '' end
if failures == 1 then redis.call('HSET', circuit, 'since', text(now)) end
local trips = failures >= in_a_row
if not trips then
  local calls, bad, from = 0, 0, math.max(now - window, tonumber(c.counted_from or 0))
  for _, sample in ipairs(redis.call('LRANGE', samples, 0, -1)) do
    local at, what = string.match(sample, '^(%d+):(%a+)')
    if tonumber(at) > from then
      calls = calls + 1
      if what == 'failed' then bad = bad + 1 end
    end
  end
  trips = calls >= least and bad / calls > most
end
if not trips then return '' end
redis.call('HSET', circuit, 'opened_at', text(now))
opened(first)
return 'opened'
"""
)
_CONSTANTS: tuple[float, ...] = (
    FAILURES_IN_A_ROW,
    RATE_WINDOW_SECONDS * 1000,
    RATE_LEAST_CALLS,
    RATE_MOST_FAILURES,
    FIRST_WAIT_SECONDS * 1000,
    LONGEST_WAIT_SECONDS * 1000,
    SUCCESSES_TO_CLOSE,
    SAMPLES,
    WEIGHT_OF_THE_NEWEST,
    FORGOTTEN_AFTER_SECONDS * 1000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A broker's calls of one kind, as they were just now.

    `success_ratio` gives the newest calls more weight; latencies and `reject_ratio` are over five minutes; all are None
    where nothing is known. `reject_ratio` counts orders that were rejected without a reason that is the client's own,
    such as too little money. `reason` is the code of the failure that opened the circuit, or "".
    """

    broker_type: str
    kind: Kind
    state: State
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    consecutive_failures: int = 0
    success_ratio: float | None = None
    p50_ms: int | None = None
    p95_ms: int | None = None
    reject_ratio: float | None = None
    reason: str = ""


def kind_of(rate_class: str) -> Kind:
    return KINDS.get(rate_class, Kind.PORTFOLIO)


def keys_of(slug: str, kind: Kind) -> tuple[str, str, str]:
    """Where a circuit, the broker's last answered read, and the circuit's samples are kept."""
    return f"circuit:{slug}:{kind}", f"circuit:{slug}:answered", f"circuit:{slug}:{kind}:samples"


def is_careful(kind: Kind, *, writes: bool) -> bool:
    """Whether a call must wait until a read was answered. A login need not: there may be no session to read with."""
    return writes and kind is not Kind.SESSION


def outcome_of(error: BrokerError | None, kind: Kind) -> Outcome:
    """What the end of a call says of the broker's health.

    An error that a person must act upon, such as a missing permission, is the broker's answer about one account. At a
    login so is every code of the broker's own: some mean an outage elsewhere, and wrong keys there.
    """
    if error is None:
        return Outcome.ANSWERED
    if isinstance(error, RateLimited | NotSupported | CircuitOpen | HeldBack):
        return Outcome.NOTHING
    if isinstance(error, OrderRejected) and error.code == OrderRejected.default_code:
        return Outcome.REJECTED
    if not isinstance(error, BrokerUnavailable | OutcomeUnknown | UnexpectedResponse):
        return Outcome.ANSWERED
    about_one_account = error.user_action != error.default_action
    told_at_login = kind is Kind.SESSION and error.vendor_code is not None
    return Outcome.ANSWERED if about_one_account or told_at_login else Outcome.FAILED


def admit(slug: str, kind: Kind, *, writes: bool, now: datetime | None = None) -> int:
    """Let a call through: 0, or the number of the probe that it is. Raises CircuitOpen."""
    circuit, proof, _ = keys_of(slug, kind)
    arguments = [_milliseconds(now), int(is_careful(kind, writes=writes)), PROBE_SECONDS * 1000]
    try:
        found = ledger().ask(lambda redis: redis.register_script(ADMIT)(keys=[circuit, proof], args=arguments))
    except RedisAway:
        return 0
    return admitted(slug, found)


def admitted(slug: str, found: list[Any]) -> int:
    """Read what `standing` found. Raises CircuitOpen."""
    verdict, *details = found
    if verdict != b"refused":
        return int(details[0]) if details else 0
    since, retry_at, status = details
    name = registry.load(slug).spec.name if slug in registry.slugs() else slug
    moment = _time(retry_at)
    is_being_tried = status == b"half-open"
    refusal = CircuitOpen(
        f"{name} has not answered since {_clock(_time(since))} IST; it is asked again at {_clock(moment)}.",
        retry_at=moment,
        connection_status=ConnectionStatus(status.decode()) if status and not is_being_tried else None,
    )
    if is_being_tried:  # what becomes of it the probe will tell: this says nothing new of any connection
        refusal.connection_status = None
    raise refusal


def report(
    slug: str,
    kind: Kind,
    outcome: Outcome,
    *,
    seconds: float = 0.0,
    writes: bool = False,
    probe: int = 0,
    error: BrokerError | None = None,
    now: datetime | None = None,
) -> None:
    """Say how a call ended. `probe` is what `admit` answered."""
    if outcome is Outcome.NOTHING and not probe:
        return
    reason = error.code if error else ""
    status = (error.connection_status if error else None) or ""
    sent: tuple[str | float, ...] = (
        _milliseconds(now),
        outcome,
        round(seconds * 1000),
        int(not writes),
        probe,
        reason,
        status,
        *_CONSTANTS,
    )
    try:
        became: bytes = ledger().ask(
            lambda redis: redis.register_script(REPORT)(keys=[*keys_of(slug, kind)], args=[*sent])
        )
    except RedisAway:
        return
    if became:
        logger.warning("%s: circuit %s %s %s", slug, kind, became.decode(), reason)


def reset(slug: str, kind: Kind) -> None:
    """Close a circuit by hand, and forget what it counted. Raises RedisAway."""
    circuit, _, samples = keys_of(slug, kind)
    ledger().ask(lambda redis: redis.delete(circuit, samples))


def states(*, now: datetime | None = None) -> tuple[Circuit, ...]:
    """Every circuit of every broker, in one look at Redis; all closed, and nothing known, while it is away."""
    return _read([(slug, kind) for slug in registry.slugs() for kind in Kind], now or datetime.now(UTC))


def state_of(slug: str, kind: Kind, *, now: datetime | None = None) -> Circuit:
    return _read([(slug, kind)], now or datetime.now(UTC))[0]


def due_probes(now: datetime) -> tuple[Circuit, ...]:
    """The circuits that are half-open: whoever asks the broker for something cheap now may find it well again."""
    return tuple(circuit for circuit in states(now=now) if circuit.state is State.HALF_OPEN)


def _read(wanted: list[tuple[str, Kind]], now: datetime) -> tuple[Circuit, ...]:
    def look(redis: Any) -> list[Any]:
        pipe = redis.pipeline(transaction=False)
        for slug, kind in wanted:
            circuit, _, samples = keys_of(slug, kind)
            pipe.hgetall(circuit)
            pipe.lrange(samples, 0, -1)
        answer: list[Any] = pipe.execute()
        return answer

    try:
        found = ledger().ask(look)
    except RedisAway:
        return tuple(Circuit(broker_type=slug, kind=kind, state=State.CLOSED) for slug, kind in wanted)
    return tuple(
        _circuit(slug, kind, fields, samples, now)
        for (slug, kind), fields, samples in zip(wanted, found[::2], found[1::2], strict=True)
    )


def _circuit(slug: str, kind: Kind, fields: dict[bytes, bytes], samples: list[bytes], now: datetime) -> Circuit:
    retry_at = _time(fields[b"retry_at"]) if b"retry_at" in fields else None
    state = State.CLOSED if retry_at is None else State.OPEN if now < retry_at else State.HALF_OPEN
    since = _milliseconds(now) - LATENCY_WINDOW_SECONDS * 1000
    recent = [
        (outcome, int(milliseconds))
        for at, outcome, milliseconds in (sample.decode().split(":") for sample in samples)
        if int(at) > since
    ]
    answered = [outcome for outcome, _ in recent if outcome != Outcome.FAILED]
    latencies = sorted(milliseconds for _, milliseconds in recent)
    return Circuit(
        broker_type=slug,
        kind=kind,
        state=state,
        opened_at=_time(fields[b"opened_at"]) if b"opened_at" in fields else None,
        retry_at=retry_at,
        consecutive_failures=int(fields.get(b"failures", 0)),
        success_ratio=float(fields[b"success"]) if b"success" in fields else None,
        p50_ms=_quantile(latencies, 0.5),
        p95_ms=_quantile(latencies, 0.95),
        reject_ratio=answered.count(Outcome.REJECTED) / len(answered) if answered else None,
        reason=fields.get(b"reason", b"").decode(),
    )


def _quantile(ordered: list[int], part: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None


def _milliseconds(now: datetime | None) -> int:
    """0 stands for Redis' own time."""
    return round(now.timestamp() * 1000) if now else now_given()


def _time(milliseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%H:%M:%S}"
