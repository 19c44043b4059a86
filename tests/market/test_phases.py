"""The phase of the market in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from brokers.domain import Exchange
from market.calendar import MarketState, Phase
from market.phases import WORDS, PhaseTold, of

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)  # Monday, 09:30 IST


def market(phase: Phase | None, *, until: datetime | None = None, next_open: datetime | None = None) -> MarketState:
    is_open = None if phase is None else phase is Phase.CONTINUOUS
    return MarketState(exchange=Exchange.NSE, is_open=is_open, phase=phase, until=until, next_open=next_open)


def test_every_phase_has_words() -> None:
    assert set(WORDS) == set(Phase)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (
            market(Phase.CONTINUOUS, until=NOW.replace(hour=10)),
            PhaseTold(is_open=True, words="Market open", then="until 15:30"),
        ),
        (
            market(Phase.CLOSED, next_open=datetime(2026, 11, 25, 3, 45, tzinfo=UTC)),
            PhaseTold(is_open=False, words="Market closed", then="opens Wed 25 Nov 09:15"),
        ),
        (
            market(Phase.CLOSED, next_open=NOW.replace(hour=5)),
            PhaseTold(is_open=False, words="Market closed", then="opens 10:30"),
        ),
        (market(None), PhaseTold(is_open=None, words="Hours not known", then="")),
    ],
)
def test_a_phase_is_told_with_its_end(state: MarketState, told: PhaseTold) -> None:
    assert of(state, NOW) == told
