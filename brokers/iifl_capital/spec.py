"""IIFL Capital as data. Source: IIFL Capital open API documentation, August 2026."""

from datetime import time

from brokers.dealing import reversed_table
from brokers.domain import Exchange, OrderStatus, OrderType, Product, Validity
from brokers.errors import (
    INSUFFICIENT_FUNDS,
    INSUFFICIENT_HOLDINGS,
    MAINTENANCE,
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
from brokers.spec import BrokerSpec, CallbackSpec, Capabilities, OrderRules, RateClasses, RateLimit, SessionPolicy
from brokers.transport import Endpoints


def _ec(*numbers: int | range) -> list[tuple[None, str]]:
    """Keys of the error table, whatever the HTTP status: the statuses of the codes are UNCONFIRMED."""
    spread = [number for group in numbers for number in (group if isinstance(group, range) else (group,))]
    return [(None, f"EC{number:03}") for number in spread]


# Not an error: "no … found", how the API says that a book has no rows.
EMPTY_BOOK = Verdict(RequestRefused, "empty_book")

REJECTED = Verdict(OrderRejected)
# Where the status says no more than "Not_Ok", a word of the message may; the words are keys of the table below.
TELLING_WORDS = (
    *("unauthorized access", "token is not valid", "too many requests", "mrv master down"),
    *("rms:margin exceeds", "rms:rule: check holdings", "rms:"),  # the second inferred
)

ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    **dict.fromkeys(_ec(44, 55, 75), TOKEN_EXPIRED),
    **dict.fromkeys(_ec(18, 19, 52, 80), RATE_LIMITED),
    **dict.fromkeys(_ec(3), MAINTENANCE),
    **dict.fromkeys(_ec(4, 14, 76, 81, 500, range(703, 706)), SUSPENDED),  # 500: not the registered IPv4 address
    **dict.fromkeys(_ec(range(5, 11), 53, 54, 701, 702, range(800, 900)), REJECTED_INPUT),
    **dict.fromkeys(_ec(range(900, 1000)), REJECTED),  # of orders; those that are not are named below
    **dict.fromkeys(_ec(916, 918, 920, 922, 926, 938), EMPTY_BOOK),
    **dict.fromkeys(_ec(912, 913, 915, 917, 919, 921, 923, 924, 927, 935, 937, 939, 940), UNAVAILABLE),
    (None, "unauthorized access"): TOKEN_EXPIRED,
    (None, "token is not valid"): TOKEN_EXPIRED,
    (None, "too many requests"): RATE_LIMITED,
    (None, "mrv master down"): MAINTENANCE,
    (None, "rms:margin exceeds"): INSUFFICIENT_FUNDS,
    (None, "rms:rule: check holdings"): INSUFFICIENT_HOLDINGS,
    (None, "rms:"): REJECTED,
    (401, None): TOKEN_EXPIRED,
    (404, None): UNEXPECTED,
    (429, None): RATE_LIMITED,
    (500, None): UNAVAILABLE,
    (502, None): MAINTENANCE,
    (503, None): MAINTENANCE,
    (504, None): MAINTENANCE,
}

# No state on the wire, and a return address that is not the registered one to the letter comes back without parameters.
CALLBACK = CallbackSpec(code="authCode", may_drop_state=True)
CLIENT_ID = "clientId"

RATE_CLASSES: RateClasses = {
    ("POST", "/v1/orders"): "orders",
    ("PUT", "/v1/orders"): "orders",
    ("DELETE", "/v1/orders"): "cancels",
    ("GET", "/v1/orders"): "books",
    (None, "/v1/trades"): "books",
    (None, "/v1/positions"): "books",
    (None, "/v1/holdings"): "books",
    (None, "/v1/profile"): "books",
    (None, "/v1/getusersession"): "session",
    (None, "/v1/profile/logout"): "logout",
    (None, "/v1/marketdata"): "quotes",
    (None, "/v1/marketdata/historicaldata"): "history",
    (None, "/v1/marketdata/openinterest"): "funds",
    (None, "/v1/limits"): "funds",
    (None, "/v1/preordermargin"): "funds",
    (None, "/v1/spanexposure"): "funds",
    **{
        (None, f"/v1/contractfiles/{segment}.{kind}"): "contracts"
        for segment in (*("NSEEQ", "NSEFO", "NSECOMM", "NSECURR", "BSEEQ", "BSEFO", "BSECURR"), "MCXCOMM", "INDICES")
        for kind in ("csv", "json")
    },
}
MASTER_NAMES = (*("NSEEQ", "BSEEQ", "NSEFO", "BSEFO", "NSECURR", "BSECURR", "MCXCOMM", "NSECOMM"),)

