"""Reading the store: factors, proxies, gaps, marked days and volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from brokers.domain import Exchange
from market import factors
from market.candle_models import DailyCandle
from market.factors import Candidate, candidates_of, instruments_of
from market.histories import histories, past
from market.models import Instrument
from tests.market.candle_teller import DAY, INFY, NOW, RELIANCE, TCS, TODAY, listed, weekdays

NIFTYBEES, GOLDBEES = "INF204KB14I2", "INF204KB17I5"
DAYS = weekdays(TODAY - 13 * DAY, TODAY)  # ten of them

pytestmark = pytest.mark.django_db


def held(
    instrument: Instrument, days: Iterable[date], *, volumes: Mapping[date, int | None] | None = None, **columns: Any
) -> None:
    """Each day closes at its number of the month, in hundreds."""
    known = volumes or {}
    DailyCandle.objects.bulk_create(
        DailyCandle(
            instrument=instrument,
            day=day,
            open_price=day.day * 100,
            high_price=day.day * 100,
            low_price=day.day * 100,
            close_price=day.day * 100,
            volume=known.get(day, 10),
            **{"source": "zerodha", "fetched_at": NOW} | columns,
        )
        for day in days
    )


def future(underlying: str, expiry: date) -> Instrument:
    return Instrument.objects.create(
        exchange="MCX",
        segment="COMMODITY",
        kind="FUTURE",
        identity=f"MCX|{underlying}|{expiry}|FUT",
        tradingsymbol=f"{underlying}{expiry:%y%b}FUT".upper(),
        underlying=underlying,
        expiry=expiry,
        first_seen_on=TODAY,
        last_seen_on=TODAY,
        rank=2,
        words="",
    )


class TestFactors:
    def test_the_data_file_names_what_it_knows_once(self) -> None:
        assert factors.index() in factors.named()
        for each in factors.named().values():
            assert each.listed_as or each.proxies
            assert all(name == name.upper() and "|INDEX|" in name for name in each.listed_as)

    def test_a_share_is_its_listings_nses_first(self) -> None:
        bse = listed("RELIANCE", "500325", RELIANCE, exchange=Exchange.BSE)
        nse = listed("RELIANCE", "2885", RELIANCE)
        old = listed("RELIANCE", "1", RELIANCE)
        Instrument.objects.filter(pk=old.pk).update(ended_on=TODAY)
        assert candidates_of([RELIANCE], TODAY) == {RELIANCE: (Candidate(nse.pk), Candidate(bse.pk))}
        assert instruments_of([RELIANCE], TODAY) == {nse.pk}
        assert candidates_of(["RELIANCE"], TODAY) == {"RELIANCE": (Candidate(nse.pk),)}
        nse.delete()
        assert instruments_of([RELIANCE], TODAY) == {bse.pk}

    def test_an_index_is_its_own_rows_and_then_its_fund(self) -> None:
        fund, short = listed("NIFTYBEES", "10576", NIFTYBEES), listed("NIFTY", "26000", None, kind="INDEX")
        whole = listed("NIFTY 50", "256265", None, kind="INDEX")
        own = (Candidate(whole.pk), Candidate(short.pk))
        found = candidates_of(["NIFTY", "SENSEX", "NSE|INDEX|NIFTY 50"], TODAY)
        assert found["NIFTY"] == (*own, Candidate(fund.pk, "NIFTYBEES"))
        assert found["SENSEX"] == (Candidate(fund.pk, "NIFTYBEES"),)
        assert found["NSE|INDEX|NIFTY 50"] == (Candidate(whole.pk),)
        assert instruments_of(["NIFTY"], TODAY) == {fund.pk, short.pk, whole.pk}

    def test_another_underlying_is_its_future_of_the_nearest_expiry(self) -> None:
        future("CRUDEOIL", TODAY - DAY)
        far, near = future("CRUDEOIL", TODAY + 60 * DAY), future("CRUDEOIL", TODAY + 30 * DAY)
        gold = listed("GOLDBEES", "14428", GOLDBEES)
        assert candidates_of(["CRUDEOIL", "GOLD"], TODAY) == {
            "CRUDEOIL": (Candidate(near.pk),),
            "GOLD": (Candidate(gold.pk, "GOLDBEES"),),
        }
        assert candidates_of(["CRUDEOIL"], TODAY + 31 * DAY) == {"CRUDEOIL": (Candidate(far.pk),)}

    def test_what_nobody_lists_has_no_candidates(self) -> None:
        assert candidates_of([RELIANCE, "NIFTY", "NSE|7", "NOWHERE"], TODAY) == {
            RELIANCE: (),
            "NIFTY": (),
            "NSE|7": (),
            "NOWHERE": (),
        }
        assert instruments_of([RELIANCE, "NIFTY"], TODAY) == set()


class TestReading:
    def test_the_last_days_oldest_first_and_exact(self) -> None:
        share = listed("RELIANCE", "2885", RELIANCE)
        held(share, reversed(DAYS))
        series = histories([RELIANCE], days=3, now=NOW)[RELIANCE]
        assert series.days == tuple(DAYS[-3:])
        assert series.closes == tuple(Decimal(day.day * 100) for day in DAYS[-3:])
        assert all(type(close) is Decimal for close in series.closes)
        assert (series.instrument_id, series.proxy, series.beta, series.missing) == (share.pk, None, None, 0)

    def test_what_is_not_held_is_empty_and_not_absent(self) -> None:
        listed("RELIANCE", "2885", RELIANCE)
        found = histories([RELIANCE, INFY], now=NOW)
        assert [(series.factor, series.days, series.adv) for series in found.values()] == [
            (RELIANCE, (), None),
            (INFY, (), None),
        ]

    def test_an_index_without_days_moves_by_its_fund_and_says_so(self) -> None:
        listed("NIFTY 50", "256265", None, kind="INDEX")
        fund = listed("NIFTYBEES", "10576", NIFTYBEES)
        held(fund, DAYS)
        series = histories(["NIFTY"], now=NOW)["NIFTY"]
        assert (series.instrument_id, series.proxy, series.beta) == (fund.pk, "NIFTYBEES", Decimal(1))
        assert series.adv is None, "the volume of a fund is not that of the index"
        assert histories([NIFTYBEES], now=NOW)[NIFTYBEES].proxy is None

    def test_its_own_days_come_first_once_they_are_there(self) -> None:
        index, fund = listed("NIFTY 50", "256265", None, kind="INDEX"), listed("NIFTYBEES", "10576", NIFTYBEES)
        held(fund, DAYS)
        held(index, DAYS[-8:])
        assert histories(["NIFTY"], now=NOW)["NIFTY"].proxy == "NIFTYBEES", "eight of ten are too few"
        held(index, DAYS[:1])
        series = histories(["NIFTY"], now=NOW)["NIFTY"]
        assert (series.proxy, series.missing) == (None, 0)

    def test_an_index_that_nobody_told_for_weeks_yields_to_its_fund(self) -> None:
        index, fund = listed("NIFTY 50", "256265", None, kind="INDEX"), listed("NIFTYBEES", "10576", NIFTYBEES)
        days = weekdays(TODAY - 150 * DAY, TODAY)
        held(index, days[:-25])
        held(fund, days[-70:])
        held(listed("RELIANCE", "2885", RELIANCE), days)
        told = past(["NIFTY", RELIANCE], now=NOW)
        assert (told.series["NIFTY"].proxy, told.trading_days) == ("NIFTYBEES", tuple(days[-70:]))

    def test_but_not_to_one_that_holds_hardly_a_day(self) -> None:
        """And the market goes on after the last day of its index."""
        index, fund = listed("NIFTY 50", "256265", None, kind="INDEX"), listed("NIFTYBEES", "10576", NIFTYBEES)
        days = weekdays(TODAY - 150 * DAY, TODAY)
        held(index, days[:-25])
        held(fund, days[-3:])
        held(listed("RELIANCE", "2885", RELIANCE), days)
        told = past(["NIFTY", RELIANCE], days=60, now=NOW)
        assert (told.series["NIFTY"].proxy, told.series["NIFTY"].days[-1]) == (None, days[-26])
        assert told.trading_days == tuple(days[-60:])
        assert [told.series[key].missing for key in ("NIFTY", RELIANCE)] == [25, 0]

    def test_yesterday_is_not_missing_because_the_index_is_told_later(self) -> None:
        index, fund = listed("NIFTY 50", "256265", None, kind="INDEX"), listed("NIFTYBEES", "10576", NIFTYBEES)
        held(index, weekdays(TODAY - 60 * DAY, TODAY - DAY))
        held(fund, weekdays(TODAY - 60 * DAY, TODAY))
        told = past(["NIFTY"], now=NOW)
        assert (told.series["NIFTY"].proxy, told.trading_days[-1]) == ("NIFTYBEES", TODAY)
        held(index, [TODAY])
        assert histories(["NIFTY"], now=NOW)["NIFTY"].proxy is None

    def test_the_listing_that_holds_the_past_is_read(self) -> None:
        """A share that came to NSE lately goes by its days at BSE."""
        bse, nse = listed("X", "500325", RELIANCE, exchange=Exchange.BSE), listed("X", "2885", RELIANCE)
        held(bse, DAYS)
        held(nse, DAYS[-2:])
        assert histories([RELIANCE], now=NOW)[RELIANCE].instrument_id == bse.pk

    def test_how_much_is_missing_is_told_by_the_days_of_the_index(self) -> None:
        held(listed("NIFTYBEES", "10576", NIFTYBEES), DAYS)
        held(listed("RELIANCE", "2885", RELIANCE), [day for day in DAYS if day != DAYS[4]])
        held(listed("INFY", "1594", INFY), DAYS[-3:])
        told = past([RELIANCE, INFY, TCS], days=10, now=NOW)
        assert told.trading_days == tuple(DAYS)
        assert {key: series.missing for key, series in told.series.items()} == {RELIANCE: 1, INFY: 7, TCS: 10}
        assert "NIFTY" not in told.series

    def test_without_an_index_by_the_days_of_all(self) -> None:
        held(listed("RELIANCE", "2885", RELIANCE), DAYS[:5])
        held(listed("INFY", "1594", INFY), DAYS[5:])
        told = past([RELIANCE, INFY], days=10, now=NOW)
        assert told.trading_days == tuple(DAYS)
        assert [series.missing for series in told.series.values()] == [5, 5]

    def test_marked_days_come_along_but_not_where_there_is_no_step(self) -> None:
        share = listed("RELIANCE", "2885", RELIANCE)
        held(share, DAYS)
        DailyCandle.objects.filter(day__in=[DAYS[2], DAYS[7]]).update(suspected_split=True)
        assert histories([RELIANCE], now=NOW)[RELIANCE].suspected == (DAYS[2], DAYS[7])
        assert histories([RELIANCE], days=8, now=NOW)[RELIANCE].suspected == (DAYS[7],)

    def test_the_average_volume_is_of_twenty_days_at_most(self) -> None:
        share = listed("RELIANCE", "2885", RELIANCE)
        days = weekdays(TODAY - 60 * DAY, TODAY)
        volumes: dict[date, int | None] = {day: 1_000_000 for day in days[:-20]} | dict.fromkeys(days[-20:], 300)
        held(share, days, volumes=volumes | {days[-1]: 500, days[-2]: None})
        assert histories([RELIANCE], now=NOW)[RELIANCE].adv == Decimal(18 * 300 + 500) / 19

    def test_no_volume_is_unknown_and_not_zero(self) -> None:
        share = listed("RELIANCE", "2885", RELIANCE)
        held(share, DAYS, volumes=dict.fromkeys(DAYS))
        assert histories([RELIANCE], now=NOW)[RELIANCE].adv is None

    def test_many_cost_as_many_queries_as_one(self, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
        isins = [f"INE{n:03}A01018" for n in range(50)]
        for n, isin in enumerate(isins):
            held(listed(f"S{n}", str(n), isin), DAYS)
        keys = [*isins, "NIFTY", "NOWHERE", "NSE|3"]
        with django_assert_max_num_queries(5):
            found = histories(keys, now=NOW)
        assert found["NSE|3"].instrument_id is not None
        assert len(found) == 53

    def test_numpy_takes_the_closes(self) -> None:
        import numpy as np

        held(listed("RELIANCE", "2885", RELIANCE), DAYS)
        closes = np.array(histories([RELIANCE], now=NOW)[RELIANCE].closes, dtype=np.float64)
        assert closes.tolist() == [day.day * 100.0 for day in DAYS]
