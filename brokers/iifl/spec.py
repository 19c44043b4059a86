"""IIFL's XTS as data. Source: Symphony XTS docs and SDKs, September 2026; little was seen at IIFL itself."""

from brokers.dealing import UNBOUNDED, reversed_table
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
    SessionEnded,
    Verdict,
)
from brokers.guide import Guide
from brokers.masters import MasterFile, MasterSpec
from brokers.spec import (
    BrokerSpec,
    Capabilities,
    FormField,
    LoginMethod,
    OrderRules,
    RateClasses,
    RateLimit,
    Renewal,
    SessionPolicy,
)
from brokers.transport import Endpoints

KEYS_REFUSED = Verdict(
    SessionEnded, "keys_refused", None, "Renew your API keys at the broker, store them here, and log in again."
)
# Not errors: how XTS says that a book has no rows, and that prices are subscribed to already.
EMPTY_BOOK = Verdict(RequestRefused, "empty_book")
ALREADY_SUBSCRIBED = Verdict(RequestRefused, "already_subscribed")

OVER_LIMIT = "e-session-0004"  # too many sessions or, said of a subscription, too many of these

EMPTY_BOOK_WORDS = "data not available"
EMPTY_BOOK_CODES = frozenset({"e-orders-0005", "e-tradebook-0005", "e-portfolio-0005", "e-holdings-0005"})

# An order that is refused at once. These codes do not say why; a word of the description may, a key of the table below.
REJECTED = Verdict(OrderRejected)
REJECTED_CODES = frozenset({"e-orders-0001", "e-rms-0001"})
REJECTED_WORDS = ("margin exceeds", "holdings")  # the second inferred

# Where the code says nothing we know, a word of the description may; the words are keys of the table below.
TELLING_WORDS = ("invalid token", "bad request", "blocked", "suspended", "dormant", "disabled")

ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    (None, "e-session-0007"): TOKEN_EXPIRED,  # expired, replaced, or the token of the other application
    (None, "e-token-0002"): TOKEN_EXPIRED,
    (None, "invalid token"): TOKEN_EXPIRED,
    (401, None): TOKEN_EXPIRED,
    (None, "e-user-0001"): KEYS_REFUSED,  # UNCONFIRMED code of a refused login
    (None, "e-apirl-0004"): RATE_LIMITED,
    (None, OVER_LIMIT): RATE_LIMITED,
    (None, "e-session-0002"): ALREADY_SUBSCRIBED,
    (429, None): RATE_LIMITED,
    **{(None, code): EMPTY_BOOK for code in EMPTY_BOOK_CODES},
    **dict.fromkeys(
        [(None, "e-property-validation-failed"), (None, "bad request"), (None, "e-instrument-0001")], REJECTED_INPUT
    ),
    **{(None, code): REJECTED for code in REJECTED_CODES},
    (None, "margin exceeds"): INSUFFICIENT_FUNDS,
    (None, "holdings"): INSUFFICIENT_HOLDINGS,
    # Codes UNCONFIRMED: these are words of the description.
    **{(None, word): SUSPENDED for word in ("blocked", "suspended", "dormant", "disabled")},
    (None, "e-server-0001"): UNAVAILABLE,
    (404, None): UNEXPECTED,
    (500, None): UNAVAILABLE,
    (502, None): MAINTENANCE,
    (503, None): MAINTENANCE,
    (504, None): MAINTENANCE,
}

MARKET_API_KEY = FormField(
    name="market_api_key",
    label="Market data API key",
    required=False,
    help="XTS sells prices as an application of its own. Without this pair prices come from your other brokers.",
)
MARKET_API_SECRET = FormField(name="market_api_secret", label="Market data API secret", required=False)

RATE_CLASSES: RateClasses = {
    ("POST", "/interactive/orders"): "orders",
    ("PUT", "/interactive/orders"): "orders",
    ("DELETE", "/interactive/orders"): "cancels",
    (None, "/interactive/portfolio/squareoff"): "orders",
    ("GET", "/interactive/orders"): "other",
    (None, "/interactive/orders/trades"): "other",
    (None, "/interactive/portfolio/holdings"): "other",
    (None, "/interactive/portfolio/positions"): "other",
    (None, "/interactive/user/profile"): "other",
    (None, "/interactive/user/balance"): "other",
    (None, "/interactive/user/session"): "session",
    (None, "/apimarketdata/auth/login"): "session",
    (None, "/apimarketdata/auth/logout"): "session",
    (None, "/apimarketdata/instruments/quotes"): "quotes",
    (None, "/apimarketdata/instruments/subscription"): "quotes",
    (None, "/apimarketdata/instruments/ohlc"): "history",
}
# One request for each: together they would be one string of some 40 MB.
MASTER_SEGMENTS = ("NSECM", "BSECM", "NSEFO", "BSEFO", "NSECD", "MCXFO")

