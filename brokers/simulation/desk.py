"""The desk of one simulated broker: it takes orders to the exchange, and keeps the account they move.

What is wrong with an order by itself is refused at once (checks.py). What the account cannot bear is accepted, and
rejected by the risk system: the row says why. Margin is blocked while an order stands, and turns into positions, shares
and money with every fill (ledger.py). What has to wait (slow fills, late entries, late news) waits for the clock, which
whoever asks the desk for something moves on, and the server besides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec import structs

from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.simulation.book import ZERO, Book
from brokers.simulation.checks import PRICED, TRIGGERED, check, protected_price
from brokers.simulation.dealing import Deal, DeskOrder, NewOrder, Refusal, Refused
from brokers.simulation.desk_state import DeskState, Fate, Kept, Lost
from brokers.simulation.exchange import Entry, Exchange, Stop, Trade
from brokers.simulation.faults import Fault, FaultKind, Faults
from brokers.simulation.gtts import Gtts
from brokers.simulation.ledger import Ledger, closing
from brokers.simulation.news import News
from brokers.simulation.sessions import IST

STANDING = frozenset({OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING, OrderStatus.PARTIALLY_FILLED})
REJECTED_WORDS = "RMS:The risk system takes no such order now"


class Desk:
    """Orders, trades and GTTs of one customer at one broker. `most_changes`: how often an order may be modified."""

    def __init__(
        self,
        slug: str,
        exchange: Exchange,
        *,
        book: Callable[[], Book],
        now: Callable[[], datetime],
        new_order_id: Callable[[], str],
        most_changes: int | None = None,
    ) -> None:
        self.slug = slug
        self.exchange = exchange
        self.market = exchange.market
        self.faults = Faults()
        self.ledger = Ledger(exchange.market.instruments, book)
        self.gtts = Gtts(exchange, begin=self._begin_write, place=lambda order: self._accept(order).order_id, now=now)
        self.most_changes = most_changes
        self.fate = Fate()
        self.count = 0
        self._now = now
        self._new_order_id = new_order_id
        self._news = News(self.faults)
        self._path = ""
        self._live: dict[str, Kept] = {}
        self._kept: dict[str, Kept] = {}
        self._at_exchange: dict[str, Kept] = {}
        self._entries: dict[str, Entry] = {}
        self._stops: dict[str, Stop] = {}
        self._releases: list[tuple[datetime, str, int]] = []

    # --- what a dialect asks ---------------------------------------------------------------------

    def place(self, new: NewOrder) -> DeskOrder:
        """Take an order. Raises Refused; what the risk system rejects comes back REJECTED, like an order of its own."""
        self._begin_write()
        return self.place_by_hand(new)

    def modify(
        self,
        order_id: str,
        *,
        quantity: int | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        order_type: OrderType | None = None,
        validity: Validity | None = None,
        disclosed_quantity: int | None = None,
        is_protected: bool | None = None,
    ) -> DeskOrder:
        """Change an order; None leaves a thing as it is. `quantity` is the new total. Raises Refused.

        What the account cannot bear changes nothing but the message.
        """
        self._begin_write()
        kept = self._standing(order_id)
        if self.most_changes is not None and kept.changes >= self.most_changes:
            raise Refused(Refusal.TOO_LATE, f"The order has been modified {kept.changes} times.")
        asked = kept.order.asked
        changed = structs.replace(
            asked,
            quantity=asked.quantity if quantity is None else quantity,
            price=asked.price if price is None else price,
            trigger_price=asked.trigger_price if trigger_price is None else trigger_price,
            order_type=asked.order_type if order_type is None else order_type,
            validity=asked.validity if validity is None else validity,
            disclosed_quantity=asked.disclosed_quantity if disclosed_quantity is None else disclosed_quantity,
            is_protected=asked.is_protected if is_protected is None else is_protected,
        )
        check(changed, self.market)
        if changed.quantity <= kept.order.filled:
            raise Refused(Refusal.BAD_QUANTITY, f"{kept.order.filled} are filled already.")
        kept.changes += 1
        self._change(kept, changed)
        return kept.order

    def cancel(self, order_id: str) -> DeskOrder:
        """Take an order out. Raises Refused: unknown, or at its end."""
        self._begin_write()
        return self.cancel_by_hand(order_id)

    def place_by_hand(self, new: NewOrder) -> DeskOrder:
        """Take an order from the broker's own app, which no fault of a request hits. Raises Refused."""
        self.pulse()
        return self._accept(new)

    def cancel_by_hand(self, order_id: str) -> DeskOrder:
        """The same for a cancellation."""
        self.pulse()
        kept = self._standing(order_id)
        self._end(kept, OrderStatus.CANCELLED, "")
        return kept.order

    def margin(self, new: NewOrder) -> Decimal:
        """Return what an order would block, rupees. Raises Refused."""
        check(new, self.market)
        return self._needed(new, new.quantity, self._limit(new))

    def orders(self) -> list[DeskOrder]:
        """Return the order book of the day, oldest first."""
        self.pulse()
        now = self._now()
        today = now.astimezone(IST).date()
        return [
            kept.order
            for kept in self._kept.values()
            if kept.visible_at <= now and kept.order.placed_at.astimezone(IST).date() == today
        ]

    def order(self, order_id: str) -> DeskOrder | None:
        """Return one order of the day; None: its order book has none of that number."""
        return next((order for order in self.orders() if order.order_id == order_id), None)

    def history(self, order_id: str) -> list[DeskOrder]:
        """Return how an order of the day stood after each change, oldest first: no fault of updates touches it.

        Changes of before a restart are one.
        """
        order = self.order(order_id)
        if order is None:
            return []
        known = self._news.history(order_id)
        return known if known and known[-1].number == order.number else [*known, order]

    def deals(self) -> list[tuple[DeskOrder, Deal]]:
        """Return the trade book of the day, oldest first, each fill with its order."""
        dealt = [(order, deal) for order in self.orders() for deal in order.deals]
        return sorted(dealt, key=lambda pair: int(pair[1].trade_id))

    def changes(self, after: int) -> list[DeskOrder]:
        """Return what is told of orders behind the place `after`, each as it stood; `number` is its place."""
        self.pulse()
        return self._news.since(after, self._now())

    @property
    def latest(self) -> int:
        """The place of what was told last: a stream that opens now tells what comes behind it."""
        return self._news.latest(self._now())

    # --- what the server asks --------------------------------------------------------------------

    def begin(self, path: str) -> None:
        """A request comes in: faults go by its path."""
        self._path = path
        self.fate = Fate()

    def pulse(self) -> None:
        """Do what has become due: let orders go on to the exchange, end those of an earlier day."""
        now = self._now()
        due = [release for release in self._releases if release[0] <= now]
        self._releases = [release for release in self._releases if release[0] > now]
        for _, order_id, quantity in due:
            self._release(self._kept[order_id], quantity)
        today = now.astimezone(IST).date()
        for kept in list(self._live.values()):
            if kept.order.placed_at.astimezone(IST).date() < today:
                self._end(kept, OrderStatus.EXPIRED, "The day is over.")

    def all_orders(self) -> list[DeskOrder]:
        """Return every order there was, those of earlier days and those not shown yet included."""
        return [kept.order for kept in self._kept.values()]

    def book_changed(self) -> None:
        """Have a book that was put in place carry what standing orders block."""
        self._block()

    def state(self) -> DeskState:
        return DeskState(orders=list(self._kept.values()), gtts=self.gtts.all(), count=self.count)

    def restore(self, state: DeskState) -> None:
        """Go on where an earlier run stopped. Orders that stood, stand again, in the order in which they came."""
        self.count = state.count
        for kept in state.orders:
            self._kept[kept.order.order_id] = kept
            if kept.order.exchange_order_id is not None:
                self._at_exchange[kept.order.exchange_order_id] = kept
                self.exchange.number_from(kept.order.exchange_order_id)
            if kept.order.status in STANDING:
                self._live[kept.order.order_id] = kept
            if kept.order.status is OrderStatus.TRIGGER_PENDING:
                self._wait_for_trigger(kept)
            elif kept.order.status in STANDING and kept.limit is not None:
                self.exchange.stand(self._entry(kept, kept.limit), kept.order.remaining - kept.unsent)
                if kept.unsent:
                    self._releases.append((self._now(), kept.order.order_id, kept.unsent))
        for gtt in state.gtts:
            self.gtts.keep(gtt)
        self._block()

    def reset(self) -> None:
        """Forget every order and GTT; what they did to the book stays done."""
        for kept in list(self._live.values()):
            self._withdraw(kept)
        self.gtts.clear()
        self._kept.clear()
        self._live.clear()
        self._at_exchange.clear()
        self._entries.clear()
        self._releases.clear()
        self._block()

    # --- taking an order -------------------------------------------------------------------------

    def _begin_write(self) -> None:
        """Meet the faults of the request. Raises Lost, Refused."""
        self.pulse()
        self.fate.is_write = True
        if self.faults.spend(FaultKind.LOST_REQUEST, self._path):
            raise Lost
        if self.faults.spend(FaultKind.LOST_REPLY, self._path):
            self.fate.is_lost = True
        if late := self.faults.spend(FaultKind.LATE_REPLY, self._path):
            self.fate.late_milliseconds = late.milliseconds
        if self.faults.spend(FaultKind.UNREGISTERED_ADDRESS, self._path):
            raise Refused(Refusal.UNREGISTERED_ADDRESS, "The address is not registered for orders.")
        if self.faults.spend(FaultKind.MARKET_CLOSED, self._path):
            raise Refused(Refusal.MARKET_CLOSED, "The market is closed.")

    def _accept(self, new: NewOrder) -> DeskOrder:
        check(new, self.market)
        now = self._now()
        late = self.faults.spend(FaultKind.LATE_ENTRY, self._path)
        self.count += 1
        kept = Kept(
            order=DeskOrder(
                order_id=self._new_order_id(),
                exchange_order_id=None,
                asked=new,
                status=OrderStatus.PENDING,
                message="",
                filled=0,
                average_price=None,
                deals=[],
                placed_at=now,
                updated_at=now,
                number=0,
            ),
            visible_at=now + timedelta(milliseconds=late.milliseconds if late else 0),
        )
        self._kept[kept.order.order_id] = kept
        limit = self._limit(new)
        objection = self._objection(new, new.quantity, limit)
        if objection:
            self._end(kept, OrderStatus.REJECTED, objection)
            return kept.order
        self._live[kept.order.order_id] = kept
        kept.order.exchange_order_id = self.exchange.new_order_number()
        self._at_exchange[kept.order.exchange_order_id] = kept
        kept.blocked = self._needed(new, new.quantity, limit, besides=kept)
        slow = self.faults.spend(FaultKind.SLOW_FILLS, self._path)
        self._send(kept, limit, waits=new.order_type in TRIGGERED, slow=slow)
        return kept.order

    def _objection(self, new: NewOrder, quantity: int, limit: Decimal, besides: Kept | None = None) -> str:
        """Return why the risk system rejects so much of an order, or nothing. `besides`: the order that it changes."""
        if besides is None and self.faults.spend(FaultKind.REJECT_ORDERS, self._path):
            return REJECTED_WORDS
        if new.side is Side.SELL and new.product in (Product.CNC, Product.MTF):
            free = self.ledger.sellable(new) - self._promised(new, besides)
            if quantity > free:
                return f"RMS:Insufficient holdings: {quantity} wanted, {max(free, 0)} free to sell"
        if besides is None and self._is_past(new):
            return "RMS:The trigger price is past already"
        needed = self._needed(new, quantity, limit, besides)
        available = self.ledger.book.funds.available + (besides.blocked if besides else ZERO)
        if needed > available:
            return f"RMS:Margin exceeds: {needed:.2f} required, {available:.2f} available"
        return ""

    def _send(self, kept: Kept, limit: Decimal, *, waits: bool, slow: Fault | None = None) -> None:
        """Let an order go on: to wait for its trigger, or to the exchange, at once or in its time."""
        order = kept.order
        self._block()
        if waits:
            self._say(kept, OrderStatus.TRIGGER_PENDING)
            self._wait_for_trigger(kept)
            self.exchange.check_stops()
            return
        self._say(kept, OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.OPEN)
        self._go(kept, limit, slow)

    def _go(self, kept: Kept, limit: Decimal, slow: Fault | None = None) -> None:
        quantity = kept.order.remaining
        self._entry(kept, limit)
        kept.unsent = quantity
        if slow is None:
            self._release(kept, quantity)
            return
        pieces = 1 if kept.order.asked.validity is Validity.IOC else max(1, min(slow.pieces, quantity))
        each, over = divmod(quantity, pieces)
        for piece in range(pieces):
            due = self._now() + timedelta(milliseconds=slow.milliseconds * (piece + 1))
            self._releases.append((due, kept.order.order_id, each + (piece < over)))

    def _release(self, kept: Kept, quantity: int) -> None:
        """Bring so much of an order to the exchange; what an IOC order finds nobody for ends it."""
        quantity = min(quantity, kept.unsent)
        if not quantity:
            return
        kept.unsent -= quantity
        self.exchange.bring(self._entries[kept.order.order_id], quantity)
        if kept.order.asked.validity is Validity.IOC and kept.order.status in STANDING:
            self._end(kept, OrderStatus.CANCELLED, "Nobody was there for the rest.")

    def _wait_for_trigger(self, kept: Kept) -> None:
        asked = kept.order.asked
        if asked.trigger_price is None:
            return
        stop = Stop(
            key=asked.key,
            price=asked.trigger_price,
            upwards=asked.side is Side.BUY,
            fire=lambda: self._triggered(kept),
        )
        self._stops[kept.order.order_id] = stop
        self.exchange.watch(stop)

    def _triggered(self, kept: Kept) -> None:
        self._stops.pop(kept.order.order_id, None)
        self._say(kept, OrderStatus.PARTIALLY_FILLED if kept.order.filled else OrderStatus.OPEN)
        self._go(kept, self._limit(kept.order.asked))

    # --- an order that stands --------------------------------------------------------------------

    def filled(self, entry: Entry, trade: Trade) -> None:
        """Hear from the exchange of a trade of one of ours."""
        kept = self._at_exchange[str(entry.exchange_order_id)]
        order = kept.order
        before = order.remaining
        if before == trade.quantity:
            self._live.pop(order.order_id, None)
        order.filled += trade.quantity
        order.deals.append(Deal(trade_id=trade.trade_id, quantity=trade.quantity, price=trade.price, at=trade.at))
        order.average_price = sum((deal.quantity * deal.price for deal in order.deals), ZERO) / order.filled
        kept.blocked = kept.blocked * order.remaining / before
        self.ledger.fill(order.asked, trade.quantity, trade.price)
        self._block()
        self._say(kept, OrderStatus.PARTIALLY_FILLED if order.remaining else OrderStatus.FILLED)

    def _change(self, kept: Kept, changed: NewOrder) -> None:
        """Put a judged change into effect. Less at the same price keeps its turn; anything else goes to the end."""
        order, limit = kept.order, self._limit(changed)
        left = changed.quantity - order.filled
        objection = self._objection(changed, left, limit, besides=kept)
        if objection:
            self._say(kept, order.status, objection)
            return
        was_waiting = order.status is OrderStatus.TRIGGER_PENDING
        waits = changed.order_type in TRIGGERED and (was_waiting or order.asked.order_type not in TRIGGERED)
        less = order.remaining - left
        keeps_turn = not was_waiting and not waits and limit == kept.limit and less >= 0
        order.asked = changed
        kept.blocked = self._needed(changed, left, limit, besides=kept)
        if keeps_turn:
            self._lessen(kept, less)
            self._block()
            self._say(kept, order.status)
            return
        self._withdraw(kept)
        self._send(kept, limit, waits=waits)

    def _lessen(self, kept: Kept, less: int) -> None:
        held_back = min(less, kept.unsent)
        kept.unsent -= held_back
        entry = self._entries[kept.order.order_id]
        self.exchange.lessen(entry, entry.remaining - (less - held_back))

    def _end(self, kept: Kept, status: OrderStatus, message: str) -> None:
        self._withdraw(kept)
        self._live.pop(kept.order.order_id, None)
        kept.blocked = ZERO
        self._block()
        self._say(kept, status, message)

    def _withdraw(self, kept: Kept) -> None:
        """Take out of the exchange whatever of an order is there, or waits to go there."""
        order_id = kept.order.order_id
        if stop := self._stops.pop(order_id, None):
            self.exchange.unwatch(stop)
        if entry := self._entries.pop(order_id, None):
            self.exchange.take(entry)
        kept.unsent = 0  # so that nothing is let go when its time comes

    def _say(self, kept: Kept, status: OrderStatus, message: str = "") -> None:
        order, now = kept.order, self._now()
        order.status, order.message, order.updated_at = status, message, now
        order.number += 1
        self._news.add(order, now=now, not_before=kept.visible_at)

    def _standing(self, order_id: str) -> Kept:
        """Return an order that can still be changed. Raises Refused."""
        kept = self._kept.get(order_id)
        if kept is None:
            raise Refused(Refusal.NO_SUCH_ORDER, "There is no such order.")
        if kept.order.status not in STANDING:
            raise Refused(Refusal.TOO_LATE, f"The order is {kept.order.status.lower()}.")
        return kept

    # --- prices and margins ----------------------------------------------------------------------

    def _entry(self, kept: Kept, limit: Decimal) -> Entry:
        asked, order_id = kept.order.asked, kept.order.order_id
        kept.limit = limit
        self._entries[order_id] = Entry(
            key=asked.key,
            side=asked.side,
            price=limit,
            owner=self,
            exchange_order_id=kept.order.exchange_order_id,
        )
        return self._entries[order_id]

    def _limit(self, asked: NewOrder) -> Decimal:
        """Return the worst price at which an order may deal: its own, or that of its market protection."""
        if asked.order_type in PRICED and asked.price is not None:
            return asked.price
        price = self.market.price(asked.key)
        around = asked.trigger_price if asked.order_type is OrderType.SL_M else price.last if price else None
        if around is None:
            raise Refused(Refusal.BAD_PRICE, "There is no price to protect the order by.")
        listing = self.market.instruments[asked.key]
        return protected_price(asked.side, around, listing, self.market.tick_size(listing))

    def _needed(self, new: NewOrder, quantity: int, limit: Decimal, besides: Kept | None = None) -> Decimal:
        """Return what so much of an order blocks, where a position that it closes blocks nothing a second time."""
        row = self.ledger.position(new)
        others = sum(
            kept.order.remaining
            for kept in self._live.values()
            if kept is not besides
            and (kept.order.asked.key, kept.order.asked.product, kept.order.asked.side)
            == (new.key, new.product, new.side)
        )
        absorbed = closing(row, new.side, quantity + others) - others
        return self.ledger.needed(new, quantity, limit, closed=max(absorbed, 0))

    def _is_past(self, new: NewOrder) -> bool:
        """Tell whether the last price has come to the trigger before the order does."""
        price = self.market.price(new.key)
        if new.order_type not in TRIGGERED or new.trigger_price is None or price is None:
            return False
        return price.last >= new.trigger_price if new.side is Side.BUY else price.last <= new.trigger_price

    def _promised(self, new: NewOrder, besides: Kept | None) -> int:
        """Return the shares that other standing sales of a company will deliver."""
        isin = self.market.instruments[new.key].isin
        return sum(
            kept.order.remaining
            for kept in self._live.values()
            if kept is not besides
            and kept.order.asked.side is Side.SELL
            and kept.order.asked.product is new.product
            and self.market.instruments[kept.order.asked.key].isin == isin
        )

    def _block(self) -> None:
        self.ledger.book.funds.used_orders = sum((kept.blocked for kept in self._live.values()), ZERO)
