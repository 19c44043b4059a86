"""What goes in and out of a dialect's handler: a `Call`, a `Reply`, and numbers as brokers write them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import parse_qs, urlencode, urlsplit

JSON = "application/json"
HTML = "text/html; charset=utf-8"
Pairs = dict[str, list[str]]
Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, already read. Header names are lower case; `parts` are the route's `{names}`."""

    method: str
    path: str
    query: Pairs
    headers: Mapping[str, str]
    body: bytes = b""
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def form(self) -> Pairs:
        """The body as a form; empty unless it was sent as one."""
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {}
        return parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    @property
    def json(self) -> Json:
        """The body as JSON; None when it is empty or no JSON."""
        try:
            decoded: Json = json.loads(self.body)
        except ValueError:
            return None
        return decoded

    def asked(self, name: str) -> str:
        """Return the first query value of that name, or an empty string."""
        return self.query.get(name, [""])[0]

    def posted(self, name: str) -> str:
        """Return the first form value of that name, or an empty string."""
        return self.form.get(name, [""])[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply as the broker would send it."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Raised by a handler to answer with an error of the broker's own."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(value: object, status: int = 200) -> Reply:
    """Write a JSON body, compact, keys in the order given."""
    return Reply(status, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def redirect(url: str, pairs: Mapping[str, str] | None = None) -> Reply:
    """Send the browser to `url` with `pairs` added to its query."""
    if pairs:
        url += ("&" if urlsplit(url).query else "?") + urlencode(pairs)
    return Reply(302, b"", HTML, {"Location": url})


def double(value: Decimal | int) -> float:
    """Write a number as most of the brokers' servers do, as a 64-bit float: the last step before JSON, never sooner."""
    return float(value)


def trimmed(value: Decimal | float) -> int | float:
    """Write a number as Go does: a float with its binary noise, a whole one without `.0`."""
    number = float(value)
    return int(number) if number.is_integer() else number


def single_precision(value: Decimal) -> float:
    """Write a number that passed through a 32-bit float on its way (52.05 → 52.04999923706055)."""
    (number,) = struct.unpack("f", struct.pack("f", float(value)))
    return float(number)
