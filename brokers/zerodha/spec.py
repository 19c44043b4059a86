"""Zerodha as data. Source: Kite Connect v3 documentation, July 2026."""

from datetime import time

from brokers.dealing import GttKind, GttStatus, reversed_table
from brokers.domain import Exchange, OrderStatus, OrderType, Product, Validity
from brokers.errors import (
    INSUFFICIENT_FUNDS,
    INSUFFICIENT_HOLDINGS,
    IP_NOT_REGISTERED,
    MAINTENANCE,
    REJECTED_INPUT,
    SUSPENDED,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    UNEXPECTED,
    OrderRejected,
    RequestRefused,
    Verdict,
)
from brokers.guide import Guide
from brokers.masters import MasterFile, MasterSpec
from brokers.spec import (
    BrokerSpec,
    CallbackSpec,
    Capabilities,
    OrderRules,
    PostbackSpec,
    RateClasses,
    RateLimit,
    SessionPolicy,
)
from brokers.transport import Endpoints

CALLBACK = CallbackSpec(code="request_token", success={"status": "success"})

# Placing alone counts by the minute and the day; changing and cancelling only by the second.
RATE_CLASSES: RateClasses = {
    (None, "/quote"): "quotes",
    (None, "/instruments/historical"): "history",
    ("POST", "/orders"): "orders",
    ("PUT", "/orders"): "order_changes",
    ("DELETE", "/orders"): "cancels",
    ("POST", "/gtt"): "gtt",
    ("PUT", "/gtt"): "gtt",
    ("DELETE", "/gtt"): "gtt_cancels",
    (None, "/session"): "session",
}

AUTHORISE_DEBIT = "Give a DDPI once, or authorise the day’s sales in Kite, with CDSL’s TPIN."

NOT_AUTHORISED = Verdict(OrderRejected, "debit_not_authorised", None, AUTHORISE_DEBIT)
REGISTER_IP = "Register it in the Kite developer console: two addresses per app, one change a week."
# Of a key without a data plan; and, where it answers an order, of an address that is not registered.
NO_PERMISSION = ("PermissionException", "PermissionError")
ORDER_ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    (None, name): Verdict(
        RequestRefused, IP_NOT_REGISTERED, None, f"See the broker’s reason. An address: {REGISTER_IP}"
    )
    for name in NO_PERMISSION
} | {(400, None): REJECTED_INPUT}  # unknown types exist: "fall back on the status"

TYPES = (
    *("TokenException", "TwoFAException", "PermissionException", "PermissionError", "UserException"),
    *("InputException", "MarginException", "HoldingException", "OrderException"),
    *("GeneralException", "DataException", "NetworkException"),
)

SPEC = BrokerSpec(
    slug="zerodha",
    name="Zerodha",
    endpoints=Endpoints(base_url="https://api.kite.trade", login_url="https://kite.zerodha.com/connect/login"),
    stream_url="wss://ws.kite.trade",
    headers={"X-Kite-Version": "3"},
    callback=CALLBACK,
    # Dead at 06:00 on the calendar day after the login. Whether a login at 02:00 survives that same morning is
    # UNCONFIRMED: we keep to the documented wording and let the 403 decide.
    session=SessionPolicy(ends_at=time(6, 0), always_next_day=True),
    guide=Guide(
        console="https://developers.kite.trade",
        app=(
            "Make an app of the kind Connect. A free Personal app has orders, portfolio and margins, but neither "
            "quotes nor live prices nor candles."
        ),
        redirect=(
            "Enter this as the app’s redirect URL, letter by letter: Kite sends you back to the registered one, and to "
            "no other."
        ),
        keys="Copy the app’s API key and API secret.",
        proof="Your password and TOTP, on Kite’s own page.",
        price="₹500 a month for each Connect app; Personal is free.",
        # UNCONFIRMED: "probably".
        side_by_side=(
            "Keep the app for TradeMaster alone: a newer login with the same app probably ends the older session."
        ),
    ),
    order_rules=OrderRules(
        needs_registered_ip=True,
        register_ip=REGISTER_IP,
        authorise_debit=AUTHORISE_DEBIT,
        throttled_before_entry=True,
        most_changes=25,
    ),
    # UNCONFIRMED of BSE's currency: as NSE's. Its dump says a lot of 1 there; of how many units, other masters tell.
    counts_lots_at=(Exchange.CDS, Exchange.BCD, Exchange.MCX),
    postback=PostbackSpec(
        is_signed=True,
        instruction=(
            "In the Kite developer console, enter it as the postback URL of your app. Kite posts there what "
            "happens to orders that are placed through this app alone."
        ),
    ),
    # The documentation does not say that the dump is public.
    master=MasterSpec(files=(MasterFile(path="/instruments"),), needs_session=True),
    capabilities=Capabilities(
        order_types=(OrderType.MARKET, OrderType.LIMIT, OrderType.SL, OrderType.SL_M),
        products=(Product.CNC, Product.MIS, Product.NRML, Product.MTF),
        exchanges=(Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO, Exchange.CDS, Exchange.BCD, Exchange.MCX),
        validities=(Validity.DAY, Validity.IOC),
        supports_margin_trading=True,
        supports_options_trading=True,
        supports_commodity_trading=True,
        rate_limits=(
            RateLimit(endpoints="quotes", calls=1, seconds=1),
            RateLimit(endpoints="history", calls=3, seconds=1),
            RateLimit(endpoints="orders", also=("order_changes", "cancels"), calls=10, seconds=1),
            RateLimit(endpoints="orders", calls=400, seconds=60),
            RateLimit(endpoints="orders", calls=5000, seconds=86400),
            RateLimit(endpoints="other", also=("gtt", "gtt_cancels", "session"), calls=10, seconds=1),
        ),
        features=(
            *("holdings", "positions", "funds", "quotes", "candles", "orders", "trades", "revoke"),
            *("place", "modify", "cancel", "order_margin", "gtt"),
        ),
    ),
    rate_classes=RATE_CLASSES,
    errors={
        (None, "TokenException"): TOKEN_EXPIRED,
        (None, "TwoFAException"): TOKEN_EXPIRED,
        (None, "PermissionException"): SUSPENDED,
        (None, "PermissionError"): SUSPENDED,  # the Go SDK's spelling; the wire's is UNCONFIRMED
        (None, "UserException"): SUSPENDED,
        (None, "InputException"): REJECTED_INPUT,
        (None, "MarginException"): INSUFFICIENT_FUNDS,
        (None, "HoldingException"): INSUFFICIENT_HOLDINGS,
        (400, "OrderException"): Verdict(OrderRejected),
        (500, "OrderException"): UNAVAILABLE,
        # Its type is unpublished; whatever stands there, the status says more.
        **dict.fromkeys(((428, code) for code in (*TYPES, None)), NOT_AUTHORISED),
        (404, None): UNEXPECTED,
        (405, None): UNEXPECTED,
        (410, None): UNEXPECTED,
        (500, None): UNAVAILABLE,
        (502, None): MAINTENANCE,
        (503, None): MAINTENANCE,
        (504, None): MAINTENANCE,
    },
    order_errors=ORDER_ERRORS,
)

