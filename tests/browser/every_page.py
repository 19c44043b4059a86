"""Every page of the house, as one table: tests visit it, `make screenshots` draws it. A new page is one row.

An address may name what is only known once the demo runs: `{order}`, `{invitation}`, `{form}` (see `found`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.browser import kit
from tests.browser.kit import NOTICE_MILLISECONDS, Demo
from trademaster.local.connect import ConnectFailed

BOUGHT = "INFY"
BROKER = "upstox"


class Who(StrEnum):
    NOBODY = "nobody"
    TRADER = "trader"
    SUPPORT = "support"
    HALFWAY = "halfway"  # the password is given, the code is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One page, or one state of it.

    `ready`: a selector of what stands there once the page has its numbers. `rough`: of what stands there only until all
    of them are fresh; pictures wait for its end. `press`: a key, `click`: a selector, which
    bring that state about. `template`: an error page, rendered here and served in place of the address. `status`: what
    the server answers. `foreign`: selectors of parts that are somebody else's, which are not judged; `is_ours` is false
    where the colours of the whole page are.
    """

    name: str
    title: str
    address: str
    who: Who = Who.TRADER
    ready: str = "main h1"
    rough: str = ""
    press: str = ""
    click: str = ""
    template: str = ""
    status: int = 200
    foreign: tuple[str, ...] = ()
    is_ours: bool = True

    @property
    def is_a_page(self) -> bool:
        """And not a state that another row's page is brought into."""
        return not (self.press or self.click)

    def __str__(self) -> str:
        return self.name


ROW = "[data-testid=position-row]"
STALE = f"{ROW}.stale"
# What a key brings about.
PRESSED = {"b": "#ticket-form", "?": "#shortcuts", "p": "[data-private] #privacy"}
PLACES = (
    # --- the trader's day
    Place(name="portfolio", title="Portfolio", address="/", ready=ROW, rough=STALE),
    Place(
        name="portfolio-row",
        title="Portfolio, a share by broker",
        address="/",
        ready=ROW,
        rough=STALE,
        click=f"{ROW} .expander",
    ),
    Place(name="portfolio-ticket", title="Portfolio, the order ticket", address="/", ready=ROW, rough=STALE, press="b"),
    Place(name="portfolio-keys", title="Portfolio, the list of keys", address="/", ready=ROW, rough=STALE, press="?"),
    Place(name="positions", title="Portfolio, positions", address="/#positions", ready="[data-testid=derivative-row]"),
    Place(name="portfolio-orders", title="Portfolio, orders", address="/#orders", ready="[data-testid=socket-light]"),
    Place(name="funds", title="Portfolio, funds", address="/#funds", ready="#funds tr"),
    Place(name="portfolio-private", title="Portfolio, amounts hidden", address="/", ready=ROW, rough=STALE, press="p"),
    Place(name="plain", title="The portfolio to read and to print", address="/plain"),
    Place(name="help", title="What each number means", address="/help"),
    Place(name="demo", title="The demo: break something", address="/demo/"),
    Place(name="orders", title="Orders", address="/orders/", ready="[data-testid=order-row]"),
    Place(name="order", title="One order and its decision", address="/orders/{order}/"),
    Place(name="risk", title="Risk", address="/risk/"),
    Place(name="logins", title="The morning's logins", address="/logins", ready="[data-testid=login]"),
    Place(name="connect", title="Connect a broker", address="/connect"),
    Place(name="connect-broker", title="Connect one broker", address="/connect/zerodha"),
    Place(name="brokers-health", title="How well the brokers answer", address="/brokers/health/"),
    Place(name="broker-health", title="A broker’s report card", address=f"/brokers/health/{BROKER}/"),
    Place(name="login-form", title="Log in to a broker by our form", address="{form}"),
    Place(name="kill-switch", title="Stop trading", address="/kill-switch"),
    Place(name="status", title="Status of the brokers", address="/status"),
    Place(
        name="api-docs",
        title="Reference of the API",
        address="/api/docs",
        ready="#swagger-ui .info",
        foreign=("#swagger-ui",),
        is_ours=False,
    ),
    # --- the account
    Place(name="profile", title="Your profile", address="/account/profile"),
    Place(name="alerts", title="Alerts", address="/account/alerts"),
    Place(name="alert-new", title="A new way for alerts", address="/account/alerts/new"),
    Place(name="reminder", title="The morning’s reminder", address="/account/alerts/reminder"),
    Place(name="limits", title="Limits", address="/account/limits"),
    Place(name="limit-new", title="A new limit", address="/account/limits/new"),
    Place(name="order-settings", title="Order settings", address="/account/orders"),
    Place(name="family", title="Family", address="/account/family"),
    Place(name="grant-new", title="Show somebody your portfolio", address="/account/family/new"),
    Place(name="log", title="What happened", address="/account/log"),
    Place(name="consents", title="What you agreed to", address="/account/consents"),
    Place(name="own-data", title="Your data", address="/account/data"),
    Place(name="factors", title="Second factor", address="/account/factors"),
    Place(name="factor-app", title="Set up an authenticator", address="/account/factors/app"),
    Place(name="passkeys", title="Passkeys", address="/account/factors/passkeys"),
    Place(name="passkey-new", title="Add a passkey", address="/account/factors/passkeys/add"),
    Place(name="sessions", title="Sessions", address="/account/sessions"),
    Place(name="devices", title="Trusted devices", address="/account/devices"),
    Place(name="api-access", title="API access", address="/account/api"),
    Place(name="api-token", title="Make a personal token", address="/account/api/new"),
    Place(name="password", title="Change the password", address="/account/password"),
    Place(name="email", title="Change the e-mail address", address="/account/email"),
    Place(name="step-up", title="A fresh proof", address="/step-up/password?next=/"),
    # --- the front door
    Place(name="login", title="Sign in", address="/login", who=Who.NOBODY),
    Place(name="login-code", title="Sign in, second factor", address="/login/factor", who=Who.HALFWAY),
    Place(name="signup", title="An invitation is followed", address="{invitation}", who=Who.NOBODY),
    Place(name="signup-closed", title="No invitation", address="/signup", who=Who.NOBODY),
    Place(name="password-reset", title="Forgotten password", address="/password/reset", who=Who.NOBODY),
    Place(name="password-reset-sent", title="The letter is sent", address="/password/reset/sent", who=Who.NOBODY),
    # --- what went wrong
    Place(name="offline", title="TradeMaster cannot be reached", address="/offline", who=Who.NOBODY),
    Place(name="403", title="Not allowed", address="/made-up/403", template="403.html", status=403),
    Place(name="403-csrf", title="A form out of date", address="/made-up/csrf", template="403_csrf.html", status=403),
    Place(name="404", title="Not found", address="/nothing/here", status=404),
    Place(name="429", title="Too many tries", address="/made-up/429", template="429.html", status=429),
    Place(name="500", title="Something failed", address="/made-up/500", template="500.html", status=500),
    # --- the desk
    Place(name="admin", title="The desk of support", address="/admin/", who=Who.SUPPORT, ready="#content h1"),
)


