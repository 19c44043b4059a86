"""What the simulated brokers remember over a restart: one JSON file, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from brokers.simulation.book import Book
from brokers.simulation.desk_state import DeskState
from brokers.simulation.dialect import App
from brokers.simulation.exchange import Trade
from brokers.simulation.market import Price
from brokers.simulation.sessions import Sessions

STATE_FILE = "state.json"
BROKERS_FILE = "brokers.json"


class BrokerState(msgspec.Struct):
    """One broker's app, customer, tokens and orders."""

    app: App
    login_values: dict[str, str]
    book: Book
    sessions: Sessions = msgspec.field(default_factory=Sessions)
    desk: DeskState = msgspec.field(default_factory=DeskState)


class State(msgspec.Struct):
    brokers: dict[str, BrokerState] = {}
    prices: dict[str, Price] = {}
    trades: list[Trade] = []


class StateFile:
    """Loads and saves a `State` in a directory; without a directory nothing is kept."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    def load(self) -> State:
        """Return the saved state, or an empty one. Raises msgspec.DecodeError for a damaged file."""
        path = self.directory / STATE_FILE if self.directory else None
        if path is None or not path.exists():
            return State()
        return msgspec.json.decode(path.read_bytes(), type=State)

    def save(self, state: State) -> None:
        self._write(STATE_FILE, msgspec.json.encode(state))

    def publish(self, document: object) -> None:
        """Write brokers.json, the addresses and credentials that clients of the simulation need."""
        self._write(BROKERS_FILE, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file in one step, so that a reader or a crash never meets half of it."""
        if self.directory is None:
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.directory / f".{name}.new"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        unfinished.replace(self.directory / name)
