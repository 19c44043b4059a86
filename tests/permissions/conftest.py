"""One world for many requests, in one transaction: whoever writes in it undoes it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.permissions.world import World, build


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Say how much was tried, to whoever runs the tests."""

    def told(words: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{words}\n")

    return told
