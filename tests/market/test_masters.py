"""Masters of every dialect, over HTTP, into one table."""

from __future__ import annotations

import pytest

from brokers import registry
from tests.market.conftest import Load

PUBLIC = [slug for slug in registry.slugs() if slug != "zerodha"]


@pytest.mark.parametrize("slug", PUBLIC)
def test_every_dialect_is_read_whole(slug: str, load: Load) -> None:
    done = load(slug)
    assert done.row_count > 4000
    assert done.unreadable == {}
    assert done.new_count == done.row_count
