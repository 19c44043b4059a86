"""Which of a live host's messages come next on one socket. Pure."""

from __future__ import annotations

from enum import Enum, auto


class Step(Enum):
    """What a delta is to a socket."""

    NEXT = auto()  # it follows what was sent last
    OLD = auto()  # the snapshot had it already, or one is on its way
    GAP = auto()  # something before it is missing: only a snapshot helps


class Following:
    """Where one socket stands in its user's book.

    `book` None: no host serves the user, whole portfolios are sent. While a snapshot is awaited no delta is one's next.
    """

    def __init__(self) -> None:
        self.book: str | None = None
        self.number = 0
        self.is_waiting = True

    def wait(self) -> None:
        """A snapshot is asked for, or will be."""
        self.is_waiting = True

    def alone(self) -> None:
        """Whole portfolios from here on: no host answered, or the host left."""
        self.book, self.number, self.is_waiting = None, 0, False

    def take_snapshot(self, book: str, number: int) -> bool:
        """True where the snapshot is to be sent: it was awaited, or it tells what this socket does not know."""
        is_news = self.is_waiting or book != self.book or number > self.number
        if is_news:
            self.book, self.number, self.is_waiting = book, number, False
        return is_news

    def take_delta(self, book: str, number: int) -> Step:
        if self.is_waiting or (book == self.book and number <= self.number):
            return Step.OLD
        if book != self.book or number != self.number + 1:
            return Step.GAP
        self.number = number
        return Step.NEXT
