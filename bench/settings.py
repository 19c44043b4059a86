"""The real settings, plus a view that does nothing, a throttle that does not stop, and no budgets at brokers."""

from trademaster.settings import *  # noqa: F403
from trademaster.settings import REST_FRAMEWORK

ROOT_URLCONF = "bench.urls"
GOVERNOR_ENABLED = False  # rounds follow each other faster than any broker would allow
# A window of a second: the throttle's list of past requests stays as short as in production.
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = {"user": "100000/s", "connect": "100000/s"}
