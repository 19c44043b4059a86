"""The docs say each thing once, and lead somewhere.

Two branches that mend one paragraph are joined into both of its versions, one after the other, and nothing complains:
so it was with the risk page and the README's first steps.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# So much of a beginning two paragraphs of one page do not share by chance.
BEGINNING = 60
MARK = re.compile(r"^\s*(?:[-*]|\d+\.) +")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def lines_of(page: Path) -> Iterator[tuple[str, str]]:
    """The lines outside of code, each with the one before it."""
    before, is_code = "", False
    for line in page.read_text().splitlines():
        is_fence = line.lstrip().startswith("```")
        is_code = is_code is not is_fence
        if not is_code and not is_fence:
            yield before, line
        before = line


def beginnings(page: Path) -> list[str]:
    """How each line of text begins, whatever number it has in a list."""
    texts = (MARK.sub("", line).strip() for _, line in lines_of(page) if not line.startswith(("|", "#")))
    return [text[:BEGINNING] for text in texts if len(text) >= BEGINNING]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def tables(page: Path) -> list[list[list[str]]]:
    """Rows of cells, the header's first and without the rule beneath it."""
    found: list[list[list[str]]] = []
    for before, line in lines_of(page):
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append(cells(line))
    return found


def anchors(page: Path) -> list[str]:
    headings = (line.lstrip("#").strip().lower() for _, line in lines_of(page) if re.match(r"#+ ", line))
    return [re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings]


def twice(things: list[str]) -> list[str]:
    return [thing for thing, count in Counter(things).items() if count > 1]


@pages
def test_no_paragraph_stands_there_twice(page: Path) -> None:
    assert twice(beginnings(page)) == []


@pages
def test_no_heading_stands_there_twice_in_one_part(page: Path) -> None:
    parts: list[str] = []
    found: list[str] = []
    for before, line in lines_of(page):
        if re.match(r"#+ ", line):
            assert not before, f"{line} sticks to what is before it"
            parts = [*parts[: line.index(" ") - 1], line]
            found.append(" ".join(parts))
    assert twice(found) == []


@pages
def test_tables_are_whole_and_have_no_row_twice(page: Path) -> None:
    for header, rule, *rows in tables(page):
        assert all(re.fullmatch(":?-+:?", cell) for cell in rule), (
            f"{header} is the first row of a table without a header"
        )
        assert [row for row in rows if len(row) != len(header)] == []
        assert twice([" ".join(row[:2]) for row in rows]) == []


@pages
def test_lists_are_numbered_in_order(page: Path) -> None:
    last = 0
    for _, line in lines_of(page):
        if number := re.match(r"(\d+)\. ", line):
            assert int(number[1]) in (0, 1, last + 1), line
            last = int(number[1])


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for _, line in lines_of(page):
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            there = page.parent / file if file else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target
