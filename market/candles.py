"""The store of daily prices: what is wanted of it, and how it is filled, through whoever is connected.

`want` notes instruments. A tick claims what is due, gives each to a connection that can tell it, asks all of them at
the same time in the background, and writes what was told. A year and a little is asked at first; from then on, each
evening, the days since, and some before them: they tell whether the series was adjusted anew.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import sample
from time import sleep
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.db import transaction

from brokers import reach, registry
from brokers.base import BrokerClient
from brokers.domain import ConnectionStatus, Exchange, Listing
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    FeedEnded,
    NotSupported,
    RateLimited,
    SessionEnded,
)
from brokers.models import BrokerConnection
from brokers.transport import Deadline
from market.candle_calls import ACCOUNTS_PER_BROKER, Ask, Told, ask_all, is_about_the_broker
from market.candle_models import CandleFill, FillState
from market.candle_store import Kept, keep
from market.models import InstrumentListing
from market.resting import rest, resting
from market.whole_days import DAY, last_trading_day, last_whole_day, next_evening, number_of_calls

logger = logging.getLogger(__name__)

HELD_DAYS = timedelta(days=400)
OVERLAP = timedelta(days=10)
# What nobody has wanted for so long is asked for no more; what is held of it stays.
WANTED_FOR = timedelta(days=30)
WANTED_AGAIN = timedelta(hours=6)
# A batch, and after what time another worker takes up what it did not finish. Ticks are further apart than batches
# are long: one worker's thread at a time, and few of each broker's, are all that filling takes.
BATCH_SECONDS = 15.0
LEASE = timedelta(seconds=60)
AT_ONCE = 12  # calls to one account in a batch; one instrument may take more
SOON = timedelta(seconds=10)  # by the next tick
LATE = timedelta(hours=1)
MOST_LATE = 3
MOST_CUT = 3  # batches that end within a series that is asked for anew, before the old one is given up
NOBODY = timedelta(minutes=5)
FIRST_RETRY, LAST_RETRY = timedelta(seconds=30), timedelta(hours=6)
LONGEST_DOUBLING = 12
# For how long a broker is left alone: one that did not answer, so that no circuit opens by this; one whose session
# ended, until that was noticed; one that lets this app see no daily prices at all.
AWAY_REST, SESSION_REST, REFUSED_REST = timedelta(minutes=5), timedelta(minutes=1), timedelta(hours=1)
# And for how long it is not asked for this instrument again.
UNTOLD_FOR, UNSUPPORTED_FOR = timedelta(days=1), timedelta(days=7)
UNLISTED = timedelta(minutes=10)  # a master may just be being loaded
# Nothing of what was told is kept: all of it is to be asked for.
ANEW = frozenset({Kept.ADJUSTED, Kept.DROPPED})
NO_LISTING, NO_CONNECTION, NO_CANDLES = "no_listing", "no_connection", "no_candles"


def want(instrument_ids: Collection[int], *, now: datetime) -> int:
    """Note whose past is wanted; what is new is due at once. Returns how many rows that changed."""
    if not instrument_ids:
        return 0
    with database.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO market_candle_fills AS fill
                (instrument_id, state, wanted_at, next_due_at, day_count, source, attempts, last_broker,
                 last_error_code, unreadable_count, refused)
            SELECT id, 'WAITING', %(now)s, %(now)s, 0, '', 0, '', '', 0, '{}' FROM market_instruments
            WHERE id = ANY(%(ids)s) ORDER BY id
            ON CONFLICT (instrument_id) DO UPDATE SET wanted_at = %(now)s WHERE fill.wanted_at < %(stale)s
            """,
            {"now": now, "ids": list(instrument_ids), "stale": now - WANTED_AGAIN},
        )
        return int(cursor.rowcount)


