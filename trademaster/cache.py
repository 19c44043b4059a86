"""The cache, for who can do without it, and the part of it that nobody may do without.

Counts of requests and pages that were just made may get lost with Redis. What django-allauth keeps in the cache may
not: its counts of failed sign-ins, and which one-time codes are spent. Those stand in PostgreSQL, where the accounts
are: whoever can sign in at all is counted, by all processes alike.
"""

from __future__ import annotations

from typing import Any

from allauth.mfa import app_settings as mfa
from django.core.cache import BaseCache, caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.redis import RedisCache

from brokers.shared import if_redis_is_there

SPENT_CODE = "allauth.mfa.totp.used"  # how the library's keys of spent one-time codes begin


class ForgivingRedisCache(RedisCache):
    """Where Redis is away nothing is found and nothing is kept: a page that could be served is served."""

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        if kept := _kept(key):
            return kept.get(key, default, version)
        found = default
        with if_redis_is_there("reading the cache"):
            found = super().get(key, default, version)
        return found

    def set(self, key: Any, *args: Any, **kwargs: Any) -> None:
        if kept := _kept(key):
            kept.set(key, *args, **kwargs)
            return
        with if_redis_is_there("writing the cache"):
            super().set(key, *args, **kwargs)

    def add(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        kept = _kept(key)
        return kept.add(key, *args, **kwargs) if kept else super().add(key, *args, **kwargs)

    def delete(self, key: Any, version: Any = None) -> bool:
        kept = _kept(key)
        return kept.delete(key, version) if kept else super().delete(key, version)


class SignInCache(DatabaseCache):
    """Counts in PostgreSQL. Only what has lapsed is ever thrown away: flooding it makes nobody's count go."""

    _table: str

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        """A spent code stays spent for as long as it would be taken: the library forgets it after one time step."""
        if str(key).startswith(SPENT_CODE):
            timeout = mfa.TOTP_PERIOD * (2 * mfa.TOTP_TOLERANCE + 1)
        return bool(super().add(key, value, timeout, version))

    def _cull(self, db: str, cursor: Any, now: Any, num: int) -> None:
        """Called at a write when there are more than MAX_ENTRIES rows."""
        cursor.execute(f"DELETE FROM {self._table} WHERE expires < %s", [now])  # noqa: S608 - our settings name it


def _kept(key: Any) -> BaseCache | None:
    """Where a key of django-allauth belongs; None for all others. (It asks for the default cache by name.)"""
    return caches["sign_in"] if str(key).startswith("allauth") else None
