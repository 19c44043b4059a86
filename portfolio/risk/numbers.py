"""The one edge of this package: Decimal becomes float here, and float becomes Decimal, rounded half up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import SupportsFloat, overload

import numpy as np
from numpy.typing import NDArray

from portfolio.risk.errors import RiskError

Array = NDArray[np.float64]
PAISA = Decimal("0.01")
FINEST_RATIO = Decimal("0.00000001")
ROUNDED = Context(prec=400, rounding=ROUND_HALF_UP)


def floats(values: Iterable[SupportsFloat]) -> Array:
    """Amounts as a vector. None is no number: whoever has unknown amounts leaves them out, and says so."""
    return np.fromiter((float(value) for value in values), dtype=np.float64)


@overload
def rupees(value: float) -> Decimal: ...
@overload
def rupees(value: None) -> None: ...
def rupees(value: float | None) -> Decimal | None:
    """An amount to paise; None stays unknown. Raises RiskError where it is not finite."""
    return None if value is None else _rounded(value, PAISA)


@overload
def ratio(value: float) -> Decimal: ...
@overload
def ratio(value: None) -> None: ...
def ratio(value: float | None) -> Decimal | None:
    """A ratio, such as 0.125, to eight places; None stays unknown. Raises RiskError where it is not finite."""
    return None if value is None else _rounded(value, FINEST_RATIO)


def _rounded(value: float, finest: Decimal) -> Decimal:
    if not math.isfinite(value):
        raise RiskError(
            "A figure of risk is not finite.",
            code="figure_not_finite",
            remedy="Look for a price, a volatility or a history that cannot be.",
        )
    # By its shortest text, so that 0.285 is rounded as it is read; adding nothing makes no minus zero.
    return ROUNDED.add(Decimal(repr(float(value))).quantize(finest, context=ROUNDED), 0)
