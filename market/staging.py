"""A master's rows on their way into the database: read one by one, copied into a table that nobody else sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from brokers.domain import SEGMENT_OF, Instrument
from brokers.errors import UnexpectedResponse
from brokers.wire import Row
from market.identity import identity, is_isin, search_rank, search_words, units_in_lot
from market.indices import exchange_token

# Name, type, longest text. `seq` is the row's place in the master.
COLUMNS: tuple[tuple[str, str, int | None], ...] = (
    ("seq", "integer", None),
    ("identity", "text", 120),
    ("exchange", "text", None),
    ("segment", "text", None),
    ("kind", "text", None),
    ("tradingsymbol", "text", 80),
    ("broker_token", "text", 100),
    ("exchange_token", "text", 40),
    ("isin", "text", None),
    ("name", "text", None),
    ("underlying", "text", 40),
    ("expiry", "date", None),
    ("strike", "numeric(20, 4)", None),
    ("option_type", "text", None),
    ("lot_size", "numeric(20, 4)", None),
    ("tick_size", "numeric(20, 4)", None),
    ("freeze_quantity", "numeric(20, 4)", None),
    ("multiplier", "numeric(20, 4)", None),
    ("series", "text", 10),
    ("cas_eligible", "boolean", None),
    ("rank", "smallint", None),
    ("words", "text", None),
)
NAMES = tuple(name for name, _, _ in COLUMNS)
LIMITS = tuple(limit for _, _, limit in COLUMNS)
CREATE = (
    f"CREATE TEMPORARY TABLE market_staged ({', '.join(f'{name} {kind}' for name, kind, _ in COLUMNS)}) ON COMMIT DROP"
)
COPY = f"COPY market_staged ({', '.join(NAMES)}) FROM STDIN"
# What COPY's text form writes in its own way; a NUL is no text at all.
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})
LARGEST_NUMBER = Decimal(10**15)
LONGEST_NAME, LONGEST_WORDS = 160, 300
PIECE = 1 << 17
# What a mapping may raise over a row that is garbage from end to end.
GARBAGE = (KeyError, ValueError, TypeError, ArithmeticError, AttributeError, OSError)


class Staged:
    """Lines for COPY, made of a master's rows while they are read. Counts as it goes."""

    def __init__(self, rows: Iterable[Row], instrument: Callable[[Row], list[Instrument]]) -> None:
        self._rows = rows
        self._instrument = instrument
        self.count = 0
        self.unreadable: Counter[str] = Counter()

    def pieces(self) -> Iterator[bytes]:
        """Many lines at a time. Raises BrokenMaster."""
        held: list[str] = []
        size = 0
        for line in self._lines():
            held.append(line)
            size += len(line)
            if size > PIECE:
                yield "".join(held).encode(errors="replace")
                held.clear()
                size = 0
        yield "".join(held).encode(errors="replace")  # half a pair of UTF-16 is no sign

    def _lines(self) -> Iterator[str]:
        for row in self._rows:
            try:
                lines = [self._line(item) for item in self._instrument(row)]
            except UnexpectedResponse as error:
                self.unreadable[error.field] += 1
            except GARBAGE:
                self.unreadable["row"] += 1
            else:
                yield from lines

    def _line(self, item: Instrument) -> str:
        contract = item.contract
        isin = item.isin
        if isin is not None and not is_isin(isin):
            self.unreadable["isin"] += 1  # the row counts all the same
            isin = None
        values = (
            self.count,
            identity(item),
            item.exchange,
            SEGMENT_OF[item.exchange],
            item.kind,
            item.tradingsymbol,
            item.broker_token,
            exchange_token(item),
            isin,
            (item.name or "")[:LONGEST_NAME],
            contract.underlying.upper() if contract else "",
            contract.expiry if contract else None,
            contract.strike if contract else None,
            (contract.option_type if contract else None) or "",
            units_in_lot(item),
            item.tick_size,
            item.freeze_quantity,
            item.multiplier,
            item.series or "",
            item.cas_eligible,
            search_rank(item),
            search_words(item)[:LONGEST_WORDS],
        )
        line = "\t".join(_written(*pair) for pair in zip(values, NAMES, LIMITS, strict=True)) + "\n"
        self.count += 1
        return line


def _written(value: Any, name: str, limit: int | None) -> str:
    """A value in COPY's text form. Raises UnexpectedResponse for what no column could hold."""
    if value is None:
        return "\\N"
    if isinstance(value, str):
        if limit is not None and len(value) > limit:
            raise UnexpectedResponse(name, "is too long")
        return value.translate(ESCAPES)
    if isinstance(value, Decimal):
        if abs(value) >= LARGEST_NUMBER:
            raise UnexpectedResponse(name, "is too large")
        return f"{value:f}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