SPEC = BrokerSpec(
    slug="iifl_capital",
    name="IIFL Capital",
    endpoints=Endpoints(base_url="https://api.iiflcapital.com", login_url="https://markets.iiflcapital.com"),
    stream_url="mqtts://bridge.iiflcapital.com:8883",
    callback=CALLBACK,
    # One trading day. UNCONFIRMED: midnight is what others observed; the token's own `exp` is preferred.
    session=SessionPolicy(ends_at=time(0, 0)),
    guide=Guide(
        console="https://developers.iiflcapital.com",
        app="Make an app in the developer portal, as a client of IIFL Capital.",
        redirect=(
            "Enter this as the app’s redirect URL, letter by letter. A login that comes back empty means that it does "
            "not match."
        ),
        keys="Copy the app key and the app secret.",
        proof="User id, password and OTP or TOTP, on IIFL Capital’s own page.",
        price="Free.",
        # Reported by others; EC500 says so.
        address_for_reading=(
            "As others report, IIFL Capital answers nothing at all, readings included, to an address that is not "
            "registered: register it before the first login."
        ),
        without={
            "protected_stops": "A stop without a limit is refused, as others report.",
            "gtt": "IIFL Capital’s documentation has none that we know of.",
        },
    ),
    # UNCONFIRMED: the rule is the regulator's; how an address is registered is not documented.
    order_rules=OrderRules(
        needs_registered_ip=True,
        register_ip="Ask IIFL how an address is registered for API orders.",
        authorise_debit="Give a DDPI or PoA once, or authorise the day’s sales with IIFL.",
    ),
    master=MasterSpec(files=tuple(MasterFile(path=f"/v1/contractfiles/{name}.csv") for name in MASTER_NAMES)),
    counts_lots_at=(Exchange.MCX, Exchange.NCO),
    capabilities=Capabilities(
        # A stop without a limit is refused, as clients report.
        order_types=(OrderType.MARKET, OrderType.LIMIT, OrderType.SL),
        products=(Product.CNC, Product.MIS, Product.NRML, Product.MTF),
        exchanges=tuple(Exchange),
        validities=(Validity.DAY, Validity.IOC),
        supports_margin_trading=True,
        supports_options_trading=True,
        supports_commodity_trading=True,
        rate_limits=(
            RateLimit(endpoints="orders", also=("cancels",), calls=10, seconds=1),
            # UNCONFIRMED whether the calls of one line of the broker's table share its figure: they do here. One
            # order's history has 10, but its path cannot be told from the book's, and it is counted with that.
            RateLimit(endpoints="books", also=("session", "other"), calls=3, seconds=1),
            RateLimit(endpoints="quotes", also=("history",), calls=10, seconds=1),
            RateLimit(endpoints="funds", calls=10, seconds=1),
            RateLimit(endpoints="logout", per_path=True, calls=2, seconds=1),
            RateLimit(endpoints="contracts", per_path=True, calls=2, seconds=1),
        ),
        features=(
            *("holdings", "positions", "funds", "quotes", "candles", "orders", "trades", "revoke"),
            *("place", "modify", "cancel", "order_margin"),
        ),
    ),
    rate_classes=RATE_CLASSES,
    errors=ERRORS,
)

QUOTE_BATCH = 100  # UNCONFIRMED: no limit is published
CANDLE_DAYS = 365  # UNCONFIRMED: no most is published; a client asks for more than twice as many

EXCHANGES = {
    "NSEEQ": Exchange.NSE,
    "BSEEQ": Exchange.BSE,
    "NSEFO": Exchange.NFO,
    "BSEFO": Exchange.BFO,
    "NSECURR": Exchange.CDS,
    "BSECURR": Exchange.BCD,
    "MCXCOMM": Exchange.MCX,
    "NSECOMM": Exchange.NCO,
}
COUNTED_IN_LOTS = frozenset(SPEC.counts_lots_at)

ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "SL": OrderType.SL,
    "SLM": OrderType.SL_M,
}

VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC}

# Free text on the wire: looked up in small letters, words parted by spaces. What is not here is UNKNOWN, never an end.
STATUSES = {
    "put order req received": OrderStatus.PENDING,
    **dict.fromkeys(("open", "partially filled"), OrderStatus.OPEN),
    "trigger pending": OrderStatus.TRIGGER_PENDING,
    "complete": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELLED,
    "rejected": OrderStatus.REJECTED,
}

PRODUCTS = {
    "DELIVERY": Product.CNC,
    "INTRADAY": Product.MIS,
    "NORMAL": Product.NRML,
    "BNPL": Product.MTF,  # inferred: buy now, pay later
}

# What is sent of these tables.
ORDER_TYPE_WORDS = {
    ours: word for ours, word in reversed_table(ORDER_TYPES).items() if ours in SPEC.capabilities.order_types
}
VALIDITY_WORDS = reversed_table(VALIDITIES)
PRODUCT_WORDS = reversed_table(PRODUCTS)
REGULAR = "REGULAR"
LONGEST_ALGO_ID = 12
NOT_FOR_MARGIN = frozenset({"disclosedQuantity", "marketProtectionPercent", "algoId", "orderTag"})
