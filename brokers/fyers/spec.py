"""Fyers as data. Source: Fyers API v3 documentation, August 2026, and its support pages of April 2026."""

from datetime import time

from brokers.dealing import GttKind, GttStatus, reversed_table
from brokers.domain import Exchange, OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import (
    MAINTENANCE,
    MISCONFIGURED,
    RATE_LIMITED,
    REJECTED_INPUT,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    UNEXPECTED,
    BrokerUnavailable,
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
    FormField,
    OrderRules,
    PostbackSpec,
    RateClasses,
    RateLimit,
    SessionPolicy,
)
from brokers.transport import Endpoints

QUOTES_PER_CALL = 50

# The login steps speak before there is a connection: a wrong code or hash is refused, and leaves none in error.
LOGIN_REFUSED = Verdict(
    RequestRefused,
    "exchange_refused",
    None,
    "Start the connection again; if it fails again, check your app's ID and secret.",
)
GIVE_PERMISSION = "Give your app this permission in the Fyers API dashboard, then log in to the broker again."
NOT_PERMITTED = Verdict(BrokerUnavailable, "app_permission_missing", None, GIVE_PERMISSION)


def _codes(*numbers: int | range) -> list[tuple[None, str]]:
    """Keys of the error table, whatever the HTTP status: only 401 and 429 are backed by recordings."""
    spread = [number for group in numbers for number in (group if isinstance(group, range) else (group,))]
    return [(None, str(number)) for number in spread]


# UNCONFIRMED: no answer for a blocked account is published, so none is read out of a message: unknown codes are ERROR.
ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    **dict.fromkeys(_codes(-8, -15, -16, -17), TOKEN_EXPIRED),
    **dict.fromkeys(_codes(-429, -353), RATE_LIMITED),
    **dict.fromkeys(_codes(-371, -374, -437, -501), LOGIN_REFUSED),
    **dict.fromkeys(_codes(-352), MISCONFIGURED),  # an unknown app ID; on DELETE /positions: nothing to close
    **dict.fromkeys(_codes(-373), NOT_PERMITTED),
    **dict.fromkeys(
        _codes(
            *(-50, -53, -101, -163, range(-328, -304), -372, -390, -392, -397, -398, -399, 400),
        ),
        REJECTED_INPUT,
    ),
    # The risk system, or the exchange: why stands in the words alone, and nothing is read out of those.
    **dict.fromkeys(_codes(-99), Verdict(OrderRejected)),
    **dict.fromkeys(_codes(-300), Verdict(RequestRefused, "unknown_instrument")),
    **dict.fromkeys(_codes(-51, -159, -209), Verdict(RequestRefused, "unknown_order")),
    **dict.fromkeys(_codes(-161, -162, -164), Verdict(RequestRefused, "order_has_ended")),
    **dict.fromkeys(_codes(-96), UNAVAILABLE),
    **dict.fromkeys(_codes(-201, -202, -204, -205), MAINTENANCE),
    (401, None): TOKEN_EXPIRED,
    (403, None): UNAVAILABLE,  # a page of the CDN in front, not the API
    (404, None): UNEXPECTED,
    (405, None): UNEXPECTED,
    (429, None): RATE_LIMITED,
    (500, None): UNAVAILABLE,
    # UNCONFIRMED: what Fyers answers during maintenance is published nowhere; a gateway's statuses are read as that.
    (502, None): MAINTENANCE,
    (503, None): MAINTENANCE,
    (504, None): MAINTENANCE,
}

# What keeps an account from being read is trouble with it; to an order the same is a plain no: it was not placed.
ORDER_ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    (None, "-373"): Verdict(RequestRefused, "app_permission_missing", None, GIVE_PERMISSION),
    (400, None): REJECTED_INPUT,  # a code of which the page knows nothing, in the broker's own envelope
}

# `code` on the redirect is a status, 200; the grant is `auth_code`.
CALLBACK = CallbackSpec(code="auth_code", success={"s": "ok"})

RATE_CLASSES: RateClasses = {
    **{
        (method, f"/api/v3/{path}"): "orders"
        for method in ("POST", "PATCH", "DELETE")
        for path in ("orders", "multi-order", "multileg", "gtt")
    },
    ("DELETE", "/api/v3/orders"): "cancels",
    ("DELETE", "/api/v3/gtt"): "gtt_cancels",
    ("DELETE", "/api/v3/positions"): "orders",  # leaving a position is an order
    (None, "/data"): "quotes",
    (None, "/data/history"): "history",
    (None, "/api/v3/validate-authcode"): "session",
    (None, "/api/v3/validate-refresh-token"): "session",
    (None, "/api/v3/logout"): "session",
}
# BSE's currency has no file.
MASTER_NAMES = ("NSE_CM", "NSE_FO", "NSE_CD", "NSE_COM", "BSE_CM", "BSE_FO", "MCX_COM")

