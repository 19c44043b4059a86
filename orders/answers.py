"""What the order API answers. Amounts are strings without trailing zeros; null is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from brokers.dealing import GttKind, GttStatus
from brokers.domain import Exchange, OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import BrokerError
from brokers.serializers import Instant
from market.serializers import Exact, words_of
from orders import costing, explaining
from orders.charges import COMPONENTS, rounded
from orders.checks.words import Verdict
from orders.decisions import Decision
from orders.facts import plain
from orders.lifecycle import State
from orders.models import (
    ChildOrder,
    IntentStatus,
    OrderIntent,
    Origin,
    RoutingDecision,
    Teller,
)

Text = serializers.CharField


def maybe(help_text: str = "") -> Text:
    return Text(allow_null=True, help_text=help_text)


# --- a decision -------------------------------------------------------------------------------------------------------
class OrderReason(serializers.Serializer[Any]):
    code = Text(help_text="Stable: programs may decide on it.")
    words = Text()
    remedy = Text(allow_blank=True)


class PlannedAnswer(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    broker_type = Text()
    exchange = serializers.ChoiceField(words_of(Exchange))
    side = serializers.ChoiceField(words_of(Side))
    order_type = serializers.ChoiceField(words_of(OrderType))
    product = serializers.ChoiceField(words_of(Product))
    validity = serializers.ChoiceField(words_of(Validity))
    quantity = Text()
    price = maybe("The limit that it is sent with.")
    trigger_price = maybe()


class ExcludedAnswer(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    broker_type = Text()
    name = Text()
    code = Text()
    words = Text()
    remedy = Text(allow_blank=True)


class CostAnswer(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    broker_type = Text()
    exchange = serializers.ChoiceField(words_of(Exchange))
    quantity = Text()
    components = serializers.DictField(child=Text(), help_text=f"Of {', '.join(COMPONENTS)}, in INR, to paise.")
    total = Text()


class NextBestAnswer(serializers.Serializer[Any]):
    connection_ids = serializers.ListField(child=serializers.UUIDField())
    words = Text()
    difference = maybe("INR that it would be worse; null: less of it could go there.")


class FoundAnswer(OrderReason):
    check = serializers.IntegerField()
    verdict = serializers.ChoiceField([each.value for each in Verdict])


class CheckAnswer(serializers.Serializer[Any]):
    """One of the twelve checks before an order, and all that it saw; docs/risk.md has their table."""

    number = serializers.IntegerField(min_value=1, max_value=12)
    name = Text()
    verdict = serializers.ChoiceField(
        [each.value for each in Verdict],
        help_text="The worst of its findings. DENY stops the order; CONFIRM has it wait for your approval; NOT_RUN: "
        "nothing would be sent, so that there was nothing to look at.",
    )
    findings = FoundAnswer(many=True)


class RoutingAnswer(serializers.Serializer[Any]):
    """What was decided: chosen, why, who was left out and why, what it costs, and the next best."""

    children = PlannedAnswer(many=True, help_text="The orders, in the order in which they are sent.")
    why = Text(allow_blank=True)
    refusals = OrderReason(many=True, help_text="What stops it; nothing is sent then.")
    warnings = OrderReason(many=True)
    excluded = ExcludedAnswer(many=True)
    unrouted = Text(help_text="Units that nobody can take.")
    held_for_reconciliation = Text(help_text="Units of this order that may stand at a broker already.")
    value = maybe("INR, at the worst price that it may get.")
    costs = CostAnswer(many=True, help_text="Estimates by broker.")
    total_charges = maybe("The estimate in all.")
    health_penalty = Text()
    tax = Text()
    split_penalty = Text()
    next_best = NextBestAnswer(allow_null=True)
    needs_approval = OrderReason(allow_null=True)
    ages = serializers.DictField(
        child=serializers.IntegerField(allow_null=True),
        help_text="How old what it was decided by is, in seconds: `account:{connection}`, `price:{exchange}`.",
    )
    solver = Text(allow_blank=True)
    checks = CheckAnswer(
        many=True,
        required=False,
        help_text="All twelve checks before an order, in their order. Absent: it was decided before there were any.",
    )


class PreviewAnswer(serializers.Serializer[Any]):
    decision = RoutingAnswer()


class PreviewsAnswer(serializers.Serializer[Any]):
    decisions = RoutingAnswer(many=True)
    total_charges = maybe("All estimates together; null where one is not known.")
    is_sent = serializers.BooleanField(help_text="Whether all would go. If one is refused, none goes.")


class NotedCosts(serializers.Serializer[Any]):
    """One child: what it was estimated to cost by its fills, and what the broker's contract note says."""

    child = serializers.UUIDField()
    broker_type = Text()
    estimate = serializers.DictField(child=Text(), allow_null=True)
    note = serializers.DictField(child=Text(), allow_null=True, help_text="Null: it has not come yet.")
    total = maybe("The note's where there is one, else the estimate's.")


