"""The verbs of the merged book: fetch it, share it, keep its last good state, push it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection as database
from django.db import transaction

from accounts.models import User
from brokers import push, reach, registry
from brokers import services as broker_services
from brokers.agreements import ConnectionGrant
from brokers.base import BrokerClient
from brokers.domain import BrokerPortfolio, ConnectionStatus
from brokers.errors import BrokerError, BudgetSpent, SecretUnreadable
from brokers.models import BrokerConnection, BrokerConnectionQuerySet
from brokers.serializers import ConnectionSerializer
from brokers.shared import if_redis_is_there, redis
from brokers.transport import Deadline
from portfolio import limit_turns, naming, prices, sharing
from portfolio.consolidate import Book, valued
from portfolio.domain import BorrowedPrice, ConsolidatedPortfolio, Source, SourceState, Unpriced
from portfolio.fetching import Answer, fetch_all
from portfolio.lots import owned_before_sales
from portfolio.models import BrokerPositionBreakdown, BrokerSnapshot, ConsolidatedPosition, UnmatchedInstrument
from portfolio.presentation import present
from portfolio.sharing import Rendered

logger = logging.getLogger(__name__)

# Of the promised time, what reading rows, merging and answering may take.
MERGE_SECONDS = 0.4
# Support's tables are written this often at most, however often the book moves.
TABLES_EVERY_SECONDS = 30

_payload = msgspec.json.Decoder(BrokerPortfolio)
_rendered_book = msgspec.json.Decoder(ConsolidatedPortfolio)


class NoBrokerConnections(Exception):
    """There is nothing to merge: not an empty portfolio, but none."""


def consolidated(user: User, *, now: datetime) -> Rendered:
    """The merged book, at most PORTFOLIO_CACHE_SECONDS old and within PORTFOLIO_DEADLINE_SECONDS.

    However many ask at once, each broker is asked once. Raises NoBrokerConnections.
    """
    _release_database()
    return sharing.shared(sharing.own(user.pk), lambda: _fetched(user, now))


def latest_book(user: User, *, now: datetime, recent: timedelta) -> ConsolidatedPortfolio:
    """The merged book without asking a broker: the cached answer, as exact as it is told, or the last good ones.

    Of those what is not older than `recent` counts as live. Raises NoBrokerConnections.
    """
    found = sharing.cached(sharing.own(user.pk))
    if found is not None:
        return _rendered_book.decode(found.include)
    return valued(user.pk, Book.of(known_sources(user, now=now, recent=recent)), now=now)


def refresh(user: User, *, now: datetime) -> Rendered | None:
    """The merged book, fetched now, whatever the cache holds; pushed to the user's open pages.

    None where somebody is fetching it already: two fetches at once could push the older one last.
    Raises NoBrokerConnections.
    """
    return sharing.renewed_once(sharing.own(user.pk), lambda: _fetched(user, now))


def refresh_quietly(user: User, *, now: datetime) -> None:
    """Refresh for an open page, which may well belong to somebody without a connection."""
    try:
        refresh(user, now=now)
    except NoBrokerConnections:
        logger.debug("User %s watches, but has no connection yet", user.pk)


def latest(user: User, *, now: datetime) -> Rendered:
    """What is known without asking a broker: the cached answer, or the last good ones, marked stale.

    Raises NoBrokerConnections.
    """
    found = sharing.cached(sharing.own(user.pk))
    if found is not None:
        return found
    book = Book.of(_kept_sources(_connections(user), now))
    return _rendered(user, book, _without_stale(book), now, {})[0]


def snapshot_json(user: User, *, now: datetime) -> str:
    """What a page is given when it opens, as JSON: the book as known, or why there is none, and the connections."""
    portfolio, error = "null", None
    try:
        portfolio = latest(user, now=now).include.decode()
    except NoBrokerConnections:
        error = {
            "code": "no_broker_connections",
            "message": "No broker is connected yet.",
            "remedy": "Connect a broker first.",
        }
    connections = ConnectionSerializer(BrokerConnection.objects.without_secrets().filter(user=user), many=True).data
    rest = msgspec.json.encode({"error": error, "connections": connections}, enc_hook=str).decode()
    return f'{{"portfolio":{portfolio},{rest[1:]}'


def consolidated_part(grant: ConnectionGrant, *, now: datetime) -> Rendered:
    """The merged book of the connections that a grant opens, for its viewer: like `consolidated`, and apart from it.

    What the owner could do about a failure is left out; nothing is pushed or kept for support. Whoever calls has seen
    that the grant stands. Raises NoBrokerConnections.
    """
    _release_database()
    return sharing.shared(sharing.granted(grant.pk, grant.owner_id), lambda: _fetched_part(grant, now))


def _fetched_part(grant: ConnectionGrant, now: datetime) -> Rendered:
    book, borrowed = _asked(_connections(grant.owner, grant.connections.all()), now)
    shown = Book.of([replace(source, user_action=None) for source in book.sources])
    return _rendered(grant.owner, shown, _without_stale(shown), now, borrowed)[0]


# --- asking -----------------------------------------------------------------------------------------------------------
def _fetched(user: User, now: datetime) -> Rendered:
    book, borrowed = _asked(_connections(user), now)
    rendered, answer = _rendered(user, book, _without_stale(book), now, borrowed)
    _write_tables(user, lambda: answer)
    push.publish_json(user.pk, "PORTFOLIO_UPDATE", rendered.include.decode())
    limit_turns.note_change(user.pk)
    return rendered


def fetched_sources(user: User, *, now: datetime) -> tuple[Sequence[Source], Mapping[str, BorrowedPrice]]:
    """What every broker tells now, and prices lent (by ISIN) for what they do not price; kept, and not pushed.

    Raises NoBrokerConnections.
    """
    book, borrowed = _asked(_connections(user), now)
    _write_tables(user, lambda: valued(user.pk, book, now=now, borrowed=borrowed))
    return book.sources, borrowed


def known_sources(user: User, *, now: datetime, recent: timedelta) -> Sequence[Source]:
    """The brokers' last good answers; one that is not older than `recent` is as good as live, the others are stale.

    Raises NoBrokerConnections.
    """
    connections = _connections(user)
    well = {str(row.pk) for row in connections if row.status == ConnectionStatus.CONNECTED}
    return [
        replace(source, state=SourceState.LIVE)
        if source.portfolio and source.connection_id in well and now - source.portfolio.as_of <= recent
        else source
        for source in _kept_sources(connections, now)
    ]


def _asked(connections: Sequence[BrokerConnection], now: datetime) -> tuple[Book, dict[str, BorrowedPrice]]:
    """The book of these as the brokers tell it now, and prices lent for it, by these brokers alone."""
    snapshots = _snapshots(connections)
    deadline = Deadline(settings.PORTFOLIO_DEADLINE_SECONDS - MERGE_SECONDS)
    clients = reach.clients_for(connections, deadline=deadline, now=now)
    slugs = {row.pk: row.broker_type for row in connections}
    answers = naming.named(_ask(connections, clients, deadline, now), slugs, now)
    kept = _keep(connections, answers, snapshots, now)
    sources = [_asked_source(row, answers[row.pk], kept.get(row.pk), now) for row in connections]
    book = Book.of(naming.with_companies(sources, now))
    _release_database()
    lenders = {key: client for key, client in clients.items() if answers[key].portfolio is not None}
    borrowed = prices.borrowed(_unpriced(book, _without_stale(book)), lenders, deadline, now=now)
    for connection in connections:
        broker_services.note_shapes(connection.broker_type, answers[connection.pk].shapes, now)
    return book, borrowed


def _connections(user: User, some: BrokerConnectionQuerySet | None = None) -> list[BrokerConnection]:
    """All of the user's, or those of them that are among `some`."""
    chosen = BrokerConnection.objects.all() if some is None else some
    connections = list(chosen.active().filter(user=user).select_related("user").prefetch_related("user__broker_apps"))
    if not connections:
        raise NoBrokerConnections
    return connections


