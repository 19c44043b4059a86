"""Upstox as data. Source: Upstox API v2/v3 documentation, August and September 2026."""

from datetime import time

from brokers.dealing import reversed_table
from brokers.domain import Exchange, OrderStatus, OrderType, Product, Segment, Validity
from brokers.errors import (
    IP_NOT_REGISTERED,
    MAINTENANCE,
    MISCONFIGURED,
    RATE_LIMITED,
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
    DailyWindow,
    OrderRules,
    PostbackSpec,
    RateClasses,
    RateLimit,
    SessionPolicy,
)
from brokers.transport import Endpoints


def _udapi(*numbers: int | range) -> list[tuple[None, str]]:
    """Keys of the error table, whatever the HTTP status: statuses are published per class of error, not per code."""
    spread = [number for group in numbers for number in (group if isinstance(group, range) else (group,))]
    return [(None, f"UDAPI{number}") for number in spread]


ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    **dict.fromkeys(_udapi(100050, 100057), TOKEN_EXPIRED),
    **dict.fromkeys(_udapi(100016, 100068, 100069, 100070), MISCONFIGURED),
    **dict.fromkeys(
        _udapi(100067, 1149, 1221, 100073, 100049, 100058, 1155, 1157, range(1181, 1189), 1154, 1156), SUSPENDED
    ),
    **dict.fromkeys(_udapi(10005), RATE_LIMITED),
    **dict.fromkeys(_udapi(100072, 100074), MAINTENANCE),
    **dict.fromkeys(
        _udapi(
            *(100036, 100038, 1003, 1004, 1007, 1009, 1010, 1011, 1019, 1023, 1026, 1027, 1028),
            *(range(1052, 1066), range(1087, 1090), range(1096, 1104), 100042, 100043, 100059),
            *(range(1114, 1120), range(1126, 1149), 1150, 1151, 1159, range(1169, 1176)),
            *(1033, 1034, 1035, range(1108, 1114)),
        ),
        REJECTED_INPUT,
    ),
    **dict.fromkeys(_udapi(1158), Verdict(OrderRejected, "market_orders_barred", None, "Place a limit order.")),
    **dict.fromkeys(_udapi(1161), Verdict(OrderRejected, "exchange_barred")),
    **dict.fromkeys(_udapi(100010), Verdict(RequestRefused, "unknown_order")),
    **dict.fromkeys(_udapi(100040, 100041), Verdict(RequestRefused, "order_has_ended")),
    **dict.fromkeys(_udapi(100060, 10000, 100015), UNEXPECTED),
    **dict.fromkeys(_udapi(100500), UNAVAILABLE),
    (401, None): TOKEN_EXPIRED,
    (403, None): UNAVAILABLE,  # the CDN's HTML page, not the API
    (404, None): UNEXPECTED,
    (423, None): MAINTENANCE,
    (429, None): RATE_LIMITED,
    (500, None): UNAVAILABLE,
    (502, None): MAINTENANCE,
    (503, None): MAINTENANCE,
    (504, None): MAINTENANCE,
}

REGISTER_IP = "Register it on your app’s page at Upstox: one change a week, and it ends every session."
# "The token is fine": what stops an order stops no reading.
ORDER_ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    (None, "UDAPI1154"): Verdict(RequestRefused, IP_NOT_REGISTERED, None, REGISTER_IP),
    (None, "UDAPI1156"): Verdict(
        RequestRefused, "algo_not_registered", None, "See on your app’s page at Upstox which algo name it is bound to."
    ),
    (400, None): REJECTED_INPUT,  # a code of which the page knows nothing, in the broker's own envelope
}

CALLBACK = CallbackSpec(code="code")

# Everything but orders is counted per endpoint: each of these paths by itself, what is not here together.
EACH = ("quotes", "session")
RATE_CLASSES: RateClasses = {
    **{(method, f"/{version}/order"): "orders" for method in ("POST", "PUT") for version in ("v2", "v3")},
    **{("DELETE", f"/{version}/order"): "cancels" for version in ("v2", "v3")},
    **dict.fromkeys(
        [
            *((None, "/v2/login/authorization/token"), (None, "/v3/login/auth/token/request")),
            (None, "/v2/logout"),
        ],
        "session",
    ),
    **dict.fromkeys(
        [
            *((None, "/v3/market-quote/ltp"), (None, "/v3/market-quote/ohlc"), (None, "/v3/market-quote/quotes")),
            *((None, "/v3/market-quote/option-greek"), (None, "/v2/market-quote/quotes")),
        ],
        "quotes",
    ),
    **dict.fromkeys(
        [
            *((None, "/v2/user/profile"), (None, "/v2/user/ip"), (None, "/v2/user/kill-switch")),
            *((None, "/v3/user/get-funds-and-margin"), (None, "/v2/user/get-funds-and-margin")),
            *((None, "/v2/portfolio/long-term-holdings"), (None, "/v2/portfolio/short-term-positions")),
            *((None, "/v3/portfolio/mtf-positions"), (None, "/v2/portfolio/convert-position")),
            *(("GET", "/v2/order/retrieve-all"), ("GET", "/v2/order/details"), ("GET", "/v2/order/history")),
            *(("GET", "/v2/order/trades/get-trades-for-day"), ("GET", "/v2/order/trades"), ("GET", "/v3/order/gtt")),
            *((None, "/v2/charges/historical-trades"), (None, "/v2/charges/brokerage"), (None, "/v2/charges/margin")),
            *((None, "/v2/market/status"), (None, "/v2/market/holidays"), (None, "/v2/market/timings")),
            *((None, "/v2/instruments/search"), (None, "/v2/feed"), (None, "/v3/feed")),
        ],
        "other",
    ),
}

