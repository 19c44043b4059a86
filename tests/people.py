"""Who appears in the tests, and what they do at a broker.

Alice has two brokers, Bob has none, Mallory must see nothing of Alice's; Sam is support and Root runs the house.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from accounts.models import Role, User
from brokers import registry, services
from brokers.models import BrokerApp, BrokerConnection
from brokers.services import LoginStart
from brokers.simulation.server import SimulatedBrokers

SLUGS = ("zerodha", "upstox")


@dataclass(frozen=True)
class Callback:
    """What the broker sent back: our state, and the parameters beside it."""

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


def begin(user: User, slug: str) -> LoginStart:
    return services.initiate(user=user, broker_type=slug, redirect_uri=services.own_callback(slug), now=timezone.now())


def log_in(user: User, slug: str, simulated: SimulatedBrokers, **typed: str) -> Callback:
    """Go to the broker and back; `typed` replaces login fields, `cancel="1"` says no."""
    return back_from(slug, simulated, begin(user, slug).authorization_url, **typed)


def back_from(slug: str, simulated: SimulatedBrokers, authorization_url: str, **typed: str) -> Callback:
    """What comes back from a broker's own login page."""
    parameters = dict(simulated.login(slug, authorization_url, **typed))
    return Callback(parameters.pop("state"), parameters)


def connect(user: User, slug: str, simulated: SimulatedBrokers) -> BrokerConnection:
    """Store the app where it is missing, log in, and complete."""
    if not user.broker_apps.filter(broker_type=slug).exists():
        own_app(user, slug, simulated)
    back = log_in(user, slug, simulated)
    return services.complete(user=user, state=back.state, callback=back.parameters, now=timezone.now())