def _ask(
    connections: Sequence[BrokerConnection],
    clients: Mapping[UUID, BrokerClient | BrokerError],
    deadline: Deadline,
    now: datetime,
) -> dict[UUID, Answer]:
    """One answer per connection. Those that could be asked learn from it; the others answer with the reason."""
    ready = {key: client for key, client in clients.items() if isinstance(client, BrokerClient)}
    _release_database()
    answers = fetch_all(ready, deadline, now=now)
    refused = {key: Answer(None, client) for key, client in clients.items() if isinstance(client, BrokerError)}
    # What our own vault refuses is learnt as what a broker says: no check need come by to tell of it.
    unreadable = {key: answer for key, answer in refused.items() if isinstance(answer.error, SecretUnreadable)}
    told = answers | unreadable
    broker_services.learn_all([(row, told[row.pk].error) for row in connections if row.pk in told], now)
    return answers | refused


def _release_database() -> None:
    """Give this thread's connection back to the pool before a wait: a slow broker's traders would keep them all."""
    if not database.in_atomic_block:
        database.close()


# --- last good answers ------------------------------------------------------------------------------------------------
def _snapshots(connections: Sequence[BrokerConnection]) -> dict[UUID, BrokerSnapshot]:
    return {row.pk: row for row in BrokerSnapshot.objects.filter(connection__in=connections)}


