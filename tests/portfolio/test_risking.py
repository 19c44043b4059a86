"""Risk through the whole service: rows, Redis and simulated brokers; and the days that are written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from brokers.domain import Exchange, Segment
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from brokers.wire import IST
from market.candle_models import DailyCandle
from market.identity import is_isin
from market.models import Instrument
from portfolio import equity_days, limit_watch, limits, risk_gathering, risk_market, risking, services, tasks
from portfolio.domain import SourceState
from portfolio.flow_models import CashFlow
from portfolio.risk.limits import Metric, Scope, State
from portfolio.risk.words import RiskBook, RiskClass
from portfolio.risk_models import EquityDay, RiskBreach, RiskLimit, UserScenario
from tests.market.candle_teller import listed
from tests.portfolio.risk.made_reports import book, purse
from tests.portfolio.risk.risk_lines import RELIANCE, share

pytestmark = pytest.mark.django_db

DAYS = 300
WEDNESDAY = date(2026, 11, 25)


@pytest.fixture(autouse=True)
def _no_market_of_another_test() -> Iterator[None]:
    risk_market.forget()
    yield
    risk_market.forget()


def at(hour: int, minute: int = 0, day: date = WEDNESDAY) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=IST)


def value(user: User, section: str, now: datetime) -> Any:
    told = msgspec.json.decode(risking.reported(user, now=now)[section])
    assert told["refused"] is None, told
    return told["value"]


# --- the past of what is held -----------------------------------------------------------------------------------------
@pytest.fixture
def with_a_past(alice: User, alices: dict[str, BrokerConnection]) -> None:
    """A year of prices of the index and of every share that Alice holds."""
    lines = risk_gathering.gathered(alice, now=timezone.now()).lines
    shares = {line.instrument: line.symbol for line in lines if is_isin(line.instrument)}
    rows = [listed("NIFTY 50", "26000", None, kind="INDEX")]
    rows += [listed(symbol, str(9000 + number), isin) for number, (isin, symbol) in enumerate(sorted(shares.items()))]
    rng = np.random.default_rng(8)
    last = timezone.now().astimezone(IST).date() - timedelta(days=1)
    days = [day for back in range(DAYS * 2) if (day := last - timedelta(days=back)).weekday() < 5][:DAYS]
    for row in rows:
        past(row, list(reversed(days)), 1000 * np.cumprod(1 + rng.standard_t(5, DAYS) * 0.01))


def past(instrument: Instrument, days: list[date], closes: Any) -> None:
    DailyCandle.objects.bulk_create(
        DailyCandle(
            **{f"{name}_price": Decimal(f"{close:.2f}") for name in ("open", "high", "low", "close")},
            instrument=instrument,
            day=day,
            volume=Decimal(100_000),
            source="zerodha",
            fetched_at=timezone.now(),
        )
        for day, close in zip(days, closes, strict=True)
    )


def test_losses_come_from_the_store_and_limits_are_told_the_same(alice: User, with_a_past: None) -> None:
    now = timezone.now()
    losses = value(alice, "losses", now)
    assert losses["days"] > 250
    told = {(each["method"], each["confidence_pct"]): each for each in losses["figures"]}
    assert Decimal(told["HISTORICAL", "99.00"]["var"]) > 0
    assert sum(Decimal(each["component"]) for each in losses["components"]) == Decimal(
        told["PARAMETRIC", "99.00"]["var"]
    )
    found = risking.measured(alice, None, now)
    var = found.of(Metric.VAR_99_PCT, Scope.GLOBAL, "").value
    assert var is not None
    assert f"{var:.2f}" == told["HISTORICAL", "99.00"]["var_pct"]
    es = found.of(Metric.ES_975_PCT, Scope.GLOBAL, "").value
    assert es is not None
    assert f"{es:.2f}" == told["HISTORICAL", "97.50"]["es_pct"]


def test_a_limit_on_var_is_reached_and_stands_on_the_page(as_alice: Client, alice: User, with_a_past: None) -> None:
    now = timezone.now()
    limits.make_defaults(alice, now=now)
    RiskLimit.objects.filter(user=alice, metric=Metric.VAR_99_PCT).update(warn=Decimal("0.01"))
    services.consolidated(alice, now=now)
    limit_watch.watch(alice.pk, services.latest_book(alice, now=now, recent=limit_watch.RECENT), now=now)
    row = RiskLimit.objects.get(user=alice, metric=Metric.VAR_99_PCT)
    assert row.state == State.WARN
    assert row.value is not None
    assert RiskBreach.objects.get(limit=row).value == row.value
    html = as_alice.get("/risk/").content.decode()
    assert "warns at 0.01%" in html
    assert "Take note" in html


def test_the_backtest_is_over_the_same_days(as_alice: Client, alice: User, with_a_past: None) -> None:
    at_95, at_99 = as_alice.get("/api/v1/risk/backtest").json()
    assert at_99["value"]["days"] + at_99["value"]["window"] == value(alice, "losses", timezone.now())["days"]
    assert at_95["value"]["count"] == len(at_95["value"]["exceptions"])


def test_the_page_shows_the_report(as_alice: Client, with_a_past: None) -> None:
    html = as_alice.get("/risk/").content.decode()
    for words in ("Loss on a bad day", "2/2 live", "By sector", "Margins, worst first", "stress-chart"):
        assert words in html, words


def test_the_page_without_a_broker_is_no_error(as_bob: Client) -> None:
    assert "Connect a broker to see your risk" in as_bob.get("/risk/").content.decode()


def test_limits_are_measured_without_asking_a_broker(
    alice: User, alices: dict[str, BrokerConnection], control: Control
) -> None:
    risking.reported(alice, now=timezone.now())
    before = control.overview()
    found = risking.measured(alice, None, timezone.now())
    assert found.of(Metric.GROSS_EXPOSURE, Scope.GLOBAL, "").value
    assert found.of(Metric.DRAWDOWN_PCT, Scope.GLOBAL, "").value is None  # there is but one day
    assert found.of(Metric.ISSUER_PCT, Scope.ISSUER, "INE000000000").value == 0
    assert control.overview() == before


def test_a_scenario_that_keeps_the_rules_no_more_is_left_out(
    alice: User, alices: dict[str, BrokerConnection], caplog: pytest.LogCaptureFixture
) -> None:
    UserScenario.objects.create(user=alice, name="old", terms={"code": "old"}, created_at=timezone.now())
    assert all(row["code"] != "old" for row in value(alice, "stress", timezone.now())["scenarios"])
    assert "is left out: scenario_title" in caplog.text


# --- days -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def hours(settings: Settings) -> None:
    """Markets open and close, unlike the simulated ones."""
    settings.MARKET_AROUND_THE_CLOCK = False


def closing(now: datetime, **more: Any) -> RiskBook:
    """100 shares at 1,400, and 100,000 of cash."""
    plain = book(share(RELIANCE, 100, 1400, loan=Decimal(0)), purses=[purse(as_of=now)], **more)
    return replace(plain, now=now)


@pytest.mark.django_db
@pytest.mark.parametrize(("now", "least"), [(at(8, 30), 0), (at(9, 5), 0), (at(9, 20), 4000), (at(15, 35), 4000)])
def test_a_days_loss_is_proved_once_its_exchange_has_begun(hours: None, now: datetime, least: int) -> None:
    """At 9:05 MCX trades, and NSE's shares show what they lost the day before."""
    lost = replace(share(RELIANCE, 100, 1400, loan=Decimal(0)), day_pnl=Decimal(-4000))
    purses = [purse(as_of=now, day_pnl=Decimal(-4000), known_day_pnl=Decimal(-4000))]
    of_day = {"day_pnl": Decimal(-4000), "known_day_pnl": Decimal(-4000)}
    found = risking.quickly(replace(book(lost, purses=purses), now=now, **of_day))
    figure = found.of(Metric.DAY_LOSS, Scope.GLOBAL, "")
    assert (figure.value, figure.proved) == (4000, least)
    assert found.of(Metric.DAY_LOSS, Scope.ACCOUNT, purses[0].connection_id).proved == least
    of_began = found.of(Metric.DAY_LOSS_PCT, Scope.GLOBAL, "")
    assert of_began.proved == (of_began.value if least else 0)


