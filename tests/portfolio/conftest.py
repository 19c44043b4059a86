"""What the tests of the live page's socket share."""

from __future__ import annotations

import pytest
from django.db import close_old_connections

from portfolio import consumers
from tests.portfolio.sockets import Application


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "FLUSH_SECONDS", 0.05)


@pytest.fixture
def connections_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in production: the communicator keeps every thread's database connection, for tests without transactions."""
    monkeypatch.setattr("channels.testing.application.no_op", close_old_connections)


@pytest.fixture
def application(transactional_db: None) -> Application:
    """The ASGI application proves its keys when it is loaded, and so needs the tables."""
    from trademaster.asgi import application

    return application
