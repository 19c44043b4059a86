"""How an account is made ready for its first login at a broker, and what that takes. Words for the trader, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """Whole sentences; what is empty does not apply, what is None the broker's documentation leaves open.

    `console` is the address at which apps, or keys, are made, and `app` says what to make there; `redirect` where the
    redirect address goes, `keys` which keys to bring back, `permissions` what the app must be allowed, and `proof` what
    a login asks for. `price` is what the broker asks for its API; `side_by_side` what holds of a second app or session.
    `address_for_reading`: who wants a registered address for reading too. `without` gives the reason why something is
    not done here, by the name of an ability (`brokers.abilities`).
    """

    console: str | None
    app: str
    redirect: str = ""
    keys: str
    permissions: str = ""
    proof: str
    price: str | None = None
    side_by_side: str = ""
    address_for_reading: str = ""
    without: Mapping[str, str] = field(default_factory=dict)
