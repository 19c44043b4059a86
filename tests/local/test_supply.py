"""What the product is made of: its licences are permissive, and the page that lists them is true."""

from __future__ import annotations

import pytest

from trademaster.local import supply
from trademaster.local.supply import Part


def test_every_licence_is_permissive_or_accepted_with_a_reason() -> None:
    listed = supply.parts()
    assert len(listed) > 50
    assert [part for part in listed if not part.is_fit] == []
    assert {part.name for part in listed} >= supply.ACCEPTED.keys()


def test_the_page_lists_what_is_locked() -> None:
    """It is written where Python is of this version: packages for other versions are not installed here."""
    told = set(supply.PAGE.read_text().splitlines())
    missing = [
        part.name for part in supply.parts() if f"| {part.name} |" not in {line[: len(part.name) + 4] for line in told}
    ]
    assert missing == [], "run `make audit`"


@pytest.mark.parametrize(
    ("licence", "is_fit"),
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-3-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("BSD-3-Clause AND GPL-2.0", False),
        ("BSD License; Apache Software License", True),
        ("AGPL-3.0", False),
        (supply.UNKNOWN, False),
    ],
)
def test_a_licence_is_judged_by_all_that_must_be_kept(licence: str, is_fit: bool) -> None:
    assert Part("somebody", "1", licence).is_fit is is_fit