@pytest.mark.parametrize(
    ("now", "is_due"),
    [
        (at(11), False),
        (at(15, 35), False),
        (at(16, 15), True),
        (at(23, 55), True),
        (at(16, day=date(2026, 11, 22)), False),  # a Sunday
    ],
)
def test_a_day_is_due_once_its_market_has_closed(alice: User, hours: None, now: datetime, is_due: bool) -> None:
    BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="ZA1", display_name="Z")
    assert (alice.pk in equity_days.due(now)) is is_due


def test_where_markets_never_close_a_day_ends_with_the_day(alice: User) -> None:
    BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="ZA1", display_name="Z")
    assert (equity_days.due(at(16, 15)), equity_days.due(at(23, 50))) == ([], [alice.pk])


def test_a_day_is_written_and_is_due_no_more(alice: User, hours: None) -> None:
    BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="ZA1", display_name="Z")
    row = equity_days.write(alice, closing(at(16)))
    assert row is not None
    assert (row.day, row.equity, row.day_pnl, row.complete) == (WEDNESDAY, 240_000, 1000, True)
    assert equity_days.due(at(16, 15)) == []


def test_what_profit_and_payments_do_not_explain_is_told(alice: User) -> None:
    EquityDay.objects.create(user=alice, day=date(2026, 11, 23), equity=Decimal(200_000), complete=True, as_of=at(16))
    CashFlow.objects.create(user=alice, day=date(2026, 11, 24), amount=Decimal(38_000), created_at=at(16))
    row = equity_days.write(alice, closing(at(16)))
    assert row is not None
    assert row.unexplained == 240_000 - 200_000 - 1000 - 38_000


