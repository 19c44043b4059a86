"""What a page may say on its socket, and what it is told where that makes no sense. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

MOST_INSTRUMENTS = 200
LONGEST_MESSAGE = 16_384  # characters
MESSAGES_PER_SECOND = 10
MESSAGES_AT_ONCE = 40

Topic = Literal["portfolio", "status", "orders", "prices"]
OPENED_WITH: tuple[Topic, ...] = ("portfolio", "status")


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Topics, or one; `instruments` ("NSE:2885": exchange, and its own number) are of the topic `prices`."""

    topics: tuple[Topic, ...] = ()
    topic: Topic | None = None
    instruments: tuple[str, ...] = ()

    @property
    def named(self) -> set[Topic]:
        return {*self.topics, *([self.topic] if self.topic else [])}


class Subscribe(Wanted, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="subscribe"):
    pass


class Unsubscribe(Wanted, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="unsubscribe"):
    """Without `instruments` all prices end."""


class Resync(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="snapshot"):
    """Asks for a whole snapshot."""


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ping"):
    """Asks for a sign of life."""


Message = Subscribe | Unsubscribe | Resync | Ping
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


@dataclass(frozen=True, slots=True)
class Complaint(Exception):
    """Told as ERROR. The code is stable, the words are for people."""

    code: str
    message: str
    remedy: str

    @property
    def data(self) -> str:
        told = {"code": self.code, "message": self.message, "remedy": self.remedy}
        return msgspec.json.encode(told).decode()


BAD_MESSAGE = Complaint(
    "bad_message",
    "That message is not known here.",
    "Send a JSON object whose `type` is subscribe, unsubscribe, snapshot or ping, with the fields of the document.",
)
MESSAGE_TOO_LONG = Complaint(
    "message_too_long", f"A message has more than {LONGEST_MESSAGE} characters.", "Send several shorter ones."
)
BAD_INSTRUMENT = Complaint(
    "bad_instrument", "An instrument is not known by that name.", "Name it EXCHANGE:TOKEN, such as NSE:2885."
)
NO_INSTRUMENTS = Complaint(
    "no_instruments", "Prices of which instruments is not said.", "Name them in `instruments`: EXCHANGE:TOKEN."
)
TOO_MANY_INSTRUMENTS = Complaint(
    "too_many_instruments",
    f"One socket may follow {MOST_INSTRUMENTS} instruments; nothing was added.",
    "Unsubscribe from some first.",
)
PRICES_UNAVAILABLE = Complaint(
    "prices_unavailable", "No price feed runs here.", "Subscribe to the portfolio: it has the prices of what is held."
)


def read(text: str | None) -> Message:
    """Raises Complaint."""
    if text is None:
        raise BAD_MESSAGE
    if len(text) > LONGEST_MESSAGE:
        raise MESSAGE_TOO_LONG
    try:
        message = _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BAD_MESSAGE from None
    if isinstance(message, Wanted) and (not message.named or (message.instruments and "prices" not in message.named)):
        raise BAD_MESSAGE
    return message


class Patience:
    """How many messages a client may still send: so many at once, and some more every second."""

    def __init__(self) -> None:
        self._left = float(MESSAGES_AT_ONCE)
        self._since: float | None = None

    def bears(self, now: float) -> bool:
        """One more message, at `now` seconds of any clock that only moves forward."""
        if self._since is not None:
            self._left = min(MESSAGES_AT_ONCE, self._left + (now - self._since) * MESSAGES_PER_SECOND)
        self._since = now
        self._left -= 1
        return self._left >= 0
