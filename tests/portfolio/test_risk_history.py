"""Whose past is wanted: what the accounts hold, what their derivatives hang on, and the indices."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from django.utils import timezone

from brokers.domain import BrokerPortfolio, ConnectionStatus, Contract, Exchange, Holding, Position, Product
from brokers.models import BrokerConnection
from market.candle_models import CandleFill
from market.models import Instrument
from portfolio import tasks
from portfolio.models import BrokerSnapshot
from portfolio.risk_history import want_held
from tests.market.candle_teller import INFY, NOW, RELIANCE, TCS, listed

NIFTYBEES = "INF204KB14I2"
NONE = Decimal(0)


def holding(isin: str | None) -> Holding:
    return Holding(
        exchange=Exchange.NSE,
        tradingsymbol="X",
        isin=isin,
        broker_token="1",
        settled_quantity=Decimal(1),
        t1_quantity=NONE,
        pledged_quantity=NONE,
        average_price=None,
        last_price=None,
        close_price=None,
    )


def position(isin: str | None = None, *, contract: Contract | None = None, token: str | None = None) -> Position:
    return Position(
        exchange=Exchange.NSE if isin else Exchange.NFO,
        tradingsymbol="X",
        isin=isin,
        broker_token="1",
        product=Product.NRML,
        quantity=Decimal(1),
        overnight_quantity=NONE,
        average_price=None,
        last_price=None,
        close_price=None,
        buy_value=NONE,
        sell_value=NONE,
        day_buy_quantity=NONE,
        day_buy_value=NONE,
        day_sell_quantity=NONE,
        day_sell_value=NONE,
        exchange_token=token,
        contract=contract,
    )


def wanted() -> set[str]:
    return set(CandleFill.objects.values_list("instrument__tradingsymbol", flat=True))


def answered(connection: BrokerConnection, portfolio: BrokerPortfolio) -> None:
    BrokerSnapshot.objects.update_or_create(
        connection=connection,
        defaults={"payload": msgspec.json.encode(portfolio).decode(), "as_of": portfolio.as_of},
    )


@pytest.fixture
def connection(alices: dict[str, BrokerConnection]) -> BrokerConnection:
    return alices["zerodha"]


@pytest.fixture(autouse=True)
def _instruments(db: None) -> None:
    for number, (symbol, isin) in enumerate(
        {"RELIANCE": RELIANCE, "INFY": INFY, "TCS": TCS, "NIFTYBEES": NIFTYBEES}.items()
    ):
        listed(symbol, str(number), isin)
    listed("NIFTY BANK", "260105", None, kind="INDEX")
    Instrument.objects.create(
        exchange="NFO",
        segment="FNO",
        kind="OPTION",
        identity="NFO|TCS|2026-12-29|3000|CE",
        tradingsymbol="TCS26DEC3000CE",
        exchange_token="77",
        underlying="TCS",
        first_seen_on=NOW.date(),
        last_seen_on=NOW.date(),
        rank=3,
        words="",
    )


class TestWhatIsHeld:
    def test_shares_and_positions_and_always_the_indices(self, connection: BrokerConnection) -> None:
        book = BrokerPortfolio(as_of=NOW, holdings=(holding(RELIANCE), holding(None)), positions=(position(INFY),))
        answered(connection, book)
        assert want_held(now=NOW) == 4
        assert wanted() == {"RELIANCE", "INFY", "NIFTYBEES", "NIFTY BANK"}
        assert want_held(now=NOW) == 0

    def test_what_derivatives_hang_on(self, connection: BrokerConnection) -> None:
        contracts = [Contract(underlying=name, expiry=date(2026, 12, 29)) for name in ("INFY", "BANKNIFTY", "nowhere")]
        rows = [position(contract=contract) for contract in contracts]
        answered(connection, BrokerPortfolio(as_of=NOW, positions=(*rows, position(token="77"), position(token="78"))))
        want_held(now=NOW)
        assert wanted() == {"INFY", "TCS", "NIFTYBEES", "NIFTY BANK"}

    def test_of_an_account_that_is_gone_nothing(self, connection: BrokerConnection) -> None:
        answered(connection, BrokerPortfolio(as_of=NOW, holdings=(holding(RELIANCE),)))
        BrokerConnection.objects.filter(pk=connection.pk).update(status=ConnectionStatus.DISCONNECTED)
        want_held(now=NOW)
        assert "RELIANCE" not in wanted()

    def test_an_answer_of_another_version_does_not_hide_the_others(
        self, alices: dict[str, BrokerConnection], caplog: pytest.LogCaptureFixture
    ) -> None:
        answered(alices["zerodha"], BrokerPortfolio(as_of=NOW, holdings=(holding(RELIANCE),)))
        answered(alices["upstox"], BrokerPortfolio(as_of=NOW, holdings=(holding(INFY),)))
        BrokerSnapshot.objects.filter(connection=alices["upstox"]).update(payload='{"as_of": 1}')
        want_held(now=NOW)
        assert "RELIANCE" in wanted()
        assert "cannot be read" in caplog.text


class TestWhen:
    """Each time what was told lately; at the hour all, as a master may have come after the account's answer."""

    @pytest.mark.parametrize(("minute", "found"), [(4, True), (6, False), (0, True)])
    def test_old_answers_are_looked_at_once_an_hour(
        self, connection: BrokerConnection, minute: int, found: bool
    ) -> None:
        told = datetime.fromisoformat("2026-11-26T10:00:00+05:30")
        answered(connection, replace(BrokerPortfolio(as_of=told), holdings=(holding(RELIANCE),)))
        want_held(now=told.replace(minute=minute) if minute else told + timedelta(hours=3))
        assert ("RELIANCE" in wanted()) is found

    def test_the_clock_of_the_worker(self, connection: BrokerConnection) -> None:
        answered(connection, BrokerPortfolio(as_of=timezone.now(), holdings=(holding(RELIANCE),)))
        tasks.want_held()
        assert "RELIANCE" in wanted()
