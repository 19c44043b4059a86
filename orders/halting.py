"""The kill switch, as far as orders stand at brokers: all are cancelled, everywhere at once, and then looked after.

`portfolio.halting` stops what is new. Here what is open ends: at all brokers in parallel, one lane each (`halt_lanes`),
whoever placed it; what waits or was not sent yet ends too. Calling it again goes on with what stands still. What came
of each is kept, told to open pages as it goes, and gone on with until nothing stands any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import F, Q

from accounts.models import User
from brokers import push, registry
from brokers.dealing import BrokerGtt, GttStatus, StandingOrder
from brokers.domain import BrokerOrder
from brokers.errors import BrokerError, NotSupported
from brokers.models import BrokerConnection
from orders import books, calling, gtt_settling, intake, story
from orders.calling import Clients, Stopwatch
from orders.changing import CANCEL_ASKED, CANCEL_SENT
from orders.facts import Why
from orders.halt_lanes import WAITING, Asked, BookRead, GttsRead, Lane, Over, Told, Unread, ended, start
from orders.halt_models import HaltProgress, Outcome, Reach
from orders.lifecycle import ENDED, LIVE, POSSIBLY_LIVE, STANDING
from orders.models import ChildOrder, GttOrder, IntentStatus, OrderEvent, OrderIntent, Origin, Teller
from portfolio import halting
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt

logger = logging.getLogger(__name__)

GTTS, GTT_LINE = "gtt", "gtt:"
IN_DOUBT = (GttStatus.SENDING, GttStatus.UNKNOWN)
TAKEN = (Outcome.ASKED, Outcome.CANCELLED, Outcome.ENDED)
CANCELLING = (HaltLevel.CANCEL, HaltLevel.FLATTEN)
# So long whoever pulls the switch is kept waiting by brokers that do not answer; what is left is gone on with.
LANE_SECONDS = 12.0
GRACE_SECONDS = 5.0
# Between two rounds at one connection: soon, then as long as it takes.
WAITS = (2, 5, 10, 20, 40, 60)
HALTED = Why(
    code="halted",
    words="Trading was stopped before any of it was sent.",
    remedy="Re-arm the kill switch, with a reason, and place it again.",
)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What pulling came to. `in_flight`: orders that were on their way; None: it cannot be told."""

    row: TradingHalt
    in_flight: int | None
    progress: tuple[HaltProgress, ...]


def pull(
    user: User,
    *,
    level: HaltLevel,
    reason: str,
    by: User | None,
    now: datetime,
    cause: str = "person",
    clients: Clients = calling.clients_to_end,
    seconds: float = LANE_SECONDS,
) -> Stopped:
    """Pull the kill switch. When this returns no new order leaves, and what was open has been asked to end.

    Not within a transaction. Again is harmless: it raises the level, and goes on with what stands.
    """
    watch = Stopwatch.started(now)
    pulled = halting.halt(user, kind=HaltKind.KILL, level=level, cause=cause, reason=reason, by=by, now=now)
    in_flight = None if pulled.in_flight is None else len(pulled.in_flight)
    if pulled.row.level not in CANCELLING:
        end_unsent(user, watch.now())
        return Stopped(pulled.row, in_flight, ())
    progress = cancel_everything(pulled.row, now=watch.now(), clients=clients, seconds=seconds)
    return Stopped(pulled.row, in_flight, tuple(progress))


def cancel_everything(
    halt: TradingHalt,
    *,
    now: datetime,
    clients: Clients = calling.clients_to_end,
    seconds: float = LANE_SECONDS,
    only: Collection[UUID] | None = None,
    spares_closing: bool = False,
) -> list[HaltProgress]:
    """Ask every broker to end what stands there, at once, and write down what each says as it says it.

    The lanes are started before anything else is written, so that a slow database holds up no cancellation. `only`:
    these connections. `spares_closing`: not what closes positions since the switch was pulled.
    """
    run = _Run(halt, Stopwatch.started(now))
    run.begin(clients, seconds, only, spares_closing)
    run.wish()
    run.hear(until=run.watch.at + seconds + GRACE_SECONDS)
    end_unsent(halt.user, run.watch.now(), halt)
    return run.settle()


