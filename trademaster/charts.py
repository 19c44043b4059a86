"""The one script of others that the pages load: the library that draws charts, from the wheel that ships it.

It lies outside the importable packages (`trademaster/local/charts.lock`, installed by `trademaster/local/bootstrap.py`
and by the Dockerfile), for the wheel asks for a whole desktop beside it. Only the script is served, under `charts/`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.contrib.staticfiles.utils import matches_patterns
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage, Storage

DIRECTORY = Path(sys.prefix) / "charts" / "lightweight_charts" / "js"
SCRIPT = "lightweight-charts.js"
PREFIX = "charts"
ADDRESS = f"{PREFIX}/{SCRIPT}"


def is_installed() -> bool:
    return (DIRECTORY / SCRIPT).is_file()


class ChartStorage(FileSystemStorage):
    prefix = PREFIX  # put before each name, as for the folders of STATICFILES_DIRS


class ChartFinder(BaseFinder):
    """Finds the script, and nothing that lies beside it."""

    storage = ChartStorage(location=DIRECTORY)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Nothing: `trademaster.checks` says whether it is there."""
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        found = [str(DIRECTORY / SCRIPT)] if path == ADDRESS and is_installed() else []
        return found[0] if found and not find_all else found

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Storage]]:
        if is_installed() and not matches_patterns(SCRIPT, ignore_patterns or ()):
            yield SCRIPT, self.storage
