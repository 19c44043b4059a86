"""Masters, the brokers' lists of instruments: where they are, and how their files are read without being held whole.

A master has 30 to 60 MB and 200,000 rows and more. Every reader here takes a binary file and yields row by row. A file
that breaks off, or that is not what it should be, raises `BrokenMaster`; a bad row is for whoever maps it to refuse.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, Any, BinaryIO, cast

from brokers.errors import UnexpectedResponse
from brokers.wire import Row

PIECE = 1 << 18
LARGEST_ROW = 1 << 20
SPACE = " \t\r\n"
# A line of a JSON string up to the next \n or to the string's end.
LINE = re.compile(r'([^"\\]*(?:\\[^n][^"\\]*)*)(\\n|")')


class BrokenMaster(UnexpectedResponse):
    """The file is not whole, or not a master: nothing in it is believed."""

    default_code = "broken_master"

    def __init__(self, problem: str) -> None:
        super().__init__("master", problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterFile:
    """One file: how it is asked for."""

    path: str
    method: str = "GET"
    json: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSpec:
    """Where a master is. `base_url` None: at the address of the API. `needs_session`: it is not public."""

    files: tuple[MasterFile, ...]
    base_url: str | None = None
    needs_session: bool = False


@contextmanager
def broken_if_cut() -> Iterator[None]:
    """A compressed file that ends too early, or that is none."""
    try:
        yield
    except (EOFError, zlib.error, OSError):
        raise BrokenMaster("is not a whole compressed file") from None


def csv_rows(file: IO[bytes]) -> Iterator[Row]:
    """Lines by the names of the first; a last line that breaks off is a broken file."""
    lines = io.TextIOWrapper(cast(BinaryIO, file), encoding="utf-8", errors="replace", newline="")
    try:
        yield from _csv_rows(lines)
    except csv.Error:
        raise BrokenMaster("is not a CSV file") from None
    finally:
        lines.detach()


def _csv_rows(lines: io.TextIOWrapper) -> Iterator[Row]:
    reader = csv.reader(lines)
    names = next(reader, [])
    if len(names) < 2:
        raise BrokenMaster("has no header")
    short = False
    for values in reader:
        if short:
            yield {}
        short = 0 < len(values) < len(names)
        if values and not short:
            yield dict(zip(names, values, strict=False))
    if short:
        raise BrokenMaster("breaks off in its last line")


def json_rows(file: IO[bytes]) -> Iterator[Row]:
    """The objects of one JSON array, or the values of one JSON object, numbers as int or Decimal."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    text = _Text(file)
    opening = text.next_sign()
    if opening not in ("[", "{"):
        raise BrokenMaster("is not a JSON array or object")
    closing = {"[": "]", "{": "}"}[opening]
    text.skip(1)
    sign = text.next_sign()
    while sign != closing:
        if opening == "{":
            text.value(decoder)
            if text.next_sign() != ":":
                raise BrokenMaster("is not well-formed JSON")
            text.skip(1)
            text.next_sign()
        row = text.value(decoder)
        yield row if isinstance(row, dict) else {}
        sign = text.next_sign()
        if sign == ",":
            text.skip(1)
            text.next_sign()
        elif sign != closing:
            raise BrokenMaster("is not well-formed JSON")


def lines_of_text(file: IO[bytes], name: str) -> Iterator[str]:
    """The lines of the one long string that a JSON object holds under `name`."""
    text = _Text(file)
    opening = re.compile(rf'"{name}"\s*:\s*"')
    text.past(opening)
    while True:
        written, end = text.match(LINE)
        line = _unescaped(written) if "\\" in written else written
        if line:
            yield line
        if end == '"':
            return


def _unescaped(written: str) -> str:
    try:
        return cast(str, json.loads(f'"{written}"'))
    except json.JSONDecodeError:
        raise BrokenMaster("is not well-formed JSON") from None


class _Text:
    """The text of a file, of which no more than a row or a piece is held."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held, self._at = "", 0

    def _read_on(self) -> None:
        if len(self._held) - self._at > LARGEST_ROW:
            raise BrokenMaster("has a row that does not end")
        piece = self._file.read(PIECE)
        if not piece:
            raise BrokenMaster("breaks off")
        self._held, self._at = self._held[self._at :] + self._decoder.decode(piece), 0

    def next_sign(self) -> str:
        """The next sign that is no white space; it stays where it is."""
        while True:
            while self._at < len(self._held):
                sign = self._held[self._at]
                if sign not in SPACE:
                    return sign
                self._at += 1
            self._read_on()

    def skip(self, signs: int) -> None:
        self._at += signs

    def value(self, decoder: json.JSONDecoder) -> Any:
        """The JSON value that begins here: an object or a text, whose end cannot be mistaken."""
        while True:
            try:
                value, self._at = decoder.raw_decode(self._held, self._at)
            except json.JSONDecodeError:
                self._read_on()
            except (RecursionError, ArithmeticError):
                raise BrokenMaster("is not well-formed JSON") from None
            else:
                return value

    def past(self, pattern: re.Pattern[str]) -> None:
        """Go to what follows the first occurrence, which is near the beginning."""
        while (found := pattern.search(self._held, self._at)) is None:
            self._read_on()
        self._at = found.end()

    def match(self, pattern: re.Pattern[str]) -> tuple[str, str]:
        while (found := pattern.match(self._held, self._at)) is None:
            self._read_on()
        self._at = found.end()
        return found[1], found[2]
