"""What is to be streamed: for every user with an open page their connections, and the instruments of their books."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

import msgspec
from django.conf import settings

from brokers import reach, registry
from brokers.base import Broker
from brokers.domain import BrokerPortfolio, ConnectionStatus, Exchange, InstrumentKind, Streamed
from brokers.errors import SecretUnreadable
from brokers.models import BrokerConnection
from brokers.shared import if_redis_is_there, redis
from brokers.streaming import PriceStream
from market.feed_states import Told, told_now
from market.models import Instrument
from market.streaming import StreamUrls, Wanted
from portfolio.domain import InstrumentKey
from portfolio.models import BrokerSnapshot

# Of each instrument a first choice, and one that stands by.
CONNECTIONS_PER_INSTRUMENT = 2
LISTINGS_KEPT = timedelta(minutes=10)
SHARES_AT = (Exchange.NSE, Exchange.BSE)

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
        self._lock = Lock()
        self._of: dict[str, tuple[Streamed, ...]] = {}
        self._known_until: dict[str, datetime] = {}

    def of(self, isins: Collection[str], now: datetime) -> list[Streamed]:
        """Every listing of these shares; asks the database for those that are not known."""
        with self._lock:
            unknown = [isin for isin in isins if isin not in self._known_until or self._known_until[isin] <= now]
            if unknown:
                self._learn(unknown, now)
            return [listing for isin in isins for listing in self._of[isin]]

    def _learn(self, isins: Collection[str], now: datetime) -> None:
        found: dict[str, list[Streamed]] = defaultdict(list)
        rows = Instrument.objects.filter(
            isin__in=isins, exchange__in=SHARES_AT, kind=InstrumentKind.EQUITY, ended_on=None
        ).exclude(exchange_token=None)
        for exchange, token, isin in rows.values_list("exchange", "exchange_token", "isin"):
            assert token is not None and isin is not None  # noqa: S101, PT018 - by the query
            found[isin].append(Streamed(Exchange(exchange), token, isin=isin))
        for isin in isins:
            self._of[isin] = tuple(found[isin])
            # A share without listings may be one whose master is still being loaded.
            self._known_until[isin] = now + (LISTINGS_KEPT if found[isin] else LISTINGS_KEPT / 20)


Spread = tuple[frozenset[Candidate], frozenset[Streamed], Mapping[UUID, frozenset[Streamed]]]


@dataclass
class Wishes:
    """Gives the stream process its `wanted`, and knows whose each connection is. For one thread at a time.

    `resting` (connection → until when): streams that told of a session's end which the broker itself does not confirm.
    """

    listings: Listings = field(default_factory=Listings)
    owners: dict[UUID, int] = field(default_factory=dict)
    resting: dict[UUID, datetime] = field(default_factory=dict)
    _held: dict[UUID, tuple[datetime, Held]] = field(default_factory=dict)
    _spreads: dict[int, Spread] = field(default_factory=dict)

    def wanted(self, users: Collection[int], now: datetime) -> dict[UUID, Wanted]:
        """Every connection of these users that can stream, and of what. Reads rows."""
        rows = list(
            BrokerConnection.objects.active()
            .filter(user_id__in=users)
            .select_related("user")
            .prefetch_related("user__broker_apps")
        )
        self.owners = {row.pk: row.user_id for row in rows}
        self._read(rows)
        states: Mapping[UUID, Told] = {}
        with if_redis_is_there("the states of the feeds"):
            states = told_now(redis(), [row.pk for row in rows])
        by_user: dict[int, list[BrokerConnection]] = defaultdict(list)
        for row in rows:
            by_user[row.user_id].append(row)
        found: dict[UUID, Wanted] = {}
        for own in by_user.values():
            found |= self._of_user(own, states, now)
        self._spreads = {user_id: known for user_id, known in self._spreads.items() if user_id in by_user}
        return found

    def _of_user(
        self, rows: Sequence[BrokerConnection], states: Mapping[UUID, Told], now: datetime
    ) -> dict[UUID, Wanted]:
        streaming = {row.pk: broker for row in rows if (broker := self._streams(row, now)) is not None}
        candidates = [
            Candidate(key, broker.price_stream, key not in states or states[key].is_well)
            for key, broker in streaming.items()
            if broker.price_stream is not None
        ]
        held = [self._held[row.pk][1] for row in rows if row.pk in self._held]
        shares = frozenset[str]().union(*(each.shares for each in held))
        listings = self.listings.of(sorted(shares), now)
        listed = {(each.exchange, each.exchange_token) for each in listings}
        others = frozenset[InstrumentKey]().union(*(each.instruments for each in held)) - listed
        instruments = frozenset([*listings, *(Streamed(*key) for key in others)])
        asked = self._spread(rows[0].user_id, frozenset(candidates), instruments)
        return {
            row.pk: wanted
            for row in rows
            if row.pk in streaming and (wanted := _wanted(row, streaming[row.pk], asked[row.pk])) is not None
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

    def _streams(self, row: BrokerConnection, now: datetime) -> Broker | None:
        """The broker of a connection that can be streamed now."""
        if row.status != ConnectionStatus.CONNECTED or row.is_over(now):
            return None
        if row.pk in self.resting:
            if self.resting[row.pk] > now:
                return None
            del self.resting[row.pk]
        broker = registry.load(row.broker_type)
        return broker if broker.price_stream is not None else None

    def _read(self, rows: Sequence[BrokerConnection]) -> None:
        """What each connection holds by its last good answer; only answers that are new are read whole."""
        keys = [row.pk for row in rows]
        latest = dict(BrokerSnapshot.objects.filter(connection__in=keys).values_list("connection_id", "as_of"))
        kept = {key: self._held[key] for key in keys if key in self._held and self._held[key][0] == latest.get(key)}
        new = BrokerSnapshot.objects.filter(connection__in=[key for key in latest if key not in kept])
        for key, as_of, payload in new.values_list("connection_id", "as_of", "payload"):
            kept[key] = as_of, Held.of(_payload.decode(payload))
        self._held = kept


def _wanted(row: BrokerConnection, broker: Broker, instruments: frozenset[Streamed]) -> Wanted | None:
    """None where the session or the keys of the trader's app are gone: nothing can be opened without them."""
    try:
        session, app = row.session, reach.app_credentials(row.user, row.broker_type)
    except (reach.ConnectRefused, SecretUnreadable):
        return None
    if session is None:
        return None
    override = settings.BROKERS[broker.spec.slug].get("stream_url") or None
    return Wanted(
        broker=broker.spec.slug,
        app=app,
        session=session,
        base_urls=StreamUrls(prices=override, orders=override),
        instruments=instruments,
        least_pause=broker.price_stream.least_pause if broker.price_stream is not None else 0.0,
    )
