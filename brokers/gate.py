"""What stands before every broker call: first the circuit, then the budget, in one question to Redis.

A refusal touches no broker and costs no time. What takes an order back is asked for whatever the circuit says, as an
order that stands may be filled meanwhile: only the budget holds it up. A call that goes through says afterwards how it
ended, which is the second question. Threads may call it: no rows here.
"""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from brokers import breaker, governor, token_use
from brokers.breaker import Kind, Outcome
from brokers.errors import BrokerError, BudgetSpent, RateLimited
from brokers.shared import RedisAway, ledger
from brokers.spec import BrokerSpec
from brokers.transport import UNGUARDED, Call, Deadline, Gate, Passage

# A call that had less time than this, and ran out of it, says nothing of the broker.
FAIR_SECONDS = 1.0
PASSES = "passes"

# KEYS: circuit, proof, hours, hour, pauses, logs. ARGV: now or 0, 1 if the call must be careful or "passes" if no
# circuit holds it up, milliseconds of a probe, how many pauses, as what the call is counted, windows. Answers what
# `standing` found; where that lets the call through, {wait in milliseconds, probe number}. The probe's place is taken
# only with the budget for it.
ENTER = (
    governor.LUA
    + breaker.STANDING
    + token_use.LUA
    + """
local now, n = clock(tonumber(ARGV[1])), tonumber(ARGV[4])
local found = ARGV[2] == 'passes' and {'admitted'} or standing(now, KEYS[1], KEYS[2], ARGV[2] == '1')
if found[1] == 'refused' then return found end
local wait = take(now, keys(5, n + 4), keys(n + 5, #KEYS), numbers(6, #ARGV))
if wait == 0 then count_use(KEYS[3], KEYS[4], ARGV[5]) end
local probe = 0
if wait == 0 and found[1] == 'probe' then probe = claim(now, KEYS[1], tonumber(ARGV[3])) end
return {wait, probe}
"""
)


class BrokerGate:
    """The gate of one account at one broker. `in_background`: nobody waits for these calls, and they for nothing."""

    def __init__(self, spec: BrokerSpec, account: str, *, in_background: bool = False) -> None:
        self.spec = spec
        self.account = account
        self.in_background = in_background

    def enter(self, call: Call, deadline: Deadline) -> Passage:
        """Raises CircuitOpen; BudgetSpent where the budget comes back too late for the deadline."""
        rate_class, path = self.spec.rate_class(call.method, call.path)
        passage = BrokerPassage(self, call, deadline, rate_class, path)
        passage.open()
        return passage


class BrokerPassage:
    """One call through the gate."""

    def __init__(self, gate: BrokerGate, call: Call, deadline: Deadline, rate_class: str, path: str) -> None:
        self.gate = gate
        self.call = call
        self.deadline = deadline
        self.rate_class = rate_class
        self.path = path
        self.kind: Kind = breaker.kind_of(rate_class)
        self.plan = governor.plan(gate.spec, gate.account, rate_class, path)
        self.patience = deadline
        if gate.in_background:
            self.plan, self.patience = governor.in_background(self.plan), Deadline(0)
        self.probe = 0
        self.given = 0.0

    def open(self) -> None:
        governor.wait_for(self._attempt, self.patience)
        self.given = self.deadline.remaining()

    def again(self) -> bool:
        try:
            governor.wait_for(lambda: governor.take(self.plan), self.patience)
        except BudgetSpent:
            return False
        return True

    def leave(self, error: BrokerError | None, seconds: float) -> None:
        outcome = breaker.outcome_of(error, self.kind)
        if outcome is Outcome.FAILED and self._was_short() and self.deadline.remaining() <= 0:
            outcome = Outcome.NOTHING
        if isinstance(error, RateLimited):
            governor.pause(self.gate.spec, self.gate.account, self.rate_class, error.retry_after)
        breaker.report(
            self.gate.spec.slug,
            self.kind,
            outcome,
            seconds=seconds,
            writes=self.call.writes,
            probe=self.probe,
            error=error,
        )

    def _was_short(self) -> bool:
        """Whether the call had too little time to tell of the broker: in the background, less than was wanted."""
        return self.given < FAIR_SECONDS or (self.gate.in_background and self.deadline.is_cut)

    def _attempt(self) -> float:
        """Enter now: 0, or the seconds to wait."""
        slug = self.gate.spec.slug
        circuit, proof, _ = breaker.keys_of(slug, self.kind)
        keys = [circuit, proof, *token_use.place(timezone.now()), *self.plan.pauses, *self.plan.logs]
        careful: str | int = int(breaker.is_careful(self.kind, writes=self.call.writes))
        if self.rate_class in governor.CANCELS:
            careful = PASSES
        probe = breaker.PROBE_SECONDS * 1000
        use = token_use.field(self.gate.account, self.kind)
        pauses = len(self.plan.pauses)
        arguments: list[str | int] = [governor.now_given(), careful, probe, pauses, use, *self.plan.arguments()]
        try:
            found = ledger().ask(lambda redis: redis.register_script(ENTER)(keys=keys, args=arguments))
        except RedisAway:
            return governor.alone.take(self.plan)
        governor.alone.forget()
        if isinstance(found[0], bytes):
            breaker.admitted(slug, found)
        self.probe = int(found[1])
        return int(found[0]) / 1000


def gate_for(spec: BrokerSpec, account: str, *, in_background: bool = False) -> Gate:
    """The gate of an account: a connection's id, or for a login whatever names user and broker. Never a token."""
    return BrokerGate(spec, account, in_background=in_background) if settings.GOVERNOR_ENABLED else UNGUARDED
