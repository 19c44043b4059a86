"""Figures, and the one table they are printed in."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be: at most, or at least, so much."""

    limit: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line. `spread` is the lowest and highest round, where there were several."""

    name: str
    value: float
    unit: str
    aim: Aim | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return ""
        return "met" if self.aim.met_by(self.value) else "MISSED"

    def cells(self) -> tuple[str, ...]:
        spread = f"{_short(self.spread[0])} … {_short(self.spread[1])}" if self.spread else ""
        return (
            self.name,
            f"{_short(self.value)} {self.unit}".strip(),
            spread,
            str(self.aim or ""),
            self.verdict,
            self.note,
        )


def of_rounds(name: str, values: list[float], unit: str, *, aim: Aim | None = None, note: str = "") -> Figure:
    """The median of several rounds."""
    return Figure(name=name, value=median(values), unit=unit, aim=aim, spread=(min(values), max(values)), note=note)


def drawn(figures: list[Figure]) -> str:
    rows = [("figure", "median", "rounds", "aim", "", ""), *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
