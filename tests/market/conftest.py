"""The simulated brokers' masters, within reach of the settings, and connections to them that stream."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from pytest_django import Settings

from accounts.models import User
from brokers import reach, registry
from brokers.domain import Contract, Exchange, Instrument, InstrumentKind, OptionType
from brokers.fyers import instruments as fyers
from brokers.fyers.spec import MASTER_NAMES as FYERS_FILES
from brokers.groww import instruments as groww
from brokers.simulation.server import SimulatedBrokers
from market.masters import load_master
from market.models import LoadOutcome, MasterLoad
from market.streaming import StreamUrls, Wanted
from tests.contract.test_streams import OTHER_SHARE, SHARE, streamed
from tests.market.house import FIRST, SECOND, House
from tests.market.redis import emptied
from tests.people import connect

NOW = datetime.fromisoformat("2026-11-26T08:00:00+05:30")
Load = Callable[..., MasterLoad]
NSE = Exchange.NSE
GROWW_COLUMNS = list(
    groww.master_row(Instrument(exchange=NSE, kind=InstrumentKind.EQUITY, tradingsymbol="X", broker_token="X"))
)


@pytest.fixture
def masters(brokers: SimulatedBrokers, settings: Settings) -> SimulatedBrokers:
    settings.BROKERS = {
        slug: known | {"master_url": brokers.brokers[slug]["master_url"]} for slug, known in settings.BROKERS.items()
    }
    return brokers


@pytest.fixture
def load(masters: SimulatedBrokers, db: None) -> Load:
    """Load one broker's master, which must end as it is expected to."""

    def loaded(slug: str, *, now: datetime = NOW, outcome: str = LoadOutcome.LOADED) -> MasterLoad:
        done = load_master(broker_type=slug, now=now)
        assert done is not None
        assert done.outcome == outcome, done.error_message
        return done

    return loaded


@pytest.fixture
async def house(alice: User, brokers: SimulatedBrokers) -> AsyncIterator[House]:
    """Alice's two connections, which want the same two shares."""
    async with emptied() as redis:
        house = House(redis, brokers)
        for slug in (FIRST, SECOND):
            connection = await sync_to_async(connect)(alice, slug, brokers)
            assert connection.session is not None
            url = str(brokers.brokers[slug]["stream_url"])
            house.wanted[connection.pk] = Wanted(
                broker=slug,
                app=await sync_to_async(reach.app_credentials)(alice, slug),
                session=connection.session,
                base_urls=StreamUrls(url, url),
                instruments=frozenset({streamed(SHARE), streamed(OTHER_SHARE)}),
            )
        await sync_to_async(connections.close_all)()
        yield house


class Publisher:
    """Has a simulated broker publish a small master of our making."""

    def __init__(self, simulated: SimulatedBrokers) -> None:
        self._control = simulated.control

    def groww(self, *rows: Instrument) -> None:
        lines = [groww.master_row(each) for each in rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, GROWW_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        self.text("groww", text.getvalue())

    def fyers(self, *rows: Instrument) -> None:
        """All in the file of NSE's shares: the row itself says where it belongs."""
        for name in FYERS_FILES:
            listed = {each.broker_token: fyers.master_row(each) for each in rows} if name == "NSE_CM" else {}
            body = msgspec.json.encode(listed, enc_hook=str)
            self._control.serve("fyers", f"GET /sym_details/{name}_sym_master.json", body)

    def text(self, slug: str, master: str) -> None:
        [file] = registry.load(slug).spec.master.files  # type: ignore[union-attr]
        self._control.serve(slug, f"{file.method} {file.path}", master, content_type="text/csv")


@pytest.fixture
def publisher(masters: SimulatedBrokers) -> Publisher:
    return Publisher(masters)


def share(
    symbol: str, token: str, isin: str | None, *, tick: str = "0.05", name: str | None = None, exchange: Exchange = NSE
) -> Instrument:
    return Instrument(
        exchange=exchange,
        kind=InstrumentKind.EQUITY,
        tradingsymbol=symbol,
        broker_token=f"{exchange}_{symbol}",
        exchange_token=token,
        isin=isin,
        name=name or f"{symbol} Ltd.",
        lot_size=Decimal(1),
        tick_size=Decimal(tick),
        series="EQ",
    )


def option(
    strike: int, token: str, *, lot: int = 65, expiry: date = date(2026, 12, 29), underlying: str = "NIFTY"
) -> Instrument:
    return Instrument(
        exchange=Exchange.NFO,
        kind=InstrumentKind.OPTION,
        tradingsymbol=f"{underlying}{expiry:%y%b}{strike}CE".upper(),
        broker_token=f"NSE_{underlying}{expiry:%y%b}{strike}CE".upper(),
        exchange_token=token,
        contract=Contract(underlying=underlying, expiry=expiry, strike=Decimal(strike), option_type=OptionType.CE),
        lot_size=Decimal(lot),
        tick_size=Decimal("0.05"),
        freeze_quantity=Decimal(1800),
    )


def for_fyers(item: Instrument) -> Instrument:
    """The same under Fyers' own name."""
    return replace(item, broker_token=f"NSE:{item.tradingsymbol}-EQ" if item.isin else f"NSE:{item.tradingsymbol}")
