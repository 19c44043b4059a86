"""NATS's keys, "nkeys": Ed25519, written as base 32 with a prefix that says whose a key is and a checksum behind it.

Source: NATS documentation, "NKeys", and the format as the official libraries write it. (Those bring a library of
Ed25519 of their own with them; this is the one that is here already.)
"""

from __future__ import annotations

from base64 import b32decode, b32encode, b64decode, b64encode
from binascii import Error as Base64Error
from binascii import crc_hqx

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

USER, ACCOUNT = 20 << 3, 0  # the prefixes that make a key begin with U, and with A
LENGTH = 32


class KeyPair:
    """A key made for one purpose, and never written down."""

    def __init__(self, prefix: int = USER) -> None:
        self._private = Ed25519PrivateKey.generate()
        self.public = encoded(prefix, self._private.public_key().public_bytes_raw())

    def signature(self, said: str) -> str:
        """Base 64, with the padding."""
        return b64encode(self._private.sign(said.encode())).decode()


def encoded(prefix: int, key: bytes) -> str:
    body = bytes([prefix]) + key
    return b32encode(body + crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def decoded(public: str, prefix: int = USER) -> bytes:
    """The bare key. Raises ValueError for what is no public key of this kind."""
    raw = b32decode(public + "=" * (-len(public) % 8))
    body, checksum = raw[:-2], raw[-2:]
    if len(body) != 1 + LENGTH or body[0] != prefix or crc_hqx(body, 0).to_bytes(2, "little") != checksum:
        raise ValueError("not a key")
    return body[1:]


def is_signed(public: str, said: str, signature: str, prefix: int = USER) -> bool:
    """Whether the owner of a public key has signed a text. The padding of the base 64 may be missing."""
    try:
        key = Ed25519PublicKey.from_public_bytes(decoded(public, prefix))
        key.verify(b64decode(signature + "=" * (-len(signature) % 4), altchars=_letters(signature)), said.encode())
    except (ValueError, Base64Error, InvalidSignature):
        return False
    return True


def _letters(signature: str) -> bytes:
    """The last two of the alphabet: that of addresses where one of them is there, else the usual one."""
    return b"-_" if "-" in signature or "_" in signature else b"+/"
