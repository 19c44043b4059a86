"""The environment that the application's processes get: one table for the demo and for the tests."""

import os
from collections.abc import Mapping
from typing import NotRequired, TypedDict

SETTINGS = "trademaster.settings"


class SimulatedBroker(TypedDict):
    """One entry of the `brokers` object in brokers.json and demo.json."""

    base_url: str
    login_url: str | None  # None: the broker has no login page of its own
    master_url: str
    stream_url: str | None
    api_key: str
    api_secret: str
    redirect_uri: str
    login: dict[str, str]


class Simulation(TypedDict):
    """What `manage.py sandbox` writes to `<state-dir>/brokers.json`."""

    control_url: str
    brokers: dict[str, SimulatedBroker]
    web: NotRequired[None]


def application_environment(
    *, database_url: str, redis_url: str, secret_key: str, field_encryption_key: str, public_url: str
) -> dict[str, str]:
    """Our environment without any broker address of the outside world, and with simulated brokers only."""
    ours = {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": secret_key,
        "FIELD_ENCRYPTION_KEYS": field_encryption_key,
        "PUBLIC_URL": public_url,
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "SIMULATED_BROKERS": "1",
    }
    # The settings read NAME_FILE and NAME_COMMAND before NAME.
    unwanted = {f"{name}_{source}" for name in ours for source in ("FILE", "COMMAND")}
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("BROKER_") and name not in unwanted
    }
    return inherited | ours


def broker_environment(brokers: Mapping[str, SimulatedBroker]) -> dict[str, str]:
    """Where the application finds the simulated brokers instead of the real ones."""
    return {
        f"BROKER_{slug.upper()}_{name}_URL": url
        for slug, broker in brokers.items()
        for name, url in (
            ("BASE", broker["base_url"]),
            ("LOGIN", broker["login_url"]),
            ("MASTER", broker["master_url"]),
            ("STREAM", broker["stream_url"]),
        )
        if url is not None
    }