class _Run:
    """One round over some connections."""

    def __init__(self, halt: TradingHalt, watch: Stopwatch) -> None:
        self.halt, self.watch = halt, watch
        self.told: SimpleQueue[Told] = SimpleQueue()
        self.open: set[UUID] = set()
        self.whole: set[UUID] = set()
        self.moved: set[UUID] = set()
        self.rows: dict[UUID, HaltProgress] = {}
        self.connections: dict[UUID, BrokerConnection] = {}
        self.errors: dict[UUID, BrokerError] = {}

    # --- starting -----------------------------------------------------------------------------------------------------
    def begin(
        self, clients: Clients, seconds: float, only: Collection[UUID] | None, spares_closing: bool
    ) -> None:  # fmt: skip
        rows = BrokerConnection.objects.active().filter(user=self.halt.user_id).select_related("user")
        if only is not None:
            rows = rows.filter(pk__in=only)
        self.connections = {row.pk: row for row in rows.prefetch_related("user__broker_apps")}
        standing = ChildOrder.objects.filter(broker_connection__in=self.connections, state__in=STANDING)
        children = list(standing.exclude(broker_order_id=None).select_related("intent"))
        spared = [each for each in children if spares_closing and self._closes(each)]
        gtts = self._known_gtts()
        asked = clients(list(self.connections.values()), self.watch.began)
        lanes = [
            Lane(
                connection_id=key,
                slug=row.broker_type,
                client=asked[key],
                known={
                    str(child.broker_order_id): StandingOrder(
                        broker_order_id=str(child.broker_order_id),
                        request=calling.request_of(child),
                        filled_quantity=child.filled_quantity,
                    )
                    for child in children
                    if child.broker_connection_id == key and child not in spared and child.traded
                },
                known_gtts={each.broker_gtt_id: each for each in gtts.get(key, ())},
                has_gtts=GTTS in registry.load(row.broker_type).spec.capabilities.features,
                spared=frozenset(name for each in spared for name in (str(each.broker_order_id), each.tag)),
            )
            for key, row in self.connections.items()
        ]
        self.open = set(self.connections)
        start(lanes, self.told, seconds)

    def _known_gtts(self) -> Mapping[UUID, Sequence[BrokerGtt]]:
        """What waits at brokers as far as we know; one whose end was taken is asked again only if the list shows it."""
        lines = dict(HaltProgress.objects.filter(halt=self.halt).values_list("broker_connection", "lines"))
        rows = GttOrder.objects.filter(broker_connection__in=self.connections, status__in=WAITING)
        found: dict[UUID, list[BrokerGtt]] = {}
        for row in rows.exclude(broker_gtt_id=None).select_related("instrument"):
            key = row.broker_connection_id
            line = lines.get(key, {}).get(f"{GTT_LINE}{row.broker_gtt_id}") if key else None
            if key is None or (line is not None and line["outcome"] in TAKEN):
                continue
            try:
                found.setdefault(key, []).append(gtt_settling.as_at_broker(row))
            except NotSupported:  # it is not listed any more, by whose name it would be asked for: the list shows it
                logger.warning("Halt %s: GTT %s has no name at its broker any more", self.halt.pk, row.pk)
        return found

    def _closes(self, child: ChildOrder) -> bool:
        return child.intent.origin == Origin.SQUARE_OFF and child.sent_at >= self.halt.set_at

    def wish(self) -> None:
        """Write down that all of it shall end, so that whatever is found later is cancelled then."""
        now = self.watch.now()
        for key, connection in self.connections.items():
            row, is_new = HaltProgress.objects.get_or_create(
                halt=self.halt,
                broker_connection=connection,
                defaults={
                    **{"broker_type": connection.broker_type, "state": Reach.ASKING, "rounds": 1},
                    **{"begun_at": now, "updated_at": now, "next_at": now + timedelta(seconds=WAITS[-1])},
                },
            )
            if not is_new:
                row.state, row.rounds, row.updated_at = Reach.ASKING, row.rounds + 1, now
                row.next_at = now + timedelta(seconds=WAITS[-1])
                row.save(update_fields=["state", "rounds", "updated_at", "next_at"])
            self.rows[key] = row
        wish_for_ends(self.halt, self.connections, now, spares=self._closes if self._is_later() else None)

    def _is_later(self) -> bool:
        return any(row.rounds > 1 for row in self.rows.values())

    # --- hearing ------------------------------------------------------------------------------------------------------
    def hear(self, until: float) -> None:
        """Take what the lanes tell until all have ended, or that moment: no lane is waited for by another."""
        while self.open:
            batch = self._batch(until)
            if not batch:
                logger.warning("Halt %s: %d lanes have not ended in time", self.halt.pk, len(self.open))
                return
            for each in batch:
                self._take(each)
            self._save({each.connection_id for each in batch})

    def _batch(self, end: float) -> list[Told]:
        """Everything that was told; waits for the first of it, until then."""
        found: list[Told] = []
        try:
            found.append(self.told.get(timeout=max(0.0, end - time.monotonic())))
            while True:
                found.append(self.told.get_nowait())
        except Empty:
            return found

    def _take(self, told: Told) -> None:
        key = told.connection_id
        if isinstance(told, Over):
            self.open.discard(key)
            if told.is_whole:
                self.whole.add(key)
        elif isinstance(told, Unread):
            self.errors[key] = told.error
        elif isinstance(told, BookRead):
            self._book(told)
        elif isinstance(told, GttsRead):
            self._gtts(told)
        else:
            self._asked(told)

    def _book(self, told: BookRead) -> None:
        """Our rows become what the book says, and so do the lines of this halt."""
        now, connection = self.watch.now(), self.connections[told.connection_id]
        books.take(connection.pk, told.orders.items, teller=Teller.BOOK, now=now)
        rows: dict[str, BrokerOrder] = {order.broker_order_id: order for order in told.orders.items}
        lines = self.rows[told.connection_id].lines
        for order_id, line in lines.items():
            order = rows.get(order_id)
            outcome = None if order is None else ended(order)
            if outcome is not None and line["outcome"] != Outcome.CANCELLED:
                line |= {"outcome": outcome.value, "code": None, "reason": None}

    def _gtts(self, told: GttsRead) -> None:
        """The same of what waits for its price: that its end was taken proves nothing, the list read after it does."""
        now, connection = self.watch.now(), self.connections[told.connection_id]
        gtt_settling.settle(connection, told.gtts, now)
        if not told.is_last:
            return
        rows = {each.broker_gtt_id: each.status for each in told.gtts.items}
        lines = self.rows[told.connection_id].lines
        for key, line in lines.items():
            gtt_id = key.removeprefix(GTT_LINE)
            if key.startswith(GTT_LINE) and not (told.gtts.problems and gtt_id not in rows):
                line |= _of_list(line, rows.get(gtt_id))
        gone = [key.removeprefix(GTT_LINE) for key, line in lines.items() if line["outcome"] == Outcome.CANCELLED]
        for row in GttOrder.objects.filter(
            broker_connection=connection, broker_gtt_id__in=set(gone) - rows.keys(), status__in=gtt_settling.OPEN
        ):
            gtt_settling.became(row, GttStatus.CANCELLED, now, only=Q(status=row.status))

    def _asked(self, told: Asked) -> None:
        now = self.watch.now()
        if told.outcome is Outcome.ASKED:
            self.moved.add(told.connection_id)
        child = None
        if told.gtt:
            gtts = GttOrder.objects.filter(broker_connection=told.connection_id, broker_gtt_id=told.key)
            is_ours = gtts.exists()
        else:
            child = ChildOrder.objects.filter(
                broker_connection=told.connection_id, broker_order_id=told.key
            ).first()  # fmt: skip
            is_ours = child is not None
        error = told.error
        self.rows[told.connection_id].lines[f"{GTT_LINE}{told.key}" if told.gtt else told.key] = {
            "outcome": told.outcome.value,
            "tradingsymbol": told.tradingsymbol,
            "side": told.side,
            "quantity": told.quantity,
            "is_ours": is_ours,
            "code": error.code if isinstance(error, BrokerError) else None if error is None else "internal_error",
            "reason": (error.reason or error.message) if isinstance(error, BrokerError) else None,
        }
        if child is not None:
            _note_asked(child, told, now)

    def _save(self, keys: Collection[UUID]) -> None:
        now = self.watch.now()
        for key in keys:
            row = self.rows[key]
            row.updated_at = now
            row.save(update_fields=["lines", "updated_at"])
        announce(self.halt, list(self.rows.values()))

    # --- settling -----------------------------------------------------------------------------------------------------
    def settle(self) -> list[HaltProgress]:
        """What each connection has come to, and when it is gone on with."""
        now = self.watch.now()
        doubts = list(
            ChildOrder.objects.filter(broker_connection__in=self.rows, state__in=POSSIBLY_LIVE).values_list(
                "broker_connection", flat=True
            )
        )
        lost = GttOrder.objects.filter(broker_connection__in=self.rows, status__in=IN_DOUBT, broker_gtt_id=None)
        doubts += lost.values_list("broker_connection", flat=True)
        for key, row in self.rows.items():
            row.in_doubt = doubts.count(key)
            row.state = self._state(key, row)
            error = self.errors.get(key) if key not in self.whole else None
            row.reason_code = error.code[:60] if error else ""
            row.reason = f"{error.message} {error.user_action}"[:300] if error else ""
            settled = row.state in (Reach.SETTLED, Reach.CLOSING)
            flattens = self.halt.level == HaltLevel.FLATTEN
            wait = WAITS[0 if self._was_cut_short(key, row) else min(row.rounds, len(WAITS)) - 1]
            row.next_at = None if settled and not flattens else now + timedelta(seconds=wait)
            row.updated_at = now
            row.save()
        announce(self.halt, list(self.rows.values()))
        return list(self.rows.values())

    def _was_cut_short(self, key: UUID, row: HaltProgress) -> bool:
        """Whether it got on, and had no time or budget for the rest: a large book is gone on with at once."""
        left = any(line["outcome"] == Outcome.NOT_ASKED for line in row.lines.values())
        return left and key in self.moved

    def _waits(self, key: UUID, row: HaltProgress) -> bool:
        """Whether something of ours waits there for its price, or may; one that nothing can prove any more does not."""
        ended = [name.removeprefix(GTT_LINE) for name, line in row.lines.items() if line["outcome"] == Outcome.ENDED]
        rows = GttOrder.objects.filter(broker_connection=key, status__in=gtt_settling.OPEN)
        provable = Q(created_at__gt=self.watch.now() - gtt_settling.PROVES_WITHIN)
        known = Q(broker_gtt_id__isnull=False) & ~Q(broker_gtt_id__in=ended)
        return rows.filter(known | (Q(broker_gtt_id=None) & provable)).exists()

    def _state(self, key: UUID, row: HaltProgress) -> Reach:
        if key not in self.whole:
            return Reach.UNREACHABLE if key in self.errors or key in self.open else Reach.OPEN
        stands = any(line["outcome"] not in (Outcome.CANCELLED, Outcome.ENDED) for line in row.lines.values())
        ours = ChildOrder.objects.filter(broker_connection=key, state__in=LIVE).select_related("intent")
        left = [child for child in ours if not self._closes(child)]
        if stands or left or self._waits(key, row):
            return Reach.OPEN
        return Reach.CLOSING if self.halt.level == HaltLevel.FLATTEN else Reach.SETTLED


