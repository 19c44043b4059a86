"""The one market that all simulated brokers see.

Prices are invented (prices.json), exact decimals on the tick grid. The walk is seeded, so two runs of
the same number of ticks agree; it can be frozen, and any price can be set. Indices, and what hangs on them, move by
walks of their own (walks.py).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import msgspec

from brokers.simulation.instruments import Instruments, Listing
from brokers.simulation.walks import Walks

PRICES_FILE = Path(__file__).with_name("prices.json")
SECONDS_PER_TICK = 0.5
STEP_DEVIATION = 0.0003  # of the price, per tick: visible on a screen within seconds, tame over a day
CIRCUIT = Decimal("0.10")  # no price leaves this band around the previous close
BSE_TICKS_APART = 3
SEED = 20261123


class Price(msgspec.Struct):
    """Rupees per unit; `close` is the previous day's."""

    last: Decimal
    close: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    volume: int


class Market:
    """Last price and previous close of every listing that has one; the others do not trade."""

    def __init__(self, instruments: Instruments, *, frozen: bool = True, seed: int = SEED) -> None:
        self.instruments = instruments
        self.frozen = frozen
        self._random = random.Random(seed)  # noqa: S311 - a price walk, not a secret
        self._walks = Walks(instruments, seed)
        closes = msgspec.json.decode(PRICES_FILE.read_bytes(), type=dict[str, Decimal])
        self._prices: dict[str, Price] = {}
        for listing in instruments:
            if listing.symbol in closes:
                self._prices[listing.key] = self._opening(listing, closes[listing.symbol])
        self._open_futures()

    def _opening(self, listing: Listing, close: Decimal) -> Price:
        if listing.is_index:
            last, close = on_grid(self._walks.level(listing, close), listing), on_grid(close, listing)
            return Price(last=last, close=close, open=close, high=max(last, close), low=min(last, close), volume=0)
        apart = self._random.randint(1, BSE_TICKS_APART) if listing.exchange == "BSE" else 0
        close = on_grid(close + apart * listing.tick(close), listing)
        last = on_grid(close * Decimal(self._random.randint(985, 1018)) / 1000, listing)
        return Price(last=last, close=close, open=close, high=max(last, close), low=min(last, close), volume=100_000)

    def _open_futures(self) -> None:
        """Have the futures of an index stand where it stands."""
        for key, price in self._prices.items():
            listing = self.instruments[key]
            if not listing.is_index and listing.strike is None and self._walks.moves(listing):
                price.last = self._within(price, self._following(price, listing), listing)
                price.high, price.low = max(price.last, price.close), min(price.last, price.close)

    def price(self, key: str) -> Price | None:
        """Return the price of a listing key, or None when it does not trade."""
        return self._prices.get(key)

    def tick_size(self, listing: Listing) -> Decimal:
        """Return the listing's price step for the day, by its previous close; without a price, that of a low one."""
        price = self.price(listing.key)
        return listing.tick(price.close if price else Decimal(1))

    def tick(self) -> None:
        """Move every price by a random number of its ticks; BSE stays a few off NSE, derivatives a few off an index."""
        if self.frozen:
            return
        self._move_indices()
        for key, price in self._prices.items():
            listing = self.instruments[key]
            if listing.is_index:
                continue
            if self._walks.moves(listing):
                self._trade(price, listing, self._following(price, listing))
                continue
            twin = self._prices.get(f"NSE:{listing.symbol}") if listing.exchange == "BSE" else None
            self._trade(price, listing, self._beside(twin, listing) if twin else self._step(price))

    def _move_indices(self) -> None:
        step = self._walks.step()
        for key, price in self._prices.items():
            listing = self.instruments[key]
            if listing.is_index:
                self._walks.move(listing, step)
                self._trade(price, listing, self._walks.level(listing, price.close))

    def _following(self, price: Price, listing: Listing) -> Decimal:
        index = self._prices[self._walks.index_of(listing)]
        return self._walks.follow(listing, price.close, index.last, index.close)

    def _step(self, price: Price) -> Decimal:
        return price.last * (1 + Decimal(repr(round(self._random.gauss(0, STEP_DEVIATION), 6))))

    def _beside(self, twin: Price, listing: Listing) -> Decimal:
        return twin.last + self._random.randint(-BSE_TICKS_APART, BSE_TICKS_APART) * listing.tick(twin.last)

    def _trade(self, price: Price, listing: Listing, wanted: Decimal) -> None:
        price.last = self._within(price, wanted, listing)
        price.high, price.low = max(price.high, price.last), min(price.low, price.last)
        price.volume += self._random.randint(1, 500) * listing.lot_size

    @staticmethod
    def _within(price: Price, wanted: Decimal, listing: Listing) -> Decimal:
        lowest, highest = price.close * (1 - CIRCUIT), price.close * (1 + CIRCUIT)
        return on_grid(min(max(wanted, lowest), highest), listing)

    def traded(self, key: str, price: Decimal, quantity: int) -> None:
        """Hear of a trade. While the market is frozen only the volume grows: its prices are somebody's choice."""
        known = self._prices[key]
        known.volume += quantity
        if not self.frozen:
            known.last = price
            known.high, known.low = max(known.high, price), min(known.low, price)

    def set_price(self, key: str, *, last: Decimal, close: Decimal | None = None) -> None:
        """Set a price exactly as given, tick grid or not. Raises KeyError for an unknown listing."""
        listing = self.instruments[key]
        known = self._prices.get(key)
        previous = close if close is not None else known.close if known else last
        self._prices[listing.key] = Price(
            last=last,
            close=previous,
            open=known.open if known else previous,
            high=max(last, known.high if known else previous),
            low=min(last, known.low if known else previous),
            volume=known.volume if known else 0,
        )

    def snapshot(self) -> dict[str, Price]:
        """Return the live price records by listing key."""
        return self._prices

    def restore(self, prices: Mapping[str, Price]) -> None:
        """Take over the prices of an earlier run, of the listings that still exist."""
        self._prices.update({key: price for key, price in prices.items() if self.instruments.get(key)})


def on_grid(price: Decimal, listing: Listing) -> Decimal:
    """Round to the listing's tick, half up, with two decimals (four where the tick is finer)."""
    tick = listing.tick(price)
    steps = (price / tick).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return (steps * tick).quantize(min(tick, Decimal("0.01")))
