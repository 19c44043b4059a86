"""Who appears in the tests, and what they do at a broker.

Alice has two brokers, Bob has none, Mallory must see nothing of Alice's; Sam is support and Root runs the house.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from accounts.models import Role, User
from brokers import logins, reach, registry, services
from brokers.domain import AppCredentials
from brokers.logins import LoginStart
from brokers.models import BrokerApp, BrokerConnection
from brokers.secret import Secret
from brokers.simulation.server import SimulatedBrokers

# Alice's. What must hold at every broker is tested over `registry.slugs()`.
SLUGS = ("zerodha", "upstox")


@dataclass(frozen=True)
class Callback:
    """What a login brought: our state, and beside it what the broker sent back, or what was typed into our form."""

    state: str
    parameters: dict[str, str]


def trader(name: str) -> User:
    return User.objects.create_user(name, email=f"{name}@example.com")


def support(name: str) -> User:
    return User.objects.create_user(name, role=Role.SUPPORT, is_staff=True)


def own_app(user: User, slug: str, simulated: SimulatedBrokers, **changed: str) -> BrokerApp:
    """Store the app that the simulated broker knows; `changed` replaces its key or secret."""
    known = simulated.brokers[slug]
    fields = {field.name: known[field.name] for field in registry.load(slug).spec.app_fields if field.name in known}
    return services.store_app(user=user, broker_type=slug, fields={**fields, **changed})


def begin(user: User, slug: str, method: str | None = None) -> LoginStart:
    return logins.initiate(
        user=user, broker_type=slug, redirect_uri=reach.own_callback(slug), now=timezone.now(), method=method
    )


def log_in(user: User, slug: str, simulated: SimulatedBrokers, *, method: str | None = None, **typed: str) -> Callback:
    """Begin a login and go through it; `typed` replaces fields, `cancel="1"` says no at a broker's own page.

    `method` takes a login by our own form at a broker that has a redirect too.
    """
    start = begin(user, slug, method)
    if method is not None or registry.load(slug).spec.callback is None:
        return Callback(start.state, {**form(slug, simulated, method), **typed})
    return Callback(start.state, back_from(slug, simulated, start.authorization_url, **typed))


def back_from(slug: str, simulated: SimulatedBrokers, authorization_url: str, **typed: str) -> dict[str, str]:
    """What comes back from a broker's own login page, without the state, which some brokers lose."""
    spec = registry.load(slug).spec.callback
    assert spec is not None
    came = simulated.login(slug, authorization_url, **typed)
    return {name: value for name, value in came.items() if name != spec.state}


def form(slug: str, simulated: SimulatedBrokers, method: str | None = None) -> dict[str, str]:
    """What a trader types into our own form for `method`, the broker's first if none is named."""
    methods = registry.load(slug).spec.login_methods
    chosen = next(known for known in methods if method in (None, known.name))
    known = {**simulated.brokers[slug]["login"], **MADE_AT_THE_BROKER.get((slug, chosen.name), nothing)(simulated)}
    return {"method": chosen.name, **{field.name: known[field.name] for field in chosen.fields}}


def nothing(simulated: SimulatedBrokers) -> dict[str, str]:
    return {}


def approved_key(simulated: SimulatedBrokers) -> dict[str, str]:
    """Approve the key on Groww's own page; nothing comes of it that is typed."""
    simulated.login("groww", simulated.brokers["groww"]["login_url"])
    return {}


def token_of_today(simulated: SimulatedBrokers) -> dict[str, str]:
    """A token made by hand at Groww."""
    known, broker = simulated.brokers["groww"], registry.load("groww")
    app = AppCredentials(api_key=Secret(known["api_key"]), api_secret=Secret(known["api_secret"]))
    auth = broker.auth(reach.transport_to(broker, account="test"), app)
    session = auth.exchange(callback=form("groww", simulated, "totp"), redirect_uri="", now=timezone.now())
    return {"access_token": session.access_token.reveal()}


# What a trader does at the broker before a login by our form.
MADE_AT_THE_BROKER = {("groww", "approval"): approved_key, ("groww", "token"): token_of_today}


def connect(user: User, slug: str, simulated: SimulatedBrokers) -> BrokerConnection:
    """Store the app where it is missing, log in, and complete."""
    if not user.broker_apps.filter(broker_type=slug).exists():
        own_app(user, slug, simulated)
    back = log_in(user, slug, simulated)
    return logins.complete(user=user, state=back.state, callback=back.parameters, now=timezone.now())
