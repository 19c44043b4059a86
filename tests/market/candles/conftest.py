"""Two accounts that tell nothing yet, and a share that both list."""

from __future__ import annotations

import pytest

from brokers import registry
from brokers.models import BrokerConnection
from market.models import Instrument
from tests.market.candle_teller import BOTH, RELIANCE, Tellers, listed


@pytest.fixture
def tellers(alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch) -> Tellers:
    """Alice's two accounts are connected; neither tells anything yet."""
    BrokerConnection.objects.update(token_expires_at=None)
    found = Tellers(monkeypatch)
    for slug in registry.slugs():
        found.let(slug, None)
    return found


@pytest.fixture
def share(db: None) -> Instrument:
    return listed("RELIANCE", "2885", RELIANCE, *BOTH)