def _kept_sources(connections: Sequence[BrokerConnection], now: datetime) -> list[Source]:
    """The last good answers, each stale; missing where there is none."""
    snapshots = _snapshots(connections)
    return naming.with_companies([_source(row, None, snapshots.get(row.pk)) for row in connections], now)


def _keep(
    connections: Sequence[BrokerConnection],
    answers: Mapping[UUID, Answer],
    before: Mapping[UUID, BrokerSnapshot],
    now: datetime,
) -> dict[UUID, BrokerSnapshot]:
    """Keep every good answer as the connection's last good one; funds that did not come keep their older state.

    One that was asked for later, and came first, stays.
    """
    kept = dict(before)
    written = []
    for connection in connections:
        portfolio = answers[connection.pk].portfolio
        if portfolio is None:
            continue
        old = before.get(connection.pk)
        funds_as_of = portfolio.as_of if portfolio.funds else None
        if portfolio.funds is None and old is not None:
            portfolio = replace(portfolio, funds=_decoded(old).funds)
            funds_as_of = old.funds_as_of
        remembered = {isin: Decimal(quantity) for isin, quantity in (old.owned_before_sales if old else {}).items()}
        kept[connection.pk] = BrokerSnapshot(
            connection=connection,
            payload=msgspec.json.encode(portfolio).decode(),
            as_of=portfolio.as_of,
            funds_as_of=funds_as_of,
            owned_before_sales={
                isin: str(quantity) for isin, quantity in owned_before_sales(portfolio, remembered).items()
            },
        )
        written.append(kept[connection.pk])
    BrokerSnapshot.objects.bulk_create([row for row in written if row.pk not in before], ignore_conflicts=True)
    no_newer = BrokerSnapshot.objects.filter(as_of__lte=now)
    no_newer.bulk_update(
        [row for row in written if row.pk in before], ["payload", "as_of", "funds_as_of", "owned_before_sales"]
    )
    return kept


def _portfolio_of(answer: Answer | None, snapshot: BrokerSnapshot | None) -> BrokerPortfolio | None:
    """The answer itself where it is whole; else what was kept, which has its older funds or is older altogether."""
    if answer is not None and answer.portfolio is not None and answer.portfolio.funds is not None:
        return answer.portfolio
    return _decoded(snapshot) if snapshot else None


def _decoded(snapshot: BrokerSnapshot) -> BrokerPortfolio:
    return _payload.decode(snapshot.payload)


def _source(connection: BrokerConnection, answer: Answer | None, snapshot: BrokerSnapshot | None) -> Source:
    """A live source if the broker just answered, else its last good answer, else a missing one."""
    live = answer is not None and answer.portfolio is not None
    error = answer.error if answer else None
    state = SourceState.LIVE if live else SourceState.STALE if snapshot else SourceState.MISSING
    return Source(
        connection_id=str(connection.pk),
        broker_type=connection.broker_type,
        broker_name=connection.broker_name,
        display_name=connection.display_name,
        rank=registry.order_of(connection.broker_type),
        state=state,
        portfolio=_portfolio_of(answer, snapshot),
        owned_before_sales={
            isin: Decimal(quantity) for isin, quantity in (snapshot.owned_before_sales if snapshot else {}).items()
        },
        funds_as_of=snapshot.funds_as_of if snapshot else None,
        error_code=error.code if error else None,
        error_message=error.message if error else None,
        user_action=error.user_action if error else None,
    )


def _asked_source(
    connection: BrokerConnection, answer: Answer, snapshot: BrokerSnapshot | None, now: datetime
) -> Source:
    """Where our own budget alone kept us from asking again, an answer younger than a refresh is as good as live."""
    recent = timedelta(seconds=settings.LIVE_REFRESH_SECONDS)
    is_spent = answer.portfolio is None and isinstance(answer.error, BudgetSpent)
    if is_spent and snapshot is not None and now - snapshot.as_of <= recent:
        return replace(_source(connection, None, snapshot), state=SourceState.LIVE)
    return _source(connection, answer, snapshot)


