"""What stops orders, as every process sees it at once: a latch in Redis, and who is on the way to a broker.

Whoever brings an order to a broker enters here at the very last, and leaves when the call is over; whoever pulls the
switch latches, and then waits for those who had entered before. Both are one script each, so that of an order and a
latch one comes first: the order is seen on its way, or it does not go. Threads may call it: no rows here.

Nothing in Redis is the truth: the rows are (`halting`). So a latch that is not there does not mean that none stands: of
a user whose rows nobody has read since Redis began (`ready`), nothing passes. Nor does anything while Redis is away.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

from redis import Redis

from brokers.errors import HeldBack
from brokers.shared import RedisAway, ledger

# Who has not said for so long that their call is over has died; no call takes longer (`orders.calling.LAPSE`).
FORGOTTEN_SECONDS = 30
LOOK_SECONDS = 0.02
KINDS = ("KILL", "DAY_LOSS")
RANKS = {"REDUCE_ONLY": 1, "STOP": 2, "CANCEL": 3, "FLATTEN": 4}
UNKNOWN = "unknown"
# Users whose latch stands and whose row could not be written yet.
UNRECORDED = "halts:unrecorded"


class May(StrEnum):
    """What an order does to a position, as far as it was proved: open one, make one smaller, or close one."""

    OPEN = "open"
    REDUCE = "reduce"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latched:
    """One kind as it stands in Redis. `token` names the row that it is of, or the pull that wrote it down first."""

    level: str
    token: str
    facts: Mapping[str, Any]


# `stop(key, may)` → "" where it may pass, else the level that stops it, or "unknown". Level (c) lets through what
# closes a position, the daily-loss lock what makes one smaller; the levels between them let nothing through.
LUA = """
local function stop(key, may)
  if redis.call('HGET', key, 'ready') ~= '1' then return 'unknown' end
  for _, kind in ipairs({'KILL', 'DAY_LOSS'}) do
    local level = redis.call('HGET', key, 'level:' .. kind)
    if level then
      local passes = (level == 'REDUCE_ONLY' and may ~= 'open') or (level == 'FLATTEN' and may == 'close')
      if not passes then return level end
    end
  end
  return ''
end
"""
LOOK = LUA + "return stop(KEYS[1], ARGV[1])"
# KEYS: latch, those on the way. ARGV: may, tag, milliseconds after which somebody on the way is forgotten.
ENTER = (
    LUA
    + """
local stopped = stop(KEYS[1], ARGV[1])
if stopped ~= '' then return stopped end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return ''
"""
)
# KEYS: those on the way. ARGV: the same milliseconds.
ON_THE_WAY = """
local t = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
# KEYS: latch. ARGV: kind, level, its rank, token, facts, '1' if they are a row's. It is never lowered. A pull's token
# takes the place of a row's too: what ends that row, or has, does not let go of what was pulled since.
LATCH = """
local held = tonumber(redis.call('HGET', KEYS[1], 'rank:' .. ARGV[1]) or 0)
local rank = tonumber(ARGV[3])
if held < rank then redis.call('HSET', KEYS[1], 'level:' .. ARGV[1], ARGV[2], 'rank:' .. ARGV[1], ARGV[3]) end
if held < rank or (held == rank and ARGV[6] == '1') then
  redis.call('HSET', KEYS[1], 'facts:' .. ARGV[1], ARGV[5])
end
redis.call('HSET', KEYS[1], 'token:' .. ARGV[1], ARGV[4])
return redis.call('HGET', KEYS[1], 'level:' .. ARGV[1])
"""
# KEYS: latch. ARGV: kind, token. Only of the row that has ended.
UNLATCH = """
if redis.call('HGET', KEYS[1], 'token:' .. ARGV[1]) ~= ARGV[2] then return 0 end
for _, name in ipairs({'level:', 'rank:', 'facts:', 'token:'}) do redis.call('HDEL', KEYS[1], name .. ARGV[1]) end
return 1
"""
# KEYS: latch. ARGV: a word of the reader's own. Answers the word that counts: who reads at the same time shares one, so
# that many readers void nobody's reading; '1' where nothing has to be read.
BEGIN_READING = """
redis.call('HSETNX', KEYS[1], 'ready', ARGV[1])
return redis.call('HGET', KEYS[1], 'ready')
"""
# KEYS: latch. ARGV: that word, then kind, level, rank, token, facts of each row. Only if nothing was lost meanwhile.
END_READING = """
local ready = redis.call('HGET', KEYS[1], 'ready')
if ready == '1' then return 1 end
if ready ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 5 do
  local held = redis.call('HGET', KEYS[1], 'rank:' .. ARGV[i])
  if not held or tonumber(held) < tonumber(ARGV[i + 2]) then
    redis.call('HSET', KEYS[1], 'level:' .. ARGV[i], ARGV[i + 1], 'rank:' .. ARGV[i], ARGV[i + 2],
               'token:' .. ARGV[i], ARGV[i + 3], 'facts:' .. ARGV[i], ARGV[i + 4])
  end
end
redis.call('HSET', KEYS[1], 'ready', '1')
return 1
"""


# --- on the way to a broker -------------------------------------------------------------------------------------------
def enter(user_id: int, tag: str, may: May) -> HeldBack | None:
    """Go on to a broker, unless trading is stopped: then the error that says so. Whoever enters leaves."""
    keys = [_key(user_id), _way(user_id)]
    return _held(lambda redis: redis.register_script(ENTER)(keys=keys, args=[may, tag, FORGOTTEN_SECONDS * 1000]))


