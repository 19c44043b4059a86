"""Closes of days that are remembered, for no broker tells so long a past.

Source: NIFTY 50 and India VIX, daily closes as NSE published them, put down from general knowledge and not read anew.
Of October 2008 no close of India VIX is known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

Closes = Mapping[date, Decimal]

INDEX_CLOSES: Closes = {
    date(2008, 10, 23): Decimal("2943.15"),
    date(2008, 10, 24): Decimal("2584.00"),
    date(2020, 3, 20): Decimal("8745.45"),
    date(2020, 3, 23): Decimal("7610.25"),
    date(2022, 2, 23): Decimal("17063.25"),
    date(2022, 2, 24): Decimal("16247.95"),
    date(2024, 6, 3): Decimal("23263.90"),
    date(2024, 6, 4): Decimal("21884.50"),
}
VOLATILITY_CLOSES: Closes = {
    date(2020, 3, 20): Decimal("67.10"),
    date(2020, 3, 23): Decimal("71.99"),
    date(2022, 2, 23): Decimal("24.69"),
    date(2022, 2, 24): Decimal("31.98"),
    date(2024, 6, 3): Decimal("20.94"),
    date(2024, 6, 4): Decimal("26.75"),
}
