"""Alice's world: her rows, and the people who try to get at them, each with a session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.test.client import ClientHandler

from accounts.management.commands.demo_users import support_group
from accounts.models import Role, User
from brokers.models import BrokerConnection
from market.models import Instrument
from tests.accounts.door import PASSWORD, with_app
from tests.people import support, trader
from tests.permissions import rows as made

# One hash for everybody: it costs as much as it should.
HASHED = make_password(PASSWORD)

# Who comes, and as whom. All but the first are signed in; `stale` is the owner whose proof is too old, `stale admin` an
# administrator like that. Two of support have shown no second factor in this session: `factorless` has none.
PEOPLE = (
    *("anonymous", "owner", "other", "support", "admin", "first admin", "stale", "factorless", "unproven"),
    "stale admin",
)


@dataclass(frozen=True)
class World:
    people: dict[str, User]
    rows: dict[type[Model], Model]
    sessions: dict[str, str]
    # One for all: each would set all the middleware up again, which costs more than most requests.
    handler: ClientHandler = field(default_factory=lambda: ClientHandler(enforce_csrf_checks=False))

    def key(self, model: type[Model]) -> Any:
        return self.rows[model].pk

    def browser(self, person: str) -> Client:
        """A new one, in which the person is signed in. A view that fails answers 500, as it would outside."""
        client = Client(raise_request_exception=False)
        client.handler = self.handler
        if person in self.sessions:
            client.cookies["sessionid"] = self.sessions[person]
        return client


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is written meanwhile is taken back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def build() -> World:
    """Everybody, and a row in every table that the admin shows."""
    people = _people()
    alice = people["owner"]
    rows = {
        type(row): row for row in (*made.of_accounts(alice), *made.of_brokers(alice, people["bob"]), *made.of_market())
    }
    connection = rows[BrokerConnection]
    assert isinstance(connection, BrokerConnection)
    rows |= {type(row): row for row in (*made.of_health(connection), *made.of_portfolio(alice, connection))}
    rows |= {type(row): row for row in made.of_charges(connection)}
    rows |= {type(row): row for row in made.of_halts(alice, connection)}
    instrument = rows[Instrument]
    assert isinstance(instrument, Instrument)
    rows |= {type(row): row for row in made.of_orders(alice, connection, instrument)}
    for name in ("unproven", "stale admin"):
        with_app(people[name])
    return World(people, rows, _sessions(people))


def _sessions(people: dict[str, User]) -> dict[str, str]:
    """The cookie of each who is signed in."""
    too_old = settings.STEP_UP_LIFETIME.total_seconds() / 60 + 1
    keys = {name: signed_in(user) for name, user in people.items() if name != "bob"}
    keys |= {name: signed_in(people[name], with_factor=False) for name in ("factorless", "unproven")}
    late = {"stale": people["owner"], "stale admin": people["stale admin"]}
    return keys | {name: signed_in(user, minutes_ago=too_old) for name, user in late.items()}


def _people() -> dict[str, User]:
    people = {"owner": trader("alice"), "bob": trader("bob"), "other": trader("mallory"), "support": support("sam")}
    people |= {"factorless": support("fay"), "unproven": support("una")}
    people["admin"] = User.objects.create_superuser("root", role=Role.SUPPORT)
    people["stale admin"] = User.objects.create_superuser("stella", role=Role.SUPPORT)
    people["first admin"] = User.objects.create_superuser("first")
    User.objects.update(password=HASHED)
    for user in people.values():
        user.refresh_from_db()
    for name in ("support", "factorless", "unproven"):
        people[name].groups.add(support_group())
    return people


def signed_in(user: User, *, minutes_ago: float = 0, with_factor: bool = True) -> str:
    """As the front door leaves a session: the password and, unless it was not asked for, a second factor."""
    client = Client()
    client.force_login(user)
    at = time.time() - minutes_ago * 60
    showed: list[dict[str, Any]] = [{"method": "password", "at": at}]
    if with_factor:
        showed.append({"method": "mfa", "type": "totp", "at": at})
    session = client.session
    session["account_authentication_methods"] = showed
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return str(client.cookies["sessionid"].value)
