"""How often each session was used: calls counted in Redis as they go out, and written to the audit log by the hour.

They are counted in the question that the gate asks before each of them. Counts that are lost with Redis are lost: an
event tells of at least so many calls. Where the governor is switched off there is no gate, and nothing is counted.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast
from uuid import UUID

from redis import Redis

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from accounts.models import AuditEntry
from brokers.breaker import Kind
from brokers.models import BrokerConnection
from brokers.shared import RedisAway, ledger

HOURS = "session-use"
KEPT = timedelta(days=3)
# A call that began in an hour may end in the next one.
LATE = timedelta(minutes=5)
HOUR = timedelta(hours=1)


# Counts a call that goes out; KEYS and ARGV are the caller's: see `place` and `field`.
LUA = f"""
local function count_use(hours, hour, field)
  redis.call('HINCRBY', hour, field, 1)
  redis.call('EXPIRE', hour, {int(KEPT.total_seconds())})
  redis.call('SADD', hours, hour)
end
"""


def place(at: datetime) -> tuple[str, str]:
    """Where the hours are listed, and where the calls of this one are counted."""
    return HOURS, f"{HOURS}:{at.astimezone(UTC).replace(minute=0, second=0, microsecond=0).isoformat()}"


def field(account: str, kind: Kind) -> str:
    """`account` is a connection's id, or what stands for a login; never a token."""
    return f"{account}|{kind}"


def sum_up(now: datetime) -> int:
    """Write every hour that is over to the audit log, an event for each connection. Returns how many.

    An hour that was written and not forgotten, because this broke off between the two, is not written twice.
    """
    written = 0
    try:
        for name in sorted(ledger().ask(lambda redis: cast(set[bytes], redis.smembers(HOURS)))):
            hour = datetime.fromisoformat(name.decode().removeprefix(f"{HOURS}:"))
            if hour + HOUR + LATE <= now:
                written += _write(hour, ledger().ask(partial(_counted, name)), now)
                ledger().ask(partial(_forget, name))
    except RedisAway:
        return written
    return written


def _counted(name: bytes, redis: Redis) -> dict[bytes, bytes]:
    return cast(dict[bytes, bytes], redis.hgetall(name.decode()))


def _forget(name: bytes, redis: Redis) -> None:
    pipe = redis.pipeline()
    pipe.delete(name.decode())
    pipe.srem(HOURS, name.decode())
    pipe.execute()


def _write(hour: datetime, counted: dict[bytes, bytes], now: datetime) -> int:
    calls: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for key, number in counted.items():
        account, _, kind = key.decode().rpartition("|")
        calls[account][kind] = int(number)
    told = AuditEntry.objects.filter(event=Event.BROKER_CALLS, at__gte=hour, details__hour=_text(hour))
    for known in told.values_list("object_id", flat=True):
        calls.pop(known, None)
    ids = {account: found for account in calls if (found := _connection_id(account))}
    owners = dict(BrokerConnection.objects.filter(pk__in=ids.values()).values_list("pk", "user_id"))
    happened = [
        Happened(
            event=Event.BROKER_CALLS,
            subject=owners.get(ids[account]) if account in ids else _user_of_login(account),
            thing=("connection" if account in ids else "login", account),
            details={"hour": _text(hour), "calls": kinds},
        )
        for account, kinds in sorted(calls.items())
    ]
    audit.record_all(happened, now=now)
    return len(happened)


def _connection_id(account: str) -> UUID | None:
    try:
        return UUID(account)
    except ValueError:  # a login under way
        return None


def _user_of_login(account: str) -> int | None:
    """See `reach.before_login`."""
    number = account.removeprefix("login-")
    return int(number) if number.isdigit() else None


def _text(hour: datetime) -> str:
    return hour.strftime("%Y-%m-%dT%H:00:00Z")
