"""What the tests of tokens begin with."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from accounts.models import User
from tests.people import trader


@pytest.fixture
def nothing_counted(db: None) -> None:
    cache.clear()


@pytest.fixture
def carol(db: None) -> User:
    """Without a password, which takes its time."""
    return trader("carol")
