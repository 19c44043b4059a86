"""What is to be streamed: for every user with an open page their connections, the instruments of their books, and the
indices that stand at the head of the page.

And what is to be asked for instead, as nothing streams it: shares by one listing, contracts by their own.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.conf import settings

from brokers import reach, registry
from brokers.domain import (
    AppCredentials,
    BrokerPortfolio,
    ConnectionStatus,
    Exchange,
    InstrumentKind,
    Listing,
    Session,
    Streamed,
)
from brokers.errors import SecretUnreadable
from brokers.models import BrokerApp, BrokerConnection
from brokers.shared import if_redis_is_there, redis
from brokers.streaming import PriceStream
from market.feed import FeedState
from market.feed_states import Told, told_now
from market.models import Instrument, InstrumentListing
from market.polling import Polled
from market.remembered import Remembered
from market.streaming import StreamUrls, Wanted
from market.strip import Watched
from portfolio.domain import InstrumentKey
from portfolio.hung_on import HungOn
from portfolio.models import BrokerSnapshot

# Of each instrument a first choice, and one that stands by.
CONNECTIONS_PER_INSTRUMENT = 2
SHARES_AT = (Exchange.NSE, Exchange.BSE)
# A feed that opens, or comes back at once, needs no quotes in between.
UNFED_FOR = timedelta(seconds=2)

_payload = msgspec.json.Decoder(BrokerPortfolio)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A connection that could stream. `is_well`: its feed is live, or was not tried yet."""

    key: UUID
    kind: type[PriceStream]
    is_well: bool = True


def spread(candidates: Sequence[Candidate], instruments: Iterable[Streamed]) -> dict[UUID, frozenset[Streamed]]:
    """Which connection streams what: each instrument from at most two, within every broker's limit.

    Connections whose feed is well come first. Beyond that the choice is by hash, so that it is even, and stays as it is
    when an instrument or a connection comes or goes. Pure.
    """
    asked: dict[UUID, set[Streamed]] = {candidate.key: set() for candidate in candidates}
    listed = sorted(instruments, key=lambda each: (each.exchange, each.exchange_token))
    choices = [
        sorted(
            (candidate for candidate in candidates if candidate.kind.can_stream(each)),
            key=lambda candidate: (not candidate.is_well, _weight(candidate.key, each)),
        )
        for each in listed
    ]
    # First everybody's first choice: where there is little room, a second feed takes no instrument's only one.
    for _ in range(CONNECTIONS_PER_INSTRUMENT):
        for each, ranked in zip(listed, choices, strict=True):
            for candidate in ranked:
                mine = asked[candidate.key]
                if each not in mine and len(mine) < candidate.kind.limits.instruments:
                    mine.add(each)
                    break
    return {key: frozenset(mine) for key, mine in asked.items()}


def _weight(connection: UUID, instrument: Streamed) -> bytes:
    name = f"{connection} {instrument.exchange} {instrument.exchange_token}"
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Held:
    """What an account holds that could be streamed: shares by ISIN, all else by the exchange's own number."""

    shares: frozenset[str] = frozenset()
    instruments: frozenset[InstrumentKey] = frozenset()

    @classmethod
    def of(cls, portfolio: BrokerPortfolio) -> Held:
        isins = [*(row.isin for row in portfolio.holdings), *(row.isin for row in portfolio.positions)]
        return cls(
            frozenset(isin for isin in isins if isin),
            frozenset(
                (row.exchange, row.exchange_token)
                for row in portfolio.positions
                if row.exchange_token and not row.is_delivery
            ),
        )


class Listings:
    """Which listings a share has at NSE and BSE, by the instrument master, remembered for a while. For many threads."""

    def __init__(self) -> None:
        self._of = Remembered(_listings)

    def of(self, isins: Collection[str], now: datetime) -> list[Streamed]:
        """Every listing of these shares; asks the database for those that are not known."""
        known = self._of.of(isins, now)
        return [listing for isin in isins for listing in known.get(isin, ())]


def _listings(isins: Collection[str]) -> dict[str, list[Streamed]]:
    found: dict[str, list[Streamed]] = defaultdict(list)
    rows = Instrument.objects.filter(
        isin__in=isins, exchange__in=SHARES_AT, kind=InstrumentKind.EQUITY, ended_on=None
    ).exclude(exchange_token=None)
    for exchange, token, isin in rows.values_list("exchange", "exchange_token", "isin"):
        assert token is not None and isin is not None  # noqa: S101, PT018 - by the query
        found[isin].append(Streamed(Exchange(exchange), token, isin=isin))
    return found


class Names(Remembered[InstrumentKey, Mapping[str, Listing]]):
    """What each broker calls an instrument, by its master: by instrument, and then by broker."""

    def __init__(self) -> None:
        super().__init__(_names)