class DecisionAnswer(serializers.Serializer[Any]):
    made_at = Instant()
    number = serializers.IntegerField(
        help_text="Of `decisions`: an order has one more for each move to another broker."
    )
    decisions = serializers.IntegerField()
    microseconds = serializers.IntegerField()
    decision = RoutingAnswer()
    actual = NotedCosts(many=True)


def preview(decision: Decision) -> dict[str, Any]:
    answer: dict[str, Any] = plain(decision.answer)
    return answer


def previews(decisions: Iterable[Decision]) -> dict[str, Any]:
    each = list(decisions)
    charges = [one.answer.total_charges for one in each]
    known = [one for one in charges if one is not None]
    return {
        "decisions": [preview(one) for one in each],
        "total_charges": str(sum(known, Decimal(0))) if len(known) == len(charges) else None,
        "is_sent": all(one.answer.is_whole for one in each),
    }


def decision_of(intent: OrderIntent) -> dict[str, Any] | None:
    """The newest decision of an order, as it was answered then, and what it cost in the end."""
    rows: list[RoutingDecision] = list(intent.decisions.order_by("made_at", "id"))
    if not rows:
        return None
    last = rows[-1]
    return {
        "made_at": last.made_at,
        "number": len(rows),
        "decisions": len(rows),
        "microseconds": last.microseconds,
        "decision": last.answer,
        "actual": [_costs(child) for child in intent.children.select_related("intent__instrument")],
    }


def _costs(child: ChildOrder) -> dict[str, Any]:
    known = costing.costs_of(child)
    shown = None if known.estimate is None else rounded(known.estimate)
    return {
        "child": child.pk,
        "broker_type": child.broker_type,
        "estimate": None if shown is None else shown.plain(),
        "note": None if known.note is None else known.note.plain(),
        "total": None if known.total is None else f"{explaining.paise(known.total):f}",
    }


