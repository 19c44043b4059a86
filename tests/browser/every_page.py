"""Every page of the house, as one table: tests visit it, `make screenshots` draws it. A new page is one row.

An address may name what is only known once the demo runs, e.g. `{order}` (see `found`). test_every_page.py compares
the table with the addresses of the house.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from playwright.sync_api import Browser, Page, Route, expect

from brokers.wire import IST
from tests.browser import kit
from tests.browser.kit import NOTICE_MILLISECONDS, Demo
from trademaster.local.connect import ConnectFailed

BOUGHT = "INFY"
BROKER = "upstox"


class Who(StrEnum):
    NOBODY = "nobody"
    TRADER = "trader"
    RELATIVE = "relative"  # another trader, to whom the trader shows accounts
    SUPPORT = "support"
    HALFWAY = "halfway"  # the password is given, the code is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One page, or one state of it.

    `ready`: a selector of what stands there once the page has its numbers. `readable`: of what stands there without
    JavaScript, where that is something else. `rough`: of what stands there only until all of them are fresh; pictures
    wait for its end. `press`: a key, `click`: a selector, which bring that state about. `is_state`: the address names a
    part of another row's page. `template`: a page that nobody can just visit, rendered here with `context` and served
    in place of the address. `status`: what the server answers. `foreign`: selectors of parts that are somebody else's,
    which are not judged; `is_ours` is false where the colours of the whole page are.
    """

    name: str
    title: str
    address: str
    who: Who = Who.TRADER
    ready: str = "main h1"
    readable: str = ""
    rough: str = ""
    press: str = ""
    click: str = ""
    template: str = ""
    context: Mapping[str, Any] = field(default_factory=dict, compare=False)
    status: int = 200
    is_state: bool = False
    foreign: tuple[str, ...] = ()
    is_ours: bool = True

    @property
    def is_a_page(self) -> bool:
        """And not a state that another row's page is brought into."""
        return not (self.press or self.click or self.is_state)

    def __str__(self) -> str:
        return self.name


