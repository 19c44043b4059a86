"""For load balancers and orchestrators: is the process there, and can it work?"""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from brokers.shared import redis


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is asked."""
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """The database and Redis answer too; 503 names what does not."""
    parts = {"database": _database_answers(), "redis": _redis_answers()}
    well = all(parts.values())
    words = {name: "ok" if answers else "away" for name, answers in parts.items()}
    return JsonResponse({"status": "ready" if well else "not ready", **words}, status=200 if well else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis_answers() -> bool:
    try:
        return bool(redis().ping())
    except RedisError:
        return False
