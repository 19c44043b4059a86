"""What a broker's stream must offer: how to open it, what to say, and what its frames mean. Pure: no socket, no clock.

A dialect, `brokers/<slug>/stream.py`, turns frames into events and wishes into frames; one runner, the same for every
broker, owns the connection. A stream object belongs to one connection and is thrown away with it: what it remembers
(topic ids, half a frame) is worth nothing on the next one.

Over MQTT, where the address is `mqtt://` or `mqtts://`, a frame that is sent is a text: `+` and topics to subscribe to,
or `-` and topics to leave, a line each; it becomes one packet. A frame that comes in is bytes: the topic, a zero byte,
which no topic holds, and the payload; or a text, `!` and the topics of a subscription that were refused.

No frame, however malformed, may raise, hang, or make it remember without bound: what cannot be read is an `Unreadable`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import msgspec

from brokers.domain import AppCredentials, BrokerOrder, OrderStatus, Session, Streamed, Tick
from brokers.secret import Secret
from brokers.spec import BrokerSpec
from brokers.transport import Transport

Frame = str | bytes
T = TypeVar("T")
ASK, LEAVE, REFUSED = "+", "-", "!"  # the signs of MQTT's texts
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = 32_503_680_000_000  # milliseconds, the year 3000: what is beyond is no time
MOST = float(1 << 63)
LARGEST = 1e11  # no price is larger; below it a double holds four decimals
DECIMALS = 4  # of the finest tick, 0.0025 of the currencies
_json = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Where and how to connect. The address may hold a token, so it is a secret; so are the headers.

    `headers` and `subprotocols` are a WebSocket's, `username` and `password` those of MQTT.
    """

    url: Secret
    headers: Mapping[str, Secret] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()
    username: Secret | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An order changed. `order` is the whole of it where the frame tells that, else the book must be read."""

    broker_order_id: str
    status: OrderStatus
    order: BrokerOrder | None = None


@dataclass(frozen=True, slots=True)
class BookChanged:
    """Something of the account changed that the frame does not tell in full: positions, holdings."""


@dataclass(frozen=True, slots=True)
class Alive:
    """A heartbeat, an acknowledgement: the other side is there."""


@dataclass(frozen=True, slots=True)
class SessionOver:
    """The broker will not serve this session any more, in words of ours. `of_prices`: that for prices alone, which some
    brokers have apart; the account's own may stand."""

    reason: str
    of_prices: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker refused a wish, such as one subscription too many. `code` is the broker's own."""

    reason: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame, or a part of one, that cannot be read. `place` names it; nothing is quoted."""

    place: str


Event = Tick | OrderUpdate | BookChanged | Alive | SessionOver | Refused | Unreadable
# What a wish takes: a frame to send or, where the broker hears of wishes over HTTP, a call that tells what came of it.
Wish = Frame | Callable[[Transport], list[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What the broker allows: `instruments` on one connection, `batch` in one message, `connections` per account."""

    instruments: int
    batch: int
    connections: int = 1


class BrokerStream(ABC):
    """One connection of one kind at one broker.

    `path` follows the host, at the broker and at its simulation alike. `beat_seconds`: how often `beat` is to be sent,
    if at all; a stream may change its own, where the broker says how often. `silence_seconds`: after so long without
    any frame, heartbeats included, the connection is dead; None where the broker sends nothing in a quiet market.
    `least_pause`: seconds before it may be opened again, where the broker punishes whoever comes back at once.
    `has_own_session`: a session apart from the account's, which ends alone, and of which another may be had.
    """

    spec: ClassVar[BrokerSpec]
    limits: ClassVar[StreamLimits]
    path: ClassVar[str] = ""
    beat_seconds: float | None = None
    silence_seconds: ClassVar[float | None] = None
    least_pause: ClassVar[float] = 0.0
    has_own_session: ClassVar[bool] = False

    def __init__(self, app: AppCredentials, session: Session) -> None:
        self.app = app
        self.session = session

    @abstractmethod
    def opening(self, http: Transport, base_url: str) -> Opening:
        """Where to connect. May make the one call that some brokers ask for first; runs in a thread.

        `base_url` is the stream's own host, of the broker or of its simulation (`ws://…`). Raises a BrokerError.
        """

    def hello(self) -> list[Frame]:
        """What is sent first on a new connection."""
        return []

    def beat(self) -> Frame | None:
        """What is sent every `beat_seconds`; None: a WebSocket ping does."""
        return None

    @abstractmethod
    def received(self, frame: Frame) -> list[Event]:
        """What a frame means."""

    def answers(self) -> list[Frame]:
        """What must be sent because of what was received, such as acknowledgements; taken once."""
        return []

    @staticmethod
    def refused(status: int, headers: Mapping[str, str]) -> SessionOver | None:
        """What a refusal of the handshake means; None: it may be tried again.

        `status` is HTTP's, or over MQTT the return code, 1 to 5, which comes without headers; 0 where it is unknown.
        """
        return SessionOver("The broker does not accept this session.") if status in (401, 403) else None


class PriceStream(BrokerStream):
    """A stream of prices. Wishes come in any number; what they take keeps to `limits.batch`.

    Most brokers take wishes as frames. Some have a socket that only tells, and take them by a call of their API: such a
    wish is made in a thread, one after the other, while frames go on being received. What it raises, a BrokerError, is
    not the end of the stream: the wish is made again later. SessionEnded is.
    """

    @abstractmethod
    def subscribe(self, wanted: Sequence[Streamed]) -> Sequence[Wish]:
        """What asks for these; those that this broker has no name for are left out (see `can_stream`)."""

    @abstractmethod
    def unsubscribe(self, unwanted: Sequence[Streamed]) -> Sequence[Wish]: ...

    @classmethod
    @abstractmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        """Whether this broker has a name for it that can be told without its master."""


class OrderStream(BrokerStream):
    """A stream of the account's own orders. A broker whose price stream carries them has none of its own."""


def batches(wanted: Iterable[T], size: int) -> list[list[T]]:
    """In lists of at most `size`, in the order given."""
    listed = list(wanted)
    return [listed[start : start + size] for start in range(0, len(listed), size)]


def topics_frame(sign: str, topics: Iterable[str]) -> str:
    """A text of MQTT's, see above."""
    return sign + "\n".join(topics)


def topics_of(frame: str) -> tuple[str, list[str]]:
    """The sign and the topics of such a text."""
    return frame[:1], frame[1:].split("\n")


def decoded(frame: Frame) -> Any:
    """JSON with exact numbers; None for what is no JSON."""
    try:
        return _json.decode(frame)
    except (msgspec.DecodeError, RecursionError, ArithmeticError):
        return None


def instant(milliseconds: int) -> datetime | None:
    """A time since the epoch; None for zero, and for what is no time."""
    return EPOCH + timedelta(milliseconds=milliseconds) if 0 < milliseconds < LATEST else None


def count(number: float) -> Decimal | None:
    """A whole number that may have travelled as a double; None for what cannot be one."""
    return Decimal(int(number)) if 0 <= number < MOST else None


def exact(number: float) -> Decimal | None:
    """A price that travels as a double, exact to the tick: never 1573.7000000000000455, never 303.59999999999997.

    Rounded to four decimals, the nearest double is what the exchange meant; `repr` writes the shortest digits that
    mean it. None for zero, and for what is no number.
    """
    return Decimal(repr(round(number, DECIMALS))) or None if 0 < abs(number) < LARGEST else None