# --- an order ---------------------------------------------------------------------------------------------------------
class InstrumentName(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    exchange = serializers.ChoiceField(words_of(Exchange))
    tradingsymbol = Text()


class ChildAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    connection_id = serializers.UUIDField(source="broker_connection_id", allow_null=True)
    broker_type = Text()
    exchange = serializers.ChoiceField(words_of(Exchange))
    order_type = serializers.ChoiceField(words_of(OrderType))
    quantity = Exact()
    price = Exact()
    trigger_price = Exact()
    state = serializers.ChoiceField(words_of(State))
    state_since = Instant()
    broker_order_id = maybe()
    filled_quantity = Exact()
    average_price = serializers.SerializerMethodField()
    reason_code = Text(allow_blank=True)
    reason = Text(allow_blank=True, help_text="The broker's own words, where it gave some.")
    replaces = serializers.UUIDField(source="replaces_id", allow_null=True)
    is_explained = serializers.SerializerMethodField(
        help_text="Of an UNKNOWN one: whether you were told that it cannot be settled by itself."
    )

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_average_price(self, child: ChildOrder) -> str | None:
        return None if child.average_price is None else explaining.plainly(child.average_price)

    def get_is_explained(self, child: ChildOrder) -> bool:
        return child.explained_at is not None


class OrderAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    group = serializers.UUIDField(source="group_id", allow_null=True)
    origin = serializers.ChoiceField([each.value for each in Origin])
    instrument = InstrumentName()
    side = serializers.ChoiceField(words_of(Side))
    order_type = serializers.ChoiceField(words_of(OrderType))
    product = serializers.ChoiceField(words_of(Product))
    validity = serializers.ChoiceField(words_of(Validity))
    quantity = Exact()
    filled_quantity = serializers.SerializerMethodField()
    unsent_quantity = Exact(help_text="What went to no broker.")
    price = Exact()
    trigger_price = Exact()
    created_at = Instant()
    valid_until = Instant(allow_null=True)
    status = serializers.ChoiceField([each.value for each in IntentStatus])
    status_since = Instant()
    reason_code = Text(allow_blank=True)
    reason = Text(allow_blank=True)
    approval_due_at = Instant(allow_null=True)
    has_unknown = serializers.SerializerMethodField(
        help_text="Whether a part of it may stand at a broker without anybody knowing. Nothing of that is sent again."
    )
    version = serializers.IntegerField()
    children = ChildAnswer(many=True)

    @extend_schema_field(serializers.CharField())
    def get_filled_quantity(self, intent: OrderIntent) -> str:
        return explaining.plainly(sum((child.filled_quantity for child in intent.children.all()), Decimal(0)))

    def get_has_unknown(self, intent: OrderIntent) -> bool:
        return any(child.state == State.UNKNOWN for child in intent.children.all())


class PlacedAnswer(serializers.Serializer[Any]):
    order = OrderAnswer()
    decision = RoutingAnswer(allow_null=True)


class GroupAnswer(serializers.Serializer[Any]):
    group = serializers.UUIDField()
    orders = OrderAnswer(many=True)


class OrdersAnswer(serializers.Serializer[Any]):
    orders = OrderAnswer(many=True)
    next = serializers.UUIDField(allow_null=True, help_text="Send it as `before` for the next page; null: that is all.")


class StoryLine(serializers.Serializer[Any]):
    at = Instant()
    teller = serializers.ChoiceField([each.value for each in Teller])
    code = Text()
    child = serializers.UUIDField(source="child_id", allow_null=True)
    from_state = Text(allow_blank=True)
    to_state = Text(allow_blank=True)
    details = serializers.JSONField()


class StoryAnswer(serializers.Serializer[Any]):
    events = StoryLine(many=True)


class AskedAnswer(serializers.Serializer[Any]):
    """What became of a cancellation or change at one broker; only its book tells whether it was in time."""

    child = serializers.UUIDField()
    outcome = Text(help_text="DONE, KEPT, UNKNOWN, TOO_LATE, ALREADY, or REFUSED.")
    code = maybe()
    message = maybe()
    remedy = maybe()


class ChangedAnswer(serializers.Serializer[Any]):
    order = OrderAnswer()
    asked = AskedAnswer(many=True)


def asked(answers: Mapping[Any, str | BrokerError]) -> list[dict[str, Any]]:
    return [
        {
            "child": key,
            "outcome": "REFUSED" if isinstance(each, BrokerError) else each,
            "code": each.code if isinstance(each, BrokerError) else None,
            "message": (each.reason or each.message) if isinstance(each, BrokerError) else None,
            "remedy": each.user_action if isinstance(each, BrokerError) else None,
        }
        for key, each in answers.items()
    ]


# --- books ------------------------------------------------------------------------------------------------------------
class BookSource(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    broker_type = Text()
    broker_name = Text()
    state = serializers.ChoiceField(
        ["LIVE", "STALE", "MISSING"], help_text="STALE: it could not be asked now, and its rows are from before."
    )
    as_of = serializers.DateTimeField(allow_null=True)
    age_seconds = serializers.IntegerField(allow_null=True)
    unreadable_rows = serializers.IntegerField()
    error_code = maybe()
    error_message = maybe()
    user_action = maybe()


class BookRow(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    broker_type = Text()
    broker_name = Text()
    order = serializers.UUIDField(allow_null=True, help_text="Our order that it is of; null: placed elsewhere.")
    is_ours = serializers.BooleanField()
    broker_order_id = Text(allow_blank=True)
    exchange = serializers.ChoiceField(words_of(Exchange))
    tradingsymbol = Text(allow_blank=True)
    side = serializers.ChoiceField(words_of(Side))
    product = serializers.ChoiceField(words_of(Product))
    quantity = Text()
    as_of = serializers.DateTimeField()
    stale = serializers.BooleanField()


class BookOrder(BookRow):
    order_type = serializers.ChoiceField(words_of(OrderType))
    validity = serializers.ChoiceField(words_of(Validity), allow_null=True)
    filled_quantity = Text()
    price = maybe()
    trigger_price = maybe()
    average_price = maybe()
    status = serializers.ChoiceField(words_of(OrderStatus))
    status_message = maybe()
    placed_at = serializers.DateTimeField(allow_null=True)


class BookTrade(BookRow):
    trade_id = Text()
    price = Text()
    traded_at = serializers.DateTimeField(allow_null=True)


class OrderBookAnswer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField()
    orders = BookOrder(many=True)
    sources = BookSource(many=True)


class TradeBookAnswer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField()
    trades = BookTrade(many=True)
    sources = BookSource(many=True)


# --- GTT and settings -------------------------------------------------------------------------------------------------
class LegAnswer(serializers.Serializer[Any]):
    trigger_price = Text()
    price = Text()
    quantity = Text()


class GttAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    connection_id = serializers.UUIDField(source="broker_connection_id", allow_null=True)
    broker_type = Text()
    instrument = InstrumentName()
    kind = serializers.ChoiceField(words_of(GttKind))
    side = serializers.ChoiceField(words_of(Side))
    product = serializers.ChoiceField(words_of(Product))
    legs = LegAnswer(many=True)
    status = serializers.ChoiceField(words_of(GttStatus))
    status_since = Instant()
    broker_gtt_id = maybe()
    reason_code = Text(allow_blank=True)
    reason = Text(allow_blank=True)
    checks = serializers.ListField(
        child=CheckAnswer(many=True), help_text="The checks before an order, a run of all twelve for each leg."
    )
    created_at = Instant()


class GttSource(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    error_code = maybe()
    error_message = maybe()
    user_action = maybe()


class GttsAnswer(serializers.Serializer[Any]):
    gtts = GttAnswer(many=True)
    sources = GttSource(many=True, help_text="The connections that have such orders, and what went wrong at them.")


class SettingsAnswer(serializers.Serializer[Any]):
    approval_above = Exact()
    approval_products = serializers.ListField(child=serializers.ChoiceField(words_of(Product)))
    approval_minutes = serializers.IntegerField()
    split_penalty = Exact()
    sells_unsettled = serializers.BooleanField()
    minimises_tax = serializers.BooleanField()
    broker_order = serializers.ListField(child=serializers.UUIDField())