PLACE, MODIFY, CANCEL = "/v3/order/place", "/v3/order/modify", "/v3/order/cancel"

SPEC = BrokerSpec(
    slug="upstox",
    name="Upstox",
    endpoints=Endpoints(
        base_url="https://api.upstox.com",
        login_url="https://api.upstox.com/v2/login/authorization/dialog",
        elsewhere=dict.fromkeys((PLACE, MODIFY, CANCEL), "https://api-hft.upstox.com"),
    ),
    stream_url="wss://api.upstox.com",
    order_stream_url="wss://api.upstox.com",
    callback=CALLBACK,
    # Dead at 03:30 whatever the hour of the login; the token's own `exp` says the same and is preferred.
    session=SessionPolicy(ends_at=time(3, 30)),
    # The API answers from 05:30 to 24:00.
    maintenance=(DailyWindow(starts_at=time(0), ends_at=time(5, 30)),),
    guide=Guide(
        console="https://account.upstox.com/developer/apps",
        app="Make an app. Upstox allows one active app for each user.",
        redirect="Enter this as the app’s redirect URI, letter by letter: Upstox refuses a login that names another.",
        keys="Copy the app’s API key and API secret.",
        proof="Your login at Upstox, on its own page.",
        side_by_side="One active app for each user. A change of the registered addresses ends every session.",
        without={
            "candles": "Not read from Upstox: the past of a share comes from another broker of yours.",
            "gtt": "Not sent to Upstox from here.",
        },
    ),
    order_rules=OrderRules(
        needs_registered_ip=True,
        register_ip=REGISTER_IP,
        authorise_debit="Give a DDPI once, or authorise the day’s sales in the Upstox app.",
    ),
    counts_lots_at=(Exchange.MCX, Exchange.NCO),
    postback=PostbackSpec(
        is_signed=False,
        instruction=(
            "In the Upstox developer console, enter it as the webhook URL of your app. Updates of orders are sent "
            "there by default."
        ),
    ),
    master=MasterSpec(
        base_url="https://assets.upstox.com",
        files=(MasterFile(path="/market-quote/instruments/exchange/complete.json.gz"),),
    ),
    capabilities=Capabilities(
        order_types=(OrderType.MARKET, OrderType.LIMIT, OrderType.SL, OrderType.SL_M),
        products=(Product.CNC, Product.MIS, Product.NRML, Product.MTF),
        exchanges=(Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO, Exchange.CDS, Exchange.BCD, Exchange.NCO),
        validities=(Validity.DAY, Validity.IOC),
        supports_margin_trading=True,
        supports_options_trading=True,
        supports_commodity_trading=True,
        rate_limits=(
            RateLimit(endpoints="orders", also=("cancels",), calls=10, seconds=1),
            RateLimit(endpoints="orders", also=("cancels",), calls=500, seconds=60),
            RateLimit(endpoints="orders", also=("cancels",), calls=2000, seconds=1800),
            RateLimit(endpoints="other", also=EACH, per_path=True, calls=50, seconds=1),
            RateLimit(endpoints="other", also=EACH, per_path=True, calls=500, seconds=60),
            RateLimit(endpoints="other", also=EACH, per_path=True, calls=2000, seconds=1800),
        ),
        features=(
            *("holdings", "positions", "funds", "quotes", "orders", "trades", "revoke"),
            *("place", "modify", "cancel", "order_margin"),
        ),
    ),
    rate_classes=RATE_CLASSES,
    errors=ERRORS,
    order_errors=ORDER_ERRORS,
)

EXCHANGES = {
    "NSE": Exchange.NSE,
    "BSE": Exchange.BSE,
    "NFO": Exchange.NFO,
    "BFO": Exchange.BFO,
    "CDS": Exchange.CDS,
    "BCD": Exchange.BCD,
    "MCX": Exchange.MCX,
    "NSCOM": Exchange.NCO,
}

ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "SL": OrderType.SL,
    "SL-M": OrderType.SL_M,
}

VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC}

# Lower case on the wire. What is not here is UNKNOWN, and never an end.
STATUSES = {
    **dict.fromkeys(
        (
            *("put order req received", "validation pending", "open pending"),
            *("after market order req received", "modify after market order req received"),
        ),
        OrderStatus.PENDING,
    ),
    **dict.fromkeys(("open", "modified", "not modified", "not cancelled"), OrderStatus.OPEN),
    **dict.fromkeys(("modify pending", "modify validation pending", "cancel pending"), OrderStatus.OPEN),
    "trigger pending": OrderStatus.TRIGGER_PENDING,
    "complete": OrderStatus.FILLED,
    **dict.fromkeys(("cancelled", "cancelled after market order"), OrderStatus.CANCELLED),
    "rejected": OrderStatus.REJECTED,
}

# `D` is delivery on shares and carry-forward elsewhere; the two OCO and CO words occur in old rows only.
PRODUCTS = {
    **{("D", segment): Product.NRML for segment in Segment},
    ("D", Segment.EQUITY): Product.CNC,
    **{("I", segment): Product.MIS for segment in Segment},
    ("MTF", Segment.EQUITY): Product.MTF,
    **{("CO", segment): Product.CO for segment in Segment},
    **{("OCO", segment): Product.BO for segment in Segment},
}

# The ways out.
ORDER_TYPE_WORDS, VALIDITY_WORDS = reversed_table(ORDER_TYPES), reversed_table(VALIDITIES)
PRODUCT_WORDS = {
    (product, segment): word for (word, segment), product in PRODUCTS.items() if product in SPEC.capabilities.products
}

# `market_protection`: Upstox's own bands around the last price, or so many percent.
AUTOMATIC_PROTECTION, WIDEST_PROTECTION = -1, 25

# Names a registered algorithm.
ALGO_HEADER = "X-Algo-Name"
