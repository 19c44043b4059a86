"""A staged master becomes part of the one table of instruments. Inside a transaction: all of it, or nothing.

The instrument says what most of its brokers say; at a tie it stays as it is. Its names are those of the first broker,
in the registry's order, that lists it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection

from brokers.masters import BrokenMaster
from market.staging import COPY, CREATE, Staged

# A file that moves a column changes every ISIN at once; on one day, few shares are split.
MOST_SUCCESSIONS = 20
MOST_SUCCESSIONS_RATIO = 0.01
LEAST_RATIO = 0.5
VOTED = ("lot_size", "tick_size", "freeze_quantity")
DISPUTED = ("isin", "expiry", "lot_size", "tick_size")

# Left only where one transaction loads twice.
CLEARED = "DROP TABLE IF EXISTS market_staged, market_resolved, market_touched, market_disagreed"
RESOLVED = """
CREATE TEMPORARY TABLE market_resolved ON COMMIT DROP AS
SELECT first.*, instrument.id AS instrument_id
FROM (
    SELECT DISTINCT ON (COALESCE(identity, exchange || '#' || exchange_token)) *
    FROM market_staged ORDER BY COALESCE(identity, exchange || '#' || exchange_token), seq
) AS first
LEFT JOIN market_instruments AS instrument
    ON instrument.identity = first.identity AND instrument.ended_on IS NULL
"""
# Whatever the planner believes of tables that have just been filled, a row is found at once.
BY_INSTRUMENT = "CREATE INDEX market_resolved_instrument ON market_resolved (instrument_id)"
# A contract that its row does not describe, or describes with another expiry or name, is known by its number while the
# number is in use.
BY_NUMBER = """
UPDATE market_resolved AS row SET instrument_id = instrument.id
FROM market_instruments AS instrument
WHERE row.instrument_id IS NULL AND row.kind IN ('FUTURE', 'OPTION')
    AND instrument.exchange = row.exchange AND instrument.exchange_token = row.exchange_token
    AND instrument.kind = row.kind AND instrument.ended_on IS NULL AND instrument.expiry >= %(today)s
    AND (row.identity IS NULL OR (
        instrument.strike IS NOT DISTINCT FROM row.strike AND instrument.option_type = row.option_type))
    AND NOT EXISTS (SELECT FROM market_resolved AS other WHERE other.instrument_id = instrument.id)
"""
TWICE = """
DELETE FROM market_resolved AS row USING market_resolved AS other
WHERE row.instrument_id = other.instrument_id AND row.seq > other.seq
"""
NAMELESS = "DELETE FROM market_resolved WHERE instrument_id IS NULL AND identity IS NULL"
# The broker's own word changed: one that merely disagrees with the others changes nothing.
CHANGED_ISINS = """
SELECT row.seq, instrument.id, row.isin, row.tradingsymbol = listing.tradingsymbol
FROM market_resolved AS row
JOIN market_instruments AS instrument ON instrument.id = row.instrument_id
JOIN market_instrument_listings AS listing
    ON listing.instrument_id = instrument.id AND listing.broker_type = %(broker_type)s
WHERE row.isin <> instrument.isin AND listing.isin = instrument.isin
    AND NOT EXISTS (
        SELECT FROM market_instruments AS former
        WHERE former.identity = instrument.identity AND former.isin = row.isin AND former.ended_on IS NOT NULL)
"""
END = "UPDATE market_instruments SET ended_on = %(today)s WHERE id = %(old)s"
SUCCEED = """
INSERT INTO market_instruments (
    exchange, segment, kind, identity, tradingsymbol, exchange_token, isin, name, underlying, expiry, strike,
    option_type, lot_size, tick_size, freeze_quantity, series, cas_eligible, banned, first_seen_on, last_seen_on,
    succeeds_id, rank, words)
SELECT exchange, segment, kind, identity, tradingsymbol, exchange_token, %(isin)s, name, underlying, expiry, strike,
    option_type, lot_size, tick_size, freeze_quantity, series, cas_eligible, banned, %(today)s, %(today)s,
    CASE WHEN %(same)s THEN id END, rank, words
FROM market_instruments WHERE id = %(old)s RETURNING id
"""
MOVE = "UPDATE market_instrument_listings SET instrument_id = %(new)s WHERE instrument_id = %(old)s"
RESOLVE_AGAIN = "UPDATE market_resolved SET instrument_id = %(new)s WHERE seq = %(seq)s"
NEW = """
INSERT INTO market_instruments (
    exchange, segment, kind, identity, tradingsymbol, exchange_token, isin, name, underlying, expiry, strike,
    option_type, lot_size, tick_size, freeze_quantity, series, cas_eligible, first_seen_on, last_seen_on, rank, words)
SELECT exchange, segment, kind, identity, tradingsymbol, exchange_token, isin, name, underlying, expiry, strike,
    option_type, lot_size, tick_size, freeze_quantity, series, cas_eligible, %(today)s, %(today)s, rank, words
