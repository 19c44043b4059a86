"""Who gets what at every address but the pages of the admin's models: one entry per route, one row per method.

`{…}` in an address is an id of Alice's, by the names of `test_addresses.ids`. Bodies are the smallest that show that
the permission let somebody through: many are wrong on purpose.
"""

from brokers import consents
from tests.accounts.door import PASSWORD
from tests.permissions.cells import (
    NEEDS_PROOF,
    NOT_FOUND,
    SIGN_IN,
    STEP_UP,
    Address,
    Cells,
    Row,
    api,
    everybody,
    form,
    open_api,
    page,
    people,
    proven,
    signed_in,
    staff,
    traders,
)
from tests.permissions.rows import CONNECTION, GIVEN_GRANT, GTT, ORDER, POSTBACK_SECRET, RECEIVED_GRANT

DESK = "302 /admin/"
HOME = "302 /"
TRADERS_PAGE = people(SIGN_IN, "200", "200", DESK, DESK)
# Nobody who is signed in has any business here.
# Whoever has no broker has no book to take along, and is led to where one is connected.
BOOK = people(SIGN_IN, "200", "302 /connect", DESK, DESK)
STRANGERS_PAGE = people("200", HOME, HOME, HOME, HOME)
STRANGERS_STEP = signed_in(HOME, stranger=SIGN_IN)
ANY_WAY = "302 /account/factors"
PROFILE = "302 /account/profile"
SHOWN = ("200", "200")
SHOWS_A_CODE = {"unproven": "302 /step-up/code", "stale_admin": "302 /step-up/code"}
NEW_TOKEN = {"name": "backup", "scope": "read", "days": 30}
# Personal tokens open the API, and so are made by traders alone.
FOR_TRADERS = proven("200") | {"support": ANY_WAY, "admin": ANY_WAY, "factorless": ANY_WAY}
SWITCH = "302 /kill-switch"
DEMO = people(SIGN_IN, "302 /demo/", "302 /demo/", DESK, DESK)
# Support has no trading to re-arm: it is led to its desk, after the same proof.
TO_DESK = {"support": DESK, "admin": DESK, "factorless": DESK, "first admin": "200"}
FOR_PROVEN_TRADERS = proven("200") | TO_DESK
FOR_PROVEN_TRADERS_POST = proven("302 /kill-switch/re-arm") | TO_DESK | {"first admin": "302 /kill-switch/re-arm"}


def for_traders(owner: str, other: str | None = None, **more: str) -> Cells:
    """A page for the role TRADER alone; support is led to its desk."""
    return people(SIGN_IN, owner, owner if other is None else other, DESK, DESK, **more)


PROVEN_TRADERS = for_traders("200", stale=STEP_UP)
CLIENT_NEEDED = traders("403 api_session_needed")

