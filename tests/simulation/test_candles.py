"""The days behind the simulated market: the same whoever asks, and leading up to its previous close."""

from datetime import date, timedelta

import pytest

from brokers.simulation.candles import bars
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market

TODAY = date(2026, 11, 26)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(load_instruments())


def test_the_last_day_closes_at_the_previous_close(market: Market) -> None:
    listing = market.instruments["NSE:RELIANCE"]
    found = bars(market, listing, date(2026, 1, 1), TODAY, today=TODAY)
    assert found[-1].day == date(2026, 11, 25)
    assert found[-1].close == market.price("NSE:RELIANCE").close
    assert [bar.day for bar in found] == sorted({bar.day for bar in found})
    assert all(bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high for bar in found)


def test_a_part_of_the_past_is_the_same_as_in_the_whole(market: Market) -> None:
    listing = market.instruments["NSE:INFY"]
    whole = bars(market, listing, date(2026, 3, 2), TODAY, today=TODAY)
    part = bars(market, listing, date(2026, 5, 4), date(2026, 5, 29), today=TODAY)
    assert part == [bar for bar in whole if date(2026, 5, 4) <= bar.day <= date(2026, 5, 29)]
    assert len(part) == 20


def test_what_does_not_trade_has_no_past(market: Market) -> None:
    silent = next(each for each in market.instruments if market.price(each.key) is None)
    assert bars(market, silent, TODAY - timedelta(days=9), TODAY, today=TODAY) == []
