"""What was wanted, why it went where it went, what was sent, and what came of it.

An `OrderIntent` is what the trader asked for; a `RoutingDecision` says where it goes and why, with all that it was made
from; a `ChildOrder` is one order at one broker; an `OrderEvent` is one line of their story. Rows outlive the connection
they went over, and are kept as records.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from brokers.dealing import GttKind, GttStatus
from brokers.domain import Exchange, OrderStatus, OrderType, Product, Side, Validity
from brokers.models import BrokerConnection, broker_choices
from market.models import Instrument, choices
from orders import charge_models, halt_models  # noqa: F401 - Django finds a room's rows by this module
from orders.lifecycle import LIVE, State


def money(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=20, decimal_places=4, **options)


class Origin(models.TextChoices):
    """How an intent was born. Every one of them takes the same way in."""

    ORDER = "ORDER", "An order"
    BASKET = "BASKET", "One order of a basket"
    COPY = "COPY", "The same order at several accounts"
    SQUARE_OFF = "SQUARE_OFF", "A position that is closed"
    HEDGE = "HEDGE", "A hedge, confirmed by a person"


class IntentStatus(models.TextChoices):
    AWAITING_APPROVAL = "AWAITING_APPROVAL", "Waits for approval"
    DECLINED = "DECLINED", "Was not approved"
    REFUSED = "REFUSED", "Could not be routed, or breaks a rule"
    WORKING = "WORKING", "At the brokers"
    FILLED = "FILLED", "Filled"
    PARTIALLY_FILLED = "PARTIALLY_FILLED", "Ended, filled in part"
    CANCELLED = "CANCELLED", "Ended without a fill: cancelled"
    REJECTED = "REJECTED", "Ended without a fill: rejected by the broker"
    EXPIRED = "EXPIRED", "Ended without a fill: expired"
    NOT_PLACED = "NOT_PLACED", "Ended without a fill: no broker had it"


class OrderGroup(models.Model):
    """Orders that were asked for in one: a basket, or one order for several accounts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="order_groups")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "order_groups"
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return f"{self.origin} {self.pk}"


class OrderIntent(models.Model):
    """What a trader wants, in units and INR. It may go to `exchanges` and `connection_ids` alone (none of these: any).

    `market_price` is the last price when it was asked for. Past `valid_until` nothing of it moves to another broker.
    `unsent_quantity`: what no child was made for, because the routing left it, or sending stopped before it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="order_intents")
    group = models.ForeignKey(OrderGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="intents")
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.ORDER)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    side = models.CharField(max_length=4, choices=choices(Side))
    order_type = models.CharField(max_length=6, choices=choices(OrderType))
    product = models.CharField(max_length=4, choices=choices(Product))
    validity = models.CharField(max_length=3, choices=choices(Validity))
    quantity = money()
    price = money(null=True, blank=True)
    trigger_price = money(null=True, blank=True)
    exchanges = models.JSONField(default=list)
    connection_ids = models.JSONField(default=list, blank=True)
    market_price = money(null=True, blank=True)
    created_at = models.DateTimeField()
    valid_until = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=17, choices=IntentStatus.choices)
    status_since = models.DateTimeField()
    reason_code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    unsent_quantity = money(default=0)
    approval_due_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    version = models.BigIntegerField(default=0)

    class Meta:
        db_table = "order_intents"
        ordering = ["-created_at", "id"]
        constraints = [models.CheckConstraint(condition=Q(quantity__gt=0), name="intent_quantity_is_positive")]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="idx_intents_user"),
            models.Index(fields=["status", "approval_due_at"], name="idx_intents_status"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity.normalize():f} {self.instrument}"


class IdempotencyKey(models.Model):
    """A key that was used, for ever: the same key and the same body answer the same intent, group or GTT."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=100)
    request_hash = models.CharField(max_length=64)
    intent = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, null=True, related_name="+")
    group = models.ForeignKey(OrderGroup, on_delete=models.PROTECT, null=True, related_name="+")
    gtt = models.ForeignKey("GttOrder", on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "order_idempotency_keys"
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="uniq_idempotency_key")]

    def __str__(self) -> str:
        return self.key


