"""How often each session was used: calls counted in Redis as they end, and written to the audit log by the hour.

Counts that are lost with Redis are lost: an event tells of at least so many calls. Nothing is counted where the
governor is switched off, which stands at the same place.
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

HOURS = "token-use"
KEPT = timedelta(days=3)
# A call that began in an hour may end in the next one.
LATE = timedelta(minutes=5)
HOUR = timedelta(hours=1)


def count(account: str, kind: Kind, *, at: datetime) -> None:
    """One call of an account, a connection's id or a login's; from any thread."""
    hour = _key(at)

    def add(redis: Redis) -> None:
        pipe = redis.pipeline(transaction=False)
        pipe.hincrby(hour, f"{account}|{kind}", 1)
        pipe.expire(hour, KEPT)
        pipe.sadd(HOURS, hour)
        pipe.execute()

    try:
        ledger().ask(add)
    except RedisAway:  # the ledger has said so already
        return


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


def _key(at: datetime) -> str:
    return f"{HOURS}:{at.astimezone(UTC).replace(minute=0, second=0, microsecond=0).isoformat()}"


def _text(hour: datetime) -> str:
    return hour.strftime("%Y-%m-%dT%H:00:00Z")
