"""Kuber's name for an instrument is its board and the exchange's symbol: `N:INFY`, `F:NIFTY26DEC27000CE`."""

from __future__ import annotations

from brokers.domain import Exchange
from brokers.errors import UnexpectedResponse
from brokers.wire import translated
from tests.eighth.kuber.spec import BOARDS

LETTERS = {exchange: letter for letter, exchange in BOARDS.items()}


def key(exchange: Exchange, symbol: str) -> str:
    return f"{LETTERS[exchange]}:{symbol}"


def place(name: str) -> tuple[Exchange, str]:
    """The exchange and the symbol in a key: the way back."""
    letter, colon, symbol = name.partition(":")
    if not (colon and symbol):
        raise UnexpectedResponse("paper", "is not a board and a symbol")
    return translated(BOARDS, letter, "paper"), symbol