EXCHANGES = {exchange.value: exchange for exchange in Exchange}  # Kite uses our words; "MF" is not an exchange of ours

ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "SL": OrderType.SL,
    "SL-M": OrderType.SL_M,
}

VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC, "TTL": Validity.TTL}

# The list is open-ended by its own words: what is not here is UNKNOWN, and never an end.
STATUSES = {
    **dict.fromkeys(
        ("PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "AMO REQ RECEIVED"), OrderStatus.PENDING
    ),
    **dict.fromkeys(("OPEN", "MODIFIED", "NOT MODIFIED", "UPDATE"), OrderStatus.OPEN),
    **dict.fromkeys(("MODIFY VALIDATION PENDING", "MODIFY PENDING", "CANCEL PENDING"), OrderStatus.OPEN),
    "TRIGGER PENDING": OrderStatus.TRIGGER_PENDING,
    "COMPLETE": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}

# `meta.demat_consent`. UNCONFIRMED: the page lists the words, and not what they mean: a consent given online, or on
# paper, or none.
DEBIT_AUTHORISED = {"consent": True, "physical": True, "": False}

PRODUCTS = {
    "CNC": Product.CNC,
    "MIS": Product.MIS,
    "NRML": Product.NRML,
    "MTF": Product.MTF,
    "CO": Product.CO,
    "BO": Product.BO,
}

# The ways out. Cover and bracket orders are not sent, nor TTL, for which an order would have to say how many minutes.
EXCHANGE_WORDS = {exchange: exchange.value for exchange in SPEC.capabilities.exchanges}
ORDER_TYPE_WORDS = reversed_table(ORDER_TYPES)
PRODUCT_WORDS = {product: product.value for product in SPEC.capabilities.products}
VALIDITY_WORDS = {Validity.DAY: "DAY", Validity.IOC: "IOC"}

# `market_protection`: Kite's own bands around the last price. 0, or nothing, is refused.
AUTOMATIC_PROTECTION = "-1"

# What Kite itself adds to an order's `tags`.
SYSTEM_TAGS = ("mktp", "autoslice")

GTT_KINDS = {"single": GttKind.SINGLE, "two-leg": GttKind.OCO}
GTT_KIND_WORDS = reversed_table(GTT_KINDS)
# UNCONFIRMED what disables a trigger, and whether for good: it is UNKNOWN, and never an end.
GTT_STATUSES = {
    "active": GttStatus.ACTIVE,
    "triggered": GttStatus.TRIGGERED,
    "cancelled": GttStatus.CANCELLED,
    "deleted": GttStatus.CANCELLED,
    "rejected": GttStatus.REJECTED,
    "expired": GttStatus.EXPIRED,
}