SPEC = BrokerSpec(
    slug="fyers",
    name="Fyers",
    endpoints=Endpoints(
        base_url="https://api-t1.fyers.in", login_url="https://api-t1.fyers.in/api/v3/generate-authcode"
    ),
    stream_url="wss://socket.fyers.in",
    order_stream_url="wss://socket.fyers.in",
    headers={"version": "3"},
    app_fields=(
        FormField(name="api_key", label="App ID", help="With its suffix, such as ABCD1234EF-100."),
        FormField(name="api_secret", label="Secret ID"),
    ),
    callback=CALLBACK,
    # Dead at the next 06:00; the token's own `exp` says the same and is preferred. Refresh by PIN ended on 2026-04-01.
    session=SessionPolicy(ends_at=time(6, 0)),
    guide=Guide(
        console="https://myapi.fyers.in",
        app="Make an app. It works only after one login through it, in a browser: the one below is enough.",
        redirect="Enter this as the app’s redirect URL, letter by letter: Fyers refuses a login that names another.",
        keys="Copy the App ID, with its suffix such as -100, and the Secret ID.",
        permissions=(
            "Grant all four permissions: basic, transactions info, order placement and market data. What is not "
            "granted is refused, and stays unknown here."
        ),
        proof="Your login at Fyers with its second factor, on its own page.",
        without={
            "protected_stops": "Whether Fyers bounds the price of a market order behind a trigger is not known.",
        },
    ),
    order_rules=OrderRules(
        needs_registered_ip=True,
        register_ip="Register it for your app in the Fyers API dashboard.",
        authorise_debit="Give a DDPI once, or authorise the day’s sales in the Fyers app, with CDSL’s TPIN.",
        throttled_before_entry=True,
    ),
    counts_lots_at=(Exchange.CDS, Exchange.MCX, Exchange.NCO),
    postback=PostbackSpec(
        is_signed=False,
        instruction=(
            "On the API dashboard of Fyers, add it as a webhook of your app, for all four events. The webhook "
            "secret asked for there may be anything: how Fyers signs with it is not published, so it is not used."
        ),
    ),
    master=MasterSpec(
        base_url="https://public.fyers.in",
        files=tuple(MasterFile(path=f"/sym_details/{name}_sym_master.json") for name in MASTER_NAMES),
    ),
    capabilities=Capabilities(
        # Market orders are bounded by Fyers itself. UNCONFIRMED whether those behind a trigger are, so none is offered.
        order_types=(OrderType.MARKET, OrderType.LIMIT, OrderType.SL),
        products=(Product.CNC, Product.MIS, Product.NRML, Product.MTF),
        exchanges=(
            *(Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO),
            *(Exchange.CDS, Exchange.MCX, Exchange.NCO),
        ),
        validities=(Validity.DAY, Validity.IOC),
        supports_margin_trading=True,
        supports_options_trading=True,
        supports_commodity_trading=True,
        # More than three breaches of the minute in a day block the user for the rest of it. UNCONFIRMED whether the
        # count is the user's or the app's, and whether a login counts: it does here.
        rate_limits=(
            RateLimit(endpoints="orders", also=("cancels", "gtt_cancels"), calls=10, seconds=1),
            RateLimit(endpoints="all", calls=10, seconds=1),
            RateLimit(endpoints="all", calls=200, seconds=60),
            RateLimit(endpoints="all", calls=100_000, seconds=86400),
        ),
        features=(
            *("holdings", "positions", "funds", "quotes", "candles", "orders", "trades", "revoke"),
            *("place", "modify", "cancel", "order_margin", "gtt"),
        ),
    ),
    rate_classes=RATE_CLASSES,
    errors=ERRORS,
    order_errors=ORDER_ERRORS,
)

ORDER_TYPES = {"1": OrderType.LIMIT, "2": OrderType.MARKET, "3": OrderType.SL_M, "4": OrderType.SL}

SIDES = {"1": Side.BUY, "-1": Side.SELL}

VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC}

# 3 is not used. An order that waits for its trigger is 6 as well, and no row tells the two apart.
STATUSES = {
    "1": OrderStatus.CANCELLED,
    "2": OrderStatus.FILLED,
    "4": OrderStatus.PENDING,
    "5": OrderStatus.REJECTED,
    "6": OrderStatus.OPEN,
    "7": OrderStatus.EXPIRED,
}

PRODUCTS = {
    "CNC": Product.CNC,
    "INTRADAY": Product.MIS,
    "MARGIN": Product.NRML,
    "MTF": Product.MTF,
    "CO": Product.CO,
    "BO": Product.BO,
}

# The ways out. Types and sides are numbers there; cover and bracket orders are not sent.
ORDER_TYPE_WORDS = {ours: int(word) for word, ours in ORDER_TYPES.items() if ours in SPEC.capabilities.order_types}
SIDE_WORDS = {ours: int(word) for word, ours in SIDES.items()}
VALIDITY_WORDS = reversed_table(VALIDITIES)
PRODUCT_WORDS = {
    Product.CNC: "CNC",
    Product.MIS: "INTRADAY",
    Product.NRML: "MARGIN",
    Product.MTF: "MTF",
}
GTT_PRODUCTS = frozenset({Product.CNC, Product.NRML, Product.MTF})

# What an acknowledgement says that was done; 201 is "sent, and not acknowledged".
PLACED, CHANGED, CANCELLED = frozenset({1101}), frozenset({1101, 1102}), frozenset({1103})

GTT_KINDS = {"1": GttKind.SINGLE, "2": GttKind.OCO}
# UNCONFIRMED but for 1: the others are taken to be those of orders. What is not here is UNKNOWN, and never an end.
GTT_STATUSES = {
    "1": GttStatus.CANCELLED,
    "2": GttStatus.TRIGGERED,
    "5": GttStatus.REJECTED,
    "6": GttStatus.ACTIVE,
    "7": GttStatus.EXPIRED,
}
