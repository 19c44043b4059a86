"""Angel One as data. Source: SmartAPI documentation, August 2026, and the official SDKs."""

from datetime import time

from brokers.dealing import GttStatus, reversed_table
from brokers.domain import ConnectionStatus, Exchange, OrderStatus, OrderType, Product, Validity
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
    BrokerUnavailable,
    RequestRefused,
    Verdict,
)
from brokers.guide import Guide
from brokers.masters import MasterFile, MasterSpec
from brokers.spec import (
    API_KEY,
    BrokerSpec,
    CallbackSpec,
    Capabilities,
    FormField,
    LoginMethod,
    OrderRules,
    PostbackSpec,
    RateClasses,
    RateLimit,
    Renewal,
    SessionPolicy,
)
from brokers.transport import Endpoints

# The broker wants to know whose machine calls. No value is checked: the official SDK sends made-up addresses too.
MACHINE = {"X-ClientLocalIP": "127.0.0.1", "X-ClientPublicIP": "127.0.0.1", "X-MACAddress": "00:00:00:00:00:00"}

AUTH, SECURE = "/rest/auth/angelbroking", "/rest/secure/angelbroking"

CALLBACK = CallbackSpec(code="auth_token", may_drop_state=True)

PIN_TOTP = LoginMethod(
    name="pin_totp",
    label="Client code, PIN and TOTP",
    fields=(
        FormField(name="clientcode", label="Client code", secret=False),
        FormField(name="pin", label="PIN", help="The four digits that open the Angel One app."),
        FormField(name="totp", label="TOTP", help="The six digits that your authenticator shows now."),
    ),
    help="For an API key that is not of the Publisher type.",
)


def _codes(prefix: str, *numbers: int | range) -> list[tuple[None, str]]:
    """Keys of the error table, whatever the HTTP status: most failures come with 200."""
    spread = [number for group in numbers for number in (group if isinstance(group, range) else (group,))]
    return [(None, f"{prefix}{number}") for number in spread]


ERRORS: dict[tuple[int | None, str | None], Verdict] = {
    **dict.fromkeys(_codes("AG", 8001, 8002, 8003), TOKEN_EXPIRED),
    **dict.fromkeys(_codes("AB", 1010, 1011, 8050, 8051, 9005), TOKEN_EXPIRED),
    **dict.fromkeys(_codes("AB", 1021, 1023), RATE_LIMITED),
    **dict.fromkeys(_codes("AB", 1006), SUSPENDED),
    # "Try again later": an outage only where it lasts, and one answer cannot tell.
    **dict.fromkeys(_codes("AB", 1004, 2001, 9000), UNAVAILABLE),
    **dict.fromkeys(_codes("AG", 2001), UNAVAILABLE),
    **dict.fromkeys(
        _codes(
            "AB",
            *(1008, range(1014, 1019), 2002, 4018),
            *(range(9001, 9005), range(9006, 9019)),
            *(range(1000, 1004), 1005, 1031, 1032, 1050),
        ),
        REJECTED_INPUT,
    ),
    (None, "AB1009"): Verdict(RequestRefused, "unknown_instrument"),
    (None, "AB1012"): Verdict(RequestRefused, "product_refused"),
    # Also the answer to a cancellation that comes too late.
    (None, "AB1013"): Verdict(RequestRefused, "order_not_found", None, "It may have ended by now: see the order book."),
    (None, "AB4008"): Verdict(RequestRefused, "tag_refused"),
    (None, "AB1007"): UNAVAILABLE,  # the order system failed; at a login it means something else, see below
    (None, "AB2000"): UNEXPECTED,
    (None, "AB7001"): Verdict(  # UNCONFIRMED code: the words alone are known
        RequestRefused, "login_by_mpin", None, "This account has moved to MPIN: log in on Angel One's own page instead."
    ),
    (None, "AG8004"): Verdict(
        BrokerUnavailable, "app_misconfigured", ConnectionStatus.ERROR, "Check your app's API key at the broker."
    ),
    # Orders alone are bound to an address: the account can still be read, and nothing was placed.
    (None, "AG7002"): Verdict(
        RequestRefused,
        IP_NOT_REGISTERED,
        None,
        "Register this installation's IP address for your app at the broker: orders are bound to it.",
    ),
    # UNCONFIRMED: the one 403 that is documented is the rate limit, a plain text without a code.
    (403, None): RATE_LIMITED,
    (401, None): TOKEN_EXPIRED,  # UNCONFIRMED: documented for the sockets alone
    (404, None): UNEXPECTED,
    (405, None): UNEXPECTED,
    (500, None): UNAVAILABLE,
    # UNCONFIRMED: no maintenance answer is published; these are a gateway's.
    (502, None): MAINTENANCE,
    (503, None): MAINTENANCE,
    (504, None): MAINTENANCE,
}

