"""What is measured for limits: each part looks at the same book and tells the figures that it knows.

A part that fails takes its own figures with it, which are unknown then, and no other's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from accounts.models import User
from portfolio import risking
from portfolio.domain import ConsolidatedPortfolio
from portfolio.risk.evaluating import NOTHING, Measured
from portfolio.risk.measured import measured_from

logger = logging.getLogger(__name__)

Measure = Callable[[User, ConsolidatedPortfolio, datetime], Measured]


def of_the_book(user: User, book: ConsolidatedPortfolio, now: datetime) -> Measured:
    """What the merged book says by itself."""
    return measured_from(book)


# Where two tell of the same, the later one's word counts.
PARTS: tuple[Measure, ...] = (of_the_book, risking.measured)


def measure(user: User, book: ConsolidatedPortfolio, now: datetime) -> tuple[Measured, bool]:
    """All figures, and whether every part told its own."""
    found, is_whole = NOTHING, True
    for part in PARTS:
        try:
            found = found.also(part(user, book, now))
        except Exception:  # whatever is wrong with one, limits are held against the others
            logger.exception("Risk of user %s could not be measured by %s", user.pk, part.__name__)
            is_whole = False
    return found, is_whole