SPEC = BrokerSpec(
    slug="iifl",
    name="IIFL (XTS Blaze)",
    endpoints=Endpoints(base_url="https://ttblaze.iifl.com", login_url="https://ttblaze.iifl.com"),
    stream_url="wss://ttblaze.iifl.com",
    order_stream_url="wss://ttblaze.iifl.com",
    app_fields=(
        FormField(name="api_key", label="Interactive API key"),
        FormField(name="api_secret", label="Interactive API secret"),
        MARKET_API_KEY,
        MARKET_API_SECRET,
    ),
    # UNCONFIRMED whether IIFL enables the platform's redirect login: we keep to the documented one.
    login_methods=(
        LoginMethod(
            name="keys",
            label="Log in with the stored keys",
            help="XTS has no login page: your key pairs open the session.",
        ),
    ),
    # 24 hours by the token's own `exp`. UNCONFIRMED whether a nightly clearing ends it sooner: the 400 decides.
    session=SessionPolicy(renewal=Renewal.STORED_KEYS),
    guide=Guide(
        console=None,
        app=(
            "Ask IIFL for API access by XTS. You get two apps, each with a key and a secret: one for dealing "
            "(interactive) and one for market data."
        ),
        keys="Have both pairs at hand. A key of one app is refused by the other.",
        proof="Nothing: the stored keys open the session.",
        side_by_side=("A second login with the same pair replaces the first: keep these keys for TradeMaster alone."),
        without={
            "market_orders": "No protection of a market order’s price is documented: send a limit order.",
            "gtt": "XTS documents none that we know of.",
        },
    ),
    # UNCONFIRMED: the rule is the regulator's; how an address is registered is not documented.
    order_rules=OrderRules(
        needs_registered_ip=True,
        register_ip="Ask IIFL how an address is registered for API orders.",
        authorise_debit="Give a DDPI once, or authorise the day’s sales with IIFL.",
    ),
    master=MasterSpec(
        files=tuple(
            MasterFile(
                method="POST",
                path="/apimarketdata/instruments/master",
                json={"exchangeSegmentList": [segment]},
            )
            for segment in MASTER_SEGMENTS
        )
    ),
    # UNCONFIRMED: should units be meant there, too little is dealt and not too much.
    counts_lots_at=(Exchange.CDS, Exchange.BCD, Exchange.MCX),
    capabilities=Capabilities(
        # No market protection is documented, so nothing is offered that would need it.
        order_types=(OrderType.LIMIT, OrderType.SL),
        products=(Product.CNC, Product.MIS, Product.NRML, Product.MTF),
        exchanges=(Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO, Exchange.CDS, Exchange.BCD, Exchange.MCX),
        validities=(Validity.DAY, Validity.IOC),
        supports_margin_trading=True,
        supports_options_trading=True,
        supports_commodity_trading=True,
        # UNCONFIRMED: IIFL publishes no figures; other XTS brokers work with these, the second for each endpoint.
        rate_limits=(
            RateLimit(endpoints="orders", also=("cancels",), calls=10, seconds=1),
            RateLimit(endpoints="other", also=("quotes", "history", "session"), per_path=True, calls=1, seconds=1),
        ),
        features=(
            *("holdings", "positions", "funds", "quotes", "candles", "orders", "trades", "revoke"),
            *("place", "modify", "cancel"),
        ),
    ),
    rate_classes=RATE_CLASSES,
    errors=ERRORS,
)

SOURCE = "WEBAPI"
QUOTE_BATCH = 50  # UNCONFIRMED: what clients use
TOUCHLINE = 1501
CANDLE_DAYS = 7  # UNCONFIRMED: no most is published; a client asks for a week at a time

EXCHANGES = {
    "NSECM": Exchange.NSE,
    "BSECM": Exchange.BSE,
    "NSEFO": Exchange.NFO,
    "BSEFO": Exchange.BFO,
    "NSECD": Exchange.CDS,
    "BSECD": Exchange.BCD,
    "MCXFO": Exchange.MCX,
}

# Asked in capitals, answered in mixed case: looked up in capitals.
ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "STOPLIMIT": OrderType.SL,
    "STOPMARKET": OrderType.SL_M,
}

VALIDITIES = {
    "DAY": Validity.DAY,
    "IOC": Validity.IOC,
    "GTC": Validity.GTC,
    "GTD": Validity.GTD,
    "EOS": Validity.EOS,
}

# What is not here is UNKNOWN, and never an end.
STATUSES = {
    "PendingNew": OrderStatus.PENDING,
    **dict.fromkeys(("New", "PartiallyFilled", "Replaced", "PendingReplace", "PendingCancel"), OrderStatus.OPEN),
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "Rejected": OrderStatus.REJECTED,
    "Expired": OrderStatus.EXPIRED,
}

PRODUCTS = {
    "CNC": Product.CNC,
    "MIS": Product.MIS,
    "NRML": Product.NRML,
    "MTF": Product.MTF,
    "CO": Product.CO,
    "BO": Product.BO,
}

# What is sent of these tables: what bounds its price, and what every exchange takes.
ORDER_TYPE_WORDS = {ours: word for ours, word in reversed_table(ORDER_TYPES).items() if ours not in UNBOUNDED}
VALIDITY_WORDS = {Validity.DAY: "DAY", Validity.IOC: "IOC"}
PRODUCT_WORDS = {ours: word for ours, word in reversed_table(PRODUCTS).items() if ours in SPEC.capabilities.products}
