"""The real settings, budgets and circuits included, for measuring how those behave."""

from bench.settings import *  # noqa: F403

GOVERNOR_ENABLED = True
# Every request fetches. Nobody asks more often than the tightest budget allows: many traders ask a little each.
PORTFOLIO_CACHE_SECONDS = 0.001
# What was checked is not due again before the run ends, and no lease ends within it.
HEALTH_INTERVAL_SECONDS = 3600.0
