"""Orders that wait at a desk for a price (good till triggered). Each trigger places a limit order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import msgspec

from brokers.dealing import GttKind, GttStatus
from brokers.domain import OrderType, Product, Side, Validity
from brokers.simulation.dealing import NewOrder, Refusal, Refused
from brokers.simulation.exchange import Exchange, Stop
from brokers.simulation.sessions import random_text


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """When the last price comes to the trigger, an order of `quantity` at `price`. Counted as in a `NewOrder`."""

    trigger_price: Decimal
    price: Decimal
    quantity: int


class Gtt(msgspec.Struct, kw_only=True):
    """One of them. `order_id`: what its trigger placed; `message`: why that was refused."""

    gtt_id: str
    key: str
    kind: GttKind
    side: Side
    product: Product
    legs: list[Leg]
    status: GttStatus
    created_at: datetime
    updated_at: datetime
    order_id: str | None = None
    message: str = ""


class Gtts:
    """The GTTs of one desk: `place` places an order there and returns its id, `begin` meets the faults of a request."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        begin: Callable[[], None],
        place: Callable[[NewOrder], str],
        now: Callable[[], datetime],
    ) -> None:
        self._exchange = exchange
        self._begin = begin
        self._place = place
        self._now = now
        self._kept: dict[str, Gtt] = {}
        self._stops: dict[str, list[Stop]] = {}

    def place(self, *, key: str, kind: GttKind, side: Side, product: Product, legs: list[Leg]) -> Gtt:
        """Keep a GTT, one leg with SINGLE and two with OCO, the lower first. Raises Refused."""
        self._begin()
        if self._exchange.market.price(key) is None:
            raise Refused(Refusal.UNKNOWN_INSTRUMENT, f"{key} does not trade.")
        if len(legs) != (2 if kind is GttKind.OCO else 1) or any(leg.quantity <= 0 for leg in legs):
            raise Refused(Refusal.BAD_QUANTITY, "The legs are not those of this kind of GTT.")
        last = self._last(key)
        if any(leg.price <= 0 or leg.trigger_price == last for leg in legs) or not _apart(legs, last):
            raise Refused(Refusal.BAD_PRICE, "The triggers must lie off the last price, those of an OCO around it.")
        now = self._now()
        gtt = Gtt(
            gtt_id=random_text(9, "123456789"),
            key=key,
            kind=kind,
            side=side,
            product=product,
            legs=legs,
            status=GttStatus.ACTIVE,
            created_at=now,
            updated_at=now,
        )
        self.keep(gtt)
        return gtt

    def modify(self, gtt_id: str, legs: list[Leg]) -> Gtt:
        """Give a GTT other legs, as many as before. Raises Refused."""
        self._begin()
        gtt = self._active(gtt_id)
        if len(legs) != len(gtt.legs) or any(leg.quantity <= 0 or leg.price <= 0 for leg in legs):
            raise Refused(Refusal.BAD_QUANTITY, "The legs are not those of this kind of GTT.")
        if not _apart(legs, self._last(gtt.key)):
            raise Refused(Refusal.BAD_PRICE, "The triggers of an OCO must lie around the last price.")
        self._unwatch(gtt)
        gtt.legs, gtt.updated_at = legs, self._now()
        self.keep(gtt)
        return gtt

    def cancel(self, gtt_id: str) -> Gtt:
        """Raises Refused: unknown, or no longer active."""
        self._begin()
        gtt = self._active(gtt_id)
        self._unwatch(gtt)
        gtt.status, gtt.updated_at = GttStatus.CANCELLED, self._now()
        return gtt

    def get(self, gtt_id: str) -> Gtt | None:
        return self._kept.get(gtt_id)

    def all(self) -> list[Gtt]:
        """Return every GTT there was, oldest first."""
        return list(self._kept.values())

    def keep(self, gtt: Gtt) -> None:
        """Take a GTT in, or back after a restart, and have it wait for its price."""
        self._kept[gtt.gtt_id] = gtt
        if gtt.status is not GttStatus.ACTIVE:
            return
        last = self._last(gtt.key)
        stops = self._stops[gtt.gtt_id] = []
        for leg in gtt.legs:
            stop = Stop(
                key=gtt.key,
                price=leg.trigger_price,
                upwards=leg.trigger_price > last,
                fire=lambda leg=leg: self._fire(gtt, leg),  # type: ignore[misc]
            )
            stops.append(stop)
            self._exchange.watch(stop)

    def clear(self) -> None:
        for gtt in self._kept.values():
            self._unwatch(gtt)
        self._kept.clear()

    def _fire(self, gtt: Gtt, leg: Leg) -> None:
        self._unwatch(gtt)
        gtt.status, gtt.updated_at = GttStatus.TRIGGERED, self._now()
        order = NewOrder(
            key=gtt.key,
            side=gtt.side,
            order_type=OrderType.LIMIT,
            product=gtt.product,
            validity=Validity.DAY,
            quantity=leg.quantity,
            price=leg.price,
        )
        try:
            gtt.order_id = self._place(order)
        except Refused as refused:
            gtt.status, gtt.message = GttStatus.REJECTED, refused.words

    def _active(self, gtt_id: str) -> Gtt:
        gtt = self._kept.get(gtt_id)
        if gtt is None:
            raise Refused(Refusal.NO_SUCH_ORDER, "There is no such GTT.")
        if gtt.status is not GttStatus.ACTIVE:
            raise Refused(Refusal.TOO_LATE, f"The GTT is {gtt.status.lower()}.")
        return gtt

    def _unwatch(self, gtt: Gtt) -> None:
        for stop in self._stops.pop(gtt.gtt_id, []):
            self._exchange.unwatch(stop)

    def _last(self, key: str) -> Decimal:
        price = self._exchange.market.price(key)
        if price is None:
            raise Refused(Refusal.UNKNOWN_INSTRUMENT, f"{key} does not trade.")
        return price.last


def _apart(legs: list[Leg], last: Decimal) -> bool:
    """The two legs of an OCO lie on either side of the last price, the lower first."""
    return len(legs) == 1 or legs[0].trigger_price < last < legs[1].trigger_price
