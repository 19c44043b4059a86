"""Who holds which connection: shares of work, split over living processes and locked in Redis.

`share` says what a process should hold; the lease says what it does hold. A process that dies stops renewing, and
within the lease time the others have its keys. The time is Redis' own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from redis.asyncio import Redis

# KEYS: the set of living owners. ARGV: owner, milliseconds. Answers who lives.
LIVE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""

# KEYS: leases. ARGV: owner, milliseconds. Takes those that are free, renews our own; answers 1 for each that is ours.
HOLD = """
local held = {}
for i, key in ipairs(KEYS) do
  local owner = redis.call('GET', key)
  if not owner or owner == ARGV[1] then
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
    held[i] = 1
  else
    held[i] = 0
  end
end
return held
"""

# KEYS: leases. ARGV: owner. Gives up those that are ours.
RELEASE = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
"""

AT_ONCE = 1000  # keys of one script, which nobody else's commands can interrupt


class Leases:
    """One owner's part. `owner` must be unique for each process that ever runs. Methods raise RedisError.

    First `mine` says what this process may hold; what it holds beyond that is stopped and then released, the rest is
    held anew. This order keeps two processes from holding one connection at the same time.
    """

    def __init__(self, redis: Redis, name: str, owner: str, seconds: float) -> None:
        self.owner = owner
        self.seconds = seconds
        self._redis = redis
        self._name = name
        self._milliseconds = int(seconds * 1000)
        self._live = redis.register_script(LIVE)
        self._hold = redis.register_script(HOLD)
        self._release = redis.register_script(RELEASE)
        self._shared: tuple[frozenset[str], frozenset[str], frozenset[str]] | None = None

    async def mine(self, keys: Collection[str]) -> frozenset[str]:
        """Say that we live, and return our share of the keys, given who else does."""
        owners = await self._live(keys=[self._owners], args=[self.owner, self._milliseconds])
        question = frozenset(keys), frozenset(owner.decode() for owner in owners)
        if self._shared is None or self._shared[:2] != question:
            self._shared = (*question, share(*question, self.owner))
        return self._shared[2]

    async def hold(self, keys: Collection[str]) -> frozenset[str]:
        """Claim or renew; returns those that are ours for the next `seconds`."""
        held: set[str] = set()
        for part in _parts(sorted(keys)):
            answer = await self._hold(keys=self._keys(part), args=[self.owner, self._milliseconds])
            held.update(key for key, is_ours in zip(part, answer, strict=True) if is_ours)
        return frozenset(held)

    async def release(self, keys: Collection[str]) -> None:
        for part in _parts(sorted(keys)):
            await self._release(keys=self._keys(part), args=[self.owner])

    async def leave(self, keys: Collection[str]) -> None:
        """Release these and be counted among the living no more: the others need not wait."""
        await self.release(keys)
        await self._redis.zrem(self._owners, self.owner)

    @property
    def _owners(self) -> str:
        return f"leases:{self._name}:owners"

    def _keys(self, keys: Iterable[str]) -> list[str]:
        return [f"leases:{self._name}:of:{key}" for key in keys]


def share(keys: Collection[str], owners: Collection[str], owner: str) -> frozenset[str]:
    """The keys of one owner. Everybody who knows the same keys and owners comes to the same result.

    Rendezvous hashing, so that few keys move when an owner comes or goes; nobody gets more than a full share, rounded
    up.
    """
    if not owners:
        return frozenset()
    full = -(-len(keys) // len(owners))
    room = dict.fromkeys(owners, full)
    found = set()
    for key in sorted(keys):
        best = max((each for each in owners if room[each]), key=lambda each: _weight(each, key))
        room[best] -= 1
        if best == owner:
            found.add(key)
    return frozenset(found)


def _weight(owner: str, key: str) -> bytes:
    return hashlib.blake2b(f"{owner} {key}".encode(), digest_size=8).digest()


def _parts(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))
