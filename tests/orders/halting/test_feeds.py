"""Prices that stand still with intraday positions open: its owner is told, once, and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail

from accounts.models import User
from brokers.domain import Product
from brokers.shared import redis
from market.models import Instrument
from orders import feed_watch
from portfolio import watching
from portfolio.risk_models import TradingHalt
from tests.orders.conftest import NOW, later
from tests.orders.intake.conftest import Told, position

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def watched(alice: User) -> Iterator[None]:
    watching.watch(alice.pk)
    yield
    redis().delete(watching.WATCHERS, *redis().scan_iter("halts:*"))


@pytest.fixture(autouse=True)
def _positions(infy: Instrument, told: Told) -> None:
    told("upstox", positions=(position("upstox", 100),))
    redis().delete("price:NSE:1594")  # that it streams is the exception here


def test_it_is_told_once_after_thirty_seconds(alice: User) -> None:
    assert feed_watch.stale_for(NOW) == []
    assert feed_watch.stale_for(later(30)) == []
    assert feed_watch.stale_for(later(31)) == [alice.pk]
    assert feed_watch.stale_for(later(41)) == []
    assert not TradingHalt.objects.exists()


def test_a_price_that_comes_ends_it(alice: User, last_price: Any) -> None:
    assert feed_watch.stale_for(NOW) == []
    last_price("1500")
    assert feed_watch.stale_for(later(20)) == []
    redis().delete("price:NSE:1594")
    assert feed_watch.stale_for(later(40)) == []
    assert feed_watch.stale_for(later(71)) == [alice.pk]


@pytest.mark.parametrize("product", [Product.CNC, Product.NRML])
def test_only_what_is_held_intraday_counts(told: Told, product: Product) -> None:
    told("upstox", positions=(position("upstox", 100, product),))
    assert [feed_watch.stale_for(later(second)) for second in (0, 31)] == [[], []]


def test_nor_does_it_after_the_close() -> None:
    evening = 8 * 3600
    assert [feed_watch.stale_for(later(evening + second)) for second in (0, 31)] == [[], []]


def test_the_letter(alice: User) -> None:
    alice.email = "alice@example.com"
    alice.save()
    mail.outbox.clear()
    feed_watch.send(alice.pk)
    assert "stand still" in mail.outbox[0].subject
