"""Which sector a company is in: seeded from a data file, renewed from an exchange's list of constituents."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from market.candle_models import Sector
from market.identity import is_isin

DATA = Path(__file__).with_name("data") / "sectors.csv"
SEEDED_FROM = "NSE index constituents; kinds of ETFs by their names"
ISIN, INDUSTRY = "ISIN Code", "Industry"
COLUMNS = ("Company Name", INDUSTRY, "Symbol", "Series", ISIN)
LONGEST = 80
MOST_LINES = 20_000
MOST_MISTAKES = 5


class BadSectors(Exception):
    """A file that is not what it should be; nothing was changed. `mistakes` are whole sentences, for people."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(" ".join(self.mistakes))


@dataclass(frozen=True, slots=True)
class Loaded:
    new: int
    changed: int
    unchanged: int


def sector_of(isins: Collection[str]) -> dict[str, str | None]:
    """The sector of each of these; None: nobody said, and it is shown as unclassified. One query."""
    known = dict(Sector.objects.filter(isin__in=isins).values_list("isin", "sector"))
    return {isin: known.get(isin) for isin in isins}


def seed_sectors(model: type[Sector] = Sector) -> int:
    """Make the rows of the data file that are not there yet; `model` is the migration's own form of Sector."""
    with DATA.open(newline="", encoding="utf-8") as lines:
        rows = [
            model(
                isin=row["isin"],
                sector=row["sector"],
                source=SEEDED_FROM,
                as_of=date.fromisoformat(row["as_of"]),
            )
            for row in csv.DictReader(lines)
        ]
    return len(model.objects.bulk_create(rows, ignore_conflicts=True))


def load_sectors(content: bytes, *, source: str, as_of: date) -> Loaded:
    """Take over the exchange's CSV: `Company Name, Industry, Symbol, Series, ISIN Code`. All of it, or BadSectors.

    What is known as of a later day stays as it is; companies that the file does not name stay too.
    """
    told = _read(content)
    known = Sector.objects.in_bulk(list(told))
    rows = [
        Sector(isin=isin, sector=sector, source=source, as_of=as_of)
        for isin, sector in told.items()
        if isin not in known or known[isin].as_of <= as_of
    ]
    Sector.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["isin"], update_fields=["sector", "source", "as_of"]
    )
    new = sum(row.isin not in known for row in rows)
    changed = sum(row.isin in known and known[row.isin].sector != row.sector for row in rows)
    return Loaded(new=new, changed=changed, unchanged=len(told) - new - changed)


def _read(content: bytes) -> dict[str, str]:
    """ISIN → sector. Raises BadSectors, naming the lines."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadSectors(["The file is no text in UTF-8."]) from None
    lines = csv.DictReader(text.splitlines(), skipinitialspace=True)
    lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in lines.fieldnames]
    if missing:
        raise BadSectors([f"The first line must name the columns {', '.join(COLUMNS)}; without {', '.join(missing)}."])
    found: dict[str, str] = {}
    mistakes: list[str] = []
    for number, isin, sector in _rows(lines):
        wrong = _mistake(isin, sector, found)
        if wrong:
            mistakes.append(f"Line {number}: {wrong}")
        found[isin] = sector
        if number > MOST_LINES:
            mistakes.append(f"The file has more than {MOST_LINES} lines.")
        if len(mistakes) >= MOST_MISTAKES or number > MOST_LINES:
            break
    if not found:
        mistakes.append("The file names no company.")
    if mistakes:
        raise BadSectors(mistakes)
    return found


def _rows(lines: csv.DictReader[str]) -> Iterator[tuple[int, str, str]]:
    for row in lines:
        yield lines.line_num, (row[ISIN] or "").strip().upper(), " ".join((row[INDUSTRY] or "").split())


def _mistake(isin: str, sector: str, found: dict[str, str]) -> str | None:
    if not is_isin(isin):
        return f"{isin[:20]!r} is no ISIN."
    if not sector:
        return f"{isin} has no industry."
    if len(sector) > LONGEST:
        return f"the industry of {isin} has more than {LONGEST} letters."
    if found.get(isin, sector) != sector:
        return f"{isin} stands there before, in another industry."
    return None
