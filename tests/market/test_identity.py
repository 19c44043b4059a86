"""What makes two rows one instrument, and how many units a lot has."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Contract, Exchange, Instrument, InstrumentKind
from brokers.simulation.instruments import load_instruments
from brokers.simulation.masters import DEMO, FULL, all_listings, check_digit
from market.identity import identity, is_isin, search_words, units_in_lot
from tests.market.conftest import option, share


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (share("RELIANCE", "2885", "INE002A01018"), "NSE|2885"),
        (share("RELIANCE", "2885", None), "NSE|2885"),
        (replace(share("NEW", "1", None), exchange_token=None), "NSE|=NEW"),
        (option(27000, "50978"), "NFO|NIFTY|2026-12-29|27000|CE"),
        (replace(option(27000, "50978"), contract=None), None),
    ],
)
def test_identity(item: Instrument, expected: str | None) -> None:
    assert identity(item) == expected


def test_a_strike_is_a_number_and_an_underlying_has_no_case() -> None:
    usual = option(27000, "1")
    assert usual.contract is not None
    other = replace(usual, contract=replace(usual.contract, strike=Decimal("27000.00"), underlying="Nifty"))
    assert identity(other) == identity(usual)


def gold(lot: str | None, multiplier: str) -> Instrument:
    return Instrument(
        exchange=Exchange.MCX,
        kind=InstrumentKind.FUTURE,
        tradingsymbol="GOLD26DECFUT",
        broker_token="495213",
        contract=Contract(underlying="GOLD", expiry=date(2026, 12, 4)),
        lot_size=lot and Decimal(lot),
        multiplier=Decimal(multiplier),
    )


@pytest.mark.parametrize(
    ("lot", "multiplier", "units"),
    [("1", "100", 100), ("100", "1", 100), ("100", "100", 100), ("1", "1", None), (None, "1", None)],
)
def test_a_lot_counted_in_lots_has_its_units(lot: str | None, multiplier: str, units: int | None) -> None:
    assert units_in_lot(gold(lot, multiplier)) == units


def test_a_lot_of_one_share_is_one() -> None:
    assert units_in_lot(share("INFY", "1594", None)) == 1
    assert units_in_lot(option(27000, "1")) == 65


def test_what_can_be_searched_for() -> None:
    assert search_words(option(27000, "1")) == "NIFTY 27000 CE 29 DEC 2026"
    assert search_words(gold("1", "100")) == "GOLD FUT 04 DEC 2026"
    assert search_words(share("INFY", "1594", None, name="Infosys Ltd.")) == "INFY Infosys Ltd."


@pytest.mark.parametrize("isin", ["INE002A01018", "INE009A01021", "INF204KB14I2", "US0378331005"])
def test_real_isins(isin: str) -> None:
    assert is_isin(isin)


@given(
    st.sampled_from([item.isin for item in load_instruments() if item.isin]),
    st.integers(0, 11),
    st.characters(codec="ascii"),
)
def test_one_sign_wrong_is_no_isin(isin: str, place: int, sign: str) -> None:
    """Luhn's digit catches every single wrong digit; of letters, those that change the sum."""
    changed = isin[:place] + sign + isin[place + 1 :]
    if is_isin(changed):
        assert changed == isin or not (sign.isdigit() and isin[place].isdigit())


@pytest.mark.parametrize("size", [DEMO, FULL], ids=["demo", "full"])
def test_simulated_exchanges_list_each_thing_once(size: object) -> None:
    keys, numbers, isins, count = set(), set(), set(), 0
    for listing in all_listings(size):  # type: ignore[arg-type]
        count += 1
        keys.add(listing.key)
        numbers.add((listing.exchange, listing.exchange_token))
        if listing.isin:
            isins.add(listing.isin)
    assert len(keys) == len(numbers) == count
    assert count > (200_000 if size is FULL else 5_000)
    assert all(is_isin(isin) for isin in isins)


def test_the_check_digit_is_that_of_real_isins() -> None:
    assert {isin[-1] == check_digit(isin[:-1]) for isin in ("INE002A01018", "INF204KB14I2", "INE1TAE01010")} == {True}