FROM market_resolved WHERE instrument_id IS NULL
"""
RESOLVE_NEW = """
UPDATE market_resolved AS row SET instrument_id = instrument.id
FROM market_instruments AS instrument
WHERE row.instrument_id IS NULL AND instrument.identity = row.identity AND instrument.ended_on IS NULL
"""
SEEN = """
UPDATE market_instruments AS instrument SET
    last_seen_on = %(today)s,
    exchange_token = COALESCE(instrument.exchange_token, row.exchange_token),
    isin = COALESCE(instrument.isin, row.isin),
    lot_size = COALESCE(instrument.lot_size, row.lot_size),
    tick_size = COALESCE(instrument.tick_size, row.tick_size),
    freeze_quantity = COALESCE(instrument.freeze_quantity, row.freeze_quantity),
    series = COALESCE(NULLIF(row.series, ''), instrument.series),
    cas_eligible = COALESCE(row.cas_eligible, instrument.cas_eligible),
    name = CASE WHEN length(row.name) > length(instrument.name) THEN row.name ELSE instrument.name END,
    words = CASE WHEN length(row.words) > length(instrument.words) THEN row.words ELSE instrument.words END
FROM market_resolved AS row
WHERE row.instrument_id = instrument.id AND (
    instrument.last_seen_on < %(today)s
    OR (instrument.exchange_token IS NULL AND row.exchange_token IS NOT NULL)
    OR (instrument.isin IS NULL AND row.isin IS NOT NULL)
    OR (instrument.lot_size IS NULL AND row.lot_size IS NOT NULL)
    OR (instrument.tick_size IS NULL AND row.tick_size IS NOT NULL)
    OR (instrument.freeze_quantity IS NULL AND row.freeze_quantity IS NOT NULL)
    OR (row.series NOT IN ('', instrument.series))
    OR (row.cas_eligible IS NOT NULL AND row.cas_eligible IS DISTINCT FROM instrument.cas_eligible)
    OR length(row.name) > length(instrument.name)
    OR length(row.words) > length(instrument.words))
"""
NAMED = """
UPDATE market_instruments AS instrument SET
    tradingsymbol = row.tradingsymbol,
    words = CASE WHEN row.kind = 'EQUITY' THEN row.words ELSE instrument.words END
FROM market_resolved AS row
WHERE row.instrument_id = instrument.id AND row.tradingsymbol <> instrument.tradingsymbol
    AND NOT EXISTS (
        SELECT FROM market_instrument_listings AS listing
        WHERE listing.instrument_id = instrument.id AND listing.broker_type = ANY(%(better)s)
            AND listing.withdrawn_on IS NULL)
"""
LISTED = """
INSERT INTO market_instrument_listings AS listing (
    instrument_id, broker_type, broker_token, tradingsymbol, multiplier, isin, expiry, lot_size, tick_size,
    freeze_quantity)
SELECT instrument_id, %(broker_type)s, broker_token, tradingsymbol, multiplier, isin, expiry, lot_size, tick_size,
    freeze_quantity
FROM market_resolved
ON CONFLICT (instrument_id, broker_type) DO UPDATE SET
    broker_token = excluded.broker_token, tradingsymbol = excluded.tradingsymbol, multiplier = excluded.multiplier,
    isin = excluded.isin, expiry = excluded.expiry, lot_size = excluded.lot_size, tick_size = excluded.tick_size,
    freeze_quantity = excluded.freeze_quantity, withdrawn_on = NULL
WHERE (listing.broker_token, listing.tradingsymbol, listing.multiplier, listing.isin, listing.expiry, listing.lot_size,
        listing.tick_size, listing.freeze_quantity, listing.withdrawn_on)
    IS DISTINCT FROM (excluded.broker_token, excluded.tradingsymbol, excluded.multiplier, excluded.isin,
        excluded.expiry, excluded.lot_size, excluded.tick_size, excluded.freeze_quantity, NULL::date)
"""
WITHDRAWN = """
UPDATE market_instrument_listings AS listing SET withdrawn_on = %(today)s
WHERE listing.broker_type = %(broker_type)s AND listing.withdrawn_on IS NULL
    AND NOT EXISTS (SELECT FROM market_resolved AS row WHERE row.instrument_id = listing.instrument_id)
"""
TOUCHED = """
CREATE TEMPORARY TABLE market_touched ON COMMIT DROP AS
SELECT row.instrument_id FROM market_resolved AS row
JOIN market_instruments AS instrument ON instrument.id = row.instrument_id
WHERE row.isin <> instrument.isin OR row.expiry <> instrument.expiry OR row.lot_size <> instrument.lot_size
    OR row.tick_size <> instrument.tick_size OR row.freeze_quantity <> instrument.freeze_quantity
    OR row.instrument_id = ANY(%(succeeded)s)
UNION SELECT instrument_id FROM market_instrument_disputes WHERE closed_at IS NULL
"""
SETTLED = """
UPDATE market_instrument_disputes AS dispute SET closed_at = %(now)s
WHERE closed_at IS NULL AND NOT EXISTS (
    SELECT FROM market_disagreed AS now
    WHERE now.instrument_id = dispute.instrument_id AND now.field = dispute.field)