# --- answering --------------------------------------------------------------------------------------------------------
def _without_stale(book: Book) -> Book:
    """The book for who leaves stale answers out; the same one where there are none."""
    if all(source.state is not SourceState.STALE for source in book.sources):
        return book
    return Book.of(
        [
            replace(source, state=SourceState.MISSING, portfolio=None) if source.state is SourceState.STALE else source
            for source in book.sources
        ]
    )


def _unpriced(book: Book, fresh: Book) -> list[Unpriced]:
    """What either book lacks: some closes stand in a stale answer alone, and so do shares that only it holds."""
    return list({share.isin: share for share in (*book.unpriced(), *fresh.unpriced())}.values())


def _rendered(
    user: User, book: Book, fresh: Book, now: datetime, borrowed: Mapping[str, BorrowedPrice]
) -> tuple[Rendered, ConsolidatedPortfolio]:
    answer = valued(user.pk, book, now=now, borrowed=borrowed)
    include = msgspec.json.encode(present(answer))
    if fresh is book:
        return Rendered(include, include), answer
    exclude = valued(user.pk, fresh, now=now, borrowed=borrowed)
    return Rendered(include, msgspec.json.encode(present(exclude))), answer


def _write_tables(user: User, valued_book: Callable[[], ConsolidatedPortfolio]) -> None:
    """Write the book to the tables that support reads, now and then."""
    is_due = None
    with if_redis_is_there("support's tables"):
        is_due = redis().set(f"portfolio:{user.pk}:tables", 1, nx=True, ex=TABLES_EVERY_SECONDS)
    if not is_due:
        return
    book = valued_book()
    with transaction.atomic():
        rows = ConsolidatedPosition.objects.bulk_create(
            _position_rows(user, book),
            update_conflicts=True,
            unique_fields=["user", "instrument_key"],
            update_fields=[
                "symbol",
                "company_name",
                "total_quantity",
                "avg_price",
                "current_price",
                "total_cost",
                "current_value",
                "unrealized_pnl",
                "day_change",
                "stale",
                "last_updated",
            ],
        )
        ids = {row.instrument_key: row.pk for row in rows}
        user.consolidated_positions.exclude(pk__in=ids.values()).delete()
        BrokerPositionBreakdown.objects.filter(consolidated_position__user=user).delete()
        BrokerPositionBreakdown.objects.bulk_create(_breakdown_rows(book, ids))
        UnmatchedInstrument.objects.bulk_create(
            _unmatched_rows(book),
            update_conflicts=True,
            unique_fields=["broker_connection", "exchange", "symbol"],
            update_fields=["last_seen_at"],
        )


def _position_rows(user: User, book: ConsolidatedPortfolio) -> Iterable[ConsolidatedPosition]:
    for position in book.positions:
        yield ConsolidatedPosition(
            user=user,
            instrument_key=position.key,
            symbol=position.symbol,
            company_name=position.company_name or "",
            total_quantity=position.total_quantity,
            avg_price=position.avg_price,
            current_price=position.current_price,
            total_cost=position.total_cost,
            current_value=position.current_value,
            unrealized_pnl=position.unrealized_pnl,
            day_change=position.day_change,
            stale=position.stale,
            last_updated=book.last_updated,
        )


def _unmatched_rows(book: ConsolidatedPortfolio) -> list[UnmatchedInstrument]:
    shares = {
        (part.connection_id, position.exchange, position.symbol)
        for position in book.positions
        if position.isin is None
        for part in position.broker_positions
    }
    contracts = {
        (part.connection_id, contract.exchange, part.symbol)
        for contract in book.derivatives
        if not contract.matched
        for part in contract.broker_positions
    }
    return [
        UnmatchedInstrument(
            broker_connection_id=connection_id,
            exchange=exchange,
            symbol=symbol,
            first_seen_at=book.last_updated,
            last_seen_at=book.last_updated,
        )
        for connection_id, exchange, symbol in sorted(shares | contracts)
    ]


def _breakdown_rows(book: ConsolidatedPortfolio, ids: Mapping[str, int]) -> Iterable[BrokerPositionBreakdown]:
    for position in book.positions:
        for part in position.broker_positions:
            yield BrokerPositionBreakdown(
                consolidated_position_id=ids[position.key],
                broker_connection_id=part.connection_id,
                product=part.product,
                quantity=part.quantity,
                avg_price=part.avg_price,
                current_value=part.current_value,
            )
