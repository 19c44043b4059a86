"""Consent to what is done with a connection: the text, in every version that anybody agreed to, and who did.

A login agrees to the text of the day, which is shown where it is begun. Its end, by the trader or with the account,
withdraws it. Turning trading on agrees to a text of its own, by its version; turning it off withdraws that. Nothing is
written where a consent to the same text stands already, so that a login every morning is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts import origin
from accounts.audit import Happened
from accounts.events import Event
from brokers.agreements import Act, ConnectionConsent
from brokers.models import BrokerConnection
from brokers.reach import ConnectRefused

READ = "read"
TRADE = "trade"

# Scope → version → text. A text that somebody agreed to is never changed: a new one gets a new version, the day it is
# written, at the end.
TEXTS: dict[str, dict[str, str]] = {
    READ: {
        "2026-11-26": (
            "By logging in you agree that TradeMaster reads this account at the broker (profile, holdings, positions, "
            "funds, the day’s orders and trades, and prices), keeps the last answers and a log of what it did, and "
            "shows them to you and to whom you let see them, until you disconnect it. It places no orders."
        ),
        "2026-11-26.2": (
            "By logging in you agree that TradeMaster reads this account at the broker (profile, holdings, positions, "
            "funds, the day’s orders and trades, and prices), keeps the last answers and a log of what it did, and "
            "shows them to you and to whom you let see them, until you disconnect it. It places no orders unless you "
            "turn trading on, which is asked for apart."
        ),
    },
    TRADE: {
        "2026-11-26": (
            "By turning trading on you agree that TradeMaster places, changes and cancels orders at this account when "
            "you, or a program with a token of yours that may change things, ask for them; that it may choose this "
            "account among yours for an order, and says why; and that it keeps a record of every order and decision "
            "for at least five years. Orders bind you at the broker. Turning trading off, or disconnecting, ends this "
            "at once for new orders; those that stand at the broker stay there until you cancel them."
        ),
    },
}


@dataclass(frozen=True, slots=True)
class Text:
    scope: str
    version: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One consent; `withdrawn_at` is None while it stands. `given_from` is an IP address, where one is known."""

    scope: str
    version: str
    text: str
    stated: bool
    given_at: datetime
    given_from: str | None
    withdrawn_at: datetime | None


def current(scope: str = READ) -> Text:
    version, text = list(TEXTS[scope].items())[-1]
    return Text(scope, version, text)


def checked(version: str | None, scope: str = READ) -> str:
    """The version that is agreed to now; None: not said. Raises ConnectRefused (`consent_outdated`)."""
    newest = current(scope).version
    if version not in (None, newest):
        raise ConnectRefused(
            "consent_outdated",
            "The text that this agrees to is another one by now.",
            f"Read it at GET /api/v1/brokers/consent?scope={scope}, and send its version.",
        )
    return newest


def give(
    connection: BrokerConnection, *, version: str, stated: bool, now: datetime, scope: str = READ
) -> list[Happened]:
    """Write consent to the text down, unless it stands already. Returns what is to be recorded in the audit log."""
    if (scope, version) in _standing(connection):
        return []
    return [_write(connection, Act.GIVEN, scope, version, now, stated=stated)]


def withdraw(connection: BrokerConnection, *, now: datetime, scope: str | None = None) -> list[Happened]:
    """Write down that no consent (of this scope) stands any more. Returns what is to be recorded in the audit log."""
    standing = {each for each in _standing(connection) if scope in (None, each[0])}
    return [_write(connection, Act.WITHDRAWN, scope, version, now) for scope, version in sorted(standing)]


def of(connection_ids: Collection[UUID]) -> Mapping[UUID, list[Consent]]:
    """Every consent of these connections, oldest first; an empty list where none was ever written."""
    found: defaultdict[UUID, list[Consent]] = defaultdict(list)
    withdrawn: dict[tuple[UUID, str, str], datetime] = {}
    rows = ConnectionConsent.objects.filter(connection_id__in=connection_ids).order_by("-id")
    for row in rows:
        key = (row.connection_id, row.scope, row.version)
        if row.act == Act.WITHDRAWN:
            withdrawn[key] = row.at
            continue
        consent = Consent(
            scope=row.scope,
            version=row.version,
            text=TEXTS[row.scope][row.version],
            stated=row.is_stated,
            given_at=row.at,
            given_from=row.address or None,
            withdrawn_at=withdrawn.pop(key, None),
        )
        found[row.connection_id].insert(0, consent)
    return found


def _standing(connection: BrokerConnection) -> set[tuple[str, str]]:
    return {(one.scope, one.version) for one in of([connection.pk])[connection.pk] if one.withdrawn_at is None}


def _write(
    connection: BrokerConnection, act: Act, scope: str, version: str, now: datetime, *, stated: bool = False
) -> Happened:
    ConnectionConsent.objects.create(
        user_id=connection.user_id,
        connection_id=connection.pk,
        broker_type=connection.broker_type,
        scope=scope,
        act=act,
        version=version,
        is_stated=stated,
        at=now,
        address=origin.address() or "",
    )
    event = Event.CONSENT_GIVEN if act is Act.GIVEN else Event.CONSENT_WITHDRAWN
    return Happened(
        event=event,
        subject=connection.user_id,
        thing=("connection", connection.pk),
        details={"scope": scope, "version": version},
    )