class RoutingDecision(models.Model):
    """Where an order goes and why: the whole problem and the whole answer, so that it can be made again.

    An intent has one from the start, and one more for each failover.
    """

    intent = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="decisions")
    made_at = models.DateTimeField()
    problem = models.JSONField()
    answer = models.JSONField()
    solver = models.CharField(max_length=40)
    microseconds = models.PositiveIntegerField()

    class Meta:
        db_table = "order_routing_decisions"
        ordering = ["made_at", "id"]

    def __str__(self) -> str:
        return f"Decision {self.pk}"


class ChildOrder(models.Model):
    """One order at one broker: sent at most once. A second try is another child, linked by `replaces`.

    `state` is one of `lifecycle.State`. `traded` holds the broker's names (`dealing.Traded`). `request_hash` is that of
    the request as it went out. `reconcile_due_at`: when the broker's book is to be asked next; `absences` counts the
    whole readings of it since `unknown_since` in which the order was not found, the first of them at `first_absent_at`.
    `explained_at`: when its owner was told that it is not known.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    intent = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="children")
    decision = models.ForeignKey(RoutingDecision, on_delete=models.PROTECT, related_name="children")
    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.SET_NULL, null=True, related_name="child_orders", db_index=False
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    number = models.PositiveIntegerField()
    replaces = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaced_by")
    exchange = models.CharField(max_length=3, choices=choices(Exchange))
    traded = models.JSONField()
    side = models.CharField(max_length=4, choices=choices(Side))
    order_type = models.CharField(max_length=6, choices=choices(OrderType))
    product = models.CharField(max_length=4, choices=choices(Product))
    validity = models.CharField(max_length=3, choices=choices(Validity))
    quantity = money()
    price = money(null=True, blank=True)
    trigger_price = money(null=True, blank=True)
    tag = models.CharField(max_length=19, unique=True)
    request_hash = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=choices(State))
    state_since = models.DateTimeField()
    broker_order_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - null: not known
    exchange_order_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    filled_quantity = money(default=0)
    average_price = models.DecimalField(max_digits=24, decimal_places=8, null=True, blank=True)
    reason_code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    changes = models.PositiveSmallIntegerField(default=0)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)
    unknown_since = models.DateTimeField(null=True, blank=True)
    reconcile_due_at = models.DateTimeField(null=True, blank=True)
    reconcile_attempts = models.PositiveSmallIntegerField(default=0)
    absences = models.PositiveSmallIntegerField(default=0)
    first_absent_at = models.DateTimeField(null=True, blank=True)
    explained_at = models.DateTimeField(null=True, blank=True)
    version = models.BigIntegerField(default=0)

    class Meta:
        db_table = "order_children"
        ordering = ["intent", "number"]
        constraints = [
            models.UniqueConstraint(fields=["intent", "number"], name="uniq_child_number"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="child_quantity_is_positive"),
            models.CheckConstraint(
                condition=Q(filled_quantity__gte=0) & Q(filled_quantity__lte=models.F("quantity")),
                name="child_fill_is_within_quantity",
            ),
            models.CheckConstraint(condition=Q(state__in=list(State)), name="child_state_is_known"),
        ]
        indexes = [
            models.Index(fields=["broker_connection", "broker_order_id"], name="idx_children_broker_order"),
            models.Index(
                fields=["broker_connection", "state"], condition=Q(state__in=sorted(LIVE)), name="idx_children_live"
            ),
            models.Index(fields=["reconcile_due_at"], name="idx_children_reconcile_due"),
        ]

    def __str__(self) -> str:
        return f"{self.broker_type} {self.tag}"


class Fill(models.Model):
    """One fill of a child, as the broker's trade book tells it."""

    child = models.ForeignKey(ChildOrder, on_delete=models.PROTECT, related_name="fills")
    trade_id = models.CharField(max_length=64)
    quantity = money()
    price = money()
    traded_at = models.DateTimeField(null=True, blank=True)
    noted_at = models.DateTimeField()

    class Meta:
        db_table = "order_fills"
        ordering = ["noted_at", "id"]
        constraints = [models.UniqueConstraint(fields=["child", "trade_id"], name="uniq_fill")]

    def __str__(self) -> str:
        return self.trade_id


class Teller(models.TextChoices):
    """Who told of an event."""

    TRADER = "TRADER", "The trader"
    ROUTER = "ROUTER", "The router"
    CALL = "CALL", "The broker's answer to the call"
    STREAM = "STREAM", "The broker's stream"
    POSTBACK = "POSTBACK", "The broker's book, after a postback"
    BOOK = "BOOK", "The broker's book"
    CLOCK = "CLOCK", "The time"