PAGES: dict[str, Address] = {
    "": page("/", GET=TRADERS_PAGE),
    "connect": page("/connect", GET=TRADERS_PAGE),
    "connect/<str:slug>": page("/connect/zerodha", GET=TRADERS_PAGE),
    "brokers/health/": page("/brokers/health/", GET=TRADERS_PAGE),
    "brokers/health/<str:slug>/": page("/brokers/health/zerodha/", GET=TRADERS_PAGE),
    "logins": page("/logins", GET=TRADERS_PAGE),
    "kill-switch": page("/kill-switch", GET=TRADERS_PAGE, POST=people(SIGN_IN, SWITCH, SWITCH, DESK, DESK)),
    "kill-switch/re-arm": page(
        "/kill-switch/re-arm",
        GET=FOR_PROVEN_TRADERS,
        POST=FOR_PROVEN_TRADERS_POST,
        options=("405", "405"),
    ),
    "risk/": page("/risk/", GET=TRADERS_PAGE),
    "demo/": page("/demo/", GET=TRADERS_PAGE),
    "demo/panel": page("/demo/panel", GET=TRADERS_PAGE),
    "demo/first-run": page("/demo/first-run", GET=TRADERS_PAGE),
    "demo/do": page("/demo/do", POST=DEMO, head=everybody("405")),
    "demo/checklist": page("/demo/checklist", POST=DEMO, head=everybody("405")),
    "demo/market": page("/demo/market", POST=DEMO, head=everybody("405")),
    "status": page("/status", GET=everybody("200")),
    "plain": page("/plain", GET=TRADERS_PAGE),
    "strip": page("/strip", GET=TRADERS_PAGE),
    "help": page("/help", GET=signed_in("200")),
    "manifest.webmanifest": page("/manifest.webmanifest", GET=everybody("200")),
    "sw.js": page("/sw.js", GET=everybody("200")),
    "offline": page("/offline", GET=everybody("200")),
    "portfolio/export.csv": page("/portfolio/export.csv", GET=BOOK),
    "portfolio/export.xlsx": page("/portfolio/export.xlsx", GET=BOOK),
    "orders/": page("/orders/", GET=TRADERS_PAGE),
    "orders/export.csv": page("/orders/export.csv", GET=TRADERS_PAGE),
    "orders/<uuid:id>/": page(f"/orders/{ORDER}/", GET=people(SIGN_IN, "200", "404", DESK, DESK)),
    "health/live": page("/health/live", GET=everybody("200")),
    "health/ready": page("/health/ready", GET=everybody("200")),
    "api/schema": page("/api/schema", GET=everybody("200")),
    "api/docs": page("/api/docs", GET=everybody("200")),
    "^api/.*$": page("/api/nowhere", GET=everybody(NOT_FOUND), rest=NOT_FOUND, options=(NOT_FOUND, NOT_FOUND)),
    "brokers/callback/<str:broker_type>": page(
        "/brokers/callback/zerodha", GET=signed_in("302 /connect/zerodha"), head=everybody("405")
    ),
    "brokers/login/<str:broker_type>": page(
        "/brokers/login/zerodha", GET=signed_in("200"), POST=signed_in("302 /connect/zerodha"), head=everybody("405")
    ),
    # The end of the address lets a broker in, and no session adds to it or takes from it.
    "brokers/postback/<path:secret>": page(f"/brokers/postback/{POSTBACK_SECRET}", POST=everybody("200")),
}

FRONT_DOOR: dict[str, Address] = {
    "login": form("/login", get=STRANGERS_PAGE, post=STRANGERS_PAGE, rest=HOME),
    "login/factor": page("/login/factor", GET=STRANGERS_STEP, POST=STRANGERS_STEP, rest=HOME, options=(SIGN_IN, HOME)),
    "login/passkey": form("/login/passkey", get=STRANGERS_STEP, post=STRANGERS_STEP, rest=HOME, options=("200", HOME)),
    "logout": page("/logout", POST=everybody(SIGN_IN)),
    "signup": page(
        "/signup", **dict.fromkeys(("GET", "POST", "PUT"), STRANGERS_PAGE), rest=HOME, options=("200", HOME)
    ),
    "invitation/<str:token>": page(
        "/invitation/guessed", GET=people("302 /signup", HOME, HOME, HOME, HOME), head=everybody("405")
    ),
    "password/reset": form("/password/reset", get=everybody("200"), post=everybody("200")),
    "password/reset/sent": page("/password/reset/sent", GET=everybody("200"), options=SHOWN),
    "password/reset/done": page("/password/reset/done", GET=everybody("200"), options=SHOWN),
    r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)$": form(
        "/password/reset/1-guessed", get=everybody("200"), post=everybody("200"), rest="200"
    ),
    "account/inactive": page("/account/inactive", GET=everybody("200"), options=SHOWN),
    "account/email/sent": page("/account/email/sent", GET=everybody("200"), options=SHOWN),
    "account/email/confirm/<str:key>": page(
        "/account/email/confirm/guessed", GET=everybody("200"), POST=everybody("404"), options=SHOWN
    ),
    "step-up": page(
        "/step-up",
        GET=signed_in("302 /step-up/code", "302 /step-up/password", **SHOWS_A_CODE),
        rest="302 /step-up/code",
        options=(SIGN_IN, "302 /step-up/code"),
    ),
    # Each of the three takes only what this person must show.
    "step-up/password": form(
        "/step-up/password",
        get=signed_in("302 /step-up/code", "200", **SHOWS_A_CODE),
        post=signed_in("302 /step-up/code", "200", **SHOWS_A_CODE),
        rest="302 /step-up/code",
    ),
    "step-up/code": form(
        "/step-up/code",
        get=signed_in("200", "302 /step-up/password", unproven="200", stale_admin="200"),
        post=signed_in("200", "302 /step-up/password", unproven="200", stale_admin="200"),
    ),
    "step-up/passkey": form(
        "/step-up/passkey",
        get=signed_in("200", "302 /step-up/password", **SHOWS_A_CODE),
        post=signed_in(SIGN_IN, "302 /step-up/password", **SHOWS_A_CODE),
    ),
}