def _names(keys: Collection[InstrumentKey]) -> dict[InstrumentKey, dict[str, Listing]]:
    found: dict[InstrumentKey, dict[str, Listing]] = defaultdict(dict)
    rows = InstrumentListing.objects.filter(
        instrument__exchange_token__in=[token for _, token in keys], instrument__ended_on=None, withdrawn_on=None
    ).select_related("instrument")
    for row in rows:
        key = Exchange(row.instrument.exchange), str(row.instrument.exchange_token)
        found[key][row.broker_type] = Listing(
            exchange=key[0],
            tradingsymbol=row.tradingsymbol,
            broker_token=row.broker_token,
            isin=row.instrument.isin,
        )
    return found


class Keys:
    """The secrets of connections, decrypted once for each session and app. For one thread at a time."""

    def __init__(self) -> None:
        self._of: dict[UUID, tuple[object, tuple[AppCredentials, Session] | None]] = {}

    def of(self, rows: Collection[BrokerConnection]) -> Mapping[UUID, tuple[AppCredentials, Session]]:
        """By connection; without those whose session is wiped, or the keys of whose app are gone. Reads rows."""
        users = {row.user_id for row in rows}
        stored = BrokerApp.objects.filter(user__in=users).values_list("user_id", "broker_type", "updated_at")
        apps = {(user_id, slug): at for user_id, slug, at in stored}
        marks = {row.pk: (row.session_number, row.version, apps.get((row.user_id, row.broker_type))) for row in rows}
        known = {key: self._of[key] for key, mark in marks.items() if key in self._of and self._of[key][0] == mark}
        new = marks.keys() - known.keys()
        if new:
            whole = BrokerConnection.objects.filter(pk__in=new).select_related("user")
            for row in whole.prefetch_related("user__broker_apps"):
                known[row.pk] = marks[row.pk], _keys_of(row)
        self._of = known
        return {key: keys for key, (_, keys) in known.items() if keys is not None}


def _keys_of(row: BrokerConnection) -> tuple[AppCredentials, Session] | None:
    """None where the session or the keys of the trader's app are gone: nothing can be opened without them."""
    try:
        session, app = row.session, reach.app_credentials(row.user, row.broker_type)
    except (reach.ConnectRefused, SecretUnreadable):
        return None
    return None if session is None else (app, session)


@dataclass(frozen=True, slots=True)
class Rest:
    """A session whose stream is left alone for a while. A login anew ends it."""

    session: Session
    until: datetime


Spread = tuple[frozenset[Candidate], frozenset[Streamed], Mapping[UUID, frozenset[Streamed]]]


