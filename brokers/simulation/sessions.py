"""Authorization codes and access tokens of one simulated app."""

from __future__ import annotations

import secrets
import string
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

IST = ZoneInfo("Asia/Kolkata")
CODE_LIFETIME = timedelta(minutes=5)
ALPHANUMERIC = string.ascii_letters + string.digits


class Code(msgspec.Struct):
    """A one-use code handed to the browser. `redirect_uri` is the one it was issued for."""

    expires_at: datetime
    redirect_uri: str


class Session(msgspec.Struct):
    """`refresh_token` renews the session once, where the broker offers that; `feed_token` opens its market data."""

    token: str
    created_at: datetime
    expires_at: datetime
    refresh_token: str = ""
    feed_token: str = ""


class Sessions(msgspec.Struct):
    """Live codes and sessions; kept over a restart."""

    codes: dict[str, Code] = {}
    open_sessions: dict[str, Session] = {}

    def issue_code(self, code: str, *, now: datetime, redirect_uri: str) -> str:
        """Remember a code; `redirect_uri` is empty where the broker knows only the registered one."""
        self.codes = {known: each for known, each in self.codes.items() if now < each.expires_at}
        self.codes[code] = Code(expires_at=now + CODE_LIFETIME, redirect_uri=redirect_uri)
        return code

    def spend_code(self, code: str, *, now: datetime) -> Code | None:
        """Take a code out, good or not: a failed exchange burns it too. None: unknown, used or stale."""
        found = self.codes.pop(code, None)
        return found if found is not None and now < found.expires_at else None

    def open(self, token: str, *, now: datetime, expires_at: datetime, alone: bool = False) -> Session:
        """Start a session; `alone` ends all others, where a broker allows one live token per app."""
        kept = {} if alone else self.open_sessions
        self.open_sessions = {known: each for known, each in kept.items() if now < each.expires_at}
        self.open_sessions[token] = Session(token=token, created_at=now, expires_at=expires_at)
        return self.open_sessions[token]

    def live(self, token: str, *, now: datetime) -> Session | None:
        session = self.open_sessions.get(token)
        return session if session is not None and now < session.expires_at else None

    def close(self, token: str) -> bool:
        return self.open_sessions.pop(token, None) is not None

    def revoke_all(self) -> int:
        """End every session; returns how many there were."""
        count = len(self.open_sessions)
        self.open_sessions.clear()
        return count

    def count_live(self, now: datetime) -> int:
        return sum(session.expires_at > now for session in self.open_sessions.values())


def next_at(now: datetime, wall_time: time) -> datetime:
    """Return the next moment strictly after `now` when Indian clocks show `wall_time`."""
    local = now.astimezone(IST)
    today = datetime.combine(local.date(), wall_time, tzinfo=IST)
    return today if today > local else today + timedelta(days=1)


def tomorrow_at(now: datetime, wall_time: time) -> datetime:
    """Return `wall_time` on the Indian calendar day after `now`."""
    return datetime.combine(now.astimezone(IST).date() + timedelta(days=1), wall_time, tzinfo=IST)


def random_text(length: int, alphabet: str = ALPHANUMERIC) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
