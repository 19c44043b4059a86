"""The real settings with budgets and circuits, and nothing hurried: for measuring what a page sees."""

from bench.settings import *  # noqa: F403

GOVERNOR_ENABLED = True