ROW = "[data-testid=position-row]"
# What the pages that JavaScript fills say without it.
ELSEWHERE = "main noscript a[href='/plain']"
STALE = f"{ROW}.stale"
# What a key brings about.
PRESSED = {"b": "#ticket-form", "?": "#shortcuts", "p": "[data-private] #privacy"}
MADE_TOKEN = SimpleNamespace(name="backup", get_scope_display="Read", expires_at=datetime.now(IST) + timedelta(days=30))
FORM = "main form input:visible"
PLACES = (
    # --- the trader's day
    Place(name="portfolio", title="Portfolio", address="/", ready=ROW, readable=ELSEWHERE, rough=STALE),
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
    Place(
        name="positions",
        title="Portfolio, positions",
        address="/#positions",
        ready="[data-testid=derivative-row]",
        is_state=True,
    ),
    Place(
        name="portfolio-orders",
        title="Portfolio, orders",
        address="/#orders",
        ready="[data-testid=socket-light]",
        is_state=True,
    ),
    Place(name="funds", title="Portfolio, funds", address="/#funds", ready="#funds tr", is_state=True),
    Place(name="portfolio-private", title="Portfolio, amounts hidden", address="/", ready=ROW, rough=STALE, press="p"),
    Place(name="plain", title="The portfolio to read and to print", address="/plain", ready="main td.number"),
    Place(name="help", title="What each number means", address="/help", ready="[data-testid=terms] dt"),
    Place(name="demo", title="The demo: break something", address="/demo/", ready="[data-testid=switches] button"),
    Place(name="orders", title="Orders", address="/orders/", ready="[data-testid=order-row]"),
    Place(name="order", title="One order and its decision", address="/orders/{order}/", ready="[data-testid=story] li"),
    Place(name="risk", title="Risk", address="/risk/", ready="[data-testid=exposure-tree] li"),
    Place(name="logins", title="The morning's logins", address="/logins", ready="[data-testid=login]"),
    Place(name="connect", title="Connect a broker", address="/connect", ready="[data-testid=broker-choice]"),
    Place(
        name="connect-broker",
        title="Connect one broker",
        address="/connect/zerodha",
        ready="[data-testid=broker-account]",
    ),
    Place(
        name="brokers-health",
        title="How well the brokers answer",
        address="/brokers/health/",
        ready="[data-testid=broker-health]",
    ),
    Place(
        name="broker-health",
        title="A broker’s report card",
        address=f"/brokers/health/{BROKER}/",
        ready="[data-testid=broker-state]",
    ),
    Place(
        name="login-form", title="Log in to a broker by our form", address="{form}", ready="[data-testid=login-method]"
    ),
    Place(name="kill-switch", title="Stop trading", address="/kill-switch", ready="[data-testid=pull]"),
    Place(name="re-arm", title="Let trading go on", address="/kill-switch/re-arm"),
    Place(name="status", title="Status of the brokers", address="/status", ready="[data-testid=broker-state]"),
    Place(
        name="api-docs",
        title="Reference of the API",
        address="/api/docs",
        ready="#swagger-ui .info",
        readable="noscript a[href='/api/schema']",
        foreign=("#swagger-ui",),
        is_ours=False,
    ),
    # --- the account
    Place(name="profile", title="Your profile", address="/account/profile", ready=FORM),
    Place(name="alerts", title="Alerts", address="/account/alerts", ready="[data-testid=route]"),
    Place(name="alert-new", title="A new way for alerts", address="/account/alerts/new", ready=FORM),
    Place(name="alert", title="A way for alerts", address="/account/alerts/{route}", ready=FORM),
    Place(name="alert-remove", title="Remove a way for alerts", address="/account/alerts/{route}/remove"),
    Place(
        name="secret-once",
        title="A secret, shown once",
        address="/made-up/secret",
        template="settings/secret.html",
        context={"title": "Reminder of logins", "secret": "0" * 43, "back_to": "settings-alerts"},
    ),
    Place(name="reminder", title="The morning’s reminder", address="/account/alerts/reminder", ready=FORM),
    Place(name="limits", title="Limits", address="/account/limits", ready="[data-testid=limits] li"),
    Place(name="limit-new", title="A new limit", address="/account/limits/new", ready="main a[href*=metric]"),
    Place(name="limit-form", title="A new limit’s levels", address="/account/limits/new?metric=DAY_LOSS", ready=FORM),
    Place(name="limit", title="A limit", address="/account/limits/{limit}", ready=FORM),
    Place(name="limit-remove", title="Remove a limit", address="/account/limits/{limit}/remove"),
    Place(name="order-settings", title="Order settings", address="/account/orders", ready=FORM),
    Place(name="family", title="Family", address="/account/family", ready="[data-testid=given]"),
    Place(name="grant-new", title="Show somebody your portfolio", address="/account/family/new", ready=FORM),
    Place(
        name="shared",
        title="The portfolio that somebody shows you",
        address="/account/family/shared/{grant}",
        who=Who.RELATIVE,
        ready="main td.number",
    ),
    Place(name="log", title="What happened", address="/account/log", ready="[data-testid=log]"),
    Place(name="consents", title="What you agreed to", address="/account/consents", ready="[data-testid=consents]"),
    Place(name="own-data", title="Your data", address="/account/data"),
    Place(name="delete", title="Delete the account", address="/account/data/delete", ready=FORM),
    Place(
        name="deleted",
        title="The account is deleted",
        address="/made-up/deleted",
        template="settings/deleted.html",
        context={
            "brokers": [{"name": "Zerodha", "ended_at_broker": True}, {"name": "Groww", "ended_at_broker": False}],
            "kept": [{"words": ["orders and their fills"], "days": 1_826, "why": "The law asks for five years."}],
        },
    ),
    Place(name="factors", title="Second factor", address="/account/factors"),
    Place(name="factor-app", title="Set up an authenticator", address="/account/factors/app"),
    Place(name="passkeys", title="Passkeys", address="/account/factors/passkeys"),
    Place(name="passkey-new", title="Add a passkey", address="/account/factors/passkeys/add"),
    Place(name="sessions", title="Sessions", address="/account/sessions"),
    Place(name="devices", title="Trusted devices", address="/account/devices"),
    Place(name="api-access", title="API access", address="/account/api"),
    Place(name="api-token", title="Make a personal token", address="/account/api/new", ready=FORM),
    Place(
        name="api-token-once",
        title="A personal token, shown once",
        address="/made-up/token",
        template="account/api_made.html",
        context={"made": MADE_TOKEN, "token": "tm_" + "0" * 56},
    ),
    Place(name="password", title="Change the password", address="/account/password", ready=FORM),
    Place(name="email", title="Change the e-mail address", address="/account/email", ready=FORM),
    Place(name="step-up", title="A fresh proof", address="/step-up/password?next=/"),
    # --- the front door
    Place(name="login", title="Sign in", address="/login", who=Who.NOBODY),
    Place(name="login-code", title="Sign in, second factor", address="/login/factor", who=Who.HALFWAY),
    Place(name="signup", title="An invitation is followed", address="{invitation}", who=Who.NOBODY),
    Place(name="signup-closed", title="No invitation", address="/signup", who=Who.NOBODY),
    Place(name="password-reset", title="Forgotten password", address="/password/reset", who=Who.NOBODY),
    Place(name="password-reset-sent", title="The letter is sent", address="/password/reset/sent", who=Who.NOBODY),
    Place(
        name="password-new", title="A new password, by the letter’s link", address="{reset}", who=Who.NOBODY, ready=FORM
    ),
    # --- what went wrong
    Place(name="offline", title="TradeMaster cannot be reached", address="/offline", who=Who.NOBODY),
    Place(name="403", title="Not allowed", address="/made-up/403", template="403.html", status=403),
    Place(name="403-csrf", title="A form out of date", address="/made-up/csrf", template="403_csrf.html", status=403),
    Place(name="404", title="Not found", address="/nothing/here", status=404),
    Place(name="429", title="Too many tries", address="/made-up/429", template="429.html", status=429),
    Place(name="500", title="Something failed", address="/made-up/500", template="500.html", status=500),
    Place(name="503", title="A part is restarting", address="/made-up/503", template="503.html", status=503),
    # --- the desk
    Place(name="admin", title="The desk of support", address="/admin/", who=Who.SUPPORT, ready="#content h1"),
)