def _of_list(line: Mapping[str, Any], status: GttStatus | None) -> Mapping[str, Any]:
    """What the list, read after it was asked to end, says of one that waited; None: it has none of it.

    One that the broker refused to end and does not list has ended before: what it said is kept.
    """
    settled = {"code": None, "reason": None}
    match line["outcome"], status:
        case (Outcome.CANCELLED | Outcome.ENDED, None) | (_, GttStatus.ACTIVE | GttStatus.UNKNOWN):
            return {}
        case Outcome.ASKED, None | GttStatus.CANCELLED:
            return settled | {"outcome": Outcome.CANCELLED.value}
        case (
            Outcome.NOT_ASKED | Outcome.UNKNOWN,
            None,
        ):  # lists may not reach back so far: ours is asked to end by its id
            return {} if line["is_ours"] else settled | {"outcome": Outcome.ENDED.value}
        case Outcome.REFUSED, None:
            return {"outcome": Outcome.ENDED.value}
        case _, GttStatus.CANCELLED:
            return settled | {"outcome": Outcome.CANCELLED.value}
        case _:
            return settled | {"outcome": Outcome.ENDED.value}


def _note_asked(child: ChildOrder, told: Asked, now: datetime) -> None:
    """The story of an order tells of its cancellation as of any other; the book has the last word."""
    error = told.error
    code = {Outcome.ASKED: "taken", Outcome.REFUSED: "refused", Outcome.NOT_ASKED: "not_sent"}.get(
        told.outcome, "unknown"
    )
    details: dict[str, Any] = {}
    if isinstance(error, BrokerError):
        details = {"error_code": error.code, "reason": error.reason or error.message}
    with transaction.atomic():
        rows = ChildOrder.objects.filter(pk=child.pk)
        rows.select_for_update(no_key=True).get()
        if told.outcome is not Outcome.NOT_ASKED:
            story.note(child.intent_id, CANCEL_SENT, teller=Teller.TRADER, now=now, child_id=child.pk)
        if told.outcome in (Outcome.REFUSED, Outcome.NOT_ASKED):
            rows.filter(state__in=STANDING).update(cancel_asked_at=None, version=F("version") + 1)
        rows.filter(state__in=STANDING).update(reconcile_due_at=now)
        story.note(child.intent_id, f"cancel_{code}", teller=Teller.CALL, now=now, child_id=child.pk, **details)