def look(user_id: int, may: May) -> None:
    """Look once more, after a wait. Raises HeldBack."""
    keys = [_key(user_id)]
    stopped = _held(lambda redis: redis.register_script(LOOK)(keys=keys, args=[may]))
    if stopped is not None:
        raise stopped


def leave(user_id: int, tag: str) -> None:
    """The call is over. Where Redis is away it is forgotten in its time."""
    try:
        ledger().ask(lambda redis: redis.zrem(_way(user_id), tag))
    except RedisAway:
        return


def on_the_way(user_id: int) -> list[str]:
    """Tags of what has entered and not left. Raises RedisAway."""
    keys, args = [_way(user_id)], [FORGOTTEN_SECONDS * 1000]
    found: list[bytes] = ledger().ask(lambda redis: redis.register_script(ON_THE_WAY)(keys=keys, args=args))
    return [tag.decode() for tag in found]


def landed(user_id: int, seconds: float) -> list[str]:
    """Wait so long for whoever is on the way; the tags of those who still are. Raises RedisAway."""
    end = time.monotonic() + seconds
    while (tags := on_the_way(user_id)) and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
    return tags


def _held(ask: Callable[[Redis], bytes]) -> HeldBack | None:
    try:
        stopped = ledger().ask(ask).decode()
    except RedisAway:
        stopped = UNKNOWN
    if stopped == UNKNOWN:
        return HeldBack(
            "It cannot be read whether trading is stopped, and so no order goes out.",
            code="halt_unreadable",
            user_action="Try again in a few seconds. Cancelling works meanwhile.",
        )
    return HeldBack("Trading is stopped; it was not sent.") if stopped else None


# --- the latch --------------------------------------------------------------------------------------------------------
def latch(user_id: int, kind: str, level: str, facts: Mapping[str, Any], *, row: int | None = None) -> str:
    """Stop, at once and for every process; a latch that stands is raised, and never lowered. Returns its level.

    `row`: whose latch it is from now on; without one it is not recorded yet. Redis is asked although it was silent a
    moment ago: that silence may have been this process's alone. Raises RedisAway.
    """
    token = token_of(row) if row is not None else f"pulled:{uuid4()}"
    arguments: list[str | int] = [kind, level, RANKS[level], token, json.dumps(facts), int(row is not None)]

    def write(redis: Redis) -> Any:
        level_now = redis.register_script(LATCH)(keys=[_key(user_id)], args=arguments)
        if row is None:
            redis.sadd(UNRECORDED, user_id)
        return level_now

    return str(ledger().ask(write, afresh=True).decode())


def unlatch(user_id: int, kind: str, row: int) -> bool:
    """Let go of what this row stopped. Returns whether it was latched as that row's. Raises RedisAway."""
    keys, arguments = [_key(user_id)], [kind, token_of(row)]
    return bool(ledger().ask(lambda redis: redis.register_script(UNLATCH)(keys=keys, args=arguments)))


def read(user_id: int) -> dict[str, Latched] | None:
    """What stands in Redis, by kind; None: nobody has read the rows since it began. Raises RedisAway."""
    found: dict[bytes, bytes] = ledger().ask(lambda redis: redis.hgetall(_key(user_id)))  # type: ignore[arg-type,return-value]
    plain = {name.decode(): value.decode() for name, value in found.items()}
    latched = {
        kind: Latched(
            level=plain[f"level:{kind}"], token=plain[f"token:{kind}"], facts=json.loads(plain[f"facts:{kind}"])
        )
        for kind in KINDS
        if f"level:{kind}" in plain
    }
    return latched if latched or plain.get("ready") == "1" else None


def make_ready(user_id: int, rows: Callable[[], Iterable[tuple[str, str, int, Mapping[str, Any]]]]) -> bool:
    """Latch what the rows say, where nobody has since Redis began: kind, level, id and facts of each.

    The rows are read between two scripts: what is latched, or lost, meanwhile makes this reading void. Returns whether
    it holds. Raises RedisAway.
    """
    own, key = f"reading:{uuid4()}", [_key(user_id)]
    word = ledger().ask(lambda redis: redis.register_script(BEGIN_READING)(keys=key, args=[own])).decode()
    if word == "1":
        return True
    arguments: list[str | int] = [word]
    for kind, level, row, facts in rows():
        arguments += [kind, level, RANKS[level], token_of(row), json.dumps(facts)]
    return bool(ledger().ask(lambda redis: redis.register_script(END_READING)(keys=key, args=arguments)))


def unrecorded() -> list[int]:
    """Users whose latch has no row yet. Raises RedisAway."""
    found: set[bytes] = ledger().ask(lambda redis: redis.smembers(UNRECORDED))  # type: ignore[arg-type,return-value]
    return sorted(int(each) for each in found)


def recorded(user_id: int) -> None:
    """Their rows are written. Raises RedisAway."""
    ledger().ask(lambda redis: redis.srem(UNRECORDED, user_id))


def token_of(row: int) -> str:
    return f"row:{row}"


def _key(user_id: int) -> str:
    return f"halt:{user_id}"


def _way(user_id: int) -> str:
    return f"halt:{user_id}:way"