# --- one batch --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Teller:
    """An account that can be asked for daily prices now; `name` is what it rests under."""

    key: UUID
    broker: str
    name: str
    client: BrokerClient


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of one: how many rows were claimed, asked for, and told to the end."""

    claimed: int = 0
    asked: int = 0
    filled: int = 0


def fill_due(*, now: datetime, seconds: float = BATCH_SECONDS, pause: Callable[[float], None] = sleep) -> Batch:
    """Claim what is due and ask for it, within `seconds`. Where nobody can be asked nothing is claimed.

    What there was no room for in a budget, or no time, is given back. No transaction is open while brokers are asked.
    """
    deadline, since = Deadline(seconds), now - WANTED_FOR
    if not CandleFill.objects.due(now, wanted_since=since).exists():
        return Batch()
    tellers = _tellers(deadline, now)
    if not tellers:
        return Batch()
    rows = CandleFill.objects.claim(now, lease=now + LEASE, wanted_since=since, at_most=AT_ONCE * len(tellers))
    if not rows:
        return Batch()
    asks = _assigned(rows, tellers, now)
    told = ask_all({key: (tellers[key].client, wanted) for key, wanted in asks.items() if wanted}, deadline, pause)
    by_id = {row.pk: row for row in rows}
    filled = 0
    for key, answers in told.items():
        for answer in answers:
            filled += _learn(by_id.pop(answer.ask.instrument_id), answer, tellers[key], now)
    given = {ask.instrument_id for wanted in asks.values() for ask in wanted}
    for row in by_id.values():
        if row.pk in given:  # else it was put off already
            row.next_due_at = now + SOON
            _save(row)
    return Batch(claimed=len(rows), asked=sum(map(len, told.values())), filled=filled)


def _tellers(deadline: Deadline, now: datetime) -> dict[UUID, Teller]:
    """Connected accounts whose broker tells daily prices and is to be asked now; of many at one broker, some by lot."""
    slugs = [slug for slug in brokers_that_tell() if not _is_in_maintenance(slug, now)]
    connected = BrokerConnection.objects.filter(
        status=ConnectionStatus.CONNECTED, broker_type__in=slugs, user__is_active=True
    )
    accounts = list(connected.values_list("pk", "broker_type", "session_number"))
    rests = resting([*slugs, *(_name(key, number) for key, _, number in accounts)], now=now)
    ready: dict[str, list[UUID]] = defaultdict(list)
    for key, slug, number in accounts:
        if not rests & {slug, _name(key, number)}:
            ready[slug].append(key)
    chosen = [key for keys in ready.values() for key in sample(keys, min(len(keys), ACCOUNTS_PER_BROKER))]
    rows = BrokerConnection.objects.filter(pk__in=chosen).select_related("user")
    connections = list(rows.prefetch_related("user__broker_apps"))
    clients = reach.clients_for(connections, deadline=deadline, now=now, in_background=True)
    return {
        row.pk: Teller(row.pk, row.broker_type, _name(row.pk, row.session_number), client)
        for row in connections
        if isinstance(client := clients[row.pk], BrokerClient)
    }


def _name(key: UUID, session_number: int) -> str:
    """Who rests: an account with its present session. A login anew is asked anew."""
    return f"{key}:{session_number}"


def brokers_that_tell() -> list[str]:
    return [slug for slug in registry.slugs() if registry.load(slug).client_class.candle_days > 0]


def _is_in_maintenance(slug: str, now: datetime) -> bool:
    if settings.HEALTH_AROUND_THE_CLOCK:
        return False
    return any(window.end_if_within(now) is not None for window in registry.load(slug).spec.maintenance)


def _assigned(rows: Sequence[CandleFill], tellers: Mapping[UUID, Teller], now: datetime) -> dict[UUID, list[Ask]]:
    """Who is asked for what. Rows that nobody can be asked for are put off, and saved."""
    asks: dict[UUID, list[Ask]] = {key: [] for key in tellers}
    calls = dict.fromkeys(tellers, 0)
    listings = _listings([row.pk for row in rows])
    for row in rows:
        named = {slug: each for slug, each in listings[row.pk].items() if not _refuses(row, slug, now)}
        offers = [
            _offer(row, teller, named[teller.broker], now) for teller in tellers.values() if teller.broker in named
        ]
        if not offers:
            _put_off(row, listed=bool(listings[row.pk]), refused=not named, now=now)
            continue
        # Whose series it is goes on; else whoever has told all there is soonest.
        keeps = row.source if row.state == FillState.FILLED else ""
        teller, ask, cost = min(
            offers, key=lambda each: (each[0].broker != keeps, calls[each[0].key] + each[2], str(each[0].key))
        )
        if calls[teller.key] and calls[teller.key] + cost > AT_ONCE:
            row.next_due_at = now + SOON
            _save(row)
            continue
        calls[teller.key] += cost
        asks[teller.key].append(ask)
    return asks


def _offer(row: CandleFill, teller: Teller, listing: Listing, now: datetime) -> tuple[Teller, Ask, int]:
    """What this account would be asked for, and in how many calls."""
    last = last_whole_day(listing.exchange, now)
    ask = Ask(row.pk, listing, _first_missing(row, teller.broker, last), last)
    return teller, ask, number_of_calls(ask.first, ask.last, teller.client.candle_days)


def _listings(instrument_ids: Iterable[int]) -> dict[int, dict[str, Listing]]:
    """By instrument, what each broker that tells daily prices calls it."""
    found: dict[int, dict[str, Listing]] = defaultdict(dict)
    rows = InstrumentListing.objects.filter(
        instrument__in=list(instrument_ids), broker_type__in=brokers_that_tell(), withdrawn_on=None
    ).select_related("instrument")
    for row in rows:
        found[row.instrument_id][row.broker_type] = Listing(
            exchange=Exchange(row.instrument.exchange),
            tradingsymbol=row.tradingsymbol,
            broker_token=row.broker_token,
            isin=row.instrument.isin,
        )
    return found


def _first_missing(row: CandleFill, slug: str, last: date) -> date:
    """The whole year at first; later some days that are held already, and what came since.

    Who has begun to tell the year goes on where it was cut short.
    """
    whole = last - HELD_DAYS
    if row.covered_until is None:
        return whole
    if row.state != FillState.FILLED and row.source == row.last_broker == slug:
        return max(whole, min(row.covered_until + DAY, last))
    return max(whole, min(row.covered_until, last) - OVERLAP)


def _refuses(row: CandleFill, slug: str, now: datetime) -> bool:
    refusal = row.refused.get(slug)
    return refusal is not None and datetime.fromisoformat(refusal["until"]) > now


def _put_off(row: CandleFill, *, listed: bool, refused: bool, now: datetime) -> None:
    """Nobody can be asked: for now, as who tells it is not connected, or rests; or not at all, by all that is known."""
    if not refused:
        row.last_error_code, row.next_due_at = NO_CONNECTION, now + NOBODY
    else:
        if not row.day_count:
            row.state = FillState.UNSUPPORTED
        row.last_error_code = row.last_error_code if listed else NO_LISTING
        row.next_due_at = now + (UNTOLD_FOR if listed else UNLISTED)
    _save(row)


# --- how it ended -----------------------------------------------------------------------------------------------------
def _learn(row: CandleFill, told: Told, teller: Teller, now: datetime) -> bool:
    """Write what was told, and when the row is due again. Returns whether all that was asked for was told."""
    row.last_broker, row.last_asked_at, row.unreadable_count = teller.broker, now, told.unreadable
    kept = None
    with transaction.atomic():
        if told.until is not None:
            kept = _kept(row, told, teller, now)
        if kept is Kept.TOO_LATE:
            return False
        if told.error is not None:
            _failed(row, told.error, teller, now)
        elif told.cut:
            _cut_short(row, kept, now)
        elif kept not in ANEW:
            _succeeded(row, told, teller.broker, now)
        _save(row)
    return told.is_all and kept not in ANEW


def _kept(row: CandleFill, told: Told, teller: Teller, now: datetime) -> Kept:
    first, slug = told.ask.first, teller.broker
    is_year = first <= told.ask.last - HELD_DAYS
    whole = told.is_all and is_year
    assert told.until is not None  # noqa: S101 - by the caller
    # A week at a time, a year is never told in one batch; nor by who is so slow that our time ends again and again.
    is_slow = number_of_calls(told.ask.last - HELD_DAYS, told.ask.last, teller.client.candle_days) > AT_ONCE
    drops = not whole and (is_slow or (is_year and told.cut and row.attempts >= MOST_CUT))
    kept = keep(row, told.candles, source=slug, first=first, until=told.until, whole=whole, drops=drops, now=now)
    if kept in ANEW:
        logger.info("Daily prices of instrument %s were adjusted anew by %s", row.pk, slug)
        row.covered_from = row.covered_until = None
        row.source, row.next_due_at = slug, now
    if kept is Kept.DROPPED:
        row.state = FillState.WAITING
    return kept


def _succeeded(row: CandleFill, told: Told, slug: str, now: datetime) -> None:
    if not row.day_count:
        row.refused[slug] = _refusal(NO_CANDLES, now + UNSUPPORTED_FOR)
        row.last_error_code, row.next_due_at = NO_CANDLES, now
        return
    row.state, row.last_error_code = FillState.FILLED, ""
    row.refused.pop(slug, None)
    exchange = told.ask.listing.exchange
    is_late = row.last_day is not None and row.last_day < last_trading_day(told.ask.last)
    if is_late and row.attempts < MOST_LATE:  # the broker may not have made its candle of the day yet
        row.attempts, row.next_due_at = row.attempts + 1, min(now + LATE, next_evening(exchange, now))
    else:
        row.attempts, row.next_due_at = 0, next_evening(exchange, now)


def _cut_short(row: CandleFill, kept: Kept | None, now: datetime) -> None:
    """Our own time ended, which is nobody's failure: it goes on with the next tick, where it stopped."""
    if kept is Kept.ADJUSTED:
        row.attempts += 1
    if kept not in ANEW:
        row.next_due_at = now + SOON