# --- what shall end ---------------------------------------------------------------------------------------------------
@transaction.atomic
def wish_for_ends(
    halt: TradingHalt, connections: Collection[UUID], now: datetime, *, spares: Any = None
) -> int:  # fmt: skip
    """Write down of every order that is open, or may be, that it shall end; and of its intent that nothing more goes.

    Children are locked before their intents. What nobody knows of now is cancelled when it is found. Returns how many.
    """
    rows = ChildOrder.objects.filter(intent__user=halt.user_id, state__in=LIVE, cancel_asked_at=None)
    here = Q(broker_connection__in=list(connections)) | Q(broker_connection=None)
    children = list(
        rows.filter(here).select_related("intent").select_for_update(no_key=True, of=("self",)).order_by("pk")
    )
    children = [child for child in children if spares is None or not spares(child)]
    ChildOrder.objects.filter(pk__in=[child.pk for child in children]).update(
        cancel_asked_at=now, version=F("version") + 1
    )
    asked = OrderEvent.objects.filter(code=CANCEL_ASKED, child=None).values("intent")
    working = OrderIntent.objects.filter(user=halt.user_id, status=IntentStatus.WORKING).exclude(pk__in=asked)
    intents = [
        intent
        for intent in working.select_for_update(no_key=True).order_by("pk")
        if not (intent.origin == Origin.SQUARE_OFF and spares is not None and intent.created_at >= halt.set_at)
    ]
    told = {"halt": halt.pk}
    OrderEvent.objects.bulk_create(
        [
            *(_asked_event(intent.pk, None, now, told) for intent in intents),
            *(_asked_event(child.intent_id, child.pk, now, told | {"to_move": False}) for child in children),
        ]
    )
    return len(children)


