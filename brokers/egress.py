"""From which address this machine is seen outside. Nobody is asked who was not named."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

import requests

SECONDS = 10
LONGEST_REPLY = 64 * 1024
IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")


class NotObserved(Exception):
    """The words say why, and what to do."""


def observed_address(url: str) -> str:
    """The one IPv4 address in what `url` answers. It is asked as the brokers are: directly, by no proxy.

    Raises NotObserved.
    """
    with requests.Session() as http:
        http.trust_env = False
        try:
            with http.get(url, timeout=SECONDS, stream=True, allow_redirects=False) as reply:
                status, body = reply.status_code, next(reply.iter_content(LONGEST_REPLY), b"")
        except requests.RequestException as error:
            raise NotObserved(f"{url} does not answer: {type(error).__name__}.") from None
    if status != requests.codes.ok:
        raise NotObserved(f"{url} answers with HTTP {status}. Name an address that answers with ours.")
    found = addresses(body.decode(errors="replace"))
    if len(found) != 1:
        raise NotObserved(
            f"{url} names {len(found)} IPv4 addresses, not one. It must be reached over IPv4, as brokers are."
        )
    return found.pop()


def addresses(text: str) -> set[str]:
    """The IPv4 addresses in a text; what only looks like one is left out."""
    found = set()
    for word in IPV4.findall(text):
        try:
            found.add(str(IPv4Address(word)))
        except ValueError:
            continue
    return found