def _failed(row: CandleFill, error: BrokerError, teller: Teller, now: datetime) -> None:
    """By the error's class: who is left alone, for how long, and when this is asked for again."""
    row.last_error_code, row.next_due_at = error.code, now + SOON
    match error:
        case BudgetSpent():
            return
        case RateLimited() | CircuitOpen():
            rest(teller.broker, _until_we_may(error, now), now=now)
            return
        case FeedEnded():
            rest(teller.name, AWAY_REST, now=now)
        case BrokerUnavailable():
            rest(teller.broker, AWAY_REST, now=now)
        case SessionEnded():
            rest(teller.name, SESSION_REST, now=now)
        case _ if is_about_the_broker(error):
            rest(teller.name, REFUSED_REST, now=now)
        case _:
            lasts = UNSUPPORTED_FOR if isinstance(error, NotSupported) else UNTOLD_FOR
            row.refused[teller.broker] = _refusal(error.code, now + lasts)
    if row.state != FillState.FILLED:
        row.state = FillState.FAILING
    row.attempts += 1
    row.next_due_at = now + min(LAST_RETRY, FIRST_RETRY * 2 ** min(row.attempts - 1, LONGEST_DOUBLING))


def _until_we_may(error: RateLimited | CircuitOpen, now: datetime) -> timedelta:
    if isinstance(error, CircuitOpen):
        return max(error.retry_at - now, SOON)
    return SOON if error.retry_after is None else max(SOON, timedelta(seconds=error.retry_after))


def _refusal(code: str, until: datetime) -> dict[str, str]:
    return {"code": code, "until": until.isoformat()}


COLUMNS = (
    *("state", "next_due_at", "covered_from", "covered_until", "first_day", "last_day", "day_count", "source"),
    *("attempts", "last_asked_at", "last_broker", "last_error_code", "unreadable_count", "refused", "replaced_at"),
)


def _save(row: CandleFill) -> None:
    """Not over a row that somebody else claimed meanwhile, because the lease had lapsed."""
    ours = CandleFill.objects.filter(pk=row.pk, next_due_at=row.lease)
    ours.update(**{name: getattr(row, name) for name in COLUMNS})
