"""Last prices for who polls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from redis.asyncio import Redis

from brokers.domain import Exchange, InstrumentKind, Segment
from brokers.shared import redis
from market.models import Instrument
from market.pricing import Price
from market.publishing import ALIVE, PricePublisher

PATH = "/api/v1/market/quotes"
AT = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
RELIANCE = Price(Exchange.NSE, "2885", Decimal("1432.50"), Decimal("1420.00"), AT, "zerodha")
SILENT = Price(Exchange.BSE, "500325", Decimal("1431.95"), None, AT, "upstox", stale=True)


@pytest.fixture
async def published() -> None:
    client: Redis = Redis.from_url(settings.CACHES["default"]["LOCATION"])
    publisher = PricePublisher(client, "test")
    for price in (RELIANCE, SILENT):
        publisher.put(price)
    await publisher.flush()
    await client.aclose()


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    redis().flushdb()
    yield
    redis().flushdb()


def asked(client: Client, instruments: str) -> list[dict[str, Any]]:
    answer = client.get(PATH, {"instruments": instruments})
    assert answer.status_code == 200, answer.content
    quotes: list[dict[str, Any]] = answer.json()["quotes"]
    return quotes


def test_prices_by_the_exchange_s_number_or_by_id(published: None, as_alice: Client) -> None:
    row = Instrument.objects.create(
        exchange=Exchange.NSE,
        segment=Segment.EQUITY,
        kind=InstrumentKind.EQUITY,
        identity="NSE|2885",
        tradingsymbol="RELIANCE",
        exchange_token="2885",
        first_seen_on=AT.date(),
        last_seen_on=AT.date(),
        rank=0,
        words="RELIANCE",
    )
    by_id, silent, by_number = asked(as_alice, f"{row.pk},BSE:500325,NSE:2885")
    assert by_number == {
        "instrument": "NSE:2885",
        "exchange": "NSE",
        "exchange_token": "2885",
        "last_price": "1432.5",
        "close_price": "1420",
        "source": "zerodha",
        "as_of": "2026-11-26T05:00:00Z",
        "stale": False,
        "asked": False,
    }
    assert by_id == by_number | {"instrument": str(row.pk)}
    assert (silent["last_price"], silent["close_price"], silent["stale"]) == ("1431.95", None, True)


def test_a_price_that_nobody_publishes_is_stale(published: None, as_alice: Client) -> None:
    redis().delete(ALIVE)
    [quote] = asked(as_alice, "NSE:2885")
    assert (quote["last_price"], quote["stale"]) == ("1432.5", True)


def test_what_nobody_knows_is_null(as_alice: Client) -> None:
    unstreamed, unheard_of = asked(as_alice, "NFO:1,999999")
    assert (unstreamed["last_price"], unstreamed["source"], unstreamed["stale"]) == (None, None, True)
    assert (unheard_of["exchange"], unheard_of["last_price"]) == (None, None)


@pytest.mark.parametrize(
    "wrong", ["", "RELIANCE", "NYSE:1", "NSE:", "NSE:1\n2", "1,,2", ",".join(map(str, range(501)))]
)
def test_what_is_no_instrument_is_refused(wrong: str, as_alice: Client) -> None:
    answer = as_alice.get(PATH, {"instruments": wrong})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_input"


def test_only_for_who_is_signed_in(client: Client, db: None) -> None:
    assert client.get(PATH, {"instruments": "NSE:1"}).status_code == 401
