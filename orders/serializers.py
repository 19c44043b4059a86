"""What the order API reads. Numbers come in as strings or numbers and are exact from here on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from rest_framework import serializers

from brokers.dealing import GttKind, GttLeg
from brokers.domain import Exchange, OrderType, Product, Side, Validity
from market.serializers import words_of
from orders.facts import Wanted
from orders.gtt import WantedGtt
from orders.intake import MOST_AT_ONCE
from orders.models import IntentStatus

LARGEST_ID = 2**63 - 1
SMALLEST = Decimal("0.0001")
# What is dealt in from here. (CO and BO are old rows alone.)
GTT_PRODUCTS = [Product.CNC.value, Product.NRML.value]
INTENT_STATUSES = [each.value for each in IntentStatus]
PRODUCTS = [Product.CNC.value, Product.MIS.value, Product.NRML.value, Product.MTF.value]
VALIDITIES = [Validity.DAY.value, Validity.IOC.value]
NEEDS_PRICE = (OrderType.LIMIT, OrderType.SL)
NEEDS_TRIGGER = (OrderType.SL, OrderType.SL_M)


class Amount(serializers.DecimalField):
    """Units or INR, above zero, with four decimals at most."""

    default_error_messages = {
        "invalid": "Write it in digits, such as 1531.20.",
        "min_value": "It has to be above 0.",
        "max_digits": "It is too large.",
        "max_whole_digits": "It is too large.",
        "max_decimal_places": "It has more than four places behind the point.",
        "max_string_length": "It is too long.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=20, decimal_places=4, min_value=SMALLEST, **kwargs)


class OrderRequest(serializers.Serializer[Any]):
    instrument = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, help_text="Its id, by GET /api/v1/market/instruments."
    )
    side = serializers.ChoiceField(words_of(Side))
    order_type = serializers.ChoiceField(
        words_of(OrderType),
        help_text="MARKET and SL_M are sent as orders with a limit near the price: none may go out without protection.",
    )
    product = serializers.ChoiceField(PRODUCTS)
    validity = serializers.ChoiceField(VALIDITIES, default=Validity.DAY.value)
    quantity = Amount(help_text="Units, never lots.")
    price = Amount(required=False, allow_null=True, default=None, help_text="For LIMIT and SL.")
    trigger_price = Amount(required=False, allow_null=True, default=None, help_text="For SL and SL_M.")
    exchanges = serializers.ListField(
        child=serializers.ChoiceField(words_of(Exchange)),
        required=False,
        max_length=2,
        help_text="Where it may go; absent: to any where it is listed.",
    )
    connections = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        max_length=50,
        help_text="To which of your connections it may go; absent: to any.",
    )
    valid_until = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="After this moment nothing of it moves to another broker. Absent: today.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = OrderType(attrs["order_type"])
        wrong: dict[str, list[str]] = {}
        for name, kinds in (("price", NEEDS_PRICE), ("trigger_price", NEEDS_TRIGGER)):
            if kind in kinds and attrs[name] is None:
                wrong[name] = [f"A {kind} order needs this."]
            elif kind not in kinds and attrs[name] is not None:
                wrong[name] = [f"A {kind} order has none."]
        if wrong:
            raise serializers.ValidationError(wrong)
        return attrs


def wanted_of(data: dict[str, Any], *, quantity: Decimal | None = None, connection: UUID | None = None) -> Wanted:
    """What a validated body wants; of a copy, so much of it at this connection."""
    ids = [connection] if connection else data.get("connections", ())
    return Wanted(
        instrument_id=data["instrument"],
        side=Side(data["side"]),
        order_type=OrderType(data["order_type"]),
        product=Product(data["product"]),
        validity=Validity(data["validity"]),
        quantity=data["quantity"] if quantity is None else quantity,
        price=data["price"],
        trigger_price=data["trigger_price"],
        exchanges=tuple(dict.fromkeys(Exchange(each) for each in data.get("exchanges", ()))),
        connection_ids=tuple(dict.fromkeys(str(each) for each in ids)),
        valid_until=data["valid_until"],
    )


class PlaceRequest(OrderRequest):
    confirm_duplicate = serializers.BooleanField(
        default=False, help_text="Place it although the same order was placed a moment ago."
    )


class BasketRequest(serializers.Serializer[Any]):
    orders = OrderRequest(many=True, allow_empty=False, max_length=MOST_AT_ONCE)  # type: ignore[call-arg]
    confirm_duplicate = serializers.BooleanField(default=False)

    def wanted(self) -> list[Wanted]:
        return [wanted_of(each) for each in self.validated_data["orders"]]


class CopyAccount(serializers.Serializer[Any]):
    connection = serializers.UUIDField()
    quantity = Amount(required=False, allow_null=True, default=None, help_text="Units at this account.")
    ratio = serializers.DecimalField(
        max_digits=10,
        decimal_places=4,
        min_value=SMALLEST,
        max_value=Decimal(1000),
        required=False,
        allow_null=True,
        default=None,
        help_text="Or so many times the order's quantity, rounded down to whole lots.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["quantity"] is None) == (attrs["ratio"] is None):
            raise serializers.ValidationError({"quantity": ["Send either this or `ratio`."]})
        return attrs


class CopyRequest(serializers.Serializer[Any]):
    order = OrderRequest()
    accounts = CopyAccount(many=True, allow_empty=False, max_length=MOST_AT_ONCE)  # type: ignore[call-arg]
    confirm_duplicate = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ids = [each["connection"] for each in attrs["accounts"]]
        if len(set(ids)) != len(ids):
            raise serializers.ValidationError({"accounts": ["An account is named twice."]})
        return attrs


class SquareOffRequest(serializers.Serializer[Any]):
    connection = serializers.UUIDField(help_text="The connection that holds the position.")
    instrument = serializers.IntegerField(min_value=1, max_value=LARGEST_ID)
    product = serializers.ChoiceField(PRODUCTS, help_text="That of the position.")
    quantity = Amount(required=False, allow_null=True, default=None, help_text="Absent: all of it.")
    price = Amount(required=False, allow_null=True, default=None, help_text="A limit; absent: near the last price.")


class ChangeRequest(serializers.Serializer[Any]):
    """At least one of the three."""

    price = Amount(required=False)
    trigger_price = Amount(required=False)
    quantity = Amount(required=False, help_text="The new total of the one order that stands, what is filled included.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError({"price": ["Send this, `trigger_price` or `quantity`."]})
        return attrs


class SettleRequest(serializers.Serializer[Any]):
    """What the broker's contract note says of one order at one broker."""

    child = serializers.UUIDField(help_text="Of the order's `children`, the one that is UNKNOWN.")
    filled_quantity = serializers.DecimalField(max_digits=20, decimal_places=4, min_value=Decimal(0))
    average_price = serializers.DecimalField(
        max_digits=24, decimal_places=8, min_value=Decimal("0.00000001"), required=False, allow_null=True, default=None
    )