def test_a_day_that_is_not_wholly_known_says_so_and_is_written_again(alice: User, hours: None) -> None:
    BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="ZA1", display_name="Z")
    missing = purse("upstox", state=SourceState.MISSING, as_of=None, cash=None)
    partial = closing(at(16))
    row = equity_days.write(alice, replace(partial, purses=(*partial.purses, missing)))
    assert row is not None
    assert (row.complete, row.unexplained) == (False, None)
    assert equity_days.due(at(16, 15)) == [alice.pk]
    assert equity_days.write(alice, closing(at(16, 10))).complete  # type: ignore[union-attr]
    assert EquityDay.objects.filter(user=alice).count() == 1


def test_who_holds_a_commodity_waits_for_its_market(alice: User, hours: None) -> None:
    gold = share(
        "GOLD", 1, 1000, loan=Decimal(0), exchange=Exchange.MCX, segment=Segment.COMMODITY,
        risk_class=RiskClass.COMMODITY,
    )  # fmt: skip
    early, late = (replace(book(gold, purses=[purse(as_of=now)]), now=now) for now in (at(16), at(23, 59)))
    assert equity_days.write(alice, early) is None
    assert not EquityDay.objects.exists()
    assert equity_days.write(alice, late) is not None


def test_who_has_no_connection_has_no_day(alice: User) -> None:
    tasks.note_equity_day(alice.pk)
    assert not EquityDay.objects.exists()


def test_payments_of_days_without_a_row_are_not_lost(alice: User) -> None:
    equity_days.add_flow(alice, day=date(2026, 11, 21), amount=Decimal(500), note="", now=at(16))
    EquityDay.objects.create(user=alice, day=date(2026, 11, 20), equity=Decimal(1000), complete=True, as_of=at(16))
    [first, second] = equity_days.days_of(alice)
    assert (first.equity, second.equity, second.cash_flow, second.complete) == (1000, None, 500, False)