ACCOUNT: dict[str, Address] = {
    "account": page(
        "/account",
        **dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), everybody(PROFILE)),
        options=(PROFILE, PROFILE),
    ),
    "account/email": form("/account/email", get=proven("200"), post=proven("302 /account/email")),
    "account/password": form("/account/password", get=proven("200"), post=proven("200")),
    "account/password/set": form(
        "/account/password/set",
        get=proven("302 /account/password"),
        post=proven("302 /account/password"),
        rest="302 /account/password",
    ),
    "account/factors": page("/account/factors", GET=signed_in("200"), options=(SIGN_IN, "200")),
    "account/factors/app": form(
        "/account/factors/app",
        get=proven("302 /account/factors/app/remove", "200"),
        post=proven("302 /account/factors/app/remove", "200"),
        rest="302 /account/factors/app/remove",
    ),
    "account/factors/app/remove": form(
        "/account/factors/app/remove", get=proven("200", "404"), post=proven("302 /account/factors", "404")
    ),
    "account/factors/recovery-codes": page(
        "/account/factors/recovery-codes", GET=proven("200", "404"), options=(SIGN_IN, "200")
    ),
    "account/factors/recovery-codes/new": form(
        "/account/factors/recovery-codes/new",
        get=proven("200"),
        post=proven("302 /account/factors/recovery-codes", "200"),
    ),
    "account/factors/passkeys": page("/account/factors/passkeys", GET=signed_in("200"), options=(SIGN_IN, "200")),
    "account/factors/passkeys/add": form("/account/factors/passkeys/add", get=proven("200"), post=proven("200")),
    "account/factors/passkeys/<int:pk>": form(
        "/account/factors/passkeys/{passkey}", get=proven("200", "404"), post=proven("200", "404")
    ),
    "account/factors/passkeys/<int:pk>/remove": page(
        "/account/factors/passkeys/{passkey}/remove",
        GET=proven("200", "404"),
        POST=proven("302 /account/factors/passkeys", "404"),
        DELETE=proven("302 /account/factors/passkeys", "404"),
        options=(SIGN_IN, "200"),
    ),
    "account/devices": page("/account/devices", GET=signed_in("200")),
    "account/devices/forget": page("/account/devices/forget", POST=signed_in("302 /account/devices")),
    "account/devices/<int:pk>": page("/account/devices/{device}", POST=signed_in("302 /account/devices", "404")),
    "account/api": page("/account/api", GET=signed_in("200")),
    "account/api/new": page(
        "/account/api/new", GET=FOR_TRADERS, POST=Row(FOR_TRADERS, NEW_TOKEN), options=(SIGN_IN, "405")
    ),
    # What ends something asks for no proof: in an emergency it must be quick.
    "account/api/tokens/<int:pk>/revoke": page(
        "/account/api/tokens/{token}/revoke", POST=signed_in("302 /account/api", "404")
    ),
    "account/api/sessions/<uuid:pk>/end": page(
        "/account/api/sessions/{client}/end", POST=signed_in("302 /account/api", "404")
    ),
    "account/sessions": page("/account/sessions", GET=signed_in("200")),
    "account/sessions/end": page("/account/sessions/end", POST=signed_in(SIGN_IN)),
    "account/sessions/<int:pk>/end": page(
        "/account/sessions/{session}/end", POST=signed_in("302 /account/sessions", "404")
    ),
}