def _asked_event(intent_id: UUID, child_id: UUID | None, now: datetime, details: dict[str, Any]) -> OrderEvent:
    return OrderEvent(
        intent_id=intent_id, child_id=child_id, at=now, teller=Teller.TRADER, code=CANCEL_ASKED, details=details
    )  # fmt: skip


def end_unsent(user: User, now: datetime, halt: TradingHalt | None = None) -> int:
    """End what waits for approval, or was taken in and not sent yet. What closes positions under a halt goes on."""
    statuses = (IntentStatus.AWAITING_APPROVAL, IntentStatus.WORKING)
    rows = OrderIntent.objects.filter(user=user, status__in=statuses, children=None)
    if halt is None:  # what waits for a person may wait on: it is not let through
        rows = rows.filter(status=IntentStatus.WORKING)
    elif halt.level == HaltLevel.FLATTEN:
        rows = rows.exclude(origin=Origin.SQUARE_OFF, created_at__gte=halt.set_at)
    count = sum(intake.refuse_unsent(row, HALTED, IntentStatus.NOT_PLACED, now) for row in rows)
    over = OrderIntent.objects.filter(user=user, status=IntentStatus.WORKING, children__state__in=ENDED)
    for intent_id in over.exclude(children__state__in=LIVE).values_list("pk", flat=True).distinct():
        with transaction.atomic():
            story.settle(intent_id, now=now)
    return count


# --- telling ----------------------------------------------------------------------------------------------------------
def announce(halt: TradingHalt, progress: Sequence[HaltProgress]) -> None:
    """Tell open pages how far it has come."""
    data = msgspec.json.encode(halting.plain(halt) | {"progress": [plain(row) for row in progress]}).decode()
    transaction.on_commit(lambda: push.publish_json(halt.user_id, halting.KIND, data, key=str(halt.pk)))


def plain(row: HaltProgress) -> dict[str, Any]:
    """One connection's progress. `left` are the orders that stand, or may stand, there still, with the reason."""
    connection = row.broker_connection
    left = (Outcome.ASKED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.NOT_ASKED)
    return {
        "connection_id": str(connection.pk) if connection else None,
        "broker_type": row.broker_type,
        "broker_name": registry.load(row.broker_type).spec.name,
        "state": row.state,
        "words": row.get_state_display(),
        "rounds": row.rounds,
        "counts": row.counted(),
        "in_doubt": row.in_doubt,
        "left": [
            {"broker_order_id": key, **line} for key, line in row.lines.items() if line["outcome"] in left
        ][:100],
        "positions": list(row.positions.values()),
        "reason_code": row.reason_code or None,
        "reason": row.reason or None,
        "begun_at": row.begun_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }  # fmt: skip
