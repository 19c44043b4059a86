"""Prices that stand still while somebody is in the market intraday: a letter, and nothing else comes of it.

Streams follow the books of open pages alone, and so only their owners are looked after. A feed that is away for less
than `STALE` is nothing to tell; one that stays away is told once in `QUIET`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Q
from redis.exceptions import RedisError

from accounts.models import User
from brokers.domain import Exchange, Product
from brokers.shared import redis
from market.days import market_state
from market.models import InstrumentListing
from market.publishing import latest
from portfolio import services, watching
from portfolio.services import NoBrokerConnections

logger = logging.getLogger(__name__)

STALE = timedelta(seconds=30)
QUIET = timedelta(minutes=15)
# Beat looks more often than this; what it has noted lapses if it does not.
NOTED_SECONDS = 120


def stale_for(now: datetime) -> list[int]:
    """Users who are to be told now. While Redis is away nobody is: their pages say that nothing streams."""
    try:
        return [user_id for user_id in watching.watchers() if _is_to_be_told(user_id, now)]
    except RedisError as error:
        logger.warning("Redis is away (%s): stale prices are not looked for", type(error).__name__)
        return []


def _is_to_be_told(user_id: int, now: datetime) -> bool:
    since_key, told_key = f"halts:stale:{user_id}", f"halts:stale-told:{user_id}"
    held = _intraday(user_id, now)
    if not held or _are_fed(held):
        redis().delete(since_key)
        return False
    redis().set(since_key, now.isoformat(), nx=True, ex=NOTED_SECONDS)
    redis().expire(since_key, NOTED_SECONDS)
    noted = redis().get(since_key)
    since = datetime.fromisoformat(noted.decode()) if isinstance(noted, bytes) else now
    return now - since > STALE and bool(redis().set(told_key, 1, nx=True, ex=int(QUIET.total_seconds())))


def _intraday(user_id: int, now: datetime) -> set[tuple[Exchange, str]]:
    """What they hold intraday, by the brokers' last answers, where the market is open."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return set()
    try:
        sources = services.known_sources(user, now=now, recent=timedelta(0))
    except NoBrokerConnections:
        return set()
    wanted = Q(pk=None)
    for source in sources:
        for position in source.portfolio.positions if source.portfolio is not None else ():
            if position.product is Product.MIS and position.quantity:
                wanted |= Q(
                    broker_type=source.broker_type,
                    broker_token=position.broker_token,
                    instrument__exchange=position.exchange,
                )
    rows = InstrumentListing.objects.filter(wanted).values_list("instrument__exchange", "instrument__exchange_token")
    held = {(Exchange(exchange), token) for exchange, token in rows if token}
    open_ones = {exchange for exchange in {each for each, _ in held} if market_state(exchange, now=now).is_open}
    return {key for key in held if key[0] in open_ones}


def _are_fed(held: Collection[tuple[Exchange, str]]) -> bool:
    """Whether a stream, or an asking in its place, stands for the price of each."""
    told = latest(redis(), sorted(held))
    return told.is_fed and all(key in told.prices and not told.prices[key].stale for key in held)


def send(user_id: int) -> None:
    """Write the letter; a server that does not take it is logged, and not asked again."""
    user = User.objects.get(pk=user_id)
    if not user.email:
        return
    lines = [
        "Nothing tells the prices of what you hold intraday any more: what your page shows of it stands still.",
        "Your positions are as they were. Look at them in your brokers’ own apps; they are squared off at their hours.",
        f"{settings.PUBLIC_URL}/",
    ]
    try:
        send_mail(
            f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}prices stand still", "\n\n".join(lines), None, [user.email]
        )  # fmt: skip
    except (SMTPException, OSError) as error:  # their words may quote the address
        logger.warning("The letter about stale prices to user %s was not taken: %s", user_id, type(error).__name__)
