"""Groww as data. Source: Groww Trade API documentation, February and July 2026; growwapi 1.5.0."""

from datetime import time, timedelta

from brokers.dealing import UNBOUNDED, GttStatus, reversed_table
from brokers.domain import Exchange, OrderStatus, OrderType, Product, Segment, Validity
from brokers.errors import (
    MAINTENANCE,
    RATE_LIMITED,
    REJECTED_INPUT,
    SUSPENDED,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    UNEXPECTED,
    RequestRefused,
    Verdict,
)
from brokers.guide import Guide
from brokers.masters import MasterFile, MasterSpec
from brokers.spec import (
    API_SECRET,
    BrokerSpec,
    Capabilities,
    FormField,
    LoginMethod,
    OrderRules,
    RateClasses,
    RateLimit,
    SessionPolicy,
)
from brokers.transport import Endpoints

CODES = ("GA000", "GA001", "GA003", "GA004", "GA005", "GA006", "GA007")

# Statuses that say more than the code beside them, which no source pairs with them.
DECISIVE_STATUSES = {401: TOKEN_EXPIRED, 403: SUSPENDED, 429: RATE_LIMITED}

# Orders are what is asked for by name.
NO_SUCH_ORDER = Verdict(RequestRefused, "order_not_found")

# Another order stands under the reference of this one.
DUPLICATE_REFERENCE = "GA007"

# 403 and GA005 mean a dead token as well as a missing permission: the client asks for the profile to tell which.
ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    **{(status, code): verdict for status, verdict in DECISIVE_STATUSES.items() for code in (*CODES, None)},
    (None, "GA000"): UNAVAILABLE,
    (None, "GA001"): REJECTED_INPUT,
    (None, "GA003"): MAINTENANCE,
    (None, "GA004"): NO_SUCH_ORDER,
    (None, "GA005"): SUSPENDED,
    (None, "GA006"): Verdict(
        RequestRefused, "not_possible_now", None, "The order may have ended or changed by now: see the order book."
    ),
    (None, "GA007"): REJECTED_INPUT,
    (400, None): REJECTED_INPUT,
    (404, None): NO_SUCH_ORDER,
    (405, None): UNEXPECTED,
    (500, None): UNAVAILABLE,
    (502, None): MAINTENANCE,
    (503, None): MAINTENANCE,
    (504, None): UNAVAILABLE,
}

KEYS_PAGE = "https://groww.in/trade-api/api-keys"

# UNCONFIRMED: the page puts these into no class; they are counted with the quotes.
AS_QUOTES = ("history", "profile", "smart_orders", "gtt_cancels", "session")
# UNCONFIRMED whether the budgets are the key's, the token's or the account's; evidence leans to the account's.
RATE_CLASSES: RateClasses = {
    (None, "/v1/order/create"): "orders",
    (None, "/v1/order/modify"): "orders",
    (None, "/v1/order/cancel"): "cancels",
    (None, "/v1/live-data"): "quotes",
    (None, "/v1/option-chain"): "quotes",
    (None, "/v1/historical"): "history",
    (None, "/v1/user/detail"): "profile",
    ("POST", "/v1/order-advance"): "smart_orders",
    ("PUT", "/v1/order-advance"): "smart_orders",
    ("POST", "/v1/order-advance/cancel"): "gtt_cancels",
    ("GET", "/v1/order-advance"): "profile",
    (None, "/v1/token"): "session",
    (None, "/v1/api/apex"): "session",
}

