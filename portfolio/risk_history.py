"""Whose past risk needs: what the accounts' last answers hold, what their derivatives hang on, and the indices."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec
from django.db.models import QuerySet

from accounts.models import User
from brokers.domain import BrokerPortfolio, ConnectionStatus, Exchange, InstrumentKind, Segment
from brokers.wire import IST
from market import candles, factors
from market.models import Instrument
from portfolio.models import BrokerSnapshot

logger = logging.getLogger(__name__)

# Answers so recent are looked through each time; all of them in the first minute of an hour, as a master that names a
# share may have come later than the account's answer.
RECENT = timedelta(minutes=5)
DERIVATIVES = (InstrumentKind.FUTURE, InstrumentKind.OPTION)
ROWS_AT_ONCE = 200

_payload = msgspec.json.Decoder(BrokerPortfolio)


def want_held(*, now: datetime) -> int:
    """Have the store hold the past of whatever is held, and of the indices. Returns how many rows that changed."""
    snapshots = BrokerSnapshot.objects.all()
    if now.minute:
        snapshots = snapshots.filter(as_of__gt=now - RECENT)
    keys = factors_of(snapshots) | factors.named().keys()
    return candles.want(factors.instruments_of(keys, now.astimezone(IST).date()), now=now)


def may_see(user: User, instrument: Instrument, *, now: datetime) -> bool:
    """Whether this person's own accounts have its past wanted, or everybody's do: who asks of another's learns nothing.

    Otherwise what there is of a share would tell that somebody here holds it.
    """
    held = factors_of(BrokerSnapshot.objects.filter(connection__user=user)) | factors.named().keys()
    if instrument.isin is not None and instrument.isin in held:
        return True
    candidates = factors.candidates_of(held, now.astimezone(IST).date())
    return any(each.instrument_id == instrument.pk for some in candidates.values() for each in some)


def factors_of(snapshots: QuerySet[BrokerSnapshot]) -> set[str]:
    """What moves the accounts that gave these answers; those of connections that were ended are left out."""
    keys: set[str] = set()
    nameless: set[tuple[Exchange, str]] = set()
    living = snapshots.exclude(connection__status=ConnectionStatus.DISCONNECTED)
    for payload in living.values_list("payload", flat=True).iterator(ROWS_AT_ONCE):
        try:
            portfolio = _payload.decode(payload)
        except msgspec.MsgspecError:  # of an older version; the account's next answer replaces it
            logger.warning("A kept answer cannot be read: what it holds is not wanted")
            continue
        keys |= set(keys_of(portfolio))
        nameless |= set(_nameless(portfolio))
    return keys | _underlyings(nameless)


def keys_of(portfolio: BrokerPortfolio) -> Iterator[str]:
    """The factors of an account's rows, as far as the rows tell: ISINs, and the underlyings of derivatives."""
    yield from (holding.isin for holding in portfolio.holdings if holding.isin)
    yield from (position.isin for position in portfolio.positions if position.isin)
    yield from (row.contract.underlying.upper() for row in portfolio.positions if row.contract is not None)


def _nameless(portfolio: BrokerPortfolio) -> Iterator[tuple[Exchange, str]]:
    """Derivatives of which the broker tells no more than the exchange's number."""
    for row in portfolio.positions:
        if row.contract is None and row.exchange_token and row.segment is not Segment.EQUITY:
            yield row.exchange, row.exchange_token


def _underlyings(keys: Iterable[tuple[Exchange, str]]) -> set[str]:
    wanted = set(keys)
    if not wanted:
        return set()
    rows = Instrument.objects.filter(
        exchange_token__in=[token for _, token in wanted], kind__in=DERIVATIVES, ended_on=None
    ).exclude(underlying="")
    found = rows.values_list("exchange", "exchange_token", "underlying")
    return {underlying for exchange, token, underlying in found if (exchange, token) in wanted}