class ListQuery(serializers.Serializer[Any]):
    status = serializers.ChoiceField(INTENT_STATUSES, required=False)
    is_open = serializers.BooleanField(required=False, help_text="What works, or waits for approval, alone.")
    unknown = serializers.BooleanField(
        required=False, help_text="What may stand at a broker without anybody knowing, alone."
    )
    instrument = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, required=False)
    group = serializers.UUIDField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=100, default=25)
    before = serializers.UUIDField(required=False, help_text="The last order of the page before: what is older.")


class LegRequest(serializers.Serializer[Any]):
    trigger_price = Amount()
    price = Amount()
    quantity = Amount()


class GttPlaceRequest(serializers.Serializer[Any]):
    connection = serializers.UUIDField()
    instrument = serializers.IntegerField(min_value=1, max_value=LARGEST_ID)
    kind = serializers.ChoiceField(words_of(GttKind))
    side = serializers.ChoiceField(words_of(Side))
    product = serializers.ChoiceField(GTT_PRODUCTS)
    legs = LegRequest(  # type: ignore[call-arg]
        many=True, allow_empty=False, max_length=2, help_text="One; for OCO two, the lower trigger first."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        legs = attrs["legs"]
        if len(legs) != (2 if attrs["kind"] == GttKind.OCO else 1):
            raise serializers.ValidationError({"legs": ["SINGLE has one, OCO two."]})
        if len(legs) == 2 and legs[0]["trigger_price"] >= legs[1]["trigger_price"]:
            raise serializers.ValidationError({"legs": ["The lower trigger comes first."]})
        return attrs

    def wanted(self) -> WantedGtt:
        data = self.validated_data
        return WantedGtt(
            connection_id=data["connection"],
            instrument_id=data["instrument"],
            kind=GttKind(data["kind"]),
            side=Side(data["side"]),
            product=Product(data["product"]),
            legs=tuple(GttLeg(**leg) for leg in data["legs"]),
        )


class Rupees(serializers.DecimalField):
    """An amount that a person sets, in INR, from zero."""

    default_error_messages = {
        "null": "Enter an amount in rupees, zero or more.",
        "invalid": "Enter an amount in rupees, such as 50000.",
        "min_value": "Enter an amount in rupees, zero or more.",
        "max_digits": "Enter a smaller amount.",
        "max_whole_digits": "Enter a smaller amount.",
        "max_decimal_places": "Enter an amount with four places behind the point at most.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=20, decimal_places=4, min_value=Decimal(0), **kwargs)


class SettingsRequest(serializers.Serializer[Any]):
    MINUTES: ClassVar[int] = 24 * 60
    WHOLE_MINUTES: ClassVar[str] = f"Enter whole minutes, from 1 to {MINUTES}, which is a day."

    approval_above = Rupees(
        allow_null=True,
        help_text="INR; orders of a larger value wait for your approval. Null: none does.",
    )
    approval_products = serializers.ListField(
        child=serializers.ChoiceField(PRODUCTS), max_length=4, help_text="Orders of these always wait."
    )
    approval_minutes = serializers.IntegerField(
        min_value=1,
        max_value=MINUTES,
        error_messages=dict.fromkeys(("invalid", "null", "min_value", "max_value", "max_string_length"), WHOLE_MINUTES),
    )
    split_penalty = Rupees(
        help_text="INR; what one broker more must save before an order is split.",
    )
    sells_unsettled = serializers.BooleanField(help_text="Sell shares that were bought yesterday (BTST).")
    minimises_tax = serializers.BooleanField()
    broker_order = serializers.ListField(
        child=serializers.UUIDField(), max_length=50, help_text="Your connections, the preferred one first."
    )