@dataclass
class Wishes:
    """Gives the stream process its `wanted`, and knows whose each connection is. For one thread at a time.

    `resting`, by connection: streams that told of a session's end which the broker itself has not confirmed.
    """

    listings: Listings = field(default_factory=Listings)
    owners: dict[UUID, int] = field(default_factory=dict)
    resting: dict[UUID, Rest] = field(default_factory=dict)
    _hung_on: HungOn = field(default_factory=HungOn)
    _watched: Watched = field(default_factory=Watched)
    _names: Names = field(default_factory=Names)
    _keys: Keys = field(default_factory=Keys)
    _held: dict[UUID, tuple[datetime, Held]] = field(default_factory=dict)
    _spreads: dict[int, Spread] = field(default_factory=dict)
    _unfed_since: dict[int, dict[Streamed, datetime]] = field(default_factory=dict)

    def wanted(self, users: Collection[int], now: datetime) -> dict[UUID, Wanted]:
        """Every connection of these users that can stream, or be asked instead, and of what. Reads rows."""
        rows = list(BrokerConnection.objects.without_secrets().active().filter(user_id__in=users))
        self.owners = {row.pk: row.user_id for row in rows}
        self._read(rows)
        states: Mapping[UUID, Told] = {}
        with if_redis_is_there("the states of the feeds"):
            states = told_now(redis(), [row.pk for row in rows])
        by_user: dict[int, list[BrokerConnection]] = defaultdict(list)
        for row in rows:
            by_user[row.user_id].append(row)
        keys = self._keys.of(rows)
        found: dict[UUID, Wanted] = {}
        for own in by_user.values():
            found |= self._of_user(own, keys, states, now)
        self._spreads = {user_id: known for user_id, known in self._spreads.items() if user_id in by_user}
        self._unfed_since = {user_id: known for user_id, known in self._unfed_since.items() if user_id in by_user}
        return found

    def _of_user(
        self,
        rows: Sequence[BrokerConnection],
        keys: Mapping[UUID, tuple[AppCredentials, Session]],
        states: Mapping[UUID, Told],
        now: datetime,
    ) -> dict[UUID, Wanted]:
        user_id = rows[0].user_id
        ready = {row.pk: row for row in rows if row.pk in keys and self._is_ready(row, keys[row.pk][1], now)}
        candidates = [
            Candidate(key, kind, key not in states or states[key].is_well)
            for key, row in ready.items()
            if (kind := registry.load(row.broker_type).price_stream) is not None
        ]
        held = [self._held[row.pk][1] for row in rows if row.pk in self._held]
        shares = frozenset[str]().union(*(each.shares for each in held))
        listings = self.listings.of(sorted(shares), now)
        listed = {(each.exchange, each.exchange_token) for each in listings}
        rest = frozenset[InstrumentKey]().union(*(each.instruments for each in held))
        others = frozenset(Streamed(*key) for key in rest - listed)
        # What is not held itself is streamed, and not asked for instead: budgets are for what is held, and for the
        # few indices at the head of every page.
        told = {(each.exchange, each.exchange_token) for each in (*listings, *others)}
        beside = {each for each in self._hung_on.of(rest, now) if (each.exchange, each.exchange_token) not in told}
        watched = self._watched.now(now)
        asked = self._spread(user_id, frozenset(candidates), frozenset(listings) | others | beside | watched)
        fed = frozenset[Streamed]().union(
            *(mine for key, mine in asked.items() if key in states and states[key].state is FeedState.LIVE)
        )
        by_key = {(each.exchange, each.exchange_token): each for each in (*listings, *others)}
        unfed = unfed_of(listings, [*(by_key[key] for key in rest), *watched], fed)
        polled = self._polled(user_id, unfed, {row.broker_type for row in ready.values()}, now)
        return {
            key: _wanted(row, *keys[key], asked.get(key, frozenset()), polled[row.broker_type])
            for key, row in ready.items()
            if key in asked or polled[row.broker_type]
        }

    def _polled(
        self, user_id: int, unfed: frozenset[Streamed], slugs: Collection[str], now: datetime
    ) -> Mapping[str, frozenset[Polled]]:
        """What each broker may be asked for: what has been without a stream for a while, and it has a name for."""
        before = self._unfed_since.get(user_id, {})
        since = self._unfed_since[user_id] = {each: before.get(each, now) for each in unfed}
        waiting = [each for each, at in since.items() if now - at >= UNFED_FOR]
        names = self._names.of([(each.exchange, each.exchange_token) for each in waiting], now)
        return {
            slug: frozenset(
                Polled(each, named[slug])
                for each in waiting
                if slug in (named := names.get((each.exchange, each.exchange_token), {}))
            )
            for slug in slugs
        }

    def _spread(
        self, user_id: int, candidates: frozenset[Candidate], instruments: frozenset[Streamed]
    ) -> Mapping[UUID, frozenset[Streamed]]:
        """`spread`, or what it came to the last time if nothing has changed."""
        known = self._spreads.get(user_id)
        if known is None or known[:2] != (candidates, instruments):
            known = candidates, instruments, spread(list(candidates), instruments)
            self._spreads[user_id] = known
        return known[2]

    def _is_ready(self, row: BrokerConnection, session: Session, now: datetime) -> bool:
        """Whether a connection can be streamed, or asked, now."""
        if row.status != ConnectionStatus.CONNECTED or row.is_over(now):
            return False
        rest = self.resting.get(row.pk)
        if rest is not None and rest.session == session and rest.until > now:
            return False
        self.resting.pop(row.pk, None)
        return True

    def _read(self, rows: Sequence[BrokerConnection]) -> None:
        """What each connection holds by its last good answer; only answers that are new are read whole."""
        keys = [row.pk for row in rows]
        latest = dict(BrokerSnapshot.objects.filter(connection__in=keys).values_list("connection_id", "as_of"))
        kept = {key: self._held[key] for key in keys if key in self._held and self._held[key][0] == latest.get(key)}
        new = BrokerSnapshot.objects.filter(connection__in=[key for key in latest if key not in kept])
        for key, as_of, payload in new.values_list("connection_id", "as_of", "payload"):
            kept[key] = as_of, Held.of(_payload.decode(payload))
        self._held = kept


def unfed_of(
    listings: Iterable[Streamed], others: Iterable[Streamed], fed: Collection[Streamed]
) -> frozenset[Streamed]:
    """What is to be asked for: each share that no listing's feed tells, by one listing, and each contract. Pure."""
    of_share: dict[str | None, list[Streamed]] = defaultdict(list)
    for each in listings:
        of_share[each.isin].append(each)
    shares = [
        min(every, key=lambda each: (SHARES_AT.index(each.exchange), each.exchange_token))
        for every in of_share.values()
        if not any(each in fed for each in every)
    ]
    return frozenset([*shares, *(each for each in others if each not in fed)])


def _wanted(
    row: BrokerConnection,
    app: AppCredentials,
    session: Session,
    instruments: frozenset[Streamed],
    polled: frozenset[Polled],
) -> Wanted:
    stream = registry.load(row.broker_type).price_stream
    override = settings.BROKERS[row.broker_type].get("stream_url") or None
    return Wanted(
        broker=row.broker_type,
        app=app,
        session=session,
        base_urls=StreamUrls(prices=override, orders=override),
        instruments=instruments,
        polled=polled,
        least_pause=stream.least_pause if stream is not None else 0.0,
    )
