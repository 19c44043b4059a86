"""Which ES modules a page's own ones import, so that a browser asks for all of them at once.

Left alone it learns of each only from the one that imports it, a round trip for every step of the way.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePosixPath

from django.contrib.staticfiles import finders

IMPORT = re.compile(r'^\s*(?:import|\}|export)[^"\n]*?(?:from\s+)?"(\./[\w./-]+\.js)"', re.MULTILINE)


@cache
def closure(address: str) -> tuple[str, ...]:
    """The module at this static address and whatever it imports, itself first. Raises FileNotFoundError."""
    found: dict[str, None] = {}
    waiting = [address]
    while waiting:
        each = waiting.pop()
        if each in found:
            continue
        found[each] = None
        waiting += imports_of(each)
    return tuple(found)


def imports_of(address: str) -> list[str]:
    path = finders.find(address)
    if not path:
        raise FileNotFoundError(f"No static file at {address}.")
    beside = PurePosixPath(address).parent
    return [str(beside / name.removeprefix("./")) for name in IMPORT.findall(Path(path).read_text())]
