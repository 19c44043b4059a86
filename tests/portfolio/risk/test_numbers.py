"""The edge between Decimal and float."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.risk.errors import RiskError
from portfolio.risk.numbers import floats, ratio, rupees


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.285, "0.29"),  # its binary fraction is below the half
        (-0.285, "-0.29"),
        (2.675, "2.68"),
        (-0.001, "0.00"),
        (1e12 + 0.25, "1000000000000.25"),
        (1e300, "1" + "0" * 300 + ".00"),
    ],
)
def test_rupees_are_rounded_half_up_as_they_are_read(value, text):
    assert str(rupees(value)) == text


@given(st.decimals(-(10**12), 10**12, places=2))
def test_paise_come_back_as_they_went_in(amount):
    assert rupees(float(floats([amount])[0])) == amount


def test_ratios_have_eight_places():
    assert ratio(1 / 3) == Decimal("0.33333333")


def test_the_unknown_stays_unknown():
    assert rupees(None) is None
    assert ratio(None) is None
    with pytest.raises(TypeError):
        floats([Decimal(1), None])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float(np.float64("-inf"))])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(RiskError) as refusal:
        rupees(value)
    assert refusal.value.code == "figure_not_finite"
