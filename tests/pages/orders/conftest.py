"""Alice's two accounts at brokers in memory, on a day on which the market is open, behind the pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from orders import intake, sending
from orders.facts import Wanted
from orders.models import OrderIntent
from tests.conftest import let_in
from tests.orders.conftest import NOW, _nobody_decides, accounts, desks, infy
from tests.orders.fakes import Desks
from tests.orders.intake.conftest import (
    Told,
    _open_market,
    _rates,
    _registered,
    buy,
    last_price,
    no_pause,
    told,
)
from tests.orders.intake.conftest import accounts as trading_accounts

__all__ = ("_nobody_decides", "_open_market", "_rates", "_registered", "desks", "infy", "last_price", "told")

bare_accounts = accounts
Placed = Callable[..., OrderIntent]


@pytest.fixture
def accounts(alice: User) -> Any:
    """As after a login, which the rooms' own fixture of this name does over that of the orders."""
    rows = bare_accounts.__wrapped__(alice)  # type: ignore[attr-defined]
    return trading_accounts.__wrapped__(rows)  # type: ignore[attr-defined]


@pytest.fixture
def clock(time_machine: Any, settings: Any) -> Any:
    """It is half past ten on a Thursday, and goes on. What the brokers said holds, however slow a browser is."""
    settings.ORDER_FACTS_LIFETIME = timedelta(hours=1)
    time_machine.move_to(NOW, tick=True)
    return time_machine


@pytest.fixture
def page_of(alice: User, clock: Any, told: Told, last_price: Any) -> Client:
    """Alice's browser, by the clock of the tests."""
    cache.clear()
    last_price("1500")
    client = Client()
    let_in(client, alice)
    return client


@pytest.fixture
def placed(alice: User, infy: Any, desks: Desks, told: Told) -> Placed:
    """An order of Alice's, sent to brokers in memory."""
    count = iter(range(1000))

    def place(quantity: int = 10, **changed: Any) -> OrderIntent:
        wanted: Wanted = buy(infy, quantity, **changed)
        send = partial(sending.send, clients=desks, pause=no_pause)
        key = f"key-{next(count):05}"
        taken = intake.create(user=alice, wanted=[wanted], key=key, now=NOW, send=send, confirm_duplicate=True)
        (intent,) = taken.intents
        return intent

    return place
