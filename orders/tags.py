"""Our label on an order at a broker: for finding it again. It means nothing, and is never used twice."""

from __future__ import annotations

import secrets

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
CHARACTERS = 18  # of five bits each: 90 random bits


def new_tag() -> str:
    """`t` and 18 characters of base 32: what every broker's field takes (`dealing.LONGEST_TAG`)."""
    number = secrets.randbits(5 * CHARACTERS)
    return "t" + "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(CHARACTERS))
