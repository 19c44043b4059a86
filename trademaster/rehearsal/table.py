"""What became of each fault, and the one table it is printed in."""

from __future__ import annotations

from dataclasses import dataclass, field

HEADINGS = ("fault", "clock", "seen after", "within", "healed after", "healed by", "lost")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """One fault. Seconds: `seen_after` since it began (None: never seen), `healed_after` since it ended.

    `within` is what it should have been seen in, one check interval. `lost` names every token, total, share or needless
    login that it cost.
    """

    fault: str
    clock: str
    within: float
    seen_after: float | None = None
    healed_after: float | None = None
    healed_by: str = "itself"
    lost: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        seen = self.seen_after is not None and self.seen_after <= self.within
        return seen and self.healed_after is not None and not self.lost

    def cells(self) -> tuple[str, ...]:
        return (
            self.fault,
            self.clock,
            "never" if self.seen_after is None else _seconds(self.seen_after),
            _seconds(self.within),
            "never" if self.healed_after is None else _seconds(self.healed_after),
            self.healed_by,
            "; ".join(self.lost) or "nothing",
        )


def drawn(outcomes: list[Outcome]) -> str:
    rows = [HEADINGS, *(outcome.cells() for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def _seconds(value: float) -> str:
    if value >= 120:
        return f"{value / 60:.0f} min"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
