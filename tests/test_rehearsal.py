"""The rehearsal's own judgement: what it calls well, what it calls a loss, and what it prints."""

from __future__ import annotations

from typing import Any

import pytest

from trademaster.rehearsal.table import Outcome, drawn
from trademaster.rehearsal.truth import Truth


def answer(
    total: str | None = "100.00", *, complete: bool = True, outside: bool = False, **shares: str
) -> dict[str, Any]:
    return {
        "total_value": total,
        "complete": complete,
        "positions": [{"key": key, "total_quantity": count} for key, count in (shares or {"INFY": "5"}).items()],
        "sources": [{"broker_type": "upstox", "in_totals": not outside}],
    }


class TestTruth:
    def test_the_first_answer_must_be_whole(self) -> None:
        with pytest.raises(ValueError, match="whole"):
            Truth(answer(complete=False))

    @pytest.mark.parametrize(
        "marked", [answer(), answer(complete=False), answer("60.00", complete=False, outside=True)]
    )
    def test_right_numbers_and_gaps_that_are_told_are_no_loss(self, marked: dict[str, Any]) -> None:
        truth = Truth(answer())
        truth.judge(marked)
        assert truth.losses() == []

    @pytest.mark.parametrize(
        ("served", "loss"),
        [
            (answer("99.99"), "total 99.99 instead of 100.00"),
            (answer("99.99", complete=False), "total 99.99 instead of 100.00"),
            (answer(None), "total None instead of 100.00"),
            (answer(INFY="4"), "quantities differ"),
            (answer(outside=True), "called whole without upstox"),
        ],
    )
    def test_a_wrong_number_that_is_not_marked_is_one(self, served: dict[str, Any], loss: str) -> None:
        truth = Truth(answer())
        truth.judge(served)
        truth.judge(served)
        assert truth.losses() == [loss]
        assert truth.losses() == []


class TestOutcome:
    def test_seen_in_time_healed_and_nothing_lost_is_well(self) -> None:
        assert Outcome(fault="x", clock="real", within=5, seen_after=5.0, healed_after=90.0).is_well

    @pytest.mark.parametrize(
        "changed",
        [{"seen_after": None}, {"seen_after": 5.1}, {"healed_after": None}, {"lost": ["token of upstox"]}],
    )
    def test_anything_else_is_not(self, changed: dict[str, Any]) -> None:
        facts = {"fault": "x", "clock": "real", "within": 5, "seen_after": 1.0, "healed_after": 1.0, **changed}
        assert not Outcome(**facts).is_well

    def test_the_table_names_what_was_lost(self) -> None:
        table = drawn([Outcome(fault="a storm", clock="simulated", within=5, lost=["token of upstox"])])
        heading, line, row = table.splitlines()
        assert heading.split()[0] == "fault"
        assert row.split("  ")[0] == "a storm"
        assert row.endswith("token of upstox")
        assert "never" in row
        assert set(line) == {"─"}