# An order with a wrong key was not placed; that the account cannot be read with it either, a reading will tell.
ORDER_ERRORS: dict[tuple[int | None, str | None], Verdict] = {(None, "AG8004"): MISCONFIGURED}

# What a code means while nobody is logged in: it is the trader, or his key, who is told no.
LOGIN_ERRORS = {"AB1007": REJECTED_INPUT, "AG8004": MISCONFIGURED}

# "Holding not found" and "position not found": there are none.
NOTHING_THERE = frozenset({"AB1015", "AB1016"})

# "Already authorised at the depository today": what was asked for is so.
NOT_A_FAILURE = frozenset({"AG1000"})

# The most tokens of one quote call.
QUOTE_LIMIT = 50

# The most days of daily candles of one call.
CANDLE_DAYS = 2000

# What the published request for a page of GTT rules asks for.
GTT_PAGE, GTT_LISTED = 10, ("NEW", "CANCELLED", "ACTIVE", "SENTTOEXCHANGE", "FORALL")

# What counts per path has an entry for each; what is not here shares one window of class "other".
RATE_CLASSES: RateClasses = {
    (None, f"{AUTH}/user/v1/loginByPassword"): "session",
    (None, f"{SECURE}/user/v1/logout"): "session",
    (None, f"{AUTH}/jwt/v1/generateTokens"): "refresh",
    (None, f"{SECURE}/user/v1/getProfile"): "profile",
    (None, f"{SECURE}/user/v1/getRMS"): "funds",
    **{
        (None, f"{SECURE}/{path}"): "books"
        for path in (
            *("portfolio/v1/getHolding", "portfolio/v1/getAllHolding", "order/v1/getPosition"),
            *("order/v1/getOrderBook", "order/v1/getTradeBook", "order/v1/searchScrip"),
            "marketData/v1/optionGreek",
        )
    },
    **{(None, f"{SECURE}/order/v1/{verb}Order"): "orders" for verb in ("place", "modify")},
    (None, f"{SECURE}/order/v1/cancelOrder"): "cancels",
    **{(None, f"{SECURE}/gtt/v1/{verb}Rule"): "gtt" for verb in ("create", "modify")},
    (None, f"{SECURE}/gtt/v1/cancelRule"): "gtt_cancels",
    (None, f"{SECURE}/market/v1/quote"): "quotes",
    (None, f"{SECURE}/order/v1/getLtpData"): "quotes",
    (None, f"{SECURE}/historical/v1"): "history",
    **{
        (None, f"{SECURE}/{path}"): "other"
        for path in (
            *("order/v1/details", "order/v1/convertPosition", "margin/v1/batch"),
            *("gtt/v1/ruleDetails", "gtt/v1/ruleList"),
        )
    },
}