# Pages over the same services as the API. Bodies are wrong on purpose, where they could be right.
SETTINGS: dict[str, Address] = {
    "account/profile": page("/account/profile", GET=signed_in("200"), POST=signed_in(PROFILE)),
    "account/alerts": page("/account/alerts", GET=TRADERS_PAGE),
    "account/alerts/new": page("/account/alerts/new", GET=PROVEN_TRADERS, POST=PROVEN_TRADERS),
    "account/alerts/reminder": page(
        "/account/alerts/reminder", GET=TRADERS_PAGE, POST=for_traders("302 /account/alerts")
    ),
    "account/alerts/<uuid:id>": page(
        "/account/alerts/{route}", GET=for_traders("200", "404"), POST=for_traders("200", "404")
    ),
    "account/alerts/<uuid:id>/test": page(
        "/account/alerts/{route}/test", POST=for_traders("302 /account/alerts", "404")
    ),
    "account/alerts/<uuid:id>/remove": page(
        "/account/alerts/{route}/remove",
        GET=for_traders("200", "404", stale=STEP_UP),
        POST=for_traders("302 /account/alerts", "404", stale=STEP_UP),
    ),
    "account/limits": page("/account/limits", GET=TRADERS_PAGE),
    "account/limits/new": page(
        "/account/limits/new", GET=Row(TRADERS_PAGE, query="metric=DAY_LOSS"), POST=TRADERS_PAGE
    ),
    # To loosen one asks for a proof; this one blocks, so that removing it does.
    "account/limits/<int:id>": page(
        "/account/limits/{limit}",
        GET=for_traders("200", "404"),
        POST=Row(for_traders("302 /account/limits", "404", stale=STEP_UP), {"warn": "75"}),
    ),
    "account/limits/<int:id>/remove": page(
        "/account/limits/{limit}/remove",
        GET=for_traders("200", "404", stale=STEP_UP),
        POST=for_traders("302 /account/limits", "404", stale=STEP_UP),
    ),
    "account/limits/breaches/<int:id>/acknowledge": page(
        "/account/limits/breaches/{breach}/acknowledge", POST=for_traders("302 /account/limits", "404")
    ),
    "account/orders": page(
        "/account/orders",
        GET=TRADERS_PAGE,
        POST=Row(for_traders("302 /account/orders", stale=STEP_UP), {"approval_minutes": "10", "split_penalty": "5"}),
    ),
    "account/family": page("/account/family", GET=TRADERS_PAGE),
    "account/family/new": page("/account/family/new", GET=PROVEN_TRADERS, POST=PROVEN_TRADERS),
    # What ends something asks for no proof: it must be quick.
    "account/family/<uuid:id>/withdraw": page(
        f"/account/family/{GIVEN_GRANT}/withdraw", POST=for_traders("302 /account/family", "404")
    ),
    "account/family/shared/<uuid:id>": page(f"/account/family/shared/{RECEIVED_GRANT}", GET=for_traders("200", "404")),
    "account/log": page("/account/log", GET=TRADERS_PAGE),
    "account/consents": page("/account/consents", GET=TRADERS_PAGE),
    "account/data": page("/account/data", GET=TRADERS_PAGE),
    "account/data/export": page("/account/data/export", POST=for_traders("200", stale="302 /step-up")),
    "account/data/delete": page("/account/data/delete", GET=PROVEN_TRADERS, POST=PROVEN_TRADERS),
}

