"""pytest plugin: real PostgreSQL and real Redis for the test run, ready before Django reads its settings.

Loaded by `addopts` in pyproject.toml. DATABASE_URL and REDIS_URL are used when given; else private ephemeral
servers start (0.7 s) and die with the run.
"""

import os
import secrets
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from trademaster.local.environment import application_environment
from trademaster.local.failure import ServiceFailed
from trademaster.local.services import LocalServices

PUBLIC_URL = "http://127.0.0.1:8000"


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """A wrapper, because pytest-django sets Django up in this same hook and wrappers come first."""
    services = LocalServices(
        Path(tempfile.mkdtemp(prefix="trademaster-test-")),
        database_url=os.environ.get("DATABASE_URL", ""),
        redis_url=os.environ.get("REDIS_URL", ""),
        ephemeral=True,
    )
    try:
        services.start()
    except ServiceFailed as failure:
        raise pytest.UsageError(str(failure)) from failure
    early_config.add_cleanup(services.stop)
    environment = application_environment(
        database_url=services.database_url,
        redis_url=services.redis_url,
        secret_key=secrets.token_urlsafe(48),
        field_encryption_key=Fernet.generate_key().decode(),
        public_url=PUBLIC_URL,
    )
    os.environ.clear()
    os.environ.update(environment)
    return (yield)