SPEC = BrokerSpec(
    slug="angel_one",
    name="Angel One",
    endpoints=Endpoints(
        base_url="https://apiconnect.angelone.in", login_url="https://smartapi.angelone.in/publisher-login"
    ),
    stream_url="wss://smartapisocket.angelone.in",
    order_stream_url="wss://tns.angelone.in",
    headers={"Content-Type": "application/json", "X-UserType": "USER", "X-SourceID": "WEB", **MACHINE},
    app_fields=(API_KEY,),  # tokens come without an exchange: there is no secret to prove
    callback=CALLBACK,
    login_methods=(PIN_TOTP,),
    # Dead at midnight; the token's own `exp` is preferred. UNCONFIRMED whether a refresh reaches past midnight: none
    # is promised.
    session=SessionPolicy(ends_at=time(0, 0), renewal=Renewal.REFRESH_TOKEN),
    guide=Guide(
        console="https://smartapi.angelone.in",
        # Reported by others: a key for trading alone is refused with a 403 by the login page.
        app="Make an app of the kind Publisher: a key for trading alone is refused by the login page.",
        redirect=(
            "Enter this as the app’s redirect URL, letter by letter. Without one, Angel One’s login leads nowhere."
        ),
        keys="Copy the app’s API key. There is no secret to copy.",
        proof="Client code, PIN and TOTP: on Angel One’s own page, or in a form here.",
        without={
            "commodities": "Whether Angel One’s orders to MCX count lots or units is published nowhere.",
            "currencies": "Currency is not in Angel One’s list of exchanges for orders.",
        },
    ),
    order_rules=OrderRules(
        needs_registered_ip=True,
        register_ip="Register it for your app on the SmartAPI page.",
        authorise_debit="Give a DDPI once, or authorise the day’s sales in the Angel One app, with CDSL’s TPIN.",
    ),
    postback=PostbackSpec(
        is_signed=False,
        instruction=(
            "In the developer console of SmartAPI, enter it as the postback URL of your app. It must begin with "
            "https:// and name no port. Angel One posts there what happens to orders that are placed through this "
            "app alone."
        ),
    ),
    master=MasterSpec(
        base_url="https://margincalculator.angelone.in",
        files=(MasterFile(path="/OpenAPI_File/files/OpenAPIScripMaster.json"),),
    ),
    capabilities=Capabilities(
        order_types=(OrderType.MARKET, OrderType.LIMIT, OrderType.SL, OrderType.SL_M),
        products=(Product.CNC, Product.MIS, Product.NRML, Product.MTF),
        # UNCONFIRMED: currency and NSE's commodities stand in the master, but not in the list of exchanges for orders;
        # whether those to MCX count lots or units is published nowhere, and a hundred times apart: not offered.
        exchanges=(Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO),
        validities=(Validity.DAY, Validity.IOC),
        supports_margin_trading=True,
        supports_options_trading=True,
        supports_commodity_trading=False,
        rate_limits=(
            RateLimit(endpoints="session", per_path=True, calls=1, seconds=1),
            RateLimit(endpoints="refresh", calls=1, seconds=1),
            RateLimit(endpoints="refresh", calls=1000, seconds=3600),
            RateLimit(endpoints="profile", calls=3, seconds=1),
            RateLimit(endpoints="profile", calls=1000, seconds=3600),
            RateLimit(endpoints="funds", calls=2, seconds=1),
            RateLimit(endpoints="books", per_path=True, calls=1, seconds=1),
            RateLimit(endpoints="orders", also=("cancels",), calls=9, seconds=1),
            RateLimit(endpoints="orders", also=("cancels",), calls=500, seconds=60),
            RateLimit(endpoints="orders", also=("cancels",), calls=1000, seconds=3600),
            RateLimit(endpoints="quotes", calls=1, seconds=1),  # UNCONFIRMED: another page of the docs says 10
            RateLimit(endpoints="quotes", calls=500, seconds=60),
            RateLimit(endpoints="quotes", calls=5000, seconds=3600),
            RateLimit(endpoints="history", calls=3, seconds=1),  # UNCONFIRMED: field reports say it refuses sooner
            RateLimit(endpoints="history", calls=180, seconds=60),
            RateLimit(endpoints="history", calls=5000, seconds=3600),
            RateLimit(endpoints="gtt", also=("gtt_cancels",), calls=9, seconds=1),
            RateLimit(endpoints="gtt", also=("gtt_cancels",), calls=500, seconds=60),
            RateLimit(endpoints="gtt", also=("gtt_cancels",), calls=5000, seconds=3600),
            RateLimit(endpoints="other", per_path=True, calls=10, seconds=1),
            RateLimit(endpoints="other", per_path=True, calls=500, seconds=60),
            RateLimit(endpoints="other", per_path=True, calls=5000, seconds=3600),
        ),
        features=(
            *("holdings", "positions", "funds", "quotes", "candles", "orders", "trades", "refresh", "revoke"),
            *("place", "modify", "cancel", "order_margin", "gtt"),
        ),
    ),
    rate_classes=RATE_CLASSES,
    errors=ERRORS,
    order_errors=ORDER_ERRORS,
)

