"""NATS's text protocol: lines, and messages whose line says how long they are. Pure; for either side of it.

Source: NATS documentation, "Client Protocol". Over a WebSocket a frame may hold several of them, and end in the middle
of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

END = b"\r\n"
INFO, MSG, CONNECT, SUB, UNSUB, OK, ERR = b"INFO", b"MSG", b"CONNECT", b"SUB", b"UNSUB", b"+OK", b"-ERR"
PING, PONG = b"PING" + END, b"PONG" + END
OF_A_SERVER = frozenset({INFO, MSG, b"PING", b"PONG", OK, ERR})
OF_A_CLIENT = frozenset({CONNECT, SUB, UNSUB, b"PING", b"PONG"})

LONGEST_LINE = 1 << 15  # a greeting may name many servers; all else is far shorter
LARGEST_MESSAGE = 1 << 16  # those that are published have less than a thousandth of it
DIGITS = len(str(LARGEST_MESSAGE))


class Line(NamedTuple):
    """A word of the protocol, and what stands behind it."""

    word: bytes
    rest: bytes = b""


class Message(NamedTuple):
    subject: bytes
    payload: bytes


class Broken(NamedTuple):
    """What cannot be read, or is too large. Nothing that came with it counts; the next frame is read anew."""

    place: str


class Reader:
    """Joins frames to what they say. Never holds more than one message or line, and one frame."""

    def __init__(self, words: frozenset[bytes] = OF_A_SERVER) -> None:
        self._words = words
        self._held = bytearray()
        self._due: tuple[bytes, int] | None = None  # the message that is under way: its subject and size

    def read(self, frame: bytes) -> Iterator[Line | Message | Broken]:
        held, place = self._held, 0
        held += frame
        while True:
            if self._due is None:
                end = held.find(END, place)
                if end < 0:
                    break
                said = self._line(bytes(held[place:end]))
                place = end + len(END)
                if isinstance(said, Line):
                    yield said
                elif said is not None:
                    yield self._broken(said)
                    return
            else:
                subject, size = self._due
                end = place + size
                if len(held) < end + len(END):
                    break
                payload, ending = bytes(held[place:end]), held[end : end + len(END)]
                if ending != END:
                    yield self._broken(Broken("a message that does not end where it says"))
                    return
                self._due, place = None, end + len(END)
                yield Message(subject, payload)
        del held[:place]
        if self._due is None and len(held) > LONGEST_LINE:
            yield self._broken(Broken("a line without an end"))

    def _line(self, line: bytes) -> Line | Broken | None:
        """None where a message follows it: `MSG <subject> <number of the subscription> [<reply to>] <size>`."""
        word, _, rest = line.partition(b" ")
        word = word.upper()
        if len(line) > LONGEST_LINE or word not in self._words:
            return Broken("a line")
        if word != MSG:
            return Line(word, rest.strip())
        parts = rest.split()
        if len(parts) not in (3, 4) or not parts[-1].isdigit():
            return Broken("the line of a message")
        if len(parts[-1]) > DIGITS or int(parts[-1]) > LARGEST_MESSAGE:
            return Broken("a message that is too large")
        self._due = parts[0], int(parts[-1])
        return None

    def _broken(self, broken: Broken) -> Broken:
        self._held.clear()
        self._due = None
        return broken


def line(*parts: bytes) -> bytes:
    return b" ".join(parts) + END


def message(subject: bytes, number: bytes, payload: bytes) -> bytes:
    return line(MSG, subject, number, b"%d" % len(payload)) + payload + END