API: dict[str, Address] = {
    "brokers": api("brokers", GET=traders("200")),
    "brokers/portfolio/consolidated": api(
        "brokers/portfolio/consolidated", GET=traders("200", "404 no_broker_connections")
    ),
    "brokers/apps/<str:broker_type>": api(
        "brokers/apps/zerodha",
        PUT=traders("400 invalid_input", stale=NEEDS_PROOF),
        DELETE=traders("204", stale=NEEDS_PROOF),
    ),
    "brokers/consent": api("brokers/consent", GET=traders("200")),
    "brokers/grants": api(
        "brokers/grants",
        GET=traders("200"),
        POST=Row(
            traders("201", "400 unknown_connection", stale=NEEDS_PROOF),
            {"to": "mallory", "connections": [str(CONNECTION)]},
        ),
    ),
    "brokers/grants/<uuid:id>": api(f"brokers/grants/{GIVEN_GRANT}", DELETE=traders("204", NOT_FOUND)),
    "brokers/logins": api("brokers/logins", GET=traders("200")),
    "brokers/logins/reminder": api("brokers/logins/reminder", GET=traders("200"), PUT=traders("200")),
    "brokers/connect/initiate": api("brokers/connect/initiate", POST=traders("400 invalid_input")),
    "brokers/connect/complete": api("brokers/connect/complete", POST=traders("400 invalid_input")),
    "brokers/connections": api("brokers/connections", GET=traders("200")),
    "brokers/connections/<uuid:pk>": api(
        f"brokers/connections/{CONNECTION}",
        GET=traders("200", NOT_FOUND),
        PATCH=Row(traders("200", NOT_FOUND), {"display_name": "Renamed"}),
        DELETE=traders("204", NOT_FOUND, stale=NEEDS_PROOF),
    ),
    # What ends something asks for no proof: it must be quick.
    "brokers/connections/<uuid:pk>/trading": api(
        f"brokers/connections/{CONNECTION}/trading",
        POST=Row(traders("200", NOT_FOUND, stale=NEEDS_PROOF), {"consent": consents.current(consents.TRADE).version}),
        DELETE=traders("200", NOT_FOUND),
    ),
    "brokers/connections/<uuid:pk>/postback": api(
        f"brokers/connections/{CONNECTION}/postback",
        GET=traders("200", NOT_FOUND),
        POST=traders("200", NOT_FOUND),
        DELETE=traders("204", NOT_FOUND),
    ),
    "brokers/connections/<uuid:pk>/refresh": api(
        f"brokers/connections/{CONNECTION}/refresh", POST=traders("409 token_refresh_failed", NOT_FOUND)
    ),
    "charges/terms/<uuid:id>": api(
        f"charges/terms/{CONNECTION}", GET=traders("200", NOT_FOUND), PUT=traders("200", NOT_FOUND)
    ),
    "portfolio/sectors": api("portfolio/sectors", GET=traders("200", "404 no_broker_connections")),
    "attention": api("attention", GET=traders("200")),
    "portfolio/silences": api("portfolio/silences", GET=traders("200")),
    "portfolio/shared": api("portfolio/shared", GET=traders("200")),
    "portfolio/shared/<uuid:id>": api(f"portfolio/shared/{RECEIVED_GRANT}", GET=traders("200", NOT_FOUND)),
    "market/indices": api("market/indices", GET=traders("200")),
    "market/instruments": api("market/instruments", GET=Row(traders("200"), query="q=INFY")),
    "market/instruments/<int:pk>": api("market/instruments/{instrument}", GET=traders("200")),
    "market/candles": api("market/candles", GET=Row(traders(NOT_FOUND), query="instrument=999999999")),
    "market/quotes": api("market/quotes", GET=Row(traders("200"), query="instruments=NSE:1")),
    "market/status": api("market/status", GET=traders("200")),
    **{
        f"risk/{part}": api(f"risk/{part}", GET=traders("200", "404 no_broker_connections"))
        for part in ("report", "exposure", "var", "stress", "liquidity", "expiries", "performance", "backtest")
    },
    "risk/equity": api("risk/equity", GET=traders("200")),
    "risk/cash-flows": api("risk/cash-flows", GET=traders("200"), POST=traders("400 invalid_input")),
    "risk/cash-flows/<int:id>": api("risk/cash-flows/{flow}", DELETE=traders("204", NOT_FOUND)),
    "risk/scenarios": api("risk/scenarios", GET=traders("200"), POST=traders("400 scenario_code")),
    "risk/scenarios/<int:id>": api("risk/scenarios/{scenario}", DELETE=traders("204", NOT_FOUND)),
    "orders": api("orders", GET=traders("200"), POST=traders("400 invalid_input")),
    "orders/preview": api("orders/preview", POST=traders("400 invalid_input")),
    "orders/basket": api("orders/basket", POST=traders("400 invalid_input")),
    "orders/basket/preview": api("orders/basket/preview", POST=traders("400 invalid_input")),
    "orders/copy": api("orders/copy", POST=traders("400 invalid_input")),
    "orders/copy/preview": api("orders/copy/preview", POST=traders("400 invalid_input")),
    "orders/square-off": api("orders/square-off", POST=traders("400 invalid_input")),
    "orders/book": api("orders/book", GET=traders("200")),
    "orders/trades": api("orders/trades", GET=traders("200")),
    "orders/gtt": api("orders/gtt", GET=traders("200"), POST=traders("400 invalid_input")),
    "orders/gtt/<uuid:id>": api(f"orders/gtt/{GTT}", DELETE=traders("409 nothing_stands", NOT_FOUND)),
    "orders/settings": api("orders/settings", GET=traders("200"), PUT=traders("400 invalid_input", stale=NEEDS_PROOF)),
    "orders/<uuid:id>": api(
        f"orders/{ORDER}",
        GET=traders("200", NOT_FOUND),
        PATCH=Row(traders("409 nothing_stands", NOT_FOUND), {"price": "1"}),
        DELETE=traders("409 nothing_stands", NOT_FOUND),
    ),
    "orders/<uuid:id>/decision": api(f"orders/{ORDER}/decision", GET=traders("200", NOT_FOUND)),
    "orders/<uuid:id>/timeline": api(f"orders/{ORDER}/timeline", GET=traders("200", NOT_FOUND)),
    "orders/<uuid:id>/approve": api(
        f"orders/{ORDER}/approve", POST=traders("409 not_awaiting_approval", NOT_FOUND, stale=NEEDS_PROOF)
    ),
    "orders/<uuid:id>/decline": api(
        f"orders/{ORDER}/decline", POST=traders("409 not_awaiting_approval", NOT_FOUND, stale=NEEDS_PROOF)
    ),
    "orders/<uuid:id>/settle": api(
        f"orders/{ORDER}/settle", POST=traders("400 invalid_input", NOT_FOUND, stale=NEEDS_PROOF)
    ),
    "risk/kill-switch": api("risk/kill-switch", GET=traders("200"), POST=traders("400 invalid_input")),
    "risk/kill-switch/re-arm": api(
        "risk/kill-switch/re-arm", POST=Row(traders("409 not_halted", stale=NEEDS_PROOF), {"reason": "Looked into."})
    ),
    "risk/halts": api("risk/halts", GET=traders("200")),
    "health/brokers": api("health/brokers", GET=traders("200")),
    "health/brokers/<str:broker_type>/report": api("health/brokers/zerodha/report", GET=traders("200")),
    "health/connections/<uuid:id>/timeline": api(
        f"health/connections/{CONNECTION}/timeline", GET=traders("200", NOT_FOUND)
    ),
    "account/alerts/routes": api(
        "account/alerts/routes",
        GET=traders("200"),
        POST=traders("400 invalid_input", stale=NEEDS_PROOF),
    ),
    "account/alerts/routes/<uuid:id>": api(
        "account/alerts/routes/{route}",
        PATCH=traders("200", NOT_FOUND),
        DELETE=traders("204", NOT_FOUND, stale=NEEDS_PROOF),
    ),
    "account/alerts/routes/<uuid:id>/test": api("account/alerts/routes/{route}/test", POST=traders("202", NOT_FOUND)),
    "account/alerts/deliveries": api("account/alerts/deliveries", GET=traders("200")),
    "risk/limits": api("risk/limits", GET=traders("200"), POST=traders("400 invalid_input")),
    # To loosen one asks for a proof; this one blocks, so that removing it does.
    "risk/limits/<int:id>": api(
        "risk/limits/{limit}",
        GET=traders("200", NOT_FOUND),
        PATCH=Row(traders("200", NOT_FOUND, stale=NEEDS_PROOF), {"block": "95"}),
        DELETE=traders("204", NOT_FOUND, stale=NEEDS_PROOF),
    ),
    "risk/breaches": api("risk/breaches", GET=traders("200")),
    "risk/breaches/<int:id>/acknowledge": api("risk/breaches/{breach}/acknowledge", POST=traders("200", NOT_FOUND)),
    "audit": api("audit", GET=traders("200")),
    "account/export": api("account/export", POST=traders("200", stale=NEEDS_PROOF)),
    "account/delete": api("account/delete", POST=traders("200", stale=NEEDS_PROOF)),
    # A right password alone lets nobody in who has a second factor.
    "auth/login": open_api("auth/login", "401 factor_required", {"login": "alice", "password": PASSWORD}),
    "auth/refresh": open_api("auth/refresh", "401 token_refused", {"refresh_token": "guessed"}),
    # These three are for who comes with a token, which nobody here does: see test_credentials.py.
    "auth/logout": api("auth/logout", POST=CLIENT_NEEDED),
    "auth/step-up": api("auth/step-up", POST=CLIENT_NEEDED),
    "auth/ticket": api("auth/ticket", POST=traders("403 token_needed")),
    "auth/sessions": api("auth/sessions", GET=traders("200"), DELETE=traders("204")),
    "auth/sessions/<uuid:id>": api("auth/sessions/{client}", DELETE=traders("204", NOT_FOUND)),
    "auth/tokens": api("auth/tokens", GET=traders("200"), POST=Row(traders("201", stale=NEEDS_PROOF), NEW_TOKEN)),
    "auth/tokens/<int:id>": api("auth/tokens/{token}", DELETE=traders("204", NOT_FOUND)),
}