# Rows and master use our words; profiles use these or the others. NCDEX is not an exchange of ours.
EXCHANGES = {exchange.value: exchange for exchange in Exchange} | {
    "nse_cm": Exchange.NSE,
    "bse_cm": Exchange.BSE,
    "nse_fo": Exchange.NFO,
    "bse_fo": Exchange.BFO,
    "cde_fo": Exchange.CDS,
    "mcx_fo": Exchange.MCX,
}

ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "STOPLOSS_LIMIT": OrderType.SL,
    "STOPLOSS_MARKET": OrderType.SL_M,
}

VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC}

# By its variety and its id an order is named.
VARIETIES = {
    OrderType.MARKET: "NORMAL",
    OrderType.LIMIT: "NORMAL",
    OrderType.SL: "STOPLOSS",
    OrderType.SL_M: "STOPLOSS",
}

GTT_EXCHANGES = frozenset({Exchange.NSE, Exchange.BSE})
# UNCONFIRMED: the words are published, what they mean is not. What is not here is UNKNOWN, and never an end.
GTT_STATUSES = {
    "NEW": GttStatus.ACTIVE,
    "ACTIVE": GttStatus.ACTIVE,
    "SENTTOEXCHANGE": GttStatus.TRIGGERED,
    "CANCELLED": GttStatus.CANCELLED,
}

# Lower case on the wire. What is not here is UNKNOWN, and never an end.
STATUSES = {
    **dict.fromkeys(("validation pending", "put order req received", "open pending"), OrderStatus.PENDING),
    **dict.fromkeys(
        ("after market order req received", "modify after market order req received", "amo req received"),
        OrderStatus.PENDING,
    ),
    **dict.fromkeys(("open", "modified", "not modified", "modify pending", "not cancelled"), OrderStatus.OPEN),
    "cancel pending": OrderStatus.OPEN,
    "trigger pending": OrderStatus.TRIGGER_PENDING,
    "complete": OrderStatus.FILLED,
    **dict.fromkeys(("cancelled", "cancelled after market order"), OrderStatus.CANCELLED),
    "rejected": OrderStatus.REJECTED,
}

# Rows use the first five words; profiles use these or the others.
PRODUCTS = {
    "DELIVERY": Product.CNC,
    "INTRADAY": Product.MIS,
    "CARRYFORWARD": Product.NRML,
    "MARGIN": Product.MTF,
    "BO": Product.BO,
    "CNC": Product.CNC,
    "MIS": Product.MIS,
    "NRML": Product.NRML,
    "CO": Product.CO,
}

# The ways out; of two words for one product that of the rows is sent.
EXCHANGE_WORDS = {exchange: exchange.value for exchange in SPEC.capabilities.exchanges}
ORDER_TYPE_WORDS, VALIDITY_WORDS = reversed_table(ORDER_TYPES), reversed_table(VALIDITIES)
PRODUCT_WORDS = {ours: word for ours, word in reversed_table(PRODUCTS).items() if ours in SPEC.capabilities.products}
GTT_PRODUCT_WORDS = {ours: PRODUCT_WORDS[ours] for ours in (Product.CNC, Product.MTF)}
