"""docs/operations.md lists every setting and every task of beat, with the intervals that they have."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()
SETTINGS = (ROOT / "trademaster" / "settings.py").read_text()
SPELT = {10.0: "10 s", 600.0: "10 min", 300.0: "5 min", 60.0: "1 min", 3600.0: "1 h"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r'env_[a-z]+\(\s*"([A-Z_]+)"', SETTINGS))))
def test_every_setting_is_listed(name: str) -> None:
    assert re.search(rf"^\| `{name}`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("entry", settings.CELERY_BEAT_SCHEDULE.values(), ids=lambda entry: entry["task"])
def test_every_task_of_beat_is_listed_with_its_interval(entry: dict[str, object]) -> None:
    row = re.search(rf"^\| `{entry['task']}` \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert row
    every = entry["schedule"]
    seconds = every.total_seconds() if isinstance(every, timedelta) else float(str(every))
    named = re.fullmatch(r"`(\w+)`", row[1])
    assert (getattr(settings, named[1]) if named else row[1]) == (seconds if named else SPELT[seconds])
