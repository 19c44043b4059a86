"""The words of the list. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum


class Tone(StrEnum):
    """By gravity. What is merely worth knowing, INFO, is not counted in the page's title."""

    BAD = "bad"
    WARN = "warn"
    INFO = "info"


class Method(StrEnum):
    LINK = "link"  # a page of ours
    LOGIN = "login"  # POST `href` with `body`, and send the browser to the `authorization_url` of the answer
    POST = "post"  # POST `href` with `body`: that is all
    ASK = "ask"  # PATCH `href` with what only the person knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    label: str
    href: str
    method: Method = Method.LINK
    body: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that needs its owner.

    `key` stays the same as long as it is the same thing. `words` says what is, `meaning` what that means for the money.
    `amount` is INR, and `quantity` how much was ordered ("50", "20 of 50 filled"): apart from the words, so that a page
    can hide them. `href` is the page where the thing is shown.
    `happened`: it is over and stands for the rest of the day; its owner may put it away. `since` None: not known.
    """

    code: str
    key: str
    tone: Tone
    subject: str
    words: str
    meaning: str
    remedy: Remedy
    href: str
    since: datetime | None
    amount: Decimal | None = None
    quantity: str | None = None
    happened: bool = False


GRAVITY = {tone: place for place, tone in enumerate(Tone)}
_LATEST = datetime.max.replace(tzinfo=UTC)


def sorted_items(items: Iterable[Item]) -> list[Item]:
    """The gravest first, of those the oldest."""
    return sorted(items, key=lambda each: (GRAVITY[each.tone], each.since or _LATEST, each.key))


def listed(names: Iterable[str], most: int = 3) -> str:
    """`A, B, C and 4 more`."""
    known = list(names)
    shown, rest = known[:most], len(known) - most
    return f"{', '.join(shown)} and {rest} more" if rest > 0 else ", ".join(shown)


def counted(count: int, singular: str, plural: str = "") -> str:
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"
