"""Which share a row of today's dealing is, where its broker tells no ISIN: by the instrument master.

Asked when an answer comes, so that whatever is made of it, books and what they stream, has the ISIN in the row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

from brokers.domain import BrokerPortfolio, Exchange, Holding, InstrumentKind, Position
from market.models import InstrumentListing
from portfolio.fetching import Answer

NAMES_KEPT = timedelta(minutes=10)
# What no master lists may be of one that is still being loaded.
UNKNOWN_KEPT = NAMES_KEPT / 20

# A broker, an exchange, and that broker's own number of what trades there.
ListingKey = tuple[str, Exchange, str]


class ShareNames:
    """ISINs of brokers' listings of shares, remembered for a while. For many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of: dict[ListingKey, str | None] = {}
        self._known_until: dict[ListingKey, datetime] = {}

    def of(self, keys: Collection[ListingKey], now: datetime) -> Mapping[ListingKey, str | None]:
        """None where no master says; asks the database once, for those that are not known."""
        with self._lock:
            unknown = [key for key in keys if key not in self._known_until or self._known_until[key] <= now]
            if unknown:
                self._learn(unknown, now)
            return {key: self._of[key] for key in keys}

    def forget(self) -> None:
        """Ask anew at the next question."""
        with self._lock:
            self._known_until.clear()

    def _learn(self, keys: Collection[ListingKey], now: datetime) -> None:
        rows = InstrumentListing.objects.filter(
            broker_type__in={slug for slug, _, _ in keys},
            broker_token__in={token for _, _, token in keys},
            instrument__kind=InstrumentKind.EQUITY,
            instrument__ended_on=None,
            withdrawn_on=None,
        ).values_list("broker_type", "instrument__exchange", "broker_token", "instrument__isin")
        found = {(slug, Exchange(exchange), token): isin for slug, exchange, token, isin in rows}
        for key in keys:
            self._of[key] = found.get(key)
            self._known_until[key] = now + (NAMES_KEPT if found.get(key) else UNKNOWN_KEPT)


share_names = ShareNames()


def named(answers: Mapping[UUID, Answer], slugs: Mapping[UUID, str], now: datetime) -> dict[UUID, Answer]:
    """The answers, with the ISIN of each share dealt in for delivery that neither its row nor any holding names.

    `slugs` are the connections' brokers. One query at most, and none where all is known (docs/adr/0002).
    """
    told = {key: answer.portfolio for key, answer in answers.items() if answer.portfolio is not None}
    held = {_symbol(line) for portfolio in told.values() for line in portfolio.holdings if line.isin}
    lacking = {
        (slugs[key], position.exchange, position.broker_token)
        for key, portfolio in told.items()
        for position in portfolio.positions
        if _is_nameless(position) and _symbol(position) not in held
    }
    if not lacking:
        return dict(answers)
    names = share_names.of(lacking, now)
    return dict(answers) | {
        key: replace(answers[key], portfolio=_with_names(portfolio, slugs[key], names))
        for key, portfolio in told.items()
    }


def _with_names(portfolio: BrokerPortfolio, slug: str, names: Mapping[ListingKey, str | None]) -> BrokerPortfolio:
    positions = tuple(
        replace(position, isin=names.get((slug, position.exchange, position.broker_token)))
        if _is_nameless(position)
        else position
        for position in portfolio.positions
    )
    return replace(portfolio, positions=positions)


def _is_nameless(position: Position) -> bool:
    return position.is_delivery and position.isin is None


def _symbol(line: Holding | Position) -> tuple[Exchange, str]:
    return (line.exchange, line.tradingsymbol)
