"""Why a figure of risk is refused. Nothing else is raised on purpose in this package."""

from __future__ import annotations


class RiskError(ValueError):
    """A figure that cannot be told honestly from what was given. `code` is stable; `remedy` says what would mend it."""

    def __init__(self, message: str, *, code: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


class TooFewDays(RiskError):
    """There is less history than the figure needs. `needed` counts days."""

    def __init__(self, *, days: int, needed: int) -> None:
        super().__init__(
            f"{days} days of history are too few: this figure needs {needed}.",
            code="too_few_days",
            remedy="Load a longer history, or ask for a lower confidence.",
        )
        self.days = days
        self.needed = needed


class HorizonRefused(RiskError):
    """A loss of one day may not be stretched so far by the square root of time."""
