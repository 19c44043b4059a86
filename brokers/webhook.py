"""A signed message to an address that a trader gave us: only to the public internet, and only to where we looked.

A name is resolved once and the socket goes to the very address that was judged, so that a name cannot lead elsewhere a
moment later. Redirects are not followed, the answer is not read, and all of it is over within SECONDS.
"""

from __future__ import annotations

import hmac
import http.client
import socket
import ssl
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Timer
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from brokers.secret import Secret
from brokers.transport import Deadline, is_loopback

SECONDS = 5.0
LARGEST_BODY = 64 * 1024
TIMESTAMP, SIGNATURE, EVENT = "X-TradeMaster-Timestamp", "X-TradeMaster-Signature", "X-TradeMaster-Event"
# Addresses in which a gateway would find a private IPv4 address.
NAT64 = IPv6Network("64:ff9b::/96")


class WebhookRefused(Exception):
    """An address that we do not send to. `code` is stable."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class WebhookFailed(Exception):
    """It was not taken: no connection, no answer in time, or an answer other than 2xx. `code` is stable."""

    def __init__(self, message: str, code: str = "webhook_unreachable") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send: `addresses` have all been judged; `host` is what the certificate must say."""

    is_https: bool
    authority: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]


def resolved(url: str, *, allow_loopback: bool) -> Target:
    """Judge an address and all that its name leads to. `allow_loopback`: this machine may be reached, and by http too.

    Raises WebhookRefused (`webhook_url_invalid`, `webhook_not_https`, `webhook_host_unknown`,
    `webhook_address_private`).
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    printable = url.isascii() and url.isprintable() and " " not in url
    if not host or not printable or parts.scheme not in ("https", "http") or parts.username is not None:
        raise WebhookRefused(
            "webhook_url_invalid",
            "This is not an address that a message can be sent to.",
            "Enter a whole address, such as https://example.com/hook, without a user name in it.",
        )
    is_https, at_home = parts.scheme == "https", allow_loopback and is_loopback(host)
    if not is_https and not at_home:
        raise WebhookRefused(
            "webhook_not_https", "A webhook is only sent encrypted.", "Enter an address that begins with https://."
        )
    port = port or (443 if is_https else 80)
    addresses = _addresses(host, port)
    if not all(is_public(ip_address(address)) or (at_home and is_loopback(address)) for address in addresses):
        raise WebhookRefused(
            "webhook_address_private",
            "This address leads into a private network.",
            "Enter an address that is reached over the internet.",
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(is_https, parts.netloc, host, port, path, addresses)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is on the internet, by itself and not as a wrapping of an IPv4 address that may not be."""
    if isinstance(address, IPv6Address) and (
        address.ipv4_mapped or address.sixtofour or address.teredo or address in NAT64
    ):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def signature(body: bytes, timestamp: str, secret: Secret) -> str:
    """`v1=` and the hex HMAC-SHA256 of the timestamp, a full stop and the body."""
    signed = timestamp.encode() + b"." + body
    return f"v1={hmac.new(secret.reveal().encode(), signed, sha256).hexdigest()}"


def post(
    url: str, body: bytes, *, secret: Secret, now: datetime, allow_loopback: bool, event_id: str | None = None
) -> None:
    """Send JSON, once. Raises WebhookRefused; WebhookFailed.

    With an `event_id` that is told in a header of its own, and the signature's header bears the time as well:
    `t=…,v1=…`.
    """
    if len(body) > LARGEST_BODY:
        raise WebhookFailed("the message is too large", "webhook_too_large")
    target = resolved(url, allow_loopback=allow_loopback)
    timestamp = str(int(now.timestamp()))
    headers = {
        "Host": target.authority,
        "Content-Type": "application/json",
        "User-Agent": "TradeMaster",
        "Connection": "close",
        TIMESTAMP: timestamp,
        SIGNATURE: signature(body, timestamp, secret),
    }
    if event_id is not None:
        headers |= {EVENT: event_id, SIGNATURE: f"t={timestamp},{headers[SIGNATURE]}"}
    try:
        status = _status(target, body, headers)
    except ssl.SSLError:
        raise WebhookFailed("its certificate is not good for this name", "webhook_certificate") from None
    except TimeoutError:
        raise WebhookFailed("no answer in time", "webhook_timeout") from None
    except (OSError, http.client.HTTPException):
        raise WebhookFailed("it cannot be reached, or broke off") from None
    if not 200 <= status < 300:
        raise WebhookFailed(f"HTTP {status}", f"webhook_http_{status}")


def _addresses(host: str, port: int) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise WebhookRefused(
            "webhook_host_unknown", "The name in this address leads nowhere.", "Check how it is spelt."
        ) from None
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _status(target: Target, body: bytes, headers: dict[str, str]) -> int:
    """The answer's status. An answer that comes in drops does not hold us: the timer cuts the whole."""
    deadline = Deadline(SECONDS)
    raw = socket.create_connection((target.addresses[0], target.port), timeout=SECONDS)
    with closing(http.client.HTTPConnection(target.host, target.port)) as connection:
        connection.sock = raw
        timer = Timer(max(0.0, deadline.remaining()), _cut, (connection,))
        timer.daemon = True
        timer.start()
        try:
            if target.is_https:
                secured = _context().wrap_socket(raw, server_hostname=target.host, do_handshake_on_connect=False)
                connection.sock = secured
                secured.do_handshake()
            connection.request("POST", target.path, body, headers)
            with connection.getresponse() as response:
                return response.status
        except (OSError, http.client.HTTPException):
            if deadline.remaining() <= 0:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()


def _cut(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):  # over already
        connection.sock.shutdown(socket.SHUT_RDWR)


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