class OrderEvent(models.Model):
    """One line of an order's story; nothing is ever changed in it. `details` holds no secret."""

    intent = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="events", db_index=False)
    child = models.ForeignKey(ChildOrder, on_delete=models.PROTECT, null=True, related_name="events")
    at = models.DateTimeField()
    teller = models.CharField(max_length=8, choices=Teller.choices)
    code = models.CharField(max_length=40)
    from_state = models.CharField(max_length=17, blank=True)
    to_state = models.CharField(max_length=17, blank=True)
    details = models.JSONField(default=dict)

    class Meta:
        db_table = "order_events"
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["intent", "at"], name="idx_order_events_intent")]

    def __str__(self) -> str:
        return self.code


class SeenOrder(models.Model):
    """An order as a broker's book last showed it, whoever placed it; of ours, with the `child` it is.

    Quantities are as the broker counts them: `orders.units` makes units of them.
    """

    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.CASCADE, related_name="seen_orders", db_index=False
    )
    day = models.DateField()
    broker_order_id = models.CharField(max_length=64)
    child = models.ForeignKey(ChildOrder, on_delete=models.SET_NULL, null=True, related_name="+")
    exchange = models.CharField(max_length=3, choices=choices(Exchange))
    tradingsymbol = models.CharField(max_length=100)
    broker_token = models.CharField(max_length=100)
    side = models.CharField(max_length=4, choices=choices(Side))
    order_type = models.CharField(max_length=6, choices=choices(OrderType))
    product = models.CharField(max_length=4, choices=choices(Product))
    validity = models.CharField(max_length=3, choices=choices(Validity))
    quantity = money()
    filled_quantity = money()
    price = money(null=True, blank=True)
    trigger_price = money(null=True, blank=True)
    average_price = models.DecimalField(max_digits=24, decimal_places=8, null=True, blank=True)
    status = models.CharField(max_length=16, choices=choices(OrderStatus))
    status_message = models.TextField(blank=True)
    tag = models.CharField(max_length=64, blank=True)
    placed_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "order_seen_orders"
        ordering = ["-placed_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["broker_connection", "day", "broker_order_id"], name="uniq_seen_order")
        ]

    def __str__(self) -> str:
        return self.broker_order_id


class GttOrder(models.Model):
    """An order that waits at a broker for its price. `legs`: `[{"trigger_price", "price", "quantity"}]`, as strings.

    `checks`: the checks before an order, a run for each leg. `tag` is our label on it, written before the call.
    `settle_due_at`: when the broker's list is to be asked next, as
    long as nobody knows what became of it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="gtt_orders")
    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.SET_NULL, null=True, related_name="gtt_orders"
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=6, choices=choices(GttKind))
    side = models.CharField(max_length=4, choices=choices(Side))
    product = models.CharField(max_length=4, choices=choices(Product))
    legs = models.JSONField()
    checks = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=10, choices=choices(GttStatus))
    status_since = models.DateTimeField()
    broker_gtt_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - null: not known
    tag = models.CharField(max_length=19, blank=True)
    settle_due_at = models.DateTimeField(null=True, blank=True)
    reason_code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "order_gtts"
        ordering = ["-created_at", "id"]
        indexes = [models.Index(fields=["settle_due_at"], name="idx_gtts_settle_due")]

    def __str__(self) -> str:
        return f"GTT {self.side} {self.instrument}"


class OrderSettings(models.Model):
    """What its owner chose for routing and approval. Null: the house's default.

    `approval_above`: orders of a larger value wait for approval; null: none does. Those of `approval_products`
    always do. `broker_order`: connections by the
    owner's preference, the last tie-break. `sells_unsettled`: shares bought yesterday may be sold (BTST).
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="order_settings"
    )
    approval_above = money(null=True, blank=True)
    approval_products = models.JSONField(default=list, blank=True)
    approval_minutes = models.PositiveSmallIntegerField(default=10)
    split_penalty = money(default=5)
    sells_unsettled = models.BooleanField(default=False)
    minimises_tax = models.BooleanField(default=False)
    broker_order = models.JSONField(default=list, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "order_settings"
        verbose_name_plural = "order settings"

    def __str__(self) -> str:
        return f"Order settings of {self.user}"