def found(demo: Demo) -> dict[str, str]:
    """What the table's addresses name; an order is placed where there is none yet."""
    listed = demo.ask("GET", "orders")
    intents = listed["orders"] if isinstance(listed, dict) else listed
    return {
        "order": intents[0]["id"] if intents else placed(demo),
        "invitation": demo.manage("invite", "newcomer@example.com").removeprefix(demo.url),
        "form": form_of(demo, "groww"),
    }


def placed(demo: Demo) -> str:
    """Buy a little, at the price of now; the id of the order. Raises ConnectFailed."""
    demo.open_market()
    demo.turn_trading_on(BROKER)
    [share] = [
        each
        for each in demo.ask("GET", f"market/instruments?q={BOUGHT}")["instruments"]
        if (each["exchange"], each["tradingsymbol"]) == ("NSE", BOUGHT)
    ]
    wanted = {"instrument": share["id"], "side": "BUY", "order_type": "MARKET", "product": "CNC", "quantity": "1"}
    answer = demo.order(wanted)
    return str(answer["order"]["id"])


def form_of(demo: Demo, slug: str) -> str:
    """Where the login by our own form stands."""
    begun = {"broker_type": slug, "redirect_uri": demo.brokers[slug]["redirect_uri"]}
    address = str(demo.ask("POST", "brokers/connect/initiate", begun)["authorization_url"])
    if not address.startswith(demo.url):
        raise ConnectFailed(f"{slug} has a page of its own")
    return address.removeprefix(demo.url)


def visit(page: Page, place: Place, demo: Demo, facts: dict[str, str]) -> None:
    """Go there and wait until it has what it shows."""
    go(page, place, demo, facts)
    expect(page.locator(place.ready).first).to_be_visible(timeout=NOTICE_MILLISECONDS)
    if place.click:
        page.locator(place.click).first.click()
    if place.press:
        page.keyboard.press(place.press)
        expect(page.locator(PRESSED[place.press])).to_be_visible()


def go(page: Page, place: Place, demo: Demo, facts: dict[str, str]) -> None:
    """As far as a browser without JavaScript comes."""
    address = place.address.format(**facts)
    if place.who is Who.HALFWAY:
        kit.sign_in(page, demo.support["username"], demo.support["password"])
        expect(page).to_have_url(f"{demo.url}{address}")
    else:
        if place.template:
            body = rendered(place.template)
            page.route(f"**{address}", lambda route: serve(route, place.status, body))
        page.goto(address)
    if not place.address.startswith("/step-up"):
        kit.prove(page, demo.password)


def serve(route: Route, status: int, body: str) -> None:
    route.fulfill(status=status, content_type="text/html", body=body)


def rendered(template: str) -> str:
    """A page that the demo shows only when something is wrong, as the demo would render it."""
    from types import SimpleNamespace

    from django.template.loader import render_to_string
    from django.test import RequestFactory

    user = SimpleNamespace(is_authenticated=True, get_username="trader", is_trader=True)
    shown: dict[str, Any] = {"user": user, "simulated": True}
    return render_to_string(template, shown, RequestFactory().get("/"))


def of(names: Iterable[str]) -> list[Place]:
    """The rows of these names, all of them where none is named. Raises KeyError."""
    table = {place.name: place for place in PLACES}
    return [table[name] for name in names] or list(PLACES)
