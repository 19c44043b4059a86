"""What waits to be sent to one socket, and never grows over its bounds. Pure.

Deltas keep their order and are given up all together: then a snapshot has to come. Of everything else the latest wins.
"""

from __future__ import annotations

MOST_DELTAS = 32  # eight seconds' worth
MOST_BYTES = 1_000_000  # of deltas, unless a single one is larger
MOST_REPLIES = 64

Waiting = tuple[str, str]


class Outbox:
    """(type, JSON text) pairs. Nothing leaves before the first snapshot."""

    def __init__(self, *, most_deltas: int = MOST_DELTAS, most_bytes: int = MOST_BYTES) -> None:
        self.is_open = False
        self._most_deltas = most_deltas
        self._most_bytes = most_bytes
        self._is_held = False
        self._snapshot: str | None = None
        self._deltas: list[str] = []
        self._bytes = 0
        self._latest: dict[tuple[str, str], str] = {}
        self._prices: dict[str, str] = {}
        self._replies: list[Waiting] = []

    def hold(self) -> None:
        """A snapshot is being made: what follows it must not be sent before it."""
        self.drop_deltas()
        self._is_held = True

    def put_snapshot(self, data: str, *, is_hosted: bool) -> None:
        """It stands before the deltas that came since `hold`; a host's also before any whole portfolio."""
        self._snapshot, self._is_held, self.is_open = data, False, True
        if is_hosted:
            self.drop("PORTFOLIO_UPDATE")

    def put_delta(self, data: str) -> bool:
        """False where there is no room: then all deltas are gone."""
        self._deltas.append(data)
        self._bytes += len(data)
        has_room = len(self._deltas) <= self._most_deltas and (
            self._bytes <= self._most_bytes or len(self._deltas) == 1
        )
        if not has_room:
            self.drop_deltas()
        return has_room

    def drop_deltas(self) -> None:
        """A snapshot that was not sent yet goes with them: without them it would be an old one."""
        self._deltas, self._bytes, self._snapshot = [], 0, None

    def put(self, kind: str, key: str, data: str) -> None:
        self._latest[kind, key] = data

    def drop(self, kind: str) -> None:
        for name in [name for name in self._latest if name[0] == kind]:
            del self._latest[name]

    def put_price(self, instrument: str, data: str) -> None:
        self._prices[instrument] = data

    def drop_prices(self, instruments: set[str]) -> None:
        for instrument in instruments:
            self._prices.pop(instrument, None)

    def put_reply(self, kind: str, data: str) -> bool:
        """False where the client asks on and on and reads no answer."""
        self._replies.append((kind, data))
        return len(self._replies) <= MOST_REPLIES

    def take(self) -> list[Waiting]:
        """What may be sent now, in order; it waits no more."""
        if not self.is_open:
            return []
        found: list[Waiting] = []
        if not self._is_held:
            if self._snapshot is not None:
                found.append(("SNAPSHOT", self._snapshot))
            found += [("PORTFOLIO_DELTA", data) for data in self._deltas]
            self.drop_deltas()
        found += [(kind, data) for (kind, _key), data in self._latest.items()]
        found += self._replies
        if self._prices:
            found.append(("PRICES", f'{{"prices":[{",".join(self._prices.values())}]}}'))
        self._latest, self._replies, self._prices = {}, [], {}
        return found