# What no call of the API makes: an invitation, another trader, and the link of a letter, which a sign-in would end. A
# name is one row, however often a demo is asked; the password is new each time.
MAKE = """
import json
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.urls import reverse
from django.utils import timezone
from accounts import invitations
from accounts.models import User
relative, _ = User.objects.get_or_create(username=%r)
relative.set_password(%r)
relative.save()
forgetful, _ = User.objects.get_or_create(username="forgetful")
key = default_token_generator.make_token(forgetful)
reset = reverse("account_reset_password_from_key", args=[user_pk_to_url_str(forgetful), key])
_, link = invitations.invite(email="newcomer@example.com", invited_by=None, now=timezone.now(), was_mailed=False)
print(json.dumps({"reset": reset, "invitation": link}))
"""
RELATIVE = "cousin"


def found(demo: Demo) -> dict[str, str]:
    """What the table's addresses name; what is not there yet is made."""
    listed = demo.ask("GET", "orders")
    intents = listed["orders"] if isinstance(listed, dict) else listed
    password = secrets.token_urlsafe(16)
    made = json.loads(demo.manage("shell", "--no-imports", "-c", MAKE % (RELATIVE, password)))
    return {
        "order": intents[0]["id"] if intents else placed(demo),
        "invitation": made["invitation"].removeprefix(demo.url),
        "reset": made["reset"],
        "form": form_of(demo, "groww"),
        "route": demo.ask("GET", "account/alerts/routes")[0]["id"],
        "limit": str(demo.ask("GET", "risk/limits")["limits"][0]["id"]),
        "relative_password": password,
        "grant": given(demo),
    }


def given(demo: Demo) -> str:
    """The id of what the relative may look at: all of the trader's accounts. Raises ConnectFailed."""
    for grant in demo.ask("GET", "brokers/grants"):
        if grant["to"] == RELATIVE:
            return str(grant["id"])
    demo.prove()
    accounts = [row["id"] for row in demo.ask("GET", "brokers/connections")]
    return str(demo.ask("POST", "brokers/grants", {"to": RELATIVE, "connections": accounts, "expires_at": None})["id"])


def cookies(browser: Browser, demo: Demo, facts: Mapping[str, str], trader: Any = None) -> dict[Who, Any]:
    """What the browser of each kind of visitor holds."""
    return {
        Who.TRADER: trader or kit.state_of_trader(browser, demo),
        Who.RELATIVE: kit.state_of(browser, demo, RELATIVE, facts["relative_password"]),
        Who.SUPPORT: kit.state_of_support(browser, demo),
        Who.NOBODY: None,
        Who.HALFWAY: None,
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
            body = rendered(place)
            page.route(f"**{address}", lambda route: serve(route, place.status, body))
        page.goto(address)
    if not place.address.startswith("/step-up"):
        kit.prove(page, demo.password)


def serve(route: Route, status: int, body: str) -> None:
    route.fulfill(status=status, content_type="text/html", body=body)


def rendered(place: Place) -> str:
    """A page that the demo shows only once, or when something is wrong, as the demo would render it."""
    from django.template.loader import render_to_string
    from django.test import RequestFactory

    is_known = place.name != "deleted"
    user = SimpleNamespace(is_authenticated=is_known, get_username="trader", is_trader=is_known)
    shown: dict[str, Any] = {"user": user, "simulated": True, **place.context}
    return render_to_string(place.template, shown, RequestFactory().get("/"))


def of(names: Iterable[str]) -> list[Place]:
    """The rows of these names, all of them where none is named. Raises KeyError."""
    table = {place.name: place for place in PLACES}
    return [table[name] for name in names] or list(PLACES)
