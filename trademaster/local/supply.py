"""`make audit`: what the product is made of, under which licences, and what is known against it.

Writes `docs/licences.md` and `sbom.json` (CycloneDX), and asks for known vulnerabilities where a source of advisories
can be reached. Ends with 1 where a licence is not on the list below, or something is known against a version in use.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "licences.md"
BILL = ROOT / "sbom.json"
TOOLS = ROOT / ".venv-audit"

PERMISSIVE = ("MIT", "BSD", "Apache", "ISC", "PSF", "Python Software Foundation", "ZPL", "TCL", "Zlib", "CC0")
# Not of the list above, each with the reason why it is here all the same.
ACCEPTED = {
    "certifi": "MPL 2.0: a list of certificate authorities, used unchanged",
    "fido2": "BSD and Apache 2.0; MPL 2.0 for its copy of the Public Suffix List, used unchanged",
    "psycopg": "LGPL 3.0: the database driver that was asked for, used unchanged and replaceable",
    "psycopg-binary": "LGPL 3.0: as psycopg",
    "psycopg-pool": "LGPL 3.0: as psycopg",
    "qrcode": "BSD: the other one that it names is the MIT licence of the code that it began as",
}
# Beside the lock: one script out of a wheel, which keeps the notice of whoever wrote it.
CHARTS_NOTE = """
Charts are drawn by `lightweight-charts.js` out of the package `lightweight-charts` (MIT;
`trademaster/local/charts.lock`), which is TradingView Lightweight Charts™, Copyright (c) 2024 TradingView, Inc.,
Apache-2.0, <https://www.tradingview.com/>, served unchanged. The chart names it and links there, as its notice asks.
"""
NAME = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
UNKNOWN = "unknown"


@dataclass(frozen=True, order=True)
class Part:
    """One package of the lock that is installed here; others are for other systems or versions of Python."""

    name: str
    version: str
    licence: str

    @property
    def is_fit(self) -> bool:
        """Every licence that must be kept is permissive; of alternatives one is enough."""
        if self.name in ACCEPTED:
            return True
        alternatives = re.split(r"\s+OR\s+", self.licence)
        return any(all(map(permissive, re.split(r"\s+AND\s+|;\s*", each))) for each in alternatives)


def permissive(licence: str) -> bool:
    return any(word.lower() in licence.lower() for word in PERMISSIVE)


def parts() -> list[Part]:
    """The production packages, by name."""
    return sorted(set(_installed(name for name, _ in NAME.findall(LOCK.read_text()))))


def _installed(names: Iterator[str]) -> Iterator[Part]:
    for name in names:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        yield Part(name, found.version, licence_of(found))


def licence_of(found: Distribution) -> str:
    """What a package says of itself: the newer field, its classifiers, or the first line of the older field."""
    told = cast(Message, found.metadata)  # which is what it is, and more than its interface promises
    classified = [line.split(" :: ")[-1] for line in told.get_all("Classifier") or [] if line.startswith("License :: ")]
    first_line = (told.get("License") or "").strip().partition("\n")[0]
    return told.get("License-Expression") or "; ".join(classified) or first_line or UNKNOWN


def page(listed: list[Part]) -> str:
    """The page without versions: those stand in the lock, and change more often."""
    rows = "".join(f"| {part.name} | {ACCEPTED.get(part.name, part.licence)} |\n" for part in listed)
    return (
        "# Licences\n\nWhat production is made of, as each package says of itself; `make audit` writes this page. "
        "TradeMaster itself is MIT.\n\n| package | licence |\n|---|---|\n" + rows + CHARTS_NOTE
    )


def main() -> int:
    listed = parts()
    PAGE.write_text(page(listed))
    unfit = [part for part in listed if not part.is_fit]
    for part in unfit:
        _say(f"{part.name} {part.version}: {part.licence} is not a permissive licence")
    _say(f"{len(listed)} packages, {len(unfit)} with a licence that is not on the list: {PAGE.relative_to(ROOT)}")
    _make_tools()
    bill = [str(TOOLS / "bin" / "cyclonedx-py"), "requirements", str(LOCK), "--output-file", str(BILL)]
    subprocess.run(bill, check=True)
    _say(f"Bill of materials: {BILL.relative_to(ROOT)}")
    return max(int(bool(unfit)), _known_against_us())


def _known_against_us() -> int:
    """0 where nothing is known, or nobody could be asked, which is said; 1 where something is."""
    program = str(TOOLS / "bin" / "pip-audit")
    command = [program, "--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--strict"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No known vulnerabilities found" in found.stderr:
        _say("No known vulnerabilities.")
        return 0
    if found.returncode == 1 and "Found" in found.stderr:
        _say(found.stdout)
        return 1
    reason = (found.stderr.strip().splitlines() or ["no answer"])[-1]
    _say(f"NOT CHECKED for known vulnerabilities: no source of advisories answered ({reason[:200]})")
    return 0


def _make_tools() -> None:
    if (TOOLS / "bin" / "pip-audit").exists():
        return
    uv, python = str(Path(sys.executable).with_name("uv")), str(TOOLS / "bin" / "python")
    quietly = ("--quiet", "--no-python-downloads")
    subprocess.run([uv, "venv", "--python", sys.executable, str(TOOLS), *quietly], check=True)
    lock = str(ROOT / "requirements-audit.lock")
    subprocess.run([uv, "pip", "install", "--python", python, "--require-hashes", "-r", lock, *quietly], check=True)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
