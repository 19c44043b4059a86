"""The one HTTP client: pooled, bounded in time and size, exact JSON in, one kind of error out.

It logs method, path without query, broker, status and milliseconds; never headers, bodies or parameters.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from brokers.errors import BrokerError, BrokerUnavailable, NotSupported, UnexpectedResponse
from brokers.secret import Secret, curtained
from brokers.verdicts import ErrorTable, Failure, error_of, no_answer, unreadable

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
TOTAL_SECONDS = 10.0
HURRIED_PART = 0.7
LONGEST_REASON = 300
LARGEST_BODY = 16 * 1024 * 1024
STALL_SECONDS = 30.0

_json = msgspec.json.Decoder(float_hook=Decimal)


def _text_of(value: object) -> str:
    """A Hidden is a text, too. Nothing else that JSON does not know is sent."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not sent")


_exact = msgspec.json.Encoder(decimal_format="number", enc_hook=_text_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a broker answers: `base_url` for calls, `login_url` for the page the trader's browser is sent to.

    `elsewhere` names the hosts of those paths that another one serves.
    """

    base_url: str
    login_url: str
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def address(self, path: str) -> str:
        return self.elsewhere.get(path, self.base_url).rstrip("/") + path


class Deadline:
    """An end in time, shared by every call made for one purpose.

    `is_cut`: it is nearer than a call of this kind should have, as what it is part of ends sooner.
    """

    def __init__(self, seconds: float, *, is_cut: bool = False) -> None:
        self._end = time.monotonic() + seconds
        self.is_cut = is_cut

    def remaining(self) -> float:
        return self._end - time.monotonic()


@dataclass(frozen=True, slots=True)
class Call:
    """What stands before a call must know of it: the path without the query, and whether it changes something."""

    method: str
    path: str
    writes: bool = False


class Passage(Protocol):
    """One call that was let through."""

    def again(self) -> bool:
        """Ask to send it a second time, waiting if need be: whether it may."""

    def leave(self, error: BrokerError | None, seconds: float) -> None:
        """Say once how it ended, and how long that took."""


def _cut_queries(record: logging.LogRecord) -> bool:
    """Kite's token travels in a query, and this library logs whole addresses at lower levels."""
    if isinstance(record.args, tuple):
        record.args = tuple(part.partition("?")[0] if isinstance(part, str) else part for part in record.args)
    return True


for _name in ("connection", "connectionpool", "poolmanager", "response", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_cut_queries)


class Gate(Protocol):
    """What stands before every call: `enter` may wait within the deadline, or raise a BrokerError; nothing was sent."""

    def enter(self, call: Call, deadline: Deadline) -> Passage: ...


class _Unguarded:
    """No gate and its passage in one: everything goes through, and nobody takes note."""

    def enter(self, call: Call, deadline: Deadline) -> Passage:
        return self

    def again(self) -> bool:
        return True

    def leave(self, error: BrokerError | None, seconds: float) -> None:
        return None


UNGUARDED: Gate = _Unguarded()

_waits = threading.local()


def taken_waits() -> float:
    """Seconds that this thread's calls have waited at gates since this was last asked: no broker's doing."""
    seconds: float = getattr(_waits, "seconds", 0.0)
    _waits.seconds = 0.0
    return seconds


# Which broker, when it was asked and answered by our clock (seconds since 1970), and the `Date` of its reply.
Hears = Callable[[str, float, float, str | None], None]


def _nobody_hears(slug: str, asked: float, answered: float, date: str | None) -> None:
    """Of a transport whose replies nobody holds against our clock."""


class Transport:
    """Speaks HTTP to one broker.

    `failure` reads the dialect's error envelope out of a decoded body (None: no error there); `errors` is the spec's
    table, and `order_errors` are asked first where a write is answered: `verdicts` makes an error of them.
    `secrets` are cut out of every reason.
    With `loopback_only`, which the demo and the tests set, no other host is ever spoken to. Calls pass the `gate`, and
    then the `look` of whoever may still stop them.
    """

    def __init__(
        self,
        *,
        slug: str,
        endpoints: Endpoints,
        errors: ErrorTable,
        order_errors: ErrorTable | None = None,
        failure: Callable[[Any], Failure | None],
        headers: Mapping[str, str] | None = None,
        loopback_only: bool = False,
        deadline: Deadline | None = None,
        gate: Gate = UNGUARDED,
        look: Callable[[], None] | None = None,
    ) -> None:
        self.slug = slug
        self.endpoints = endpoints
        self._errors = errors
        self._order_errors = {**errors, **(order_errors or {})}
        self._failure = failure
        self._headers = dict(headers or {})
        self._loopback_only = loopback_only
        self._deadline = deadline
        self._gate = gate
        self._hears: Hears = _nobody_hears
        self._look = look

    def looking(self, look: Callable[[], None]) -> Transport:
        """The same transport, which calls `look` last before anything is sent: what it raises stops the call."""
        copied = copy(self)
        copied._look = look
        return copied

    def hearing(self, hears: Hears) -> Transport:
        """The same transport, which tells when it asked, when it was answered, and which date the reply bears."""
        copied = copy(self)
        copied._hears = hears
        return copied

    def hurried(self) -> Transport:
        """The same transport with a part of the time that is left, so that what was read before is not lost with it."""
        return self._until(Deadline(self.remaining() * HURRIED_PART))

    def within(self, seconds: float) -> Transport:
        """The same transport with so much time from now, and never more than is left."""
        left = self.remaining()
        return self._until(Deadline(min(seconds, left), is_cut=left < seconds))

    def remaining(self) -> float:
        """Seconds that are left for its calls."""
        return self._deadline.remaining() if self._deadline else TOTAL_SECONDS

    def _until(self, deadline: Deadline) -> Transport:
        copied = copy(self)
        copied._deadline = deadline
        return copied

    @curtained
    def call(
        self,
        method: str,
        path: str,
        *,
        authorization: Secret | None = None,
        keys: Mapping[str, Secret] | None = None,
        params: Any = None,
        form: Mapping[str, str] | None = None,
        json: Any = None,
        writes: bool = False,
        secrets: Sequence[Secret] = (),
    ) -> Any:
        """Make one call and return the decoded body, numbers as int or Decimal, which a body may hold, too.

        `keys` are secret headers other than `authorization`, by name. `writes` says that the call changes something:
        it is then sent once, and no answer is OutcomeUnknown. A read whose connection breaks is asked once more.
        Raises a BrokerError, nothing else.
        """
        url, headers = self._addressed(path, authorization, keys)
        deadline = self._deadline or Deadline(TOTAL_SECONDS)
        started = time.monotonic()
        outcome = "not sent"
        try:
            if deadline.remaining() <= 0:
                raise BrokerUnavailable("The broker cannot be reached in time.")
            passage = self._gate.enter(Call(method, path, writes), deadline)
            outcome, entered = "no answer", time.monotonic()
            _waits.seconds = getattr(_waits, "seconds", 0.0) + entered - started
            try:
                if self._look is not None:
                    self._look()
                request = {"params": params, "data": form, "headers": headers}
                if json is not None:
                    request["data"] = as_json(json)
                    headers["Content-Type"] = "application/json"
                status, reply_headers, raw = self._exchange(
                    method, url, request, writes=writes, deadline=deadline, passage=passage
                )
                outcome = str(status)
                body = self._read(status, reply_headers, raw, writes=writes, secrets=secrets)
            except BrokerError as error:
                passage.leave(error, time.monotonic() - entered)
                raise
            passage.leave(None, time.monotonic() - entered)
            return body
        except BrokerError as error:
            outcome = f"{outcome} {error.code}"
            raise
        finally:
            elapsed = round((time.monotonic() - started) * 1000)
            logger.info("%s %s %s: %s in %d ms", self.slug, method, path, outcome, elapsed)

    @curtained
    def download(
        self,
        method: str,
        path: str,
        *,
        into: BinaryIO,
        largest: int,
        authorization: Secret | None = None,
        keys: Mapping[str, Secret] | None = None,
        json: Any = None,
    ) -> int:
        """Read one file, written to `into` as it comes in and never held whole; returns its bytes.

        The transport needs a deadline of its own: the usual one is for replies. Raises a BrokerError, nothing else;
        UnexpectedResponse for one of more than `largest` bytes.
        """
        url, headers = self._addressed(path, authorization, keys)
        headers["Accept"] = "*/*"
        deadline = self._deadline or Deadline(TOTAL_SECONDS)
        started, outcome, written = time.monotonic(), "no answer", 0
        waits = (CONNECT_SECONDS, min(STALL_SECONDS, max(deadline.remaining(), 0.1)))
        passage = self._gate.enter(Call(method, path), deadline)
        ended: BrokerError | None = None
        try:
            with _session(self.slug).request(
                method, url, stream=True, allow_redirects=False, timeout=waits, json=json, headers=headers
            ) as response:
                outcome = str(response.status_code)
                if response.status_code >= 300:
                    self._read(response.status_code, response.headers, _body(response, deadline), writes=False,
                               secrets=(authorization or Secret(""), *(keys or {}).values()))  # fmt: skip
                for piece in _pieces(response, deadline, largest):
                    into.write(piece)
                    written += len(piece)
            return written
        except requests.RequestException:
            ended = BrokerUnavailable("The broker did not deliver the file.")
            raise ended from None
        except BrokerError as error:
            outcome, ended = f"{outcome} {error.code}", error
            raise
        finally:
            passage.leave(ended, time.monotonic() - started)
            elapsed = round((time.monotonic() - started) * 1000)
            logger.info("%s %s %s: %s, %d bytes in %d ms", self.slug, method, path, outcome, written, elapsed)

    def _addressed(
        self, path: str, authorization: Secret | None, keys: Mapping[str, Secret] | None
    ) -> tuple[str, dict[str, str]]:
        url = self.endpoints.address(path)
        self._refuse_live_hosts(url)
        headers = dict(self._headers)
        if authorization is not None:
            headers["Authorization"] = authorization.reveal()
        return url, headers | {name: key.reveal() for name, key in (keys or {}).items()}

    def _exchange(
        self, method: str, url: str, request: Mapping[str, Any], *, writes: bool, deadline: Deadline, passage: Passage
    ) -> tuple[int, Mapping[str, str], bytes]:
        attempts = 1 if writes else 2
        while True:
            attempts -= 1
            try:
                return self._send(method, url, request, deadline)
            except requests.ConnectTimeout:
                raise BrokerUnavailable("The broker cannot be reached in time.") from None
            except requests.Timeout:
                raise no_answer("The broker did not answer in time.", writes=writes) from None
            except requests.ConnectionError as error:
                if _never_left(error):
                    raise BrokerUnavailable("The broker cannot be reached.") from None
                if attempts and deadline.remaining() > 0 and passage.again():
                    continue
                raise no_answer("The broker cut the connection.", writes=writes) from None
            except requests.RequestException:
                raise no_answer("The broker's answer broke off.", writes=writes) from None
            except UnexpectedResponse as error:
                raise (unreadable(writes=writes) if writes else error) from None

    def _send(
        self, method: str, url: str, request: Mapping[str, Any], deadline: Deadline
    ) -> tuple[int, Mapping[str, str], bytes]:
        remaining = deadline.remaining()
        if remaining <= 0:
            raise requests.ConnectTimeout
        asked = time.time()
        with _session(self.slug).request(
            method,
            url,
            stream=True,
            allow_redirects=False,
            timeout=(min(CONNECT_SECONDS, remaining), remaining),
            **request,
        ) as response:
            self._hears(self.slug, asked, time.time(), response.headers.get("Date"))
            return response.status_code, response.headers, _body(response, deadline)

    def _read(
        self, status: int, headers: Mapping[str, str], raw: bytes, *, writes: bool, secrets: Sequence[Secret]
    ) -> Any:
        try:
            body = _json.decode(raw)
        except (msgspec.DecodeError, RecursionError, ArithmeticError):
            body = None
            if status < 400:
                raise unreadable(writes=writes) from None
        failure = self._failure(body)
        if status < 300 and failure is None:
            return body
        failure = failure or Failure(None)
        errors = self._order_errors if writes else self._errors
        reason = _redacted(failure.message, secrets)
        raise error_of(status, headers, failure, errors, writes=writes, reason=reason)

    def _refuse_live_hosts(self, url: str) -> None:
        if self._loopback_only and not is_loopback(urlsplit(url).hostname or ""):
            raise NotSupported("This installation is a simulation: it refuses to talk to a live broker.")


def as_json(value: Any) -> bytes:
    """JSON in which a Decimal is the number it is."""
    return _exact.encode(value)


@cache
def _session(slug: str) -> requests.Session:
    """One pool of connections per broker. No cookies, no environment: accounts of several people share it."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update(
        {"User-Agent": "TradeMaster", "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
    )
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=64, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _body(response: requests.Response, deadline: Deadline) -> bytes:
    """Read the body as it comes in; `iter_content` would wait for a full piece while a broker drips past the deadline.

    Each wait is bounded by what was left when the call was sent, so the last one ends before twice the deadline.
    """
    return b"".join(_pieces(response, deadline, LARGEST_BODY))


def _pieces(response: requests.Response, deadline: Deadline, largest: int) -> Iterator[bytes]:
    """The body, piece by piece, decompressed; its length is counted as it is then."""
    length = 0
    try:
        while piece := response.raw.read1(65536, decode_content=True):
            length += len(piece)
            if length > largest:
                raise UnexpectedResponse("body", "is larger than any honest answer")
            yield piece
            if deadline.remaining() <= 0:
                raise requests.ReadTimeout
    except urllib3.exceptions.ReadTimeoutError:
        raise requests.ReadTimeout from None
    except urllib3.exceptions.HTTPError:
        raise requests.exceptions.ChunkedEncodingError from None


def _never_left(error: requests.ConnectionError) -> bool:
    """Whether the connection was never made, so that the broker cannot have seen the request."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError)


def _redacted(message: str | None, secrets: Sequence[Secret]) -> str | None:
    if not message:
        return None
    for secret in secrets:
        if secret:
            message = message.replace(secret.reveal(), "…")
    return message[:LONGEST_REASON]


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