"""
OPENED = """
INSERT INTO market_instrument_disputes AS dispute (instrument_id, field, said, opened_at)
SELECT instrument_id, field, said, %(now)s FROM market_disagreed
ON CONFLICT (instrument_id, field) WHERE closed_at IS NULL DO UPDATE SET said = excluded.said
WHERE dispute.said <> excluded.said
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a load did."""

    row_count: int
    new_count: int
    succeeded_count: int
    withdrawn_count: int
    unreadable: Counter[str]


def merge(
    staged: Staged, *, broker_type: str, better: Sequence[str], last_count: int | None, now: datetime, today: date
) -> Merged:
    """Copy a master in and merge it; needs an open transaction.

    `better` are the brokers whose names go before this one's; `last_count` the rows of its last good master.
    Raises BrokenMaster for a file that is broken, or too small to be believed.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLEARED)
        cursor.execute(CREATE)
        with cursor.cursor.copy(COPY) as copy:
            for piece in staged.pieces():
                copy.write(piece)
        _refuse_small(staged, last_count)
        known: dict[str, Any] = {"broker_type": broker_type, "better": list(better), "today": today, "now": now}

        def run(sql: str, **more: Any) -> int:
            cursor.execute(sql, known | more)
            return int(cursor.rowcount)

        run("ANALYZE market_staged")
        distinct = run(RESOLVED)
        run(BY_INSTRUMENT)
        run("ANALYZE market_resolved")
        run(BY_NUMBER)
        staged.unreadable["duplicate"] += staged.count - distinct + run(TWICE)
        staged.unreadable["contract"] += run(NAMELESS)
        run(CHANGED_ISINS)
        changed = cursor.fetchall()
        if len(changed) > max(MOST_SUCCESSIONS, MOST_SUCCESSIONS_RATIO * staged.count):
            raise BrokenMaster("changes more ISINs than is possible on one day")
        succeeded = []
        for seq, old, isin, same in changed:
            run(END, old=old)
            run(SUCCEED, old=old, isin=isin, same=same)
            [new] = cursor.fetchone()
            run(MOVE, new=new, old=old)
            run(RESOLVE_AGAIN, new=new, seq=seq)
            succeeded.append(new)
        new_count = run(NEW)
        run(RESOLVE_NEW)
        run(SEEN)
        run(NAMED)
        run(TOUCHED, succeeded=succeeded)
        run(LISTED)
        withdrawn = run(WITHDRAWN)
        for field in VOTED:
            run(_vote(field))
        run(_disagreed())
        run(SETTLED)
        run(OPENED)
    return Merged(
        row_count=staged.count,
        new_count=new_count,
        succeeded_count=len(succeeded),
        withdrawn_count=withdrawn,
        unreadable=+staged.unreadable,
    )


def _refuse_small(staged: Staged, last_count: int | None) -> None:
    bad = staged.unreadable.total()
    if staged.count == 0 or bad > staged.count:
        raise BrokenMaster(f"has {bad} rows that cannot be read, and {staged.count} that can")
    if last_count and staged.count < LEAST_RATIO * last_count:
        raise BrokenMaster(f"has {staged.count} rows, and had {last_count} the last time")


def _disagreed() -> str:
    """Fields of the touched instruments on which two brokers differ, and what each of them says."""
    each = (
        f"""
        SELECT instrument_id, '{field}' AS field, jsonb_object_agg(broker_type, {field}::text) AS said
        FROM market_instrument_listings JOIN market_touched USING (instrument_id)
        WHERE withdrawn_on IS NULL AND {field} IS NOT NULL
        GROUP BY instrument_id HAVING count(DISTINCT {field}) > 1
        """  # noqa: S608 - our own column names
        for field in DISPUTED
    )
    return "CREATE TEMPORARY TABLE market_disagreed ON COMMIT DROP AS " + " UNION ALL ".join(each)


def _vote(field: str) -> str:
    """What most brokers say of the touched instruments; at a tie, what the instrument says already."""
    return f"""
    WITH votes AS (
        SELECT listing.instrument_id, listing.{field} AS value, count(*) AS brokers
        FROM market_instrument_listings AS listing JOIN market_touched USING (instrument_id)
        WHERE listing.withdrawn_on IS NULL AND listing.{field} IS NOT NULL
        GROUP BY listing.instrument_id, listing.{field}
    ), won AS (
        SELECT DISTINCT ON (votes.instrument_id) votes.instrument_id, votes.value
        FROM votes JOIN market_instruments AS instrument ON instrument.id = votes.instrument_id
        ORDER BY votes.instrument_id, votes.brokers DESC, (votes.value = instrument.{field}) DESC NULLS LAST,
            votes.value
    )
    UPDATE market_instruments AS instrument SET {field} = won.value
    FROM won WHERE won.instrument_id = instrument.id AND instrument.{field} IS DISTINCT FROM won.value
    """  # noqa: S608 - our own column names