SPEC = BrokerSpec(
    slug="groww",
    name="Groww",
    endpoints=Endpoints(base_url="https://api.groww.in", login_url=KEYS_PAGE),
    stream_url="wss://socket-api.groww.in",
    headers={"X-API-VERSION": "1.0"},
    app_fields=(
        FormField(name="api_key", label="API key or TOTP token", help=f"Made on Groww's keys page, {KEYS_PAGE}"),
        FormField(name="api_secret", label=API_SECRET.label, required=False, help="Only an API key has one."),
    ),
    login_methods=(
        LoginMethod(
            name="totp",
            label="TOTP code",
            fields=(FormField(name="totp", label="TOTP code", help="The six digits that show now."),),
            help="For a stored TOTP token.",
        ),
        LoginMethod(
            name="approval",
            label="Approved key",
            help=f"For a stored API key and secret: approve the key at {KEYS_PAGE} first, every day anew.",
        ),
        LoginMethod(
            name="token",
            label="Access token of today",
            fields=(FormField(name="access_token", label="Access token"),),
            help="Made by hand at https://groww.in/user/profile/trading-apis",
            needs_app=False,
        ),
    ),
    # All tokens die at the daily reset (IST assumed, UNCONFIRMED); the `expiry` that comes with a token is preferred.
    session=SessionPolicy(ends_at=time(6, 0)),
    guide=Guide(
        console=KEYS_PAGE,
        app=(
            "Subscribe to the Trading API at https://groww.in/user/profile/trading-apis, then make a TOTP token, or an "
            "API key with its secret, on the keys page."
        ),
        keys=(
            "A TOTP token is stored alone; an API key with its secret. For an access token made by hand nothing "
            "is stored."
        ),
        proof=(
            "By the TOTP token, the six digits that show now. By an API key, its approval on Groww’s keys page, every "
            "day. Or an access token, made by hand every day."
        ),
        price="A paid Trading API subscription of your Groww account. Its documentation names no figure.",
        without={
            "market_orders": "Groww documents no protection of a market order’s price: send a limit order.",
            "mtf": "Groww’s documentation has no MTF orders.",
            "commodities": "One page of Groww’s says that MCX is supported, another that it is not.",
        },
    ),
    # UNCONFIRMED: the rule is the regulator's; how an address is registered is not documented.
    order_rules=OrderRules(
        needs_registered_ip=True,
        register_ip="Ask Groww how an address is registered for API orders.",
        authorise_debit="Give a DDPI once, or authorise the day’s sales in the Groww app, with CDSL’s TPIN.",
    ),
    master=MasterSpec(
        base_url="https://growwapi-assets.groww.in", files=(MasterFile(path="/instruments/instrument.csv"),)
    ),
    capabilities=Capabilities(
        # No market protection is documented, so nothing is offered that would need it.
        order_types=(OrderType.LIMIT, OrderType.SL),
        products=(Product.CNC, Product.MIS, Product.NRML),
        # UNCONFIRMED: one page says that MCX is not supported, another that it is; in lots, or in units? Not offered.
        exchanges=(Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO),
        validities=(Validity.DAY,),
        supports_margin_trading=False,  # MTF is a constant of the SDK, and nowhere in the documentation
        supports_options_trading=True,
        supports_commodity_trading=False,
        rate_limits=(
            RateLimit(endpoints="orders", also=("cancels",), calls=10, seconds=1),
            RateLimit(endpoints="orders", also=("cancels",), calls=250, seconds=60),
            RateLimit(endpoints="quotes", also=AS_QUOTES, calls=10, seconds=1),
            RateLimit(endpoints="quotes", also=AS_QUOTES, calls=300, seconds=60),
            RateLimit(endpoints="other", calls=20, seconds=1),
            RateLimit(endpoints="other", calls=500, seconds=60),
        ),
        features=(
            *("holdings", "positions", "funds", "quotes", "candles", "orders", "trades"),
            *("place", "modify", "cancel", "order_margin", "gtt"),
        ),
    ),
    rate_classes=RATE_CLASSES,
    errors=ERRORS,
)

QUOTE_BATCH = 50
CANDLE_DAYS = 180
ORDER_PAGE = 25  # the two variants of the documentation allow 100 and 25
TRADE_PAGE = 50
# Smart orders are listed of one segment and one status at a time, and of a month at most.
GTT_PAGE, GTT_WINDOW, GTT_SEGMENTS = 50, timedelta(days=30), ("CASH", "FNO")

# Groww's segment and exchange → ours.
EXCHANGES = {
    ("CASH", "NSE"): Exchange.NSE,
    ("CASH", "BSE"): Exchange.BSE,
    ("FNO", "NSE"): Exchange.NFO,
    ("FNO", "BSE"): Exchange.BFO,
    ("COMMODITY", "MCX"): Exchange.MCX,
}

ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "SL": OrderType.SL,
    "SL_M": OrderType.SL_M,
}

VALIDITIES = {
    "DAY": Validity.DAY,
    "IOC": Validity.IOC,
    "EOS": Validity.EOS,
    "GTC": Validity.GTC,
    "GTD": Validity.GTD,
}

# OPEN is in every published sample and in no published list. What is not here is UNKNOWN, and never an end.
STATUSES = {
    **dict.fromkeys(("NEW", "ACKED"), OrderStatus.PENDING),
    **dict.fromkeys(("APPROVED", "OPEN"), OrderStatus.OPEN),
    **dict.fromkeys(("MODIFICATION_REQUESTED", "CANCELLATION_REQUESTED"), OrderStatus.OPEN),
    "TRIGGER_PENDING": OrderStatus.TRIGGER_PENDING,
    **dict.fromkeys(("EXECUTED", "DELIVERY_AWAITED", "COMPLETED"), OrderStatus.FILLED),
    "CANCELLED": OrderStatus.CANCELLED,
    **dict.fromkeys(("REJECTED", "FAILED"), OrderStatus.REJECTED),
}

# What is not here is UNKNOWN, and never an end.
GTT_STATUSES = {
    "ACTIVE": GttStatus.ACTIVE,
    **dict.fromkeys(("TRIGGERED", "COMPLETED"), GttStatus.TRIGGERED),
    "CANCELLED": GttStatus.CANCELLED,
    "EXPIRED": GttStatus.EXPIRED,
    "FAILED": GttStatus.REJECTED,
}

PRODUCTS = {
    "CNC": Product.CNC,
    "MIS": Product.MIS,
    "NRML": Product.NRML,
    "MTF": Product.MTF,
    "CO": Product.CO,
    "BO": Product.BO,
}

# The ways out: what bounds its price, and what is documented.
EXCHANGE_WORDS = {
    ours: words for ours, words in reversed_table(EXCHANGES).items() if ours in SPEC.capabilities.exchanges
}
ORDER_TYPE_WORDS = {ours: word for ours, word in reversed_table(ORDER_TYPES).items() if ours not in UNBOUNDED}
VALIDITY_WORDS = {Validity.DAY: "DAY"}
PRODUCT_WORDS = {ours: word for ours, word in reversed_table(PRODUCTS).items() if ours in SPEC.capabilities.products}

# IST, pre-open and post-close sessions included: no trade has another time.
TRADING_HOURS = {
    Segment.EQUITY: (time(9, 0), time(16, 0)),
    Segment.FNO: (time(9, 0), time(16, 0)),
    Segment.COMMODITY: (time(9, 0), time(23, 55)),
}