AWAY = "302 /admin/login/"
# Pages of the admin that belong to no model. Every method that is not refused is a page of its own there.
ADMIN: dict[str, Address] = {
    "admin/": page("/admin/", GET=staff("200"), rest=AWAY, options=(AWAY, AWAY)),
    # Nobody signs in here: there is one door.
    "admin/login/": page(
        "/admin/login/",
        GET=people(SIGN_IN, "403", "403", DESK, DESK, first=DESK, unshown=ANY_WAY, unproven=STEP_UP),
        POST=people(
            SIGN_IN, "403", "403", "405", "405", first="405", unshown=ANY_WAY, unproven=STEP_UP, stale_admin=STEP_UP
        ),
        rest="403",
        options=(SIGN_IN, "403"),
        head=people(SIGN_IN, "403", "403", "405", "405", first="405", unshown=ANY_WAY, unproven=STEP_UP),
    ),
    "admin/logout/": page(
        "/admin/logout/",
        POST=people(DESK, DESK, DESK, SIGN_IN, SIGN_IN, first=SIGN_IN),
        rest=DESK,
        options=(DESK, DESK),
    ),
    "admin/password_change/": page(
        "/admin/password_change/",
        GET=staff("302 /account/password"),
        POST=staff("302 /account/password", changes=True),
        rest=AWAY,
        options=(AWAY, AWAY),
    ),
    "admin/password_change/done/": page(
        "/admin/password_change/done/", GET=staff("200"), rest=AWAY, options=(AWAY, AWAY)
    ),
    # Nothing of ours is completed: without a field that is, it refuses everybody.
    "admin/autocomplete/": page("/admin/autocomplete/", GET=staff("403"), rest=AWAY, options=(AWAY, AWAY)),
    "admin/jsi18n/": page("/admin/jsi18n/", GET=staff("200"), rest=AWAY, options=(AWAY, AWAY)),
    "admin/r/<path:content_type_id>/<path:object_id>/": page(
        "/admin/r/{user_type}/{user}/", GET=staff("404"), rest=AWAY, options=(AWAY, AWAY)
    ),
    "admin/^(?P<app_label>*)/$": page(
        "/admin/brokers/", GET=staff("200"), POST=staff("200", changes=True), rest=AWAY, options=(AWAY, AWAY)
    ),
    "admin/(?P<url>.*)$": page("/admin/nowhere/", GET=staff("404"), rest=AWAY, options=(AWAY, AWAY)),
}

SECTIONS: dict[str, dict[str, Address]] = {
    "pages": PAGES,
    "front door": FRONT_DOOR,
    "account": ACCOUNT,
    "settings": SETTINGS,
    "api": {f"api/v1/{path}": address for path, address in API.items()},
    "admin": ADMIN,
}
TABLE: dict[str, Address] = {path: address for section in SECTIONS.values() for path, address in section.items()}
