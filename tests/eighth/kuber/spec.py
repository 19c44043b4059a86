"""Kuber as data. Source: nobody; the broker is invented."""

from datetime import time

from brokers.domain import Exchange, OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import (
    MAINTENANCE,
    MISCONFIGURED,
    RATE_LIMITED,
    REJECTED_INPUT,
    SUSPENDED,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    UNEXPECTED,
    Verdict,
)
from brokers.guide import Guide
from brokers.spec import BrokerSpec, CallbackSpec, Capabilities, OrderRules, RateClasses, RateLimit, SessionPolicy
from brokers.transport import Endpoints

# Kuber's codes mean the same under every HTTP status; most failures come with 200.
ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    (None, "K-11"): TOKEN_EXPIRED,
    (None, "K-12"): MISCONFIGURED,
    (None, "K-13"): REJECTED_INPUT,
    (None, "K-14"): SUSPENDED,
    (None, "K-20"): REJECTED_INPUT,
    (None, "K-29"): RATE_LIMITED,
    (None, "K-44"): UNEXPECTED,
    (None, "K-50"): UNAVAILABLE,
    (None, "K-53"): MAINTENANCE,
    (502, None): MAINTENANCE,
    (503, None): MAINTENANCE,
    (504, None): MAINTENANCE,
}

CALLBACK = CallbackSpec(code="ticket", state="note")

RATE_CLASSES: RateClasses = {("GET", "/prices"): "quotes", (None, "/pass"): "session"}

SPEC = BrokerSpec(
    slug="kuber",
    name="Kuber Securities",
    endpoints=Endpoints(base_url="https://api.kuber.example", login_url="https://kuber.example/enter"),
    callback=CALLBACK,
    session=SessionPolicy(ends_at=time(4)),
    guide=Guide(
        console="https://kuber.example/keys",
        app="Make an app.",
        redirect="Enter this as its redirect address.",
        keys="Copy its key and secret.",
        proof="Your password at Kuber.",
    ),
    order_rules=OrderRules(
        needs_registered_ip=False,
        register_ip="Kuber takes orders from anywhere.",
        authorise_debit="Give Kuber a DDPI.",
    ),
    capabilities=Capabilities(
        order_types=(OrderType.MARKET, OrderType.LIMIT),
        products=(Product.CNC, Product.MIS, Product.NRML),
        exchanges=(Exchange.NSE, Exchange.BSE, Exchange.NFO),
        validities=(Validity.DAY, Validity.IOC),
        supports_margin_trading=False,
        supports_options_trading=True,
        supports_commodity_trading=False,
        rate_limits=(RateLimit(endpoints="all", calls=5, seconds=1),),
        features=("holdings", "positions", "funds", "quotes", "orders", "trades", "revoke"),
    ),
    rate_classes=RATE_CLASSES,
    errors=ERRORS,
)

BOARDS = {"N": Exchange.NSE, "B": Exchange.BSE, "F": Exchange.NFO}
KINDS = {"KEEP": Product.CNC, "TODAY": Product.MIS, "CARRY": Product.NRML}
SIDES = {"+": Side.BUY, "-": Side.SELL}
ORDER_TYPES = {"ANY": OrderType.MARKET, "AT": OrderType.LIMIT}
VALIDITIES = {"DAY": Validity.DAY}
STATUSES = {
    "waiting": OrderStatus.OPEN,
    "done": OrderStatus.FILLED,
    "withdrawn": OrderStatus.CANCELLED,
    "refused": OrderStatus.REJECTED,
}
